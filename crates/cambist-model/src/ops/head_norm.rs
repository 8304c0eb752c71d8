//! Normalisation of queries and keys, head by head, before they are turned to their positions (Dehghani et al. 2023,
//! arXiv 2302.05442, section 2).

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{ROWS_PER_TASK, attention::Heads, floats, norm::Norm, simd};
use crate::{
    buffers::buffer,
    tape::{Tape, Value},
};

/// Heads of a joint projection and how those of queries and keys are normalised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadNorm {
    pub(crate) heads: Heads,
    pub(crate) norm: Norm,
}

/// Returns a joint projection `[rows, (n_heads + 2 n_kv_heads) * head_dim]` with each head of queries and keys
/// normalised; values stay. The weight holds `head_dim` gains for all queries and as many for all keys, or as many for
/// each head by itself. Differentiable in both.
pub(crate) fn head_norm(tape: &Tape, qkv: &Value, weight: &Value, operation: HeadNorm) -> Result<Value> {
    tape.apply2(qkv, weight, operation)
}

impl HeadNorm {
    /// Heads that are normalised.
    fn n_normed(&self) -> usize {
        self.heads.n_heads + self.heads.n_kv_heads
    }

    fn check(&self, n_numbers: usize, n_gains: usize) -> Result<()> {
        let Heads { head_dim, .. } = self.heads;
        let fits = n_gains == 2 * head_dim || n_gains == self.n_normed() * head_dim;
        if !fits || !n_numbers.is_multiple_of(self.heads.qkv_width()) {
            bail!("{n_gains} gains and {n_numbers} numbers do not fit {:?}", self.heads)
        }
        Ok(())
    }

    /// Columns of a head, and where its gains lie.
    #[inline(always)]
    fn places(&self, head: usize, n_gains: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let head_dim = self.heads.head_dim;
        let shared = n_gains == 2 * head_dim;
        let gain = if shared { usize::from(head >= self.heads.n_heads) } else { head };
        (head * head_dim..(head + 1) * head_dim, gain * head_dim..(gain + 1) * head_dim)
    }

    #[inline(always)]
    fn rows(&self, out: &mut [f32], x: &[f32], w: &[f32]) {
        let width = self.heads.qkv_width();
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            for head in 0..self.n_normed() {
                let (columns, gains) = self.places(head, w.len());
                self.norm.row(&mut out[columns.clone()], &x[columns], &w[gains]);
            }
            let values = self.heads.value_column(0);
            out[values..].copy_from_slice(&x[values..]);
        }
    }

    #[inline(always)]
    fn rows_back(&self, dx: &mut [f32], (x, dy): (&[f32], &[f32]), w: &[f32]) -> Vec<f32> {
        let width = self.heads.qkv_width();
        let mut dw = vec![0f32; w.len()];
        for ((dx, x), dy) in dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width)) {
            for head in 0..self.n_normed() {
                let (columns, gains) = self.places(head, w.len());
                let (dx, dw) = (&mut dx[columns.clone()], &mut dw[gains.clone()]);
                self.norm.row_back((dx, dw), (&x[columns.clone()], &dy[columns]), &w[gains]);
            }
            let values = self.heads.value_column(0);
            dx[values..].copy_from_slice(&dy[values..]);
        }
        dw
    }
}

impl CustomOp2 for HeadNorm {
    fn name(&self) -> &'static str {
        "head-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (floats(x, lx)?, floats(w, lw)?);
        self.check(x.len(), w.len())?;
        let mut out = buffer(x.len());
        let task = self.heads.qkv_width() * ROWS_PER_TASK;
        out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| {
            simd::vectorised(
                #[inline(always)]
                || self.rows(out, x, w),
            );
        });
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let both = x.apply_op3_no_bwd(w, &dy.contiguous()?, &Backward(*self))?;
        let (n, n_gains) = (x.elem_count(), w.elem_count());
        let (dx, dw) = (both.narrow(0, 0, n)?, both.narrow(0, n, n_gains)?);
        Ok((Some(dx.reshape(x.dims())?), Some(dw.reshape(w.dims())?)))
    }
}

/// Gives the gradients of the rows, and behind them that of the weight.
struct Backward(HeadNorm);

impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        "head-norm-backward"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        dy: &CpuStorage,
        ldy: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, dy) = (floats(x, lx)?, floats(w, lw)?, floats(dy, ldy)?);
        let mut out = buffer(x.len() + w.len());
        let (dx, dw) = out.split_at_mut(x.len());
        dw.fill(0.0);
        let task = self.0.heads.qkv_width() * ROWS_PER_TASK;
        let partial: Vec<Vec<f32>> = dx
            .par_chunks_mut(task)
            .zip(x.par_chunks(task).zip(dy.par_chunks(task)))
            .map(|(dx, rows)| {
                simd::vectorised(
                    #[inline(always)]
                    || self.0.rows_back(dx, rows, w),
                )
            })
            .collect();
        for part in partial {
            simd::add_scaled(dw, 1.0, &part);
        }
        let n = out.len();
        Ok((CpuStorage::F32(out), Shape::from(n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{self, assert_same_gradients, noise};

    #[test]
    fn gradients_equal_those_of_plain_operations_for_shared_and_for_own_gains() {
        let heads = Heads { n_heads: 4, n_kv_heads: 2, head_dim: 6 };
        for (n_gains, centred) in [(2 * 6, false), (6 * 6, true)] {
            let operation = HeadNorm { heads, norm: Norm { epsilon: 1e-5, offset: 0.0, centred } };
            assert_same_gradients(
                &[noise(&[70, heads.qkv_width()], 1), noise(&[n_gains], 2)],
                |tape, v| head_norm(tape, &v[0], &v[1], operation),
                |v| reference::head_norm(&v[0], &v[1], operation),
            );
        }
    }

    #[test]
    fn gains_of_another_number_are_refused() {
        let heads = Heads { n_heads: 4, n_kv_heads: 2, head_dim: 6 };
        let operation = HeadNorm { heads, norm: Norm { epsilon: 1e-5, offset: 0.0, centred: false } };
        let tape = Tape::idle();
        let value = |shape: &[usize]| tape.parameter(0, &noise(shape, 1));
        assert!(head_norm(&tape, &value(&[3, heads.qkv_width()]), &value(&[6]), operation).is_err());
    }
}
