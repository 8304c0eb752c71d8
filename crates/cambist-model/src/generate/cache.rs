//! Keys and values of the tokens so far: what a sequence shares with others, then what is its own.

use std::sync::Arc;

use candle_core::{Result, Storage, Tensor, bail};
use rayon::prelude::*;

use crate::{
    decoder::{Attend, Attentions, Causal},
    ops::{
        attention::{Heads, LayerAttention, Starts},
        floats, simd,
    },
    rope::RopeTable,
    tape::{Tape, Value},
};

/// Keys (turned to their positions) and values of a run of tokens in one layer; `[length, head_dim]` each for every key
/// head.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerKeys {
    keys_values: Vec<(Vec<f32>, Vec<f32>)>,
    length: usize,
}

impl LayerKeys {
    /// Keeps the keys and values of one more token at `position`, given its joint projection, turned as `rope` says if
    /// it does.
    #[inline(always)]
    pub(crate) fn push(&mut self, heads: Heads, qkv: &[f32], (position, rope): (usize, Option<&RopeTable>)) {
        let head_dim = heads.head_dim;
        self.keys_values.resize_with(heads.n_kv_heads, Default::default);
        for (kv_head, (keys, values)) in self.keys_values.iter_mut().enumerate() {
            let (key, value) = (heads.key_column(kv_head), heads.value_column(kv_head));
            let end = keys.len();
            keys.resize(end + head_dim, 0.0);
            turn(&mut keys[end..], (&qkv[key..key + head_dim], position), rope);
            values.extend_from_slice(&qkv[value..value + head_dim]);
        }
        self.length += 1;
    }

    /// The keys and values of one head from the token `first` on; of none where the run ends before.
    #[inline(always)]
    fn of(&self, kv_head: usize, first: usize) -> (&[f32], &[f32]) {
        let Some((keys, values)) = self.keys_values.get(kv_head) else { return (&[], &[]) };
        let skipped = first.min(self.length) * (keys.len() / self.length.max(1));
        (&keys[skipped..], &values[skipped..])
    }
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
        let shared = self.shared.of(kv_head, first);
        let own = self.own.of(kv_head, first.saturating_sub(self.shared.length));
        let mut query = vec![0f32; head_dim];
        let mut scores = vec![0f32; length - first];
        let (scores_of_shared, scores_of_own) = (shared.0.len() / head_dim, own.0.len() / head_dim);
        debug_assert_eq!(scores_of_shared + scores_of_own, scores.len());
        out.fill(0.0);
        for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
            let column = (kv_head * heads.group() + head) * head_dim;
            turn(&mut query, (&qkv[column..column + head_dim], length - 1), rope);
            let (to_shared, to_own) = scores.split_at_mut(scores_of_shared);
            for (scores, keys) in [(to_shared, shared.0), (to_own, own.0)] {
                for (score, key) in scores.iter_mut().zip(keys.chunks_exact(head_dim)) {
                    *score = simd::dot(&query, key) * how.scale;
                }
            }
            if let Some(cap) = how.cap {
                simd::soft_cap(&mut scores, cap);
            }
            simd::softmax(&mut scores);
            let (of_shared, of_own) = scores.split_at(scores_of_shared);
            for (probabilities, values) in [(of_shared, shared.1), (of_own, own.1)] {
                for (probability, value) in probabilities.iter().zip(values.chunks_exact(head_dim)) {
                    simd::add_scaled(out, *probability, value);
                }
            }
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

/// Keys and values of a run of tokens in every layer.
pub(super) struct Keys(Vec<LayerKeys>);

impl Keys {
    pub(super) fn new(n_layers: usize) -> Self {
        Self(vec![LayerKeys::default(); n_layers])
    }

