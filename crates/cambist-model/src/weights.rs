//! Weights by their Hugging Face names, and as the decoder holds them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cambist_core::chance::Chance;
use candle_core::{DType, Device, Storage, Tensor, bail};
use safetensors::{Dtype as Stored, SafeTensorError, SafeTensors, tensor::TensorView};
use serde_json::Value;

use crate::{
    config::DecoderConfig,
    dtype::Dtype,
    fault::TensorFault,
    layout::{Plan, Start, plan},
    model_files::{FileError, ModelFiles, WEIGHTS, WEIGHTS_INDEX},
    ops::{floats, panels::Panels},
};

/// One parameter of the decoder: one or more tensors of the file, one below the other.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    /// Names and rows of the tensors it is made of.
    pub(crate) parts: Vec<(String, usize)>,
    pub(crate) numbers: Numbers,
}

/// The numbers of a parameter.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    /// In f32, row by row: what training changes.
    Plain(Tensor),
    /// As products read them: what a model for inference keeps of its matrices.
    Panels(Arc<Panels>),
}

/// What a model is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// All numbers are plain.
    Training,
    /// Matrices are in panels, rounded to a type, or in the narrowest one that holds each matrix exactly.
    Inference(Option<Dtype>),
}

impl Parameter {
    /// Names the parameter to a reader: the first of its parts.
    pub(crate) fn name(&self) -> &str {
        self.parts.first().map_or("", |(name, _)| name)
    }

    pub(crate) fn dims(&self) -> Vec<usize> {
        match &self.numbers {
            Numbers::Plain(tensor) => tensor.dims().to_vec(),
            Numbers::Panels(panels) => panels.dims().to_vec(),
        }
    }

    pub(crate) fn n_numbers(&self) -> usize {
        self.dims().iter().product()
    }

    /// Returns the numbers in f32, row by row; a copy where they are in panels.
    pub(crate) fn tensor(&self) -> candle_core::Result<Tensor> {
        match &self.numbers {
            Numbers::Plain(tensor) => Ok(tensor.clone()),
            Numbers::Panels(panels) => panels.tensor(),
        }
    }

    /// Returns the numbers where they can be changed in place.
    pub(crate) fn plain(&self) -> candle_core::Result<&Tensor> {
        match &self.numbers {
            Numbers::Plain(tensor) => Ok(tensor),
            Numbers::Panels(_) => bail!("`{}` is laid out for inference and cannot be changed", self.name()),
        }
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
    /// The bytes are no safetensors.
    #[error("`{file}` is no whole safetensors file: {reason}; save or fetch it again")]
    Format {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Numbers of a type that no weights here have.
    #[error("tensor `{name}` holds {found}; expected F16, BF16, F32 or F64: quantised weights are not read")]
    Type {
        /// The tensor.
        name: String,
        /// Its type in the file.
        found: String,
    },
    /// Two files hold the same tensor.
    #[error("`{file}` holds `{name}`, as does a file before it; expected each tensor once")]
    Twice {
        /// The later file.
        file: String,
        /// The tensor.
        name: String,
    },
    /// A weight that is no number: whatever it touches would be none either.
    #[error(
        "tensor `{name}` holds {found} at place {place}; expected finite numbers: did the run that wrote it diverge?"
    )]
    NotFinite {
        /// The tensor.
        name: String,
        /// What it holds.
        found: f32,
        /// Where, from 0, row by row.
        place: usize,
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
    /// A number that the type of the folder does not have.
    #[error("`{name}` holds numbers beyond what {dtype} can hold; take f32 or bf16")]
    Range {
        /// The tensor.
        name: String,
        /// The type.
        dtype: &'static str,
    },
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] TensorFault),
}

/// Draws the parameters of a new model, each tensor from a stream named after it.
///
/// Matrices are normal with deviation sqrt(2 / (5 `hidden_size`)) (Nguyen and Salazar 2019, arXiv 1910.05895, section
/// 2.3), those that write to the residual stream divided by sqrt(2 `n_layers`) (GPT-2); norms are 1.
pub(crate) fn draw(config: &DecoderConfig, seed: u64) -> Result<Vec<Parameter>, TensorFault> {
    plan(config).0.into_iter().map(|plan| draw_one(config, plan, seed)).collect()
}

