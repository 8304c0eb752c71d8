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
    lines.extend(choices(&file.frontier));
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

/// How each strategy chooses over all prompts, and where what it was told to expect does not come about.
fn choices(frontier: &Frontier) -> Vec<String> {
    let Some(all) = frontier.all.as_ref().and_then(|all| all.routers.as_ref()) else { return Vec::new() };
    let header = ["strategy", "regret", "of a lot %", "hit %", "Hit@2 %", "kappa", "over fixed"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let none = || "n/a".to_owned();
    let number = |of: Option<f64>, digits: usize| of.map_or_else(none, |value| format!("{value:.digits$}"));
    for own in &all.strategies {
        rows.push(vec![
            own.strategy.clone(),
            number(Some(own.regret.value), 3),
            number(own.relative_regret.map(|share| 100.0 * share.value), 1),
            number(Some(100.0 * own.hit.value), 1),
            number(own.hit_at.get(1).map(|hit| 100.0 * hit.value), 1),
            number(own.kappa.map(|kappa| kappa.value), 2),
            own.beats_fixed().map_or_else(none, |is_better| if is_better { "yes" } else { "no" }.to_owned()),
        ]);
    }
    let mut lines = aligned(&rows);
    let chance = 100.0 * all.chance_hit_at.first().copied().unwrap_or(0.0);
    lines.push(format!(
        "regret in spreads of rewards on {} prompts with two valid answers or more; a lot hits {chance:.1} %",
        all.n
    ));
    for (language, part) in &frontier.languages {
        let foretold = part.routers.iter().flat_map(|routers| &routers.foretold);
        let off: Vec<String> = foretold
            .filter(|own| own.is_off())
            .map(|own| format!("{} {:.0} %", own.teacher, 100.0 * own.inside.value))
            .collect();
        if !off.is_empty() {
            lines.push(format!(
                "warning: rewards in {language} fall where budgeted routing expects them less or more often than 80 %: {}",
                off.join(", ")
            ));
        }
    }
    lines
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
