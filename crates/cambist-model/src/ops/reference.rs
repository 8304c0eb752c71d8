//! The operations composed of candle's plain differentiable ones: the oracle of the fused forms.

use cambist_core::chance::Chance;
use candle_core::{D, DType, Device, Result, Tensor, Var};

use super::attention::Heads;
use crate::tape::{Tape, Value};

pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let rms = (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
    x.broadcast_div(&rms)?.broadcast_mul(weight)
}

pub(crate) fn swiglu(gate_up: &Tensor) -> Result<Tensor> {
    let width = gate_up.dim(1)? / 2;
    gate_up.narrow(1, 0, width)?.silu()? * gate_up.narrow(1, width, width)?
}

pub(crate) fn token_log_probs(hidden: &Tensor, weight: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let logits = hidden.matmul(&weight.t()?)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    let log_probs = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(1)?.log()?)?;
    let index = Tensor::new(targets, hidden.device())?.reshape((targets.len(), 1))?;
    log_probs.gather(&index, 1)?.squeeze(1)
}

pub(crate) fn causal_attention(qkv: &Tensor, heads: Heads, starts: &[usize], theta: f32) -> Result<Tensor> {
    let Heads { n_heads, n_kv_heads, head_dim } = heads;
    let mut sequences = vec![];
    for ends in starts.windows(2) {
        let rows = qkv.narrow(0, ends[0], ends[1] - ends[0])?;
        let head = |column: usize| rows.narrow(1, column * head_dim, head_dim);
        let mut outs = vec![];
        for i in 0..n_heads {
            let kv = i / heads.group();
            let (q, k) = (turned(&head(i)?, theta)?, turned(&head(n_heads + kv)?, theta)?);
            let scores = (q.matmul(&k.t()?)? * f64::from(heads.scale()))?;
            outs.push(masked_softmax(&scores)?.matmul(&head(n_heads + n_kv_heads + kv)?.contiguous()?)?);
        }
        sequences.push(Tensor::cat(&outs, 1)?);
    }
    Tensor::cat(&sequences, 0)
}

fn masked_softmax(scores: &Tensor) -> Result<Tensor> {
    let n = scores.dim(0)? as i64;
    let mask: Vec<f32> = (0..n * n).map(|i| if i % n > i / n { f32::NEG_INFINITY } else { 0.0 }).collect();
    let e = (scores + Tensor::from_vec(mask, (n as usize, n as usize), scores.device())?)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(1)?)
}

fn turned(x: &Tensor, theta: f32) -> Result<Tensor> {
    let (n, head_dim) = x.dims2()?;
    let half = head_dim / 2;
    let angle = |i: usize| (i / half) as f32 / theta.powf(2.0 * (i % half) as f32 / head_dim as f32);
    let angles = Tensor::from_vec((0..n * half).map(angle).collect::<Vec<_>>(), (n, half), x.device())?;
    let (cos, sin) = (angles.cos()?, angles.sin()?);
    let (first, second) = (x.narrow(1, 0, half)?, x.narrow(1, half, half)?);
    Tensor::cat(&[((&first * &cos)? - (&second * &sin)?)?, ((&second * &cos)? + (&first * &sin)?)?], 1)
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
