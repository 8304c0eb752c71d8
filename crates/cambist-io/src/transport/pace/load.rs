//! The number in flight that serves a server best which queues instead of refusing.

mod climb;
mod metrics;

use climb::Climb;
pub(in crate::transport) use climb::Done;
pub(in crate::transport) use metrics::ServerLoad;
use metrics::follow;

/// Finds the best number in flight: by the server's own numbers where it tells them, by trying otherwise.
#[derive(Clone, Debug)]
pub(in crate::transport) struct LoadLimit {
    climb: Climb,
    told: Option<Told>,
    max: usize,
}

/// What follows the server's numbers.
#[derive(Clone, Debug)]
struct Told {
    limit: usize,
    last: ServerLoad,
}

impl LoadLimit {
    /// Begins at `start`, in `[1, max]`; an epoch lasts `epoch` seconds at least.
    pub(in crate::transport) fn new(start: usize, max: usize, epoch: f64) -> Self {
        Self { climb: Climb::new(start, max, epoch), told: None, max: max.max(1) }
    }

    /// How many may be in flight.
    pub(in crate::transport) fn limit(&self) -> usize {
        self.told.as_ref().map_or_else(|| self.climb.limit(), |told| told.limit)
    }

    /// Notes an answer.
    pub(in crate::transport) fn done(&mut self, now: f64, done: Done) {
        if self.told.is_none() {
            self.climb.done(now, done);
        }
    }

    /// Notes the server's numbers, at most once a second; `all_in_use` says that the limit held something back.
    pub(in crate::transport) fn told(&mut self, load: ServerLoad, all_in_use: bool) {
        let (limit, last) = match &self.told {
            Some(told) => (told.limit, told.last),
            None => (self.climb.limit(), load),
        };
        let limit = follow(limit, (last, load), all_in_use).clamp(1, self.max);
        self.told = Some(Told { limit, last: load });
    }
}
