//! `cambist run` and the verbs: run a recipe, or some of its steps and what they need.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cambist_io::{store::StoreView, transport::StopSignal};
use cambist_pipeline::{
    plan::Plan,
    progress::{Progress, Silent},
    recipe::Recipe,
    run::{Finished, Runtime, run},
    summary,
};
use serde_json::json;

use super::plan::{progress, show_plan};
use crate::{
    args::{RecipeArgs, RunArgs, RuntimeArgs, StoreArgs, VerbArgs},
    failure::{Failure, INTERRUPTED},
    progress::Teller,
    screen,
};

/// Runs every step.
pub(super) fn whole(args: &RunArgs) -> Result<(), Failure> {
    let plan = load(&args.recipe, &args.store.store)?;
    let all: Vec<usize> = (0..plan.jobs.len()).collect();
    perform(&plan, &all, args)
}

/// Runs the steps of one verb, or one of them, with what they need.
pub(super) fn verb(verb: &str, args: &VerbArgs) -> Result<(), Failure> {
    let plan = load(&args.run.recipe, &args.run.store.store)?;
    let is_wanted = |index: &usize| {
        let step = plan.step_of(&plan.jobs[*index]);
        step.action.verb() == verb
            && args.step.as_ref().is_none_or(|id| *id == step.id || *id == plan.jobs[*index].label)
    };
    let targets: Vec<usize> = (0..plan.jobs.len()).filter(is_wanted).collect();
    if targets.is_empty() {
        let which = args.step.as_ref().map(|id| format!(" called `{id}`")).unwrap_or_default();
        let of_verb = plan.recipe.steps.iter().filter(|step| step.action.verb() == verb).map(|step| step.id.as_str());
        let mut known: Vec<&str> = of_verb.collect();
        let hint = if known.is_empty() {
            known = plan.recipe.steps.iter().map(|step| step.id.as_str()).collect();
            "its steps are"
        } else {
            "those of this verb are"
        };
        let names = known.join(", ");
        return Err(Failure::yours(format!("the recipe has no `{verb}` step{which}\nhint: {hint}: {names}")));
    }
    perform(&plan, &plan.needed_by(&targets), &args.run)
}

/// Reads and checks the recipe and names its artifacts; the store, where there is one, remembers the digests of large
/// files.
pub(super) fn load(args: &RecipeArgs, store: &Path) -> Result<Plan, Failure> {
    let path = args.recipe.display().to_string();
    let text = cambist_io::disk::read_text(&args.recipe)?;
    let mut recipe = Recipe::parse(&path, &text, &args.overrides).map_err(cambist_pipeline::PipelineError::from)?;
    if let Some(limit) = args.limit {
        recipe.limit(limit.get());
    }
    let folder = args.recipe.parent().unwrap_or(Path::new("."));
    let view = StoreView::open(store).ok();
    let digests = view.as_ref().map(StoreView::file_digests).unwrap_or_default();
    let plan = Plan::with_digests(recipe, folder, &digests)?;
    // A store that cannot be written to can be planned in all the same.
    let _ = view.map(|view| view.keep_file_digests(&digests));
    Ok(plan)
}

fn perform(plan: &Plan, wanted: &[usize], args: &RunArgs) -> Result<(), Failure> {
    if args.dry_run {
        warn(plan);
        return show_plan(plan, wanted, &args.store);
    }
    if !args.runtime.quiet {
        warn(plan);
    }
    let left = progress(plan, wanted, &args.store.store)?.left;
    if !args.runtime.quiet {
        let store = args.store.store.display();
        screen::talk(&format!("{}: {}; store {store}", plan.recipe.name, left.in_words()));
    }
    let finished = start(plan, wanted, &args.store, &args.runtime)?;
    close(plan, &finished, args)
}

/// Tells what the recipe does that is known to mislead.
pub(super) fn warn(plan: &Plan) {
    plan.warnings().iter().for_each(|warning| screen::talk(&format!("warning: {warning}")));
}

/// Runs the jobs under a teller that fits, stopping cleanly at the first Ctrl-C.
pub(super) fn start(
    plan: &Plan,
    wanted: &[usize],
    store: &StoreArgs,
    runtime: &RuntimeArgs,
) -> Result<Finished, Failure> {
    with_runtime(runtime, |runtime| Ok(run(plan, wanted, &store.store, runtime)?))
}

/// Does work that stops cleanly at the first Ctrl-C.
pub(super) fn with_runtime<T>(
    runtime: &RuntimeArgs,
    work: impl FnOnce(&Runtime<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let calls = StopSignal::new();
    let (asked, drained) = (Arc::clone(&stop), calls.clone());
    // The second Ctrl-C ends at once; nothing is lost by it, since artifacts appear only when they are whole.
    let handler = ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
        drained.drain();
        screen::talk("stopping after the work in flight; Ctrl-C again stops at once");
    });
    handler.map_err(|error| Failure::ours(format!("no handler for Ctrl-C: {error}")))?;
    let teller = Teller::new();
    let progress: &dyn Progress = if runtime.quiet { &Silent } else { &teller };
    let threads =
        runtime.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let state_every = Duration::from_secs(runtime.state_every);
    work(&Runtime { threads, progress, stop: &stop, calls, capabilities: runtime.capabilities.into(), state_every })
}

fn close(plan: &Plan, finished: &Finished, args: &RunArgs) -> Result<(), Failure> {
    if args.store.json {
        let steps: Vec<_> = finished
            .iter()
            .map(|(label, artifact)| json!({ "step": label, "artifact": artifact.manifest().id }))
            .collect();
        let results = summary::results_json(finished)?;
        let mut out = json!({ "recipe": plan.recipe.name, "artifacts": steps, "results": results });
        let searches = summary::searches_json(finished)?;
        if !searches.is_empty() {
            out["searches"] = json!(searches);
        }
        screen::print(&out.to_string())?;
    } else {
        for line in summary::closing_lines(&plan.recipe, finished)? {
            screen::print(&line)?;
        }
    }
    if !args.runtime.quiet {
        for line in summary::call_lines(&plan.recipe, finished, &args.store.store)? {
            screen::talk(&line);
        }
        for line in summary::next_steps(&plan.recipe, finished, &args.store.store) {
            screen::talk(&line);
        }
    }
    Ok(())
}
