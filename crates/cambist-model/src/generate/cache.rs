//! Keys and values of the tokens so far, one cache for each sequence.

use candle_core::{Result, Storage, Tensor, bail};
use rayon::prelude::*;

use crate::{
    decoder::{Attend, Attentions, Causal},
    ops::{
        attention::{Heads, LayerAttention},
        floats, simd,
    },
    rope::RopeTable,
    tape::{Tape, Value},
};

/// Keys (turned to their positions) and values of one sequence; `[length, head_dim]` for each layer and key head.
pub(super) struct KvCache {
    heads: Heads,
    keys_values: Vec<(Vec<f32>, Vec<f32>)>,
    /// Tokens in each layer.
    lengths: Vec<usize>,
}

impl KvCache {
    pub(super) fn new(n_layers: usize, heads: Heads) -> Self {
        Self { heads, keys_values: vec![Default::default(); n_layers * heads.n_kv_heads], lengths: vec![0; n_layers] }
    }

    /// Keeps the keys and values of one more token, given its joint projection, turned as `rope` says if it does.
    #[inline(always)]
    fn push(&mut self, layer: usize, qkv: &[f32], rope: Option<&RopeTable>) {
        let (head_dim, position) = (self.heads.head_dim, self.lengths[layer]);
        for kv_head in 0..self.heads.n_kv_heads {
            let (keys, values) = &mut self.keys_values[layer * self.heads.n_kv_heads + kv_head];
            let (key, value) = (self.heads.key_column(kv_head), self.heads.value_column(kv_head));
            let end = keys.len();
            keys.resize(end + head_dim, 0.0);
            turn(&mut keys[end..], (&qkv[key..key + head_dim], position), rope);
            values.extend_from_slice(&qkv[value..value + head_dim]);
        }
        self.lengths[layer] += 1;
    }

    /// Writes the attention's result for the newest token, given its joint projection.
    #[inline(always)]
    fn attend(&self, layer: usize, (qkv, out): (&[f32], &mut [f32]), how: &LayerAttention) {
        let (heads, head_dim, length) = (self.heads, self.heads.head_dim, self.lengths[layer]);
        let (first, rope) = (how.first_seen(length - 1), how.table(length));
        let mut query = vec![0f32; head_dim];
        let mut scores = vec![0f32; length - first];
        out.fill(0.0);
        for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
            let (keys, values) = &self.keys_values[layer * heads.n_kv_heads + head / heads.group()];
            let (keys, values) = (&keys[first * head_dim..], &values[first * head_dim..]);
            turn(&mut query, (&qkv[head * head_dim..(head + 1) * head_dim], length - 1), rope);
            for (score, key) in scores.iter_mut().zip(keys.chunks_exact(head_dim)) {
                *score = simd::dot(&query, key) * how.scale;
            }
            if let Some(cap) = how.cap {
                simd::soft_cap(&mut scores, cap);
            }
            simd::softmax(&mut scores);
            for (probability, value) in scores.iter().zip(values.chunks_exact(head_dim)) {
                simd::add_scaled(out, *probability, value);
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

/// The prompt of one sequence: attends to itself and fills the cache.
pub(super) struct Prefill<'a> {
    pub(super) causal: Causal,
    pub(super) cache: &'a mut KvCache,
    pub(super) layers: Attentions,
}

impl Attend for Prefill<'_> {
    fn attend(&mut self, tape: &Tape, layer: usize, qkv: &Value) -> Result<Value> {
        with_floats(&qkv.tensor, |rows| {
            let width = self.cache.heads.qkv_width();
            let rope = self.layers[layer].table(rows.len() / width);
            simd::vectorised(
                #[inline(always)]
                || {
                    for row in rows.chunks_exact(width) {
                        self.cache.push(layer, row, rope);
                    }
                },
            );
            Ok(())
        })?;
        self.causal.attend(tape, layer, qkv)
    }
}

/// The newest token of several sequences, each attending to its own cache.
pub(super) struct Step<'a> {
    pub(super) caches: Vec<&'a mut KvCache>,
    pub(super) layers: Attentions,
}

impl Attend for Step<'_> {
    fn attend(&mut self, tape: &Tape, layer: usize, qkv: &Value) -> Result<Value> {
        let Some(heads) = self.caches.first().map(|cache| cache.heads) else { bail!("a step needs a sequence") };
        let mut out = vec![0f32; self.caches.len() * heads.out_width()];
        let how = &self.layers[layer];
        with_floats(&qkv.tensor, |rows| {
            let pairs = rows.par_chunks(heads.qkv_width()).zip(out.par_chunks_mut(heads.out_width()));
            self.caches.par_iter_mut().zip(pairs).for_each(|(cache, (qkv, out))| {
                simd::vectorised(
                    #[inline(always)]
                    || {
                        cache.push(layer, qkv, how.table(cache.lengths[layer] + 1));
                        cache.attend(layer, (qkv, out), how);
                    },
                );
            });
            Ok(())
        })?;
        let out = Tensor::from_vec(out, (self.caches.len(), heads.out_width()), qkv.tensor.device())?;
        Ok(tape.constant(out))
    }
}

fn with_floats(tensor: &Tensor, read: impl FnOnce(&[f32]) -> Result<()>) -> Result<()> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => read(floats(storage, layout)?),
        _ => bail!("generation runs on the cpu"),
    }
}
