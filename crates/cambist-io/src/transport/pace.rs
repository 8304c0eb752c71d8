//! When the next request may be sent: every limit of one endpoint, as a state machine that is told the time.

mod breaker;
mod bucket;
mod budget;
mod early_stop;
mod load;
mod refusals;

pub(super) use load::{Done, ServerLoad};

use self::{
    breaker::{Breaker, Gate},
    bucket::Bucket,
    budget::RetryBudget,
    early_stop::EarlyStop,
    load::LoadLimit,
    refusals::{Refusal, Refusals},
};
use super::{Gauge, Tempo, hints::Hints};
use crate::{
    endpoint::Endpoint,
    exchange::{Charged, Failure, FailureClass, TokenEstimate},
};

/// Classes, as an index.
const N_CLASSES: usize = FailureClass::ALL.len();

/// Every limit of one endpoint; times are seconds since the client was made.
#[derive(Debug)]
pub(super) struct Pace {
    tempo: Tempo,
    fixed: Option<usize>,
    max: usize,
    in_flight: usize,
    n_salvaging: usize,
    requests: Bucket,
    tokens: Bucket,
    output_share: f64,
    refusals: Refusals,
    load: LoadLimit,
    breaker: Breaker,
    retries: RetryBudget,
    early_stop: EarlyStop,
    first_send: Option<f64>,
    last_answer: Option<f64>,
    silent_since: Option<f64>,
    quiet_until: f64,
    halted: Option<Failure>,
    counts: Counts,
}

/// What was done.
#[derive(Debug, Default)]
struct Counts {
    sent: u64,
    answered: u64,
    failed: [u64; N_CLASSES],
    attempts_failed: [u64; N_CLASSES],
    retries: u64,
    tokens_done: u64,
    n_maybe_charged: u64,
    exposure_usd: f64,
}

/// What was sent, to be handed back when it ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// When.
    pub(super) at: f64,
    tokens: f64,
    estimate: TokenEstimate,
    is_trial: bool,
    filled_limit: bool,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Leave {
    /// It may.
    Given,
    /// Not before this second.
    Until(f64),
    /// Not before something else ended.
    WhenOneEnds,
    /// No retry before this second, other requests may.
    NoRetryUntil(f64),
}

/// An answer, as pacing sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Good {
    /// Seconds that it took.
    pub(super) seconds: f64,
    /// Tokens that it came to.
    pub(super) tokens: u32,
}

/// A failed request, as pacing sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bad<'a> {
    /// Why it failed.
    pub(super) failure: &'a Failure,
    /// From 1 to 1.1: what the server's wait is stretched by, so that not all come back at once.
    pub(super) stretch: f64,
}

/// How long to send nothing after a failure, in seconds.
#[derive(Clone, Copy, Debug)]
enum Quiet {
    IfAsked,
    UnlessAsked(f64),
    AtLeast(f64),
}

impl Pace {
    /// Reads the limits of an endpoint.
    pub(super) fn new(endpoint: &Endpoint, tempo: Tempo) -> Self {
        let limits = endpoint.limits;
        let fixed = limits.concurrency.map(|n| n.max(1));
        let max = limits.max_concurrency.max(1);
        Self {
            fixed,
            max,
            in_flight: 0,
            n_salvaging: 0,
            requests: Bucket::new(limits.rpm.unwrap_or(f64::INFINITY)),
            tokens: Bucket::new(limits.tpm.unwrap_or(f64::INFINITY)),
            output_share: 0.5,
            refusals: Refusals::new(max, tempo.cuts_apart),
            load: LoadLimit::new(tempo.start_in_flight, max, tempo.epoch),
            breaker: Breaker::new(tempo.breaker_open),
            retries: RetryBudget::new(endpoint.retries.budget_ratio, tempo.retry_floor, tempo.retry_window),
            early_stop: EarlyStop::default(),
            first_send: None,
            last_answer: None,
            silent_since: None,
            quiet_until: f64::NEG_INFINITY,
            halted: None,
            counts: Counts::default(),
            tempo,
        }
    }

    /// How many may be in flight at `now`.
    pub(super) fn limit(&self, now: f64) -> usize {
        let limit = match self.fixed {
            Some(fixed) => fixed,
            None => self.refusals.limit().min(self.load.limit()).min(self.slope(now)).min(self.max),
        };
        if self.n_salvaging > 0 { limit.div_ceil(4) } else { limit }
    }

    /// How many the ramp at the start allows.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the largest limit")]
    fn slope(&self, now: f64) -> usize {
        let since = self.first_send.map_or(0.0, |first| now - first);
        let allowed = self.tempo.start_in_flight.max(1) as f64 * (since / self.tempo.doubling.max(1e-9)).exp2();
        allowed.min(self.max as f64) as usize
    }

