//! Products with a weight in which every row is computed as if it were alone: what inference runs on.
//!
//! A number of the result is one sum over lanes in a fixed order, whatever rows and outputs are computed beside it. So an
//! answer does not depend on the batch that it was generated in, nor a prompt on those that were filled in with it.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::floats;
use crate::tape::{Tape, Value};

/// Returns `x W^T`, `[rows, out]`, for `x` `[rows, in]` and a weight `[out, in]`, without a way back: each row of the
/// result is the same to the last bit whatever other rows stand beside it.
///
/// The weight is read where it lies, once for a few rows and once for every block of many: reading it is what generation
/// waits for.
pub(crate) fn linear_by_row(tape: &Tape, x: &Value, weight: &Value) -> Result<Value> {
    tape.apply2(x, weight, ByRow)
}

struct ByRow;

/// Outputs that one task computes for few rows; a multiple of both widths of a tile.
const OUTPUTS_PER_TASK: usize = 48;

/// Rows that one task computes all outputs of, where there are many.
const ROWS_PER_TASK: usize = 48;

/// Rows of a tile: their sums share each load of the weight.
const TILE_ROWS: usize = 4;

/// Products below which one thread is faster than several.
const WORTH_THREADS: usize = 1 << 17;

impl CustomOp2 for ByRow {
    fn name(&self) -> &'static str {
        "linear-by-row"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n_rows, n_in), (n_out, w_in)) = (lx.shape().dims2()?, lw.shape().dims2()?);
        if n_in != w_in || n_in == 0 {
            bail!("a weight of {w_in} inputs met rows of {n_in}")
        }
        let (x, w) = (floats(x, lx)?, floats(w, lw)?);
        let mut out = vec![0f32; n_rows * n_out];
        let n_threads = rayon::current_num_threads();
        if n_threads == 1 || out.len() * n_in < WORTH_THREADS {
            in_blocks(&mut out, (x, w), n_in);
        } else if n_rows >= ROWS_PER_TASK * n_threads {
            let blocks = out.par_chunks_mut(ROWS_PER_TASK * n_out).zip(x.par_chunks(ROWS_PER_TASK * n_in));
            blocks.for_each(|(out, x)| dots(out, (x, w), n_in));
        } else {
            by_outputs(&mut out, (x, w), n_in);
        }
        Ok((CpuStorage::F32(out), Shape::from((n_rows, n_out))))
    }
}

/// Fills `out`, `[rows, outputs]`, block of rows by block of rows.
fn in_blocks(out: &mut [f32], (x, w): (&[f32], &[f32]), n_in: usize) {
    let n_out = w.len() / n_in;
    let blocks = out.chunks_mut(ROWS_PER_TASK * n_out).zip(x.chunks(ROWS_PER_TASK * n_in));
    blocks.for_each(|(out, x)| dots(out, (x, w), n_in));
}

/// Fills `out`, `[rows, outputs]`, with several threads that each take some of the outputs.
fn by_outputs(out: &mut [f32], (x, w): (&[f32], &[f32]), n_in: usize) {
    let (n_rows, n_out) = (x.len() / n_in, w.len() / n_in);
    if n_rows == 1 {
        let tasks = out.par_chunks_mut(OUTPUTS_PER_TASK).zip(w.par_chunks(OUTPUTS_PER_TASK * n_in));
        return tasks.for_each(|(out, w)| dots(out, (x, w), n_in));
    }
    let slabs: Vec<Vec<f32>> = w
        .par_chunks(OUTPUTS_PER_TASK * n_in)
        .map(|w| {
            let mut slab = vec![0f32; n_rows * (w.len() / n_in)];
            in_blocks(&mut slab, (x, w), n_in);
            slab
        })
        .collect();
    for (row, out) in out.chunks_exact_mut(n_out).enumerate() {
        for (out, slab) in out.chunks_mut(OUTPUTS_PER_TASK).zip(&slabs) {
            out.copy_from_slice(&slab[row * out.len()..(row + 1) * out.len()]);
        }
    }
}

/// Fills `out`, `[rows, outputs]`, with the dot products of rows of `x` and rows of `w`.
fn dots(out: &mut [f32], (x, w): (&[f32], &[f32]), n_in: usize) {
    Arch::new().dispatch(Dots { out, x, w, n_in, n_out: w.len() / n_in });
}

