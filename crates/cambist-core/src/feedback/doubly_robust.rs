//! Lessons of partial feedback: rewards of those who were asked, expectations of the others, put together without bias.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FeedbackError, Propensities, open_teachers};
use crate::{
    candidate::Matrix,
    features::FeatureSource,
    head::{Lessons, N_FOLDS, fold_of},
    pool::Pool,
    statistics::standard_error,
};

/// Fewer prompts with a valid answer teach nothing.
const MIN_PROMPTS: usize = 50;
/// Fewer answers of a teacher, as many as are equally likely, say nothing about it.
const MIN_EFFECTIVE: usize = 10;
/// Prompts that the mean of a teacher over all languages counts as, where its mean in one of them is estimated.
const SHRINKAGE: f64 = 20.0;
/// Propensities are wrong where their weights are off by so many standard errors, and by so much.
const WRONG: (f64, f64) = (4.0, 0.2);

/// How partial feedback is weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartialOptions {
    /// The largest weight of an answer, at least 1; default 50, which leaves audits of one prompt in fifty whole. Smaller
    /// ones vary less and let some of the bias back in.
    pub max_weight: f64,
    /// Deals out folds.
    pub seed: u64,
}

impl Default for PartialOptions {
    fn default() -> Self {
        Self { max_weight: 50.0, seed: 0 }
    }
}

/// What lessons of partial feedback rest on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialFeedback {
    /// Answers that could have been asked for.
    pub n_cells: usize,
    /// Those that were.
    pub n_asked: usize,
    /// The largest weight that an answer may have.
    pub max_weight: f64,
    /// Answers whose weight was cut to that.
    pub n_clipped: usize,
    /// By teacher.
    pub teachers: BTreeMap<String, TeacherFeedback>,
    /// The standard deviation of rewards over prompts and teachers, weighted: what scores are divided by where a softmax
    /// makes probabilities of them.
    pub spread: f64,
}

/// What one teacher's part in it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherFeedback {
    /// Answers that it was asked for.
    pub n_asked: usize,
    /// As many equally likely ones would vary as much: `(sum w)^2 / sum w^2` (Kish 1965).
    pub effective: f64,
    /// What its answers stand for, as a share of the prompts, before weights are cut and brought to 1: near 1 where the
    /// propensities are right.
    pub weight: f64,
}

/// One answer that was asked for.
#[derive(Clone, Copy)]
struct Asked {
    lesson: usize,
    teacher: usize,
    reward: f64,
    /// One over the propensity.
    raw: f64,
    weight: f64,
}

/// Makes lessons of answers of which only some were asked for.
///
/// Each reward that could have been seen is put in place by the doubly robust estimate (Robins et al. 1994; arXiv
/// 1103.4601, eq. 2) `mu + w (r - mu)`, `w` being one over the propensity where the answer was asked for, else 0, cut to
/// the largest weight, and brought to a mean of 1 for each teacher (self-normalised, Hajek 1971). `mu` is the weighted
/// mean of the teacher in the language over sources of other folds, drawn to its mean over all languages. In expectation
/// over the lots every such number is the reward itself, so that means and regressions on them are those of everybody's
/// answers; a single one says nothing, and comparisons of two teachers on one prompt say little.
///
/// A teacher that never answered in a language plays no part there, and prompts without any answer are left out.
///
/// # Errors
/// When an answer has no propensity, too few were asked for, or the propensities cannot be those of the answers.
pub fn lessons_of_feedback(
    (matrix, pool): (&Matrix, &Pool),
    source: &dyn FeatureSource,
    (propensities, options): (&Propensities, PartialOptions),
) -> Result<(Lessons, PartialFeedback), FeedbackError> {
    let (mut lessons, at) = Lessons::gather((matrix, pool), source)?;
    let mut asked = asked_of((matrix, &lessons, &at), propensities, options)?;
    if at.len() < MIN_PROMPTS {
        return Err(FeedbackError::TooFewPrompts { found: at.len(), needed: MIN_PROMPTS });
    }
    let open = Open::of((matrix, pool), &lessons);
    let teachers = weigh(&lessons, &open, &mut asked)?;
    let folds = fold_of(&lessons, options.seed);
    let means: Vec<Means> = (0..N_FOLDS).map(|fold| Means::without(&lessons, &asked, (&folds, fold))).collect();
    for (at, lesson) in lessons.lessons.iter_mut().enumerate() {
        let mu = |teacher: usize| means[folds[at]].of(lesson.language, teacher);
        lesson.rewards = (0..open.n_teachers).map(|m| open.is(lesson.language, m).then(|| mu(m))).collect();
    }
    for Asked { lesson, teacher, reward, weight, .. } in &asked {
        if let Some(expected) = &mut lessons.lessons[*lesson].rewards[*teacher] {
            *expected += weight * (reward - *expected);
        }
    }
    let feedback = PartialFeedback {
        n_cells: lessons.lessons.iter().map(|lesson| lesson.rewards.iter().flatten().count()).sum(),
        n_asked: asked.len(),
        max_weight: options.max_weight,
        n_clipped: asked.iter().filter(|one| one.raw > options.max_weight).count(),
        spread: spread(&asked),
        teachers,
    };
    Ok((lessons, feedback))
}

