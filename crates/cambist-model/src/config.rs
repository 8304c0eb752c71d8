//! `config.json`, as `transformers` 4 and 5 write it.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    model_files::{CONFIG, FileError, JsonObject},
    ops::attention::Heads,
    rope::RopeScaling,
    shape::Shape,
};

/// What a `config.json` says of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DecoderConfig {
    pub(crate) shape: Shape,
    pub(crate) head_dim: usize,
    pub(crate) vocab_size: usize,
    pub(crate) rope_scaling: RopeScaling,
}

/// A `config.json` or a shape describes something that is not built here; nothing is computed rather than wrongly.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or is no JSON.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key is missing or holds another type.
    #[error("`config.json`: {0}")]
    Key(serde_json::Error),
    /// Another architecture.
    #[error("`config.json` has `model_type` `{0}`; supported: `llama`")]
    Architecture(String),
    /// A variation of the architecture.
    #[error("`config.json` has `{key}` = `{value}`, which is not implemented; expected `{expected}`")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// What it holds.
        value: String,
        /// What is implemented.
        expected: &'static str,
    },
    /// Another way to stretch positions.
    #[error("`config.json` has rope settings `{0}`; supported `rope_type`s: `default`, `linear`, `llama3`")]
    Rope(String),
    /// A size of nothing.
    #[error("`{name}` is 0; give at least 1")]
    Zero {
        /// The size.
        name: &'static str,
    },
    /// Query heads cannot be shared out.
    #[error("{n_heads} query heads cannot share {n_kv_heads} key heads; give a number that divides {n_heads}")]
    Heads {
        /// Query heads.
        n_heads: usize,
        /// Key heads.
        n_kv_heads: usize,
    },
    /// Heads of an odd width cannot be rotated.
    #[error("heads are {0} wide; give a `hidden_size` that is `n_heads` times an even number")]
    HeadDim(usize),
}

/// The keys that are read, by their names there.
#[derive(Deserialize)]
struct HuggingFace {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    #[serde(default)]
    tie_word_embeddings: bool,
    rope_theta: Option<f64>,
    rope_scaling: Option<JsonObject>,
    rope_parameters: Option<JsonObject>,
}

/// Keys whose other values would change the numbers.
const FIXED: [(&str, &str); 5] = [
    ("hidden_act", "\"silu\""),
    ("attention_bias", "false"),
    ("mlp_bias", "false"),
    ("quantization_config", "null"),
    ("sliding_window", "null"),
];

impl DecoderConfig {
    /// Returns the config of a new model.
    pub(crate) fn new(shape: &Shape, vocab_size: usize) -> Result<Self, ConfigError> {
        shape.check()?;
        let head_dim = shape.hidden_size / shape.n_heads;
        if !head_dim.is_multiple_of(2) || head_dim * shape.n_heads != shape.hidden_size {
            return Err(ConfigError::HeadDim(head_dim));
        }
        Ok(Self { shape: shape.clone(), head_dim, vocab_size, rope_scaling: RopeScaling::Default })
    }

