//! Finds the number in flight beyond which a server answers no faster, by trying.

/// An answer, as the climb sees it.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct Done {
    /// Seconds that it took.
    pub(in crate::transport) seconds: f64,
    /// Tokens that it came to; at least 1 is counted.
    pub(in crate::transport) tokens: u32,
    /// Whether the limit held something back meanwhile.
    pub(in crate::transport) all_in_use: bool,
}

/// Measures throughput in epochs and moves the limit between them. The first moves double it, until that no longer
/// helps; later ones are a quarter.
#[derive(Clone, Debug)]
pub(super) struct Climb {
    limit: usize,
    max: usize,
    least: f64,
    before_move: Option<usize>,
    hold: u32,
    n_since_move: u32,
    is_doubling: bool,
    last_rate: Option<f64>,
    paces: Vec<f64>,
    epoch: Epoch,
}

/// What was measured since the limit last may have moved.
#[derive(Clone, Debug, Default)]
struct Epoch {
    began: Option<f64>,
    tokens: f64,
    n_done: usize,
    n_full: usize,
    seconds: Vec<f64>,
    seconds_per_token: Vec<f64>,
}

/// Answers that an epoch takes its medians from, and epochs that the climb remembers.
const N_KEPT: usize = 512;

impl Climb {
    pub(super) fn new(start: usize, max: usize, least: f64) -> Self {
        let max = max.max(1);
        Self {
            limit: start.clamp(1, max),
            max,
            least,
            before_move: None,
            hold: 1,
            n_since_move: 0,
            is_doubling: true,
            last_rate: None,
            paces: Vec::new(),
            epoch: Epoch::default(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn done(&mut self, now: f64, done: Done) {
        let began = *self.epoch.began.get_or_insert(now - done.seconds.max(0.0));
        self.epoch.note(done);
        let n_needed = if self.is_doubling { (2 * self.limit).min(30) } else { 30 };
        if self.epoch.n_done < n_needed || now - began < self.least {
            return;
        }
        if now - began >= 2.0 * median(&mut self.epoch.seconds) {
            let epoch = std::mem::take(&mut self.epoch);
            self.epoch.began = Some(now);
            self.decide(epoch, now - began);
        }
    }

    fn decide(&mut self, mut epoch: Epoch, seconds: f64) {
        let rate = epoch.tokens / seconds.max(1e-9);
        let pace = median(&mut epoch.seconds_per_token);
        let was_full = 2 * epoch.n_full > epoch.n_done;
        let last_rate = self.last_rate.replace(rate);
        self.n_since_move += 1;
        if let (Some(before), Some(last_rate)) = (self.before_move.take(), last_rate) {
            let gain = (rate - last_rate) / last_rate;
            let step = (self.limit - before) as f64 / before as f64;
            if gain < 0.1 * step {
                self.limit = before;
                self.hold = if self.is_doubling { 1 } else { (2 * self.hold).min(64) };
                self.is_doubling = false;
                self.n_since_move = 0;
                return self.remember(pace);
            }
            self.hold = 1;
        }
        if self.is_choking(pace) && last_rate.is_some_and(|last| rate <= 1.02 * last) {
            self.move_to(self.limit * 4 / 5, false);
        } else if was_full && self.n_since_move >= self.hold {
            let higher = if self.is_doubling { 2 * self.limit } else { (5 * self.limit).div_ceil(4) };
            self.move_to(higher, true);
        }
        self.remember(pace);
    }

    fn move_to(&mut self, limit: usize, is_up: bool) {
        let limit = limit.clamp(1, self.max);
        self.before_move = (is_up && limit > self.limit).then_some(self.limit);
        self.limit = limit;
        self.n_since_move = 0;
    }

    /// Whether a token takes four times as long as it did when things went well.
    fn is_choking(&self, pace: f64) -> bool {
        let mut paces = self.paces.clone();
        paces.sort_by(f64::total_cmp);
        paces.get(paces.len() / 10).is_some_and(|good| pace > 4.0 * good)
    }

    fn remember(&mut self, pace: f64) {
        if self.paces.len() < N_KEPT {
            self.paces.push(pace);
        }
    }
}

impl Epoch {
    fn note(&mut self, done: Done) {
        let tokens = f64::from(done.tokens.max(1));
        self.tokens += tokens;
        self.n_done += 1;
        self.n_full += usize::from(done.all_in_use);
        if self.seconds.len() < N_KEPT {
            self.seconds.push(done.seconds);
            self.seconds_per_token.push(done.seconds / tokens);
        }
    }
}

/// The median, the upper one of two; 0 of nothing.
fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::{Climb, Done};

    /// Runs a server that works on `n_slots` at once, 1 s each, and queues the rest; returns the limit at each second.
    fn limits(n_slots: usize, n_seconds: usize) -> Vec<usize> {
        let mut climb = Climb::new(4, 512, 5.0);
        let mut limits = Vec::new();
        for second in 0..n_seconds {
            let in_flight = climb.limit();
            let n_done = in_flight.min(n_slots);
            let seconds = (in_flight as f64 / n_slots as f64).max(1.0);
            for n in 0..n_done {
                let now = second as f64 + n as f64 / n_done as f64;
                climb.done(now, Done { seconds, tokens: 100, all_in_use: true });
            }
            limits.push(climb.limit());
        }
        limits
    }

    #[test]
    fn within_a_minute_the_server_is_busy_and_its_queue_is_short() {
        for n_slots in [8, 24, 64, 100] {
            let limit = limits(n_slots, 61)[60];
            assert!(limit * 10 >= n_slots * 9, "{limit} for {n_slots}");
            assert!(limit <= 3 * n_slots, "{limit} for {n_slots}");
        }
    }

    #[test]
    fn on_the_plateau_tries_become_rare() {
        let limits = limits(32, 1200);
        let n_moves = |range: &[usize]| range.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(n_moves(&limits[900..]) < n_moves(&limits[..300]), "{limits:?}");
        assert!(limits[60..].iter().all(|limit| (24..=100).contains(limit)));
    }

    #[test]
    fn a_limit_that_held_nothing_back_is_not_raised() {
        let mut climb = Climb::new(4, 512, 5.0);
        for n in 0..10_000 {
            climb.done(f64::from(n) * 0.1, Done { seconds: 0.2, tokens: 5, all_in_use: false });
        }
        assert_eq!(climb.limit(), 4);
    }
}
