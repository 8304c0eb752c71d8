//! Causal attention with grouped queries over sequences that lie behind one another without padding.
//!
//! One operation takes the joint projection of queries, keys and values, turns queries and keys to their positions
//! (RoPE), and gives the weighted values. The probabilities are never kept: the backward pass makes them again, block
//! by block, so that memory grows with the length of a sequence and not with its square.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    floats,
    kernel::{Matrix, Threads, Write, product},
    simd,
};
use crate::{
    buffers::buffer,
    rope::{RopeTable, RopeTables},
    tape::{Tape, Value},
};

/// How the columns of a joint projection fall to heads: all queries, then all keys, then all values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) n_heads: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim: usize,
}

impl Heads {
    /// Query heads that share one key head.
    pub(crate) fn group(self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Columns of the joint projection.
    pub(crate) fn qkv_width(self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.head_dim
    }

    /// Columns of the result.
    pub(crate) fn out_width(self) -> usize {
        self.n_heads * self.head_dim
    }

    pub(crate) fn key_column(self, kv_head: usize) -> usize {
        (self.n_heads + kv_head) * self.head_dim
    }

    pub(crate) fn value_column(self, kv_head: usize) -> usize {
        (self.n_heads + self.n_kv_heads + kv_head) * self.head_dim
    }
}

/// Where sequences begin and end in the rows of a batch: sequence `i` has rows `starts[i]..starts[i + 1]`.
pub(crate) type Starts = Arc<[usize]>;

/// How the tokens of one layer see one another.
#[derive(Clone, Debug)]
pub(crate) struct LayerAttention {
    /// What the scores are multiplied by.
    pub(crate) scale: f32,
    /// Then they become `cap * tanh(score / cap)`.
    pub(crate) cap: Option<f32>,
    /// How many tokens a token sees, itself included; all before it when none.
    pub(crate) window: Option<usize>,
    /// How queries and keys are turned to their positions, if they are.
    pub(crate) rope: Option<RopeTables>,
}

impl LayerAttention {
    /// Returns the first position that the token at `position` sees.
    #[inline(always)]
    pub(crate) fn first_seen(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// Returns the rotations of a sequence of `length` tokens.
    #[inline(always)]
    pub(crate) fn table(&self, length: usize) -> Option<&RopeTable> {
        self.rope.as_ref().map(|tables| tables.of(length))
    }
}

/// Returns `softmax(cap(scale * q k^T)) v` for each head of each sequence, `[rows, n_heads * head_dim]`, from a joint
/// projection `[rows, (n_heads + 2 n_kv_heads) * head_dim]`. A token sees itself and what comes before it in its
/// sequence, as far as the window reaches; positions count from 0.
pub(crate) fn causal_attention(tape: &Tape, qkv: &Value, operation: CausalAttention) -> Result<Value> {
    tape.apply1(qkv, operation)
}

#[derive(Clone)]
pub(crate) struct CausalAttention {
    pub(crate) heads: Heads,
    pub(crate) starts: Starts,
    pub(crate) layer: LayerAttention,
}

/// Rows of probabilities that are held at once.
const BLOCK: usize = 64;

impl CustomOp1 for CausalAttention {
    fn name(&self) -> &'static str {
        "causal-attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_rows, width) = layout.shape().dims2()?;
        let qkv = floats(qkv, layout)?;
        if width != self.heads.qkv_width() || self.starts.last() != Some(&n_rows) {
            bail!("attention over {:?} got a projection of [{n_rows}, {width}]", self.heads)
        }
        let mut out = buffer(n_rows * self.heads.out_width());
        self.each_group(
            &mut out,
            #[inline(always)]
            |task| task.forward(qkv, self),
        )?;
        Ok((CpuStorage::F32(out), Shape::from((n_rows, self.heads.out_width()))))
    }

    fn bwd(&self, qkv: &Tensor, out: &Tensor, d_out: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(qkv.apply_op3_no_bwd(out, &d_out.contiguous()?, &Backward(self.clone()))?))
    }
}

struct Backward(CausalAttention);

impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        "causal-attention-backward"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
        out: &CpuStorage,
        out_layout: &Layout,
        d_out: &CpuStorage,
        d_out_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let qkv = floats(qkv, layout)?;
        let (out, d_out) = (floats(out, out_layout)?, floats(d_out, d_out_layout)?);
        let mut d_qkv = buffer(qkv.len());
        self.0.each_group(
            &mut d_qkv,
            #[inline(always)]
            |task| task.backward((qkv, out, d_out), &self.0),
        )?;
        Ok((CpuStorage::F32(d_qkv), layout.shape().clone()))
    }
}

