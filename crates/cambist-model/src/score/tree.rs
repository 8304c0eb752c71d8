//! Attention over sequences that share their beginnings.

use std::{ops::Range, sync::Arc};

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::{
    decoder::{Attend, Attentions, Causal, Decoder},
    generate::{
        cache::{fill, with_floats},
        keys::{LayerKeys, Seen},
    },
    ops::{
        attention::{Heads, LayerAttention, Starts},
        simd,
    },
    tape::{Tape, Value},
};

/// One way on from a stem.
pub(super) struct Branch {
    /// The stem that it goes on from, whole.
    pub(super) stem: usize,
    /// Its rows in the pass.
    pub(super) rows: Range<usize>,
}

/// Stems behind one another, then branches: a branch's tokens see its stem and what comes before them in the branch.
pub(super) struct Tree {
    causal: Causal,
    starts: Starts,
    branches: Vec<Branch>,
    layers: Attentions,
    heads: Heads,
}

impl Tree {
    pub(super) fn new(decoder: &Decoder, starts: Starts, branches: Vec<Branch>) -> Self {
        let length = |branch: &Branch| starts[branch.stem + 1] - starts[branch.stem] + branch.rows.len();
        let stems = starts.windows(2).map(|ends| ends[1] - ends[0]);
        let longest = stems.chain(branches.iter().map(length)).max().unwrap_or(0);
        let (causal, layers) = (decoder.causal(Arc::clone(&starts)), decoder.attentions(longest));
        Self { causal, starts, branches, layers, heads: decoder.config.heads() }
    }

    /// Returns what the rows of all branches see, in their order.
    fn branches(&self, rows: &[f32], how: &LayerAttention) -> Vec<f32> {
        let (heads, width) = (self.heads, self.heads.qkv_width());
        let mut stems: Vec<LayerKeys> = vec![LayerKeys::default(); self.starts.len() - 1];
        let of = |rows_of: Range<usize>| &rows[rows_of.start * width..rows_of.end * width];
        stems.par_iter_mut().enumerate().for_each(|(stem, keys)| {
            if self.branches.iter().any(|branch| branch.stem == stem) {
                fill(keys, heads, (of(self.starts[stem]..self.starts[stem + 1]), how));
            }
        });
        let grown = |branch: &Branch| {
            let mut out = vec![0f32; branch.rows.len() * heads.out_width()];
            simd::vectorised(
                #[inline(always)]
                || branch.grow((&stems[branch.stem], of(branch.rows.clone())), (heads, how), &mut out),
            );
            out
        };
        self.branches.par_iter().map(grown).collect::<Vec<_>>().concat()
    }
}

impl Branch {
    #[inline(always)]
    fn grow(&self, (stem, rows): (&LayerKeys, &[f32]), (heads, how): (Heads, &LayerAttention), out: &mut [f32]) {
        let mut own = LayerKeys::default();
        let group_width = heads.group() * heads.head_dim;
        let outs = out.chunks_exact_mut(heads.out_width());
        for (qkv, out) in rows.chunks_exact(heads.qkv_width()).zip(outs) {
            let length = Seen { shared: stem, own: &own }.length() + 1;
            own.push(heads, qkv, (length - 1, how.table(length)));
            let seen = Seen { shared: stem, own: &own };
            for (kv_head, out) in out.chunks_exact_mut(group_width).enumerate() {
                seen.attend(heads, (kv_head, qkv, out), how);
            }
        }
    }
}

impl Attend for Tree {
    fn attend(&mut self, tape: &Tape, layer: usize, qkv: &Value) -> Result<Value> {
        let n_stem_rows = self.starts.last().copied().unwrap_or(0);
        let stems = self.causal.attend(tape, layer, &qkv.narrow(0, n_stem_rows)?)?;
        if self.branches.is_empty() {
            return Ok(stems);
        }
        let out = with_floats(&qkv.tensor, |rows| Ok(self.branches(rows, &self.layers[layer])))?;
        let shape = (out.len() / self.heads.out_width(), self.heads.out_width());
        let branches = Tensor::from_vec(out, shape, qkv.tensor.device())?;
        Ok(tape.constant(Tensor::cat(&[&stems.tensor, &branches], 0)?))
    }
}
