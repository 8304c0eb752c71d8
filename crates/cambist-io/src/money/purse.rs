//! A cap on what a run spends, kept by reserving the worst case before each call.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{amount::PicoUsd, day::Day};

/// What became of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The money is there.
    Made,
    /// It is not, and it may be when calls in flight turn out to cost less than was reserved for them.
    Later,
    /// It is not, and waiting for calls in flight gives none.
    Never,
}

/// Called when a reservation was given back; says whether anybody still listens.
pub type Listener = Box<dyn Fn() -> bool + Send + Sync>;

/// A cap on what a run spends, for all teachers, for each, and for a day.
///
/// Before a call its worst cost is reserved, and after it what it cost takes the place of the reservation. So the sum
/// spent never passes a cap as long as no call costs more than was reserved for it, whatever the threads do.
#[derive(Default)]
pub struct Purse {
    pockets: Mutex<Pockets>,
    listeners: Mutex<Vec<Listener>>,
}

#[derive(Debug, Default)]
struct Pockets {
    all: Pocket,
    day: Option<Day>,
    by_teacher: BTreeMap<String, Pocket>,
    /// Whether somebody was told to come back later.
    is_awaited: bool,
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
    pub(super) fn room(&self, worst: PicoUsd) -> Reservation {
        let Some(cap) = self.cap else { return Reservation::Made };
        match self.spent.plus(worst) {
            least if least > cap => Reservation::Never,
            least if least.plus(self.reserved) > cap => Reservation::Later,
            _ => Reservation::Made,
        }
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
        Self {
            pockets: Mutex::new(Pockets { all: pocket(cap), by_teacher, ..Pockets::default() }),
            listeners: Mutex::default(),
        }
    }

    /// Adds a cap on what is spent in a day, by this run and by those before it.
    #[must_use]
    pub fn with_day(self, day: Day) -> Self {
        self.lock().day = Some(day);
        self
    }

    /// Reserves what a call of `teacher` may cost at most; nothing is reserved when a cap has no room for it.
    pub fn reserve(&self, teacher: &str, worst: PicoUsd) -> Reservation {
        let mut pockets = self.lock();
        let Pockets { all, day, by_teacher, is_awaited } = &mut *pockets;
        let own = by_teacher.entry(teacher.to_owned()).or_default();
        let of_day = day.as_mut().map_or(Reservation::Made, |day| day.room(worst));
        let rooms = [all.room(worst), own.room(worst), of_day];
        if rooms.contains(&Reservation::Never) {
            return Reservation::Never;
        }
        if rooms.contains(&Reservation::Later) {
            *is_awaited = true;
            return Reservation::Later;
        }
        all.reserved = all.reserved.plus(worst);
        own.reserved = own.reserved.plus(worst);
        if let Some(day) = day {
            day.reserve(worst);
        }
        Reservation::Made
    }

    /// Gives a reservation back and books what the call cost; whoever waits for room is called.
    pub fn settle(&self, teacher: &str, reserved: PicoUsd, actual: PicoUsd) {
        let mut pockets = self.lock();
        pockets.all.settle(reserved, actual);
        pockets.by_teacher.entry(teacher.to_owned()).or_default().settle(reserved, actual);
        if let Some(day) = &mut pockets.day {
            day.settle(reserved, actual);
        }
        let is_awaited = std::mem::take(&mut pockets.is_awaited);
        drop(pockets);
        if is_awaited {
            // Every listener is called: a flag a listener would make the same noise with more state.
            self.listeners.lock().unwrap_or_else(PoisonError::into_inner).retain(|listener| listener());
        }
    }

    /// Calls `listener` whenever money is given back that somebody waits for.
    pub fn follow(&self, listener: Listener) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
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

impl fmt::Debug for Purse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Purse").field("pockets", &self.pockets).finish_non_exhaustive()
    }
}

/// A purse as one teacher sees it, in USD.
#[derive(Clone, Debug)]
pub struct TeacherPurse {
    purse: Arc<Purse>,
    teacher: String,
}

