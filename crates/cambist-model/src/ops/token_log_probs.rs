//! Log-probabilities of given tokens under the output layer, without ever holding all logits.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    floats,
    kernel::{Matrix, Threads, Write, product},
    simd,
};
use crate::tape::{Tape, Value};

/// Returns `ln softmax(hidden weight^T)[target]` in nats for each row, `[rows]`; differentiable in `hidden`
/// `[rows, width]` and `weight` `[vocabulary, width]`.
pub(crate) fn token_log_probs(tape: &Tape, hidden: &Value, weight: &Value, targets: &Arc<[u32]>) -> Result<Value> {
    tape.apply2(hidden, weight, TokenLogProbs(Arc::clone(targets)))
}

struct TokenLogProbs(Arc<[u32]>);

/// Rows whose logits are held at once: 8 MB at a vocabulary of 8,000, 130 MB at 128,000.
const CHUNK: usize = 256;

impl CustomOp2 for TokenLogProbs {
    fn name(&self) -> &'static str {
        "token-log-probs"
    }

    fn cpu_fwd(&self, h: &CpuStorage, lh: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let head = Head::new((floats(h, lh)?, lh), (floats(w, lw)?, lw), &self.0)?;
        let mut out = vec![0f32; self.0.len()];
        let mut logits = vec![0f32; head.chunk_len()];
        for (i, out) in out.chunks_mut(CHUNK).enumerate() {
            let logits = &mut logits[..out.len() * head.vocabulary];
            head.logits(logits, i)?;
            let rows = logits.par_chunks_mut(head.vocabulary).zip(&self.0[i * CHUNK..]);
            out.par_iter_mut().zip(rows).for_each(|(out, (row, target))| {
                let chosen = row[*target as usize];
                let (top, sum) = simd::vectorised(
                    #[inline(always)]
                    || simd::exp_shifted(row),
                );
                *out = chosen - top - sum.ln();
            });
        }
        Ok((CpuStorage::F32(out), Shape::from(self.0.len())))
    }

    fn bwd(&self, h: &Tensor, w: &Tensor, _out: &Tensor, d_out: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let both = h.apply_op3_no_bwd(w, &d_out.contiguous()?, &Backward(Arc::clone(&self.0)))?;
        let n_rows = h.dim(0)?;
        Ok((Some(both.narrow(0, 0, n_rows)?), Some(both.narrow(0, n_rows, w.dim(0)?)?)))
    }
}

/// Gives the gradients of the hidden rows and, below them, those of the weight.
struct Backward(Arc<[u32]>);

impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        "token-log-probs-backward"
    }

    fn cpu_fwd(
        &self,
        h: &CpuStorage,
        lh: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        d_out: &CpuStorage,
        ld: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let head = Head::new((floats(h, lh)?, lh), (floats(w, lw)?, lw), &self.0)?;
        let d_out = floats(d_out, ld)?;
        let (n_rows, vocabulary, width) = (self.0.len(), head.vocabulary, head.width);
        let mut out = vec![0f32; (n_rows + vocabulary) * width];
        let (d_hidden, d_weight) = out.split_at_mut(n_rows * width);
        let mut logits = vec![0f32; head.chunk_len()];
        for (i, d_hidden) in d_hidden.chunks_mut(CHUNK * width).enumerate() {
            let n = d_hidden.len() / width;
            let logits = &mut logits[..n * vocabulary];
            head.logits(logits, i)?;
            let rows = self.0[i * CHUNK..].iter().zip(&d_out[i * CHUNK..]);
            logits.par_chunks_mut(vocabulary).zip(rows.collect::<Vec<_>>()).for_each(|(row, (target, d))| {
                simd::vectorised(
                    #[inline(always)]
                    || d_logits(row, *target as usize, *d),
                );
            });
            let d_logits = Matrix::row_major(logits, n, vocabulary);
            let weight = Matrix::row_major(head.weight, vocabulary, width);
            product((d_hidden, Write::Replace), d_logits, weight, (1.0, Threads::Pool))?;
            product((d_weight, Write::Add), d_logits.transposed(), head.rows(i), (1.0, Threads::Pool))?;
        }
        Ok((CpuStorage::F32(out), Shape::from((n_rows + vocabulary, width))))
    }
}

/// Replaces a row of logits by the gradient `d * (one_hot(target) - softmax(row))`.
#[inline(always)]
fn d_logits(row: &mut [f32], target: usize, d: f32) {
    let (_, sum) = simd::exp_shifted(row);
    let scale = -d / sum;
    for x in row.iter_mut() {
        *x *= scale;
    }
    row[target] += d;
}

struct Head<'a> {
    hidden: &'a [f32],
    weight: &'a [f32],
    vocabulary: usize,
    width: usize,
}

impl<'a> Head<'a> {
    fn new((h, lh): (&'a [f32], &Layout), (w, lw): (&'a [f32], &Layout), targets: &[u32]) -> Result<Self> {
        let ((n_rows, width), (vocabulary, w_width)) = (lh.shape().dims2()?, lw.shape().dims2()?);
        if width != w_width || n_rows != targets.len() {
            bail!("{} targets and a weight of width {w_width} met rows of [{n_rows}, {width}]", targets.len())
        }
        if let Some(beyond) = targets.iter().find(|t| **t as usize >= vocabulary) {
            bail!("target {beyond} is beyond a vocabulary of {vocabulary}")
        }
        Ok(Self { hidden: h, weight: w, vocabulary, width })
    }

    fn chunk_len(&self) -> usize {
        CHUNK.min(self.hidden.len() / self.width) * self.vocabulary
    }

    fn rows(&self, chunk: usize) -> Matrix<'a> {
        let rows = &self.hidden[chunk * CHUNK * self.width..];
        let n_rows = CHUNK.min(rows.len() / self.width);
        Matrix::row_major(rows, n_rows, self.width)
    }

    fn logits(&self, out: &mut [f32], chunk: usize) -> Result<()> {
        let weight = Matrix::row_major(self.weight, self.vocabulary, self.width);
        product((out, Write::Replace), self.rows(chunk), weight.transposed(), (1.0, Threads::Pool))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{self, assert_same_gradients, noise};

    #[test]
    fn gradients_equal_those_of_plain_operations_across_chunks() {
        let targets: Arc<[u32]> = (0..300).map(|i| i * 7 % 19).collect();
        let inputs = [noise(&[300, 10], 1), noise(&[19, 10], 2)];
        let plain = |v: &[Tensor]| reference::token_log_probs(&v[0], &v[1], &targets);
        assert_same_gradients(&inputs, |tape, v| token_log_probs(tape, &v[0], &v[1], &targets), plain);
    }

    #[test]
    fn a_target_beyond_the_vocabulary_is_refused() {
        let tape = Tape::idle();
        let value = |rows, seed| tape.parameter(0, &noise(&[rows, 4], seed));
        assert!(token_log_probs(&tape, &value(1, 1), &value(5, 2), &Arc::from([5])).is_err());
    }
}