/// The columns that one task computed: `(first column, [rows, head_dim])`.
type Columns = Vec<(usize, Vec<f32>)>;

impl CausalAttention {
    /// Runs `compute` for every key head of every sequence and lays the columns it returns into `out`.
    fn each_group(&self, out: &mut [f32], compute: impl Fn(Task) -> Result<Columns> + Sync) -> Result<()> {
        let n_kv = self.heads.n_kv_heads;
        let n_tasks = (self.starts.len() - 1) * n_kv;
        let task = |i: usize| Task { start: self.starts[i / n_kv], end: self.starts[i / n_kv + 1], kv_head: i % n_kv };
        let columns: Vec<Columns> = (0..n_tasks)
            .into_par_iter()
            .map(|i| {
                simd::vectorised(
                    #[inline(always)]
                    || compute(task(i)),
                )
            })
            .collect::<Result<_>>()?;
        let (head_dim, width) = (self.heads.head_dim, out.len() / self.starts.last().map_or(1, |n| (*n).max(1)));
        let (mut sequences, mut behind) = (Vec::with_capacity(self.starts.len()), out);
        for ends in self.starts.windows(2) {
            let (own, rest) = std::mem::take(&mut behind).split_at_mut((ends[1] - ends[0]) * width);
            sequences.push(own);
            behind = rest;
        }
        sequences.into_par_iter().zip(columns.par_chunks(n_kv)).for_each(|(rows, columns)| {
            for (column, values) in columns.iter().flatten() {
                for (row, value) in rows.chunks_exact_mut(width).zip(values.chunks_exact(head_dim)) {
                    row[*column..column + head_dim].copy_from_slice(value);
                }
            }
        });
        Ok(())
    }
}

/// One key head of one sequence, with the query heads that share it.
#[derive(Clone, Copy)]
struct Task {
    start: usize,
    end: usize,
    kv_head: usize,
}

/// One head's rows of a sequence, `[length, head_dim]`, turned to their positions where that applies.
struct Turned<'a> {
    rows: &'a [f32],
    width: usize,
    head_dim: usize,
}

impl Turned<'_> {
    #[inline(always)]
    fn plain(&self, column: usize) -> Vec<f32> {
        let mut head = Vec::with_capacity(self.rows.len() / self.width * self.head_dim);
        for row in self.rows.chunks_exact(self.width) {
            head.extend_from_slice(&row[column..column + self.head_dim]);
        }
        head
    }

    #[inline(always)]
    fn rotated(&self, column: usize, rope: Option<&RopeTable>) -> Vec<f32> {
        let Some(rope) = rope else { return self.plain(column) };
        let mut head = vec![0f32; self.rows.len() / self.width * self.head_dim];
        let rows = self.rows.chunks_exact(self.width);
        for (position, (out, row)) in head.chunks_exact_mut(self.head_dim).zip(rows).enumerate() {
            rope.rotate(out, &row[column..column + self.head_dim], position);
        }
        head
    }
}

impl Task {
    fn length(self) -> usize {
        self.end - self.start
    }

