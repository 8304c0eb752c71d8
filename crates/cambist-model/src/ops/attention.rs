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
    rope::RopeTable,
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

    /// What the scores are multiplied by.
    pub(crate) fn scale(self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
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

/// Returns `softmax(scale * q k^T) v` for each head of each sequence, `[rows, n_heads * head_dim]`, from a joint
/// projection `[rows, (n_heads + 2 n_kv_heads) * head_dim]`. A token sees itself and what comes before it in its
/// sequence; positions count from 0.
pub(crate) fn causal_attention(tape: &Tape, qkv: &Value, operation: CausalAttention) -> Result<Value> {
    tape.apply1(qkv, operation)
}

#[derive(Clone)]
pub(crate) struct CausalAttention {
    pub(crate) heads: Heads,
    pub(crate) starts: Starts,
    pub(crate) rope: Arc<RopeTable>,
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
        let mut out = vec![0f32; n_rows * self.heads.out_width()];
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
        let mut d_qkv = vec![0f32; qkv.len()];
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
        for (i, columns) in columns.iter().enumerate() {
            let rows = &mut out[task(i).start * width..task(i).end * width];
            for (column, values) in columns {
                for (row, value) in rows.chunks_exact_mut(width).zip(values.chunks_exact(head_dim)) {
                    row[*column..column + head_dim].copy_from_slice(value);
                }
            }
        }
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
    fn rotated(&self, column: usize, rope: &RopeTable) -> Vec<f32> {
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
        let (heads, head_dim) = (op.heads, op.heads.head_dim);
        let input = self.rows(qkv, heads.qkv_width(), head_dim);
        let keys = input.rotated(heads.key_column(self.kv_head), &op.rope);
        let values = input.plain(heads.value_column(self.kv_head));
        let mut scratch = vec![0f32; BLOCK * self.length()];
        let mut columns = Vec::with_capacity(heads.group());
        for head in self.query_heads(heads) {
            let queries = input.rotated(head * head_dim, &op.rope);
            let mut out = vec![0f32; queries.len()];
            for block in blocks(self.length()) {
                let probabilities = block.probabilities(&mut scratch, &queries, &keys, heads)?;
                let seen = Matrix::row_major(&values, block.n_seen, head_dim);
                let out = (&mut out[block.range(head_dim)], Write::Replace);
                product(out, probabilities, seen, (1.0, Threads::One))?;
            }
            columns.push((head * head_dim, out));
        }
        Ok(columns)
    }

    #[inline(always)]
    fn backward(self, (qkv, out, d_out): (&[f32], &[f32], &[f32]), op: &CausalAttention) -> Result<Columns> {
        let (heads, head_dim) = (op.heads, op.heads.head_dim);
        let input = self.rows(qkv, heads.qkv_width(), head_dim);
        let keys = input.rotated(heads.key_column(self.kv_head), &op.rope);
        let values = input.plain(heads.value_column(self.kv_head));
        let mut scratch = (vec![0f32; BLOCK * self.length()], vec![0f32; BLOCK * self.length()]);
        let (mut d_keys, mut d_values) = (vec![0f32; keys.len()], vec![0f32; keys.len()]);
        let mut columns = Vec::with_capacity(heads.group() + 2);
        for head in self.query_heads(heads) {
            let queries = input.rotated(head * head_dim, &op.rope);
            let out = self.rows(out, heads.out_width(), head_dim).plain(head * head_dim);
            let d_out = self.rows(d_out, heads.out_width(), head_dim).plain(head * head_dim);
            let mut d_queries = vec![0f32; queries.len()];
            for block in blocks(self.length()) {
                let (rows, n_seen) = (block.range(head_dim), block.n_seen);
                let own = |data| Matrix::row_major(data, block.n_rows, head_dim);
                let d_own = own(&d_out[rows.clone()]);
                let p = block.probabilities(&mut scratch.0, &queries, &keys, heads)?;
                let sums = (&mut d_values[..n_seen * head_dim], Write::Add);
                product(sums, p.transposed(), d_own, (1.0, Threads::One))?;
                let d_scores = &mut scratch.1[..block.n_rows * n_seen];
                let seen = Matrix::row_major(&values, n_seen, head_dim).transposed();
                product((d_scores, Write::Replace), d_own, seen, (1.0, Threads::One))?;
                softmax_backward(d_scores, p.data, (&out[rows.clone()], &d_out[rows.clone()]), head_dim);
                let d_scores = Matrix::row_major(d_scores, block.n_rows, n_seen);
                let seen = Matrix::row_major(&keys, n_seen, head_dim);
                let one = (heads.scale(), Threads::One);
                product((&mut d_queries[rows.clone()], Write::Replace), d_scores, seen, one)?;
                let sums = (&mut d_keys[..n_seen * head_dim], Write::Add);
                product(sums, d_scores.transposed(), own(&queries[rows]), one)?;
            }
            columns.push((head * head_dim, turned_back(&d_queries, head_dim, &op.rope)));
        }
        columns.push((heads.key_column(self.kv_head), turned_back(&d_keys, head_dim, &op.rope)));
        columns.push((heads.value_column(self.kv_head), d_values));
        Ok(columns)
    }
}

/// A run of query rows with the keys that any of them sees.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    n_rows: usize,
    n_seen: usize,
}

fn blocks(length: usize) -> impl Iterator<Item = Block> {
    (0..length).step_by(BLOCK).map(move |first| {
        let n_rows = BLOCK.min(length - first);
        Block { first, n_rows, n_seen: first + n_rows }
    })
}

impl Block {
    fn range(self, head_dim: usize) -> std::ops::Range<usize> {
        self.first * head_dim..(self.first + self.n_rows) * head_dim
    }

    /// Returns `[n_rows, n_seen]`, 0 for what lies ahead.
    #[inline(always)]
    fn probabilities<'a>(
        self,
        scratch: &'a mut [f32],
        queries: &[f32],
        keys: &[f32],
        heads: Heads,
    ) -> Result<Matrix<'a>> {
        let scores = &mut scratch[..self.n_rows * self.n_seen];
        let own = Matrix::row_major(&queries[self.range(heads.head_dim)], self.n_rows, heads.head_dim);
        let seen = Matrix::row_major(keys, self.n_seen, heads.head_dim).transposed();
        product((scores, Write::Replace), own, seen, (heads.scale(), Threads::One))?;
        for (row, scores) in scores.chunks_exact_mut(self.n_seen).enumerate() {
            let (seen, ahead) = scores.split_at_mut(self.first + row + 1);
            simd::softmax(seen);
            ahead.fill(0.0);
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
fn turned_back(head: &[f32], head_dim: usize, rope: &RopeTable) -> Vec<f32> {
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
        ops::reference::{self, assert_same_gradients, noise},
        rope::{Rope, RopeScaling},
    };

    #[test]
    fn gradients_equal_those_of_plain_operations_for_ragged_batches_and_grouped_queries() {
        let heads = Heads { n_heads: 4, n_kv_heads: 2, head_dim: 6 };
        let starts: Starts = Arc::from([0, 5, 6, 76]);
        let rope = Rope::new(6, 100.0, &RopeScaling::Default);
        assert_same_gradients(
            &[noise(&[76, heads.qkv_width()], 1)],
            |tape, v| {
                let operation = CausalAttention { heads, starts: Arc::clone(&starts), rope: rope.table(70) };
                causal_attention(tape, &v[0], operation)
            },
            |v| reference::causal_attention(&v[0], heads, &starts, 100.0),
        );
    }
}
