//! Keys and values of a run of tokens, and what a token sees of them.

use crate::{
    ops::{
        attention::{Heads, LayerAttention},
        simd,
    },
    rope::RopeTable,
};

/// Tokens whose keys stand number by number beside one another, so that their scores are sums of whole vectors.
const TOKENS: usize = simd::LANES;

/// Keys (turned to their positions) and values of a run of tokens in one layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerKeys {
    heads: Vec<HeadKeys>,
    length: usize,
}

/// Those of one key head.
#[derive(Clone, Debug, Default)]
struct HeadKeys {
    /// `[length / TOKENS, head_dim, TOKENS]`; what lies beyond the last token is 0.
    keys: Vec<f32>,
    /// `[length, head_dim]`.
    values: Vec<f32>,
}

impl LayerKeys {
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Keeps the keys and values of one more token at `position`, given its joint projection, turned as `rope` says if
    /// it does.
    #[inline(always)]
    pub(crate) fn push(&mut self, heads: Heads, qkv: &[f32], (position, rope): (usize, Option<&RopeTable>)) {
        let head_dim = heads.head_dim;
        let mut turned = vec![0f32; head_dim];
        self.heads.resize_with(heads.n_kv_heads, Default::default);
        for (kv_head, own) in self.heads.iter_mut().enumerate() {
            let (key, value) = (heads.key_column(kv_head), heads.value_column(kv_head));
            turn(&mut turned, (&qkv[key..key + head_dim], position), rope);
            let block = self.length / TOKENS * TOKENS * head_dim;
            if own.keys.len() == block {
                own.keys.resize(block + TOKENS * head_dim, 0.0);
            }
            for (keys, x) in own.keys[block..].chunks_exact_mut(TOKENS).zip(&turned) {
                keys[self.length % TOKENS] = *x;
            }
            own.values.extend_from_slice(&qkv[value..value + head_dim]);
        }
        self.length += 1;
    }

    /// Returns how many tokens stand from the token `first` on.
    #[inline(always)]
    fn n_from(&self, first: usize) -> usize {
        self.length.saturating_sub(first)
    }

    /// Writes the scores of the tokens from `first` on.
    #[inline(always)]
    fn scores(&self, (kv_head, query): (usize, &[f32]), (first, scale): (usize, f32), mut out: &mut [f32]) {
        let Some(head) = self.heads.get(kv_head) else { return };
        let mut skipped = first % TOKENS;
        for block in head.keys.chunks_exact(TOKENS * query.len()).skip(first / TOKENS) {
            let sums = products(query, block);
            let (own, rest) = out.split_at_mut(out.len().min(TOKENS - skipped));
            for (score, sum) in own.iter_mut().zip(&sums[skipped..]) {
                *score = sum * scale;
            }
            (out, skipped) = (rest, 0);
        }
    }

    /// Adds the values of the tokens from `first` on, each times its probability, in the order of the tokens.
    #[inline(always)]
    fn add_values(&self, (kv_head, first): (usize, usize), probabilities: &[f32], out: &mut [f32]) {
        let Some(head) = self.heads.get(kv_head) else { return };
        let width = out.len();
        let values = &head.values[first.min(self.length) * width..][..probabilities.len() * width];
        let mut at = 0;
        while at + 4 * simd::LANES <= width {
            add_weighted::<4>(out, probabilities, (values, at));
            at += 4 * simd::LANES;
        }
        while at + simd::LANES <= width {
            add_weighted::<1>(out, probabilities, (values, at));
            at += simd::LANES;
        }
        for i in at..width {
            for row in 0..probabilities.len() {
                out[i] = values[row * width + i].mul_add(probabilities[row], out[i]);
            }
        }
    }
}

/// Adds to some vectors of `out`, the first of which begins at column `at`, the same columns of rows as wide as `out`, each
/// times its probability. The sums stay in registers for all rows.
#[inline(always)]
#[expect(clippy::manual_memcpy, reason = "a copy of all sums at once would keep them in memory all along")]
fn add_weighted<const VECTORS: usize>(out: &mut [f32], probabilities: &[f32], (rows, at): (&[f32], usize)) {
    let width = out.len();
    let (own, _) = out[at..at + VECTORS * simd::LANES].as_chunks_mut::<{ simd::LANES }>();
    let mut sums = [[0f32; simd::LANES]; VECTORS];
    for i in 0..VECTORS {
        sums[i] = own[i];
    }
    for row in 0..probabilities.len() {
        let numbers = &rows[row * width + at..][..VECTORS * simd::LANES];
        for i in 0..VECTORS {
            for lane in 0..simd::LANES {
                sums[i][lane] = numbers[i * simd::LANES + lane].mul_add(probabilities[row], sums[i][lane]);
            }
        }
    }
    for i in 0..VECTORS {
        own[i] = sums[i];
    }
}

/// Returns the products of a query with a block of keys; each is the same whatever tokens stand beside it.
#[inline(always)]
fn products(query: &[f32], block: &[f32]) -> [f32; TOKENS] {
    // Four sums, so that none waits for the one before.
    let mut sums = [[0f32; TOKENS]; 4];
    let (fours, rest) = query.as_chunks::<4>();
    let (keys, _) = block.as_chunks::<TOKENS>();
    let (key_fours, key_rest) = keys[..].as_chunks::<4>();
    for (query, keys) in fours.iter().zip(key_fours) {
        for part in 0..4 {
            for token in 0..TOKENS {
                sums[part][token] = keys[part][token].mul_add(query[part], sums[part][token]);
            }
        }
    }
    for (query, keys) in rest.iter().zip(key_rest) {
        for token in 0..TOKENS {
            sums[0][token] = keys[token].mul_add(*query, sums[0][token]);
        }
    }
    let mut out = [0f32; TOKENS];
    for token in 0..TOKENS {
        out[token] = (sums[0][token] + sums[1][token]) + (sums[2][token] + sums[3][token]);
    }
    out
}

