//! PEFT's folder of an adapter: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use super::{Adapter, AdapterError, LoraConfig, projections};
use crate::{
    dtype::Dtype,
    fault::TensorFault,
    head::Head,
    model::LocalModel,
    model_files::{FileError, JsonObject, ModelFiles},
    weights::{self, Numbers, Parameter},
};

/// How the adapter was made.
const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Its numbers.
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// What PEFT puts before the names of the base.
const PREFIX: &str = "base_model.model.";

/// Keys that are read here, or that change no number.
const KNOWN: [&str; 21] = [
    "alora_invocation_tokens",
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "modules_to_save",
    "parent_library",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// What PEFT trains whole of a classifier, by the name that it has in this family or that.
const CLASSIFIERS: [&str; 2] = ["classifier", "score"];

/// The one that decoders have.
const SCORE: &str = "score";

/// Names a parameter that an adapter brings whole as PEFT does.
pub(super) fn whole_name(parameter: &Parameter) -> String {
    format!("{PREFIX}{}", parameter.name())
}

/// Names `A` or `B` of a matrix as PEFT does.
pub(super) fn tensor_name(matrix: &str, side: &str) -> String {
    format!("{PREFIX}{matrix}.lora_{side}.weight")
}

/// Reads `adapter_config.json`; the targets are those that the tensors are for.
fn read_config(json: &JsonObject, targets: Vec<String>) -> Result<LoraConfig, AdapterError> {
    if json.is_empty() {
        return Err(FileError::Missing(ADAPTER_CONFIG).into());
    }
    refuse(json)?;
    let number = |key: &str| json.get(key).and_then(Value::as_f64);
    let unsupported = |key: &str, expected| unsupported(json, key, expected);
    let rank = json.get("r").and_then(Value::as_u64).ok_or_else(|| unsupported("r", "a whole number"))?;
    let alpha = number("lora_alpha").ok_or_else(|| unsupported("lora_alpha", "a number"))?;
    let rslora = json.get("use_rslora").and_then(Value::as_bool).unwrap_or(false);
    Ok(LoraConfig { r: rank as usize, alpha, rslora, targets })
}

/// Refuses every setting under which the numbers would be other ones.
fn refuse(json: &JsonObject) -> Result<(), AdapterError> {
    let text = |key: &str| json.get(key).and_then(Value::as_str);
    if text("peft_type") != Some("LORA") {
        return Err(unsupported(json, "peft_type", "`\"LORA\"`"));
    }
    if text("bias").is_some_and(|bias| bias != "none") {
        return Err(unsupported(json, "bias", "`\"none\"`"));
    }
    // Only these strings leave the base as it was; others, such as `pissa`, take a part out of it.
    if text("init_lora_weights").is_some_and(|init| !["gaussian", "eva", "orthogonal"].contains(&init)) {
        return Err(unsupported(json, "init_lora_weights", "a start that leaves the base as it is"));
    }
    let is_neutral = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        _ => false,
    };
    let unknown =
        |(key, value): &(&String, &Value)| !(KNOWN.contains(&key.as_str()) || *key == "bias" || is_neutral(value));
    brings_head(json)?;
    match json.iter().find(unknown) {
        Some((key, _)) => Err(unsupported(json, key, "it to be absent, null or false")),
        None if json.get("alora_invocation_tokens").is_some_and(|tokens| !is_neutral(tokens)) => {
            Err(unsupported(json, "alora_invocation_tokens", "null"))
        }
        None => Ok(()),
    }
}

/// Whether the adapter brings a reward head: `modules_to_save` names it, and nothing else.
fn brings_head(json: &JsonObject) -> Result<bool, AdapterError> {
    let names: Option<Vec<&str>> = match json.get("modules_to_save") {
        None | Some(Value::Null) => return Ok(false),
        Some(Value::Array(names)) => names.iter().map(Value::as_str).collect(),
        Some(_) => None,
    };
    match names {
        Some(names) if names.is_empty() => Ok(false),
        Some(names) if names.contains(&SCORE) && names.iter().all(|name| CLASSIFIERS.contains(name)) => Ok(true),
        _ => Err(unsupported(json, "modules_to_save", "null, or `score` alone: a reward head")),
    }
}

fn unsupported(json: &JsonObject, key: &str, expected: &'static str) -> AdapterError {
    let value = json.get(key).map_or_else(|| "absent".to_owned(), Value::to_string);
    AdapterError::Unsupported { key: key.to_owned(), value, expected }
}