fn draw_one(config: &DecoderConfig, plan: Plan, seed: u64) -> Result<Parameter, TensorFault> {
    let inner = (0.4 / config.shape.hidden_size as f64).sqrt();
    let residual = inner / (2.0 * config.shape.n_layers as f64).sqrt();
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
    Ok(Parameter { parts: plan.parts, numbers: Numbers::Plain(tensor) })
}

/// Fits parameters to a config that has another head: those of the same name stay, the others are drawn.
pub(crate) fn refit(
    config: &DecoderConfig,
    parameters: Vec<Parameter>,
    seed: u64,
) -> Result<Vec<Parameter>, TensorFault> {
    let mut kept: BTreeMap<String, Parameter> = parameters.into_iter().map(|p| (p.name().to_owned(), p)).collect();
    let fit = |plan: Plan| {
        let name = plan.parts.first().map_or("", |(name, _)| name);
        kept.remove(name).map_or_else(|| draw_one(config, plan, seed), Ok)
    };
    plan(config).0.into_iter().map(fit).collect()
}

/// Reads the parameters from one file or from the shards that the index names.
pub(crate) fn read(
    config: &DecoderConfig,
    files: &ModelFiles,
    purpose: Purpose,
) -> Result<Vec<Parameter>, WeightsError> {
    let mut tensors = BTreeMap::new();
    for file in weight_files(files)? {
        let bytes = files.0.get(&file).ok_or_else(|| WeightsError::Shard(file.clone()))?;
        for (name, tensor) in tensors_of(&file, bytes)? {
            if tensors.insert(name.clone(), tensor).is_some() {
                return Err(WeightsError::Twice { file, name });
            }
        }
    }
    assemble(config, tensors, purpose)
}

/// Puts tensors where the decoder has them.
pub(crate) fn assemble(
    config: &DecoderConfig,
    mut tensors: BTreeMap<String, Tensor>,
    purpose: Purpose,
) -> Result<Vec<Parameter>, WeightsError> {
    let mut parameters = vec![];
    for plan in plan(config).0 {
        let mut parts = vec![];
        for (name, rows) in &plan.parts {
            parts.push(take(&mut tensors, name, plan.shape(*rows))?);
        }
        let tensor = Tensor::cat(&parts, 0).and_then(|t| t.contiguous()).map_err(TensorFault)?;
        let is_matrix = plan.is_matrix();
        let parameter = Parameter { parts: plan.parts, numbers: Numbers::Plain(tensor) };
        parameters.push(stored(parameter, is_matrix, purpose)?);
    }
    let harmless =
        |name: &str| name.ends_with("rotary_emb.inv_freq") || (config.shape.tie_embeddings && name == "lm_head.weight");
    match tensors.into_keys().find(|name| !harmless(name)) {
        Some(name) => Err(WeightsError::Unexpected(name)),
        None => Ok(parameters),
    }
}

/// Fits parameters of a config, in its order, to what they are to be used for.
pub(crate) fn fitted(
    config: &DecoderConfig,
    parameters: Vec<Parameter>,
    purpose: Purpose,
) -> Result<Vec<Parameter>, WeightsError> {
    let plans = plan(config).0.into_iter().map(|plan| plan.is_matrix());
    parameters.into_iter().zip(plans).map(|(parameter, is_matrix)| stored(parameter, is_matrix, purpose)).collect()
}

/// Keeps a parameter as its purpose has it: matrices in panels, gains and biases plain, both rounded where that is asked.
fn stored(parameter: Parameter, is_matrix: bool, purpose: Purpose) -> Result<Parameter, WeightsError> {
    let Purpose::Inference(dtype) = purpose else { return Ok(parameter) };
    let tensor = parameter.tensor().map_err(TensorFault)?;
    let (tensor, dtype) = match dtype {
        None if is_matrix => (tensor.clone(), narrowest(&tensor).map_err(TensorFault)?),
        None => (tensor, Dtype::F32),
        Some(dtype) => (rounded(&parameter, (&tensor, dtype))?, dtype),
    };
    let numbers = match is_matrix {
        true => Panels::new(&tensor, dtype).map(|panels| Numbers::Panels(Arc::new(panels))),
        false => tensor.to_dtype(DType::F32).map(Numbers::Plain),
    };
    Ok(Parameter { parts: parameter.parts, numbers: numbers.map_err(TensorFault)? })
}

