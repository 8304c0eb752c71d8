//! Sends what waits in a lane, and decides what becomes of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep},
};

use super::{
    Lane,
    desk::{Again, Desk, Job, Turn},
};
use crate::{
    clock,
    dialect::waits::asked_wait,
    exchange::{Charged, Exchange, Failure, FailureClass, HttpCall, HttpReply, Settled},
    money::purse::Reservation,
    transport::{
        alarm::{First, race},
        hints::Hints,
        jitter::jitter,
        lock::hold,
        pace::{Bad, Good, Leave, Sent},
        policy::{Remedy, is_salvageable},
        stop::Level,
    },
};

/// A job on its way.
struct Trip<E> {
    job: Job<E>,
    sent: Sent,
    reserved_usd: Option<f64>,
}

/// What a lane does next.
enum Step<E> {
    Send(Box<Trip<E>>),
    /// Waits until this second of the client, or until it is woken.
    Wait(Option<f64>),
    End,
}

/// Returns a failure of what was stopped.
pub(super) fn stopped(reason: &str) -> Failure {
    Failure::new(FailureClass::Stopped, reason)
}

/// Sends until the lane ends.
pub(super) async fn dispatch<E: Exchange>(lane: Arc<Lane<E>>) {
    let watch = tokio::spawn(watch_signal(Arc::clone(&lane)));
    let mut alarm = pin!(sleep(Duration::MAX));
    loop {
        lane.outbox.call();
        match lane.step() {
            Step::Send(trip) => drop(tokio::spawn(travel(Arc::clone(&lane), trip))),
            Step::Wait(until) => wait(&lane.wake, alarm.as_mut(), until.map(|at| at - lane.shared.now())).await,
            Step::End => break,
        }
    }
    watch.abort();
    lane.outbox.end();
}

/// Waits until it is woken, or for some seconds.
async fn wait(wake: &Notify, mut alarm: Pin<&mut Sleep>, seconds: Option<f64>) {
    let Some(seconds) = seconds else { return wake.notified().await };
    // A timer is as fine as a millisecond, and never early.
    let span = Duration::try_from_secs_f64(seconds.clamp(0.0, 3600.0)).unwrap_or_default();
    alarm.as_mut().reset(Instant::now() + span);
    race(pin!(wake.notified()), alarm).await;
}

/// Follows the stop signal through its levels.
async fn watch_signal<E: Exchange>(lane: Arc<Lane<E>>) {
    let mut level = lane.options.stop.follow();
    // An error says that nobody can give the signal any more; the lane itself holds a clone of it, so there is none.
    let _ = level.wait_for(|level| *level >= Level::Drain).await;
    lane.close(stopped("the run was stopped"));
    let patience = Duration::try_from_secs_f64(lane.shared.tempo.drain).unwrap_or(Duration::MAX);
    race(pin!(level.wait_for(|level| *level >= Level::Abandon)), pin!(sleep(patience))).await;
    hold(&lane.desk).is_abandoned = true;
    lane.abandon.notify_waiters();
}

/// Sends one job after the other, as long as there is leave.
async fn travel<E: Exchange>(lane: Arc<Lane<E>>, mut trip: Box<Trip<E>>) {
    let mut alarm = pin!(sleep(Duration::MAX));
    let mut abandoned = pin!(lane.abandon.notified());
    abandoned.as_mut().enable();
    loop {
        let reply = match lane.call(&trip.job) {
            _ if hold(&lane.desk).is_abandoned => Err(stopped("the run was stopped while it was in flight")),
            Ok(call) => match race(pin!(lane.shared.wire.send(call, &mut alarm)), abandoned.as_mut()).await {
                First::One(reply) => reply,
                First::Two(()) => Err(stopped("the run was stopped while it was in flight")),
            },
            Err(failure) => Err(failure),
        };
        lane.conclude(*trip, reply);
        trip = match lane.step() {
            Step::Send(next) => next,
            Step::Wait(_) | Step::End => break,
        };
    }
    lane.wake.notify_one();
}

impl<E: Exchange> Lane<E> {
    /// Accepts nothing from now on, and sends nothing more.
    pub(super) fn close(&self, failure: Failure) {
        hold(&self.desk).close(failure);
        self.room.notify_all();
        self.wake.notify_one();
    }

    /// Encodes a job. The code is not ours, so its panics are failures like others: no exchange is ever lost.
    fn call(&self, job: &Job<E>) -> Result<HttpCall, Failure> {
        catch_unwind(AssertUnwindSafe(|| job.exchange.call(job.spent.sample_number())))
            .map_err(|_panic| Failure::new(FailureClass::Request, "the request could not be encoded: please report"))
    }

