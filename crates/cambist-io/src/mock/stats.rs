//! What a mock server was asked and what it answered: the oracle for "paid once".

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// What a mock server has seen since it started or was reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MockStats {
    /// Requests by route, `/v1/batches/{id}` and the like for those that carry an id; lines of batch files under
    /// `batch`.
    pub calls: BTreeMap<String, u64>,
    /// Requests by route that only asked what the server can do (`x-cambist-probe`); counted nowhere else.
    pub probes: BTreeMap<String, u64>,
    /// Requests by status; those whose connection was reset before any byte have none.
    pub statuses: BTreeMap<u16, u64>,
    /// Faults that struck, by name.
    pub faults: BTreeMap<String, u64>,
    /// `POST` requests for work, batch lines included.
    pub attempts: u64,
    /// Of those, how many were answered: status 200, no fault that spoils the reply, all of it handed to the socket.
    pub answered: u64,
    /// Different cells that were asked: path, body without volatile members, sampling seed.
    pub cells: u64,
    /// Cells that were answered at least once.
    pub cells_answered: u64,
    /// Cells that were answered more than once: paid twice.
    pub cells_answered_again: u64,
    /// The most attempts of one cell.
    pub max_attempts: u32,
    /// Requests for work that are being answered now.
    pub in_flight: u64,
    /// The most that ever were at the same time.
    pub max_in_flight: u64,
}

/// Counts of one cell. A million of them take about 35 MB, the map's spare room included.
#[derive(Clone, Copy, Debug, Default)]
struct CellCount {
    attempts: u32,
    answered: u32,
}

#[derive(Debug, Default)]
struct Book {
    totals: MockStats,
    cells: HashMap<u64, CellCount>,
    /// Attempts whatever the seed; filled only when a rule asks for it.
    unseeded: HashMap<u64, u32>,
    /// How many requests each fault rule has covered.
    covered: Vec<u64>,
}

/// Keeps the counts, from any thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<Mutex<Book>>);

impl Counter {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the counts.
    pub(crate) fn read(&self) -> MockStats {
        let book = self.book();
        MockStats { cells: book.cells.len() as u64, ..book.totals.clone() }
    }

    /// Forgets everything but what is in flight.
    pub(crate) fn reset(&self) {
        let mut book = self.book();
        let in_flight = book.totals.in_flight;
        *book = Book::default();
        book.totals.in_flight = in_flight;
        book.totals.max_in_flight = in_flight;
    }

    /// Counts a request under its route.
    pub(crate) fn call(&self, route: &str) {
        count(&mut self.book().totals.calls, route);
    }

    /// Counts a request that only asks what the server can do.
    pub(crate) fn probe(&self, route: &str) {
        count(&mut self.book().totals.probes, route);
    }

    /// Counts a reply under its status.
    pub(crate) fn status(&self, status: u16) {
        *self.book().totals.statuses.entry(status).or_default() += 1;
    }

    /// Counts a fault that struck.
    pub(crate) fn fault(&self, name: &str) {
        count(&mut self.book().totals.faults, name);
    }

    /// Counts an attempt of a cell and returns its number, from 1.
    pub(crate) fn attempt(&self, cell: u64) -> u32 {
        let mut book = self.book();
        let counts = book.cells.entry(cell).or_default();
        counts.attempts = counts.attempts.saturating_add(1);
        let attempts = counts.attempts;
        book.totals.attempts += 1;
        book.totals.max_attempts = book.totals.max_attempts.max(attempts);
        attempts
    }

    /// Counts an attempt of a cell whatever its seed and returns its number, from 1.
    pub(crate) fn attempt_without_seed(&self, cell: u64) -> u32 {
        let mut book = self.book();
        let attempts = book.unseeded.entry(cell).or_default();
        *attempts = attempts.saturating_add(1);
        *attempts
    }

    /// Counts a request that fault rule number `rule` covers and returns its number, from 1.
    pub(crate) fn covered(&self, rule: usize) -> u64 {
        let mut book = self.book();
        if book.covered.len() <= rule {
            book.covered.resize(rule + 1, 0);
        }
        book.covered[rule] += 1;
        book.covered[rule]
    }

    /// Notes that a cell's answer has gone out.
    pub(crate) fn answered(&self, cell: u64) {
        let mut book = self.book();
        let counts = book.cells.entry(cell).or_default();
        counts.answered = counts.answered.saturating_add(1);
        let answered = counts.answered;
        book.totals.answered += 1;
        book.totals.cells_answered += u64::from(answered == 1);
        book.totals.cells_answered_again += u64::from(answered == 2);
    }

    /// Counts a request for work as in flight until the returned guard is dropped or settled.
    pub(crate) fn enter(&self, cell: u64) -> InFlight {
        let mut book = self.book();
        book.totals.in_flight += 1;
        book.totals.max_in_flight = book.totals.max_in_flight.max(book.totals.in_flight);
        InFlight { counter: self.clone(), cell, is_answer: false }
    }

    /// How many requests for work are in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        self.book().totals.in_flight
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(known) => *known += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}

/// A request for work that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight {
    counter: Counter,
    cell: u64,
    is_answer: bool,
}

impl InFlight {
    /// Marks the reply as one that answers the cell once it has gone out.
    pub(crate) fn answering(mut self, is_answer: bool) -> Self {
        self.is_answer = is_answer;
        self
    }

    /// Notes that the reply has gone out.
    pub(crate) fn settle(self) {
        if self.is_answer {
            self.counter.answered(self.cell);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut book = self.counter.book();
        book.totals.in_flight = book.totals.in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_counted_once_and_again() {
        let counter = Counter::default();
        assert_eq!([counter.attempt(7), counter.attempt(7), counter.attempt(8)], [1, 2, 1]);
        counter.enter(7).answering(true).settle();
        counter.enter(7).answering(true).settle();
        drop(counter.enter(8).answering(true));
        let stats = counter.read();
        assert_eq!((stats.cells, stats.attempts, stats.answered), (2, 3, 2));
        assert_eq!((stats.cells_answered, stats.cells_answered_again, stats.max_attempts), (1, 1, 2));
        assert_eq!((stats.in_flight, stats.max_in_flight), (0, 1));
        counter.reset();
        assert_eq!(counter.read(), MockStats::default());
    }

    #[test]
    fn a_million_cells_stay_small() {
        let bytes_per_cell = size_of::<(u64, CellCount)>() + 1;
        // The map doubles at seven eighths: a million cells lie in 2^21 places, and beside 2^20 while it grows.
        assert!(bytes_per_cell * 3 * (1 << 20) < 100_000_000, "{bytes_per_cell}");
    }
}
