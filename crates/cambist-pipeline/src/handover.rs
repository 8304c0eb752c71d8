//! Students that outgrow one device: a `train` step as data and settings for TRL, and back again as its artifact.
//!
//! What is handed over are the very tokens and masks that the trainer of this program would see, wherever TRL takes
//! tokens; pairs of DPO and single answers it takes as messages alone, and applies the base's template itself. What comes
//! back is the same Hugging Face folder, checked against its base.

mod export;
mod rows;

mod loss;
mod settings;
mod trainer;

mod import;
mod log;

use std::{path::Path, sync::Mutex};

use cambist_io::{ledger::Ledger, store::StoreView};

pub use export::{Exported, HandoverOptions, export_training};
pub use import::{Imported, import_checkpoint};

use crate::{
    error::PipelineError,
    network::Network,
    plan::{Job, Plan},
    recipe::{Action, params::TrainParams},
    run::{Runtime, Workshop},
    verbs::Probes,
};

/// A run of a `train` step and what the recipe says of it.
#[derive(Clone, Copy)]
struct Target<'a> {
    job: &'a Job,
    params: &'a TrainParams,
}

impl<'a> Target<'a> {
    /// Finds the run called `step`, such as `students.reward.seed-1`, else the only one that there is.
    fn find(plan: &'a Plan, step: Option<&str>) -> Result<Self, PipelineError> {
        let of_job = |job: &'a Job| match &plan.step_of(job).action {
            Action::Train(params) => Some(Self { job, params }),
            _ => None,
        };
        let all: Vec<Self> = plan.jobs.iter().filter_map(of_job).collect();
        let is_named =
            |target: &&Self| step.is_none_or(|step| step == target.job.label || step == plan.step_of(target.job).id);
        let named: Vec<&Self> = all.iter().filter(is_named).collect();
        if let [target] = named.as_slice() {
            return Ok(**target);
        }
        let names = |all: &[&Self]| all.iter().map(|t| format!("`{}`", t.job.label)).collect::<Vec<_>>().join(", ");
        let recipe = &plan.recipe.name;
        let what = match (all.len(), named.len(), step) {
            (0, ..) => "the recipe has no `train` step".to_owned(),
            (_, 0, Some(step)) => format!("there is no `train` step called `{step}`"),
            (n, ..) => format!(
                "there are {} runs of `train` steps to choose from",
                if named.is_empty() { n } else { named.len() }
            ),
        };
        let of = if named.is_empty() { all.iter().collect() } else { named };
        let remedy =
            if of.is_empty() { "write one".to_owned() } else { format!("name one of {} with --step", names(&of)) };
        Err(PipelineError::input(recipe, what, remedy))
    }

    /// Refuses a run whose rows or base are not made yet.
    fn check_inputs(&self, store: &StoreView) -> Result<(), PipelineError> {
        for input in &self.job.inputs {
            if store.find(&input.id)?.is_none() {
                let what = format!("its `{}` (`{}`) is not made yet", input.name(), input.id);
                let remedy = "make it first: `cambist run RECIPE`, or the verb that makes it";
                return Err(PipelineError::input(&self.job.label, what, remedy));
            }
        }
        Ok(())
    }
}

/// Does work that reads the store and asks nobody.
fn in_workshop<T>(
    (plan, store): (&Plan, &StoreView),
    runtime: &Runtime<'_>,
    work: impl FnOnce(&Workshop<'_>) -> Result<T, PipelineError>,
) -> Result<T, PipelineError> {
    let ledger = Mutex::new(Ledger::nowhere()?);
    work(&Workshop { plan, store, ledger: &ledger, runtime, network: Network::idle(), probes: Probes::none() })
}

/// The file in a handed-over folder that says which artifact it is to become.
const TICKET: &str = "cambist.json";

/// The folder that training writes to, inside the one that was handed over.
const OUTPUT: &str = "checkpoint";

/// A path as programs in other folders find it.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
