//! What is spent in a day, hour by hour.

use std::collections::BTreeMap;

use super::{
    amount::PicoUsd,
    purse::{Pocket, Reservation},
};

const HOUR_MS: u64 = 3_600_000;

/// A day in hours, the one that has begun beside them.
const N_HOURS: u64 = 24;

/// A cap on what is spent in the last 24 hours: an hour counts until it has been over for a day.
#[derive(Clone, Debug)]
pub struct Day {
    cap: PicoUsd,
    reserved: PicoUsd,
    /// By hour since 1970 (UTC).
    spent: BTreeMap<u64, PicoUsd>,
    now_unix_ms: fn() -> u64,
}

impl Day {
    /// Returns a day in which nothing is spent yet; `now_unix_ms` tells the time.
    pub fn new(cap: PicoUsd, now_unix_ms: fn() -> u64) -> Self {
        Self { cap, reserved: PicoUsd::ZERO, spent: BTreeMap::new(), now_unix_ms }
    }

    /// Adds what was spent at a time before.
    #[must_use]
    pub fn with(mut self, unix_ms: u64, spent: PicoUsd) -> Self {
        self.add(unix_ms, spent);
        self
    }

    /// How far back spending counts, in milliseconds since 1970 (UTC).
    pub fn begin_unix_ms(now_unix_ms: u64) -> u64 {
        (now_unix_ms / HOUR_MS).saturating_sub(N_HOURS) * HOUR_MS
    }

    pub(super) fn room(&mut self, worst: PicoUsd) -> Reservation {
        let begin = Self::begin_unix_ms((self.now_unix_ms)()) / HOUR_MS;
        self.spent.retain(|hour, _| *hour >= begin);
        let spent = self.spent.values().copied().sum();
        Pocket { cap: Some(self.cap), spent, reserved: self.reserved }.room(worst)
    }

    pub(super) fn reserve(&mut self, worst: PicoUsd) {
        self.reserved = self.reserved.plus(worst);
    }

    pub(super) fn settle(&mut self, reserved: PicoUsd, actual: PicoUsd) {
        self.reserved = self.reserved.minus(reserved);
        self.add((self.now_unix_ms)(), actual);
    }

    fn add(&mut self, unix_ms: u64, spent: PicoUsd) {
        let of_hour = self.spent.entry(unix_ms / HOUR_MS).or_default();
        *of_hour = of_hour.plus(spent);
    }
}
