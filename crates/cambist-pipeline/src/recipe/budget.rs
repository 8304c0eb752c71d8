//! What a run may spend.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one run may spend; no limit by default. A cap stops new calls and lets those in flight
/// finish.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// USD in one run, all teachers and arbiters together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_usd: Option<f64>,
    /// USD in the last 24 hours, this run and all others of the store together; an hour counts until it has been over
    /// for a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day_usd: Option<f64>,
    /// USD in one run, by teacher or arbiter.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub per_teacher_usd: BTreeMap<String, f64>,
}

impl Budget {
    /// Whether anything is limited.
    pub fn is_limited(&self) -> bool {
        self.total_usd.is_some() || self.per_day_usd.is_some() || !self.per_teacher_usd.is_empty()
    }
}