/// The answers that were asked for, with their weights.
fn asked_of(
    (matrix, lessons, at): (&Matrix, &Lessons, &[usize]),
    propensities: &Propensities,
    options: PartialOptions,
) -> Result<Vec<Asked>, FeedbackError> {
    let mut asked = Vec::new();
    let mut unknown: Option<(usize, String, String)> = None;
    for (lesson, row) in at.iter().enumerate() {
        let id = &matrix.rows()[*row].prompt.id;
        for (teacher, reward) in lessons.lessons[lesson].rewards.iter().enumerate() {
            let Some(reward) = *reward else { continue };
            let name = &lessons.teachers[teacher];
            let Some(propensity) = propensities.of(id, name) else {
                unknown.get_or_insert_with(|| (0, id.clone(), name.clone())).0 += 1;
                continue;
            };
            let raw = 1.0 / propensity;
            asked.push(Asked { lesson, teacher, reward, raw, weight: raw.min(options.max_weight.max(1.0)) });
        }
    }
    match unknown {
        Some((n_unknown, prompt_id, teacher)) => Err(FeedbackError::NoPropensity { n_unknown, prompt_id, teacher }),
        None => Ok(asked),
    }
}

/// Brings the weights of each teacher to a mean of 1 over the prompts that it could be asked about, and tells what they
/// were.
fn weigh(
    lessons: &Lessons,
    open: &Open,
    asked: &mut [Asked],
) -> Result<BTreeMap<String, TeacherFeedback>, FeedbackError> {
    let mut told = BTreeMap::new();
    for (teacher, name) in lessons.teachers.iter().enumerate() {
        let n_open = lessons.lessons.iter().filter(|lesson| open.is(lesson.language, teacher)).count();
        let own: Vec<&mut Asked> = asked.iter_mut().filter(|one| one.teacher == teacher).collect();
        let mut raw = vec![0.0; n_open];
        raw.iter_mut().zip(&own).for_each(|(raw, one)| *raw = one.raw);
        let weight = crate::statistics::mean(&raw).unwrap_or(0.0);
        let (sum, squares) = own.iter().fold((0.0, 0.0), |(s, q), one| (s + one.weight, q + one.weight.powi(2)));
        let effective = if squares > 0.0 { sum * sum / squares } else { 0.0 };
        let n_asked = own.len();
        if effective < MIN_EFFECTIVE as f64 {
            let teacher = name.clone();
            return Err(FeedbackError::TooFewAnswers { teacher, n_asked, effective, needed: MIN_EFFECTIVE });
        }
        let error = WRONG.0 * standard_error(&raw).unwrap_or(0.0);
        if (weight - 1.0).abs() > error.max(WRONG.1) {
            return Err(FeedbackError::WrongPropensities { teacher: name.clone(), weight, error: error.max(WRONG.1) });
        }
        told.insert(name.clone(), TeacherFeedback { n_asked, effective, weight });
        own.into_iter().for_each(|one| one.weight *= n_open as f64 / sum);
    }
    Ok(told)
}

/// Who plays a part in which language.
struct Open {
    n_teachers: usize,
    /// `[language, teacher]`.
    is_open: Vec<bool>,
}

impl Open {
    fn of((matrix, pool): (&Matrix, &Pool), lessons: &Lessons) -> Self {
        let open = open_teachers(matrix, pool);
        let place = |id: &String| pool.teachers().iter().position(|teacher| teacher.id == *id);
        let places: Vec<Option<usize>> = lessons.teachers.iter().map(place).collect();
        let is_open = |language: &str, at: &Option<usize>| {
            at.zip(open.get(language)).is_some_and(|(at, own): (usize, &Vec<bool>)| own[at])
        };
        let rows = lessons.languages.iter().flat_map(|language| places.iter().map(move |at| (language, at)));
        let is_open = rows.map(|(language, at)| is_open(language.as_str(), at)).collect();
        Self { n_teachers: places.len(), is_open }
    }

    fn is(&self, language: usize, teacher: usize) -> bool {
        self.is_open[language * self.n_teachers + teacher]
    }
}

/// Weighted means of rewards.
struct Means {
    n_teachers: usize,
    /// `[language, teacher]`.
    means: Vec<f64>,
}

impl Means {
    /// Over the sources of all folds but one.
    fn without(lessons: &Lessons, asked: &[Asked], (folds, fold): (&[usize], usize)) -> Self {
        let n_teachers = lessons.teachers.len();
        let mut sums = vec![(0.0, 0.0); lessons.languages.len() * n_teachers];
        for one in asked.iter().filter(|one| folds[one.lesson] != fold) {
            let cell = &mut sums[lessons.lessons[one.lesson].language * n_teachers + one.teacher];
            *cell = (cell.0 + one.weight, cell.1 + one.weight * one.reward);
        }
        let total = |cells: &mut dyn Iterator<Item = &(f64, f64)>| {
            let (weight, sum) = cells.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
            if weight > 0.0 { Some(sum / weight) } else { None }
        };
        let everybody = total(&mut sums.iter()).unwrap_or(0.0);
        let pooled: Vec<f64> = (0..n_teachers)
            .map(|at| total(&mut sums.iter().skip(at).step_by(n_teachers)).unwrap_or(everybody))
            .collect();
        let mean = |(at, (weight, sum)): (usize, &(f64, f64))| {
            (sum + SHRINKAGE * pooled[at % n_teachers]) / (weight + SHRINKAGE)
        };
        Self { n_teachers, means: sums.iter().enumerate().map(mean).collect() }
    }

    fn of(&self, language: usize, teacher: usize) -> f64 {
        self.means[language * self.n_teachers + teacher]
    }
}

/// The weighted standard deviation of all rewards; 1 where nothing differs.
fn spread(asked: &[Asked]) -> f64 {
    let total: f64 = asked.iter().map(|one| one.weight).sum();
    let mean = asked.iter().map(|one| one.weight * one.reward).sum::<f64>() / total;
    let squares: f64 = asked.iter().map(|one| one.weight * (one.reward - mean).powi(2)).sum();
    let spread = (squares / total).sqrt();
    if spread > 0.0 { spread } else { 1.0 }
}
