//! `select`: replays every strategy on the recorded answers, cuts the sets to the same prompts, writes them.
//!
//! The texts are read twice and never kept: the first walk along the prompts judges the answers and leaves an outline
//! of them, on which everything is decided; the second brings the texts to the sets that they were kept for.

mod inflow;
mod survey;

mod labelling;
mod pairing;
mod play;

mod card;
mod datasets;
mod preferences;
pub(super) mod shards;
pub(super) mod table;

use std::collections::BTreeMap;

use cambist_core::{
    align::KEPT,
    candidate::{Matrix, MatrixError},
    pool::Pool,
};
use cambist_io::{
    formats::{LineWriter, TableWriter},
    store::{Artifact, ManifestDraft, Scratch},
};

use self::{
    datasets::Sets,
    labelling::LabelList,
    pairing::PairList,
    play::{Aligned, Played, play},
    survey::Answers,
    table::tabulate,
};
use super::{
    Work,
    answers::{self, pool_of},
    prompts::read_prompts,
    tables::DECISIONS,
};
use crate::{error::PipelineError, plan::Job, recipe::params::SelectParams, run::Workshop};

/// What the phases of one job share.
struct Making<'a> {
    workshop: &'a Workshop<'a>,
    job: &'a Job,
    params: &'a SelectParams,
    scratch: &'a Scratch,
}

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &SelectParams) -> Result<Artifact, PipelineError> {
    let making = Making { workshop, job, params, scratch: &scratch };
    let draft = making.decide()?.write(&making)?;
    Ok(scratch.commit(draft)?)
}

/// The answers under `role` with their texts, judged by the step's gates and scored.
pub(super) fn matrix(
    workshop: &Workshop<'_>,
    job: &Job,
    params: &SelectParams,
    role: &str,
) -> Result<Matrix, PipelineError> {
    let scores = role.replacen("from", "scores", 1);
    let safety = role.replacen("from", "safety", 1);
    let answers = answers::Answers {
        prompts: read_prompts(workshop, job.inputs("prompts"))?,
        completions: job.inputs(role).collect(),
        scores: job.inputs(&scores).collect(),
        safety: job.inputs(&safety).collect(),
        gates: &params.gates,
    };
    answers.matrix(workshop, job)
}

/// What was decided, before it is written.
struct Decided {
    answers: Answers,
    pool: Pool,
    played: BTreeMap<String, Played>,
}

impl Making<'_> {
    fn decide(&self) -> Result<Decided, PipelineError> {
        let answers = Answers::read(self, "from", true)?;
        if answers.outline.is_empty() {
            let what = "there are no prompts to select for";
            return Err(PipelineError::input(&self.job.label, what, "check the `prompts` step"));
        }
        let pool = pool_of(&self.workshop.plan.recipe, &answers.outline, &self.params.eligibility)?;
        let mut decisions = TableWriter::create(&self.scratch.path(DECISIONS)?)?;
        let mut played = BTreeMap::new();
        for (name, strategy) in &self.params.strategies {
            self.workshop.checkpoint()?;
            let outcome = play(self, (name, strategy), (&answers, &pool), &mut decisions)?;
            played.insert(name.clone(), outcome);
        }
        decisions.finish()?;
        Ok(Decided { answers, pool, played })
    }

    /// Returns an error about answers and prompts that do not belong together.
    fn misfit(&self, error: &MatrixError) -> PipelineError {
        let remedy = "check the files that the answers and scores came from";
        PipelineError::input(&self.job.label, error.to_string(), remedy)
    }
}

impl Decided {
    fn write(self, making: &Making<'_>) -> Result<ManifestDraft, PipelineError> {
        let Self { answers, pool, played } = &self;
        let aligned = Aligned::of(played, &answers.outline, making.params.align);
        let SelectParams { pairs, labels, .. } = making.params;
        let pairs = pairs.as_ref().map(|options| PairList::make(making, (answers, pool), options)).transpose()?;
        let labels = labels.as_ref().map(|options| LabelList::make(making, (answers, pool), options)).transpose()?;
        let mut dropped = LineWriter::create(&making.scratch.path("dropped.jsonl")?)?;
        aligned.write_dropped(&answers.outline, &mut dropped)?;
        pairs.iter().try_for_each(|pairs| pairs.write_dropped(answers, &mut dropped))?;
        labels.iter().try_for_each(|labels| labels.write_dropped(answers, &mut dropped))?;
        dropped.finish()?;
        let sets = Sets { making, answers, aligned: &aligned, pairs: pairs.as_ref(), labels: labels.as_ref() };
        // Each keeps one thread busy with rows, and leaves the others to what is done for many prompts at once.
        let (files, candidates) = rayon::join(|| sets.write(), || sets.candidates());
        candidates?;
        let files = files?;
        sets.card(&files)?;
        let tallies = (pairs.as_ref().map(|pairs| &pairs.tally), labels.as_ref().map(|labels| &labels.tally));
        let table = tabulate(&answers.outline, &aligned, tallies);
        making.scratch.write("strategies.json", &table.to_json()?)?;
        Ok(draft(making, &sets))
    }
}

fn draft(making: &Making<'_>, Sets { answers, aligned, pairs, labels, .. }: &Sets<'_>) -> ManifestDraft {
    let step = making.job.label.clone();
    let mut draft = ManifestDraft { step, kind: "datasets".into(), ..ManifestDraft::default() };
    draft.counts.insert("prompts".into(), answers.outline.len() as u64);
    draft.counts.insert("strategies".into(), aligned.played.len() as u64);
    for (name, tally) in &aligned.tallies {
        draft.counts.insert(format!("{name} rows"), aligned.n_kept(name) as u64);
        let n_unknown = aligned.played.get(*name).map_or(0, |played| played.n_unknown_language);
        if n_unknown > 0 {
            draft.counts.insert(format!("{name} prompts of languages not calibrated"), n_unknown as u64);
        }
        for (reason, n) in tally.counts().values().flatten().filter(|(reason, _)| *reason != KEPT) {
            *draft.failures.entry(format!("{name}: {reason}")).or_default() += *n as u64;
        }
    }
    if let Some(pairs) = pairs {
        draft.counts.insert("pairs".into(), pairs.pairs.len() as u64);
    }
    if let Some(labels) = labels {
        draft.counts.insert("wanted answers".into(), labels.n_labelled(true) as u64);
        draft.counts.insert("unwanted answers".into(), labels.n_labelled(false) as u64);
        for warning in labels.one_sided() {
            making.workshop.runtime.progress.warn(&making.job.label, &warning);
            draft.notes.push(warning);
        }
    }
    draft
}
