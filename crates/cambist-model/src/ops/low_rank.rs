//! The low-rank change of a product with a frozen weight: `y + s (x A^T) B^T` (Hu et al. 2021, arXiv 2106.09685,
//! equation 3).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, InplaceOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    by_row::plain_linear_by_row,
    floats,
    kernel::{Matrix, Threads, Write, product, product_between},
    linear::linear,
    simd,
};
use crate::{
    buffers::buffer,
    tape::{AddTo, Tape, Value},
};

/// Which outputs of a joint weight are changed: block `i` reads columns `i * rank..(i + 1) * rank` of `x A^T` and the
/// next `n_outputs` rows of `B`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LowRank {
    pub(crate) blocks: Arc<[Block]>,
    pub(crate) rank: usize,
    pub(crate) scale: f32,
}

/// Neighbouring outputs of a joint weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first_output: usize,
    pub(crate) n_outputs: usize,
}

/// How the products are computed, see [`crate::decoder::Products`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    Together,
    Alone,
}

/// Returns `fresh + scale (x A^T) B^T` in the storage of `fresh` `[rows, outputs]`, for `x` `[rows, in]`, `a`
/// `[blocks * rank, in]` and `b` `[all n_outputs, rank]`; differentiable in all. The same holds of `fresh` as for
/// [`Tape::add_to_fresh`].
pub(crate) fn add_low_rank(
    tape: &Tape,
    (x, fresh): (&Value, Value),
    (a, b): (&Value, &Value),
    (change, rows): (&LowRank, Rows),
) -> Result<Value> {
    let narrow = match rows {
        Rows::Together => linear(tape, x, a)?,
        Rows::Alone => plain_linear_by_row(tape, x, a)?,
    };
    tape.apply_to_fresh((&narrow, b), fresh, Widen { change: change.clone(), rows })
}

/// Adds `scale narrow B^T`, block by block.
struct Widen {
    change: LowRank,
    rows: Rows,
}

impl InplaceOp3 for Widen {
    fn name(&self) -> &'static str {
        "low-rank"
    }

    fn cpu_fwd(
        &self,
        y: &mut CpuStorage,
        ly: &Layout,
        narrow: &CpuStorage,
        ln: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<()> {
        let (n_rows, width) = ly.shape().dims2()?;
        let (narrow, b) = (floats(narrow, ln)?, floats(b, lb)?);
        let (CpuStorage::F32(y), Some((start, end))) = (y, ly.contiguous_offsets()) else {
            bail!("a product is f32 and contiguous, got {ly:?}")
        };
        let y = &mut y[start..end];
        self.change.check((n_rows, width), narrow.len(), b.len())?;
        if self.rows == Rows::Alone {
            self.change.widen_by_row((y, width), narrow, b);
            return Ok(());
        }
        for part in self.change.parts() {
            let (left, right) = (self.change.columns(narrow, part.index, n_rows), self.change.rows_of(b, part));
            let out = (&mut y[part.first_output..], width, Write::Add);
            product_between(out, left, right.transposed(), (self.change.scale, Threads::Pool))?;
        }
        Ok(())
    }
}

impl AddTo for Widen {
    fn back(&self, narrow: &Tensor, b: &Tensor, d_y: &Tensor) -> Result<(Tensor, Tensor)> {
        let (change, d_y) = (&self.change, d_y.contiguous()?);
        let d_narrow = d_y.apply_op2_no_bwd(b, &ToNarrow(change.clone()))?;
        Ok((d_narrow, d_y.apply_op2_no_bwd(narrow, &ToWide(change.clone()))?))
    }
}

/// The gradient of `narrow`: `scale d_y B`.
struct ToNarrow(LowRank);

