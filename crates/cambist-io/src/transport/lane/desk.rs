//! What waits in a lane: for its turn, for its next try, for the salvage round.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
};

use crate::{
    exchange::{Exchange, Failure, TokenEstimate},
    transport::policy::Spent,
};

/// Failed exchanges that are kept for the salvage round; more are settled at once.
const N_SALVAGED: usize = 10_000;

/// An exchange and what happened to it so far.
pub(super) struct Job<E> {
    pub(super) exchange: E,
    pub(super) attempts: u32,
    pub(super) spent: Spent,
    /// Times in a row that there was no room.
    pub(super) n_refused: u32,
    pub(super) seconds: f64,
    pub(super) n_maybe_charged: u32,
    pub(super) last: Option<Failure>,
}

impl<E> Job<E> {
    fn new(exchange: E) -> Self {
        let spent = Spent::default();
        Self { exchange, attempts: 0, spent, n_refused: 0, seconds: 0.0, n_maybe_charged: 0, last: None }
    }
}

/// A job that waits until a second.
struct Due<E> {
    at: f64,
    number: u64,
    job: Job<E>,
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at).then(self.number.cmp(&other.number))
    }
}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Due<E> {}

/// Where the next job comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turn {
    /// Back from a server without room.
    Requeued,
    /// A retry.
    Retry,
    /// Not sent yet.
    Fresh,
    /// Nothing until this second, or until something comes.
    Nothing(Option<f64>),
}

/// Where a job waits that is to be sent again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Again {
    /// Counted as a retry.
    Retry,
    /// Not counted.
    Requeued,
}

/// What waits in a lane.
pub(super) struct Desk<E: Exchange> {
    pub(super) n_submits: usize,
    pub(super) n_blocked: usize,
    pub(super) n_in_flight: usize,
    /// No retry before this second: too few requests succeed.
    pub(super) no_retry_until: f64,
    /// Whether the salvage round runs.
    pub(super) is_salvaging: bool,
    /// Whether what is in flight is given up.
    pub(super) is_abandoned: bool,
    fresh: VecDeque<E>,
    retries: BinaryHeap<Reverse<Due<E>>>,
    requeued: BinaryHeap<Reverse<Due<E>>>,
    salvage: Vec<Job<E>>,
    /// Whether the dispatcher waits for something to send.
    is_starving: bool,
    closed: Option<Failure>,
    number: u64,
}

impl<E: Exchange> Desk<E> {
    pub(super) fn new() -> Self {
        Self {
            n_submits: 1,
            n_blocked: 0,
            n_in_flight: 0,
            no_retry_until: f64::NEG_INFINITY,
            is_salvaging: false,
            is_abandoned: false,
            fresh: VecDeque::new(),
            retries: BinaryHeap::new(),
            requeued: BinaryHeap::new(),
            salvage: Vec::new(),
            is_starving: false,
            closed: None,
            number: 0,
        }
    }

    /// Whether a sender has to wait.
    pub(super) fn is_full(&self, queue: usize) -> bool {
        self.closed.is_none() && self.fresh.len() >= queue.max(1)
    }

    /// Why nothing is accepted.
    pub(super) fn closed(&self) -> Option<&Failure> {
        self.closed.as_ref()
    }

    /// Accepts nothing from now on; the first reason stays.
    pub(super) fn close(&mut self, failure: Failure) {
        self.closed.get_or_insert(failure);
    }

    /// Takes an exchange in; returns whether the dispatcher waits for it.
    pub(super) fn accept(&mut self, exchange: E) -> bool {
        self.fresh.push_back(exchange);
        std::mem::take(&mut self.is_starving)
    }

    /// Puts a job back until the second `at`.
    pub(super) fn put_back(&mut self, job: Job<E>, at: f64, again: Again) {
        self.number += 1;
        let due = Reverse(Due { at, number: self.number, job });
        match again {
            Again::Retry => self.retries.push(due),
            Again::Requeued => self.requeued.push(due),
        }
    }

    /// Keeps a failed job for the salvage round, unless it runs already or there are too many.
    pub(super) fn keep_for_salvage(&mut self, job: Job<E>) -> Result<(), Job<E>> {
        if self.is_salvaging || self.closed.is_some() || self.salvage.len() >= N_SALVAGED {
            return Err(job);
        }
        self.salvage.push(job);
        Ok(())
    }

    /// Says whose turn it is at `now`: what was sent before goes first.
    pub(super) fn turn(&mut self, now: f64) -> Turn {
        let at = |heap: &BinaryHeap<Reverse<Due<E>>>| heap.peek().map(|Reverse(due)| due.at);
        let requeued = at(&self.requeued);
        let retry = at(&self.retries).map(|at| at.max(self.no_retry_until));
        if requeued.is_some_and(|at| at <= now) {
            return Turn::Requeued;
        }
        if retry.is_some_and(|at| at <= now) {
            return Turn::Retry;
        }
        if !self.fresh.is_empty() {
            return Turn::Fresh;
        }
        self.is_starving = true;
        Turn::Nothing(match (requeued, retry) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        })
    }

    /// What the job whose turn it is will use and cost.
    pub(super) fn needs(&self, turn: Turn) -> (TokenEstimate, Option<f64>) {
        let exchange = match turn {
            Turn::Requeued => self.requeued.peek().map(|Reverse(due)| &due.job.exchange),
            Turn::Retry => self.retries.peek().map(|Reverse(due)| &due.job.exchange),
            Turn::Fresh => self.fresh.front(),
            Turn::Nothing(_) => None,
        };
        exchange.map_or_else(Default::default, |exchange| (exchange.tokens(), exchange.worst_cost_usd()))
    }

    /// Takes the job whose turn it is.
    pub(super) fn take(&mut self, turn: Turn) -> Option<Job<E>> {
        let job = match turn {
            Turn::Requeued => self.requeued.pop().map(|Reverse(due)| due.job),
            Turn::Retry => self.retries.pop().map(|Reverse(due)| due.job),
            Turn::Fresh => self.fresh.pop_front().map(Job::new),
            Turn::Nothing(_) => None,
        }?;
        self.n_in_flight += 1;
        Some(job)
    }

    /// Whether a waiting sender should be called: when the queue is half empty, not for every place.
    pub(super) fn calls_sender(&self, queue: usize) -> bool {
        self.n_blocked > 0 && self.fresh.len() <= queue / 2
    }

    /// Whether something could be sent if there were leave.
    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Whether nothing is left to do in this round.
    pub(super) fn is_exhausted(&self) -> bool {
        self.n_submits == 0 && self.n_in_flight == 0 && self.n_waiting() == 0
    }

    /// Puts what failed back into the queue for one more round; false when there is nothing.
    pub(super) fn begin_salvage(&mut self) -> bool {
        if self.is_salvaging || self.salvage.is_empty() {
            return false;
        }
        self.is_salvaging = true;
        for job in std::mem::take(&mut self.salvage) {
            self.put_back(job, f64::NEG_INFINITY, Again::Requeued);
        }
        true
    }

    /// Takes out everything that waits, in the order in which it would have been sent.
    pub(super) fn clear(&mut self) -> Vec<Job<E>> {
        let mut jobs: Vec<Job<E>> = self.requeued.drain().map(|Reverse(due)| due.job).collect();
        jobs.extend(self.retries.drain().map(|Reverse(due)| due.job));
        jobs.append(&mut self.salvage);
        jobs.extend(self.fresh.drain(..).map(Job::new));
        jobs
    }

    fn n_waiting(&self) -> usize {
        self.fresh.len() + self.retries.len() + self.requeued.len()
    }
}