impl TeacherPurse {
    /// Reserves what a call may cost at most, in USD.
    pub fn reserve(&self, worst_usd: f64) -> Reservation {
        self.purse.reserve(&self.teacher, PicoUsd::from_usd(worst_usd))
    }

    /// Gives a reservation back and books what the call cost, both in USD.
    pub fn settle(&self, reserved_usd: f64, actual_usd: f64) {
        self.purse.settle(&self.teacher, PicoUsd::from_usd(reserved_usd), PicoUsd::from_usd(actual_usd));
    }

    /// As [`Purse::follow`].
    pub fn follow(&self, listener: Listener) {
        self.purse.follow(listener);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, AtomicUsize, Ordering},
        thread,
    };

    use proptest::prelude::*;

    use super::{
        Reservation::{Later, Made, Never},
        *,
    };

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
                        if purse.reserve(teacher, worst) == Reservation::Made {
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
        assert_eq!([0.75, 0.5, 1.5].map(|usd| teacher.reserve(usd)), [Made, Later, Never]);
        teacher.settle(0.75, 0.25);
        assert_eq!([0.75, 0.000001, 0.7500001].map(|usd| teacher.reserve(usd)), [Made, Later, Never]);
        assert_eq!(purse.total().spent, PicoUsd::from_usd(0.25));
    }

    #[test]
    fn whoever_waits_is_called_and_nobody_else() {
        let purse = Arc::new(Purse::new(Some(PicoUsd(10)), BTreeMap::new()));
        let calls = Arc::new(AtomicUsize::new(0));
        let (counted, gone) = (calls.clone(), calls.clone());
        purse.follow(Box::new(move || counted.fetch_add(1, Ordering::Relaxed) < 100));
        // This one hangs up at its first call.
        purse.follow(Box::new(move || gone.fetch_add(10, Ordering::Relaxed) > 100));
        assert_eq!(purse.reserve("a", PicoUsd(8)), Made);
        purse.settle("a", PicoUsd(2), PicoUsd(0));
        assert_eq!(calls.load(Ordering::Relaxed), 0, "nobody waited");
        assert_eq!(purse.reserve("b", PicoUsd(6)), Later);
        purse.settle("a", PicoUsd(3), PicoUsd(1));
        assert_eq!(calls.load(Ordering::Relaxed), 11);
        assert_eq!(purse.reserve("b", PicoUsd(6)), Made);
        assert_eq!((purse.reserve("b", PicoUsd(3)), purse.reserve("b", PicoUsd(10))), (Later, Never));
        purse.settle("b", PicoUsd(6), PicoUsd(6));
        assert_eq!(calls.load(Ordering::Relaxed), 12);
    }

    #[test]
    fn a_day_holds_what_earlier_runs_spent() {
        const HOUR: u64 = 3_600_000;
        static NOW: AtomicU64 = AtomicU64::new(100 * HOUR);
        let day = Day::new(PicoUsd(10), || NOW.load(Ordering::Relaxed));
        let purse =
            Purse::new(None, BTreeMap::new()).with_day(day.with(80 * HOUR, PicoUsd(4)).with(99 * HOUR, PicoUsd(3)));
        assert_eq!([3, 1, 4].map(|worst| purse.reserve("a", PicoUsd(worst))), [Made, Later, Never]);
        purse.settle("a", PicoUsd(3), PicoUsd(2));
        assert_eq!([1, 1, 2].map(|worst| purse.reserve("a", PicoUsd(worst))), [Made, Later, Never]);
        purse.settle("a", PicoUsd(1), PicoUsd(0));
        // The hour of the first is over for a day.
        NOW.store(105 * HOUR, Ordering::Relaxed);
        assert_eq!([5, 6].map(|worst| purse.reserve("a", PicoUsd(worst))), [Made, Never]);
    }

    proptest! {
        #[test]
        fn spent_stays_within_the_cap(cap in 0i64..500, calls in prop::collection::vec((0i64..90, 0.0f64..=1.0, any::<bool>()), 0..80)) {
            let purse = Purse::new(Some(PicoUsd(cap)), BTreeMap::new());
            let mut in_flight = Vec::new();
            for (worst, share, settles) in calls {
                if purse.reserve("t", PicoUsd(worst)) == Made {
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
