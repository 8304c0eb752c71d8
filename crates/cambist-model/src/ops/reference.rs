//! The operations composed of candle's plain differentiable ones: the oracle of the fused forms.

use cambist_core::chance::Chance;
use candle_core::{D, DType, Device, Result, Tensor, Var};

use super::{attention::Heads, gated::Activation, head_norm::HeadNorm, logits::Logits, norm::Norm};
use crate::tape::{Tape, Value};

pub(crate) fn norm(x: &Tensor, weight: &Tensor, norm: Norm) -> Result<Tensor> {
    let x = if norm.centred { x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)? } else { x.clone() };
    let rms = (x.sqr()?.mean_keepdim(D::Minus1)? + f64::from(norm.epsilon))?.sqrt()?;
    x.broadcast_div(&rms)?.broadcast_mul(&(weight + f64::from(norm.offset))?)
}

pub(crate) fn head_norm(qkv: &Tensor, weight: &Tensor, operation: HeadNorm) -> Result<Tensor> {
    let Heads { n_heads, n_kv_heads, head_dim } = operation.heads;
    let gains = weight.reshape(((), head_dim))?;
    let own = gains.dim(0)? > 2;
    let mut heads = vec![];
    for head in 0..n_heads + n_kv_heads {
        let row = if own { head } else { usize::from(head >= n_heads) };
        let gain = gains.narrow(0, row, 1)?.squeeze(0)?;
        heads.push(norm(&qkv.narrow(1, head * head_dim, head_dim)?, &gain, operation.norm)?);
    }
    let values = operation.heads.value_column(0);
    heads.push(qkv.narrow(1, values, n_kv_heads * head_dim)?);
    Tensor::cat(&heads, 1)
}

pub(crate) fn gated(gate_up: &Tensor, activation: Activation) -> Result<Tensor> {
    let width = gate_up.dim(1)? / 2;
    let gate = gate_up.narrow(1, 0, width)?;
    let gate = match activation {
        Activation::Silu => gate.silu()?,
        Activation::GeluTanh => gate.gelu()?,
    };
    gate * gate_up.narrow(1, width, width)?
}

fn soft_cap(x: &Tensor, cap: Option<f32>) -> Result<Tensor> {
    match cap.map(f64::from) {
        Some(cap) => (x / cap)?.tanh()? * cap,
        None => Ok(x.clone()),
    }
}

pub(crate) fn token_log_probs(
    hidden: &Tensor,
    weight: &Tensor,
    (targets, as_logits): (&[u32], Logits),
) -> Result<Tensor> {
    let logits = soft_cap(&(hidden.matmul(&weight.t()?)? * f64::from(as_logits.scale))?, as_logits.cap)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    let log_probs = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(1)?.log()?)?;
    let index = Tensor::new(targets, hidden.device())?.reshape((targets.len(), 1))?;
    log_probs.gather(&index, 1)?.squeeze(1)
}

/// What the attention of the tests knows of a layer.
#[derive(Clone, Copy)]
pub(crate) struct PlainAttention {
    pub(crate) heads: Heads,
    pub(crate) scale: f32,
    pub(crate) cap: Option<f32>,
    pub(crate) window: Option<usize>,
    /// Base, numbers of a head that are turned, and whether neighbours are turned together.
    pub(crate) rope: Option<(f32, usize, bool)>,
}

pub(crate) fn causal_attention(qkv: &Tensor, plain: PlainAttention, starts: &[usize]) -> Result<Tensor> {
    let Heads { n_heads, n_kv_heads, head_dim } = plain.heads;
    let mut sequences = vec![];
    for ends in starts.windows(2) {
        let rows = qkv.narrow(0, ends[0], ends[1] - ends[0])?;
        let head = |column: usize| rows.narrow(1, column * head_dim, head_dim);
        let mut outs = vec![];
        for i in 0..n_heads {
            let kv = i / plain.heads.group();
            let (q, k) = (turned(&head(i)?, plain.rope)?, turned(&head(n_heads + kv)?, plain.rope)?);
            let scores = soft_cap(&(q.matmul(&k.t()?)? * f64::from(plain.scale))?, plain.cap)?;
            let values = head(n_heads + n_kv_heads + kv)?.contiguous()?;
            outs.push(masked_softmax(&scores, plain.window)?.matmul(&values)?);
        }
        sequences.push(Tensor::cat(&outs, 1)?);
    }
    Tensor::cat(&sequences, 0)
}

