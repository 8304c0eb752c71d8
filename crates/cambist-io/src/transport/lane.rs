//! A lane: exchanges go in at one end and come out settled at the other.

mod desk;
mod outbox;
mod run;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex, atomic::Ordering},
};

use tokio::sync::Notify;

use self::{desk::Desk, outbox::Outbox};
use super::{StopSignal, client::Shared, engine::Engine, lock::hold};
use crate::{
    exchange::{Exchange, Failure, Settled},
    money::purse::{Listener, Reservation},
};

/// Money that is reserved while requests are in flight.
pub trait SpendingCap: Send + Sync {
    /// Reserves `usd`, unless spent and reserved together would exceed the cap.
    fn reserve(&self, usd: f64) -> Reservation;

    /// Gives a reservation back and notes what was spent of it.
    fn settle(&self, reserved_usd: f64, spent_usd: f64);

    /// Calls `listener` when money is given back that somebody waits for, whoever held it: other lanes spend under the
    /// same cap.
    fn follow(&self, listener: Listener);
}

/// How a lane runs.
#[derive(Clone)]
pub struct LaneOptions {
    /// Exchanges that may wait for their turn, 1,024 by default; [`Submit::send`] waits while there are as many.
    pub queue: usize,
    /// What may be spent; nothing is reserved for exchanges whose price is unknown.
    pub cap: Option<Arc<dyn SpendingCap>>,
    /// Ends the lane early.
    pub stop: StopSignal,
}

impl Default for LaneOptions {
    fn default() -> Self {
        Self { queue: 1024, cap: None, stop: StopSignal::new() }
    }
}

impl fmt::Debug for LaneOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_cap = self.cap.is_some();
        formatter.debug_struct("LaneOptions").field("queue", &self.queue).field("has_cap", &has_cap).finish()
    }
}

/// An exchange that was not accepted.
#[derive(Debug, thiserror::Error)]
#[error("nothing more is sent: {failure}")]
pub struct LaneClosed<E> {
    /// Why: the key was refused, the account is empty, the money is spent, too much failed, or the run was stopped.
    pub failure: Failure,
    /// The exchange.
    pub exchange: E,
}

/// What the two ends and the network's thread share.
struct Lane<E: Exchange> {
    desk: Mutex<Desk<E>>,
    /// Tells a waiting sender that there is room.
    room: Condvar,
    /// Wakes the dispatcher.
    wake: Arc<Notify>,
    outbox: Outbox<E>,
    /// Tells everything in flight to give up.
    abandon: Notify,
    shared: Arc<Shared>,
    options: LaneOptions,
}

/// The end of a lane that exchanges go in at; the lane ends when every clone is dropped and everything is settled.
pub struct Submit<E: Exchange> {
    lane: Arc<Lane<E>>,
    engine: Arc<Engine>,
}

/// The end of a lane that settled exchanges come out at: an iterator that ends with the lane.
///
/// Dropping it stops the lane, because nobody would read what comes.
pub struct Outcomes<E: Exchange> {
    lane: Arc<Lane<E>>,
    taken: VecDeque<Settled<E>>,
    _engine: Arc<Engine>,
}

/// Makes a lane and starts its dispatcher.
pub(super) fn open<E: Exchange>(
    engine: &Arc<Engine>,
    shared: &Arc<Shared>,
    options: LaneOptions,
) -> (Submit<E>, Outcomes<E>) {
    let wake = Arc::new(Notify::new());
    shared.enrol(&wake);
    if let Some(cap) = &options.cap {
        let waiting = Arc::downgrade(&wake);
        cap.follow(Box::new(move || waiting.upgrade().map(|wake| wake.notify_one()).is_some()));
    }
    let lane = Arc::new(Lane {
        desk: Mutex::new(Desk::new()),
        room: Condvar::new(),
        wake,
        outbox: Outbox::new(),
        abandon: Notify::new(),
        shared: Arc::clone(shared),
        options,
    });
    engine.spawn(run::dispatch(Arc::clone(&lane)));
    let submit = Submit { lane: Arc::clone(&lane), engine: Arc::clone(engine) };
    (submit, Outcomes { lane, taken: VecDeque::new(), _engine: Arc::clone(engine) })
}

impl<E: Exchange> Submit<E> {
    /// Hands an exchange over, and waits while the queue is full.
    ///
    /// # Errors
    /// [`LaneClosed`] with the exchange when nothing more is sent. What was accepted before comes out of the lane.
    pub fn send(&self, exchange: E) -> Result<(), LaneClosed<E>> {
        let lane = &*self.lane;
        let mut desk = hold(&lane.desk);
        while desk.is_full(lane.options.queue) {
            desk.n_blocked += 1;
            desk = lane.room.wait(desk).unwrap_or_else(std::sync::PoisonError::into_inner);
            desk.n_blocked -= 1;
        }
        if let Some(failure) = desk.closed() {
            return Err(LaneClosed { failure: failure.clone(), exchange });
        }
        lane.shared.queued.fetch_add(1, Ordering::Relaxed);
        if desk.accept(exchange) {
            drop(desk);
            lane.wake.notify_one();
        }
        Ok(())
    }

    /// Why nothing more is sent, if so.
    pub fn closed(&self) -> Option<Failure> {
        hold(&self.lane.desk).closed().cloned()
    }
}

impl<E: Exchange> Clone for Submit<E> {
    fn clone(&self) -> Self {
        hold(&self.lane.desk).n_submits += 1;
        Self { lane: Arc::clone(&self.lane), engine: Arc::clone(&self.engine) }
    }
}

impl<E: Exchange> Drop for Submit<E> {
    fn drop(&mut self) {
        hold(&self.lane.desk).n_submits -= 1;
        self.lane.wake.notify_one();
    }
}

impl<E: Exchange> Outcomes<E> {
    /// Why nothing more is sent, if so: the key was refused, the money is spent, the run was stopped.
    pub fn closed(&self) -> Option<Failure> {
        hold(&self.lane.desk).closed().cloned()
    }

    /// Returns the next one of those that came together with the last, and waits for none: whatever arrived while the
    /// reader was busy is one batch.
    pub fn next_of_batch(&mut self) -> Option<Settled<E>> {
        self.taken.pop_front()
    }
}

impl<E: Exchange> Iterator for Outcomes<E> {
    type Item = Settled<E>;

    /// Waits for the next one; none when the lane has ended.
    fn next(&mut self) -> Option<Settled<E>> {
        if self.lane.outbox.keep(self.taken.len()) {
            self.lane.wake.notify_one();
        }
        if self.taken.is_empty() {
            self.lane.outbox.take(&mut self.taken);
        }
        self.taken.pop_front()
    }
}

impl<E: Exchange> Drop for Outcomes<E> {
    fn drop(&mut self) {
        self.lane.outbox.close();
        self.lane.close(run::stopped("nobody reads the outcomes"));
    }
}

impl<E: Exchange> fmt::Debug for Submit<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Submit").field("closed", &self.closed()).finish_non_exhaustive()
    }
}

impl<E: Exchange> fmt::Debug for Outcomes<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Outcomes").finish_non_exhaustive()
    }
}
