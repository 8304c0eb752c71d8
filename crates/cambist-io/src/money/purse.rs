//! A cap on what a run spends, kept by reserving the worst case before each call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::amount::PicoUsd;

/// A cap on what a run spends, for all teachers and for each.
///
/// Before a call its worst cost is reserved, and after it what it cost takes the place of the reservation. So the sum
/// spent never passes a cap as long as no call costs more than was reserved for it, whatever the threads do.
#[derive(Debug, Default)]
pub struct Purse {
    pockets: Mutex<Pockets>,
}

#[derive(Debug, Default)]
struct Pockets {
    all: Pocket,
    by_teacher: BTreeMap<String, Pocket>,
}

/// What is spent, what is reserved, and the cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pocket {
    /// The most that may be spent; none for no cap.
    pub cap: Option<PicoUsd>,
    /// What ended calls cost.
    pub spent: PicoUsd,
    /// What calls in flight may cost at most.
    pub reserved: PicoUsd,
}

impl Pocket {
    /// Whether `worst` more can be reserved.
    fn has_room(&self, worst: PicoUsd) -> bool {
        self.cap.is_none_or(|cap| self.spent.plus(self.reserved).plus(worst) <= cap)
    }

    fn settle(&mut self, reserved: PicoUsd, actual: PicoUsd) {
        self.reserved = self.reserved.minus(reserved);
        self.spent = self.spent.plus(actual);
    }
}

impl Purse {
    /// Returns a purse with a cap on all teachers together, or none, and caps on some of them.
    pub fn new(cap: Option<PicoUsd>, teacher_caps: BTreeMap<String, PicoUsd>) -> Self {
        let pocket = |cap| Pocket { cap, ..Pocket::default() };
        let by_teacher = teacher_caps.into_iter().map(|(teacher, cap)| (teacher, pocket(Some(cap)))).collect();
        Self { pockets: Mutex::new(Pockets { all: pocket(cap), by_teacher }) }
    }

    /// Reserves what a call of `teacher` may cost at most; false, and nothing reserved, when a cap has no room for it.
    pub fn reserve(&self, teacher: &str, worst: PicoUsd) -> bool {
        let mut pockets = self.lock();
        let Pockets { all, by_teacher } = &mut *pockets;
        let own = by_teacher.entry(teacher.to_owned()).or_default();
        let has_room = all.has_room(worst) && own.has_room(worst);
        if has_room {
            all.reserved = all.reserved.plus(worst);
            own.reserved = own.reserved.plus(worst);
        }
        has_room
    }

    /// Gives a reservation back and books what the call cost.
    pub fn settle(&self, teacher: &str, reserved: PicoUsd, actual: PicoUsd) {
        let mut pockets = self.lock();
        pockets.all.settle(reserved, actual);
        pockets.by_teacher.entry(teacher.to_owned()).or_default().settle(reserved, actual);
    }

    /// Books what was spent before, in an earlier part of the run.
    pub fn book(&self, teacher: &str, spent: PicoUsd) {
        self.settle(teacher, PicoUsd::ZERO, spent);
    }

    /// Returns what all teachers together have spent and reserved.
    pub fn total(&self) -> Pocket {
        self.lock().all
    }

    /// Returns what one teacher has spent and reserved.
    pub fn of_teacher(&self, teacher: &str) -> Pocket {
        self.lock().by_teacher.get(teacher).copied().unwrap_or_default()
    }

    /// Returns the purse as one teacher sees it.
    pub fn for_teacher(self: &Arc<Self>, teacher: impl Into<String>) -> TeacherPurse {
        TeacherPurse { purse: Arc::clone(self), teacher: teacher.into() }
    }

    fn lock(&self) -> MutexGuard<'_, Pockets> {
        // Sums are changed in steps that cannot panic, so a poisoned lock holds whole ones.
        self.pockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A purse as one teacher sees it, in USD.
#[derive(Clone, Debug)]
pub struct TeacherPurse {
    purse: Arc<Purse>,
    teacher: String,
}

impl TeacherPurse {
    /// Reserves what a call may cost at most, in USD; false when a cap has no room for it.
    pub fn reserve(&self, worst_usd: f64) -> bool {
        self.purse.reserve(&self.teacher, PicoUsd::from_usd(worst_usd))
    }

    /// Gives a reservation back and books what the call cost, both in USD.
    pub fn settle(&self, reserved_usd: f64, actual_usd: f64) {
        self.purse.settle(&self.teacher, PicoUsd::from_usd(reserved_usd), PicoUsd::from_usd(actual_usd));
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn threads_never_spend_more_than_the_caps() {
        let caps = BTreeMap::from([("a".to_owned(), PicoUsd(300))]);
        let purse = Arc::new(Purse::new(Some(PicoUsd(1000)), caps));
        thread::scope(|scope| {
            for teacher in ["a", "b", "a", "b"] {
                let purse = &purse;
                scope.spawn(move || {
                    for step in 0..500_i64 {
                        let (worst, actual) = (PicoUsd(1 + step % 7), PicoUsd(step % 2));
                        if purse.reserve(teacher, worst) {
                            purse.settle(teacher, worst, actual);
                        }
                        assert!(purse.total().spent <= PicoUsd(1000));
                    }
                });
            }
        });
        assert_eq!(purse.total().reserved, PicoUsd::ZERO);
        assert!(purse.of_teacher("a").spent <= PicoUsd(300));
        assert_eq!(purse.total().spent, purse.of_teacher("a").spent.plus(purse.of_teacher("b").spent));
    }

    #[test]
    fn a_full_purse_refuses_and_a_reservation_given_back_makes_room() {
        let purse = Arc::new(Purse::new(Some(PicoUsd::from_usd(1.0)), BTreeMap::new()));
        let teacher = purse.for_teacher("a");
        assert!(teacher.reserve(0.75) && !teacher.reserve(0.5));
        teacher.settle(0.75, 0.25);
        assert!(teacher.reserve(0.75) && !teacher.reserve(0.000001));
        assert_eq!(purse.total().spent, PicoUsd::from_usd(0.25));
    }

    proptest! {
        #[test]
        fn spent_stays_within_the_cap(cap in 0i64..500, calls in prop::collection::vec((0i64..90, 0.0f64..=1.0, any::<bool>()), 0..80)) {
            let purse = Purse::new(Some(PicoUsd(cap)), BTreeMap::new());
            let mut in_flight = Vec::new();
            for (worst, share, settles) in calls {
                if purse.reserve("t", PicoUsd(worst)) {
                    in_flight.push((worst, (worst as f64 * share) as i64));
                }
                if settles && let Some((reserved, actual)) = in_flight.pop() {
                    purse.settle("t", PicoUsd(reserved), PicoUsd(actual));
                }
                let total = purse.total();
                prop_assert!(total.spent.plus(total.reserved) <= PicoUsd(cap));
                prop_assert_eq!(total.reserved.0, in_flight.iter().map(|(worst, _)| worst).sum::<i64>());
            }
        }
    }
}