    fn rows(self, data: &[f32], width: usize, head_dim: usize) -> Turned<'_> {
        Turned { rows: &data[self.start * width..self.end * width], width, head_dim }
    }

    fn query_heads(self, heads: Heads) -> std::ops::Range<usize> {
        self.kv_head * heads.group()..(self.kv_head + 1) * heads.group()
    }

    #[inline(always)]
    fn forward(self, qkv: &[f32], op: &CausalAttention) -> Result<Columns> {
        let (heads, head_dim, rope) = (op.heads, op.heads.head_dim, op.layer.table(self.length()));
        let input = self.rows(qkv, heads.qkv_width(), head_dim);
        let keys = input.rotated(heads.key_column(self.kv_head), rope);
        let values = input.plain(heads.value_column(self.kv_head));
        let mut scratch = Scratch::new(self.length(), &op.layer, false);
        let mut columns = Vec::with_capacity(heads.group());
        for head in self.query_heads(heads) {
            let queries = input.rotated(head * head_dim, rope);
            let mut out = vec![0f32; queries.len()];
            for block in blocks(self.length(), &op.layer) {
                let probabilities = block.probabilities(&mut scratch, (&queries, &keys), (head_dim, &op.layer))?;
                let seen = Matrix::row_major(&values[block.seen(head_dim)], block.n_seen, head_dim);
                let out = (&mut out[block.range(head_dim)], Write::Replace);
                product(out, probabilities, seen, (1.0, Threads::One))?;
            }
            columns.push((head * head_dim, out));
        }
        Ok(columns)
    }

    #[inline(always)]
    fn backward(self, (qkv, out, d_out): (&[f32], &[f32], &[f32]), op: &CausalAttention) -> Result<Columns> {
        let (heads, head_dim, rope) = (op.heads, op.heads.head_dim, op.layer.table(self.length()));
        let input = self.rows(qkv, heads.qkv_width(), head_dim);
        let keys = input.rotated(heads.key_column(self.kv_head), rope);
        let values = input.plain(heads.value_column(self.kv_head));
        let mut scratch = Scratch::new(self.length(), &op.layer, true);
        let mut gradients = vec![0f32; BLOCK * self.length()];
        let (mut d_keys, mut d_values) = (vec![0f32; keys.len()], vec![0f32; keys.len()]);
        let mut columns = Vec::with_capacity(heads.group() + 2);
        for head in self.query_heads(heads) {
            let queries = input.rotated(head * head_dim, rope);
            let out = self.rows(out, heads.out_width(), head_dim).plain(head * head_dim);
            let d_out = self.rows(d_out, heads.out_width(), head_dim).plain(head * head_dim);
            let mut d_queries = vec![0f32; queries.len()];
            for block in blocks(self.length(), &op.layer) {
                let (rows, seen, n_seen) = (block.range(head_dim), block.seen(head_dim), block.n_seen);
                let own = |data| Matrix::row_major(data, block.n_rows, head_dim);
                let d_own = own(&d_out[rows.clone()]);
                let p = block.probabilities(&mut scratch, (&queries, &keys), (head_dim, &op.layer))?;
                let sums = (&mut d_values[seen.clone()], Write::Add);
                product(sums, p.transposed(), d_own, (1.0, Threads::One))?;
                let d_scores = &mut gradients[..block.n_rows * n_seen];
                let turned = Matrix::row_major(&values[seen.clone()], n_seen, head_dim).transposed();
                product((d_scores, Write::Replace), d_own, turned, (1.0, Threads::One))?;
                softmax_backward(d_scores, p.data, (&out[rows.clone()], &d_out[rows.clone()]), head_dim);
                if let Some(cap) = op.layer.cap {
                    simd::soft_cap_back(d_scores, &scratch.capped, cap);
                }
                let d_scores = Matrix::row_major(d_scores, block.n_rows, n_seen);
                let keys = Matrix::row_major(&keys[seen.clone()], n_seen, head_dim);
                let one = (op.layer.scale, Threads::One);
                product((&mut d_queries[rows.clone()], Write::Replace), d_scores, keys, one)?;
                let sums = (&mut d_keys[seen], Write::Add);
                product(sums, d_scores.transposed(), own(&queries[rows]), one)?;
            }
            columns.push((head * head_dim, turned_back(d_queries, head_dim, rope)));
        }
        columns.push((heads.key_column(self.kv_head), turned_back(d_keys, head_dim, rope)));
        columns.push((heads.value_column(self.kv_head), d_values));
        Ok(columns)
    }
}

/// Room for the scores of one block.
struct Scratch {
    probabilities: Vec<f32>,
    /// Scores after the cap, where the way back needs them; empty otherwise.
    capped: Vec<f32>,
}

impl Scratch {
    fn new(length: usize, layer: &LayerAttention, way_back: bool) -> Self {
        let capped = if way_back && layer.cap.is_some() { vec![0f32; BLOCK * length] } else { vec![] };
        Self { probabilities: vec![0f32; BLOCK * length], capped }
    }
}

/// A run of query rows with the run of keys that any of them sees.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    n_rows: usize,
    first_seen: usize,
    n_seen: usize,
}

fn blocks(length: usize, layer: &LayerAttention) -> impl Iterator<Item = Block> {
    (0..length).step_by(BLOCK).map(move |first| {
        let (n_rows, first_seen) = (BLOCK.min(length - first), layer.first_seen(first));
        Block { first, n_rows, first_seen, n_seen: first + n_rows - first_seen }
    })
}

impl Block {
    fn range(self, head_dim: usize) -> std::ops::Range<usize> {
        self.first * head_dim..(self.first + self.n_rows) * head_dim
    }

    fn seen(self, head_dim: usize) -> std::ops::Range<usize> {
        self.first_seen * head_dim..(self.first_seen + self.n_seen) * head_dim
    }

