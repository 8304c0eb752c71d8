//! Weights laid out once for all products with them: panels of neighbouring outputs, input by input, in the numbers that
//! they are stored in.
//!
//! A product walks through a panel from its first byte to its last, whatever rows it has: that is how memory is read
//! fastest, and reading weights is what generation waits for. Numbers of 16 bits stand two in a word, those of the panel's
//! first half below those of its second, so that a shift and a mask widen a whole vector.

mod tile;

use candle_core::{DType, Device, Result, Storage, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::floats;
use crate::dtype::Dtype;

/// A weight `[outputs, inputs]` in panels.
#[derive(Debug)]
pub(crate) struct Panels {
    n_in: usize,
    n_out: usize,
    dtype: Dtype,
    unit: Unit,
    /// Panel by panel, in each input by input; what lies beyond the last output is 0.
    words: Vec<u32>,
    /// Where the first panel begins: at a border of cache lines.
    start: usize,
}

/// What the machine's vector unit asks of a panel.
#[derive(Clone, Copy, Debug)]
struct Unit {
    /// Numbers of a vector; a panel is two vectors wide.
    lanes: usize,
    /// Rows that a product computes at once at most: their sums fill the registers.
    most_rows: usize,
}

impl Unit {
    fn of_machine() -> Self {
        struct Ask;
        impl WithSimd for Ask {
            type Output = Unit;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> Unit {
                Unit { lanes: S::F32_LANES, most_rows: tile::most_rows::<S>() }
            }
        }
        Arch::new().dispatch(Ask)
    }
}

/// Words of a cache line.
const LINE: usize = 16;

/// Outputs that one task computes; a multiple of every panel's width.
const OUTPUTS_PER_TASK: usize = 64;

/// Rows that one task computes, at most; a multiple of every tile's rows.
const ROWS_PER_TASK: usize = 96;

/// Products below which one thread is faster than several.
const WORTH_THREADS: usize = 1 << 17;

impl Panels {
    /// Lays out the numbers of a weight `[outputs, inputs]`, each of which `dtype` has to hold exactly.
    ///
    /// # Errors
    /// When it has no inputs, or is no contiguous tensor of two dimensions.
    pub(crate) fn new(weight: &Tensor, dtype: Dtype) -> Result<Self> {
        let (n_out, n_in) = weight.dims2()?;
        if n_in == 0 {
            bail!("a weight without inputs has no products")
        }
        let weight = weight.to_dtype(DType::F32)?;
        let (storage, layout) = weight.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { bail!("weights are read on the cpu") };
        let (numbers, unit) = (floats(storage, layout)?, Unit::of_machine());
        let mut panels = Self { n_in, n_out, dtype, unit, words: vec![], start: 0 };
        let n_words = n_out.div_ceil(panels.width()) * panels.panel_len();
        panels.words = vec![0; n_words + LINE];
        panels.start = panels.words.as_ptr().align_offset(LINE * size_of::<u32>()).min(LINE);
        let (start, panel_len, width) = (panels.start, panels.panel_len(), panels.width());
        let place = panels.place();
        panels.words[start..start + n_words]
            .par_chunks_mut(panel_len)
            .zip(numbers.par_chunks(width * n_in))
            .for_each(|(panel, rows)| place.fill(panel, rows));
        Ok(panels)
    }

    /// Outputs of a panel.
    fn width(&self) -> usize {
        2 * self.unit.lanes
    }

    /// Words of a panel.
    fn panel_len(&self) -> usize {
        self.n_in * self.place().words()
    }

    fn place(&self) -> Place {
        Place { lanes: self.unit.lanes, n_in: self.n_in, dtype: self.dtype }
    }

    fn words(&self) -> &[u32] {
        &self.words[self.start..][..self.n_out.div_ceil(self.width()) * self.panel_len()]
    }

    /// Outputs and inputs.
    pub(crate) fn dims(&self) -> [usize; 2] {
        [self.n_out, self.n_in]
    }

    /// Returns some of the rows, `[rows.len(), inputs]`; a row may be asked for more than once.
    ///
    /// # Errors
    /// When there is no such row.
    pub(crate) fn rows(&self, rows: &[u32]) -> Result<Tensor> {
        if let Some(row) = rows.iter().find(|row| **row as usize >= self.n_out) {
            bail!("row {row} was asked of a table of {} rows", self.n_out)
        }
        let mut out = vec![0f32; rows.len() * self.n_in];
        let (words, width, panel_len, place) = (self.words(), self.width(), self.panel_len(), self.place());
        out.par_chunks_exact_mut(self.n_in).zip(rows).for_each(|(out, row)| {
            let (panel, column) = (*row as usize / width, *row as usize % width);
            place.read(&words[panel * panel_len..][..panel_len], column, out);
        });
        Tensor::from_vec(out, (rows.len(), self.n_in), &Device::Cpu)
    }

    /// Returns the weight as it was before, in f32.
    pub(crate) fn tensor(&self) -> Result<Tensor> {
        self.rows(&(0..self.n_out as u32).collect::<Vec<_>>())
    }

    /// Returns `x W^T`, `[rows, outputs]`, for rows `x` of as many numbers as the weight has inputs: each number is one
    /// sum in the order of the inputs, whatever rows are computed beside it and by however many threads.
    pub(crate) fn product(&self, x: &[f32]) -> Vec<f32> {
        let n_rows = x.len() / self.n_in;
        let mut out = vec![0f32; n_rows * self.n_out];
        let x = tile::interleaved(x, (self.n_in, self.unit.most_rows));
        let is_small = out.len() * self.n_in < WORTH_THREADS || rayon::current_num_threads() == 1;
        let tasks = self.tasks(&mut out);
        let compute = |task: Task<'_>| self.compute(task, &x);
        match is_small {
            true => tasks.into_iter().for_each(compute),
            false => tasks.into_par_iter().for_each(compute),
        }
        out
    }

    /// Cuts a result into tasks, those that read the same panels behind one another.
    fn tasks<'a>(&self, out: &'a mut [f32]) -> Vec<Task<'a>> {
        let n_rows = out.len() / self.n_out.max(1);
        let n_blocks = n_rows.div_ceil(ROWS_PER_TASK);
        let task = |i: usize| Task {
            first_row: i % n_blocks * ROWS_PER_TASK,
            first_output: i / n_blocks * OUTPUTS_PER_TASK,
            out: Vec::with_capacity(n_rows.min(ROWS_PER_TASK)),
        };
        let mut tasks: Vec<_> = (0..n_blocks * self.n_out.div_ceil(OUTPUTS_PER_TASK)).map(task).collect();
        for (row, out) in out.chunks_exact_mut(self.n_out.max(1)).enumerate() {
            for (i, out) in out.chunks_mut(OUTPUTS_PER_TASK).enumerate() {
                tasks[i * n_blocks + row / ROWS_PER_TASK].out.push(out);
            }
        }
        tasks
    }

    fn compute(&self, mut task: Task<'_>, x: &[f32]) {
        let first = task.first_output / self.width() * self.panel_len();
        let words = &self.words()[first..];
        let n_words = (OUTPUTS_PER_TASK / self.width() * self.panel_len()).min(words.len());
        let block = tile::Block {
            words: &words[..n_words],
            dtype: self.dtype,
            n_in: self.n_in,
            x: &x[task.first_row * self.n_in..][..task.out.len() * self.n_in],
            out: &mut task.out,
        };
        Arch::new().dispatch(block);
    }
}

