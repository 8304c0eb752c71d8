//! Rows of a table: embeddings, and the positions that a loss reads.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::floats;
use crate::tape::{Tape, Value};

/// Returns row `rows[i]` of `table` as row `i`, `[rows.len(), width]`; a row may be asked for more than once.
pub(crate) fn rows_of(tape: &Tape, table: &Value, rows: &Arc<[u32]>) -> Result<Value> {
    scaled_rows_of(tape, table, rows, 1.0)
}

/// The same, every number multiplied by `scale`.
pub(crate) fn scaled_rows_of(tape: &Tape, table: &Value, rows: &Arc<[u32]>, scale: f32) -> Result<Value> {
    tape.apply1(table, Rows { rows: Arc::clone(rows), scale })
}

struct Rows {
    rows: Arc<[u32]>,
    scale: f32,
}

impl CustomOp1 for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_rows, width) = layout.shape().dims2()?;
        let table = floats(table, layout)?;
        let mut out = Vec::with_capacity(self.rows.len() * width);
        for &row in self.rows.iter() {
            let Some(row) = table.get(row as usize * width..(row as usize + 1) * width) else {
                bail!("row {row} was asked of a table of {n_rows} rows")
            };
            out.extend_from_slice(row);
        }
        if self.scale != 1.0 {
            for x in &mut out {
                *x *= self.scale;
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((self.rows.len(), width))))
    }

    fn bwd(&self, table: &Tensor, _out: &Tensor, d_out: &Tensor) -> Result<Option<Tensor>> {
        let scatter = Scatter { rows: Arc::clone(&self.rows), n_rows: table.dim(0)?, scale: self.scale };
        Ok(Some(d_out.contiguous()?.apply_op1_no_bwd(&scatter)?))
    }
}

/// Adds row `i` times `scale` to row `rows[i]` of a table of zeros, in the order of the rows.
struct Scatter {
    rows: Arc<[u32]>,
    n_rows: usize,
    scale: f32,
}

impl CustomOp1 for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn cpu_fwd(&self, d_out: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let mut table = vec![0f32; self.n_rows * width];
        for (row, d_row) in self.rows.iter().zip(floats(d_out, layout)?.chunks_exact(width)) {
            let start = *row as usize * width;
            for (sum, x) in table[start..start + width].iter_mut().zip(d_row) {
                *sum += x * self.scale;
            }
        }
        Ok((CpuStorage::F32(table), Shape::from((self.n_rows, width))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{assert_same_gradients, noise};

    #[test]
    fn gradients_add_up_where_a_row_is_asked_for_twice() {
        let rows: Arc<[u32]> = Arc::from([3, 0, 3, 1]);
        let index = Tensor::new(&*rows, &candle_core::Device::Cpu).unwrap();
        for scale in [1.0, 2.5] {
            assert_same_gradients(
                &[noise(&[5, 6], 1)],
                |tape, v| scaled_rows_of(tape, &v[0], &rows, scale),
                |v| v[0].index_select(&index, 0)? * f64::from(scale),
            );
        }
    }

    #[test]
    fn a_row_beyond_the_table_is_refused() {
        let tape = Tape::idle();
        assert!(rows_of(&tape, &tape.parameter(0, &noise(&[5, 6], 1)), &Arc::from([5])).is_err());
    }
}
