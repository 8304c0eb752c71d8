//! The waits and windows of pacing and retries.

/// How long everything takes that is not a limit of an endpoint, in seconds; the defaults are those of the
/// specification, tests are quicker.
#[derive(Clone, Debug, PartialEq)]
pub struct Tempo {
    /// Before the first retry; doubles with each, 0.5 by default, and a retry waits a random part of it.
    pub backoff: f64,
    /// The longest wait of our own, 60 by default.
    pub backoff_max: f64,
    /// The longest wait that a server may ask for, 900 by default; beyond it the endpoint is paused.
    pub wait_max: f64,
    /// How long a breaker stays open, 30 by default.
    pub breaker_open: f64,
    /// How long sends pause after the server had no room and named no wait, 2 by default.
    pub cool_down: f64,
    /// Between two cuts of the number in flight after refusals at least, 1 by default.
    pub cuts_apart: f64,
    /// Over which retries are counted against successes, 60 by default.
    pub retry_window: f64,
    /// Retries that any window allows, whatever succeeded in it, 10 by default.
    pub retry_floor: u32,
    /// In how long the number in flight may double, 5 by default.
    pub doubling: f64,
    /// Requests in flight at the start, 4 by default.
    pub start_in_flight: usize,
    /// At least how long throughput is measured before the number in flight changes, 5 by default.
    pub epoch: f64,
    /// Between two looks at the server's metrics, 1 by default.
    pub metrics_every: f64,
    /// How long an endpoint may answer nothing before it is paused, 900 by default.
    pub patience: f64,
    /// The same for an endpoint that has not answered once, 120 by default.
    pub first_patience: f64,
    /// How long requests in flight may finish after a drain began, 120 by default.
    pub drain: f64,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            backoff: 0.5,
            backoff_max: 60.0,
            wait_max: 900.0,
            breaker_open: 30.0,
            cool_down: 2.0,
            cuts_apart: 1.0,
            retry_window: 60.0,
            retry_floor: 10,
            doubling: 5.0,
            start_in_flight: 4,
            epoch: 5.0,
            metrics_every: 1.0,
            patience: 900.0,
            first_patience: 120.0,
            drain: 120.0,
        }
    }
}