impl CustomOp2 for ToNarrow {
    fn name(&self) -> &'static str {
        "low-rank-to-narrow"
    }

    fn cpu_fwd(&self, d_y: &CpuStorage, ld: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n_rows, width), columns) = (ld.shape().dims2()?, self.0.narrow_width());
        let (d_y, b) = (floats(d_y, ld)?, floats(b, lb)?);
        let mut out = buffer(n_rows * columns);
        self.0.check((n_rows, width), out.len(), b.len())?;
        for part in self.0.parts() {
            let left = part.columns(d_y, n_rows, width);
            let out = (&mut out[part.index * self.0.rank..], columns, Write::Replace);
            product_between(out, left, self.0.rows_of(b, part), (self.0.scale, Threads::Pool))?;
        }
        Ok((CpuStorage::F32(out), Shape::from((n_rows, columns))))
    }
}

/// The gradient of `B`: `scale d_y^T narrow`.
struct ToWide(LowRank);

impl CustomOp2 for ToWide {
    fn name(&self) -> &'static str {
        "low-rank-to-wide"
    }

    fn cpu_fwd(&self, d_y: &CpuStorage, ld: &Layout, narrow: &CpuStorage, ln: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n_rows, width), rank) = (ld.shape().dims2()?, self.0.rank);
        let (d_y, narrow) = (floats(d_y, ld)?, floats(narrow, ln)?);
        let n_outputs = self.0.blocks.iter().map(|block| block.n_outputs).sum::<usize>();
        let mut out = vec![0f32; n_outputs * rank];
        self.0.check((n_rows, width), narrow.len(), out.len())?;
        for part in self.0.parts() {
            let left = part.columns(d_y, n_rows, width).transposed();
            let out = (&mut out[part.first_row * rank..][..part.n_outputs * rank], Write::Replace);
            product(out, left, self.0.columns(narrow, part.index, n_rows), (self.0.scale, Threads::Pool))?;
        }
        Ok((CpuStorage::F32(out), Shape::from((n_outputs, rank))))
    }
}

/// A block with its place in `narrow` and in `B`.
#[derive(Clone, Copy)]
struct Part {
    index: usize,
    first_row: usize,
    first_output: usize,
    n_outputs: usize,
}

impl Part {
    /// Returns the block's columns of the wide matrix.
    fn columns(self, wide: &[f32], n_rows: usize, width: usize) -> Matrix<'_> {
        let data = wide.get(self.first_output..).unwrap_or(&[]);
        Matrix { row_stride: width, ..Matrix::row_major(data, n_rows, self.n_outputs) }
    }
}

impl LowRank {
    fn parts(&self) -> impl Iterator<Item = Part> {
        let mut first_row = 0;
        self.blocks.iter().enumerate().map(move |(index, block)| {
            let part = Part { index, first_row, first_output: block.first_output, n_outputs: block.n_outputs };
            first_row += block.n_outputs;
            part
        })
    }

    fn narrow_width(&self) -> usize {
        self.blocks.len() * self.rank
    }

    fn check(&self, (n_rows, width): (usize, usize), narrow: usize, b: usize) -> Result<()> {
        let n_outputs: usize = self.blocks.iter().map(|block| block.n_outputs).sum();
        let ends = self.blocks.iter().map(|block| block.first_output + block.n_outputs).max().unwrap_or(0);
        if narrow != n_rows * self.narrow_width() || b != n_outputs * self.rank || ends > width {
            bail!("a change of rank {} met {n_rows} rows of {width}, {narrow} and {b} numbers", self.rank)
        }
        Ok(())
    }