    /// Says what to do next.
    fn step(&self) -> Step<E> {
        let mut desk = hold(&self.desk);
        let now = self.shared.now();
        loop {
            if let Some(failure) = hold(&self.shared.pace).halted().cloned() {
                desk.close(failure);
                self.room.notify_all();
            }
            if desk.closed().is_some() {
                return self.wind_up(&mut desk);
            }
            let turn = desk.turn(now);
            if let Turn::Nothing(until) = turn {
                if !desk.is_exhausted() {
                    return Step::Wait(until);
                }
                if !desk.begin_salvage() {
                    self.end_salvage(&mut desk);
                    return Step::End;
                }
                hold(&self.shared.pace).salvage(true);
                continue;
            }
            if let Some(step) = self.attempt(&mut desk, turn, now) {
                return step;
            }
        }
    }

    /// Sends the job whose turn it is, if there is leave; none says to look again.
    fn attempt(&self, desk: &mut Desk<E>, turn: Turn, now: f64) -> Option<Step<E>> {
        let is_retry = turn == Turn::Retry;
        let (estimate, worst_usd) = desk.needs(turn);
        let mut pace = hold(&self.shared.pace);
        // An answer that is not kept yet would be lost with the process, as one in flight would: both count. Those of
        // other lanes do not: their reader may be waiting for this lane, as a teacher's does for its judge.
        let n_open = self.outbox.n_open();
        if n_open > 0 && desk.n_in_flight + n_open >= pace.limit(now) {
            return Some(Step::Wait(None));
        }
        match pace.leave(now, is_retry) {
            Leave::Given => {}
            Leave::Until(at) => return Some(Step::Wait(Some(at))),
            Leave::WhenOneEnds => return Some(Step::Wait(None)),
            Leave::NoRetryUntil(at) => {
                desk.no_retry_until = at;
                return None;
            }
        }
        let reserved_usd = self.options.cap.as_ref().and(worst_usd);
        if let (Some(cap), Some(usd)) = (&self.options.cap, reserved_usd) {
            match cap.reserve(usd) {
                Reservation::Made => {}
                // What is in flight, here or in another lane, may cost less than was reserved for it.
                Reservation::Later => return Some(Step::Wait(None)),
                Reservation::Never => {
                    let why = format!("the spending cap leaves no room for the next request, {usd} USD at most");
                    desk.close(stopped(&why));
                    self.room.notify_all();
                    return None;
                }
            }
        }
        let sent = pace.send(now, estimate, is_retry);
        let has_leave = pace.leave(now, false) == Leave::Given;
        drop(pace);
        let mut job = desk.take(turn)?;
        job.attempts += 1;
        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        if desk.calls_sender(self.options.queue) {
            self.room.notify_all();
        }
        if has_leave && desk.has_fresh() {
            self.wake.notify_one();
        }
        Some(Step::Send(Box::new(Trip { job, sent, reserved_usd })))
    }

    /// Settles what waits in a closed lane.
    fn wind_up(&self, desk: &mut Desk<E>) -> Step<E> {
        let why = desk.closed().map_or_else(|| "the lane ended".to_owned(), ToString::to_string);
        for mut job in desk.clear() {
            let failure = job.last.take().unwrap_or_else(|| stopped(&format!("not sent: {why}")));
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            self.settle(job, Err(failure));
        }
        if desk.n_in_flight > 0 {
            return Step::Wait(None);
        }
        self.end_salvage(desk);
        Step::End
    }

    fn end_salvage(&self, desk: &mut Desk<E>) {
        if std::mem::take(&mut desk.is_salvaging) {
            hold(&self.shared.pace).salvage(false);
        }
    }

    /// Takes a job back from its trip.
    fn conclude(&self, trip: Trip<E>, reply: Result<HttpReply, Failure>) {
        let Trip { mut job, sent, reserved_usd } = trip;
        let now = self.shared.now();
        job.seconds += now - sent.at;
        let outcome = self.read(&mut job, reply, now);
        let mut desk = hold(&self.desk);
        desk.n_in_flight -= 1;
        match outcome {
            Ok(answer) => {
                self.release(reserved_usd, job.exchange.cost_usd(&answer).or(reserved_usd));
                let good = Good { seconds: now - sent.at, tokens: job.exchange.tokens_done(&answer) };
                let mut pace = hold(&self.shared.pace);
                pace.answered(now, sent, good);
                if !desk.is_salvaging {
                    pace.finished(None);
                }
                drop(pace);
                self.settle(job, Ok(answer));
            }
            Err(mut failure) => {
                self.shared.clean(&mut failure);
                let charged = failure.class.charged();
                let stretch = 1.0 + 0.1 * jitter();
                let wait = failure.retry_after.map(|asked| asked.as_secs_f64() * stretch);
                self.release(reserved_usd, if charged == Charged::Yes { reserved_usd } else { Some(0.0) });
                job.n_maybe_charged += u32::from(charged != Charged::No);
                let mut pace = hold(&self.shared.pace);
                pace.failed(now, sent, Bad { failure: &failure, stretch });
                pace.exposed(charged, job.exchange.worst_cost_usd());
                drop(pace);
                self.treat(&mut desk, job, (failure, wait));
            }
        }
        drop(desk);
        self.shared.wake_others();
    }

