//! Settled exchanges between the network's thread and the one that reads.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    exchange::{Exchange, Settled},
    transport::lock::hold,
};

/// Settled exchanges, in the order of settling.
pub(super) struct Outbox<E: Exchange> {
    tray: Mutex<Tray<E>>,
    filled: Condvar,
    /// Whether a reader waits that nobody has told yet.
    owes_call: AtomicBool,
}

struct Tray<E: Exchange> {
    settled: VecDeque<Settled<E>>,
    /// How many the reader took last: it has not kept them yet, as far as anybody knows.
    n_taken: usize,
    reader_waits: bool,
    has_ended: bool,
    is_closed: bool,
}

impl<E: Exchange> Outbox<E> {
    pub(super) fn new() -> Self {
        let tray =
            Tray { settled: VecDeque::new(), n_taken: 0, reader_waits: false, has_ended: false, is_closed: false };
        Self { tray: Mutex::new(tray), filled: Condvar::new(), owes_call: AtomicBool::new(false) }
    }

    /// How many are settled and not kept yet: unread, or in the hands of the reader until it asks for more.
    pub(super) fn n_open(&self) -> usize {
        let tray = hold(&self.tray);
        if tray.is_closed { 0 } else { tray.settled.len() + tray.n_taken }
    }

    /// Puts one in; returns whether [`Outbox::call`] has to follow. Waking a thread costs as much as a tenth of a
    /// request, so the reader is called once for all that the network brought at once.
    pub(super) fn put(&self, settled: Settled<E>) -> bool {
        let mut tray = hold(&self.tray);
        if !tray.is_closed {
            tray.settled.push_back(settled);
        }
        tray.reader_waits && !self.owes_call.swap(true, Ordering::Relaxed)
    }

    /// Calls the reader, if it waits for something.
    pub(super) fn call(&self) {
        if self.owes_call.swap(false, Ordering::Relaxed) {
            self.filled.notify_all();
        }
    }

    /// Says that nothing more comes.
    pub(super) fn end(&self) {
        hold(&self.tray).has_ended = true;
        self.filled.notify_all();
    }

    /// Says that nobody reads.
    pub(super) fn close(&self) {
        let mut tray = hold(&self.tray);
        tray.is_closed = true;
        tray.settled.clear();
    }

    /// Notes that all but `n_left` of what was taken are kept; returns whether that frees places.
    pub(super) fn keep(&self, n_left: usize) -> bool {
        let mut tray = hold(&self.tray);
        std::mem::replace(&mut tray.n_taken, n_left) > n_left
    }

    /// Takes everything into `taken`, which is empty, and waits while there is nothing and more may come.
    pub(super) fn take(&self, taken: &mut VecDeque<Settled<E>>) {
        let mut tray = hold(&self.tray);
        while tray.settled.is_empty() && !tray.has_ended {
            tray.reader_waits = true;
            tray = self.filled.wait(tray).unwrap_or_else(PoisonError::into_inner);
        }
        tray.reader_waits = false;
        std::mem::swap(&mut tray.settled, taken);
        tray.n_taken = taken.len();
    }
}
