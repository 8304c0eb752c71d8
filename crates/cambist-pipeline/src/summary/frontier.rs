//! The closing screen of a frontier: what each strategy keeps, and which teachers to keep.

use cambist_core::{
    advice::Advice,
    frontier::{Frontier, Part, Point},
    metrics::Estimate,
};
use cambist_io::store::Artifact;

use super::{aligned, signed};
use crate::{
    error::PipelineError,
    verbs::{FRONTIER, FrontierFile},
};

/// Returns the lines that close a `frontier` step.
pub(super) fn lines(artifact: &Artifact) -> Result<Vec<String>, PipelineError> {
    let file = read(artifact)?;
    let mut lines = strategies(&file.frontier);
    lines.push("gain kept of asking everybody over the best single teacher, 95 % interval; cross-fitted".to_owned());
    lines.push(String::new());
    lines.extend(advice_lines(&file.advice));
    Ok(lines)
}

/// Reads a `frontier` artifact.
pub(super) fn read(artifact: &Artifact) -> Result<FrontierFile, PipelineError> {
    serde_json::from_slice(&artifact.read(FRONTIER)?).map_err(|error| {
        let id = artifact.manifest().id.to_string();
        PipelineError::input(&id, error.to_string(), "run the step again after `cambist gc`")
    })
}

/// A table of the named strategies: a column for each language with what is kept and the share of answers it takes.
fn strategies(frontier: &Frontier) -> Vec<String> {
    let header = ["language", "strategy", "gain kept %", "answers %", "money %", "asked"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for (name, part) in parts(frontier) {
        for point in part.points.iter().filter(|point| !point.strategy.contains(':')) {
            rows.push(row(&name, point));
        }
    }
    aligned(&rows)
}

fn parts(frontier: &Frontier) -> Vec<(String, &Part)> {
    let languages = frontier.languages.iter().map(|(language, part)| (language.to_string(), part));
    let all = frontier.all.iter().filter(|_| frontier.languages.len() > 1);
    languages.chain(all.map(|part| ("all".to_owned(), part))).collect()
}

fn row(name: &str, point: &Point) -> Vec<String> {
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    vec![
        name.to_owned(),
        point.strategy.clone(),
        point.gain.as_ref().map_or_else(|| "no gain".to_owned(), gain),
        percent(point.calls_share),
        point.usd_share.map_or_else(|| "n/a".to_owned(), percent),
        format!("{:.2}", point.calls),
    ]
}

fn gain(gain: &Estimate) -> String {
    let value = signed(100.0 * gain.value, 1);
    let ends = gain.interval.map(|i| format!(" [{}, {}]", signed(100.0 * i.low, 1), signed(100.0 * i.high, 1)));
    value + &ends.unwrap_or_default()
}

/// Returns what to do about a pool, a line for each language.
pub fn advice_lines(advice: &Advice) -> Vec<String> {
    let header = ["language", "n", "keep", "gain kept %", "by lot %", "money %", "sure %"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let none = || "n/a".to_owned();
    let percent = |share: Option<f64>| share.map_or_else(none, |share| format!("{:.0}", 100.0 * share));
    for (language, own) in &advice.languages {
        let last = own.keep.len().checked_sub(1).and_then(|at| own.pools.get(at));
        rows.push(vec![
            language.to_string(),
            own.n.to_string(),
            own.keep.join(" "),
            last.and_then(|pool| pool.kept.as_ref()).map_or_else(|| "no gain".to_owned(), gain),
            percent(last.and_then(|pool| pool.kept_by_lot)),
            percent(last.and_then(|pool| pool.usd_share)),
            percent(own.certainty),
        ]);
    }
    let mut lines = if rows.len() > 1 { aligned(&rows) } else { Vec::new() };
    if !advice.drop.is_empty() {
        lines.push(format!("no language keeps: {}", advice.drop.iter().cloned().collect::<Vec<_>>().join(" ")));
    }
    for (language, n) in &advice.too_few {
        let needed = cambist_core::advice::MIN_PROMPTS;
        lines.push(format!("{language}: {n} prompts with a reward, advice needs {needed}"));
    }
    lines
}
