//! Data: prompts, what strategies kept of them, pairs and labels, and everything that was left out or failed.

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
    verbs::{file_of, tables::read_table},
};

/// Prompts, sets, pairs and labels by language.
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
            blocks.extend(selection.table.labels.as_ref().map(|labels| {
                let caption = "Labelled answers by language: how many are wanted and unwanted, and why the others have \
                               no label.";
                tally_table(labels, caption, &answers.artifact)
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
    // Beside the sets a manifest counts what was odd about prompts.
    let sets: Vec<&String> = manifest.counts.keys().filter(|set| manifest.files.contains_key(&file_of(set))).collect();
    let mut counts: BTreeMap<Language, Vec<u64>> = BTreeMap::new();
    let mut n_sources = Vec::new();
    for (at, set) in sets.iter().enumerate() {
        let prompts: Vec<Prompt> = read_table(artifact, &file_of(set))?;
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

/// How many prompts each strategy's set keeps, and why it is without the others.
fn kept(material: &Material<'_>, answers: &AnswerSet, selection: &Selection) -> Vec<Block> {
    let names = material.ordered(selection.table.strategies.keys(), material.baseline());
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for name in names {
        let Some(row) = selection.table.strategies.get(name) else { continue };
        let codes: BTreeSet<&String> = row.tally.counts().values().flat_map(BTreeMap::keys).collect();
        kept.push((name.to_owned(), &row.tally, "kept"));
        let others = codes.into_iter().filter(|code| *code != "kept");
        left_out.extend(others.map(|code| (format!("{name}: {}", code.replace('_', " ")), &row.tally, code.as_str())));
    }
    let n_prompts = answers.matrix.rows().len();
    let table = |caption: &str, columns: &[(String, &Tally, &str)]| {
        counts_table((caption, columns), format!("{n_prompts} prompts"), &answers.artifact)
    };
    let mut blocks = vec![table("Prompts in each strategy’s training set, by language.", &kept)];
    if !left_out.is_empty() {
        blocks.push(table("Prompts left out of each strategy’s training set, by language and reason.", &left_out));
    }
    blocks
}

fn tally_table(tally: &Tally, caption: &str, artifact: &str) -> Block {
    let codes: BTreeSet<&String> = tally.counts().values().flat_map(BTreeMap::keys).collect();
    let columns: Vec<(String, &Tally, &str)> =
        codes.into_iter().map(|code| (code.replace('_', " "), tally, code.as_str())).collect();
    counts_table((caption, &columns), format!("{} counted", tally.total()), artifact)
}

/// One column for each name, tally and code; one row for each language of any tally.
fn counts_table((caption, columns): (&str, &[(String, &Tally, &str)]), n: String, artifact: &str) -> Block {
    let languages: BTreeSet<&Language> = columns.iter().flat_map(|(_, tally, _)| tally.counts().keys()).collect();
    let count = |language: &Language, (_, tally, code): &(String, &Tally, &str)| tally.count(language, code) as u64;
    let row = |language: &&Language| {
        let cells = columns.iter().map(|column| Cell::Count(count(language, column)));
        Row::new(std::iter::once(label(language).into()).chain(cells).collect())
    };
    let mut rows: Vec<Row> = languages.iter().map(row).collect();
    let sums = columns.iter().map(|column| Cell::Count(languages.iter().map(|language| count(language, column)).sum()));
    rows.push(Row { cells: std::iter::once(Words::from("all languages").into()).chain(sums).collect(), summary: true });
    let of_columns = columns.iter().map(|(name, _, _)| Column::numbers(name.as_str(), "", Style::plain(0)));
    let table = Table {
        caption: caption.to_owned(),
        columns: std::iter::once(Column::words("Language")).chain(of_columns).collect(),
        rows,
    };
    Block::Table { table, origin: Origin { n, artifacts: vec![artifact.to_owned()], ..Origin::default() } }
}
