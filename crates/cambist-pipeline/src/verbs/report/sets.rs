//! Data: prompts, what strategies kept of them, pairs, and everything that was left out or failed.

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::{language::Language, prompt::Prompt, tally::Tally};
use cambist_io::store::Artifact;

use super::{
    material::{AnswerSet, Material, Selection},
    measure::label,
};
use crate::{
    error::PipelineError,
    plan::Job,
    report::{Block, Cell, Column, Direction, Origin, Row, Section, Style, Table, Words},
    verbs::tables::read_table,
};

/// Prompts, sets and pairs by language.
pub(super) fn section(material: &Material<'_>) -> Result<Option<Section>, PipelineError> {
    let mut blocks = Vec::new();
    for (job, artifact) in material.of_verb("prompts") {
        blocks.push(prompts(job, artifact)?);
    }
    for answers in &material.answers {
        if let Some(selection) = &answers.selection {
            blocks.extend(kept(material, answers, selection));
            blocks.extend(selection.table.pairs.as_ref().map(|pairs| {
                let caption = "Preference pairs by language: how many prompts gave pairs, and why the others did not.";
                tally_table(pairs, caption, &answers.artifact)
            }));
        }
    }
    Ok((!blocks.is_empty()).then(|| Section { title: "Data".into(), blocks }))
}

/// Everything that any step counted as failed or left out.
pub(super) fn failures(material: &Material<'_>) -> Section {
    let rows = material.made.iter().flat_map(|(job, artifact)| {
        let row = move |(what, n): (&String, &u64)| {
            Row::new(vec![
                Words::from(job.label.as_str()).into(),
                Words::from(reason(what)).into(),
                Cell::Count(*n),
                Cell::Id(job.id.to_string()),
            ])
        };
        artifact.manifest().failures.iter().map(row)
    });
    let rows: Vec<Row> = rows.collect();
    let lead = if rows.is_empty() {
        "No step reported a failure or left anything out."
    } else {
        "What steps could not do or left out on purpose, as their manifests count it. Nothing here is part of any mean \
         above."
    };
    let table = Table {
        caption: "What failed or was left out, by step and reason.".into(),
        columns: vec![
            Column::words("Step"),
            Column::words("what"),
            Column::numbers("rows", "", Style::plain(0)).directed(Direction::LowerIsBetter),
            Column::words("artifact"),
        ],
        rows,
    };
    let origin = Origin { n: format!("{} artifacts", material.made.len()), ..Origin::default() };
    let blocks = vec![Block::Paragraph(lead.into()), Block::Table { table, origin }];
    Section { title: "Failures and exclusions".into(), blocks }
}

/// A code of a manifest with its words beside it.
fn reason(code: &str) -> String {
    let (whose, what) = code.rsplit_once(": ").unwrap_or(("", code));
    let words = match what {
        "unaligned" => "another strategy took no answer, so no set has the prompt",
        "none_eligible" => "no teacher that the strategy may ask covers the language",
        "none_valid" => "all answers that came were stopped by a gate or had no reward",
        "duplicate" => "the same prompt as another",
        "no_language" => "the language could not be told",
        "other_language" => "a language that the recipe does not keep",
        _ => return code.to_owned(),
    };
    if whose.is_empty() { words.to_owned() } else { format!("{whose}: {words}") }
}

fn prompts(job: &Job, artifact: &Artifact) -> Result<Block, PipelineError> {
    let manifest = artifact.manifest();
    let sets: Vec<&String> = manifest.counts.keys().collect();
    let mut counts: BTreeMap<Language, Vec<u64>> = BTreeMap::new();
    let mut n_sources = Vec::new();
    for (at, set) in sets.iter().enumerate() {
        let prompts: Vec<Prompt> = read_table(artifact, &format!("{set}.parquet"))?;
        n_sources.push(prompts.iter().map(|prompt| &prompt.source_id).collect::<BTreeSet<_>>().len() as u64);
        for prompt in &prompts {
            counts.entry(prompt.language.clone()).or_insert_with(|| vec![0; sets.len()])[at] += 1;
        }
    }
    let row = |(language, each): (&Language, &Vec<u64>)| {
        Row::new(std::iter::once(label(language).into()).chain(each.iter().map(|n| Cell::Count(*n))).collect())
    };
    let summary = |name: &str, each: &mut dyn Iterator<Item = u64>| Row {
        cells: std::iter::once(Words::from(name).into()).chain(each.map(Cell::Count)).collect(),
        summary: true,
    };
    let mut rows: Vec<Row> = counts.iter().map(row).collect();
    rows.push(summary("all languages", &mut sets.iter().filter_map(|set| manifest.counts.get(*set).copied())));
    rows.push(summary("different sources", &mut n_sources.iter().copied()));
    let n_dropped: u64 = manifest.failures.values().sum();
    let table = Table {
        caption: format!(
            "Prompts by language and split; no source stands in two splits. Left out before splitting: {n_dropped}."
        ),
        columns: std::iter::once(Column::words("Language"))
            .chain(sets.iter().map(|set| Column::numbers(set.as_str(), "prompts", Style::plain(0))))
            .collect(),
        rows,
    };
    let origin = Origin { artifacts: vec![job.id.to_string()], ..Origin::default() };
    Ok(Block::Table { table, origin })
}

/// Per strategy what became of its prompts.
fn kept(material: &Material<'_>, answers: &AnswerSet, selection: &Selection) -> Vec<Block> {
    let names = material.ordered(selection.table.strategies.keys(), material.baseline());
    let of = |name: &str| {
        let row = selection.table.strategies.get(name)?;
        let caption = format!("What became of the prompts under {name}, by language.");
        Some(tally_table(&row.tally, &caption, &answers.artifact))
    };
    names.into_iter().filter_map(of).collect()
}

fn tally_table(tally: &Tally, caption: &str, artifact: &str) -> Block {
    let codes: BTreeSet<&String> = tally.counts().values().flat_map(BTreeMap::keys).collect();
    let row = |language: &Language| {
        let cells = codes.iter().map(|code| Cell::Count(tally.count(language, code) as u64));
        Row::new(std::iter::once(label(language).into()).chain(cells).collect())
    };
    let table = Table {
        caption: caption.to_owned(),
        columns: std::iter::once(Column::words("Language"))
            .chain(codes.iter().map(|code| Column::numbers(code.replace('_', " "), "", Style::plain(0))))
            .collect(),
        rows: tally.counts().keys().map(row).collect(),
    };
    let origin =
        Origin { n: format!("{} prompts", tally.total()), artifacts: vec![artifact.to_owned()], ..Origin::default() };
    Block::Table { table, origin }
}
