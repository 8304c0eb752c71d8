//! The gated unit of the feed-forward block (Shazeer 2020, arXiv 2002.05202, equation 6).

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{ROWS_PER_TASK, floats, simd};
use crate::tape::{Tape, Value};

/// Returns `silu(gate) * up` `[rows, width]` for rows that hold `gate` and then `up`, `[rows, 2 * width]`.
pub(crate) fn swiglu(tape: &Tape, gate_up: &Value) -> Result<Value> {
    tape.apply1(gate_up, SwiGlu)
}

struct SwiGlu;

impl CustomOp1 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_rows, both) = lx.shape().dims2()?;
        let (x, width) = (floats(x, lx)?, both / 2);
        let mut out = vec![0f32; n_rows * width];
        out.par_chunks_mut(width * ROWS_PER_TASK).zip(x.par_chunks(both * ROWS_PER_TASK)).for_each(|(out, x)| {
            simd::vectorised(
                #[inline(always)]
                || {
                    for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(both)) {
                        let (gate, up) = x.split_at(width);
                        for ((o, gate), up) in out.iter_mut().zip(gate).zip(up) {
                            *o = gate * simd::sigmoid(*gate) * up;
                        }
                    }
                },
            );
        });
        Ok((CpuStorage::F32(out), Shape::from((n_rows, width))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.apply_op2_no_bwd(&dy.contiguous()?, &Backward)?))
    }
}

struct Backward;

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "swiglu-backward"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, dy: &CpuStorage, ldy: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, both) = lx.shape().dims2()?;
        let (x, dy, width) = (floats(x, lx)?, floats(dy, ldy)?, both / 2);
        let mut dx = vec![0f32; x.len()];
        let tasks = x.par_chunks(both * ROWS_PER_TASK).zip(dy.par_chunks(width * ROWS_PER_TASK));
        dx.par_chunks_mut(both * ROWS_PER_TASK).zip(tasks).for_each(|(dx, (x, dy))| {
            simd::vectorised(
                #[inline(always)]
                || {
                    for ((dx, x), dy) in dx.chunks_exact_mut(both).zip(x.chunks_exact(both)).zip(dy.chunks_exact(width))
                    {
                        row(dx, x, dy);
                    }
                },
            );
        });
        Ok((CpuStorage::F32(dx), lx.shape().clone()))
    }
}

#[inline(always)]
fn row(dx: &mut [f32], x: &[f32], dy: &[f32]) {
    let (gate, up) = x.split_at(dy.len());
    let (d_gate, d_up) = dx.split_at_mut(dy.len());
    for i in 0..dy.len() {
        let open = simd::sigmoid(gate[i]);
        let silu = gate[i] * open;
        d_up[i] = dy[i] * silu;
        d_gate[i] = dy[i] * up[i] * (open + silu * (1.0 - open));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{self, assert_same_gradients, noise};

    #[test]
    fn gradients_equal_those_of_plain_operations() {
        assert_same_gradients(&[noise(&[70, 26], 1)], |tape, v| swiglu(tape, &v[0]), |v| reference::swiglu(&v[0]));
    }
}