    /// Returns the columns of block `index` of `narrow`.
    fn columns<'a>(&self, narrow: &'a [f32], index: usize, n_rows: usize) -> Matrix<'a> {
        let data = narrow.get(index * self.rank..).unwrap_or(&[]);
        Matrix { row_stride: self.narrow_width(), ..Matrix::row_major(data, n_rows, self.rank) }
    }

    /// Returns the rows of a block of `B`.
    fn rows_of<'a>(&self, b: &'a [f32], part: Part) -> Matrix<'a> {
        Matrix::row_major(&b[part.first_row * self.rank..], part.n_outputs, self.rank)
    }

    fn widen_by_row(&self, (y, width): (&mut [f32], usize), narrow: &[f32], b: &[f32]) {
        let rows = y.par_chunks_mut(width.max(1)).zip(narrow.par_chunks(self.narrow_width().max(1)));
        rows.for_each(|(y, narrow)| {
            simd::vectorised(
                #[inline(always)]
                || {
                    for part in self.parts() {
                        let narrow = &narrow[part.index * self.rank..][..self.rank];
                        let b = b[part.first_row * self.rank..].chunks_exact(self.rank);
                        for (y, b) in y[part.first_output..][..part.n_outputs].iter_mut().zip(b) {
                            *y += self.scale * simd::dot(narrow, b);
                        }
                    }
                },
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{assert_same_gradients, noise};

    fn change() -> LowRank {
        let block = |first_output, n_outputs| Block { first_output, n_outputs };
        LowRank { blocks: Arc::from([block(0, 5), block(8, 4)]), rank: 3, scale: 0.7 }
    }

    /// `x W^T` with `scale B A` added to rows 0..5 and 8..12 of `W`.
    fn plain(v: &[Tensor]) -> Result<Tensor> {
        let (x, w, a, b) = (&v[0], &v[1], &v[2], &v[3]);
        let delta = |row: usize, rows: usize, index: usize| {
            b.narrow(0, row, rows)?.matmul(&a.narrow(0, index * 3, 3)?)? * f64::from(change().scale)
        };
        let gap = Tensor::zeros((3, w.dim(1)?), w.dtype(), w.device())?;
        let delta = Tensor::cat(&[delta(0, 5, 0)?, gap, delta(5, 4, 1)?], 0)?;
        x.matmul(&(w + delta)?.t()?)
    }

    #[test]
    fn gradients_equal_those_of_a_changed_weight() {
        let inputs = [noise(&[7, 20], 1), noise(&[12, 20], 2), noise(&[6, 20], 3), noise(&[9, 3], 4)];
        let ours = |tape: &Tape, v: &[Value]| {
            let y = linear(tape, &v[0], &v[1])?;
            add_low_rank(tape, (&v[0], y), (&v[2], &v[3]), (&change(), Rows::Together))
        };
        assert_same_gradients(&inputs, ours, plain);
    }

    #[test]
    fn a_row_alone_equals_itself_among_others() {
        let (x, w, a, b) = (noise(&[11, 20], 1), noise(&[12, 20], 2), noise(&[6, 20], 3), noise(&[9, 3], 4));
        let tape = Tape::idle();
        let value = |tensor: &Tensor| tape.constant(tensor.clone());
        let ours = |x: &Tensor| {
            let y = plain_linear_by_row(&tape, &value(x), &value(&w)).unwrap();
            let out = add_low_rank(&tape, (&value(x), y), (&value(&a), &value(&b)), (&change(), Rows::Alone));
            out.unwrap().tensor.to_vec2::<f32>().unwrap()
        };
        let together = ours(&x);
        let expected = plain(&[x.clone(), w.clone(), a.clone(), b.clone()]).unwrap().to_vec2::<f32>().unwrap();
        for row in 0..11 {
            assert_eq!(ours(&x.narrow(0, row, 1).unwrap())[0], together[row]);
            for (ours, expected) in together[row].iter().zip(&expected[row]) {
                assert!((ours - expected).abs() < 1e-4, "{ours} {expected}");
            }
        }
    }

    #[test]
    fn a_change_of_another_shape_is_refused() {
        let tape = Tape::idle();
        let value = |shape: &[usize]| tape.constant(noise(shape, 1));
        let (x, narrow_b) = (value(&[7, 20]), value(&[8, 3]));
        let y = value(&[7, 12]);
        assert!(add_low_rank(&tape, (&x, y), (&value(&[6, 20]), &narrow_b), (&change(), Rows::Together)).is_err());
    }
}
