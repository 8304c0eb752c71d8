//! A limit per minute, spread evenly.

/// Seconds that a late send may make up for: timers are no finer.
const SLACK: f64 = 0.05;

/// Admits at most `per_minute` in any window of 60 s, and one more.
#[derive(Clone, Debug)]
pub(in crate::transport) struct Bucket {
    per_minute: f64,
    configured: f64,
    free_at: f64,
}

impl Bucket {
    /// Returns a full bucket; `configured` is never exceeded, whatever a server states later.
    pub(in crate::transport) fn new(configured: f64) -> Self {
        let configured = if configured > 0.0 { configured } else { f64::INFINITY };
        Self { per_minute: configured, configured, free_at: f64::NEG_INFINITY }
    }

    /// Takes a limit that the server stated, when it is below the configured one.
    pub(in crate::transport) fn learn(&mut self, per_minute: f64) {
        self.per_minute = per_minute.min(self.configured);
    }

    /// When the next charge is admitted.
    pub(in crate::transport) fn free_at(&self) -> f64 {
        self.free_at
    }

    /// Takes `cost` out at `now`, which is not before [`Bucket::free_at`].
    pub(in crate::transport) fn charge(&mut self, now: f64, cost: f64) {
        self.free_at = self.free_at.max(now - SLACK) + self.seconds(cost);
    }

    /// Corrects an earlier charge by what was used more (or less, when negative).
    pub(in crate::transport) fn correct(&mut self, difference: f64) {
        self.free_at += self.seconds(difference);
    }

    fn seconds(&self, cost: f64) -> f64 {
        cost * (60.0 + SLACK) / self.per_minute
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Bucket;

    /// Times and costs of what is sent when it is asked for `gaps` after the one before and waits for its turn.
    fn send(bucket: &mut Bucket, asked: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let mut now = 0.0;
        let mut sent = Vec::new();
        for (gap, cost) in asked {
            now = bucket.free_at().max(now + gap);
            bucket.charge(now, *cost);
            sent.push((now, *cost));
        }
        sent
    }

    proptest! {
        #[test]
        fn no_minute_holds_more_than_the_limit_and_one(
            per_minute in 1.0..2000.0f64,
            gaps in prop::collection::vec(prop_oneof![Just(0.0), 0.0..0.2f64, 0.0..90.0f64], 1..400),
        ) {
            let asked: Vec<(f64, f64)> = gaps.into_iter().map(|gap| (gap, 1.0)).collect();
            let sent = send(&mut Bucket::new(per_minute), &asked);
            for (from, _) in &sent {
                let n = sent.iter().filter(|(at, _)| at >= from && *at < from + 60.0).count();
                prop_assert!(n as f64 <= per_minute + 1.0 + 1e-6, "{n} of {per_minute}");
            }
        }

        #[test]
        fn heavy_charges_exceed_the_limit_by_the_last_one_at_most(
            costs in prop::collection::vec(1.0..500.0f64, 1..200),
        ) {
            let asked: Vec<(f64, f64)> = costs.into_iter().map(|cost| (0.0, cost)).collect();
            let sent = send(&mut Bucket::new(1000.0), &asked);
            for (from, _) in &sent {
                let inside: Vec<f64> =
                    sent.iter().filter(|(at, _)| at >= from && *at < from + 60.0).map(|(_, cost)| *cost).collect();
                let before_last = inside.iter().sum::<f64>() - inside.last().unwrap();
                prop_assert!(before_last <= 1000.0 + 1e-6);
            }
        }
    }

    #[test]
    fn a_full_queue_uses_the_whole_limit() {
        let sent = send(&mut Bucket::new(60.0), &[(0.0, 1.0); 121]);
        assert!((118.0..=121.0).contains(&sent[120].0), "{:?}", sent[120]);
    }

    #[test]
    fn what_was_not_used_is_given_back_and_stated_limits_only_lower() {
        let mut bucket = Bucket::new(60.0);
        bucket.charge(0.0, 30.0);
        bucket.correct(-29.0);
        assert!((0.8..1.1).contains(&bucket.free_at()));
        bucket.learn(600.0);
        assert_eq!(bucket.per_minute, 60.0);
        bucket.learn(6.0);
        assert_eq!(bucket.per_minute, 6.0);
    }
}