impl LocalModel {
    /// Puts an adapter of a PEFT folder on the model that it was made for; f16 and bf16 become f32. One that brings a reward
    /// head (`task_type: SEQ_CLS`) turns a language model into a reward model.
    ///
    /// # Errors
    /// When the model has an adapter, a file is missing or broken, the adapter was made for another base, or it is of a
    /// kind that is not implemented (DoRA, biases, other whole modules): nothing is computed rather than wrongly.
    pub fn read_adapter(&mut self, files: &ModelFiles) -> Result<(), AdapterError> {
        if self.decoder.adapter.is_some() {
            return Err(AdapterError::Present);
        }
        let json = files.json(ADAPTER_CONFIG)?;
        let bytes = files.required(ADAPTER_WEIGHTS);
        refuse(&json)?;
        let load = candle_core::safetensors::load_buffer(bytes?, &Device::Cpu);
        let mut tensors: BTreeMap<String, Tensor> =
            load.map_err(|error| AdapterError::Format(TensorFault(error)))?.into_iter().collect();
        let config = read_config(&json, self.targets_of(&tensors)?)?;
        let is_headed = brings_head(&json)?;
        let headed = match self.head() {
            Head::Language if is_headed => Some(self.headed(0).map_err(|error| AdapterError::Model(Box::new(error)))?),
            _ => None,
        };
        let decoder = headed.as_ref().map_or(&self.decoder, |(decoder, _)| decoder);
        let head = decoder.reward_head().filter(|_| is_headed);
        let take = |name: &str, shape: [usize; 2]| take(&mut tensors, name, shape);
        let adapter = Adapter::build((&decoder.parameters, head, false), config, take)?;
        if let Some(name) = tensors.into_keys().next() {
            return Err(AdapterError::Unexpected(name));
        }
        if let Some((mut decoder, files)) = headed {
            // The base has no head of its own: where the adapter begins it has that of the adapter.
            if let Some((head, (_, own))) = head.and_then(|head| Some((head, adapter.whole(head)?))) {
                decoder.parameters[head].numbers = Numbers::Plain(own.plain()?.copy()?);
            }
            (self.decoder, self.files) = (decoder, files);
        }
        self.decoder.adapter = Some(adapter);
        Ok(())
    }

    /// Returns the matrices that tensors of an adapter are for.
    fn targets_of(&self, tensors: &BTreeMap<String, Tensor>) -> Result<Vec<String>, AdapterError> {
        let known = self.decoder.parameters.iter().flat_map(projections);
        let used = known.filter(|(_, name, _)| tensors.contains_key(&tensor_name(name, "A")));
        let mut targets: Vec<String> = used.map(|(_, _, target)| target.to_owned()).collect();
        targets.sort();
        targets.dedup();
        match tensors.keys().next() {
            Some(first) if targets.is_empty() => Err(AdapterError::Unexpected(first.clone())),
            None => Err(AdapterError::Format(TensorFault(candle_core::Error::Msg("it holds no tensor".into())))),
            Some(_) => Ok(targets),
        }
    }

    /// Returns the adapter as PEFT's folder; `base` is written down as the model that it belongs to.
    ///
    /// # Errors
    /// When the model has no adapter.
    pub fn adapter_files(&self, base: &str) -> Result<ModelFiles, AdapterError> {
        let Some(adapter) = &self.decoder.adapter else { return Err(AdapterError::None) };
        let config = self.lora().unwrap_or_default();
        let has_head = self.decoder.reward_head().is_some_and(|head| adapter.whole(head).is_some());
        let task = match self.head() {
            Head::Language => Some("CAUSAL_LM"),
            Head::Reward => has_head.then_some("SEQ_CLS"),
        };
        let json = json!({
            "base_model_name_or_path": base,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": config.alpha,
            "lora_dropout": 0.0,
            "modules_to_save": has_head.then_some([SCORE]),
            "peft_type": "LORA",
            "r": config.r,
            "target_modules": config.targets,
            "task_type": task,
            "use_dora": false,
            "use_rslora": config.rslora,
        });
        let mut files = ModelFiles::default();
        files.0.insert(ADAPTER_CONFIG.to_owned(), format!("{json:#}\n").into_bytes());
        files.0.insert(
            ADAPTER_WEIGHTS.to_owned(),
            weights::write(&adapter.parameters, Dtype::F32).map_err(|error| AdapterError::Weights(Box::new(error)))?,
        );
        Ok(files)
    }
}

fn take(tensors: &mut BTreeMap<String, Tensor>, name: &str, shape: [usize; 2]) -> Result<Tensor, AdapterError> {
    let Some(tensor) = tensors.remove(name) else {
        return Err(AdapterError::Absent { name: name.to_owned(), expected: shape.to_vec() });
    };
    if tensor.dims() != shape {
        let found = tensor.dims().to_vec();
        return Err(AdapterError::Shape { name: name.to_owned(), found, expected: shape.to_vec() });
    }
    let tensor = tensor.to_dtype(DType::F32).map_err(|error| AdapterError::Format(TensorFault(error)))?;
    // A sum is finite only where every number is.
    match tensor.sum_all()?.to_scalar::<f32>()?.is_finite() {
        true => Ok(tensor),
        false => Err(AdapterError::NotFinite(name.to_owned())),
    }
}
