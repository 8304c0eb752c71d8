//! Fusions: how many answers were fused in each language, what was kept in place of the others, and why.

use std::collections::BTreeMap;

use cambist_core::{
    completion::{Completion, FusionOutcome},
    language::Language,
};
use cambist_io::store::Artifact;

use super::{material::Material, measure::label};
use crate::{
    error::PipelineError,
    plan::Job,
    report::{Block, Cell, Column, Direction, Origin, Row, Section, Style, Table, Words, number::count},
    verbs::tables::{COMPLETIONS, read_table},
};

/// One section over all `fuse` steps; none without any.
pub(super) fn section(material: &Material<'_>) -> Result<Option<Section>, PipelineError> {
    let mut blocks = Vec::new();
    for (job, artifact) in material.of_verb("fuse") {
        blocks.push(Block::Paragraph(lead(job, artifact).into()));
        blocks.push(by_language(job, artifact)?);
    }
    Ok((!blocks.is_empty()).then(|| Section { title: "Fusion".into(), blocks }))
}

/// How often the fused answer was worth less than the best of those that it was made of.
fn lead(job: &Job, artifact: &Artifact) -> String {
    let of = |what: &str| artifact.manifest().counts.get(what).copied().unwrap_or(0);
    let (n_compared, n_below) = (of("fused and compared"), of("fused below the best candidate"));
    let begin = format!(
        "`{}` lets a fusor make one answer of all valid ones (FusioN, arXiv 2510.00931); where it was not asked, or gave \
         none that could be read and passed the gates, the best candidate is kept.",
        job.label
    );
    if n_compared == 0 {
        return begin;
    }
    let percent = 100.0 * n_below as f64 / n_compared as f64;
    format!(
        "{begin} The arbiter gave {} of {} fused answers ({percent:.1} %) a lower reward than the best candidate.",
        count(n_below),
        count(n_compared)
    )
}

/// What became of the prompts of one language: fused, only candidate, best of its task, fallback, better candidate,
/// nothing, questions.
type Counts = [u64; 7];

fn by_language(job: &Job, artifact: &Artifact) -> Result<Block, PipelineError> {
    let completions: Vec<Completion> = read_table(artifact, COMPLETIONS)?;
    let mut languages: BTreeMap<&Language, Counts> = BTreeMap::new();
    for completion in &completions {
        let Some(fusion) = completion.origin.as_ref().and_then(|origin| origin.fusion.as_ref()) else { continue };
        let counts = languages.entry(&completion.language).or_default();
        let place = match (fusion.kept, fusion.fallback) {
            (FusionOutcome::Fused, _) => 0,
            (FusionOutcome::Only, _) => 1,
            (FusionOutcome::Best, false) => 2,
            (FusionOutcome::Best, true) => 3,
            (FusionOutcome::Better, _) => 4,
            (FusionOutcome::Nothing, _) => 5,
        };
        counts[place] += 1;
        counts[6] += u64::from(fusion.n_fusions);
    }
    let cells = |name: Cell, counts: &Counts| {
        let n_prompts: u64 = counts[..6].iter().sum();
        std::iter::once(name).chain([Cell::Count(n_prompts)]).chain(counts.iter().map(|n| Cell::Count(*n))).collect()
    };
    let mut rows: Vec<Row> =
        languages.iter().map(|(language, counts)| Row::new(cells(label(language).into(), counts))).collect();
    let mut sum = Counts::default();
    languages.values().for_each(|counts| sum.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n));
    rows.push(Row { cells: cells(Words::from("all languages").into(), &sum), summary: true });
    let number = |title: &str, unit: &str| Column::numbers(title, unit, Style::plain(0));
    let table = Table {
        caption: "What each prompt’s answer is, by language: what the fusor wrote, or a candidate and why.".into(),
        columns: vec![
            Column::words("Language"),
            number("answered", "prompts"),
            number("fused", ""),
            number("only candidate", ""),
            number("best of its task", ""),
            number("fallback to the best", "").directed(Direction::LowerIsBetter),
            number("better candidate", ""),
            number("none valid", "").directed(Direction::LowerIsBetter),
            number("questions to the fusor", "calls"),
        ],
        rows,
    };
    let n = format!("{} prompts", completions.len());
    Ok(Block::Table { table, origin: Origin { n, artifacts: vec![job.id.to_string()], ..Origin::default() } })
}