    /// Reads the object of a `config.json`.
    pub(crate) fn read(json: &JsonObject) -> Result<Self, ConfigError> {
        if json.is_empty() {
            return Err(FileError::Missing(CONFIG).into());
        }
        let model_type = json.get("model_type").and_then(Value::as_str).unwrap_or("absent");
        if model_type != "llama" {
            return Err(ConfigError::Architecture(model_type.to_owned()));
        }
        for (key, expected) in FIXED {
            if let Some(value) = json.get(key).map(Value::to_string).filter(|value| value != expected) {
                return Err(ConfigError::Unsupported { key, value, expected });
            }
        }
        let read = HuggingFace::deserialize(Value::Object(json.clone())).map_err(ConfigError::Key)?;
        let (rope_theta, rope_scaling) = rope(&read)?;
        let shape = Shape {
            hidden_size: read.hidden_size,
            n_layers: read.num_hidden_layers,
            n_heads: read.num_attention_heads,
            n_kv_heads: read.num_key_value_heads.unwrap_or(read.num_attention_heads),
            intermediate_size: read.intermediate_size,
            max_positions: read.max_position_embeddings,
            tie_embeddings: read.tie_word_embeddings,
            rope_theta,
            rms_eps: read.rms_norm_eps,
        };
        shape.check()?;
        let head_dim = read.head_dim.unwrap_or(shape.hidden_size / shape.n_heads);
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(ConfigError::HeadDim(head_dim));
        }
        Ok(Self { shape, head_dim, vocab_size: read.vocab_size, rope_scaling })
    }

    /// Returns the object of a `config.json` that `transformers` 4 and 5 read alike.
    pub(crate) fn to_json(&self) -> JsonObject {
        let shape = &self.shape;
        let json = json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "dtype": "float32",
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": shape.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": shape.intermediate_size,
            "max_position_embeddings": shape.max_positions,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": shape.n_heads,
            "num_hidden_layers": shape.n_layers,
            "num_key_value_heads": shape.n_kv_heads,
            "rms_norm_eps": shape.rms_eps,
            "rope_parameters": {"rope_theta": shape.rope_theta, "rope_type": "default"},
            "rope_theta": shape.rope_theta,
            "tie_word_embeddings": shape.tie_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
            "vocab_size": self.vocab_size,
        });
        if let Value::Object(object) = json { object } else { JsonObject::new() }
    }

    pub(crate) fn heads(&self) -> Heads {
        Heads { n_heads: self.shape.n_heads, n_kv_heads: self.shape.n_kv_heads, head_dim: self.head_dim }
    }
}

/// `rope_parameters` of `transformers` 5, or `rope_theta` and `rope_scaling` of 4; both name the type `rope_type` or,
/// in old files, `type`.
fn rope(read: &HuggingFace) -> Result<(f64, RopeScaling), ConfigError> {
    let mut settings = read.rope_parameters.clone().or_else(|| read.rope_scaling.clone()).unwrap_or_default();
    let theta = settings.remove("rope_theta").and_then(|v| v.as_f64()).or(read.rope_theta).unwrap_or(10_000.0);
    if let Some(old) = settings.remove("type") {
        settings.entry("rope_type").or_insert(old);
    }
    settings.entry("rope_type").or_insert_with(|| "default".into());
    let shown = Value::Object(settings.clone()).to_string();
    let scaling = RopeScaling::deserialize(Value::Object(settings)).map_err(|_| ConfigError::Rope(shown))?;
    Ok((theta, scaling))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changes: Value) -> Result<DecoderConfig, ConfigError> {
        let mut json = DecoderConfig::new(&Shape::default(), 300).unwrap().to_json();
        for (key, value) in changes.as_object().unwrap() {
            json.insert(key.clone(), value.clone());
        }
        json.retain(|_, value| !value.is_null());
        DecoderConfig::read(&json)
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(with(json!({})).unwrap(), DecoderConfig::new(&Shape::default(), 300).unwrap());
    }

    #[test]
    fn both_generations_of_rope_settings_are_read() {
        let five = with(json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0}})).unwrap();
        let four =
            json!({"rope_parameters": null, "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}});
        assert_eq!(with(four).unwrap(), five);
        assert_eq!((five.shape.rope_theta, five.rope_scaling), (5e5, RopeScaling::Linear { factor: 2.0 }));
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        let message = |changes| with(changes).unwrap_err().to_string();
        assert!(message(json!({"model_type": "gemma2"})).contains("`gemma2`; supported: `llama`"));
        assert!(message(json!({"attention_bias": true})).contains("`attention_bias` = `true`"));
        assert!(message(json!({"hidden_act": "gelu"})).contains("expected `\"silu\"`"));
        assert!(
            message(json!({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}})).contains("`linear`, `llama3`")
        );
        assert!(message(json!({"num_key_value_heads": 3})).contains("4 query heads"));
        assert!(message(json!({"vocab_size": null})).contains("vocab_size"));
    }
}
