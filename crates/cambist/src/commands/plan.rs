//! `cambist plan`: what is finished, what is missing, what training minimises, how much is left.

mod money;
mod training;

use std::{collections::BTreeMap, path::Path};

use cambist_io::store::{StoreError, StoreView};
use cambist_pipeline::plan::{Estimate, Plan, Standing};
use serde::Serialize;
use serde_json::json;

use super::run::{load, warn, with_runtime};
use crate::{
    args::{PlanArgs, RuntimeArgs, StoreArgs},
    failure::Failure,
    screen,
};

/// Shows what a recipe would do.
pub(super) fn perform(args: &PlanArgs) -> Result<(), Failure> {
    let plan = load(&args.recipe, &args.store.store)?;
    let all: Vec<usize> = (0..plan.jobs.len()).collect();
    if let Some(n) = args.probe {
        let runtime = RuntimeArgs { threads: None, quiet: false, capabilities: args.capabilities, state_every: 30 };
        with_runtime(&runtime, |runtime| Ok(plan.probe((&all, n.get()), &args.store.store, runtime)?))?;
    }
    warn(&plan);
    show_plan(&plan, &all, &args.store)
}

/// Shows the jobs in `wanted` with their standing.
pub(super) fn show_plan(plan: &Plan, wanted: &[usize], args: &StoreArgs) -> Result<(), Failure> {
    let Progress { standings, estimates, left } = progress(plan, wanted, &args.store)?;
    if args.json {
        let jobs: Vec<_> = wanted
            .iter()
            .map(|&index| {
                let job = &plan.jobs[index];
                json!({
                    "step": job.label, "verb": job.id.verb, "artifact": job.id, "standing": standings[index],
                    "estimates": estimates.get(&index), "training": plan.training(job),
                })
            })
            .collect();
        screen::print(&json!({ "recipe": plan.recipe.name, "jobs": jobs, "left": left }).to_string())?;
        return Ok(());
    }
    let row = |&index: &usize| {
        let job = &plan.jobs[index];
        let Standing { state, calls_left, note } = &standings[index];
        let calls = calls_left.map(|calls| calls.to_string()).unwrap_or_default();
        vec![job.label.clone(), job.id.verb.clone(), state.name().to_owned(), calls, job.id.to_string(), note.clone()]
    };
    let rows: Vec<Vec<String>> = wanted.iter().map(row).collect();
    for line in screen::columns(&["step", "verb", "state", " calls", "artifact", "note"], &rows) {
        screen::print(&line)?;
    }
    training::show(plan, wanted)?;
    money::show(plan, &estimates)?;
    screen::print(&format!("\n{}", left.in_words()))
}

/// Estimates by the place of the job in the plan.
pub(super) type Estimates = BTreeMap<usize, Vec<Estimate>>;

/// Where a plan stands in a store.
pub(super) struct Progress {
    standings: Vec<Standing>,
    /// What the calls of each job that asks servers will come to.
    estimates: Estimates,
    /// What is left of the wanted jobs.
    pub(super) left: Left,
}

/// What is left to do, in numbers.
#[derive(Serialize)]
pub(super) struct Left {
    n_jobs: usize,
    n_finished: usize,
    /// At most how many calls to teachers, arbiters and translators are left, as far as they can be counted.
    calls: u64,
    /// Whether some steps ask about what nobody can count yet.
    more_calls: bool,
}

impl Left {
    /// `8 of 13 jobs finished, at most 16 calls to make`.
    pub(super) fn in_words(&self) -> String {
        let Self { n_jobs, n_finished, calls, more_calls } = self;
        let jobs = if *n_jobs == 1 { "job" } else { "jobs" };
        let calls = match (calls, more_calls) {
            (0, true) => "calls are counted once the prompts are made".to_owned(),
            (calls, true) => format!("at most {calls} calls to make, and those for prompts that are not made yet"),
            (calls, false) => format!("at most {calls} calls to make"),
        };
        format!("{n_finished} of {n_jobs} {jobs} finished, {calls}")
    }
}

/// Looks up what is finished of the jobs in `wanted`.
pub(super) fn progress(plan: &Plan, wanted: &[usize], store: &Path) -> Result<Progress, Failure> {
    let view = match StoreView::open(store) {
        // A store that is not there yet has nothing finished in it; a file in its place is a mistake.
        Err(StoreError::NoStore { .. }) if !store.is_file() => None,
        view => Some(view?),
    };
    let mut standings = plan.standings(view.as_ref())?;
    let estimates = view.as_ref().map(|view| plan.estimates(wanted, view)).transpose()?.unwrap_or_default();
    for (&index, of_job) in &estimates {
        standings[index].calls_left = Some(of_job.iter().map(|estimate| estimate.calls_left).sum());
    }
    let is_finished = |index: &&usize| standings[**index].state.is_finished();
    let is_open = |index: usize| !standings[index].state.is_finished() && standings[index].calls_left.is_none();
    let is_uncounted = |&index: &usize| plan.asks(&plan.jobs[index]) && is_open(index);
    let left = Left {
        n_jobs: wanted.len(),
        n_finished: wanted.iter().filter(is_finished).count(),
        calls: wanted.iter().filter_map(|&index| standings[index].calls_left).sum(),
        more_calls: wanted.iter().any(is_uncounted),
    };
    Ok(Progress { standings, estimates, left })
}
