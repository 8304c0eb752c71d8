//! Log-probabilities of given tokens under the output layer; all logits are held only where they are few.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    floats,
    kernel::{Matrix, Threads, Write, product},
    logits::Logits,
    simd,
};
use crate::{
    buffers::{buffer, give},
    tape::{Tape, Value},
};

/// Returns `ln softmax(logits(hidden weight^T))[target]` in nats for each row, `[rows]`; differentiable in `hidden`
/// `[rows, width]` and `weight` `[vocabulary, width]`, and free of the work for a weight that is constant.
pub(crate) fn token_log_probs(
    tape: &Tape,
    hidden: &Value,
    weight: &Value,
    (targets, logits): (&Arc<[u32]>, Logits),
) -> Result<Value> {
    let few = targets.len() * weight.tensor.dim(0)? <= KEPT;
    let keep = tape.is_recording() && few && logits.cap.is_none();
    let operation = TokenLogProbs {
        targets: Arc::clone(targets),
        logits,
        weight_is_constant: weight.is_constant(),
        kept: Mutex::new(keep.then(Vec::new)),
    };
    tape.apply2(hidden, weight, operation)
}

/// Returns how many logits are held at once for the way back, their gradients included.
pub(crate) fn n_held(n_targets: usize, vocabulary: usize, logits: Logits) -> usize {
    let all = n_targets * vocabulary;
    if all <= KEPT && logits.cap.is_none() { all } else { n_targets.min(CHUNK) * vocabulary }
}

struct TokenLogProbs {
    targets: Arc<[u32]>,
    logits: Logits,
    weight_is_constant: bool,
    /// What the way there leaves for the way back: e^(logit - largest logit of the row), all rows.
    kept: Mutex<Option<Vec<f32>>>,
}

/// Rows whose logits are held at once where they are not kept: 8 MB at a vocabulary of 8,000.
const CHUNK: usize = 256;

/// Most numbers that are kept for the way back (134 MB); beyond, the logits are computed a second time.
const KEPT: usize = 1 << 25;

impl CustomOp2 for TokenLogProbs {
    fn name(&self) -> &'static str {
        "token-log-probs"
    }

    fn cpu_fwd(&self, h: &CpuStorage, lh: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let head = Head::new((floats(h, lh)?, lh), (floats(w, lw)?, lw), (&self.targets, self.logits))?;
        let mut out = vec![0f32; self.targets.len()];
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *kept {
            Some(kept) => {
                *kept = buffer(out.len() * head.vocabulary);
                let chunks = out.chunks_mut(CHUNK).zip(kept.chunks_mut(CHUNK * head.vocabulary));
                chunks.enumerate().try_for_each(|(i, (out, logits))| head.exponentials(logits, i, Some(out)))?;
            }
            None => {
                let mut logits = buffer(head.chunk_len());
                for (i, out) in out.chunks_mut(CHUNK).enumerate() {
                    head.exponentials(&mut logits[..out.len() * head.vocabulary], i, Some(out))?;
                }
                give(logits);
            }
        }
        Ok((CpuStorage::F32(out), Shape::from(self.targets.len())))
    }

    fn bwd(&self, h: &Tensor, w: &Tensor, _out: &Tensor, d_out: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let weight_is_constant = self.weight_is_constant;
        let (targets, kept) = (Arc::clone(&self.targets), Mutex::new(kept));
        let backward = Backward { targets, logits: self.logits, weight_is_constant, kept };
        let both = h.apply_op3_no_bwd(w, &d_out.contiguous()?, &backward)?;
        if weight_is_constant {
            return Ok((Some(both), None));
        }
        let n_rows = h.dim(0)?;
        Ok((Some(both.narrow(0, 0, n_rows)?), Some(both.narrow(0, n_rows, w.dim(0)?)?)))
    }
}

/// Gives the gradients of the hidden rows and, below them, those of the weight where it is no constant.
struct Backward {
    targets: Arc<[u32]>,
    logits: Logits,
    weight_is_constant: bool,
    kept: Mutex<Option<Vec<f32>>>,
}

impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        "token-log-probs-backward"
    }

    fn cpu_fwd(
        &self,
        h: &CpuStorage,
        lh: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        d_out: &CpuStorage,
        ld: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let head = Head::new((floats(h, lh)?, lh), (floats(w, lw)?, lw), (&self.targets, self.logits))?;
        let d_out = floats(d_out, ld)?;
        let (n_rows, vocabulary, width) = (self.targets.len(), head.vocabulary, head.width);
        let n_weights = if self.weight_is_constant { 0 } else { vocabulary };
        let mut out = buffer((n_rows + n_weights) * width);
        let (d_hidden, d_weight) = out.split_at_mut(n_rows * width);
        d_weight.fill(0.0);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = buffer(if kept.is_some() { 0 } else { head.chunk_len() });
        for (i, d_hidden) in d_hidden.chunks_mut(CHUNK * width).enumerate() {
            let n = d_hidden.len() / width;
            let logits = match &mut *kept {
                Some(kept) => &mut kept[i * CHUNK * vocabulary..][..n * vocabulary],
                None => {
                    let logits = &mut fresh[..n * vocabulary];
                    match self.logits.cap {
                        Some(_) => head.logits(logits, i)?,
                        None => head.exponentials(logits, i, None)?,
                    }
                    logits
                }
            };
            let own = &self.targets[i * CHUNK..][..n];
            let rows = logits.par_chunks_mut(vocabulary).zip(own.par_iter().zip(&d_out[i * CHUNK..][..n]));
            rows.for_each(|(row, (target, d))| {
                simd::vectorised(
                    #[inline(always)]
                    || match self.logits.cap {
                        Some(cap) => d_capped(row, (*target as usize, *d), cap),
                        None => d_logits(row, *target as usize, *d),
                    },
                );
            });
            let d_logits = Matrix::row_major(logits, n, vocabulary);
            let weight = Matrix::row_major(head.weight, vocabulary, width);
            let scale = (self.logits.scale, Threads::Pool);
            product((d_hidden, Write::Replace), d_logits, weight, scale)?;
            if !self.weight_is_constant {
                product((&mut *d_weight, Write::Add), d_logits.transposed(), head.rows(i), scale)?;
            }
        }
        give(kept.take().unwrap_or(fresh));
        Ok((CpuStorage::F32(out), Shape::from((n_rows + n_weights, width))))
    }
}

/// Replaces a row of exponentials by the gradient of its logits, `d * (one_hot(target) - softmax)`.
#[inline(always)]
fn d_logits(row: &mut [f32], target: usize, d: f32) {
    let scale = -d / simd::sum(row);
    for x in row.iter_mut() {
        *x *= scale;
    }
    row[target] += d;
}

/// Replaces a row of capped logits by the gradient of what the cap was put on.
#[inline(always)]
fn d_capped(row: &mut [f32], (target, d): (usize, f32), cap: f32) {
    let capped = row.to_vec();
    simd::exp_shifted(row);
    d_logits(row, target, d);
    simd::soft_cap_back(row, &capped, cap);
}

struct Head<'a> {
    targets: &'a [u32],
    as_logits: Logits,
    hidden: &'a [f32],
    weight: &'a [f32],
    vocabulary: usize,
    width: usize,
}

