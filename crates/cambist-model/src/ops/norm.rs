//! Normalisation of rows: by their root mean square (Zhang and Sennrich 2019, arXiv 1910.07467, equation 4) or, centred,
//! by their deviation (layer norm without a bias; Ba et al. 2016, arXiv 1607.06450).

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{ROWS_PER_TASK, floats, simd};
use crate::{
    buffers::buffer,
    tape::{Tape, Value},
};

/// Which normalisation a family uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Norm {
    /// Added to the mean square before its root is taken.
    pub(crate) epsilon: f32,
    /// Added to the gain: 1 where a file keeps the gain's distance from 1 (Gemma), else 0.
    pub(crate) offset: f32,
    /// Whether the mean is taken away first.
    pub(crate) centred: bool,
}

/// Returns `(x - m) / sqrt(mean((x - m)^2) + epsilon) * (weight + offset)` for each row of `x` `[rows, width]`, with the
/// row's mean for `m` where the norm is centred and 0 otherwise; differentiable in both.
pub(crate) fn norm(tape: &Tape, x: &Value, weight: &Value, norm: Norm) -> Result<Value> {
    tape.apply2(x, weight, norm)
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (floats(x, lx)?, floats(w, lw)?);
        let mut out = buffer(x.len());
        let task = w.len() * ROWS_PER_TASK;
        out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| {
            simd::vectorised(
                #[inline(always)]
                || {
                    for (out, x) in out.chunks_exact_mut(w.len()).zip(x.chunks_exact(w.len())) {
                        self.row(out, x, w);
                    }
                },
            );
        });
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let both = x.apply_op3_no_bwd(w, &dy.contiguous()?, &Backward(*self))?;
        let n_rows = x.dim(0)?;
        Ok((Some(both.narrow(0, 0, n_rows)?), Some(both.get(n_rows)?)))
    }
}

impl Norm {
    /// Writes one row's result.
    #[inline(always)]
    pub(super) fn row(self, out: &mut [f32], x: &[f32], w: &[f32]) {
        let (mean, inverse) = self.statistics(x);
        for ((o, x), w) in out.iter_mut().zip(x).zip(w) {
            *o = (x - mean) * inverse * (w + self.offset);
        }
    }

    /// Writes the gradient of one row and adds to that of the weight.
    #[inline(always)]
    pub(super) fn row_back(self, (dx, dw): (&mut [f32], &mut [f32]), (x, dy): (&[f32], &[f32]), w: &[f32]) {
        let (mean, inverse) = self.statistics(x);
        let width = x.len() as f32;
        for i in 0..x.len() {
            dx[i] = dy[i] * (w[i] + self.offset);
            dw[i] += dy[i] * (x[i] - mean) * inverse;
        }
        let total = if self.centred { simd::sum(dx) } else { 0.0 };
        let shared = (simd::dot(dx, x) - mean * total) * inverse * inverse * inverse / width;
        let level = total / width * inverse;
        for (dx, x) in dx.iter_mut().zip(x) {
            *dx = *dx * inverse - (x - mean) * shared - level;
        }
    }

    /// Returns what is taken away from a row, and what the rest is multiplied by.
    #[inline(always)]
    fn statistics(self, x: &[f32]) -> (f32, f32) {
        let width = x.len() as f32;
        let (mean, squares) = if self.centred {
            let mean = simd::sum(x) / width;
            (mean, simd::squares_from(x, mean))
        } else {
            (0.0, simd::dot(x, x))
        };
        (mean, 1.0 / (squares / width + self.epsilon).sqrt())
    }
}

/// Gives both gradients in one pass: those of the rows, and as one more row that of the weight.
struct Backward(Norm);

impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        "norm-backward"
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
        let (width, task) = (w.len(), w.len() * ROWS_PER_TASK);
        let mut out = buffer(x.len() + width);
        let (dx, dw) = out.split_at_mut(x.len());
        dw.fill(0.0);
        let partial: Vec<Vec<f32>> = dx
            .par_chunks_mut(task)
            .zip(x.par_chunks(task).zip(dy.par_chunks(task)))
            .map(|(dx, (x, dy))| {
                simd::vectorised(
                    #[inline(always)]
                    || self.rows(dx, x, dy, w),
                )
            })
            .collect();
        for part in partial {
            simd::add_scaled(dw, 1.0, &part);
        }
        Ok((CpuStorage::F32(out), Shape::from((x.len() / width + 1, width))))
    }
}

impl Backward {
    #[inline(always)]
    fn rows(&self, dx: &mut [f32], x: &[f32], dy: &[f32], w: &[f32]) -> Vec<f32> {
        let width = w.len();
        let mut dw = vec![0f32; width];
        for ((dx, x), dy) in dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width)) {
            self.0.row_back((dx, &mut dw), (x, dy), w);
        }
        dw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{self, assert_same_gradients, noise};

    #[test]
    fn gradients_equal_those_of_plain_operations_for_every_norm() {
        for (offset, centred) in [(0.0, false), (1.0, false), (0.0, true)] {
            let kind = Norm { epsilon: 1e-5, offset, centred };
            assert_same_gradients(
                &[noise(&[70, 20], 1), noise(&[20], 2)],
                |tape, v| norm(tape, &v[0], &v[1], kind),
                |v| reference::norm(&v[0], &v[1], kind),
            );
        }
    }
}
