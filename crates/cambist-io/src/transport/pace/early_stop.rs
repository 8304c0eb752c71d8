//! Gives up on an endpoint whose answers are mostly errors.

use std::collections::{BTreeMap, VecDeque};

use crate::exchange::{Failure, FailureClass};

/// Finished exchanges that are looked at.
const N_LAST: usize = 50;
/// Errors among them that are needed at least.
const N_ERRORS: usize = 25;
/// Different messages that are kept.
const N_MESSAGES: usize = 64;

/// Watches how exchanges end, not how attempts do: what a retry mends is no error.
#[derive(Clone, Debug, Default)]
pub(in crate::transport) struct EarlyStop {
    last: VecDeque<bool>,
    n_errors: usize,
    messages: BTreeMap<String, u64>,
}

impl EarlyStop {
    /// Notes how an exchange ended; returns why to stop, once more than half of the last 50 are errors and at least
    /// 25 are.
    pub(in crate::transport) fn finished(&mut self, failure: Option<&Failure>) -> Option<String> {
        if failure.is_some_and(|failure| matches!(failure.class, FailureClass::Capacity | FailureClass::Stopped)) {
            return None;
        }
        self.last.push_back(failure.is_some());
        self.n_errors += usize::from(failure.is_some());
        if self.last.len() > N_LAST {
            self.n_errors -= usize::from(self.last.pop_front() == Some(true));
        }
        self.keep(failure?);
        let is_half = 2 * self.n_errors > self.last.len();
        (self.n_errors >= N_ERRORS && is_half).then(|| self.words())
    }

    fn keep(&mut self, failure: &Failure) {
        let message = failure.to_string();
        if self.messages.len() < N_MESSAGES || self.messages.contains_key(&message) {
            *self.messages.entry(message).or_default() += 1;
        }
    }

    fn words(&self) -> String {
        let mut messages: Vec<(&String, &u64)> = self.messages.iter().collect();
        messages.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let top: Vec<String> = messages.iter().take(3).map(|(message, count)| format!("{count} x {message}")).collect();
        format!("{} of the last {} exchanges failed: {}", self.n_errors, self.last.len(), top.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::EarlyStop;
    use crate::exchange::{Failure, FailureClass};

    #[test]
    fn a_few_errors_among_many_answers_never_stop() {
        let mut early = EarlyStop::default();
        let failure = Failure::new(FailureClass::Server, "500");
        for n in 0..10_000 {
            assert_eq!(early.finished((n % 25 == 0).then_some(&failure)), None, "4 in 100");
        }
        for n in 0..10_000 {
            assert_eq!(early.finished((n % 2 == 0).then_some(&failure)), None, "half is not more than half");
        }
    }

    #[test]
    fn twenty_five_errors_stop_and_the_top_three_messages_are_named() {
        let mut early = EarlyStop::default();
        let mut why = None;
        for n in 0..25 {
            assert_eq!(why, None, "after {n}");
            let reason = ["no", "no", "no", "wrong", "wrong", "odd", "rare"][n % 7];
            why = early.finished(Some(&Failure::new(FailureClass::Request, reason)));
        }
        let why = why.unwrap();
        assert!(why.starts_with("25 of the last 25 exchanges failed: 12 x request: no; 7 x request: wrong;"), "{why}");
        assert!(!why.contains("rare"));
    }

    #[test]
    fn refusals_for_want_of_room_do_not_count() {
        let mut early = EarlyStop::default();
        for _ in 0..200 {
            assert_eq!(early.finished(Some(&Failure::new(FailureClass::Capacity, "429"))), None);
        }
    }
}
