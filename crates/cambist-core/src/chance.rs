//! Random numbers by name: a counter-based generator keyed by what the number is for.

use ring::digest::{Context, SHA256};

/// A stream of random numbers that depends on its key alone, never on who asked before.
///
/// The key names the use, for example `(seed, strategy, prompt id)`; the same key gives the same stream on every
/// machine, under any number of threads. The mixing function is SplitMix64 (Steele et al. 2014) started from the
/// SHA-256 of the key.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// Returns the stream that belongs to `seed` and the parts of the key in their order.
    pub fn new(seed: u64, key: &[&str]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&seed.to_le_bytes());
        for part in key {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        let mut first = [0u8; 8];
        first.copy_from_slice(&context.finish().as_ref()[..8]);
        Self { state: u64::from_le_bytes(first) }
    }

    /// Returns the next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number in `[0, 1)` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a number in `0..n`; 0 when `n` is 0. Unbiased to 2^-64 (multiply and shift, Lemire 2019).
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Returns a standard normal number (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, rows: &mut [T]) {
        for last in (1..rows.len()).rev() {
            rows.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_key_same_stream_and_parts_do_not_run_together() {
        let draw = |seed, key: &[&str]| Chance::new(seed, key).next_u64();
        assert_eq!(draw(7, &["random", "p1"]), draw(7, &["random", "p1"]));
        assert_ne!(draw(7, &["random", "p1"]), draw(7, &["randomp", "1"]));
        assert_ne!(draw(7, &["random", "p1"]), draw(8, &["random", "p1"]));
    }

    #[test]
    fn below_is_uniform_by_chi_square() {
        let mut chance = Chance::new(1, &["chi"]);
        let mut counts = [0f64; 10];
        for _ in 0..100_000 {
            counts[chance.below(10)] += 1.0;
        }
        let chi: f64 = counts.iter().map(|n| (n - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi < 27.88, "9 degrees of freedom, p = 0.001: {chi}");
    }

    #[test]
    fn normal_has_unit_variance() {
        let mut chance = Chance::new(2, &["normal"]);
        let draws: Vec<f64> = (0..100_000).map(|_| chance.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.013 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
