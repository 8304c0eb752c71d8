//! Budgeted runs: what calibration promised in each language, and whether it still holds.

use cambist_core::{
    drift::{Drift, Quantity, Shift},
    language::Language,
    search::{Prices, Promise},
};

use super::{
    material::Material,
    measure::{label, to_estimate},
};
use crate::{
    error::PipelineError,
    plan::Job,
    report::{Block, Cell, Column, Direction, Origin, Row, Section, Style, Table, Words},
    verbs::{SearchFile, read_search},
};

/// One section over all steps whose router searches; none without any.
pub(super) fn section(material: &Material<'_>) -> Result<Option<Section>, PipelineError> {
    let mut blocks = Vec::new();
    for (job, artifact) in material.of_verb("generate") {
        if let Some(file) = read_search(artifact)? {
            blocks.extend(blocks_of(job, &file));
        }
    }
    Ok((!blocks.is_empty()).then(|| Section { title: "Budgeted runs".into(), blocks }))
}

fn blocks_of(job: &Job, file: &SearchFile) -> Vec<Block> {
    let mut blocks = vec![Block::Heading(job.label.clone()), prices(job, &file.prices)];
    let Some(drift) = &file.drift else {
        let text = "Nothing was audited, so that nobody knows whether calibration still holds.";
        blocks.push(Block::Paragraph(text.into()));
        return blocks;
    };
    blocks.push(Block::Paragraph(audit(drift).into()));
    let warnings = file.warnings.iter().map(|warning| format!("Warning: {warning}."));
    blocks.extend(warnings.map(|warning| Block::Paragraph(warning.into())));
    blocks.extend((!drift.shifts.is_empty()).then(|| shifts(job, drift)));
    blocks
}

/// The price of reward of each language, with what calibration promises at it.
pub(super) fn prices(job: &Job, prices: &Prices) -> Block {
    let row = |name: Words, lambda: f64, promise: Option<&Promise>| {
        let none = || Cell::Missing("no calibration prompt was replayed".into());
        let number = |of: Option<f64>| of.map_or_else(none, Cell::Number);
        let gain = promise.map(|promise| promise.gain.map(|gain| 100.0 * gain));
        Row::new(vec![
            name.into(),
            Cell::Count(promise.map_or(0, |promise| promise.n as u64)),
            Cell::Number(lambda),
            match gain {
                Some(None) => Cell::Missing("asking everybody gains nothing here".into()),
                other => number(other.flatten()),
            },
            number(promise.map(|promise| 100.0 * promise.cost_share)),
            number(promise.map(|promise| promise.regret)),
        ])
    };
    let each = prices.languages.iter().map(|(language, own)| row(label(language), own.lambda, own.promise.as_ref()));
    let all = row("all languages".into(), prices.lambda, prices.promise.as_ref());
    let table = Table {
        caption:
            "The price of reward in each language: how much reward, in spreads, a unit of cost has to bring for a \
                  teacher to be asked; that of all languages holds where there was no calibration. Beside it what \
                  calibration promises, on prompts whose sources the search had forgotten: the share kept of the gain \
                  of asking everybody, its cost as a share of asking everybody, and regret in spreads."
                .into(),
        columns: vec![
            Column::words("Language"),
            Column::numbers("n", "prompts", Style::plain(0)),
            Column::numbers("price of reward", "", Style::plain(3)),
            Column::numbers("gain promised", "%", Style::plain(1)).directed(Direction::HigherIsBetter),
            Column::numbers("cost", "%", Style::plain(1)).directed(Direction::LowerIsBetter),
            Column::numbers("regret promised", "spreads", Style::plain(3)).directed(Direction::LowerIsBetter),
        ],
        rows: each.chain([all]).collect(),
    };
    Block::Table { table, origin: origin(job, prices.promise.map_or(0, |promise| promise.n), "calibration prompts") }
}

fn origin(job: &Job, n: usize, what: &str) -> Origin {
    Origin { n: format!("{n} {what}"), artifacts: vec![job.id.to_string()], ..Origin::default() }
}

fn audit(drift: &Drift) -> String {
    let Drift { n_prompts, n_audits, audit, .. } = drift;
    let Some(audit) = audit else {
        return format!("Everybody was asked about {n_audits} of {n_prompts} prompts by lot: too few to tell regret.");
    };
    let estimate = to_estimate(&audit.regret, 1.0, *n_audits);
    let ends = estimate.interval.map(|ends| format!(" {}", Style::plain(3).write_interval(ends))).unwrap_or_default();
    let (found, promised) = (Style::plain(3).write(estimate.value), Style::plain(3).write(audit.promised));
    let verdict = if audit.is_alarming { "Calibration no longer holds." } else { "That is no alarm." };
    format!(
        "Everybody was asked about {n_audits} of {n_prompts} prompts by lot. On those the search gives up {found}{ends} \
         spreads of reward (95 % bootstrap, clustered by source), and calibration promised {promised}. {verdict}"
    )
}

fn shifts(job: &Job, drift: &Drift) -> Block {
    let row = |shift: &Shift| {
        let Shift { teacher, language, quantity, n_before, n_now, effective, before, now, p_holm, is_alarming } = shift;
        let (name, factor) = match quantity {
            Quantity::Reward => ("reward, spreads", 1.0),
            Quantity::Tokens => ("length, tokens", 1.0),
            Quantity::Failures => ("failures, %", 100.0),
        };
        Row::new(vec![
            named(language),
            Words::from(teacher.as_str()).into(),
            Words::from(name).into(),
            Cell::Count(*n_before as u64),
            Cell::Count(*n_now as u64),
            Cell::Number(*effective),
            Cell::Number(factor * before),
            Cell::Number(factor * now),
            Cell::Number(*p_holm),
            Words::from(if *is_alarming { "moved" } else { "" }).into(),
        ])
    };
    let count = |title: &str| Column::numbers(title, "answers", Style::plain(0));
    let table = Table {
        caption:
            "Rewards, lengths and failures of each teacher in each language since calibration. Answers of the run \
                  weigh one over the probability with which they were asked for; effective is the number of equally \
                  likely ones that would tell as much. Lengths are geometric means. A quantity moved where p, after \
                  Holm’s correction over the table, is below 0.01; quantities that hang on a few answers are left out."
                .into(),
        columns: vec![
            Column::words("Language"),
            Column::words("teacher"),
            Column::words("what"),
            count("before"),
            count("now"),
            count("effective"),
            Column::numbers("before", "", Style::plain(2)),
            Column::numbers("now", "", Style::plain(2)),
            Column::numbers("p", "Holm", Style::plain(4)),
            Column::words("alarm"),
        ],
        rows: drift.shifts.iter().map(row).collect(),
    };
    Block::Table { table, origin: origin(job, drift.n_prompts, "prompts of the run") }
}

fn named(language: &Language) -> Cell {
    label(language).into()
}
