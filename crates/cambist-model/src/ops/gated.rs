//! The gated unit of the feed-forward block (Shazeer 2020, arXiv 2002.05202, equation 6).

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{ROWS_PER_TASK, floats, simd};
use crate::{
    buffers::buffer,
    tape::{Tape, Value},
};

/// What the gate goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// The Gaussian error unit by its `tanh` approximation (Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2).
    GeluTanh,
}

/// Returns `activation(gate) * up` `[rows, width]` for rows that hold `gate` and then `up`, `[rows, 2 * width]`.
pub(crate) fn gated(tape: &Tape, gate_up: &Value, activation: Activation) -> Result<Value> {
    match activation {
        Activation::Silu => tape.apply1(gate_up, Gated(Silu)),
        Activation::GeluTanh => tape.apply1(gate_up, Gated(GeluTanh)),
    }
}

/// An activation as the compiler sees it: each gets loops of its own.
trait Activate: Copy + Send + Sync + 'static {
    fn value(x: f32) -> f32;
    /// The value and its derivative.
    fn value_and_slope(x: f32) -> (f32, f32);
}

#[derive(Clone, Copy)]
struct Silu;

impl Activate for Silu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * simd::sigmoid(x)
    }

    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        let open = simd::sigmoid(x);
        let silu = x * open;
        (silu, open + silu * (1.0 - open))
    }
}

#[derive(Clone, Copy)]
struct GeluTanh;

/// sqrt(2 / pi), doubled: `(1 + tanh(u)) / 2` is `sigmoid(2 u)`.
const TWICE: f32 = 2.0 * 0.797_884_6;
const CUBE: f32 = 0.044_715;

impl Activate for GeluTanh {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * simd::sigmoid(TWICE * x * (1.0 + CUBE * x * x))
    }

    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        let open = simd::sigmoid(TWICE * x * (1.0 + CUBE * x * x));
        let gelu = x * open;
        (gelu, open + gelu * (1.0 - open) * TWICE * (1.0 + 3.0 * CUBE * x * x))
    }
}

struct Gated<A>(A);

impl<A: Activate> CustomOp1 for Gated<A> {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_rows, both) = lx.shape().dims2()?;
        let (x, width) = (floats(x, lx)?, both / 2);
        let mut out = buffer(n_rows * width);
        out.par_chunks_mut(width * ROWS_PER_TASK).zip(x.par_chunks(both * ROWS_PER_TASK)).for_each(|(out, x)| {
            simd::vectorised(
                #[inline(always)]
                || {
                    for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(both)) {
                        let (gate, up) = x.split_at(width);
                        for ((o, gate), up) in out.iter_mut().zip(gate).zip(up) {
                            *o = A::value(*gate) * up;
                        }
                    }
                },
            );
        });
        Ok((CpuStorage::F32(out), Shape::from((n_rows, width))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.apply_op2_no_bwd(&dy.contiguous()?, &Backward(self.0))?))
    }
}

struct Backward<A>(A);

impl<A: Activate> CustomOp2 for Backward<A> {
    fn name(&self) -> &'static str {
        "gated-backward"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, dy: &CpuStorage, ldy: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, both) = lx.shape().dims2()?;
        let (x, dy, width) = (floats(x, lx)?, floats(dy, ldy)?, both / 2);
        let mut dx = buffer(x.len());
        let tasks = x.par_chunks(both * ROWS_PER_TASK).zip(dy.par_chunks(width * ROWS_PER_TASK));
        dx.par_chunks_mut(both * ROWS_PER_TASK).zip(tasks).for_each(|(dx, (x, dy))| {
            simd::vectorised(
                #[inline(always)]
                || {
                    for ((dx, x), dy) in dx.chunks_exact_mut(both).zip(x.chunks_exact(both)).zip(dy.chunks_exact(width))
                    {
                        row::<A>(dx, x, dy);
                    }
                },
            );
        });
        Ok((CpuStorage::F32(dx), lx.shape().clone()))
    }
}

#[inline(always)]
fn row<A: Activate>(dx: &mut [f32], x: &[f32], dy: &[f32]) {
    let (gate, up) = x.split_at(dy.len());
    let (d_gate, d_up) = dx.split_at_mut(dy.len());
    for i in 0..dy.len() {
        let (value, slope) = A::value_and_slope(gate[i]);
        d_up[i] = dy[i] * value;
        d_gate[i] = dy[i] * up[i] * slope;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{self, assert_same_gradients, noise};

    #[test]
    fn gradients_equal_those_of_plain_operations_for_every_activation() {
        for activation in [Activation::Silu, Activation::GeluTanh] {
            assert_same_gradients(
                &[noise(&[70, 26], 1)],
                |tape, v| gated(tape, &v[0], activation),
                |v| reference::gated(&v[0], activation),
            );
        }
    }
}
