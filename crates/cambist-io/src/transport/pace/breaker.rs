//! Stops sending to an endpoint that fails again and again, and tries it now and then.

/// Failures in a row that open it.
const N_IN_A_ROW: u32 = 5;

/// What may be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::transport) enum Gate {
    /// Anything.
    Open,
    /// One request, to try.
    Trial,
    /// Nothing before this second.
    Until(f64),
    /// Nothing before the trial ended.
    TrialRuns,
}

/// Counts failures in a row.
#[derive(Clone, Debug)]
pub(in crate::transport) struct Breaker {
    n_in_a_row: u32,
    wait: f64,
    shut_until: Option<f64>,
    trial_runs: bool,
}

impl Breaker {
    /// Shuts for `wait` seconds at a time.
    pub(in crate::transport) fn new(wait: f64) -> Self {
        Self { n_in_a_row: 0, wait, shut_until: None, trial_runs: false }
    }

    /// What may be sent at `now`.
    pub(in crate::transport) fn gate(&self, now: f64) -> Gate {
        match self.shut_until {
            None => Gate::Open,
            Some(_) if self.trial_runs => Gate::TrialRuns,
            Some(until) if now < until => Gate::Until(until),
            Some(_) => Gate::Trial,
        }
    }

    /// Notes that the trial was sent.
    pub(in crate::transport) fn begin_trial(&mut self) {
        self.trial_runs = true;
    }

    /// Notes a reply that shows that the endpoint works.
    pub(in crate::transport) fn succeeded(&mut self) {
        *self = Self::new(self.wait);
    }

    /// Notes a failure of the endpoint.
    pub(in crate::transport) fn failed(&mut self, now: f64, was_trial: bool) {
        self.n_in_a_row = self.n_in_a_row.saturating_add(1);
        let is_first = self.shut_until.is_none() && self.n_in_a_row >= N_IN_A_ROW;
        if is_first || was_trial {
            self.shut_until = Some(now + self.wait);
        }
        self.trial_runs &= !was_trial;
    }

    /// Notes that a trial ended and told nothing.
    pub(in crate::transport) fn ended_untold(&mut self, was_trial: bool) {
        self.trial_runs &= !was_trial;
    }

    /// Whether only trials are sent.
    pub(in crate::transport) fn is_shut(&self) -> bool {
        self.shut_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, Gate};

    fn shut_at(now: f64) -> Breaker {
        let mut breaker = Breaker::new(30.0);
        for _ in 0..5 {
            assert_eq!(breaker.gate(now), Gate::Open);
            breaker.failed(now, false);
        }
        breaker
    }

    #[test]
    fn five_in_a_row_shut_it_and_one_trial_decides() {
        let mut breaker = shut_at(10.0);
        assert_eq!(breaker.gate(39.9), Gate::Until(40.0));
        assert_eq!(breaker.gate(40.0), Gate::Trial);
        breaker.begin_trial();
        assert_eq!(breaker.gate(41.0), Gate::TrialRuns);
        breaker.failed(42.0, true);
        assert_eq!(breaker.gate(43.0), Gate::Until(72.0));
        breaker.begin_trial();
        breaker.succeeded();
        assert_eq!(breaker.gate(73.0), Gate::Open);
    }

    #[test]
    fn late_failures_of_the_burst_do_not_prolong_it_and_untold_trials_free_the_way() {
        let mut breaker = shut_at(10.0);
        breaker.failed(20.0, false);
        assert_eq!(breaker.gate(40.0), Gate::Trial);
        breaker.begin_trial();
        breaker.ended_untold(true);
        assert_eq!(breaker.gate(41.0), Gate::Trial);
    }

    #[test]
    fn a_success_between_begins_the_count_again() {
        let mut breaker = Breaker::new(30.0);
        for _ in 0..20 {
            (0..4).for_each(|_| breaker.failed(0.0, false));
            breaker.succeeded();
        }
        assert_eq!(breaker.gate(0.0), Gate::Open);
    }
}
