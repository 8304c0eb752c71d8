//! One file per verb, and what several of them need.

mod answering;
mod answers;
mod arbiters;
mod asking;
mod consensus;
mod contest;
mod evaluate;
mod failed;
mod fit;
mod forecast;
mod frontier;
mod fuse;
mod generate;
mod licenses;
mod local;
mod local_arbiter;
mod naming;
mod panel;
mod probing;
mod prompt_files;
mod prompts;
mod remote;
mod remote_arbiter;
mod report;
mod routers;
mod score;
mod scoring;
mod select;
mod tables;
mod tally;
mod train;
mod translate;
mod voices;

pub(crate) use evaluate::{Results, VariantResult};
pub(crate) use fit::{Fitting, ROUTER, fitted_from_json, hashed, to_json as router_to_json};
pub(crate) use forecast::{BYTES_PER_TOKEN, Forecast, count_scores};
pub(crate) use frontier::{FRONTIER, FrontierFile};
pub(crate) use fuse::count_fusions;
pub(crate) use generate::{
    Count, Counts, ImportedText, SearchFile, WantedCell, count_calls, each_wanted, probe, read_search,
};
pub(crate) use probing::{Probes, probe_recipe};
pub(crate) use prompts::file_of;
pub(crate) use tables::{CANDIDATES, COMPLETIONS, CandidateRow, DECISIONS, DecisionRow, SCORES};
pub(crate) use train::{DROPPED, EVENTS, LOG, Prepared, objective, prepare};
pub(crate) use translate::count_translations;

use cambist_io::store::{Artifact, Scratch};

use crate::{error::PipelineError, plan::Job, recipe::Action, run::Workshop};

/// A job's workshop, what it has to make, and the folder to make it in.
pub(crate) type Work<'a> = (&'a Workshop<'a>, &'a Job, Scratch);

/// Makes the artifact of one job.
pub(crate) fn perform(workshop: &Workshop<'_>, job: &Job, scratch: Scratch) -> Result<Artifact, PipelineError> {
    match &workshop.plan.step_of(job).action {
        Action::Prompts(params) => prompts::make((workshop, job, scratch), params),
        Action::Translate(params) => translate::make((workshop, job, scratch), params),
        Action::Generate(params) => generate::make((workshop, job, scratch), params),
        Action::Fuse(params) => fuse::make((workshop, job, scratch), params),
        Action::Score(params) => score::make((workshop, job, scratch), params),
        Action::Fit(params) => fit::make((workshop, job, scratch), params),
        Action::Select(params) => select::make((workshop, job, scratch), params),
        Action::Frontier(params) => frontier::make((workshop, job, scratch), params),
        Action::Train(params) => train::make((workshop, job, scratch), params),
        Action::Evaluate(params) => evaluate::make((workshop, job, scratch), params),
        Action::Report(params) => report::make((workshop, job, scratch), params),
    }
}