    /// Returns `[n_rows, n_seen]`, 0 for what lies ahead and for what lies before the window.
    #[inline(always)]
    fn probabilities<'a>(
        self,
        scratch: &'a mut Scratch,
        (queries, keys): (&[f32], &[f32]),
        (head_dim, layer): (usize, &LayerAttention),
    ) -> Result<Matrix<'a>> {
        let scores = &mut scratch.probabilities[..self.n_rows * self.n_seen];
        let own = Matrix::row_major(&queries[self.range(head_dim)], self.n_rows, head_dim);
        let seen = Matrix::row_major(&keys[self.seen(head_dim)], self.n_seen, head_dim).transposed();
        product((scores, Write::Replace), own, seen, (layer.scale, Threads::One))?;
        if let Some(cap) = layer.cap {
            simd::soft_cap(scores, cap);
            if !scratch.capped.is_empty() {
                scratch.capped[..scores.len()].copy_from_slice(scores);
            }
        }
        for (row, scores) in scores.chunks_exact_mut(self.n_seen).enumerate() {
            let position = self.first + row;
            let (scores, ahead) = scores.split_at_mut(position + 1 - self.first_seen);
            let (behind, seen) = scores.split_at_mut(layer.first_seen(position) - self.first_seen);
            simd::softmax(seen);
            ahead.fill(0.0);
            behind.fill(0.0);
        }
        Ok(Matrix::row_major(scores, self.n_rows, self.n_seen))
    }
}

/// Turns gradients of probabilities into gradients of scores in place: `p * (dp - sum(out * d_out))`.
#[inline(always)]
fn softmax_backward(d_scores: &mut [f32], p: &[f32], (out, d_out): (&[f32], &[f32]), head_dim: usize) {
    let n_seen = d_scores.len() / (out.len() / head_dim);
    let rows = out.chunks_exact(head_dim).zip(d_out.chunks_exact(head_dim));
    for ((d, p), (out, d_out)) in d_scores.chunks_exact_mut(n_seen).zip(p.chunks_exact(n_seen)).zip(rows) {
        let shared = simd::dot(out, d_out);
        for (d, p) in d.iter_mut().zip(p) {
            *d = p * (*d - shared);
        }
    }
}

#[inline(always)]
fn turned_back(head: Vec<f32>, head_dim: usize, rope: Option<&RopeTable>) -> Vec<f32> {
    let Some(rope) = rope else { return head };
    let mut out = vec![0f32; head.len()];
    for (position, (out, row)) in out.chunks_exact_mut(head_dim).zip(head.chunks_exact(head_dim)).enumerate() {
        rope.rotate_back(out, row, position);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::reference::{self, PlainAttention, assert_same_gradients, noise},
        rope::{Rope, RopeConfig, RopeScaling},
    };

    const HEADS: Heads = Heads { n_heads: 4, n_kv_heads: 2, head_dim: 6 };
    const PLAIN: PlainAttention =
        PlainAttention { heads: HEADS, scale: 0.4, cap: None, window: None, rope: Some((100.0, 6, false)) };

    fn compare(plain: PlainAttention) {
        let starts: Starts = Arc::from([0, 5, 6, 146]);
        let rope = plain.rope.map(|(theta, width, interleaved)| {
            let scaling = RopeScaling::Default;
            Rope::new(&RopeConfig { theta: theta.into(), width, interleaved, max_positions: 512, scaling }).tables(140)
        });
        let layer = LayerAttention { scale: plain.scale, cap: plain.cap, window: plain.window, rope };
        assert_same_gradients(
            &[noise(&[146, HEADS.qkv_width()], 1)],
            |tape, v| {
                let (starts, layer) = (Arc::clone(&starts), layer.clone());
                causal_attention(tape, &v[0], CausalAttention { heads: HEADS, starts, layer })
            },
            |v| reference::causal_attention(&v[0], plain, &starts),
        );
    }

    #[test]
    fn gradients_equal_those_of_plain_operations_for_ragged_batches_and_grouped_queries() {
        compare(PLAIN);
    }

    #[test]
    fn gradients_equal_those_of_plain_operations_within_windows() {
        for window in [1, 3, 64, 100] {
            compare(PlainAttention { window: Some(window), ..PLAIN });
        }
    }

    #[test]
    fn gradients_equal_those_of_plain_operations_under_a_cap() {
        compare(PlainAttention { cap: Some(1.5), ..PLAIN });
        compare(PlainAttention { cap: Some(1.5), window: Some(70), ..PLAIN });
    }

    #[test]
    fn gradients_equal_those_of_plain_operations_for_every_rotation() {
        for rope in [None, Some((100.0, 4, false)), Some((100.0, 6, true)), Some((100.0, 2, true))] {
            compare(PlainAttention { rope, ..PLAIN });
        }
    }
}
