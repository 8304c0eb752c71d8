//! `prompts`: reads or makes prompts, gives each a language, removes duplicates, makes disjoint splits.
//!
//! Two passes: the first puts each prompt aside on the disk and keeps a few numbers of it in memory, the second writes
//! the sets; so millions of prompts fit.

mod intake;
mod near;
mod overlap;
mod pile;
mod row;
mod sets;

use std::collections::BTreeSet;

use cambist_core::{
    polyglot::{self, PolyglotSpec, Task},
    prompt::Prompt,
};
use cambist_io::{
    formats::{LineWriter, TableWriter},
    remote::locate,
    store::{Artifact, ManifestDraft, Scratch},
};

use self::{
    intake::Intake,
    pile::{CHUNK, Pile},
    row::PromptRow,
    sets::Sets,
};
use super::{Work, tables::read_table};
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::params::{PolyglotParams, PromptsParams},
    run::Workshop,
};

/// The set of a `prompts` step without splits.
const WHOLE: &str = "prompts";

/// What the phases of one job share.
struct Making<'a> {
    workshop: &'a Workshop<'a>,
    job: &'a Job,
    params: &'a PromptsParams,
    seed: u64,
}

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &PromptsParams) -> Result<Artifact, PipelineError> {
    let making = Making { workshop, job, params, seed: workshop.plan.recipe.seed };
    making.check()?;
    let mut pile = making.read(&scratch)?;
    if let Some(settings) = params.near_duplicates {
        near::drop_near_duplicates(&making, &mut pile, settings)?;
    }
    let mut sets = Sets::deal(&making, &mut pile)?;
    if params.polyglot.is_none() {
        overlap::check(&making, &mut pile, &mut sets)?;
    }
    making.write(scratch, pile, &sets)
}

impl Making<'_> {
    /// Returns an error about what the step was given.
    fn refuse(&self, what: impl Into<String>, remedy: impl Into<String>) -> PipelineError {
        PipelineError::input(&self.job.label, what, remedy)
    }

    fn check(&self) -> Result<(), PipelineError> {
        let (confidence, share) = (self.params.min_language_confidence, self.params.overlap.max_share);
        for (name, value) in [("min_language_confidence", confidence), ("overlap.max_share", share)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(self.refuse(format!("`{name}` is {value}"), "give a number from 0 to 1"));
            }
        }
        Ok(())
    }

    fn read(&self, scratch: &Scratch) -> Result<Pile, PipelineError> {
        let mut pile = Pile::create(scratch)?;
        let mut intake = Intake::new(self, scratch)?;
        match (&self.params.polyglot, &self.params.file) {
            (Some(task), _) => intake.take_prompts(&mut pile, invent(self, task)?)?,
            (None, Some(source)) => intake.take_source(&mut pile, &locate(&self.workshop.plan.folder, source)?)?,
            (None, None) => {}
        }
        intake.finish()?;
        if pile.is_empty() {
            let what = format!("no prompts are left ({} were dropped)", pile.n_dropped());
            return Err(self.refuse(what, "check the file and `languages`"));
        }
        Ok(pile)
    }

    fn write(&self, scratch: Scratch, mut pile: Pile, sets: &Sets) -> Result<Artifact, PipelineError> {
        let mut draft =
            ManifestDraft { step: self.job.label.clone(), kind: "prompts".into(), ..ManifestDraft::default() };
        let mut tables = Vec::new();
        for name in sets.names() {
            tables.push(TableWriter::<PromptRow>::create(&scratch.path(&file_of(name))?)?);
        }
        for from in (0..pile.len()).step_by(CHUNK) {
            self.workshop.checkpoint()?;
            for (number, row) in (from..).zip(pile.rows(from)?) {
                if let Some(table) = sets.set_of(number).and_then(|set| tables.get_mut(set)) {
                    table.push(&row)?;
                }
            }
        }
        for (name, table) in sets.names().iter().zip(tables) {
            draft.counts.insert(name.clone(), table.finish()?);
        }
        draft.failures = pile.finish(&mut draft.counts)?;
        Ok(scratch.commit(draft)?)
    }
}

/// Reads the prompts of all `inputs`, in their order.
pub(super) fn read_prompts<'a>(
    workshop: &Workshop<'_>,
    inputs: impl Iterator<Item = &'a Input>,
) -> Result<Vec<Prompt>, PipelineError> {
    let mut prompts = Vec::new();
    let mut seen = BTreeSet::new();
    for input in inputs.filter(|input| seen.insert((input.id.clone(), input.part.clone()))) {
        let artifact = workshop.artifact(&input.id)?;
        prompts.extend(read_table::<Prompt>(&artifact, &file_of(&input.part))?);
    }
    Ok(prompts)
}

/// The file of a set in a `prompts` artifact.
pub(crate) fn file_of(set: &str) -> String {
    format!("{}.parquet", if set.is_empty() { WHOLE } else { set })
}

fn lines(scratch: &Scratch, name: &str) -> Result<LineWriter, PipelineError> {
    Ok(LineWriter::create(&scratch.path(name)?)?)
}

fn invent(making: &Making<'_>, task: &PolyglotParams) -> Result<Vec<Prompt>, PipelineError> {
    let params = making.params;
    let parse = |name: &String| {
        let remedy = format!("known here: {}", Task::ALL.map(Task::name).join(", "));
        Task::parse(name).map_err(|error| making.refuse(error.to_string(), remedy))
    };
    let spec = PolyglotSpec {
        languages: if params.languages.is_empty() { polyglot::languages() } else { params.languages.clone() },
        tasks: task.tasks.iter().map(parse).collect::<Result<_, _>>()?,
        n_sources: task.sources.unwrap_or_else(|| params.splits.values().sum()),
        seed: making.seed,
    };
    if spec.n_sources == 0 {
        return Err(making.refuse("`polyglot` makes no sources", "set `sources`, or name `splits`"));
    }
    Ok(polyglot::generate(&spec)?)
}
