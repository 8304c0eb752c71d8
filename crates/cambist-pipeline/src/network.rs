//! Connections and purses that all jobs of a run share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cambist_io::{
    dialect::teacher::KeyHeader,
    endpoint::Endpoint,
    money::{
        amount::PicoUsd,
        purse::{Purse, TeacherPurse},
    },
    transport::{AuthHeaders, Client, SpendingCap, Tempo, Transport, TransportOptions},
};

use crate::{error::PipelineError, recipe::Budget};

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

impl Network {
    /// Opens nothing yet.
    pub(crate) fn new(budget: &Budget) -> Self {
        let purse = budget.is_limited().then(|| {
            let of_teacher = |(name, usd): (&String, &f64)| (name.clone(), PicoUsd::from_usd(*usd));
            let per_teacher = budget.per_teacher_usd.iter().map(of_teacher).collect();
            Arc::new(Purse::new(budget.total_usd.map(PicoUsd::from_usd), per_teacher))
        });
        Self { open: Mutex::default(), purse }
    }

    /// The connection to an endpoint, one for everybody who asks it as the same model.
    pub(crate) fn client(&self, endpoint: &Endpoint, key_header: KeyHeader) -> Result<Client, PipelineError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (endpoint.base_url.clone(), format!("{} {}", endpoint.dialect, endpoint.model));
        if let Some(client) = open.clients.get(&name) {
            return Ok(client.clone());
        }
        if open.transport.is_none() {
            open.transport = Some(Transport::start(options())?);
        }
        let keys = AuthHeaders::from_environment(endpoint, key_header)?;
        let Some(transport) = &open.transport else {
            return Err(PipelineError::Internal("the transport did not start".to_owned()));
        };
        let client = transport.client(endpoint, keys)?;
        open.clients.insert(name, client.clone());
        Ok(client)
    }

    /// What a teacher or arbiter may spend; none without a budget.
    pub(crate) fn purse(&self, name: &str) -> Option<Arc<dyn SpendingCap>> {
        let purse = self.purse.as_ref()?;
        Some(Arc::new(Pocket(purse.for_teacher(name))))
    }
}

/// A server that was never there is told soon; one that goes down in the night is waited for.
fn options() -> TransportOptions {
    TransportOptions { tempo: Tempo { first_patience: 20.0, ..Tempo::default() }, ..TransportOptions::default() }
}

/// A teacher's share of the purse, as the transport reserves from it.
struct Pocket(TeacherPurse);

impl SpendingCap for Pocket {
    fn reserve(&self, usd: f64) -> bool {
        self.0.reserve(usd)
    }

    fn settle(&self, reserved_usd: f64, spent_usd: f64) {
        self.0.settle(reserved_usd, spent_usd);
    }
}
