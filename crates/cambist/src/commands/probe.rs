//! `cambist probe`: what the servers of a recipe are and can do.

use cambist_io::store::EndpointProbe;
use cambist_pipeline::probe::{ProbedEndpoint, probe};
use serde_json::json;

use super::run::{load, with_runtime};
use crate::{
    args::{CapabilitiesArg, ProbeArgs, RuntimeArgs},
    failure::Failure,
    progress::verdict,
    screen,
};

/// Asks every endpoint and prints a table; fails after that with what is wrong, the user's own mistakes first.
pub(super) fn perform(args: &ProbeArgs) -> Result<(), Failure> {
    let plan = load(&args.recipe, &args.store.store)?;
    // The table says what a line on stderr would.
    let runtime = RuntimeArgs { threads: None, quiet: true, capabilities: CapabilitiesArg::Force, state_every: 30 };
    let found = with_runtime(&runtime, |runtime| Ok(probe(&plan, &args.store.store, runtime)?))?;
    let (probes, errors): (Vec<EndpointProbe>, Vec<_>) =
        found.into_iter().map(|ProbedEndpoint { probe, error }| (probe, error)).unzip();
    if args.store.json {
        screen::print(&json!({ "recipe": plan.recipe.name, "endpoints": probes }).to_string())?;
    } else {
        show(&probes)?;
    }
    for warning in probes.iter().flat_map(|probe| &probe.warnings) {
        screen::talk(&format!("warning: {warning}"));
    }
    let mut failures: Vec<Failure> = errors.into_iter().flatten().map(Failure::from).collect();
    failures.sort_by_key(|failure| !failure.is_yours());
    let n_more = failures.len().saturating_sub(1);
    match failures.into_iter().next() {
        None => Ok(()),
        Some(failure) if n_more == 0 => Err(failure),
        Some(failure) => {
            screen::talk(&format!("{n_more} more of the endpoints cannot be asked: the table says why"));
            Err(failure)
        }
    }
}

fn show(probes: &[EndpointProbe]) -> Result<(), Failure> {
    if probes.is_empty() {
        return screen::print("the recipe names no server");
    }
    let row = |probe: &EndpointProbe| {
        let facts = &probe.facts;
        let number = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
        let says = probe.failure.clone().unwrap_or_else(|| verdict::abilities(probe));
        vec![
            probe.name.clone(),
            probe.role.clone(),
            probe.model.clone(),
            verdict::server(probe),
            number(facts.max_model_len),
            number(facts.max_concurrency),
            says,
        ]
    };
    let rows: Vec<Vec<String>> = probes.iter().map(row).collect();
    let header = ["endpoint", "role", "model", "server", " tokens", " at once", "verdict"];
    screen::columns(&header, &rows).iter().try_for_each(|line| screen::print(line))
}
