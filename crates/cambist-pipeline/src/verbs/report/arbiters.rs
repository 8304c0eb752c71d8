//! Arbiters: how far the members of a panel agree, and how often a judge changes its mind with the order of the answers.

use std::collections::BTreeMap;

use cambist_core::{comparison::Agreements, ensemble::Disagreement, language::Language, statistics::mean};
use cambist_io::store::Artifact;
use serde::{Deserialize, de::DeserializeOwned};

use super::{material::Material, measure::label};
use crate::{
    error::PipelineError,
    plan::Job,
    report::{Block, Cell, Column, Direction, Origin, Row, Section, Style, Table, Words},
    verbs::tables::{COMPARISONS, DISAGREEMENT},
};

/// `disagreement.json` of a step.
#[derive(Deserialize)]
struct Panel {
    arbiter: String,
    languages: BTreeMap<Language, Disagreement>,
}

/// `comparisons.json` of a step.
#[derive(Deserialize)]
struct Judges {
    judges: BTreeMap<String, Judge>,
}

#[derive(Deserialize)]
struct Judge {
    languages: Agreements,
}

/// One section over all steps that a panel or a judge that compares scored; none where there is no such step.
pub(super) fn section(material: &Material<'_>) -> Result<Option<Section>, PipelineError> {
    let panels = found::<Panel>(material, DISAGREEMENT)?;
    let judges = found::<Judges>(material, COMPARISONS)?;
    let blocks: Vec<Block> = [agreement(&panels), orders(&judges)].into_iter().flatten().collect();
    Ok((!blocks.is_empty()).then(|| Section { title: "Arbiters".into(), blocks }))
}

/// The steps that have a file, with what is in it.
fn found<'m, T: DeserializeOwned>(material: &'m Material<'_>, file: &str) -> Result<Vec<(&'m Job, T)>, PipelineError> {
    let has_file = |(_, artifact): &&(&Job, Artifact)| artifact.manifest().files.contains_key(file);
    let read = |(job, artifact): &'m (&Job, Artifact)| {
        let told = serde_json::from_slice(&artifact.read(file)?)
            .map_err(|error| PipelineError::Internal(format!("`{file}` of `{}`: {error}", job.label)))?;
        Ok((*job, told))
    };
    material.made.iter().filter(has_file).map(read).collect()
}

fn origin<T>(of: &[(&Job, T)], n: u64, unit: &str) -> Origin {
    let artifacts = of.iter().map(|(job, _)| job.id.to_string()).collect();
    Origin { n: format!("{n} {unit}"), artifacts, ..Origin::default() }
}

/// How alike the members of panels order answers.
fn agreement(panels: &[(&Job, Panel)]) -> Option<Block> {
    let mut n_prompts = 0;
    let mut rows = Vec::new();
    for (job, panel) in panels {
        for (language, found) in &panel.languages {
            n_prompts += found.n_prompts as u64;
            let taus: Vec<f64> = found.tau.iter().map(|pair| pair.mean).collect();
            let or_missing = |value: Option<f64>, cell: fn(f64) -> Cell, why: &str| {
                value.map_or_else(|| Cell::Missing(why.into()), cell)
            };
            rows.push(Row::new(vec![
                Words::from(job.label.as_str()).into(),
                Words::from(panel.arbiter.as_str()).into(),
                label(language).into(),
                Cell::Count(found.n_prompts as u64),
                or_missing(mean(&taus), Cell::Number, "no two members order anything"),
                or_missing(found.mean_sd, Cell::Number, "no answer has two values"),
                or_missing(found.other_winner, Cell::Share, "nothing was scored by two"),
            ]));
        }
    }
    let table = Table {
        caption:
            "How far the members of each panel agree: Kendall’s tau-b between two members inside a prompt, the mean \
                  over prompts and pairs of members; the spread of their values for one answer, in standard deviations \
                  of their own scales; and the share of prompts without an answer that all of them find best."
                .into(),
        columns: vec![
            Column::words("Step"),
            Column::words("panel"),
            Column::words("Language"),
            Column::numbers("scored", "prompts", Style::plain(0)),
            Column::numbers("tau-b", "", Style::plain(2)).directed(Direction::HigherIsBetter),
            Column::numbers("spread", "sd", Style::plain(2)).directed(Direction::LowerIsBetter),
            Column::numbers("no common best", "%", Style::plain(1)).directed(Direction::LowerIsBetter),
        ],
        rows,
    };
    (!table.rows.is_empty()).then(|| Block::Table { table, origin: origin(panels, n_prompts, "prompts") })
}

/// How often the order in which answers are shown decides which is best.
fn orders(judges: &[(&Job, Judges)]) -> Option<Block> {
    let mut n_comparisons = 0;
    let mut rows = Vec::new();
    for (job, found) in judges {
        let by_language =
            found.judges.iter().flat_map(|(name, judge)| judge.languages.iter().map(move |of| (name, of)));
        for (name, (language, agreement)) in by_language {
            n_comparisons += agreement.n_comparisons;
            let share = |rate: Option<f64>, why: &str| rate.map_or_else(|| Cell::Missing(why.into()), Cell::Share);
            let is_once = agreement.n_once > 0;
            let why = if is_once { "one order was shown" } else { "nothing was compared" };
            rows.push(Row::new(vec![
                Words::from(job.label.as_str()).into(),
                Words::from(name.as_str()).into(),
                label(language).into(),
                Cell::Count(agreement.n_comparisons),
                Cell::Count(agreement.n_equal),
                share(agreement.flip_rate(), why),
                share(agreement.missing_rate(), "nothing was compared"),
            ]));
        }
    }
    let table = Table {
        caption: "Judges of pairs, and of all answers to a prompt at once: how many pairs or prompts they compared, \
                  how many needed no comparison because the answers are equal, how often two orders of the same \
                  answers prefer different ones (a pair is a tie then, a list has two best ones), and how often a \
                  verdict is missing."
            .into(),
        columns: vec![
            Column::words("Step"),
            Column::words("judge"),
            Column::words("Language"),
            Column::numbers("compared", "pairs or prompts", Style::plain(0)),
            Column::numbers("equal", "pairs or prompts", Style::plain(0)),
            Column::numbers("flipped", "%", Style::plain(1)).directed(Direction::LowerIsBetter),
            Column::numbers("missing", "%", Style::plain(1)).directed(Direction::LowerIsBetter),
        ],
        rows,
    };
    (!table.rows.is_empty()).then(|| Block::Table { table, origin: origin(judges, n_comparisons, "comparisons") })
}
