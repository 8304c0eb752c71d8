//! How a run tells what it is doing, to whoever listens.

use std::collections::BTreeMap;

use cambist_io::store::EndpointProbe;

/// Listens to a run. Calls come from several threads.
pub trait Progress: Sync {
    /// A job begins.
    fn begin(&self, job: &str, verb: &str);
    /// `done` of `total` units (`rows`, `steps`, `calls`) are done; `note` is a short reading such as the loss.
    fn advance(&self, job: &str, at: Advance<'_>);
    /// What a training run minimises, as a formula with its numbers; says nothing by default.
    fn minimises(&self, _job: &str, _formula: &str) {}
    /// How far each teacher is, for screens with room; says nothing by default.
    fn teachers(&self, _job: &str, _teachers: &BTreeMap<&str, TeacherProgress>) {}
    /// What a server was found to be and to do before it is asked; says nothing by default.
    fn probed(&self, _probe: &EndpointProbe) {}
    /// What a user should know of a job that goes on all the same; says nothing by default.
    fn warn(&self, _job: &str, _warning: &str) {}
    /// How many answers were scored; says nothing by default.
    fn scores(&self, _job: &str, _at: Advance<'_>) {}
    /// A job ended; `reused` when it was finished before.
    fn end(&self, job: &str, outcome: Outcome<'_>);
}

/// How far a job is.
#[derive(Clone, Copy, Debug)]
pub struct Advance<'a> {
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// What a unit is, in the plural.
    pub unit: &'static str,
    /// A short reading such as `loss 0.31`; empty for none.
    pub note: &'a str,
}

/// How far one teacher is in one job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TeacherProgress {
    /// Calls that ended, with an answer or without.
    pub done: u64,
    /// Calls in all.
    pub total: u64,
    /// Calls that ended without an answer.
    pub failed: u64,
    /// USD paid in this run, as far as it is known.
    pub cost_usd: f64,
    /// Calls in flight.
    pub in_flight: u64,
    /// How many may be in flight.
    pub limit: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Why the endpoint pauses, where it does.
    pub paused: Option<String>,
    /// Calls that ended, by language.
    pub languages: BTreeMap<String, u64>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Its artifact was there already.
    Reused {
        /// The artifact's short name.
        artifact: &'a str,
    },
    /// It made its artifact.
    Made {
        /// The artifact's short name.
        artifact: &'a str,
        /// How long it took.
        seconds: f64,
    },
    /// It failed; the error comes back from the run.
    Failed,
    /// The user asked to stop before it was finished.
    Stopped,
}

/// Listens and says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _job: &str, _verb: &str) {}
    fn advance(&self, _job: &str, _at: Advance<'_>) {}
    fn end(&self, _job: &str, _outcome: Outcome<'_>) {}
}
