//! What servers can do, found out before they are asked anything that counts.
//!
//! A run makes the trials whose outcome decides how it asks, and keeps what they showed for a day; it is told by the
//! server's own pages, every time, what the server is and which models it has.

mod look;
mod trials;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cambist_io::{
    clock,
    dialect::{
        identity::plain_address,
        probe::{ServerFacts, Shown},
        teacher::TeacherDialect,
    },
    endpoint::Endpoint,
    exchange::{Failure, FailureClass},
    store::{EndpointProbe, PROBE_SCHEMA, ProbeRecord, Store, Trial, Trials},
    transport::Client,
};

pub(super) use self::look::look;
use super::{remote::Remote, remote_arbiter::RemoteArbiter};
use crate::{
    error::PipelineError,
    recipe::Recipe,
    run::{Capabilities, Workshop},
};

/// What is wanted of a server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// Several answers to one prompt.
    pub several: bool,
    /// Whatever can be found out.
    pub everything: bool,
}

/// What was found out in this run.
pub(crate) struct Probes<'a> {
    /// Where it is kept; nothing is asked without.
    store: Option<&'a Store>,
    mode: Capabilities,
    seats: Mutex<BTreeMap<String, Arc<Mutex<Seat>>>>,
    record: Mutex<BTreeSet<String>>,
}

/// What was found of an endpoint, and why it cannot be asked all the same, if so.
pub(super) struct Met {
    probe: EndpointProbe,
    failure: Option<Failure>,
}

/// What is known of one server as one model.
#[derive(Default)]
struct Seat {
    facts: Option<ServerFacts>,
    trials: Trials,
}

impl<'a> Probes<'a> {
    /// Knows nothing yet.
    pub(crate) fn new(store: &'a Store, mode: Capabilities) -> Self {
        Self { store: Some(store), mode, ..Self::none() }
    }

    /// Asks nobody.
    pub(crate) fn none() -> Self {
        Self { store: None, mode: Capabilities::Never, seats: Mutex::default(), record: Mutex::default() }
    }

    /// Finds out what a teacher's server can do, as far as it decides how it is asked, and lets the teacher know.
    ///
    /// # Errors
    /// When nobody answers at its address, or it has no such model.
    pub(super) fn meet(
        &self,
        workshop: &Workshop<'_>,
        (name, remote): (&str, &Remote),
        wish: Wish,
    ) -> Result<Option<Met>, PipelineError> {
        let (Some(store), true) = (self.store, self.mode != Capabilities::Never) else { return Ok(None) };
        let (endpoint, dialect) = (remote.endpoint(), remote.dialect());
        let seat = self.seat(&seat_name(endpoint, remote));
        let mut seat = hold(&seat);
        let client = workshop.network.probe_client(endpoint, dialect.key_header())?;
        let facts = self.facts(workshop, (name, endpoint), (&client, Some(dialect)), &mut seat)?;
        let server = server_name(endpoint, &facts);
        let now = clock::now_unix_ms();
        if self.mode == Capabilities::Force && seat.trials == Trials::default() {
            store.forget_trials(&server)?;
        }
        adopt(&mut seat.trials, store.known_trials(&server, now));
        let before = seat.trials.clone();
        let trying = trials::Trying { workshop, name, remote, client: &client, facts: &facts };
        let tried = trying.make(&mut seat.trials, wish)?;
        if seat.trials != before {
            store.keep_trials(&server, &of_server(&seat.trials), now)?;
        }
        heed(workshop, remote, (&facts, &seat.trials))?;
        let probe = EndpointProbe {
            role: "teacher".to_owned(),
            trials: seat.trials.clone(),
            warnings: warnings(name, remote, &seat.trials),
            failure: tried.failure.as_ref().map(ToString::to_string),
            cost_usd: tried.cost_usd,
            ..blank((name, endpoint), facts, now)
        };
        self.tell(workshop, store, &probe)?;
        Ok(Some(Met { probe, failure: tried.failure }))
    }

    /// Finds out what an arbiter's server is, and whether a reward model gives raw rewards.
    ///
    /// # Errors
    /// When nobody answers at its address, it has no such model, or its values are no rewards.
    pub(super) fn meet_arbiter(
        &self,
        workshop: &Workshop<'_>,
        arbiter: &RemoteArbiter,
    ) -> Result<Option<Met>, PipelineError> {
        let Some(store) = self.store else { return Ok(None) };
        let (name, endpoint) = (arbiter.name(), arbiter.endpoint());
        let client = workshop.network.probe_client(endpoint, arbiter.key_header())?;
        let facts = self.facts(workshop, (name, endpoint), (&client, arbiter.judge_dialect()), &mut Seat::default())?;
        let mut trials = Trials::default();
        if arbiter.probes() {
            arbiter.probe(workshop, &workshop.client(endpoint, arbiter.key_header())?)?;
            trials.shown.insert(Trial::RawRewards, Shown::Yes);
        }
        let role = if arbiter.judge_dialect().is_some() { "judge" } else { "reward model" };
        let blank = blank((name, endpoint), facts, clock::now_unix_ms());
        let probe = EndpointProbe { role: role.to_owned(), trials, ..blank };
        self.tell(workshop, store, &probe)?;
        Ok(Some(Met { probe, failure: None }))
    }

    /// What the server says of itself, asked once in a run.
    fn facts(
        &self,
        workshop: &Workshop<'_>,
        (name, endpoint): (&str, &Endpoint),
        (client, dialect): (&Client, Option<TeacherDialect>),
        seat: &mut Seat,
    ) -> Result<ServerFacts, PipelineError> {
        if let Some(facts) = &seat.facts {
            return Ok(facts.clone());
        }
        let asked = look((workshop, client), dialect, &endpoint.model);
        let (facts, has_model) = asked.map_err(|failure| not_there(workshop, name, failure))?;
        if !has_model {
            return Err(PipelineError::NoModel {
                name: name.to_owned(),
                address: plain_address(&endpoint.base_url),
                model: endpoint.model.clone(),
                known: some_of(&facts.models),
            });
        }
        seat.facts = Some(facts.clone());
        Ok(facts)
    }