/// Two runs of tokens behind one another in one layer: the newest token is the last of the second.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) shared: &'a LayerKeys,
    pub(crate) own: &'a LayerKeys,
}

impl Seen<'_> {
    pub(crate) fn length(self) -> usize {
        self.shared.length + self.own.length
    }

    /// Writes what the query heads of one key head see, `[group, head_dim]`, given the newest token's joint projection.
    ///
    /// Sums run over the tokens in their order, so that it makes no difference which of them are shared.
    #[inline(always)]
    pub(crate) fn attend(self, heads: Heads, (kv_head, qkv, out): (usize, &[f32], &mut [f32]), how: &LayerAttention) {
        let (head_dim, length) = (heads.head_dim, self.length());
        let (first, rope) = (how.first_seen(length - 1), how.table(length));
        let first_own = first.saturating_sub(self.shared.length);
        let mut query = vec![0f32; head_dim];
        let mut scores = vec![0f32; length - first];
        let n_shared = self.shared.n_from(first);
        for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
            let column = (kv_head * heads.group() + head) * head_dim;
            turn(&mut query, (&qkv[column..column + head_dim], length - 1), rope);
            let (to_shared, to_own) = scores.split_at_mut(n_shared);
            self.shared.scores((kv_head, &query), (first, how.scale), to_shared);
            self.own.scores((kv_head, &query), (first_own, how.scale), to_own);
            if let Some(cap) = how.cap {
                simd::soft_cap(&mut scores, cap);
            }
            simd::softmax(&mut scores);
            let (of_shared, of_own) = scores.split_at(n_shared);
            out.fill(0.0);
            self.shared.add_values((kv_head, first), of_shared, out);
            self.own.add_values((kv_head, first_own), of_own, out);
        }
    }
}

#[inline(always)]
fn turn(out: &mut [f32], (head, position): (&[f32], usize), rope: Option<&RopeTable>) {
    match rope {
        Some(rope) => rope.rotate(out, head, position),
        None => out.copy_from_slice(head),
    }
}

#[cfg(test)]
mod tests {
    use cambist_core::chance::Chance;

    use super::*;

    fn heads(head_dim: usize) -> Heads {
        Heads { n_heads: 4, n_kv_heads: 2, head_dim }
    }

    fn runs(heads: Heads, rows: &[Vec<f32>], n_shared: usize) -> [LayerKeys; 2] {
        let mut runs = [LayerKeys::default(), LayerKeys::default()];
        for (i, row) in rows.iter().enumerate() {
            runs[usize::from(i >= n_shared)].push(heads, row, (i, None));
        }
        runs
    }

    #[test]
    fn a_token_sees_weighted_values_wherever_runs_meet() {
        // No whole vector; four, one and a rest.
        for heads in [6, 86].map(heads) {
            for window in [None, Some(1), Some(20), Some(37)] {
                let scale = 1.0 / (heads.head_dim as f32).sqrt();
                compare(heads, &LayerAttention { scale, cap: Some(5.0), window, rope: None });
            }
        }
    }

    fn compare(heads: Heads, how: &LayerAttention) {
        let mut chance = Chance::new(1, &["keys"]);
        let rows: Vec<Vec<f32>> =
            (0..53).map(|_| (0..heads.qkv_width()).map(|_| chance.normal() as f32).collect()).collect();
        let seen = |n_shared: usize| {
            let [shared, own] = runs(heads, &rows, n_shared);
            let mut out = vec![0f32; 2 * heads.head_dim];
            Seen { shared: &shared, own: &own }.attend(heads, (1, &rows[52], &mut out), how);
            out
        };
        for (found, expected) in seen(0).iter().zip(&by_hand(heads, &rows, how)) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{heads:?} {how:?}: {found} {expected}");
        }
        for n_shared in [1, 16, 31, 33, 52] {
            assert_eq!(seen(n_shared), seen(0), "{heads:?} {how:?}, {n_shared} shared");
        }
    }

    fn by_hand(heads: Heads, rows: &[Vec<f32>], how: &LayerAttention) -> Vec<f64> {
        let number = |row: usize, column: usize| f64::from(rows[row][column]);
        let last = rows.len() - 1;
        let mut out = vec![];
        for head in 2..4 {
            let score = |token: usize| -> f64 {
                let products = (0..heads.head_dim)
                    .map(|i| number(last, head * heads.head_dim + i) * number(token, heads.key_column(1) + i));
                let cap = how.cap.map_or(1.0, f64::from);
                cap * (products.sum::<f64>() * f64::from(how.scale) / cap).tanh()
            };
            let seen: Vec<(usize, f64)> = (how.first_seen(last)..=last).map(|t| (t, score(t).exp())).collect();
            let sum: f64 = seen.iter().map(|(_, weight)| weight).sum();
            let value = |i: usize| seen.iter().map(|(t, w)| w * number(*t, heads.value_column(1) + i)).sum::<f64>();
            out.extend((0..heads.head_dim).map(|i| value(i) / sum));
        }
        out
    }
}
