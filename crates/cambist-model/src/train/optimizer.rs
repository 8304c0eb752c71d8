//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), one pass over each parameter.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use super::config::TrainConfig;
use crate::{
    ops::{floats, simd},
    weights::Parameter,
};

/// First and second moments of all parameters.
pub(super) struct AdamW {
    moments: Vec<Mutex<Moments>>,
    n_steps: i32,
}

#[derive(Default)]
struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

/// Numbers that one task takes on.
const CHUNK: usize = 1 << 14;

impl AdamW {
    pub(super) fn new(parameters: &[Parameter]) -> Self {
        let zeros = |n: usize| Mutex::new(Moments { first: vec![0.0; n], second: vec![0.0; n] });
        Self { moments: parameters.iter().map(|p| zeros(p.n_numbers())).collect(), n_steps: 0 }
    }

    /// The first and second moments of each parameter, in their order.
    pub(super) fn moments(&self) -> impl Iterator<Item = (Vec<f32>, Vec<f32>)> {
        let copy = |moments: &Mutex<Moments>| {
            let moments = moments.lock().unwrap_or_else(PoisonError::into_inner);
            (moments.first.clone(), moments.second.clone())
        };
        self.moments.iter().map(copy)
    }

    /// Goes on from the moments after `n_steps` steps.
    pub(super) fn resumed(moments: Vec<(Vec<f32>, Vec<f32>)>, n_steps: usize) -> Self {
        let own = |(first, second)| Mutex::new(Moments { first, second });
        Self { moments: moments.into_iter().map(own).collect(), n_steps: n_steps as i32 }
    }

    /// Moves every parameter against its gradient times `scale`.
    pub(super) fn step(
        &mut self,
        parameters: &[Parameter],
        gradients: &[Tensor],
        (lr, scale, config): (f64, f64, &TrainConfig),
    ) -> Result<()> {
        self.n_steps += 1;
        let (beta1, beta2) = config.betas;
        for ((parameter, gradient), moments) in parameters.iter().zip(gradients).zip(&self.moments) {
            let decay = if decays(parameter) { config.weight_decay } else { 0.0 };
            let second_correction = (1.0 - beta2.powi(self.n_steps)).sqrt();
            let update = Update {
                scale: scale as f32,
                beta1: beta1 as f32,
                beta2: beta2 as f32,
                keep: (1.0 - lr * decay) as f32,
                rate: (lr / (1.0 - beta1.powi(self.n_steps))) as f32,
                second_correction: second_correction.recip() as f32,
                eps: config.eps as f32,
                moments,
            };
            parameter.plain()?.inplace_op2(gradient, &update)?;
        }
        Ok(())
    }
}

/// Whether weight decay applies: to matrices, but not to embeddings or to gains that are kept head by head.
fn decays(parameter: &Parameter) -> bool {
    let kept = |name: &str| name.contains("embed_tokens") || name.contains("norm");
    parameter.dims().len() == 2 && !kept(parameter.name())
}

struct Update<'a> {
    scale: f32,
    beta1: f32,
    beta2: f32,
    keep: f32,
    rate: f32,
    second_correction: f32,
    eps: f32,
    moments: &'a Mutex<Moments>,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, p: &mut CpuStorage, lp: &Layout, g: &CpuStorage, lg: &Layout) -> Result<()> {
        let gradient = floats(g, lg)?;
        let (CpuStorage::F32(data), Some((start, end))) = (p, lp.contiguous_offsets()) else {
            bail!("a parameter is f32 and contiguous, got {lp:?}")
        };
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let Moments { first, second } = &mut *moments;
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        let numbers = data[start..end].par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        numbers.zip(moments).for_each(|((p, g), (m, v))| {
            simd::vectorised(
                #[inline(always)]
                || self.chunk(p, g, (m, v)),
            )
        });
        Ok(())
    }
}

impl Update<'_> {
    #[inline(always)]
    fn chunk(&self, p: &mut [f32], g: &[f32], (m, v): (&mut [f32], &mut [f32])) {
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
            let g = g * self.scale;
            *m += (g - *m) * (1.0 - self.beta1);
            *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
            *p = *p * self.keep - self.rate * *m / (v.sqrt() * self.second_correction + self.eps);
        }
    }
}

/// Returns the Euclidean norm of all gradients together; sums in f64 over chunks of fixed size in their order.
pub(super) fn gradient_norm(gradients: &[Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for gradient in gradients {
        let (storage, layout) = gradient.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else { bail!("gradients lie on the cpu") };
        let chunks = floats(storage, layout)?.par_chunks(CHUNK);
        let squares: Vec<f64> = chunks
            .map(|g| {
                simd::vectorised(
                    #[inline(always)]
                    || squares(g),
                )
            })
            .collect();
        sum += squares.iter().sum::<f64>();
    }
    Ok(sum.sqrt())
}

#[inline(always)]
fn squares(gradient: &[f32]) -> f64 {
    let mut sum = 0.0;
    for g in gradient.chunks(256) {
        sum += f64::from(simd::dot(g, g));
    }
    sum
}
