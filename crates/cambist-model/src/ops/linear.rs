//! Matrix products with a weight, `y = x W^T`, fast for many rows and differentiable.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{
    floats,
    kernel::{Matrix, Threads, Write, product},
};
use crate::{
    buffers::buffer,
    tape::{Tape, Value},
};

/// Returns `x W^T`, `[rows, out]`, for `x` `[rows, in]` and a weight `[out, in]`; differentiable in both, and free of
/// the work for either that is constant.
pub(crate) fn linear(tape: &Tape, x: &Value, weight: &Value) -> Result<Value> {
    tape.apply2(x, weight, Linear { x_is_constant: x.is_constant(), weight_is_constant: weight.is_constant() })
}

struct Linear {
    x_is_constant: bool,
    weight_is_constant: bool,
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        Product::RightTransposed.cpu_fwd(x, lx, w, lw)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dx = (!self.x_is_constant).then(|| dy.apply_op2_no_bwd(w, &Product::Plain)).transpose()?;
        let dw = (!self.weight_is_constant).then(|| dy.apply_op2_no_bwd(x, &Product::LeftTransposed)).transpose()?;
        Ok((dx, dw))
    }
}

/// A product without a gradient of its own; one operand may be read transposed.
enum Product {
    Plain,
    LeftTransposed,
    RightTransposed,
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn cpu_fwd(&self, l: &CpuStorage, ll: &Layout, r: &CpuStorage, lr: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((l_rows, l_columns), (r_rows, r_columns)) = (ll.shape().dims2()?, lr.shape().dims2()?);
        let left = Matrix::row_major(floats(l, ll)?, l_rows, l_columns);
        let right = Matrix::row_major(floats(r, lr)?, r_rows, r_columns);
        let (left, right) = match self {
            Self::Plain => (left, right),
            Self::LeftTransposed => (left.transposed(), right),
            Self::RightTransposed => (left, right.transposed()),
        };
        let shape = Shape::from((left.rows, right.columns));
        let mut out = buffer(shape.elem_count());
        product((&mut out, Write::Replace), left, right, (1.0, Threads::Pool))?;
        Ok((CpuStorage::F32(out), shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{assert_same_gradients, noise};

    #[test]
    fn gradients_equal_those_of_a_plain_product() {
        let (x, w) = (noise(&[7, 20], 1), noise(&[9, 20], 2));
        assert_same_gradients(&[x, w], |tape, v| linear(tape, &v[0], &v[1]), |v| v[0].matmul(&v[1].t()?));
    }
}