struct Dots<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    w: &'a [f32],
    n_in: usize,
    n_out: usize,
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // The sums of a tile have to stay in registers, beside what is loaded.
        match S::REGISTER_COUNT >= 32 {
            true => self.tiles::<S, 6>(simd),
            false => self.tiles::<S, 3>(simd),
        }
    }
}

impl Dots<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const OUTPUTS: usize>(&mut self, simd: S) {
        let whole = self.n_out / OUTPUTS * OUTPUTS;
        for output in (0..whole).step_by(OUTPUTS) {
            self.rows::<S, OUTPUTS>(simd, output);
        }
        for output in whole..self.n_out {
            self.rows::<S, 1>(simd, output);
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const OUTPUTS: usize>(&mut self, simd: S, output: usize) {
        let n_rows = self.x.len() / self.n_in;
        let whole = n_rows / TILE_ROWS * TILE_ROWS;
        for row in (0..whole).step_by(TILE_ROWS) {
            self.tile::<S, TILE_ROWS, OUTPUTS>(simd, row, output);
        }
        match n_rows - whole {
            1 => self.tile::<S, 1, OUTPUTS>(simd, whole, output),
            2 => self.tile::<S, 2, OUTPUTS>(simd, whole, output),
            3 => self.tile::<S, 3, OUTPUTS>(simd, whole, output),
            _ => (),
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const OUTPUTS: usize>(&mut self, simd: S, row: usize, output: usize) {
        let n_in = self.n_in;
        let (mut x, mut w) = ([&[] as &[S::f32s]; ROWS], [&[] as &[S::f32s]; OUTPUTS]);
        let (mut x_tails, mut w_tails) = ([&[] as &[f32]; ROWS], [&[] as &[f32]; OUTPUTS]);
        let n_vectors = n_in / S::F32_LANES;
        for r in 0..ROWS {
            let (head, tail) = S::as_simd_f32s(&self.x[(row + r) * n_in..(row + r + 1) * n_in]);
            (x[r], x_tails[r]) = (&head[..n_vectors], tail);
        }
        for o in 0..OUTPUTS {
            let (head, tail) = S::as_simd_f32s(&self.w[(output + o) * n_in..(output + o + 1) * n_in]);
            (w[o], w_tails[o]) = (&head[..n_vectors], tail);
        }
        let mut sums = [[simd.splat_f32s(0.0); OUTPUTS]; ROWS];
        for i in 0..n_vectors {
            for o in 0..OUTPUTS {
                for r in 0..ROWS {
                    sums[r][o] = simd.mul_add_f32s(w[o][i], x[r][i], sums[r][o]);
                }
            }
        }
        for r in 0..ROWS {
            for o in 0..OUTPUTS {
                let mut sum = simd.reduce_sum_f32s(sums[r][o]);
                for i in 0..n_in - n_vectors * S::F32_LANES {
                    sum = x_tails[r][i].mul_add(w_tails[o][i], sum);
                }
                self.out[(row + r) * self.n_out + output + o] = sum;
            }
        }
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
        // Few rows, and more than one task's; sizes that fill no tile.
        for (n_rows, n_in, n_out) in [(11, 37, 130), (203, 65, 101), (3, 16, 5)] {
            let (x, w) = (noise(&[n_rows, n_in], 3), noise(&[n_out, n_in], 4));
            let product = rows(linear, &x, &w);
            let pool = |n_threads| rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let together = pool(1).install(|| rows(linear_by_row, &x, &w));
            assert_eq!(pool(2).install(|| rows(linear_by_row, &x, &w)), together);
            for row in 0..n_rows {
                let alone = rows(linear_by_row, &x.narrow(0, row, 1).unwrap(), &w);
                assert_eq!(alone[0], together[row]);
                for (a, b) in alone[0].iter().zip(&product[row]) {
                    assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a} {b}");
                }
            }
        }
    }

    /// Whether tasks are large enough for threads is decided by sizes; both ways give the same bits.
    #[test]
    fn outputs_shared_out_among_threads_are_the_same() {
        let (x, w) = (noise(&[7, 64], 5), noise(&[640, 64], 6));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let shared = pool.install(|| rows(linear_by_row, &x, &w));
        for (row, shared) in shared.iter().enumerate() {
            assert_eq!(rows(linear_by_row, &x.narrow(0, row, 1).unwrap(), &w)[0], *shared);
        }
    }
}
