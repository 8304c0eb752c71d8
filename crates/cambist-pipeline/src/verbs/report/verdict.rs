//! The verdict: what a reader who reads nothing else should know.

use std::collections::BTreeSet;

use super::{
    material::{AnswerSet, Comparison, Material},
    measure::name_of,
    strategies::kept_means,
};
use crate::{
    report::{Words, number::Style},
    summary::{reward_based, verdicts},
};

/// What was compared, in one line.
pub(super) fn subtitle(material: &Material<'_>) -> String {
    let mut languages = BTreeSet::new();
    let (mut n_teachers, mut n_strategies) = (0, 0);
    for answers in &material.answers {
        languages.extend(answers.matrix.rows().iter().map(|row| row.prompt.language.clone()));
        n_teachers = n_teachers.max(answers.pool.teachers().len());
        n_strategies += answers.selection.as_ref().map_or(0, |selection| selection.decisions.len());
    }
    for comparison in &material.comparisons {
        languages.extend(comparison.results.variants.values().flat_map(|v| v.accuracy.languages.keys().cloned()));
    }
    let n_models: usize = material.comparisons.iter().map(|comparison| comparison.models.len()).sum();
    let counts =
        [(n_teachers, "teacher"), (languages.len(), "language"), (n_strategies, "strategy"), (n_models, "student")];
    let told = counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| counted(n, what));
    told.collect::<Vec<_>>().join(", ")
}

pub(super) fn counted(n: usize, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("{n} {what}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        (_, None) => format!("{n} {what}s"),
    }
}

/// The verdict in a few sentences.
pub(super) fn summary(material: &Material<'_>) -> Vec<Words> {
    let mut words: Vec<Words> =
        material.comparisons.iter().flat_map(|comparison| of_comparison(material, comparison)).collect();
    words.extend(material.answers.iter().filter_map(|answers| of_strategies(material, answers)));
    if words.is_empty() {
        words.push("The run compared nothing: no step selected among answers or evaluated models.".into());
    }
    words
}

fn of_comparison(material: &Material<'_>, comparison: &Comparison) -> Vec<Words> {
    let results = &comparison.results;
    let graded: Vec<_> = results.variants.values().filter_map(|variant| variant.accuracy.macro_mean.as_ref()).collect();
    if graded.is_empty() {
        return vec!["No answer of any student could be graded, so there is no verdict.".into()];
    }
    if graded.iter().all(|accuracy| accuracy.mean.value == 0.0) {
        let text = format!(
            "None of the students answered any of the {} held-out prompts right, so the strategies cannot be told \
             apart: train longer, or on more prompts.",
            results.n_prompts
        );
        return vec![text.into()];
    }
    let verdicts = verdicts(material.recipe, results, name_of);
    if verdicts.is_empty() {
        return vec![without_verdict(comparison)];
    }
    let sentence = |verdict: crate::summary::Verdict| {
        let by_language = verdict.by_language.map(|clear| format!(" By language: {clear}.")).unwrap_or_default();
        Words::from(format!("{}.{by_language} {}.", first_up(&verdict.headline), first_up(&verdict.basis)))
    };
    verdicts.into_iter().map(sentence).collect()
}

fn without_verdict(comparison: &Comparison) -> Words {
    let (measure, results) = (&comparison.measure, &comparison.results);
    let of = |(name, variant): (&String, &crate::verbs::VariantResult)| {
        let estimate = measure.estimate(variant.accuracy.macro_mean.as_ref()?);
        let name = if name.is_empty() { "the model".to_owned() } else { format!("`{name}`") };
        Some(format!("{name} {}", measure.told(&estimate)))
    };
    let means: Vec<String> = results.variants.iter().filter_map(of).collect();
    let text = format!(
        "No reward-based strategy was compared with a baseline. Means on {} held-out prompts: {}.",
        results.n_prompts,
        means.join(", ")
    );
    text.into()
}

/// What was left on the table: the kept rewards of reward-based strategies and of the baseline.
fn of_strategies(material: &Material<'_>, answers: &AnswerSet) -> Option<Words> {
    let selection = answers.selection.as_ref()?;
    let reward_based = reward_based(material.recipe);
    let baseline = material.baseline();
    let is_told = |name: &str| baseline.is_none() || reward_based.contains(&name) || Some(name) == baseline;
    let names = material.ordered(selection.table.strategies.keys(), baseline);
    let kept = kept_means(answers, selection, material.recipe.seed);
    let measure = &answers.measure;
    let told = names.into_iter().filter(|name| is_told(name)).filter_map(|name| {
        let row = selection.table.strategies.get(name)?;
        let calls = row.cost.run.generations + row.cost.calibration.generations;
        let rate = Style::plain(1).write(calls as f64 / (row.cost.n_chosen > 0).then_some(row.cost.n_chosen)? as f64);
        let worth = kept.get(name).and_then(|means| means.macro_mean.as_ref());
        let worth = worth.map_or("not scored".to_owned(), |of| measure.told(&measure.estimate(of)));
        Some(format!(
            "`{name}` ({}) {} of {}, {worth}, {rate} calls each",
            row.strategy, row.cost.n_chosen, row.cost.n_prompts
        ))
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| format!("Answers kept of all prompts: {}.", told.join("; ")).into())
}

fn first_up(text: &str) -> String {
    super::students::capital(text)
}
