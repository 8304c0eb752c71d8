//! The closing screen: whether arbitrage paid, by how much, in which languages.

mod frontier;
mod search;

pub use frontier::advice_lines;

use std::{collections::BTreeMap, path::Path};

use cambist_core::{
    advice::Advice,
    language::Language,
    metrics::{Estimate, PerLanguage, WinRate},
};
use cambist_io::{
    ledger::{CallHistory, Ledger, Moments},
    store::{Artifact, DEFAULT_FOLDER, StoreView},
};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use crate::{
    error::PipelineError,
    recipe::{Action, Arbiter, Recipe, params::RouterParams},
    report::Style,
    run::Finished,
    verbs::{Results, VariantResult, read_search},
};

/// Returns the results of every `evaluate` step as JSON, in the order of the steps.
///
/// # Errors
/// When an artifact cannot be read.
pub fn results_json(finished: &Finished) -> Result<Vec<Value>, PipelineError> {
    let parse = |artifact: &Artifact| {
        serde_json::from_slice(&artifact.read("results.json")?).map_err(|e| PipelineError::Internal(e.to_string()))
    };
    finished.iter().filter(|(_, artifact)| artifact.manifest().kind == "results").map(|(_, a)| parse(a)).collect()
}

/// Returns what every `generate` step whose router searches promised and found, as JSON: its name under `step`, and what its
/// artifact has in `search.json`.
///
/// # Errors
/// When an artifact cannot be read.
pub fn searches_json(finished: &Finished) -> Result<Vec<Value>, PipelineError> {
    let mut told = Vec::new();
    for (label, artifact) in finished.iter().filter(|(_, artifact)| artifact.manifest().verb == "generate") {
        told.extend(read_search(artifact)?.map(|file| json!({ "step": label, "search": file })));
    }
    Ok(told)
}

/// Returns the lines that close a run: a verdict and a table for each `evaluate` step, what each searching step promised
/// and found, and the table of each `frontier` step.
///
/// # Errors
/// When an artifact cannot be read.
pub fn closing_lines(recipe: &Recipe, finished: &Finished) -> Result<Vec<String>, PipelineError> {
    let mut lines = Vec::new();
    for (_, artifact) in finished.iter().filter(|(_, artifact)| artifact.manifest().kind == "results") {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(verdict(recipe, &read_results(artifact)?));
    }
    for (label, artifact) in finished.iter().filter(|(_, artifact)| artifact.manifest().verb == "generate") {
        lines.extend(read_search(artifact)?.map(|file| search::lines(label, &file)).unwrap_or_default());
    }
    for (_, artifact) in finished.iter().filter(|(_, artifact)| artifact.manifest().kind == "frontier") {
        lines.extend(frontier::lines(artifact)?);
    }
    Ok(lines)
}

/// Returns the advice of every `frontier` step with the step's name, in the order of the steps.
///
/// # Errors
/// When an artifact cannot be read.
pub fn advice(finished: &Finished) -> Result<Vec<(String, Advice)>, PipelineError> {
    let frontiers = finished.iter().filter(|(_, artifact)| artifact.manifest().kind == "frontier");
    frontiers.map(|(step, artifact)| Ok((step.clone(), frontier::read(artifact)?.advice))).collect()
}

/// Returns what calls to servers came to, a table with a line for each teacher, and what failed by kind; nothing where
/// no server was asked.
///
/// Money, failures and seconds of a teacher are those of all runs in the store, as its ledger has them; kinds of failure
/// are those that this run's artifacts have for good.
///
/// # Errors
/// When the ledger cannot be read.
pub fn call_lines(recipe: &Recipe, finished: &Finished, store: &Path) -> Result<Vec<String>, PipelineError> {
    let served = |teacher: &str| recipe.pool.iter().any(|member| member.id == teacher && member.endpoint.is_some());
    let path = StoreView::open(store)?.ledger_path();
    if !recipe.pool.iter().any(|member| member.endpoint.is_some()) || !path.exists() {
        return Ok(Vec::new());
    }
    let history = Ledger::open_read_only(&path)?.call_history()?;
    let mut teachers: BTreeMap<&str, Vec<&CallHistory>> = BTreeMap::new();
    for calls in history.iter().filter(|calls| served(&calls.teacher)) {
        teachers.entry(&calls.teacher).or_default().push(calls);
    }
    let header = ["teacher", "answered", "failed", "USD", "unknown cost", "mean s"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> =
        std::iter::once(header).chain(teachers.iter().map(|(name, calls)| call_row(name, calls))).collect();
    if rows.len() == 1 {
        return Ok(Vec::new());
    }
    let mut lines = aligned(&rows);
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, artifact) in finished.iter().filter(|(_, artifact)| artifact.manifest().verb == "generate") {
        for (kind, n_failed) in &artifact.manifest().failures {
            *kinds.entry(kind).or_default() += n_failed;
        }
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, n_failed)| format!("{n_failed} {kind}")).collect();
    if !kinds.is_empty() {
        lines.push(format!("failures by kind: {}", kinds.join(", ")));
    }
    Ok(lines)
}

