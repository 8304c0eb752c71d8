//! Keys and values of the tokens so far: what a sequence shares with others, then what is its own.

use std::sync::Arc;

use candle_core::{Result, Storage, Tensor, bail};
use rayon::prelude::*;

use super::keys::{LayerKeys, Seen};
use crate::{
    decoder::{Attend, Attentions, Causal},
    ops::{
        attention::{Heads, LayerAttention, Starts},
        floats, simd,
    },
    tape::{Tape, Value},
};

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
                let position = shared.length() + own.length();
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