/// Some outputs of some rows.
struct Task<'a> {
    first_row: usize,
    first_output: usize,
    /// Row by row.
    out: Vec<&'a mut [f32]>,
}

/// Where the numbers of a panel stand.
#[derive(Clone, Copy)]
struct Place {
    lanes: usize,
    n_in: usize,
    dtype: Dtype,
}

impl Place {
    /// Words of one input.
    fn words(self) -> usize {
        if self.dtype.is_f32() { 2 * self.lanes } else { self.lanes }
    }

    /// The word of a column in each input, and how far up in it.
    fn of(self, column: usize) -> (usize, u32) {
        match self.dtype {
            Dtype::F32 => (column, 0),
            Dtype::Bf16 | Dtype::F16 => (column % self.lanes, 16 * (column / self.lanes) as u32),
        }
    }

    /// Writes rows as the columns of a panel of zeros.
    fn fill(self, panel: &mut [u32], rows: &[f32]) {
        for (column, row) in rows.chunks_exact(self.n_in).enumerate() {
            let (place, shift) = self.of(column);
            for (words, x) in panel.chunks_exact_mut(self.words()).zip(row) {
                words[place] |= self.dtype.bits(*x) << shift;
            }
        }
    }

    /// Reads a column of a panel.
    fn read(self, panel: &[u32], column: usize, out: &mut [f32]) {
        let (place, shift) = self.of(column);
        for (x, words) in out.iter_mut().zip(panel.chunks_exact(self.words())) {
            *x = self.dtype.number(words[place] >> shift);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::noise;

    fn floats_of(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn what_was_laid_out_is_read_again() {
        for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
            let weight = dtype.round(&noise(&[101, 7], 1)).unwrap().unwrap().to_dtype(DType::F32).unwrap();
            let panels = Panels::new(&weight, dtype).unwrap();
            assert_eq!(floats_of(&panels.tensor().unwrap()), floats_of(&weight), "{dtype:?}");
            let rows = panels.rows(&[100, 3, 100]).unwrap();
            let expected: Vec<_> = [100, 3, 100].iter().flat_map(|row| floats_of(&weight.get(*row).unwrap())).collect();
            assert_eq!(floats_of(&rows), expected);
            assert!(panels.rows(&[101]).is_err());
        }
    }

    #[test]
    fn numbers_of_half_the_width_give_the_products_of_the_same_numbers_in_f32() {
        for dtype in [Dtype::Bf16, Dtype::F16] {
            // Some are so small that f16 holds them without a leading one.
            let small = (noise(&[70, 600], 2) * 1e-5).unwrap();
            let weight = Tensor::cat(&[noise(&[70, 600], 3), small], 0).unwrap();
            let weight = dtype.round(&weight).unwrap().unwrap().to_dtype(DType::F32).unwrap();
            let x = floats_of(&noise(&[13, 600], 4));
            let [half, whole] = [dtype, Dtype::F32].map(|dtype| Panels::new(&weight, dtype).unwrap().product(&x));
            assert_eq!(half, whole, "{dtype:?}");
        }
    }
}