    /// Of no token, in as many layers.
    pub(super) fn none(&self) -> Self {
        Self::new(self.0.len())
    }
}

/// Keys and values of one sequence: those of its beginning, which others may share, and its own.
pub(super) struct KvCache {
    pub(super) shared: Arc<Keys>,
    pub(super) own: Keys,
}

/// Whole prompts behind one another: each attends to itself and fills its keys.
pub(super) struct Prefill<'a> {
    pub(super) causal: Causal,
    pub(super) starts: Starts,
    pub(super) keys: &'a mut [Keys],
    pub(super) layers: Attentions,
    pub(super) heads: Heads,
}

impl Attend for Prefill<'_> {
    fn attend(&mut self, tape: &Tape, layer: usize, qkv: &Value) -> Result<Value> {
        let (heads, how, starts) = (self.heads, &self.layers[layer], &self.starts);
        with_floats(&qkv.tensor, |rows| {
            self.keys.par_iter_mut().zip(starts.par_windows(2)).for_each(|(keys, ends)| {
                let width = heads.qkv_width();
                fill(&mut keys.0[layer], heads, (&rows[ends[0] * width..ends[1] * width], how));
            });
            Ok(())
        })?;
        self.causal.attend(tape, layer, qkv)
    }
}

/// Keeps the keys and values of a whole sequence, given its joint projections.
pub(crate) fn fill(keys: &mut LayerKeys, heads: Heads, (rows, how): (&[f32], &LayerAttention)) {
    let width = heads.qkv_width();
    let rope = how.table(rows.len() / width);
    simd::vectorised(
        #[inline(always)]
        || {
            for (position, row) in rows.chunks_exact(width).enumerate() {
                keys.push(heads, row, (position, rope));
            }
        },
    );
}

/// The newest token of several sequences, each attending to its own cache.
pub(super) struct Step<'a> {
    pub(super) caches: Vec<&'a mut KvCache>,
    pub(super) layers: Attentions,
    pub(super) heads: Heads,
}

/// Products of attention below which one thread is faster than several.
const WORTH_THREADS: usize = 1 << 16;

impl Attend for Step<'_> {
    fn attend(&mut self, tape: &Tape, layer: usize, qkv: &Value) -> Result<Value> {
        let (heads, how) = (self.heads, &self.layers[layer]);
        let (width, out_width) = (heads.qkv_width(), heads.out_width());
        let mut out = vec![0f32; self.caches.len() * out_width];
        with_floats(&qkv.tensor, |rows| {
            let mut n_products = 0;
            for (cache, qkv) in self.caches.iter_mut().zip(rows.chunks_exact(width)) {
                let (shared, own) = (&cache.shared.0[layer], &mut cache.own.0[layer]);
                let position = shared.length + own.length;
                own.push(heads, qkv, (position, how.table(position + 1)));
                n_products += 2 * (position + 1) * out_width;
            }
            let attend = |(i, out): (usize, &mut [f32])| {
                let (sequence, kv_head) = (i / heads.n_kv_heads, i % heads.n_kv_heads);
                let cache = &self.caches[sequence];
                let seen = Seen { shared: &cache.shared.0[layer], own: &cache.own.0[layer] };
                let qkv = &rows[sequence * width..(sequence + 1) * width];
                simd::vectorised(
                    #[inline(always)]
                    || seen.attend(heads, (kv_head, qkv, out), how),
                );
            };
            let group_width = heads.group() * heads.head_dim;
            match n_products < WORTH_THREADS {
                true => out.chunks_exact_mut(group_width).enumerate().for_each(attend),
                false => out.par_chunks_exact_mut(group_width).enumerate().for_each(attend),
            }
            Ok(())
        })?;
        let out = Tensor::from_vec(out, (self.caches.len(), out_width), qkv.tensor.device())?;
        Ok(tape.constant(out))
    }
}

/// Lets `read` see a contiguous f32 tensor.
pub(crate) fn with_floats<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => read(floats(storage, layout)?),
        _ => bail!("generation runs on the cpu"),
    }
}