fn call_row(name: &str, calls: &[&CallHistory]) -> Vec<String> {
    let sum = |of: fn(&CallHistory) -> u64| calls.iter().map(|calls| of(calls)).sum::<u64>();
    let usd: f64 = calls.iter().map(|calls| calls.cost_usd.sum + calls.failed_usd).sum();
    let seconds = calls.iter().fold(Moments::default(), |sum, calls| sum.plus(calls.seconds)).mean();
    vec![
        name.to_owned(),
        sum(|calls| calls.n_answered).to_string(),
        sum(|calls| calls.n_failed).to_string(),
        format!("{usd:.4}"),
        sum(|calls| calls.costs_unknown).to_string(),
        seconds.map_or_else(|| "n/a".to_owned(), |seconds| format!("{seconds:.2}")),
    ]
}

/// Returns where to look next, a line each: the folder of the run, the report, and what leads from a result back to its
/// origin. `store` is the store's folder as the user wrote it.
pub fn next_steps(recipe: &Recipe, finished: &Finished, store: &Path) -> Vec<String> {
    let run = store.join("runs").join(&recipe.name);
    let option = if store == Path::new(DEFAULT_FOLDER) { String::new() } else { format!(" --store {}", quoted(store)) };
    let of_kind = |kind: &'static str| finished.iter().filter(move |(_, made)| made.manifest().kind == kind);
    let mut lines = vec![format!("artifacts: {}", run.display())];
    lines.extend(
        of_kind("report").map(|(label, _)| format!("report: {}", run.join(label).join("report.html").display())),
    );
    let results: Vec<&String> = of_kind("results").map(|(label, _)| label).collect();
    let last = finished.last().map(|(label, _)| label).filter(|_| results.is_empty());
    lines.extend(results.iter().map(|label| format!("why: cambist why {}.{label}{option}", recipe.name)));
    lines.extend(last.map(|label| format!("look: cambist show {}.{label}{option}", recipe.name)));
    lines
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+=:,@".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Reads the results of an `evaluate` artifact.
pub(crate) fn read_results(artifact: &Artifact) -> Result<Results, PipelineError> {
    serde_json::from_slice(&artifact.read("results.json")?).map_err(|error| {
        PipelineError::input(
            &artifact.manifest().id.to_string(),
            error.to_string(),
            "run the step again after `cambist gc`",
        )
    })
}

/// The names of the strategies that ask everybody and keep the best: reward-based routing.
pub(crate) fn reward_based(recipe: &Recipe) -> Vec<&str> {
    let strategies = recipe.steps.iter().filter_map(|step| match &step.action {
        Action::Select(params) => Some(params.strategies.iter()),
        _ => None,
    });
    strategies.flatten().filter(|(_, s)| s.router == RouterParams::All).map(|(name, _)| name.as_str()).collect()
}

fn verdict(recipe: &Recipe, results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    for verdict in verdicts(recipe, results, |language| language.to_string()) {
        lines.push(verdict.headline);
        lines.extend(verdict.by_language);
        lines.push(format!("({})", verdict.basis));
    }
    lines.push(String::new());
    lines.extend(table(recipe, results));
    lines.push(String::new());
    lines
}

/// Whether one reward-based strategy's student beat the baseline's, in sentences without a full stop.
pub(crate) struct Verdict {
    /// Overall: `the student of ... beat ...: wins minus losses +12.3 [8.1, 16.4] points`.
    pub headline: String,
    /// Where the difference is clear after Holm's correction and where not; none with one language.
    pub by_language: Option<String>,
    /// What the numbers rest on.
    pub basis: String,
}

/// Says for every reward-based strategy whether its student beat the baseline's; nothing without a comparison.
pub(crate) fn verdicts(recipe: &Recipe, results: &Results, name_of: impl Fn(&Language) -> String) -> Vec<Verdict> {
    let of = |name: &str| {
        let versus = results.variants.get(name)?.versus.as_ref()?;
        Some(verdict_of(
            (name, results.against.as_deref()?),
            versus.macro_mean.as_ref()?,
            by_language(versus, &name_of),
        ))
    };
    reward_based(recipe).into_iter().filter_map(of).collect()
}

fn verdict_of((name, against): (&str, &str), rate: &WinRate, by_language: Option<String>) -> Verdict {
    let difference = &rate.difference_points;
    let verb = match difference.interval {
        Some(interval) if interval.low > 0.0 => "beat",
        Some(interval) if interval.high < 0.0 => "lost to",
        _ => "did not clearly differ from",
    };
    let relative = rate.relative_percent.map(|r| format!(", {} % relative", signed(r.value, 0))).unwrap_or_default();
    let outcome = format!("wins minus losses {} points{relative}", estimate(difference));
    Verdict {
        headline: format!("the student of `{name}` {verb} the student of `{against}`: {outcome}"),
        by_language,
        basis: format!(
            "95 % interval over {} sources; {} prompts, {} seeds, mean over languages",
            rate.n_clusters, rate.n_prompts, rate.n_seeds
        ),
    }
}

/// Below this p-value, corrected for the number of languages, a difference is called clear.
pub(crate) const CLEAR: f64 = 0.05;

fn by_language(versus: &PerLanguage<WinRate>, name_of: impl Fn(&Language) -> String) -> Option<String> {
    let mut groups: [Vec<String>; 3] = Default::default();
    for (language, rate) in &versus.languages {
        let is_clear = rate.p_holm.is_some_and(|p| p < CLEAR);
        let group = match (is_clear, rate.difference_points.value > 0.0) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        };
        groups[group].push(name_of(language));
    }
    let names = ["clearly better in", "clearly worse in", "no clear difference in"];
    let told = names.iter().zip(&groups).filter(|(_, group)| !group.is_empty());
    let told: Vec<String> = told.map(|(name, group)| format!("{name} {}", group.join(", "))).collect();
    let n_languages = versus.languages.len();
    (n_languages > 1).then(|| format!("{} (Holm-corrected over {n_languages} languages, 5 % level)", told.join("; ")))
}

