//! Connections and purses that all jobs of a run share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cambist_io::{
    clock,
    dialect::teacher::KeyHeader,
    endpoint::{Endpoint, Limits, Timeouts},
    ledger::{HourlySpending, Ledger},
    money::{
        amount::PicoUsd,
        day::Day,
        purse::{Listener, Purse, Reservation, TeacherPurse},
    },
    transport::{AuthHeaders, Client, SpendingCap, Tempo, Transport, TransportOptions},
};

use crate::{error::PipelineError, recipe::Budget};

/// How long a question about the server itself may take.
const PROBE_SECONDS: f64 = 30.0;

/// Connections and purses that all jobs of a run share.
pub(crate) struct Network {
    open: Mutex<Open>,
    purse: Option<Arc<Purse>>,
}

#[derive(Default)]
struct Open {
    transport: Option<Transport>,
    clients: HashMap<(String, String), Client>,
}

impl Open {
    /// The transport, started when it is first needed.
    fn transport(&mut self) -> Result<&Transport, PipelineError> {
        match &mut self.transport {
            Some(transport) => Ok(transport),
            none => Ok(none.insert(Transport::start(options())?)),
        }
    }
}

impl Network {
    /// For work that asks nobody.
    pub(crate) fn idle() -> Self {
        Self { open: Mutex::default(), purse: None }
    }

    /// Opens nothing yet; what a day may cost counts what the ledger says of the last 24 hours.
    pub(crate) fn new(budget: &Budget, ledger: &Ledger) -> Result<Self, PipelineError> {
        let mut network = Self::idle();
        if budget.is_limited() {
            let of_teacher = |(name, usd): (&String, &f64)| (name.clone(), PicoUsd::from_usd(*usd));
            let per_teacher = budget.per_teacher_usd.iter().map(of_teacher).collect();
            let purse = Purse::new(budget.total_usd.map(PicoUsd::from_usd), per_teacher);
            network.purse = Some(Arc::new(match budget.per_day_usd {
                Some(cap) => purse.with_day(day(PicoUsd::from_usd(cap), ledger)?),
                None => purse,
            }));
        }
        Ok(network)
    }

    /// The connection to an endpoint, one for everybody who asks it as the same model.
    pub(crate) fn client(&self, endpoint: &Endpoint, key_header: KeyHeader) -> Result<Client, PipelineError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (endpoint.base_url.clone(), format!("{} {}", endpoint.dialect, endpoint.model));
        if let Some(client) = open.clients.get(&name) {
            return Ok(client.clone());
        }
        let keys = AuthHeaders::from_environment(endpoint, key_header)?;
        let client = open.transport()?.client(endpoint, keys)?;
        open.clients.insert(name, client.clone());
        Ok(client)
    }

    /// A connection to an endpoint for questions about itself: they are few, and what becomes of them is no sign of how
    /// many calls it bears.
    pub(crate) fn probe_client(&self, endpoint: &Endpoint, key_header: KeyHeader) -> Result<Client, PipelineError> {
        let most = |seconds: f64| seconds.min(PROBE_SECONDS);
        let Timeouts { connect, first_byte, idle, .. } = endpoint.timeouts;
        let total = Some(most(endpoint.timeouts.total_seconds()));
        let timeouts = Timeouts { connect: most(connect), first_byte: most(first_byte), idle: most(idle), total };
        // So few are worth no wait.
        let limits = Limits { concurrency: Some(1), ..Limits::default() };
        let asked = Endpoint { timeouts, limits, ..endpoint.clone() };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = AuthHeaders::from_environment(endpoint, key_header)?;
        Ok(open.transport()?.client(&asked, keys)?)
    }

    /// What a teacher or arbiter may spend; none without a budget.
    pub(crate) fn purse(&self, name: &str) -> Option<Arc<dyn SpendingCap>> {
        let purse = self.purse.as_ref()?;
        Some(Arc::new(Pocket(purse.for_teacher(name))))
    }
}

/// A day with what all runs of the store have spent in it.
fn day(cap: PicoUsd, ledger: &Ledger) -> Result<Day, PipelineError> {
    let spent = ledger.spent_since(Day::begin_unix_ms(clock::now_unix_ms()))?;
    let add = |day: Day, hour: &HourlySpending| day.with(hour.begin_unix_ms, PicoUsd::from_usd(hour.usd));
    Ok(spent.iter().fold(Day::new(cap, clock::now_unix_ms), add))
}

/// A server that was never there is told soon; one that goes down in the night is waited for.
fn options() -> TransportOptions {
    TransportOptions { tempo: Tempo { first_patience: 20.0, ..Tempo::default() }, ..TransportOptions::default() }
}

/// A teacher's share of the purse, as the transport reserves from it.
struct Pocket(TeacherPurse);

impl SpendingCap for Pocket {
    fn reserve(&self, usd: f64) -> Reservation {
        self.0.reserve(usd)
    }

    fn settle(&self, reserved_usd: f64, spent_usd: f64) {
        self.0.settle(reserved_usd, spent_usd);
    }

    fn follow(&self, listener: Listener) {
        self.0.follow(listener);
    }
}
