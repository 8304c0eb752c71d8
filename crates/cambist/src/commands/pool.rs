//! `cambist pool`: which teachers are worth having.

use cambist_pipeline::summary;
use serde_json::json;

use super::run::{load, start};
use crate::{args::PoolAdviseArgs, failure::Failure, screen};

/// Runs the recipe's `frontier` steps and what they need, and tells what to do about the pool.
pub(super) fn advise(args: &PoolAdviseArgs) -> Result<(), Failure> {
    let plan = load(&args.recipe, &args.store.store)?;
    let is_frontier = |index: &usize| plan.step_of(&plan.jobs[*index]).action.verb() == "frontier";
    let targets: Vec<usize> = (0..plan.jobs.len()).filter(is_frontier).collect();
    if targets.is_empty() {
        return Err(Failure::yours(
            "the recipe has no `frontier` step\nhint: add `- frontier: {from: answers}` behind the `generate` step \
             called `answers`; a few hundred prompts of each language are enough"
                .to_owned(),
        ));
    }
    let finished = start(&plan, &plan.needed_by(&targets), &args.store, &args.runtime)?;
    let advice = summary::advice(&finished)?;
    if args.store.json {
        return screen::print(&json!(advice).to_string());
    }
    for (step, advice) in &advice {
        screen::talk(&format!("step `{step}`:"));
        for line in summary::advice_lines(advice) {
            screen::print(&line)?;
        }
    }
    Ok(())
}
