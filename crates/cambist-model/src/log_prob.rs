//! Log-probabilities from logits.

use candle_core::{Result, Storage, Tensor, bail};
use rayon::prelude::*;

use crate::ops::{floats, simd};

/// One token with its log-probability in its place, and the likeliest ones there.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogProb {
    /// The token.
    pub token: u32,
    /// Its log-probability given everything before it, in nats, at temperature 1 and before any penalty.
    pub log_prob: f64,
    /// The likeliest tokens with their log-probabilities, as many as were asked for, the likeliest first; the lower
    /// number first on a tie.
    pub top: Vec<(u32, f64)>,
}

/// The logits of one place with what makes them log-probabilities.
#[derive(Clone, Copy)]
pub(crate) struct LogProbs<'a> {
    logits: &'a [f32],
    log_sum: f64,
}

/// Logits that are held at once, in rows: whole prompts of large vocabularies would be gigabytes.
pub(crate) const ROWS_OF_LOGITS: usize = 64;

/// Exponentials that are summed in f32 before the sum goes on in f64.
const CHUNK: usize = 256;

impl<'a> LogProbs<'a> {
    pub(crate) fn new(logits: &'a [f32]) -> Self {
        let log_sum = simd::vectorised(
            #[inline(always)]
            || log_sum_exp(logits),
        );
        Self { logits, log_sum }
    }

    /// Returns the log-probability of a token; negative infinity for one that is not in the vocabulary.
    pub(crate) fn of(self, token: u32) -> f64 {
        self.logits.get(token as usize).map_or(f64::NEG_INFINITY, |logit| f64::from(*logit) - self.log_sum)
    }

    /// Returns a token with the `n_top` likeliest beside it.
    pub(crate) fn token(self, token: u32, n_top: usize) -> TokenLogProb {
        let top = Ranked::new(self.logits).first(n_top).iter().map(|token| (*token, self.of(*token))).collect();
        TokenLogProb { token, log_prob: self.of(token), top }
    }

    /// Returns the likeliest token, the lower number on a tie.
    pub(crate) fn most_likely(self) -> u32 {
        most_likely(self.logits)
    }
}

/// Reads each row of logits `[rows, vocabulary]` beside what is asked of it, in the order of the rows.
///
/// # Errors
/// When the logits are no contiguous f32 on the CPU.
pub(crate) fn each_row<Q: Sync, R: Send>(
    logits: &Tensor,
    asked: &[Q],
    read: impl Fn(&[f32], &Q) -> R + Sync,
) -> Result<Vec<R>> {
    let vocabulary = logits.dim(1)?;
    let (storage, layout) = logits.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("logits are read on the cpu") };
    let rows = floats(storage, layout)?.par_chunks_exact(vocabulary.max(1)).zip(asked);
    Ok(rows.with_min_len(LOGITS_PER_THREAD.div_ceil(vocabulary.max(1))).map(|(row, asked)| read(row, asked)).collect())
}

/// Logits that are worth a thread.
pub(crate) const LOGITS_PER_THREAD: usize = 1 << 15;

#[inline(always)]
fn log_sum_exp(logits: &[f32]) -> f64 {
    let top = simd::max(logits);
    let mut sum = 0f64;
    let mut powers = [0f32; CHUNK];
    for chunk in logits.chunks(CHUNK) {
        let powers = &mut powers[..chunk.len()];
        for (power, logit) in powers.iter_mut().zip(chunk) {
            *power = simd::exp(*logit - top);
        }
        sum += f64::from(simd::sum(powers));
    }
    f64::from(top) + sum.ln()
}

/// Returns the token with the highest logit, the lower number on a tie.
pub(crate) fn most_likely(logits: &[f32]) -> u32 {
    let top = simd::vectorised(
        #[inline(always)]
        || simd::max(logits),
    );
    logits.iter().position(|logit| *logit == top).unwrap_or(0) as u32
}

/// Tokens by falling logits, ties by rising number, put in order only as far as somebody asks.
pub(crate) struct Ranked<'a> {
    logits: &'a [f32],
    order: Vec<u32>,
    n_sorted: usize,
}

/// How many tokens are put in order at first; then eight times as many, and so on.
const FIRST_SORTED: usize = 64;

impl<'a> Ranked<'a> {
    pub(crate) fn new(logits: &'a [f32]) -> Self {
        Self { logits, order: (0..logits.len() as u32).collect(), n_sorted: 0 }
    }

    /// Returns the first `n` tokens, all where there are fewer.
    pub(crate) fn first(&mut self, n: usize) -> &[u32] {
        let n = n.min(self.order.len());
        while self.n_sorted < n {
            self.sort_more(n);
        }
        &self.order[..n]
    }

    /// Returns the token at a place.
    pub(crate) fn get(&mut self, place: usize) -> Option<u32> {
        self.first(place + 1).get(place).copied()
    }

    fn sort_more(&mut self, n: usize) {
        let goal = (self.n_sorted * 8).max(FIRST_SORTED).max(n).min(self.order.len());
        let logit = |token: u32| self.logits[token as usize];
        let falling = |a: &u32, b: &u32| logit(*b).total_cmp(&logit(*a)).then(a.cmp(b));
        let rest = &mut self.order[self.n_sorted..];
        let more = goal - self.n_sorted;
        if more < rest.len() {
            rest.select_nth_unstable_by(more, falling);
        }
        rest[..more].sort_unstable_by(falling);
        self.n_sorted = goal;
    }
}

#[cfg(test)]
mod tests {
    use cambist_core::chance::Chance;

    use super::*;

    #[test]
    fn a_partial_order_is_the_beginning_of_the_whole_one() {
        let mut chance = Chance::new(3, &["ranked"]);
        let logits: Vec<f32> = (0..3000).map(|_| (chance.normal() * 8.0).round() as f32).collect();
        let mut whole: Vec<u32> = (0..3000).collect();
        whole.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
        let mut ranked = Ranked::new(&logits);
        for n in [1, 5, 64, 65, 600, 2999, 3000, 4000] {
            assert_eq!(ranked.first(n), &whole[..n.min(3000)], "{n}");
        }
        assert_eq!(ranked.get(3000), None);
    }

    #[test]
    fn log_probabilities_sum_to_one_and_shift_nothing() {
        let logits: Vec<f32> = (0..700).map(|i| ((i * 37) % 101) as f32 * 0.3 + 50.0).collect();
        let log_probs = LogProbs::new(&logits);
        let sum: f64 = (0..700).map(|token| log_probs.of(token).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        assert!(((log_probs.of(5) - log_probs.of(9)) - f64::from(logits[5] - logits[9])).abs() < 1e-12);
        assert_eq!(log_probs.token(5, 2).top[0].0, log_probs.most_likely());
    }
}
