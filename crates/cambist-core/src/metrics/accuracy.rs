//! How often students are right.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Bootstrap, ClusterSums, Estimate, Interval, PerLanguage, seeds::means_by_seed, seeds::n_distinct, wilson};
use crate::{
    language::Language,
    statistics::{mean, standard_deviation},
};

/// One student's grade on one test prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graded {
    /// The prompt.
    pub prompt_id: String,
    /// The prompt's source, the cluster of the bootstrap.
    pub source_id: String,
    /// The prompt's language.
    pub language: Language,
    /// The seed of the student's training.
    pub seed: u64,
    /// The grade, higher is better; 0 or 1 from an exact checker.
    pub value: f64,
}

/// Mean grade of a strategy's students.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// How many prompts.
    pub n_prompts: usize,
    /// How many sources they come from.
    pub n_clusters: usize,
    /// How many students, one per seed.
    pub n_seeds: usize,
    /// Mean over prompts and students, with its spread over sources.
    pub mean: Estimate,
    /// Standard deviation of the students' means; none with one student.
    pub seed_sd: Option<f64>,
    /// Wilson's interval, where there is one student and all its grades are 0 or 1; never for means over languages.
    pub wilson: Option<Interval>,
}

/// Returns the mean grade per language and over languages.
pub fn accuracy(grades: &[Graded], bootstrap: Bootstrap) -> PerLanguage<Accuracy> {
    let languages: Vec<&Language> =
        grades.iter().map(|grade| &grade.language).collect::<BTreeSet<_>>().into_iter().collect();
    let mut sums = ClusterSums::new(2 * languages.len());
    for grade in grades {
        let at = 2 * languages.partition_point(|language| **language < grade.language);
        sums.add(&grade.source_id, at, grade.value);
        sums.add(&grade.source_id, at + 1, 1.0);
    }
    let resampled = bootstrap.resample(&sums);
    let ratio = |totals: &[f64], at: usize| (totals[at + 1] > 0.0).then(|| totals[at] / totals[at + 1]);
    let mut table = PerLanguage { languages: BTreeMap::new(), macro_mean: None };
    for (at, language) in languages.iter().enumerate() {
        let own: Vec<&Graded> = grades.iter().filter(|grade| grade.language == **language).collect();
        let estimate = resampled.estimate(|totals| ratio(totals, 2 * at));
        let of_language = estimate.map(|mean| summarize(&own, mean)).map(|a| Accuracy { wilson: wilson_of(&own), ..a });
        table.languages.extend(of_language.map(|accuracy| ((*language).clone(), accuracy)));
    }
    let columns = || (0..languages.len()).map(|at| 2 * at);
    let estimate =
        resampled.estimate(|totals| mean(&columns().map(|at| ratio(totals, at)).collect::<Option<Vec<_>>>()?));
    table.macro_mean = estimate.map(|mean| summarize(&grades.iter().collect::<Vec<_>>(), mean));
    table
}

fn summarize(grades: &[&Graded], mean: Estimate) -> Accuracy {
    let seed_means = means_by_seed(grades.iter().map(|grade| (grade.seed, &grade.language, grade.value)));
    Accuracy {
        n_prompts: n_distinct(grades.iter().map(|grade| &grade.prompt_id)),
        n_clusters: n_distinct(grades.iter().map(|grade| &grade.source_id)),
        n_seeds: seed_means.len(),
        mean,
        seed_sd: standard_deviation(&seed_means),
        wilson: None,
    }
}

fn wilson_of(grades: &[&Graded]) -> Option<Interval> {
    let is_one_student = grades.iter().all(|grade| Some(grade.seed) == grades.first().map(|first| first.seed));
    let is_binary = grades.iter().all(|grade| grade.value == 0.0 || grade.value == 1.0);
    let n_right = grades.iter().filter(|grade| grade.value == 1.0).count();
    if is_one_student && is_binary { wilson(n_right, grades.len()) } else { None }
}
