//! Sends exchanges to endpoints: connections, retries by meaning, pacing, and nothing that knows a dialect.
//!
//! The outside is synchronous: a [`Submit`] blocks while its queue is full, [`Outcomes`] block until something is
//! settled. Every exchange that was accepted comes back exactly once, answered or failed.

pub mod keys;

pub mod stop;

mod address;
mod alarm;
mod client;
mod engine;
mod error;
mod gauge;
mod hints;
mod jitter;
mod lane;
mod lock;
mod pace;
mod policy;
mod tempo;
mod wire;

use std::sync::Arc;

pub use client::Client;
pub use error::TransportError;
pub use gauge::Gauge;
pub use keys::AuthHeaders;
pub use lane::{LaneClosed, LaneOptions, Outcomes, SpendingCap, Submit};
pub use stop::StopSignal;
pub use tempo::Tempo;

use self::engine::Engine;
use crate::endpoint::Endpoint;

/// Owns the threads that all connections live on; clients keep them alive.
#[derive(Clone, Debug)]
pub struct Transport {
    engine: Arc<Engine>,
    tempo: Tempo,
}

/// How a transport runs; changes no result.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// Threads for the network, 1 by default.
    pub n_threads: usize,
    /// The waits and windows of pacing and retries.
    pub tempo: Tempo,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self { n_threads: 1, tempo: Tempo::default() }
    }
}

impl Transport {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`TransportError::Threads`] when the system refuses a thread.
    pub fn start(options: TransportOptions) -> Result<Self, TransportError> {
        let engine = Engine::start(options.n_threads)?;
        Ok(Self { engine: Arc::new(engine), tempo: options.tempo })
    }

    /// Returns a client with connections, limits and counters of its own: one per endpoint, model and role.
    ///
    /// Proxies are taken from `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; loopback is never proxied.
    ///
    /// # Errors
    /// When the address cannot be read, a header names a variable that is not set, or TLS cannot start.
    pub fn client(&self, endpoint: &Endpoint, keys: AuthHeaders) -> Result<Client, TransportError> {
        Client::new(Arc::clone(&self.engine), endpoint, keys, self.tempo.clone())
    }
}
