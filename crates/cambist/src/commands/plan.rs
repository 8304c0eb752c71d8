//! `cambist plan`: what is finished, what is missing, how much is left.

use cambist_io::store::StoreView;
use cambist_pipeline::plan::{Plan, Standing};
use serde_json::json;

use super::run::load;
use crate::{
    args::{PlanArgs, StoreArgs},
    failure::Failure,
    screen,
};

/// Shows what a recipe would do.
pub(super) fn perform(args: &PlanArgs) -> Result<(), Failure> {
    let plan = load(&args.recipe)?;
    let all: Vec<usize> = (0..plan.jobs.len()).collect();
    show_plan(&plan, &all, &args.store)
}

/// Shows the jobs in `wanted` with their standing.
pub(super) fn show_plan(plan: &Plan, wanted: &[usize], args: &StoreArgs) -> Result<(), Failure> {
    // A store that is not there yet has nothing finished in it.
    let store = StoreView::open(&args.store).ok();
    let standings = plan.standings(store.as_ref())?;
    if args.json {
        let jobs: Vec<_> = wanted
            .iter()
            .map(|&index| {
                let job = &plan.jobs[index];
                json!({ "step": job.label, "verb": job.id.verb, "artifact": job.id, "standing": standings[index] })
            })
            .collect();
        screen::print(&json!({ "recipe": plan.recipe.name, "jobs": jobs }).to_string());
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
        screen::print(&line);
    }
    let n_missing = wanted.iter().filter(|&&index| !standings[index].state.is_finished()).count();
    let calls: u64 = wanted.iter().filter_map(|&index| standings[index].calls_left).sum();
    let n_finished = wanted.len() - n_missing;
    screen::print(&format!("\n{n_finished} of {} finished, at most {calls} calls to make", wanted.len()));
    Ok(())
}
