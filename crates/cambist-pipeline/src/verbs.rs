//! One file per verb, and what several of them need.

mod answers;
mod arbiters;
mod evaluate;
mod generate;
mod prompts;
// mod report;
mod routers;
mod score;
mod select;
mod tables;
mod train;
mod voices;


pub(crate) use evaluate::{Results, VariantResult};

use cambist_io::store::Artifact;

use crate::{error::PipelineError, plan::Job, recipe::Action, run::Workshop};

/// Makes the artifact of one job.
pub(crate) fn perform(workshop: &Workshop<'_>, job: &Job) -> Result<Artifact, PipelineError> {
    match &workshop.plan.step_of(job).action {
        Action::Prompts(params) => prompts::make(workshop, job, params),
        Action::Generate(params) => generate::make(workshop, job, params),
        Action::Score(params) => score::make(workshop, job, params),
        Action::Select(params) => select::make(workshop, job, params),
        Action::Train(params) => train::make(workshop, job, params),
        Action::Evaluate(params) => evaluate::make(workshop, job, params),
        Action::Report(_) => Err(PipelineError::Internal("no report yet".into())),
    }
}
