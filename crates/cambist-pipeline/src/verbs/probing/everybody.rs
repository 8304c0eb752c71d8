//! Every endpoint of a recipe, one after the other.

use cambist_io::{
    clock,
    dialect::probe::ServerFacts,
    endpoint::Endpoint,
    exchange::{Failure, FailureClass},
    store::EndpointProbe,
};

use super::{Met, Wish, blank};
use crate::{
    error::PipelineError,
    run::Workshop,
    verbs::{remote::Remote, remote_arbiter::RemoteArbiter},
};

/// Asks every endpoint of the recipe what it is and what it can do, one after the other, and nothing else; each comes
/// with what is wrong with it, if something is.
///
/// # Errors
/// When the recipe's own files cannot be read, or the user asked to stop.
pub(crate) fn probe_recipe(
    workshop: &Workshop<'_>,
) -> Result<Vec<(EndpointProbe, Option<PipelineError>)>, PipelineError> {
    let plan = workshop.plan;
    let mut found = Vec::new();
    for member in &plan.recipe.pool {
        // Engines have nothing of what is looked for.
        let is_engine = member.translation_dialect().is_some();
        let Some(endpoint) = member.endpoint.as_ref().filter(|_| !is_engine) else { continue };
        let remote = Remote::open(&plan.recipe, &plan.folder, member)?;
        let wish = Wish { several: true, everything: true };
        let met = workshop.probes.meet(workshop, (&member.id, &remote), wish);
        found.extend(told((&member.id, "teacher"), endpoint, met)?);
    }
    for arbiter in &plan.recipe.arbiters {
        let (Some(endpoint), Some(remote)) = (&arbiter.endpoint, RemoteArbiter::open(arbiter, plan)?) else {
            continue;
        };
        let role = if arbiter.judge.is_some() { "judge" } else { "reward model" };
        found.extend(told((&arbiter.id, role), endpoint, workshop.probes.meet_arbiter(workshop, &remote))?);
    }
    Ok(found)
}

/// A server that has no such model or path is the recipe's to mend.
fn refused(name: &str, failure: Failure) -> PipelineError {
    if failure.class == FailureClass::NotFound {
        return PipelineError::input(name, failure.to_string(), "mend `endpoint.model`, `base_url` or `dialect`");
    }
    PipelineError::Endpoint { teacher: name.to_owned(), failure: Box::new(failure) }
}

/// Makes a row of what was found, or of why nothing was.
fn told(
    (name, role): (&str, &str),
    endpoint: &Endpoint,
    met: Result<Option<Met>, PipelineError>,
) -> Result<Option<(EndpointProbe, Option<PipelineError>)>, PipelineError> {
    match met {
        Ok(None) => Ok(None),
        Ok(Some(Met { probe, failure })) => Ok(Some((probe, failure.map(|failure| refused(name, failure))))),
        Err(PipelineError::Interrupted) => Err(PipelineError::Interrupted),
        Err(error) => Ok(Some((failed((name, role), endpoint, &error), Some(error)))),
    }
}

/// An endpoint whose failure says why it was not found out what it can do.
fn failed((name, role): (&str, &str), endpoint: &Endpoint, failure: &PipelineError) -> EndpointProbe {
    let blank = blank((name, endpoint), ServerFacts::default(), clock::now_unix_ms());
    EndpointProbe { role: role.to_owned(), failure: Some(failure.to_string()), ..blank }
}
