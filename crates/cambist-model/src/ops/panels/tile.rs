//! A few rows times one panel, in registers.

use std::borrow::Cow;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::ROWS_PER_TASK;
use crate::dtype::Dtype;

/// Inputs that are summed up before the sum is added to those before: as much of a panel stays in the cache next to the
/// core while all rows pass it. Fixed, so that sums fall alike for any number of rows.
const DEPTH: usize = 512;

/// Returns how many rows are computed at once at most: two sums each, beside what is loaded.
pub(super) const fn most_rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { MOST_ROWS } else { 6 }
}

/// The same where there are registers for it.
const MOST_ROWS: usize = 12;

/// Returns how many of the rows that are left make the next tile.
#[inline(always)]
fn rows_of_tile(left: usize, most: usize) -> usize {
    match left {
        _ if left >= most => most,
        8.. => 8,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// Returns rows `x` in the order of their tiles, in each tile number by number.
pub(super) fn interleaved(x: &[f32], (n_in, most): (usize, usize)) -> Cow<'_, [f32]> {
    if x.len() == n_in {
        return Cow::Borrowed(x);
    }
    let mut out = vec![0f32; x.len()];
    let tiles = out.par_chunks_mut(most * n_in).zip(x.par_chunks(most * n_in));
    tiles.with_min_len(ROWS_PER_TASK / most).for_each(|(mut out, mut x)| {
        while !x.is_empty() {
            let rows = rows_of_tile(x.len() / n_in, most);
            let (tile, rest) = out.split_at_mut(rows * n_in);
            interleave(tile, &x[..rows * n_in], n_in);
            (out, x) = (rest, &x[rows * n_in..]);
        }
    });
    Cow::Owned(out)
}

fn interleave(tile: &mut [f32], x: &[f32], n_in: usize) {
    match tile.len() / n_in {
        12 => interleave_rows::<12>(tile, x, n_in),
        8 => interleave_rows::<8>(tile, x, n_in),
        6 => interleave_rows::<6>(tile, x, n_in),
        4 => interleave_rows::<4>(tile, x, n_in),
        2 => interleave_rows::<2>(tile, x, n_in),
        _ => tile.copy_from_slice(x),
    }
}

fn interleave_rows<const ROWS: usize>(tile: &mut [f32], x: &[f32], n_in: usize) {
    let mut rows = [&[] as &[f32]; ROWS];
    for (row, x) in rows.iter_mut().zip(x.chunks_exact(n_in)) {
        *row = x;
    }
    for (i, numbers) in tile.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
        for r in 0..ROWS {
            numbers[r] = rows[r][i];
        }
    }
}

/// Some rows times some panels.
pub(super) struct Block<'a, 'b> {
    pub(super) words: &'a [u32],
    pub(super) dtype: Dtype,
    pub(super) n_in: usize,
    /// As [`interleaved`] returns them.
    pub(super) x: &'a [f32],
    /// For each row the outputs of all panels.
    pub(super) out: &'a mut [&'b mut [f32]],
}

impl WithSimd for Block<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.dtype {
            Dtype::F32 => self.run::<S, Whole>(simd),
            Dtype::Bf16 => self.run::<S, Bf16>(simd),
            Dtype::F16 => self.run::<S, F16>(simd),
        }
    }
}

impl Block<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, N: Numbers>(mut self, simd: S) {
        let (width, words) = (2 * S::F32_LANES, N::VECTORS * S::F32_LANES);
        for (i, panel) in self.words.chunks_exact(words * self.n_in).enumerate() {
            for (part, panel) in panel.chunks(words * DEPTH).enumerate() {
                self.rows::<S, N>(simd, panel, (i * width, part * DEPTH));
            }
        }
    }

    /// Takes all rows past some inputs of a panel.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "an iterator over both would stay a call")]
    fn rows<S: Simd, N: Numbers>(&mut self, simd: S, panel: &[u32], (output, input): (usize, usize)) {
        let mut sums = [[simd.splat_f32s(0.0); 2]; MOST_ROWS];
        let mut row = 0;
        while row < self.out.len() {
            let rows = rows_of_tile(self.out.len() - row, most_rows::<S>());
            let x = &self.x[row * self.n_in + input * rows..];
            // Tiles that need more registers than there are would only be compiled.
            match rows {
                12 if S::REGISTER_COUNT >= 32 => tile::<S, N, 12>(simd, (x, panel), &mut sums),
                8 if S::REGISTER_COUNT >= 32 => tile::<S, N, 8>(simd, (x, panel), &mut sums),
                6 if S::REGISTER_COUNT < 32 => tile::<S, N, 6>(simd, (x, panel), &mut sums),
                4 => tile::<S, N, 4>(simd, (x, panel), &mut sums),
                2 => tile::<S, N, 2>(simd, (x, panel), &mut sums),
                _ => tile::<S, N, 1>(simd, (x, panel), &mut sums),
            }
            for r in 0..rows {
                add(simd, &mut self.out[row + r][output..], (&sums[r], input == 0));
            }
            row += rows;
        }
    }
}

