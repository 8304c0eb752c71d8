//! What becomes of products with the output layer before they are logits.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use super::simd;

/// The way from a product with the output layer to a logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Logits {
    /// What products are multiplied by (Cohere), else 1.
    pub(crate) scale: f32,
    /// Then they become `cap * tanh(x / cap)` (Gemma 2, arXiv 2408.00118, section 2).
    pub(crate) cap: Option<f32>,
}

/// Turns products into logits in their storage.
pub(crate) fn finish_logits(products: &Tensor, logits: Logits) -> Result<()> {
    if logits == (Logits { scale: 1.0, cap: None }) {
        return Ok(());
    }
    products.inplace_op1(&logits)
}

/// Numbers that one task takes on.
const CHUNK: usize = 1 << 14;

impl InplaceOp1 for Logits {
    fn name(&self) -> &'static str {
        "logits"
    }

    fn cpu_fwd(&self, products: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(products), Some((start, end))) = (products, layout.contiguous_offsets()) else {
            bail!("logits are f32 and contiguous, got {layout:?}")
        };
        products[start..end].par_chunks_mut(CHUNK).for_each(|products| {
            simd::vectorised(
                #[inline(always)]
                || self.finish(products),
            )
        });
        Ok(())
    }
}

impl Logits {
    #[inline(always)]
    fn finish(self, products: &mut [f32]) {
        for x in products.iter_mut() {
            *x *= self.scale;
        }
        if let Some(cap) = self.cap {
            simd::soft_cap(products, cap);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn products_are_scaled_and_then_bounded() {
        let products = Tensor::new(&[[1f32, -2.0, 400.0]], &Device::Cpu).unwrap();
        finish_logits(&products, Logits { scale: 0.5, cap: Some(30.0) }).unwrap();
        let found = products.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (found, x) in found.iter().zip([0.5f64, -1.0, 200.0]) {
            let expected = 30.0 * (x / 30.0).tanh();
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}
