//! Differentiable operations of the decoder, each fused for the CPU in f32.
//!
//! Candle's own fused operations (`softmax_last_dim`, `rms_norm`, `rope`) carry no gradient: what lies upstream stays
//! silently untrained. Each file here holds one operation with its backward pass; its test compares both with the
//! composition of candle's plain differentiable operations (`reference`) and with finite differences. The way back is
//! driven by [`crate::tape`].

pub(crate) mod kernel;
pub(crate) mod simd;

pub(crate) mod attention;
pub(crate) mod by_row;
pub(crate) mod gated;
pub(crate) mod head_norm;
pub(crate) mod linear;
pub(crate) mod logits;
pub(crate) mod low_rank;
pub(crate) mod norm;
pub(crate) mod panels;
pub(crate) mod rows;
pub(crate) mod token_log_probs;

#[cfg(test)]
pub(crate) mod reference;

use candle_core::{CpuStorage, Layout, Result, bail};

/// Returns the numbers of a contiguous f32 tensor on the CPU.
///
/// # Errors
/// For other layouts and types: the caller has to bring them into this form.
pub(crate) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(data), Some((start, end))) => Ok(&data[start..end]),
        _ => bail!("a fused operation expects a contiguous f32 tensor, got {layout:?}"),
    }
}

/// Rows that one task takes on; fixed, so that partial sums fall alike under any number of threads.
pub(crate) const ROWS_PER_TASK: usize = 64;
