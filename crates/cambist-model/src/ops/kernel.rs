//! The one unsafe module: the GEMM crate takes raw pointers, so the bounds of every matrix are checked here first.
#![expect(unsafe_code, reason = "`gemm::gemm` takes raw pointers; `product` checks all bounds before it calls it")]

use candle_core::{Result, bail};

/// A matrix inside a slice: element `(row, column)` lies at `row * row_stride + column * column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Reads a slice row by row.
    pub(crate) fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// Swaps rows and columns without moving anything.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// How a product meets what its destination holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// Overwrites.
    Replace,
    /// Adds to what is there.
    Add,
}

/// Whether a product may use the threads of the current rayon pool. The result is the same to the last bit: threads
/// share out the elements of the product, never the sum that makes one element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    One,
    Pool,
}

/// Writes `scale * left * right` to `out`, `[left.rows, right.columns]` row by row.
///
/// # Errors
/// When the inner sizes differ or a matrix reaches beyond its slice.
pub(crate) fn product(
    out: (&mut [f32], Write),
    left: Matrix<'_>,
    right: Matrix<'_>,
    options: (f32, Threads),
) -> Result<()> {
    let (out, write) = out;
    product_between((out, right.columns, write), left, right, options)
}

/// Writes `scale * left * right` to rows of `out` that begin `row_stride` numbers apart: to some columns of a wider
/// matrix, the first of which is the first number of `out`.
///
/// # Errors
/// When the inner sizes differ, a matrix reaches beyond its slice or rows of `out` would overlap.
pub(crate) fn product_between(
    out: (&mut [f32], usize, Write),
    left: Matrix<'_>,
    right: Matrix<'_>,
    options: (f32, Threads),
) -> Result<()> {
    let ((out, row_stride, write), (scale, threads)) = (out, options);
    let (rows, columns, inner) = (left.rows, right.columns, left.columns);
    let reach = rows.saturating_sub(1) * row_stride + columns;
    if inner != right.rows || row_stride < columns || out.len() < reach || !fits(left) || !fits(right) {
        bail!("matrix product out of bounds: [{rows}, {inner}] by [{}, {columns}] into {}", right.rows, out.len())
    }
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    let parallelism = match (threads, rayon::current_num_threads()) {
        (Threads::Pool, n) if n > 1 => gemm::Parallelism::Rayon(n),
        _ => gemm::Parallelism::None,
    };
    // SAFETY: `fits` and the length check above keep every element read or written inside its slice; `out` is
    // borrowed mutably, so it overlaps neither operand; strides of slices fit `isize`.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            row_stride as isize,
            write == Write::Add,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
    Ok(())
}

fn fits(matrix: Matrix<'_>) -> bool {
    let Some((last_row, last_column)) = matrix.rows.checked_sub(1).zip(matrix.columns.checked_sub(1)) else {
        return true;
    };
    last_row * matrix.row_stride + last_column * matrix.column_stride < matrix.data.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposed_products_equal_sums_by_hand() {
        let (left, right) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.5, -1.0, 2.0, 0.0, 1.0]);
        let mut out = [10.0; 4];
        let matrices = (Matrix::row_major(&left, 2, 3), Matrix::row_major(&right, 2, 3).transposed());
        product((&mut out, Write::Add), matrices.0, matrices.1, (2.0, Threads::One)).unwrap();
        assert_eq!(out, [8.0, 20.0, 11.0, 38.0]);
    }

    #[test]
    fn a_product_between_others_leaves_them_alone() {
        let (left, right) = (Matrix::row_major(&[1.0, 2.0], 2, 1), Matrix::row_major(&[3.0, 5.0], 1, 2));
        let mut out = [9.0; 8];
        product_between((&mut out[1..], 4, Write::Add), left, right, (1.0, Threads::One)).unwrap();
        assert_eq!(out, [9.0, 12.0, 14.0, 9.0, 9.0, 15.0, 19.0, 9.0]);
        let short = &mut out[3..];
        assert!(product_between((short, 4, Write::Add), left, right, (1.0, Threads::One)).is_err());
        assert!(product_between((&mut [0.0; 8], 1, Write::Add), left, right, (1.0, Threads::One)).is_err());
    }

    #[test]
    fn a_matrix_beyond_its_slice_is_refused() {
        let mut out = [0.0; 4];
        let wide = Matrix { row_stride: 4, ..Matrix::row_major(&[0.0; 6], 2, 3) };
        let right = Matrix::row_major(&[0.0; 6], 3, 2);
        assert!(product((&mut out, Write::Replace), wide, right, (1.0, Threads::One)).is_err());
    }
}
