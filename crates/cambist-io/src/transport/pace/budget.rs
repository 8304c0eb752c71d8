//! Retries as a share of what succeeds, so that a sick server is not asked more than a healthy one.

/// Parts of the window: what is older than the window is forgotten one part at a time.
const N_PARTS: usize = 60;

/// Counts over the last seconds.
#[derive(Clone, Debug)]
struct Window {
    counts: [u64; N_PARTS],
    part: u64,
    total: u64,
    seconds: f64,
}

impl Window {
    fn new(seconds: f64) -> Self {
        Self { counts: [0; N_PARTS], part: 0, total: 0, seconds }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of parts since the start")]
    fn forget(&mut self, now: f64) {
        let part = (now.max(0.0) / self.seconds * N_PARTS as f64) as u64;
        // One more than the parts of a window, so that what is counted is never younger than it looks.
        for at in (self.part + 1..=part).take(N_PARTS) {
            let count = &mut self.counts[at as usize % N_PARTS];
            self.total -= *count;
            *count = 0;
        }
        self.part = self.part.max(part);
    }

    fn add(&mut self, now: f64) {
        self.forget(now);
        self.counts[self.part as usize % N_PARTS] += 1;
        self.total += 1;
    }

    fn total(&mut self, now: f64) -> u64 {
        self.forget(now);
        self.total
    }
}

/// Admits retries as a share of successes.
#[derive(Clone, Debug)]
pub(in crate::transport) struct RetryBudget {
    ratio: f64,
    floor: f64,
    retries: Window,
    successes: Window,
}

impl RetryBudget {
    /// Admits `ratio` of the successes of any window, and `floor` retries whatever succeeded.
    pub(in crate::transport) fn new(ratio: f64, floor: u32, window: f64) -> Self {
        Self { ratio, floor: f64::from(floor), retries: Window::new(window), successes: Window::new(window) }
    }

    /// Notes a success.
    pub(in crate::transport) fn succeeded(&mut self, now: f64) {
        self.successes.add(now);
    }

    /// When a retry is admitted: now, or the second at which to ask again.
    pub(in crate::transport) fn free_at(&mut self, now: f64) -> f64 {
        let allowed = (self.ratio * self.successes.total(now) as f64).max(self.floor);
        let is_free = ((self.retries.total(now) + 1) as f64) <= allowed.max(1.0);
        if is_free { now } else { now + self.retries.seconds / N_PARTS as f64 }
    }

    /// Notes a retry.
    pub(in crate::transport) fn charge(&mut self, now: f64) {
        self.retries.add(now);
    }
}

#[cfg(test)]
mod tests {
    use super::RetryBudget;

    fn n_admitted(budget: &mut RetryBudget, now: f64, n: usize) -> usize {
        (0..n)
            .filter(|_| {
                budget.free_at(now) <= now && {
                    budget.charge(now);
                    true
                }
            })
            .count()
    }

    #[test]
    fn a_fifth_of_the_successes_may_be_asked_again() {
        let mut budget = RetryBudget::new(0.2, 10, 60.0);
        assert_eq!(n_admitted(&mut budget, 0.0, 100), 10, "the floor");
        (0..500).for_each(|_| budget.succeeded(1.0));
        assert_eq!(n_admitted(&mut budget, 2.0, 1000), 90, "a fifth of 500, less the ten");
        assert_eq!(n_admitted(&mut budget, 30.0, 1000), 0);
    }

    #[test]
    fn after_a_window_the_floor_is_free_again_and_a_denial_names_a_later_second() {
        let mut budget = RetryBudget::new(0.2, 10, 60.0);
        assert_eq!(n_admitted(&mut budget, 0.5, 100), 10);
        let mut now = 0.5;
        while budget.free_at(now) > now {
            now = budget.free_at(now);
        }
        assert!((59.5..=62.0).contains(&now), "{now}");
    }
}