    fn seat(&self, name: &str) -> Arc<Mutex<Seat>> {
        Arc::clone(hold(&self.seats).entry(name.to_owned()).or_default())
    }

    /// Writes down what was found and tells whoever listens, once in a run for each name.
    fn tell(&self, workshop: &Workshop<'_>, store: &Store, probe: &EndpointProbe) -> Result<(), PipelineError> {
        let mut told = hold(&self.record);
        let recipe = &workshop.plan.recipe;
        // A record that cannot be read is written anew: it only says what was found last.
        let before = store.probe_record(&recipe.name).ok().flatten().map(|record| record.endpoints);
        let mut endpoints = before.unwrap_or_default();
        endpoints.retain(|name, _| declares(recipe, name));
        endpoints.insert(probe.name.clone(), probe.clone());
        let record = ProbeRecord { schema_version: PROBE_SCHEMA, recipe: recipe.name.clone(), endpoints };
        store.record_probe(&record)?;
        if told.insert(probe.name.clone()) {
            workshop.runtime.progress.probed(probe);
        }
        Ok(())
    }
}

fn declares(recipe: &Recipe, name: &str) -> bool {
    recipe.pool.iter().any(|member| member.id == name) || recipe.arbiters.iter().any(|arbiter| arbiter.id == name)
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Teachers that differ in their own tokenizer alone are told apart: it is compared with the server's.
fn seat_name(endpoint: &Endpoint, remote: &Remote) -> String {
    let tokenizer = remote.tokenizer().map(|path| path.display().to_string()).unwrap_or_default();
    format!("{} {} {} {tokenizer}", plain_address(&endpoint.base_url), endpoint.dialect, endpoint.model)
}

/// What names a server for a day.
fn server_name(endpoint: &Endpoint, facts: &ServerFacts) -> String {
    let version = facts.version.as_deref().unwrap_or("unknown");
    format!("{} {} {} {version}", plain_address(&endpoint.base_url), endpoint.dialect, endpoint.model)
}

/// Takes over what was known before, where nothing newer is.
fn adopt(trials: &mut Trials, known: Trials) {
    for (trial, shown) in known.shown {
        trials.shown.entry(trial).or_insert(shown);
    }
    trials.length_field = trials.length_field.or(known.length_field);
}

/// What is the server's own: its tokens are compared with files that may change.
fn of_server(trials: &Trials) -> Trials {
    let mut kept = trials.clone();
    kept.shown.remove(&Trial::Tokenizer);
    kept
}

/// Lets the teacher and its connection know.
fn heed(
    workshop: &Workshop<'_>,
    remote: &Remote,
    (facts, trials): (&ServerFacts, &Trials),
) -> Result<(), PipelineError> {
    if remote.may_take_n() && trials.of(Trial::N) == Some(Shown::Yes) {
        remote.take_n();
    }
    if let Some(field) = trials.length_field {
        remote.call_length(field);
    }
    if let Some(n) = facts.max_concurrency.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0) {
        workshop.client(remote.endpoint(), remote.dialect().key_header())?.cap_in_flight(n);
    }
    Ok(())
}

fn warnings(name: &str, remote: &Remote, trials: &Trials) -> Vec<String> {
    let mut told = Vec::new();
    if trials.of(Trial::Tokenizer) == Some(Shown::No) {
        told.push(format!(
            "tokenizer: the server of `{name}` cuts text into other tokens than `request.tokenizer` does: give the \
             tokenizer of the model that it serves"
        ));
    }
    if trials.of(Trial::JsonSchema) == Some(Shown::No) && remote.json_schema().is_some() {
        told.push(format!(
            "json_schema: the server of `{name}` refuses or ignores `request.json_schema`: answers will not follow it"
        ));
    }
    told
}

fn blank((name, endpoint): (&str, &Endpoint), facts: ServerFacts, now: u64) -> EndpointProbe {
    EndpointProbe {
        name: name.to_owned(),
        address: plain_address(&endpoint.base_url),
        dialect: endpoint.dialect.clone(),
        model: endpoint.model.clone(),
        facts,
        probed_at_unix_ms: now,
        ..EndpointProbe::default()
    }
}

/// An endpoint whose failure says why it was not found out what it can do.
pub(super) fn failed((name, role): (&str, &str), endpoint: &Endpoint, failure: &PipelineError) -> EndpointProbe {
    let blank = blank((name, endpoint), ServerFacts::default(), clock::now_unix_ms());
    EndpointProbe { role: role.to_owned(), failure: Some(failure.to_string()), ..blank }
}

fn not_there(workshop: &Workshop<'_>, name: &str, failure: Failure) -> PipelineError {
    if failure.class == FailureClass::Stopped && workshop.runtime.calls.is_given() {
        return PipelineError::Interrupted;
    }
    PipelineError::Endpoint { teacher: name.to_owned(), failure: Box::new(failure) }
}

/// The first names of a list that may be long.
fn some_of(models: &[String]) -> String {
    const MOST: usize = 12;
    let shown: Vec<String> = models.iter().take(MOST).map(|model| format!("`{model}`")).collect();
    let more = models.len().saturating_sub(MOST);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

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
        let (Some(endpoint), Some(remote)) = (&arbiter.endpoint, RemoteArbiter::open(arbiter, &plan.folder)?) else {
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