    /// Whether a request may be sent at `now`.
    pub(super) fn leave(&mut self, now: f64, is_retry: bool) -> Leave {
        if self.in_flight >= self.limit(now) {
            // The ramp gives more with time alone.
            let is_ramp = self.fixed.is_none() && self.slope(now) < self.max;
            return if is_ramp { Leave::Until(now + self.tempo.doubling / 20.0) } else { Leave::WhenOneEnds };
        }
        match self.breaker.gate(now) {
            Gate::Until(until) => return Leave::Until(until),
            Gate::TrialRuns => return Leave::WhenOneEnds,
            Gate::Open | Gate::Trial => {}
        }
        let free_at = self.quiet_until.max(self.requests.free_at()).max(self.tokens.free_at());
        if free_at > now {
            return Leave::Until(free_at);
        }
        match if is_retry { self.retries.free_at(now) } else { now } {
            until if until > now => Leave::NoRetryUntil(until),
            _ => Leave::Given,
        }
    }

    /// Notes that a request is sent, right after leave was given.
    pub(super) fn send(&mut self, now: f64, estimate: TokenEstimate, is_retry: bool) -> Sent {
        self.first_send.get_or_insert(now);
        let is_trial = self.breaker.gate(now) == Gate::Trial;
        if is_trial {
            self.breaker.begin_trial();
        }
        let tokens = f64::from(estimate.input) + f64::from(estimate.output_max) * self.output_share;
        self.requests.charge(now, 1.0);
        self.tokens.charge(now, tokens);
        if is_retry {
            self.retries.charge(now);
            self.counts.retries += 1;
        }
        self.in_flight += 1;
        self.counts.sent += 1;
        Sent { at: now, tokens, estimate, is_trial, filled_limit: self.in_flight >= self.limit(now) }
    }

