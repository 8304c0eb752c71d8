//! What is done about a failure: the table of retries by meaning.

use crate::exchange::FailureClass;

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The same request once more, after a wait that grows.
    Retry,
    /// Another sample, at once: the answer came and was of no use.
    Resample,
    /// Back to the queue; no retry is spent.
    Requeue,
    /// One more try if the exchange can change its request.
    Mend,
    /// No more requests to this endpoint.
    Halt,
    /// Nothing.
    Settle,
}

/// What an exchange has used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// Retries of every kind.
    pub(super) retries: u32,
    broken_off: u32,
    timeouts: u32,
    shapes: u32,
    empties: u32,
    contents: u32,
    requests: u32,
}

impl Spent {
    /// Says what is done about a failure of `class`, where one request may be sent again `max` times.
    pub(super) fn remedy(&self, class: FailureClass, max: u32) -> Remedy {
        let within = |used: u32, most: u32, remedy| match used < most && self.retries < max {
            true => remedy,
            false => Remedy::Settle,
        };
        match class {
            FailureClass::Transport | FailureClass::Server | FailureClass::ContentType => within(0, 1, Remedy::Retry),
            FailureClass::TransportMid => within(self.broken_off, 2, Remedy::Retry),
            FailureClass::Timeout => within(self.timeouts, 2, Remedy::Retry),
            FailureClass::Shape => within(self.shapes, 2, Remedy::Resample),
            FailureClass::Empty => within(self.empties, 1, Remedy::Resample),
            FailureClass::Content => within(self.contents, 2, Remedy::Mend),
            FailureClass::Request => within(self.requests, 1, Remedy::Mend),
            FailureClass::Capacity => Remedy::Requeue,
            FailureClass::Quota | FailureClass::Auth | FailureClass::NotFound => Remedy::Halt,
            FailureClass::Overlong | FailureClass::Stopped => Remedy::Settle,
        }
    }

    /// Notes a retry after a failure of `class`.
    pub(super) fn note(&mut self, class: FailureClass) {
        self.retries += 1;
        match class {
            FailureClass::TransportMid => self.broken_off += 1,
            FailureClass::Timeout => self.timeouts += 1,
            FailureClass::Shape => self.shapes += 1,
            FailureClass::Empty => self.empties += 1,
            FailureClass::Content => self.contents += 1,
            FailureClass::Request => self.requests += 1,
            _ => {}
        }
    }

    /// The number of the sample that is asked for, from 1. Only an answer that came and was of no use makes the next
    /// attempt another sample: a broken line must not change what is asked.
    pub(super) fn sample_number(&self) -> u32 {
        1 + self.shapes + self.empties + self.contents
    }
}

/// Whether one more round at the end is worth it.
pub(super) fn is_salvageable(class: FailureClass) -> bool {
    matches!(
        class,
        FailureClass::Transport
            | FailureClass::TransportMid
            | FailureClass::Server
            | FailureClass::ContentType
            | FailureClass::Timeout
    )
}

#[cfg(test)]
mod tests {
    use super::{Remedy, Spent};
    use crate::exchange::FailureClass;

    /// How often each class is asked again when nothing else goes wrong, and what is done first.
    const TABLE: [(FailureClass, Remedy, u32); 15] = [
        (FailureClass::Transport, Remedy::Retry, 6),
        (FailureClass::TransportMid, Remedy::Retry, 2),
        (FailureClass::Server, Remedy::Retry, 6),
        (FailureClass::Capacity, Remedy::Requeue, 100),
        (FailureClass::Quota, Remedy::Halt, 100),
        (FailureClass::Auth, Remedy::Halt, 100),
        (FailureClass::NotFound, Remedy::Halt, 100),
        (FailureClass::Request, Remedy::Mend, 1),
        (FailureClass::Overlong, Remedy::Settle, 0),
        (FailureClass::ContentType, Remedy::Retry, 6),
        (FailureClass::Shape, Remedy::Resample, 2),
        (FailureClass::Empty, Remedy::Resample, 1),
        (FailureClass::Content, Remedy::Mend, 2),
        (FailureClass::Timeout, Remedy::Retry, 2),
        (FailureClass::Stopped, Remedy::Settle, 0),
    ];

    #[test]
    fn every_class_has_its_remedy_and_its_end() {
        for (class, first, n_times) in TABLE {
            let mut spent = Spent::default();
            assert_eq!(spent.remedy(class, 6), first, "{class:?}");
            let mut n_again = 0;
            while n_again < 100 && spent.remedy(class, 6) != Remedy::Settle {
                if !matches!(spent.remedy(class, 6), Remedy::Requeue | Remedy::Halt) {
                    spent.note(class);
                }
                n_again += 1;
            }
            assert_eq!(n_again, n_times, "{class:?}");
        }
    }

    #[test]
    fn kinds_add_up_to_the_limit_and_no_retries_means_none() {
        let mut spent = Spent::default();
        for class in [FailureClass::Server, FailureClass::Timeout, FailureClass::Shape] {
            assert_eq!(spent.remedy(class, 0), Remedy::Settle);
            spent.note(class);
        }
        assert_eq!(spent.remedy(FailureClass::Transport, 3), Remedy::Settle);
        assert_eq!(spent.sample_number(), 2);
    }
}
