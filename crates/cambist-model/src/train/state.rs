//! What a run needs to go on as if it had never stopped, as one safetensors file.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use cambist_core::digest::Digest;
use candle_core::{Device, Tensor};
use safetensors::{Dtype, SafeTensors, tensor::View};
use serde::{Deserialize, Serialize};

use super::{Run, TrainError, TrainSummary, config::TrainConfig, held_out::Best, optimizer::AdamW, rows::EncodedRow};
use crate::{
    fault::TensorFault,
    model::LocalModel,
    objective::Objective,
    weights::{self, Parameter},
};

/// A run cannot go on from what was kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The bytes are not what a run keeps.
    #[error("the kept state of the run cannot be read: {0}; remove it to start from the first step")]
    Broken(String),
    /// Another run's state.
    #[error(
        "the kept state is of another run ({found}, this one is {expected}); remove it to start from the first step"
    )]
    AnotherRun {
        /// The fingerprint in the file.
        found: String,
        /// This run's.
        expected: String,
    },
}

/// The key of the safetensors header that holds [`Kept`].
const HEADER: &str = "cambist.training";

/// Everything but tensors.
#[derive(Serialize, Deserialize)]
struct Kept {
    fingerprint: String,
    summary: Counters,
    best: Option<Best>,
}

/// The parts of a summary that add up from step to step.
#[derive(Serialize, Deserialize)]
struct Counters {
    n_steps: usize,
    n_tokens: usize,
    n_loss_tokens: usize,
    last_loss: f64,
    ended_early: bool,
}

/// Names what makes a run: rows in tokens, the objective, the configuration and the weights' shapes.
pub(super) fn fingerprint(
    model: &LocalModel,
    rows: &[EncodedRow],
    (objective, config): (&dyn Objective, &TrainConfig),
) -> String {
    let shapes: Vec<String> = model.decoder.trained().iter().map(|p| format!("{} {:?}", p.name(), p.dims())).collect();
    let mut parts = vec![objective.formula().into_bytes(), format!("{:?}", config.decisive()).into_bytes()];
    parts.push(shapes.join("\n").into_bytes());
    for row in rows {
        parts.push(row.id.as_bytes().to_vec());
        parts.push(row.weight.to_le_bytes().to_vec());
        // Rows without a margin are named as they were before there were any.
        parts.extend((row.margin != 0.0).then(|| row.margin.to_le_bytes().to_vec()));
        parts.extend((!row.desirable).then(|| b"undesirable".to_vec()));
        for sequence in &row.sequences {
            parts.push(sequence.tokens.iter().flat_map(|token| token.to_le_bytes()).collect());
            parts.push(sequence.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect());
        }
    }
    Digest::of_parts(parts.iter().map(Vec::as_slice)).short().to_owned()
}

impl Run {
    /// Returns what [`Run::resume`] goes on from.
    pub(super) fn state(&self, model: &LocalModel, fingerprint: &str) -> Result<Vec<u8>, TrainError> {
        let mut tensors = BTreeMap::new();
        let parameters = model.decoder.trained().iter().map(Parameter::tensor);
        for (i, parameter) in parameters.enumerate() {
            tensors.insert(format!("parameter.{i}"), Numbers::new(parameter?.flatten_all()?.to_vec1()?));
        }
        for (i, (first, second)) in self.optimizer.moments().enumerate() {
            tensors.insert(format!("first_moment.{i}"), Numbers::new(first));
            tensors.insert(format!("second_moment.{i}"), Numbers::new(second));
        }
        for (i, best) in self.held_out.parameters.iter().enumerate() {
            tensors.insert(format!("best.{i}"), Numbers::new(best.flatten_all()?.to_vec1()?));
        }
        let TrainSummary { n_steps, n_tokens, n_loss_tokens, last_loss, ended_early, .. } = self.summary;
        let summary = Counters { n_steps, n_tokens, n_loss_tokens, last_loss, ended_early };
        let kept = Kept { fingerprint: fingerprint.to_owned(), summary, best: self.held_out.best.clone() };
        let header = serde_json::to_string(&kept).map_err(|e| StateError::Broken(e.to_string()))?;
        let header = HashMap::from([(HEADER.to_owned(), header)]);
        Ok(safetensors::serialize(tensors, Some(header)).map_err(|e| StateError::Broken(e.to_string()))?)
    }

    /// Goes on from what [`Run::state`] returned.
    pub(super) fn resume(&mut self, model: &mut LocalModel, state: &[u8], fingerprint: &str) -> Result<(), TrainError> {
        let broken = |e: &dyn std::fmt::Display| StateError::Broken(e.to_string());
        let (_, metadata) = SafeTensors::read_metadata(state).map_err(|e| broken(&e))?;
        let header = metadata.metadata().as_ref().and_then(|all| all.get(HEADER));
        let header = header.ok_or_else(|| broken(&"it has no header of a training run"))?;
        let kept: Kept = serde_json::from_str(header).map_err(|e| broken(&e))?;
        if kept.fingerprint != fingerprint {
            return Err(StateError::AnotherRun { found: kept.fingerprint, expected: fingerprint.to_owned() }.into());
        }
        let tensors = SafeTensors::deserialize(state).map_err(|e| broken(&e))?;
        let mut moments = vec![];
        for (i, parameter) in model.decoder.trained_mut().iter_mut().enumerate() {
            let n = parameter.n_numbers();
            let read = |name: &str| numbers(&tensors, &format!("{name}.{i}"), n);
            let as_parameter = |data| Tensor::from_vec(data, parameter.dims(), &Device::Cpu).map_err(TensorFault);
            let own = as_parameter(read("parameter")?)?;
            if kept.best.is_some() {
                self.held_out.parameters.push(as_parameter(read("best")?)?);
            }
            moments.push((read("first_moment")?, read("second_moment")?));
            parameter.numbers = weights::Numbers::Plain(own);
        }
        let Counters { n_steps, n_tokens, n_loss_tokens, last_loss, ended_early } = kept.summary;
        self.summary = TrainSummary { n_steps, n_tokens, n_loss_tokens, last_loss, ended_early, ..self.summary };
        self.optimizer = AdamW::resumed(moments, n_steps);
        self.held_out.best = kept.best;
        Ok(())
    }
}

/// Reads `n` numbers.
fn numbers(tensors: &SafeTensors<'_>, name: &str, n: usize) -> Result<Vec<f32>, StateError> {
    let view = tensors.tensor(name).map_err(|e| StateError::Broken(format!("`{name}`: {e}")))?;
    if view.dtype() != Dtype::F32 || view.shape() != [n] {
        let (dtype, shape) = (view.dtype(), view.shape());
        return Err(StateError::Broken(format!("`{name}` is {dtype} {shape:?}, expected f32 [{n}]")));
    }
    let (words, _) = view.data().as_chunks::<4>();
    Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
}

/// A row of numbers, turned into bytes when it is its turn to be written.
struct Numbers {
    shape: [usize; 1],
    data: Vec<f32>,
}

impl Numbers {
    fn new(data: Vec<f32>) -> Self {
        Self { shape: [data.len()], data }
    }
}

impl View for Numbers {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.data.len() * 4
    }
}