impl<'a> Head<'a> {
    fn new(
        (h, lh): (&'a [f32], &Layout),
        (w, lw): (&'a [f32], &Layout),
        (targets, as_logits): (&'a [u32], Logits),
    ) -> Result<Self> {
        let ((n_rows, width), (vocabulary, w_width)) = (lh.shape().dims2()?, lw.shape().dims2()?);
        if width != w_width || n_rows != targets.len() {
            bail!("{} targets and a weight of width {w_width} met rows of [{n_rows}, {width}]", targets.len())
        }
        if let Some(beyond) = targets.iter().find(|t| **t as usize >= vocabulary) {
            bail!("target {beyond} is beyond a vocabulary of {vocabulary}")
        }
        Ok(Self { targets, as_logits, hidden: h, weight: w, vocabulary, width })
    }

    fn chunk_len(&self) -> usize {
        CHUNK.min(self.hidden.len() / self.width) * self.vocabulary
    }

    fn rows(&self, chunk: usize) -> Matrix<'a> {
        let rows = &self.hidden[chunk * CHUNK * self.width..];
        let n_rows = CHUNK.min(rows.len() / self.width);
        Matrix::row_major(rows, n_rows, self.width)
    }

    /// Fills a chunk with logits.
    fn logits(&self, logits: &mut [f32], chunk: usize) -> Result<()> {
        let weight = Matrix::row_major(self.weight, self.vocabulary, self.width);
        let scale = (self.as_logits.scale, Threads::Pool);
        product((logits, Write::Replace), self.rows(chunk), weight.transposed(), scale)?;
        if let Some(cap) = self.as_logits.cap {
            logits.par_chunks_mut(self.vocabulary).for_each(|row| {
                simd::vectorised(
                    #[inline(always)]
                    || simd::soft_cap(row, cap),
                );
            });
        }
        Ok(())
    }

    /// Fills a chunk with e^(logit - largest logit of the row), and `out` with the targets' log-probabilities.
    fn exponentials(&self, logits: &mut [f32], chunk: usize, out: Option<&mut [f32]>) -> Result<()> {
        self.logits(logits, chunk)?;
        let targets = &self.targets[chunk * CHUNK..][..logits.len() / self.vocabulary];
        let rows = logits.par_chunks_mut(self.vocabulary).zip(targets);
        let scores: Vec<f32> = rows
            .map(|(row, target)| {
                let chosen = row[*target as usize];
                let (top, sum) = simd::vectorised(
                    #[inline(always)]
                    || simd::exp_shifted(row),
                );
                chosen - top - sum.ln()
            })
            .collect();
        if let Some(out) = out {
            out.copy_from_slice(&scores);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{self, assert_same_gradients, noise};

    const PLAIN: Logits = Logits { scale: 1.0, cap: None };

    #[test]
    fn gradients_equal_those_of_plain_operations_across_chunks() {
        let targets: Arc<[u32]> = (0..300).map(|i| i * 7 % 19).collect();
        let inputs = [noise(&[300, 10], 1), noise(&[19, 10], 2)];
        for logits in [PLAIN, Logits { scale: 0.25, cap: None }, Logits { scale: 1.5, cap: Some(3.0) }] {
            let plain = |v: &[Tensor]| reference::token_log_probs(&v[0], &v[1], (&targets, logits));
            assert_same_gradients(&inputs, |tape, v| token_log_probs(tape, &v[0], &v[1], (&targets, logits)), plain);
        }
    }

    #[test]
    fn logits_that_were_not_kept_give_the_same_gradients() {
        let targets: Arc<[u32]> = (0..300).map(|i| i * 5 % 19).collect();
        let (hidden, weight) = (noise(&[300, 10], 1), noise(&[19, 10], 2));
        let gradients = |kept: Option<Vec<f32>>| {
            let tape = Tape::recording(2);
            let (h, w) = (tape.parameter(0, &hidden), tape.parameter(1, &weight));
            let (targets, kept) = (Arc::clone(&targets), Mutex::new(kept));
            let operation = TokenLogProbs { targets, logits: PLAIN, weight_is_constant: false, kept };
            let out = tape.apply2(&h, &w, operation).unwrap();
            let found = tape.backward(&out, noise(&[300], 3)).unwrap();
            found.into_iter().map(|g| g.unwrap().to_vec2::<f32>().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(gradients(None), gradients(Some(vec![])));
    }

    #[test]
    fn a_constant_weight_takes_no_gradient_and_changes_none() {
        let targets: Arc<[u32]> = (0..300).map(|i| i * 5 % 19).collect();
        let (hidden, weight) = (noise(&[300, 10], 1), noise(&[19, 10], 2));
        let gradients = |frozen: bool| {
            let tape = Tape::recording(2);
            let w = if frozen { tape.constant(weight.clone()) } else { tape.parameter(1, &weight) };
            let out = token_log_probs(&tape, &tape.parameter(0, &hidden), &w, (&targets, PLAIN)).unwrap();
            tape.backward(&out, noise(&[300], 3)).unwrap()
        };
        let (all, some) = (gradients(false), gradients(true));
        let numbers = |g: &Option<Tensor>| g.as_ref().map(|g| g.to_vec2::<f32>().unwrap());
        assert_eq!(numbers(&all[0]), numbers(&some[0]));
        assert!(all[1].is_some() && some[1].is_none());
    }

    #[test]
    fn a_target_beyond_the_vocabulary_is_refused() {
        let tape = Tape::idle();
        let value = |rows, seed| tape.parameter(0, &noise(&[rows, 4], seed));
        assert!(token_log_probs(&tape, &value(1, 1), &value(5, 2), (&Arc::from([5]), PLAIN)).is_err());
    }
}