fn masked_softmax(scores: &Tensor, window: Option<usize>) -> Result<Tensor> {
    let n = scores.dim(0)?;
    let hidden = |i: usize| i % n > i / n || window.is_some_and(|window| i % n + window <= i / n);
    let mask: Vec<f32> = (0..n * n).map(|i| if hidden(i) { f32::NEG_INFINITY } else { 0.0 }).collect();
    let e = (scores + Tensor::from_vec(mask, (n, n), scores.device())?)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(1)?)
}

fn turned(x: &Tensor, rope: Option<(f32, usize, bool)>) -> Result<Tensor> {
    let Some((theta, width, interleaved)) = rope else { return x.contiguous() };
    let (n, head_dim) = x.dims2()?;
    let half = width / 2;
    let angle = |i: usize| (i / half) as f32 / theta.powf(2.0 * (i % half) as f32 / width as f32);
    let angles = Tensor::from_vec((0..n * half).map(angle).collect::<Vec<_>>(), (n, half), x.device())?;
    let (cos, sin) = (angles.cos()?, angles.sin()?);
    let columns = |first: usize| {
        let at: Vec<u32> =
            (0..half).map(|i| if interleaved { 2 * i + first } else { i + first * half } as u32).collect();
        x.contiguous()?.index_select(&Tensor::new(at, x.device())?, 1)
    };
    let (first, second) = (columns(0)?, columns(1)?);
    let (left, right) = (((&first * &cos)? - (&second * &sin)?)?, ((&second * &cos)? + (&first * &sin)?)?);
    let both = match interleaved {
        true => Tensor::stack(&[left, right], 2)?.flatten_from(1)?,
        false => Tensor::cat(&[left, right], 1)?,
    };
    Tensor::cat(&[both, x.narrow(1, width, head_dim - width)?], 1)
}

/// Standard normal numbers, the same for the same shape and seed.
pub(crate) fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut chance = Chance::new(seed, &["noise"]);
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| chance.normal() as f32).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// Asserts that both functions give the same values (1e-5 relative to the largest) and the same gradients of a sum
/// with random weights (1e-4), and that those gradients are what finite differences say (1 %).
pub(crate) fn assert_same_gradients(
    inputs: &[Tensor],
    fused: impl Fn(&Tape, &[Value]) -> Result<Value>,
    plain: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let tape = Tape::recording(tensors.len());
    let values: Vec<Value> = inputs.iter().enumerate().map(|(i, t)| tape.parameter(i, t)).collect();
    let (ours, theirs) = (fused(&tape, &values).unwrap(), plain(&tensors).unwrap());
    assert_close(&ours.tensor, &theirs, 1e-5, "value");
    let weights = noise(theirs.dims(), 99);
    let theirs = (&theirs * &weights).unwrap().sum_all().unwrap().backward().unwrap();
    let ours = tape.backward(&ours, weights.clone()).unwrap();
    for (i, var) in vars.iter().enumerate() {
        let (ours, theirs) = (ours[i].as_ref().unwrap(), theirs.get(var).unwrap());
        assert_close(ours, theirs, 1e-4, &format!("gradient {i}"));
        let direction = noise(var.dims(), 7 + i as u64);
        let at = |step: f64| {
            let mut moved = inputs.to_vec();
            moved[i] = (&inputs[i] + (&direction * step).unwrap()).unwrap();
            let tape = Tape::idle();
            let values: Vec<Value> = moved.iter().map(|t| tape.parameter(0, t)).collect();
            let out = fused(&tape, &values).unwrap().tensor.to_dtype(DType::F64).unwrap();
            (out * weights.to_dtype(DType::F64).unwrap()).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
        };
        let slope = (at(1e-3) - at(-1e-3)) / 2e-3;
        let expected = f64::from((ours * &direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
        let size = f64::from(ours.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()).sqrt();
        assert!((slope - expected).abs() < 0.01 * size.max(1.0), "input {i}: slope {slope}, gradient {expected}");
    }
}

fn assert_close(ours: &Tensor, theirs: &Tensor, tolerance: f32, what: &str) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let largest = |t: &Tensor| t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    let gap = largest(&(ours - theirs).unwrap());
    assert!(gap <= tolerance * largest(theirs), "{what}: {gap} apart at {}", largest(theirs));
}