/// Sums the products of rows with some inputs of a panel. Nothing in its loop may stay a call: sums would have to leave the
/// registers for it.
#[inline(always)]
#[expect(clippy::manual_memcpy, reason = "a copy of all sums at once would keep them in memory all along")]
fn tile<S: Simd, N: Numbers, const ROWS: usize>(
    simd: S,
    (x, panel): (&[f32], &[u32]),
    out: &mut [[S::f32s; 2]; MOST_ROWS],
) {
    let (w, _) = S::as_simd_u32s(panel);
    let n_inputs = w.len() / N::VECTORS;
    let (w, x) = (&w[..n_inputs * N::VECTORS], &x.as_chunks::<ROWS>().0[..n_inputs]);
    let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
    for i in 0..n_inputs {
        let w = N::widen(simd, &w[i * N::VECTORS..(i + 1) * N::VECTORS]);
        for r in 0..ROWS {
            let x = simd.splat_f32s(x[i][r]);
            sums[r][0] = simd.mul_add_f32s(w[0], x, sums[r][0]);
            sums[r][1] = simd.mul_add_f32s(w[1], x, sums[r][1]);
        }
    }
    for r in 0..ROWS {
        out[r] = sums[r];
    }
}

/// Adds sums to the outputs that there are, or writes them. There is one of these for each tile's rows, so that nothing
/// may stay a call here either.
#[inline(always)]
fn add<S: Simd>(simd: S, out: &mut [f32], (sums, replaces): (&[S::f32s; 2], bool)) {
    if let Some(whole) = out.get_mut(..2 * S::F32_LANES) {
        let (vectors, _) = S::as_mut_simd_f32s(whole);
        for i in 0..2 {
            vectors[i] = if replaces { sums[i] } else { simd.add_f32s(vectors[i], sums[i]) };
        }
        return;
    }
    for (out, sum) in out.chunks_mut(S::F32_LANES).zip(sums) {
        let sum = if replaces { *sum } else { simd.add_f32s(simd.partial_load_f32s(out), *sum) };
        simd.partial_store_f32s(out, sum);
    }
}

/// How the two vectors of a panel's input lie in memory.
trait Numbers {
    /// Vectors of words.
    const VECTORS: usize;

    /// Returns both vectors in f32.
    fn widen<S: Simd>(simd: S, words: &[S::u32s]) -> [S::f32s; 2];
}

struct Whole;

impl Numbers for Whole {
    const VECTORS: usize = 2;

    #[inline(always)]
    fn widen<S: Simd>(simd: S, words: &[S::u32s]) -> [S::f32s; 2] {
        [simd.transmute_f32s_u32s(words[0]), simd.transmute_f32s_u32s(words[1])]
    }
}

struct Bf16;

impl Numbers for Bf16 {
    const VECTORS: usize = 1;

    #[inline(always)]
    fn widen<S: Simd>(simd: S, words: &[S::u32s]) -> [S::f32s; 2] {
        let low = simd.wrapping_dyn_shl_u32s(words[0], simd.splat_u32s(16));
        let high = simd.and_u32s(words[0], simd.splat_u32s(0xffff_0000));
        [simd.transmute_f32s_u32s(low), simd.transmute_f32s_u32s(high)]
    }
}

struct F16;

impl Numbers for F16 {
    const VECTORS: usize = 1;

    #[inline(always)]
    fn widen<S: Simd>(simd: S, words: &[S::u32s]) -> [S::f32s; 2] {
        let high = simd.wrapping_dyn_shr_u32s(words[0], simd.splat_u32s(16));
        [widen_f16(simd, words[0]), widen_f16(simd, high)]
    }
}

/// Widens the lower halves of words, as [`Dtype::number`] does.
#[inline(always)]
fn widen_f16<S: Simd>(simd: S, words: S::u32s) -> S::f32s {
    let all = |x: u32| simd.splat_u32s(x);
    let sign = simd.wrapping_dyn_shl_u32s(simd.and_u32s(words, all(0x8000)), all(16));
    let magnitude = simd.wrapping_dyn_shl_u32s(simd.and_u32s(words, all(0x7fff)), all(13));
    let smallest = all(113 << 23);
    let small = simd.transmute_f32s_u32s(simd.add_u32s(magnitude, smallest));
    let small = simd.sub_f32s(small, simd.transmute_f32s_u32s(smallest));
    let usual = simd.transmute_f32s_u32s(simd.add_u32s(magnitude, all(112 << 23)));
    let number = simd.select_f32s(simd.less_than_u32s(magnitude, all(1 << 23)), small, usual);
    simd.transmute_f32s_u32s(simd.or_u32s(sign, simd.transmute_u32s_f32s(number)))
}