    /// Notes an answer.
    pub(super) fn answered(&mut self, now: f64, sent: Sent, good: Good) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.last_answer = Some(now);
        self.silent_since = None;
        self.breaker.succeeded();
        self.refusals.succeeded(now);
        self.retries.succeeded(now);
        self.counts.tokens_done += u64::from(good.tokens);
        let all_in_use = sent.filled_limit || self.in_flight + 1 >= self.limit(now);
        self.load.done(now, Done { seconds: good.seconds, tokens: good.tokens, all_in_use });
        let output = f64::from(good.tokens.min(sent.estimate.output_max));
        self.tokens.correct(f64::from(sent.estimate.input) + output - sent.tokens);
        if sent.estimate.output_max > 0 {
            let share = output / f64::from(sent.estimate.output_max);
            self.output_share = 0.95 * self.output_share + 0.05 * share;
        }
    }

    /// Notes a failed request.
    pub(super) fn failed(&mut self, now: f64, sent: Sent, bad: Bad<'_>) {
        let Bad { failure, stretch } = bad;
        let in_force = self.limit(now).min(self.in_flight.max(1));
        self.in_flight = self.in_flight.saturating_sub(1);
        self.counts.attempts_failed[failure.class as usize] += 1;
        match failure.class {
            FailureClass::Transport | FailureClass::Server => self.breaker.failed(now, sent.is_trial),
            FailureClass::Stopped | FailureClass::Timeout => self.breaker.ended_untold(sent.is_trial),
            _ => self.breaker.succeeded(),
        }
        let own = match failure.class {
            FailureClass::Capacity => self.refused(now, sent, in_force),
            _ => Quiet::IfAsked,
        };
        match (own, failure.retry_after.map(|wait| wait.as_secs_f64())) {
            (_, Some(wait)) if wait > self.tempo.wait_max => self.be_quiet(now, wait),
            (Quiet::AtLeast(seconds), wait) => self.be_quiet(now, (wait.unwrap_or(0.0) * stretch).max(seconds)),
            (Quiet::UnlessAsked(seconds), None) => self.be_quiet(now, seconds),
            (_, Some(wait)) => self.be_quiet(now, (wait * stretch).min(self.tempo.wait_max)),
            (Quiet::IfAsked, None) => {}
        }
        self.watch_silence(now, failure);
        match failure.class {
            FailureClass::Auth | FailureClass::Quota => self.halt(failure.clone()),
            _ => {}
        }
    }

    /// Lowers the limit after a refusal, where it adapts; returns how long to send nothing.
    fn refused(&mut self, now: f64, sent: Sent, in_force: usize) -> Quiet {
        if self.fixed.is_some() {
            return Quiet::IfAsked;
        }
        match self.refusals.refused(now, sent.at, in_force) {
            Refusal::Cut => Quiet::UnlessAsked(self.tempo.cool_down),
            Refusal::TooSoon(until) => Quiet::AtLeast(until - now),
            Refusal::Stale => Quiet::IfAsked,
        }
    }

    /// Notes that a failed request may have been charged, `usd` at most.
    pub(super) fn exposed(&mut self, charged: Charged, usd: Option<f64>) {
        if charged != Charged::No {
            self.counts.n_maybe_charged += 1;
            self.counts.exposure_usd += usd.unwrap_or(0.0);
        }
    }

    /// Sends nothing for a while; a wait beyond the longest pauses the endpoint.
    fn be_quiet(&mut self, now: f64, seconds: f64) {
        if seconds > self.tempo.wait_max {
            let reason = format!(
                "the server asks to wait {seconds:.0} s, which is longer than {:.0} s: run again later",
                self.tempo.wait_max
            );
            return self.halt(Failure::new(FailureClass::Capacity, reason));
        }
        self.quiet_until = self.quiet_until.max(now + seconds);
    }

    /// Pauses an endpoint that has answered nothing for too long.
    fn watch_silence(&mut self, now: f64, failure: &Failure) {
        if !matches!(failure.class, FailureClass::Transport | FailureClass::Server | FailureClass::Capacity) {
            self.silent_since = None;
            return;
        }
        let since = *self.silent_since.get_or_insert(now);
        let is_unknown = self.last_answer.is_none() && failure.class != FailureClass::Capacity;
        let patience = if is_unknown { self.tempo.first_patience } else { self.tempo.patience };
        if now - since > patience {
            let reason = format!("no answer for {:.0} s: {}", now - since, failure.reason);
            self.halt(Failure { status: failure.status, ..Failure::new(failure.class, reason) });
        }
    }

    /// Takes limits that the server stated.
    pub(super) fn heed(&mut self, now: f64, hints: Hints) {
        if let Some(rpm) = hints.rpm {
            self.requests.learn(rpm);
        }
        if let Some(tpm) = hints.tpm {
            self.tokens.learn(tpm);
        }
        if let Some(seconds) = hints.reset_seconds {
            self.be_quiet(now, seconds);
        }
    }

    /// Takes what the server's metrics tell.
    pub(super) fn told(&mut self, now: f64, load: ServerLoad) {
        let all_in_use = self.in_flight >= self.limit(now);
        self.load.told(load, all_in_use);
    }

    /// Never lets more than `n` be in flight from now on.
    pub(super) fn cap(&mut self, n: usize) {
        self.max = self.max.min(n.max(1));
        self.fixed = self.fixed.map(|fixed| fixed.min(n.max(1)));
    }

    /// Notes how an exchange ended after all its attempts; may stop the endpoint.
    pub(super) fn settled(&mut self, failure: Option<&Failure>) {
        match failure {
            None => self.counts.answered += 1,
            Some(failure) => self.counts.failed[failure.class as usize] += 1,
        }
    }

    /// Notes how an exchange ended its first round; may stop the endpoint.
    pub(super) fn finished(&mut self, failure: Option<&Failure>) {
        if let Some(reason) = self.early_stop.finished(failure) {
            self.halt(Failure::new(FailureClass::Stopped, reason));
        }
    }

    /// Stops sending for good; the first reason stays.
    pub(super) fn halt(&mut self, failure: Failure) {
        self.halted.get_or_insert(failure);
    }

    /// Why nothing is sent any more.
    pub(super) fn halted(&self) -> Option<&Failure> {
        self.halted.as_ref()
    }

    /// Notes that a lane begins or ends its salvage round.
    pub(super) fn salvage(&mut self, begins: bool) {
        self.n_salvaging = if begins { self.n_salvaging + 1 } else { self.n_salvaging.saturating_sub(1) };
    }

    /// Returns the numbers for a display; those of queues are the caller's.
    pub(super) fn gauge(&self, now: f64) -> Gauge {
        let by_class = |counts: &[u64; N_CLASSES]| {
            FailureClass::ALL
                .into_iter()
                .map(|class| (class, counts[class as usize]))
                .filter(|(_, count)| *count > 0)
                .collect()
        };
        Gauge {
            in_flight: self.in_flight,
            limit: self.limit(now),
            queued: 0,
            breaker_open: self.breaker.is_shut(),
            paused: self.halted.as_ref().map(ToString::to_string),
            wait_seconds: (self.quiet_until - now).max(0.0),
            sent: self.counts.sent,
            answered: self.counts.answered,
            failed_by_class: by_class(&self.counts.failed),
            attempts_failed_by_class: by_class(&self.counts.attempts_failed),
            retries: self.counts.retries,
            tokens_done: self.counts.tokens_done,
            n_maybe_charged: self.counts.n_maybe_charged,
            exposure_usd: self.counts.exposure_usd,
        }
    }
}
