//! What the servers of a recipe are and can do, found out before anything is asked that counts.

use std::{path::Path, sync::Mutex};

use cambist_io::{
    ledger::Ledger,
    store::{EndpointProbe, Store},
};

use crate::{
    error::PipelineError,
    network::Network,
    plan::Plan,
    run::{Capabilities, Runtime, Workshop},
    verbs::{Probes, probe_recipe},
};

/// What one endpoint was found to be and to do, and what keeps it from being asked, if something does.
#[derive(Debug)]
pub struct ProbedEndpoint {
    /// What was found.
    pub probe: EndpointProbe,
    /// What is wrong.
    pub error: Option<PipelineError>,
}

/// Asks every endpoint of a recipe what it is and what it can do, and nothing else; what was found stays in the store.
///
/// # Errors
/// When the store or the recipe's own files cannot be read, or the user asked to stop; what is wrong with an endpoint
/// is told with it.
pub fn probe(plan: &Plan, store_folder: &Path, runtime: &Runtime<'_>) -> Result<Vec<ProbedEndpoint>, PipelineError> {
    let store = Store::open(store_folder)?;
    let ledger = Ledger::open(&store.ledger_path())?;
    let network = Network::new(&plan.recipe.budget, &ledger)?;
    let ledger = Mutex::new(ledger);
    let probes = Probes::new(&store, Capabilities::Force);
    let workshop = Workshop { plan, store: &store, ledger: &ledger, runtime, network, probes };
    let found = probe_recipe(&workshop)?;
    Ok(found.into_iter().map(|(probe, error)| ProbedEndpoint { probe, error }).collect())
}
