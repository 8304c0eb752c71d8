//! What a client is doing, for progress displays.

use std::collections::BTreeMap;

use crate::exchange::FailureClass;

/// What a client is doing and has done, over all of its lanes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauge {
    /// Requests in flight.
    pub in_flight: usize,
    /// How many may be.
    pub limit: usize,
    /// Exchanges that were accepted and are not in flight: waiting for their turn or for another try.
    pub queued: usize,
    /// Whether the endpoint failed so often in a row that only single trials are sent.
    pub breaker_open: bool,
    /// Why nothing is sent: refused key, empty account, too many errors, a server that wants to be left alone.
    pub paused: Option<String>,
    /// Seconds until the wait that the server asked for is over; 0 without one.
    pub wait_seconds: f64,
    /// Requests sent, retries among them.
    pub sent: u64,
    /// Exchanges with an answer.
    pub answered: u64,
    /// Exchanges that ended without one, by class.
    pub failed_by_class: BTreeMap<FailureClass, u64>,
    /// Requests that failed, by class, whether asked again or not.
    pub attempts_failed_by_class: BTreeMap<FailureClass, u64>,
    /// Requests sent again after a failure; those that the server had no room for are not among them.
    pub retries: u64,
    /// Tokens that answers came to, as [`crate::exchange::Exchange::tokens_done`] counts them.
    pub tokens_done: u64,
    /// Failed requests that may have been charged.
    pub n_maybe_charged: u64,
    /// USD that those came to at most, as far as prices are known.
    pub exposure_usd: f64,
}

impl Gauge {
    /// Exchanges that ended without an answer.
    pub fn failed(&self) -> u64 {
        self.failed_by_class.values().sum()
    }
}