fn narrowest(tensor: &Tensor) -> candle_core::Result<Dtype> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("weights are read on the CPU") };
    Ok(Dtype::narrowest(floats(storage, layout)?))
}

fn rounded(parameter: &Parameter, (tensor, dtype): (&Tensor, Dtype)) -> Result<Tensor, WeightsError> {
    let rounded = dtype.round(tensor).map_err(TensorFault)?;
    rounded.ok_or_else(|| WeightsError::Range { name: parameter.name().to_owned(), dtype: dtype.name() })
}

/// Reads all tensors of a file in the types that they have there.
fn tensors_of(file: &str, bytes: &[u8]) -> Result<Vec<(String, Tensor)>, WeightsError> {
    let broken = |error| WeightsError::Format { file: file.to_owned(), reason: in_words(&error) };
    let read = |(name, view): (&str, TensorView<'_>)| {
        let dtype = match view.dtype() {
            Stored::F16 => DType::F16,
            Stored::BF16 => DType::BF16,
            Stored::F32 => DType::F32,
            Stored::F64 => DType::F64,
            other => return Err(WeightsError::Type { name: name.to_owned(), found: format!("{other:?}") }),
        };
        let tensor = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu);
        Ok((name.to_owned(), tensor.map_err(TensorFault)?))
    };
    SafeTensors::deserialize(bytes).map_err(broken)?.iter().map(read).collect()
}

fn in_words(error: &SafeTensorError) -> String {
    match error {
        SafeTensorError::HeaderTooSmall => "it has fewer than eight bytes".to_owned(),
        SafeTensorError::HeaderTooLarge => "its first eight bytes announce a header of more than 100 MB".to_owned(),
        SafeTensorError::InvalidHeaderLength => "its header goes beyond its end".to_owned(),
        SafeTensorError::InvalidOffset(name) => {
            format!("the bytes of `{name}` begin before those of the tensor before it end, or leave a gap")
        }
        SafeTensorError::TensorInvalidInfo => {
            "a tensor has not as many bytes as its shape and type call for".to_owned()
        }
        SafeTensorError::MetadataIncompleteBuffer => "its tensors end elsewhere than the file".to_owned(),
        SafeTensorError::ValidationOverflow => "a tensor has more numbers than can be counted".to_owned(),
        SafeTensorError::InvalidHeader(_) | SafeTensorError::InvalidHeaderDeserialization(_) => {
            format!("its header is not what it should be: {error}")
        }
        other => other.to_string(),
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
    let tensor = tensor.to_dtype(DType::F32).map_err(TensorFault)?;
    match first_not_finite(&tensor).map_err(TensorFault)? {
        Some((place, found)) => Err(WeightsError::NotFinite { name: name.to_owned(), found, place }),
        None => Ok(tensor),
    }
}

fn first_not_finite(tensor: &Tensor) -> candle_core::Result<Option<(usize, f32)>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("weights are read on the CPU") };
    let numbers = floats(storage, layout)?;
    Ok(numbers.iter().copied().enumerate().find(|(_, x)| !x.is_finite()))
}

/// Writes all parameters as one safetensors file, as `transformers` reads it.
pub(crate) fn write(parameters: &[Parameter], dtype: Dtype) -> Result<Vec<u8>, WeightsError> {
    let mut tensors = vec![];
    for parameter in parameters {
        let mut first = 0;
        let whole = parameter.tensor().map_err(TensorFault)?;
        for (name, rows) in &parameter.parts {
            let tensor = whole.narrow(0, first, *rows).map_err(TensorFault)?;
            let rounded = dtype.round(&tensor).map_err(TensorFault)?;
            let rounded = rounded.ok_or_else(|| WeightsError::Range { name: name.clone(), dtype: dtype.name() })?;
            tensors.push((name.as_str(), rounded));
            first += rows;
        }
    }
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(tensors, Some(format)).map_err(candle_core::Error::wrap);
    Ok(bytes.map_err(TensorFault)?)
}
