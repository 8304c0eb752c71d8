//! How far models that were trained on pairs prefer the chosen answers, by language.

use std::collections::BTreeMap;

use cambist_core::metrics::wilson;

use super::training::{Means, Trained};
use crate::report::{Block, Cell, Column, Direction, Estimate, Origin, Row, Style, Table, Words};

/// Steps whose rows are read together where nothing was held out, as a share of all.
const LAST_SHARE: f64 = 0.1;

/// What is shown of one language.
#[derive(Default)]
struct Rewards {
    n_rows: usize,
    accuracy: f64,
    margin: f64,
    /// Of the margin; none where it was not measured.
    standard_error: Option<f64>,
    chosen: f64,
    drift: Option<f64>,
}

/// One table over all models that were trained on pairs; none without any.
pub(super) fn table(trained: &[Trained<'_>]) -> Option<Block> {
    let measured: Vec<(&Trained<'_>, bool, BTreeMap<String, Rewards>)> = trained
        .iter()
        .filter_map(|one| {
            let held_out = of_held_out(one);
            let is_held_out = held_out.is_some();
            let rewards = held_out.or_else(|| of_last_steps(one))?;
            Some((one, is_held_out, rewards))
        })
        .collect();
    if measured.is_empty() {
        return None;
    }
    let rows = measured.iter().flat_map(|(one, is_held_out, languages)| {
        languages.iter().map(move |(language, rewards)| row(one, (language, rewards), *is_held_out))
    });
    let table = Table {
        caption: "Preference training by language: how often the chosen answer's reward is above the rejected one's \
                  (ties are misses), and by how much. Rows that were held out are measured at the step that was kept; \
                  where none were, the rows of the last tenth of the steps are read, each before it was learned from."
            .into(),
        columns: columns(),
        rows: rows.collect(),
    };
    let origin = Origin {
        n: "one row for each model and language; pairs stand in the table".into(),
        artifacts: measured.iter().map(|(one, _, _)| one.job.id.to_string()).collect(),
        ..Origin::default()
    };
    Some(Block::Table { table, origin })
}

/// The measurement on held-out rows at the step whose weights were kept.
fn of_held_out(one: &Trained<'_>) -> Option<BTreeMap<String, Rewards>> {
    let counts = &one.artifact.manifest().counts;
    let kept = counts.get("kept_step").or_else(|| counts.get("steps")).copied().unwrap_or(u64::MAX);
    let mut measured = one.log.iter().filter(|line| line.step <= kept).filter_map(|line| line.held_out.as_ref());
    let last = measured.rfind(|held_out| !held_out.means.metrics_per_language.is_empty())?;
    let rewards = |language: &String| {
        let error = last.standard_errors_per_language.get(language).and_then(|own| own.get("rewards/margins").copied());
        Rewards { standard_error: error.flatten(), ..of_language(&last.means, language) }
    };
    Some(last.means.metrics_per_language.keys().map(|language| (language.clone(), rewards(language))).collect())
}

/// Means over the last steps, each by its rows.
fn of_last_steps(one: &Trained<'_>) -> Option<BTreeMap<String, Rewards>> {
    let n_steps = one.log.iter().map(|line| line.step).max()?;
    let first = n_steps - (n_steps as f64 * LAST_SHARE) as u64;
    let mut languages = BTreeMap::<String, Rewards>::new();
    for line in one.log.iter().filter(|line| line.step >= first && line.loss.is_some()) {
        for language in line.means.metrics_per_language.keys() {
            let (sums, new) = (languages.entry(language.clone()).or_default(), of_language(&line.means, language));
            let n_rows = (sums.n_rows + new.n_rows) as f64;
            let mean = |old: f64, more: f64| (old * sums.n_rows as f64 + more * new.n_rows as f64) / n_rows;
            *sums = Rewards {
                n_rows: sums.n_rows + new.n_rows,
                accuracy: mean(sums.accuracy, new.accuracy),
                margin: mean(sums.margin, new.margin),
                standard_error: None,
                chosen: mean(sums.chosen, new.chosen),
                drift: new.drift.map(|drift| mean(sums.drift.unwrap_or(0.0), drift)),
            };
        }
    }
    (!languages.is_empty()).then_some(languages)
}

fn of_language(means: &Means, language: &str) -> Rewards {
    let metric = |name: &str| *means.metrics_per_language.get(language)?.get(name)?;
    let number = |name: &str| metric(name).unwrap_or(f64::NAN);
    Rewards {
        n_rows: means.rows_per_language.get(language).copied().unwrap_or(0),
        accuracy: number("rewards/accuracies"),
        margin: number("rewards/margins"),
        standard_error: None,
        chosen: number("rewards/chosen"),
        drift: metric("logps/chosen_drift"),
    }
}

fn columns() -> Vec<Column> {
    let better = Direction::HigherIsBetter;
    vec![
        Column::words("Model"),
        Column::words("language"),
        Column::words("pairs"),
        Column::numbers("n", "", Style::plain(0)),
        Column::numbers("reward accuracy", "%", Style::plain(1)).directed(better),
        Column::numbers("margin", "reward", Style::plain(3)).directed(better),
        Column::numbers("chosen", "reward", Style::signed(3)),
        Column::numbers("chosen drift", "nats per token", Style::signed(3)),
    ]
}

fn row(one: &Trained<'_>, (language, rewards): (&str, &Rewards), is_held_out: bool) -> Row {
    let n = rewards.n_rows as u64;
    let n_right = (rewards.accuracy * rewards.n_rows as f64).round().max(0.0) as usize;
    let share = wilson(n_right, rewards.n_rows).map(|ends| [100.0 * ends.low, 100.0 * ends.high]);
    let accuracy = Estimate { value: 100.0 * rewards.accuracy, interval: share, n };
    let ends = rewards.standard_error.map(|error| [rewards.margin - 1.96 * error, rewards.margin + 1.96 * error]);
    let margin = Estimate { value: rewards.margin, interval: ends, n };
    Row::new(vec![
        Words::from(one.job.label.as_str()).into(),
        Words::from(language).into(),
        Words::from(if is_held_out { "held out" } else { "learned from" }).into(),
        Cell::Count(n),
        Cell::Estimate(accuracy),
        Cell::Estimate(margin),
        Cell::Number(rewards.chosen),
        rewards.drift.map_or(Cell::Missing("no reference model".into()), Cell::Number),
    ])
}
