//! Root-mean-square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467, equation 4).

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{ROWS_PER_TASK, floats, simd};
use crate::tape::{Tape, Value};

/// Returns `x / sqrt(mean(x^2) + epsilon) * weight` for each row of `x` `[rows, width]`; differentiable in both.
pub(crate) fn rms_norm(tape: &Tape, x: &Value, weight: &Value, epsilon: f32) -> Result<Value> {
    tape.apply2(x, weight, RmsNorm { epsilon })
}

struct RmsNorm {
    epsilon: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (floats(x, lx)?, floats(w, lw)?);
        let mut out = vec![0f32; x.len()];
        let task = w.len() * ROWS_PER_TASK;
        out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| {
            simd::vectorised(
                #[inline(always)]
                || {
                    for (out, x) in out.chunks_exact_mut(w.len()).zip(x.chunks_exact(w.len())) {
                        let inverse = inverse_rms(x, self.epsilon);
                        for ((o, x), w) in out.iter_mut().zip(x).zip(w) {
                            *o = x * inverse * w;
                        }
                    }
                },
            );
        });
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let both = x.apply_op3_no_bwd(w, &dy.contiguous()?, &Backward { epsilon: self.epsilon })?;
        let n_rows = x.dim(0)?;
        Ok((Some(both.narrow(0, 0, n_rows)?), Some(both.get(n_rows)?)))
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (simd::dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// Gives both gradients in one pass: those of the rows, and as one more row that of the weight.
struct Backward {
    epsilon: f32,
}

impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        "rms-norm-backward"
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
        let mut out = vec![0f32; x.len() + width];
        let (dx, dw) = out.split_at_mut(x.len());
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
            let inverse = inverse_rms(x, self.epsilon);
            for i in 0..width {
                dx[i] = dy[i] * w[i];
                dw[i] += dy[i] * x[i] * inverse;
            }
            let shared = simd::dot(dx, x) * inverse * inverse * inverse / width as f32;
            for (dx, x) in dx.iter_mut().zip(x) {
                *dx = *dx * inverse - x * shared;
            }
        }
        dw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{self, assert_same_gradients, noise};

    #[test]
    fn gradients_equal_those_of_plain_operations() {
        let inputs = [noise(&[70, 20], 1), noise(&[20], 2)];
        assert_same_gradients(
            &inputs,
            |tape, v| rms_norm(tape, &v[0], &v[1], 1e-5),
            |v| reference::rms_norm(&v[0], &v[1], 1e-5),
        );
    }
}
