//! Matrix products with a weight, `y = x W^T`, for training and for generation.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    floats,
    kernel::{Matrix, Threads, Write, product},
    simd,
};
use crate::tape::{Tape, Value};

/// Returns `x W^T`, `[rows, out]`, for `x` `[rows, in]` and a weight `[out, in]`; differentiable in both.
pub(crate) fn linear(tape: &Tape, x: &Value, weight: &Value) -> Result<Value> {
    tape.apply2(x, weight, Linear)
}

struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        Product::RightTransposed.cpu_fwd(x, lx, w, lw)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dx = dy.apply_op2_no_bwd(w, &Product::Plain)?;
        Ok((Some(dx), Some(dy.apply_op2_no_bwd(x, &Product::LeftTransposed)?)))
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
        let mut out = vec![0f32; shape.elem_count()];
        product((&mut out, Write::Replace), left, right, (1.0, Threads::Pool))?;
        Ok((CpuStorage::F32(out), shape))
    }
}

/// Returns `x W^T` computed row by row, without a way back: each row of the result is the same to the last bit
/// whatever other rows stand beside it, so that an answer does not depend on the batch it was generated in.
///
/// Reads the weight once for all rows, which is what generation waits for.
pub(crate) fn linear_by_row(tape: &Tape, x: &Value, weight: &Value) -> Result<Value> {
    tape.apply2(x, weight, ByRow)
}

struct ByRow;

/// Outputs that one task computes.
const OUTPUTS_PER_TASK: usize = 64;

/// Rows whose sums share one pass over the weight.
const ROWS_TOGETHER: usize = 4;

impl CustomOp2 for ByRow {
    fn name(&self) -> &'static str {
        "linear-by-row"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n_rows, n_in), (n_out, w_in)) = (lx.shape().dims2()?, lw.shape().dims2()?);
        if n_in != w_in {
            bail!("a weight of {w_in} inputs met rows of {n_in}")
        }
        let (x, w) = (floats(x, lx)?, floats(w, lw)?);
        let mut columns = vec![0f32; n_rows * n_out];
        columns.par_chunks_mut(n_rows * OUTPUTS_PER_TASK).zip(w.par_chunks(n_in * OUTPUTS_PER_TASK)).for_each(
            |(columns, w)| {
                simd::vectorised(
                    #[inline(always)]
                    || dots(columns, x, w, n_in),
                )
            },
        );
        let mut out = vec![0f32; n_rows * n_out];
        for (row, out) in out.chunks_exact_mut(n_out).enumerate() {
            for (o, column) in out.iter_mut().zip(columns.chunks_exact(n_rows)) {
                *o = column[row];
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((n_rows, n_out))))
    }
}

/// Fills `columns`, `[outputs, rows]`, with the dot products of rows of `x` and rows of `w`.
#[inline(always)]
fn dots(columns: &mut [f32], x: &[f32], w: &[f32], n_in: usize) {
    let n_rows = x.len() / n_in;
    for (column, w) in columns.chunks_exact_mut(n_rows).zip(w.chunks_exact(n_in)) {
        let mut groups = column.chunks_exact_mut(ROWS_TOGETHER);
        let mut rows = x.chunks_exact(n_in * ROWS_TOGETHER);
        for (group, rows) in groups.by_ref().zip(rows.by_ref()) {
            group.copy_from_slice(&dot_rows::<ROWS_TOGETHER>(rows, w));
        }
        for (o, row) in groups.into_remainder().iter_mut().zip(rows.remainder().chunks_exact(n_in)) {
            *o = dot_rows::<1>(row, w)[0];
        }
    }
}

/// Lanes of one sum here: with four rows at a time, all sums stay in registers.
const LANES: usize = 8;

#[inline(always)]
fn dot_rows<const ROWS: usize>(rows: &[f32], w: &[f32]) -> [f32; ROWS] {
    let n_in = w.len();
    let mut lanes = [[[0f32; LANES]; 2]; ROWS];
    let whole = n_in / (2 * LANES) * (2 * LANES);
    for start in (0..whole).step_by(2 * LANES) {
        for half in 0..2 {
            let at = start + half * LANES;
            let w = &w[at..at + LANES];
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let x = &rows[row * n_in + at..row * n_in + at + LANES];
                for lane in 0..LANES {
                    lanes[half][lane] = x[lane].mul_add(w[lane], lanes[half][lane]);
                }
            }
        }
    }
    let mut sums = [0f32; ROWS];
    for (row, sum) in sums.iter_mut().enumerate() {
        for (first, second) in lanes[row][0].iter().zip(&lanes[row][1]) {
            *sum += first + second;
        }
        for i in whole..n_in {
            *sum = rows[row * n_in + i].mul_add(w[i], *sum);
        }
    }
    sums
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

    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let (x, w) = (noise(&[11, 37], 3), noise(&[130, 37], 4));
        let tape = Tape::idle();
        let value = |tensor: &Tensor| tape.parameter(0, tensor);
        let rows = |value: Value| value.tensor.to_vec2::<f32>().unwrap();
        let together = rows(linear_by_row(&tape, &value(&x), &value(&w)).unwrap());
        let product = rows(linear(&tape, &value(&x), &value(&w)).unwrap());
        for row in 0..11 {
            let alone = rows(linear_by_row(&tape, &value(&x.narrow(0, row, 1).unwrap()), &value(&w)).unwrap());
            assert_eq!(alone[0], together[row]);
            for (a, b) in alone[0].iter().zip(&product[row]) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }
}
