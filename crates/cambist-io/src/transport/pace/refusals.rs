//! The number in flight that a server which refuses allows: down by a quarter, up by one (AIMD).

/// Successes that raise the limit by one.
const N_PER_STEP: u32 = 25;
/// The same close to where the server last refused.
const N_PER_CAREFUL_STEP: u32 = 100;
/// Seconds without a refusal after which it is forgotten where that was.
const FORGET: f64 = 600.0;

/// Lowers a limit when the server refuses and raises it slowly.
#[derive(Clone, Debug)]
pub(in crate::transport) struct Refusals {
    limit: usize,
    max: usize,
    ceiling: Option<usize>,
    last_cut: f64,
    last_refusal: f64,
    n_successes: u32,
    apart: f64,
}

/// What a refusal tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::transport) enum Refusal {
    /// The limit was too high, and is lower now.
    Cut,
    /// Nothing new: it was sent under the limit before.
    Stale,
    /// The lower limit is too high as well, but it is too soon to cut it again: sends pause until this second.
    TooSoon(f64),
}

impl Refusals {
    /// Begins at `max`; cuts are `apart` seconds apart at least.
    pub(in crate::transport) fn new(max: usize, apart: f64) -> Self {
        let max = max.max(1);
        let never = f64::NEG_INFINITY;
        Self { limit: max, max, ceiling: None, last_cut: never, last_refusal: never, n_successes: 0, apart }
    }

    /// How many may be in flight, in `[1, max]`.
    pub(in crate::transport) fn limit(&self) -> usize {
        self.limit
    }

    /// Notes a refusal of what was sent at `sent_at` while `in_force` were allowed. What was sent before the last cut
    /// tells nothing about the limit since.
    pub(in crate::transport) fn refused(&mut self, now: f64, sent_at: f64, in_force: usize) -> Refusal {
        self.last_refusal = now;
        if sent_at < self.last_cut {
            return Refusal::Stale;
        }
        if now - self.last_cut < self.apart {
            return Refusal::TooSoon(self.last_cut + self.apart);
        }
        let in_force = in_force.clamp(1, self.max);
        self.limit = (in_force * 3 / 4).max(1);
        self.ceiling = Some(in_force);
        self.last_cut = now;
        self.n_successes = 0;
        Refusal::Cut
    }

    /// Notes a success.
    pub(in crate::transport) fn succeeded(&mut self, now: f64) {
        if now - self.last_refusal > FORGET {
            self.ceiling = None;
        }
        self.n_successes += 1;
        let is_close = self.ceiling.is_some_and(|ceiling| self.limit * 10 >= ceiling * 9);
        let n_needed = if is_close { N_PER_CAREFUL_STEP } else { N_PER_STEP };
        if self.n_successes >= n_needed {
            self.n_successes = 0;
            self.limit = (self.limit + 1).min(self.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Refusal, Refusals};

    #[test]
    fn one_burst_cuts_once() {
        let mut refusals = Refusals::new(100, 1.0);
        assert_eq!(refusals.refused(10.0, 9.0, 40), Refusal::Cut);
        assert_eq!(refusals.limit(), 30);
        for _ in 0..39 {
            assert_eq!(refusals.refused(10.1, 9.5, 30), Refusal::Stale);
        }
        assert_eq!(refusals.refused(10.5, 10.2, 30), Refusal::TooSoon(11.0));
        assert_eq!(refusals.refused(15.0, 9.9, 30), Refusal::Stale);
        assert_eq!(refusals.refused(15.0, 14.0, 30), Refusal::Cut);
        assert_eq!(refusals.limit(), 22);
    }

    #[test]
    fn the_limit_rises_by_one_for_25_successes_and_for_100_near_the_ceiling() {
        let mut refusals = Refusals::new(100, 1.0);
        refusals.refused(0.0, 0.0, 40);
        let mut n_for = Vec::new();
        let mut n = 0;
        while refusals.limit() < 38 {
            let before = refusals.limit();
            refusals.succeeded(1.0);
            n += 1;
            if refusals.limit() > before {
                n_for.push(n);
                n = 0;
            }
        }
        assert_eq!(n_for, [25, 25, 25, 25, 25, 25, 100, 100]);
    }

    #[test]
    fn the_ceiling_is_forgotten_after_ten_clean_minutes() {
        let mut refusals = Refusals::new(100, 1.0);
        refusals.refused(0.0, 0.0, 4);
        refusals.limit = 4;
        for _ in 0..25 {
            refusals.succeeded(601.0);
        }
        assert_eq!(refusals.limit(), 5);
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds(
            max in 1..600usize,
            events in prop::collection::vec((0.0..3.0f64, any::<bool>(), 0..700usize), 0..500),
        ) {
            let mut refusals = Refusals::new(max, 1.0);
            let mut now = 0.0;
            for (gap, is_refusal, in_force) in events {
                now += gap;
                if is_refusal { refusals.refused(now, now - 0.5, in_force); } else { refusals.succeeded(now); }
                prop_assert!((1..=max).contains(&refusals.limit()));
            }
        }
    }
}
