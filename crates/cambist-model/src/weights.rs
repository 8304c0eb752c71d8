//! Weights by their Hugging Face names, and as the decoder holds them.

use std::collections::{BTreeMap, HashMap};

use cambist_core::chance::Chance;
use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

use crate::{
    config::DecoderConfig,
    fault::TensorFault,
    layout::{Plan, Start, plan},
    model_files::{FileError, ModelFiles, WEIGHTS, WEIGHTS_INDEX},
};

/// One parameter of the decoder: one or more tensors of the file, one below the other.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// Names and rows of the tensors it is made of.
    pub(crate) parts: Vec<(String, usize)>,
    pub(crate) tensor: Tensor,
}

impl Parameter {
    /// Names the parameter to a reader: the first of its parts.
    pub(crate) fn name(&self) -> &str {
        self.parts.first().map_or("", |(name, _)| name)
    }
}

/// Weights cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A file is missing or is no JSON.
    #[error(transparent)]
    File(#[from] FileError),
    /// The index names a shard that is not there.
    #[error("`model.safetensors.index.json` names `{0}`, which the model folder does not have")]
    Shard(String),
    /// The bytes are no safetensors, or hold a type that cannot become f32.
    #[error("`{file}` cannot be read as safetensors: {source}")]
    Format {
        /// The file.
        file: String,
        /// What the reader says.
        source: TensorFault,
    },
    /// A tensor that the config calls for.
    #[error("the weights have no tensor `{name}`, expected with shape {expected:?}")]
    Absent {
        /// The tensor.
        name: String,
        /// Its shape according to the config.
        expected: Vec<usize>,
    },
    /// A tensor of another shape.
    #[error("tensor `{name}` has shape {found:?}, but `config.json` calls for {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// Its shape according to the config.
        expected: Vec<usize>,
    },
    /// A tensor that this architecture has no place for: leaving it out would change the numbers.
    #[error("the weights hold `{0}`, which this architecture has no place for")]
    Unexpected(String),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] TensorFault),
}

/// Draws the parameters of a new model, each tensor from a stream named after it.
///
/// Matrices are normal with deviation sqrt(2 / (5 `hidden_size`)) (Nguyen and Salazar 2019, arXiv 1910.05895, section
/// 2.3), those that write to the residual stream divided by sqrt(2 `n_layers`) (GPT-2); norms are 1.
pub(crate) fn draw(config: &DecoderConfig, seed: u64) -> Result<Vec<Parameter>, TensorFault> {
    let inner = (0.4 / config.shape.hidden_size as f64).sqrt();
    let residual = inner / (2.0 * config.shape.n_layers as f64).sqrt();
    let parameter = |plan: Plan| {
        let mut data = Vec::new();
        for (name, rows) in &plan.parts {
            let mut chance = Chance::new(seed, &["weights", name]);
            let mut number = || match plan.start {
                Start::Zero => 0.0,
                Start::One => 1.0,
                Start::Inner => chance.normal() * inner,
                Start::Residual => chance.normal() * residual,
            };
            data.extend((0..rows * plan.columns.unwrap_or(1)).map(|_| number() as f32));
        }
        let rows = plan.parts.iter().map(|(_, rows)| rows).sum();
        let tensor = Tensor::from_vec(data, plan.shape(rows), &Device::Cpu)?;
        Ok(Parameter { parts: plan.parts, tensor })
    };
    plan(config).0.into_iter().map(parameter).collect()
}

/// Reads the parameters from one file or from the shards that the index names; every type becomes f32.
pub(crate) fn read(config: &DecoderConfig, files: &ModelFiles) -> Result<Vec<Parameter>, WeightsError> {
    let mut tensors = BTreeMap::new();
    for file in weight_files(files)? {
        let bytes = files.0.get(&file).ok_or_else(|| WeightsError::Shard(file.clone()))?;
        let fault = |e| WeightsError::Format { file: file.clone(), source: TensorFault(e) };
        tensors.extend(candle_core::safetensors::load_buffer(bytes, &Device::Cpu).map_err(fault)?);
    }
    let mut parameters = vec![];
    for plan in plan(config).0 {
        let mut parts = vec![];
        for (name, rows) in &plan.parts {
            parts.push(take(&mut tensors, name, plan.shape(*rows))?);
        }
        let tensor = Tensor::cat(&parts, 0).and_then(|t| t.contiguous()).map_err(TensorFault)?;
        parameters.push(Parameter { parts: plan.parts, tensor });
    }
    let harmless =
        |name: &str| name.ends_with("rotary_emb.inv_freq") || (config.shape.tie_embeddings && name == "lm_head.weight");
    match tensors.into_keys().find(|name| !harmless(name)) {
        Some(name) => Err(WeightsError::Unexpected(name)),
        None => Ok(parameters),
    }
}

/// Names the files that hold weights.
pub(crate) fn weight_files(files: &ModelFiles) -> Result<Vec<String>, FileError> {
    if !files.0.contains_key(WEIGHTS_INDEX) {
        files.required(WEIGHTS)?;
        return Ok(vec![WEIGHTS.to_owned()]);
    }
    let index = files.json(WEIGHTS_INDEX)?;
    let map = index.get("weight_map").and_then(Value::as_object).into_iter().flat_map(|map| map.values());
    let mut shards: Vec<String> = map.filter_map(Value::as_str).map(str::to_owned).collect();
    shards.sort();
    shards.dedup();
    Ok(shards)
}

fn take(tensors: &mut BTreeMap<String, Tensor>, name: &str, expected: Vec<usize>) -> Result<Tensor, WeightsError> {
    let Some(tensor) = tensors.remove(name) else {
        return Err(WeightsError::Absent { name: name.to_owned(), expected });
    };
    if tensor.dims() != expected {
        return Err(WeightsError::Shape { name: name.to_owned(), found: tensor.dims().to_vec(), expected });
    }
    Ok(tensor.to_dtype(DType::F32).map_err(TensorFault)?)
}

/// Writes all parameters as one safetensors file in f32, as `transformers` reads it.
pub(crate) fn write(parameters: &[Parameter]) -> Result<Vec<u8>, TensorFault> {
    let mut tensors = vec![];
    for parameter in parameters {
        let mut first = 0;
        for (name, rows) in &parameter.parts {
            let tensor = parameter.tensor.narrow(0, first, *rows)?;
            let bytes: Vec<u8> = tensor.flatten_all()?.to_vec1::<f32>()?.iter().flat_map(|x| x.to_le_bytes()).collect();
            tensors.push((name.clone(), tensor.dims().to_vec(), bytes));
            first += rows;
        }
    }
    let mut views = vec![];
    for (name, dims, bytes) in &tensors {
        let view = TensorView::new(Dtype::F32, dims.clone(), bytes).map_err(candle_core::Error::wrap)?;
        views.push((name.as_str(), view));
    }
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::serialize(views, Some(format)).map_err(candle_core::Error::wrap)?)
}
