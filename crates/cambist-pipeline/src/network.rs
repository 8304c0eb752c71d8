//! Connections and purses that all jobs of a run share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cambist_io::{
    dialect::teacher::KeyHeader,
    endpoint::Endpoint,
    money::CappedPurse,
    transport::{AuthHeaders, Client, Purse, Transport, TransportOptions},
};

use crate::{error::PipelineError, recipe::Budget};

/// Connections and purses that all jobs of a run share.
pub(crate) struct Network {
    open: Mutex<Open>,
    purse: Option<Arc<CappedPurse>>,
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
            let per_teacher = budget.per_teacher_usd.iter().map(|(name, usd)| (name.clone(), *usd)).collect();
            Arc::new(CappedPurse::new(budget.total_usd, per_teacher))
        });
        Self { open: Mutex::default(), purse }
    }

    /// The connection to an endpoint, one for everybody who asks it as the same model.
    pub(crate) fn client(
        &self,
        endpoint: &Endpoint,
        key_header: KeyHeader,
        usual_key_env: &str,
    ) -> Result<Client, PipelineError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (endpoint.base_url.clone(), format!("{} {}", endpoint.dialect, endpoint.model));
        if let Some(client) = open.clients.get(&name) {
            return Ok(client.clone());
        }
        if open.transport.is_none() {
            open.transport = Some(Transport::start(TransportOptions::default())?);
        }
        let keys = AuthHeaders::from_environment(endpoint, key_header, usual_key_env)?;
        let Some(transport) = &open.transport else {
            return Err(PipelineError::Internal("the transport did not start".to_owned()));
        };
        let client = transport.client(endpoint, keys)?;
        open.clients.insert(name, client.clone());
        Ok(client)
    }

    /// What a teacher or arbiter may spend; none without a budget.
    pub(crate) fn purse(&self, name: &str) -> Option<Arc<dyn Purse>> {
        self.purse.as_ref().map(|purse| purse.of(name))
    }
}
