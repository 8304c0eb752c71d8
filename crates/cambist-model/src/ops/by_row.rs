//! Products with a weight in which every row is computed as if it were alone: what inference runs on.
//!
//! A number of the result is one sum in a fixed order, whatever rows and outputs are computed beside it. So an answer does
//! not depend on the batch that it was generated in, nor a prompt on those that were filled in with it.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};

use super::{floats, panels::Panels};
use crate::{
    dtype::Dtype,
    tape::{Tape, Value},
};

/// Returns `x W^T`, `[rows, out]`, for `x` `[rows, in]` and a weight `[out, in]` in panels, without a way back: each row of
/// the result is the same to the last bit whatever other rows stand beside it.
pub(crate) fn linear_by_row(tape: &Tape, x: &Value, weight: &Arc<Panels>) -> Result<Value> {
    tape.apply1(x, ByRow(Arc::clone(weight)))
}

/// Returns the same for a weight that lies row by row, which is laid out for this one product.
pub(crate) fn plain_linear_by_row(tape: &Tape, x: &Value, weight: &Value) -> Result<Value> {
    linear_by_row(tape, x, &Arc::new(Panels::new(&weight.tensor, Dtype::F32)?))
}

struct ByRow(Arc<Panels>);

impl CustomOp1 for ByRow {
    fn name(&self) -> &'static str {
        "linear-by-row"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n_rows, width), [n_out, n_in]) = (layout.shape().dims2()?, self.0.dims());
        if width != n_in {
            bail!("a weight of {n_in} inputs met rows of {width}")
        }
        Ok((CpuStorage::F32(self.0.product(floats(x, layout)?)), Shape::from((n_rows, n_out))))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;
    use crate::ops::{linear::linear, reference::noise};

    fn rows(product: fn(&Tape, &Value, &Value) -> Result<Value>, x: &Tensor, w: &Tensor) -> Vec<Vec<f32>> {
        let tape = Tape::idle();
        let value = |tensor: &Tensor| tape.parameter(0, tensor);
        product(&tape, &value(x), &value(w)).unwrap().tensor.to_vec2().unwrap()
    }

    #[test]
    fn a_row_depends_neither_on_its_neighbours_nor_on_the_number_of_threads() {
        // Few rows, and more than one task's; sizes that fill no tile, and inputs that are summed up in two parts.
        for (n_rows, n_in, n_out) in [(11, 37, 130), (203, 65, 101), (3, 16, 5), (17, 700, 70)] {
            let (x, w) = (noise(&[n_rows, n_in], 3), noise(&[n_out, n_in], 4));
            let product = rows(linear, &x, &w);
            let pool = |n_threads| rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let together = pool(1).install(|| rows(plain_linear_by_row, &x, &w));
            assert_eq!(pool(2).install(|| rows(plain_linear_by_row, &x, &w)), together);
            for row in 0..n_rows {
                let alone = rows(plain_linear_by_row, &x.narrow(0, row, 1).unwrap(), &w);
                assert_eq!(alone[0], together[row]);
                for (a, b) in alone[0].iter().zip(&product[row]) {
                    let tolerance = 1e-5 + 1e-7 * n_in as f32;
                    assert!((a - b).abs() < tolerance * b.abs().max(1.0), "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn rows_of_another_width_are_refused() {
        let (tape, weight) = (Tape::idle(), Arc::new(Panels::new(&noise(&[5, 8], 1), Dtype::F32).unwrap()));
        assert!(linear_by_row(&tape, &tape.constant(noise(&[2, 9], 1)), &weight).is_err());
    }
}
