//! Buffers that a step of training leaves for the next one.
//!
//! A step makes hundreds of megabytes of activations and gradients and is done with them at its end. Asking the system
//! for that much anew in every step costs a fault for each page, and filling it with zeros before it is written over costs
//! once more. So what the tape is done with is kept, as long as somebody trains, and handed out again.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};

/// Smaller buffers are left to the allocator, which keeps them by itself: 64 KB.
const SMALLEST: usize = 1 << 14;

/// Buffers that nobody uses at the moment, by how many numbers they hold.
struct Pool {
    n_trainings: usize,
    free: BTreeMap<usize, Vec<Vec<f32>>>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { n_trainings: 0, free: BTreeMap::new() });

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody trains: buffers are kept until the last one is done.
pub(crate) struct Recycling(());

impl Recycling {
    pub(crate) fn begin() -> Self {
        pool().n_trainings += 1;
        Self(())
    }
}

impl Drop for Recycling {
    fn drop(&mut self) {
        let mut pool = pool();
        pool.n_trainings = pool.n_trainings.saturating_sub(1);
        if pool.n_trainings == 0 {
            pool.free.clear();
        }
    }
}

/// Returns `n` numbers of any value, for callers that write over all of them.
pub(crate) fn buffer(n: usize) -> Vec<f32> {
    if n < SMALLEST {
        return vec![0.0; n];
    }
    let kept = pool().take(n);
    let Some(mut kept) = kept else { return vec![0.0; n] };
    kept.resize(n, 0.0);
    kept
}

/// Takes numbers back that nobody reads any more.
pub(crate) fn give(numbers: Vec<f32>) {
    if numbers.len() < SMALLEST {
        return;
    }
    let mut pool = pool();
    if pool.n_trainings > 0 {
        pool.free.entry(numbers.len()).or_default().push(numbers);
    }
}

/// Takes back the storage of a tensor that nobody reads any more, whoever else may hold it; of a part of a storage, and
/// of one that was taken back before, nothing.
pub(crate) fn give_storage(tensor: &Tensor) -> Result<()> {
    if tensor.elem_count() < SMALLEST { Ok(()) } else { tensor.inplace_op1(&Emptied) }
}

struct Emptied;

impl InplaceOp1 for Emptied {
    fn name(&self) -> &'static str {
        "emptied"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        if let CpuStorage::F32(numbers) = storage
            && layout.contiguous_offsets() == Some((0, numbers.len()))
        {
            give(std::mem::take(numbers));
        }
        Ok(())
    }
}

impl Pool {
    /// Returns a buffer of at least `n` numbers and little more. Where there is none, about as much is let go of, so that
    /// batches of many lengths do not pile up buffers of all sizes.
    fn take(&mut self, n: usize) -> Option<Vec<f32>> {
        let fit = self.free.range(n..=n + n / 8).next().map(|(size, _)| *size);
        if let Some(size) = fit {
            return self.remove(size);
        }
        let mut n_freed = 0;
        // What is too small first; what is of quite another size is of use elsewhere.
        for sizes in [n / 4..n, n..n.saturating_mul(4)] {
            while n_freed < n {
                let Some(size) = self.free.range(sizes.clone()).next_back().map(|(size, _)| *size) else { break };
                n_freed += self.remove(size).map_or(n, |freed| freed.len());
            }
        }
        None
    }

    fn remove(&mut self, size: usize) -> Option<Vec<f32>> {
        let buffers = self.free.get_mut(&size)?;
        let buffer = buffers.pop();
        if buffers.is_empty() {
            self.free.remove(&size);
        }
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::noise;

    fn pool_of(sizes: &[usize]) -> Pool {
        let mut pool = Pool { n_trainings: 1, free: BTreeMap::new() };
        for size in sizes {
            pool.free.entry(*size).or_default().push(vec![1.0; *size]);
        }
        pool
    }

    fn sizes(pool: &Pool) -> Vec<usize> {
        pool.free.iter().flat_map(|(size, buffers)| vec![*size; buffers.len()]).collect()
    }

    #[test]
    fn what_fits_is_used_again_and_misses_let_go_of_as_much() {
        let mut pool = pool_of(&[80, 100, 110, 200, 5000]);
        assert_eq!(pool.take(100).map(|kept| kept.len()), Some(100));
        assert_eq!(pool.take(100).map(|kept| kept.len()), Some(110));
        assert!(pool.take(100).is_none());
        assert_eq!(sizes(&pool), [5000], "80 and 200 were too small and too large");
        assert!(pool.take(100).is_none());
        assert_eq!(sizes(&pool), [5000]);
    }

    #[test]
    fn a_storage_is_taken_back_once_and_a_part_of_one_never() {
        let _recycling = Recycling::begin();
        let n = SMALLEST + 12_345;
        let whole = noise(&[n], 1);
        let part = whole.narrow(0, 0, SMALLEST).unwrap();
        give_storage(&part).unwrap();
        assert_eq!(whole.to_vec1::<f32>().unwrap().len(), n);
        let shared = whole.clone();
        give_storage(&whole).unwrap();
        give_storage(&shared).unwrap();
        assert_eq!(buffer(n).len(), n);
        assert_eq!(buffer(10), [0.0; 10]);
    }
}
