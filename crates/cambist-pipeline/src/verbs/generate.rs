//! `generate`: asks the teachers that the router names, and scores answers as they arrive.
//!
//! Three passes over the prompts, none of which holds them all: the survey names the cells that the ledger does not
//! have, asking puts them there, and collecting reads everything back in the order of the prompts. A router that wants
//! more after it has seen answers is surveyed by the collecting pass itself, and another round begins.

mod collect;
mod compare;
mod marks;
mod search;
mod survey;
mod wanted;

use cambist_core::{candidate::Row, gates::Gates, pool::Pool, prompt::Prompt, router::Router};
use cambist_io::store::{Artifact, Scratch};

use self::{collect::Collected, survey::Cells};
pub(crate) use self::{
    search::{SearchFile, read_search},
    survey::{Count, Counts},
    wanted::{ImportedText, WantedCell, each_wanted},
};
use super::{
    Work,
    asking::{self, Asking},
    forecast::Field,
    naming::Naming,
    panel::Scorer,
    prompt_files::PromptFiles,
    routers,
    scoring::Scoring,
    tally::Tally,
    voices::Voice,
};
use crate::{
    error::PipelineError,
    plan::Job,
    recipe::{PoolMember, params::GenerateParams},
    run::Workshop,
};

/// Prompts that are looked at together.
const CHUNK: usize = 1024;

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &GenerateParams) -> Result<Artifact, PipelineError> {
    with((workshop, job), params, |work| work.rounds(scratch))
}

/// Counts the calls that the step will make, and those of them that the ledger has no answer to.
pub(crate) fn count_calls(
    workshop: &Workshop<'_>,
    job: &Job,
    params: &GenerateParams,
) -> Result<(Vec<String>, Counts), PipelineError> {
    with((workshop, job), params, |work| {
        Ok((work.voices.iter().map(|voice| voice.name.clone()).collect(), work.counts()?))
    })
}

/// Shows the answers to each prompt that the router wants before it has seen any: those that are there, and how many are
/// not.
pub(super) fn each_field(
    (workshop, job): (&Workshop<'_>, &Job),
    params: &GenerateParams,
    show: &mut dyn FnMut(Field<'_>) -> Result<(), PipelineError>,
) -> Result<(), PipelineError> {
    with((workshop, job), params, |work| work.fields(show))
}

/// Asks every server about at most `n` prompts of each language; the answers stay in the ledger for the run.
pub(crate) fn probe(
    workshop: &Workshop<'_>,
    job: &Job,
    (params, n): (&GenerateParams, usize),
) -> Result<(), PipelineError> {
    with((workshop, job), params, |work| work.ask(&work.probe_cells(n)?))
}

/// Opens everybody whom the step asks.
fn with<T>(
    (workshop, job): (&Workshop<'_>, &Job),
    params: &GenerateParams,
    work: impl FnOnce(&Generating<'_>) -> Result<T, PipelineError>,
) -> Result<T, PipelineError> {
    let recipe = &workshop.plan.recipe;
    let prompts = PromptFiles::open(workshop, job.inputs("prompts"))?;
    let in_pool = |member: &&PoolMember| params.teachers.is_empty() || params.teachers.contains(&member.id);
    let members: Vec<&PoolMember> = recipe.pool.iter().filter(in_pool).collect();
    let teachers = members.iter().map(|member| member.teacher()).collect();
    let pool = Pool::new(teachers, params.eligibility.clone()).map_err(|e| PipelineError::Internal(e.to_string()))?;
    let router = routers::build(workshop, job, (&params.router, &Gates::default(), "router"), &pool)?;
    let scorer = params.arbiter.as_deref().map(|id| Scorer::open(workshop, job, id)).transpose()?;
    let voices = members.iter().map(|member| Voice::open(workshop, job, member)).collect::<Result<Vec<_>, _>>()?;
    let namings = voices.iter().map(|voice| Naming::new(voice, &params.sampling)).collect();
    let (pool, router, voices) = (&pool, router.as_ref(), voices.as_slice());
    work(&Generating { workshop, job, params, pool, router, voices, namings, scorer, prompts })
}

/// Everything that the passes share.
struct Generating<'a> {
    workshop: &'a Workshop<'a>,
    job: &'a Job,
    params: &'a GenerateParams,
    pool: &'a Pool,
    router: &'a dyn Router,
    voices: &'a [Voice],
    /// Of each voice.
    namings: Vec<Naming<'a>>,
    scorer: Option<Scorer>,
    prompts: PromptFiles,
}

impl Generating<'_> {
    /// Asks until the router has seen enough of every prompt.
    fn rounds(&self, scratch: Scratch) -> Result<Artifact, PipelineError> {
        let mut cells = self.survey()?;
        loop {
            self.ask(&cells)?;
            match self.collect(&scratch)? {
                Collected::Whole(draft) => return Ok(scratch.commit(*draft)?),
                Collected::Wants(more) if more.is_empty() || more == cells => {
                    let what = format!("`{}` asks for the same answers again and again", self.job.label);
                    return Err(PipelineError::Internal(what));
                }
                Collected::Wants(more) => cells = more,
            }
        }
    }

    fn ask(&self, cells: &Cells) -> Result<(), PipelineError> {
        if cells.is_empty() {
            return Ok(());
        }
        let wanted: Vec<u64> = (0..self.voices.len()).map(|voice| cells.unanswered_of(voice).count() as u64).collect();
        let tally = Tally::new(&wanted, "answers");
        let arbiters = self.scorer.as_ref().map(Scorer::ledgered).unwrap_or_default();
        Scoring::beside((self.workshop, self.job), &arbiters, |scoring| {
            let asking = Asking {
                workshop: self.workshop,
                job: self.job,
                voices: self.voices,
                sampling: &self.params.sampling,
                scoring,
                several: (0..self.voices.len()).map(|voice| cells.wants_several(voice)).collect(),
            };
            asking.ask(&|voice| Ok(self.cells_of(cells, voice)), &tally)?;
            scoring
                .map_or(Ok(()), |scoring| self.score_known(cells, scoring).and_then(|()| self.compare(cells, scoring)))
        })
    }

    /// The unanswered cells of one voice, with their prompts.
    fn cells_of<'c>(&'c self, cells: &'c Cells, voice: usize) -> asking::Cells<'c> {
        let mut wanted = cells.unanswered_of(voice).peekable();
        let mut prompts = (0u32..).zip(self.prompts.scan());
        let mut current: Option<(u32, Prompt)> = None;
        Box::new(std::iter::from_fn(move || {
            let (place, sample) = wanted.next()?;
            while current.as_ref().is_none_or(|(at, _)| *at < place) {
                match prompts.next()? {
                    (at, Ok(prompt)) => current = Some((at, prompt)),
                    (_, Err(error)) => return Some(Err(error)),
                }
            }
            current.as_ref().map(|(_, prompt)| Ok((prompt.clone(), sample)))
        }))
    }

    fn blank_row(prompt: Prompt) -> Row {
        Row { prompt, candidates: Vec::new() }
    }
}