    fn read(&self, job: &mut Job<E>, reply: Result<HttpReply, Failure>, now: f64) -> Result<E::Answer, Failure> {
        let reply = reply?;
        hold(&self.shared.pace).heed(now, Hints::of(&reply));
        let read = catch_unwind(AssertUnwindSafe(|| job.exchange.read(&reply)));
        let broken = |_panic| Err(Failure::new(FailureClass::Shape, "the reply could not be read: please report"));
        read.unwrap_or_else(broken).map_err(|mut failure| {
            failure.status.get_or_insert(reply.status);
            let may_ask = matches!(failure.class, FailureClass::Capacity | FailureClass::Server);
            if failure.retry_after.is_none() && may_ask {
                failure.retry_after = asked_wait(&reply, clock::now_unix_ms());
            }
            failure
        })
    }

    /// Gives a reservation back.
    fn release(&self, reserved_usd: Option<f64>, spent_usd: Option<f64>) {
        if let (Some(cap), Some(usd)) = (&self.options.cap, reserved_usd) {
            cap.settle(usd, spent_usd.unwrap_or(usd));
        }
    }

    /// Does about a failure what its meaning asks for.
    fn treat(&self, desk: &mut Desk<E>, mut job: Job<E>, (failure, asked): (Failure, Option<f64>)) {
        // The salvage round is one more try and no more.
        let retries_max = if desk.is_salvaging { 0 } else { self.shared.retries_max };
        let tempo = &self.shared.tempo;
        let remedy = match job.spent.remedy(failure.class, retries_max) {
            Remedy::Mend if !self.mends(&mut job, &failure) => Remedy::Settle,
            remedy => remedy,
        };
        let wait = match remedy {
            Remedy::Retry => {
                jitter() * (tempo.backoff * f64::from(job.spent.retries + 1).exp2()).min(tempo.backoff_max)
            }
            Remedy::Requeue => {
                job.n_refused += 1;
                jitter() * (tempo.backoff * f64::from(job.n_refused).exp2()).min(tempo.cool_down)
            }
            Remedy::Resample | Remedy::Mend => 0.0,
            Remedy::Halt | Remedy::Settle => return self.fail(desk, job, failure),
        };
        let again = if remedy == Remedy::Requeue { Again::Requeued } else { Again::Retry };
        if again == Again::Retry {
            job.spent.note(failure.class);
        }
        job.last = Some(failure);
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        desk.put_back(job, self.shared.now() + wait.max(asked.unwrap_or(0.0)), again);
    }

    fn mends(&self, job: &mut Job<E>, failure: &Failure) -> bool {
        catch_unwind(AssertUnwindSafe(|| job.exchange.mend(failure))).unwrap_or(false)
    }

    /// Settles a failed job, or keeps it for the salvage round.
    fn fail(&self, desk: &mut Desk<E>, mut job: Job<E>, failure: Failure) {
        if !desk.is_salvaging {
            hold(&self.shared.pace).finished(Some(&failure));
        }
        if !is_salvageable(failure.class) {
            return self.settle(job, Err(failure));
        }
        job.last = Some(failure);
        match desk.keep_for_salvage(job) {
            Ok(()) => drop(self.shared.queued.fetch_add(1, Ordering::Relaxed)),
            Err(mut job) => {
                let failure = job.last.take().unwrap_or_else(|| stopped("it failed"));
                self.settle(job, Err(failure));
            }
        }
    }

    fn settle(&self, job: Job<E>, outcome: Result<E::Answer, Failure>) {
        hold(&self.shared.pace).settled(outcome.as_ref().err());
        let Job { exchange, attempts, seconds, n_maybe_charged, .. } = job;
        if self.outbox.put(Settled { exchange, outcome, attempts, seconds, n_maybe_charged }) {
            self.wake.notify_one();
        }
    }
}