/// With a true minus, and no sign on what rounds to zero.
fn signed(value: f64, digits: usize) -> String {
    Style::signed(digits).write(value)
}

fn estimate(of: &Estimate) -> String {
    match of.interval {
        Some(interval) => {
            format!("{} [{}, {}]", signed(of.value, 1), signed(interval.low, 1), signed(interval.high, 1))
        }
        None => format!("{} (no interval)", signed(of.value, 1)),
    }
}

/// What the arbiter's values are multiplied with on the screen, and what the table then shows.
fn unit(recipe: &Recipe, results: &Results) -> (f64, &'static str) {
    let is_exact = |arbiter: &Arbiter| arbiter.id == results.arbiter && arbiter.check.is_some();
    if recipe.arbiters.iter().any(is_exact) { (100.0, "accuracy in percent") } else { (1.0, "mean score") }
}

/// Mean grade by language and variant, with the interval of the difference to the baseline beside it.
fn table(recipe: &Recipe, results: &Results) -> Vec<String> {
    let (factor, noun) = unit(recipe, results);
    let languages: Vec<String> = results
        .variants
        .values()
        .next()
        .map(|variant| variant.accuracy.languages.keys().map(|l| l.as_str().to_owned()).collect())
        .unwrap_or_default();
    let title = |name: &String| if name.is_empty() { "all models".to_owned() } else { name.clone() };
    let header = ["language".to_owned(), "n".to_owned()].into_iter().chain(results.variants.keys().map(title));
    let mut rows: Vec<Vec<String>> = vec![header.collect()];
    for language in languages.iter().map(String::as_str).chain(["all"]) {
        let n_prompts = results.variants.values().next().and_then(|v| accuracy(v, language)).map_or(0, |a| a.n_prompts);
        let cells = results.variants.values().map(|variant| cell(variant, language, factor));
        rows.push([language.to_owned(), n_prompts.to_string()].into_iter().chain(cells).collect());
    }
    let mut lines = aligned(&rows);
    lines.push(format!("{noun}; in brackets wins minus losses against the baseline in points, 95 % interval"));
    lines
}

/// Columns as wide as their widest cell, wide letters counted twice, the first to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.width()).max();
    let widths: Vec<usize> = (0..n_columns).map(|at| width(at).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let padded = cells.map(|(at, (cell, &width))| {
            let space = " ".repeat(width.saturating_sub(cell.width()));
            if at == 0 { format!("{cell}{space}") } else { format!("{space}{cell}") }
        });
        padded.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

fn accuracy<'a>(variant: &'a VariantResult, language: &str) -> Option<&'a cambist_core::metrics::Accuracy> {
    let of_language = variant.accuracy.languages.iter().find(|(tag, _)| tag.as_str() == language).map(|(_, a)| a);
    if language == "all" { variant.accuracy.macro_mean.as_ref() } else { of_language }
}

fn cell(variant: &VariantResult, language: &str, factor: f64) -> String {
    let Some(accuracy) = accuracy(variant, language) else { return "n/a".to_owned() };
    let mean = format!("{:.1}", factor * accuracy.mean.value);
    let rate = variant.versus.as_ref().and_then(|versus| {
        let of_language = versus.languages.iter().find(|(tag, _)| tag.as_str() == language).map(|(_, rate)| rate);
        if language == "all" { versus.macro_mean.as_ref() } else { of_language }
    });
    match rate.and_then(|rate| rate.difference_points.interval) {
        Some(interval) => format!("{mean} [{}, {}]", signed(interval.low, 1), signed(interval.high, 1)),
        None => mean,
    }
}
