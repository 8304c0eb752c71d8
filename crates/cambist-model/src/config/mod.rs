//! `config.json`, as `transformers` 4 and 5 write it.

mod keys;
mod rope;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    family::{Family, HeadNorms, NormKind, Rotation, Windows, supported},
    head::Head,
    model_files::{CONFIG, FileError, JsonObject},
    ops::{attention::Heads, gated::Activation, logits::Logits, norm::Norm},
    rope::{RopeConfig, RopeScaling},
    shape::Shape,
};

/// What a `config.json` and its family say of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DecoderConfig {
    pub(crate) family: &'static Family,
    pub(crate) shape: Shape,
    pub(crate) head_dim: usize,
    pub(crate) vocab_size: usize,
    pub(crate) head: Head,
    /// The token that a reward head does not read at the end of a sequence.
    pub(crate) pad_token: Option<u32>,
    pub(crate) biases: Biases,
    /// Whether queries and keys are normalised head by head with gains for each head.
    pub(crate) normalises_heads: bool,
    pub(crate) activation: Activation,
    /// What embeddings are multiplied by.
    pub(crate) embedding_scale: f32,
    /// What scores of attention are multiplied by, and then bounded to.
    pub(crate) attention_scale: f32,
    pub(crate) attention_cap: Option<f32>,
    pub(crate) logits: Logits,
    pub(crate) layers: Vec<LayerConfig>,
    /// The rotations that layers name by their place here.
    pub(crate) ropes: Vec<RopeConfig>,
}

/// Which projections have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Biases {
    pub(crate) qkv: bool,
    pub(crate) output: bool,
    pub(crate) mlp: bool,
}

/// More layers than any model has.
const MOST_LAYERS: usize = 4096;

/// More rows, columns, heads or positions than any model has.
const GREATEST_SIZE: usize = 1 << 27;

/// What layers of one model differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerConfig {
    /// How many tokens a token sees, itself included.
    pub(crate) window: Option<usize>,
    /// The place of its rotation in [`DecoderConfig::ropes`].
    pub(crate) rope: Option<usize>,
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
    #[error("`config.json` has `model_type` `{found}`; supported: {}", supported())]
    Architecture {
        /// What stands there.
        found: String,
    },
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
    /// A key that may change the numbers for all that is known of it.
    #[error(
        "`config.json` has `{key}` = `{value}`, which `{model_type}` models are not known to have; if it changes no number, remove the key"
    )]
    Unknown {
        /// The key.
        key: String,
        /// What it holds.
        value: String,
        /// The family.
        model_type: &'static str,
    },
    /// Another way to stretch positions.
    #[error(
        "`config.json` has rope settings `{0}`; supported `rope_type`s with their keys: `default`, `linear`, `dynamic`, `llama3`, `yarn`, `longrope`"
    )]
    Rope(String),
    /// A list of divisors of another length than there are angles.
    #[error("`config.json` has {short} `short_factor`s and {long} `long_factor`s; expected {expected} of either")]
    Divisors {
        /// Divisors of short sequences.
        short: usize,
        /// Divisors of long sequences.
        long: usize,
        /// Angles of a head.
        expected: usize,
    },
    /// A list of layers of another length.
    #[error("`config.json` has {found} `layer_types`; expected `num_hidden_layers` = {expected}")]
    LayerTypes {
        /// Entries of the list.
        found: usize,
        /// Layers.
        expected: usize,
    },
    /// A size of nothing.
    #[error("`{name}` is 0; give at least 1")]
    Zero {
        /// The size.
        name: &'static str,
    },
    /// A size that no model has.
    #[error("`{name}` is {found}; expected at most {limit}: is the file damaged?")]
    TooLarge {
        /// The size.
        name: &'static str,
        /// What it is.
        found: usize,
        /// What is read.
        limit: usize,
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
    original_max_position_embeddings: Option<f64>,
    rms_norm_eps: Option<f64>,
    layer_norm_eps: Option<f64>,
    #[serde(default)]
    tie_word_embeddings: bool,
    rope_theta: Option<f64>,
    rope_local_base_freq: Option<f64>,
    rope_scaling: Option<JsonObject>,
    rope_parameters: Option<JsonObject>,
    partial_rotary_factor: Option<f64>,
    hidden_act: Option<String>,
    hidden_activation: Option<String>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    use_qk_norm: Option<bool>,
    layer_types: Option<Vec<String>>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
    sliding_window_pattern: Option<usize>,
    #[serde(rename = "_sliding_window_pattern")]
    kept_sliding_window_pattern: Option<usize>,
    query_pre_attn_scalar: Option<f64>,
    attn_logit_softcapping: Option<f64>,
    final_logit_softcapping: Option<f64>,
    logit_scale: Option<f64>,
    num_labels: Option<usize>,
    id2label: Option<JsonObject>,
    pad_token_id: Option<u32>,
}

impl DecoderConfig {
    /// Returns the config of a new model of the Llama family.
    pub(crate) fn new(shape: &Shape, vocab_size: usize) -> Result<Self, ConfigError> {
        shape.check()?;
        let head_dim = shape.hidden_size / shape.n_heads;
        if !head_dim.is_multiple_of(2) || head_dim * shape.n_heads != shape.hidden_size {
            return Err(ConfigError::HeadDim(head_dim));
        }
        let Some(family) = Family::of("llama") else { return Err(architecture("llama")) };
        let rope = RopeConfig {
            theta: shape.rope_theta,
            width: head_dim,
            interleaved: false,
            max_positions: shape.max_positions,
            scaling: RopeScaling::Default,
        };
        Ok(Self {
            family,
            shape: shape.clone(),
            head_dim,
            vocab_size,
            head: Head::Language,
            pad_token: None,
            biases: Biases::default(),
            normalises_heads: false,
            activation: Activation::Silu,
            embedding_scale: 1.0,
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
            attention_cap: None,
            logits: Logits { scale: 1.0, cap: None },
            layers: vec![LayerConfig { window: None, rope: Some(0) }; shape.n_layers],
            ropes: vec![rope],
        })
    }

    /// Reads the object of a `config.json`.
    pub(crate) fn read(json: &JsonObject) -> Result<Self, ConfigError> {
        if json.is_empty() {
            return Err(FileError::Missing(CONFIG).into());
        }
        let model_type = json.get("model_type").and_then(Value::as_str).unwrap_or("absent");
        let family = Family::of(model_type).ok_or_else(|| architecture(model_type))?;
        refuse(json, "quantization_config", |value| value.is_null(), "null")?;
        keys::check(json, family)?;
        let is_classifier = is_classifier(json)?;
        let mut whole = family.defaults().map_err(ConfigError::Key)?;
        whole.extend(json.clone());
        let read = HuggingFace::deserialize(Value::Object(whole)).map_err(ConfigError::Key)?;
        let head = if is_classifier { read.reward_head()? } else { Head::Language };
        read.decoder(family, head)
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

    /// The normalisation of all rows and heads.
    pub(crate) fn norm(&self) -> Norm {
        let (offset, centred) = match self.family.norm {
            NormKind::Rms => (0.0, false),
            NormKind::RmsFromOne => (1.0, false),
            NormKind::Layer => (0.0, true),
        };
        Norm { epsilon: self.shape.rms_eps as f32, offset, centred }
    }
}

fn architecture(found: &str) -> ConfigError {
    ConfigError::Architecture { found: found.to_owned() }
}

/// Refuses a key whose value is there and another than expected.
fn refuse(
    json: &JsonObject,
    key: &'static str,
    fits: impl Fn(&Value) -> bool,
    expected: &'static str,
) -> Result<(), ConfigError> {
    match json.get(key).filter(|value| !fits(value)) {
        Some(value) => Err(ConfigError::Unsupported { key, value: value.to_string(), expected }),
        None => Ok(()),
    }
}

/// Whether the model gives labels instead of tokens.
fn is_classifier(json: &JsonObject) -> Result<bool, ConfigError> {
    let name = json.get("architectures").and_then(|names| names.get(0)).and_then(Value::as_str);
    match name {
        None => Ok(false),
        Some(name) if name.ends_with("ForCausalLM") => Ok(false),
        Some(name) if name.ends_with("ForSequenceClassification") => Ok(true),
        Some(name) => {
            let (key, expected) = ("architectures", "...ForCausalLM` or `...ForSequenceClassification");
            Err(ConfigError::Unsupported { key, value: name.to_owned(), expected })
        }
    }
}

impl HuggingFace {
    fn decoder(&self, family: &'static Family, head: Head) -> Result<DecoderConfig, ConfigError> {
        let shape = self.shape()?;
        let head_dim = self.head_dim.unwrap_or(shape.hidden_size / shape.n_heads);
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(ConfigError::HeadDim(head_dim));
        }
        check_size("head_dim", head_dim)?;
        check_size("vocab_size", self.vocab_size)?;
        let (layers, ropes) = self.layers(family, head_dim)?;
        let normalised_to = self.query_pre_attn_scalar.unwrap_or(head_dim as f64);
        let attention_bias = self.attention_bias.unwrap_or(false);
        let embedding_scale = if family.scales_embedding { (shape.hidden_size as f64).sqrt() } else { 1.0 };
        let cap = |cap: Option<f64>| cap.map(|cap| cap as f32);
        Ok(DecoderConfig {
            family,
            head_dim,
            vocab_size: self.vocab_size,
            head,
            pad_token: self.pad_token_id,
            biases: Biases {
                qkv: family.qkv_bias || attention_bias,
                output: attention_bias,
                mlp: self.mlp_bias.unwrap_or(false),
            },
            normalises_heads: family.head_norm == HeadNorms::Own && self.use_qk_norm.unwrap_or(false),
            activation: self.activation()?,
            embedding_scale: embedding_scale as f32,
            attention_scale: normalised_to.sqrt().recip() as f32,
            attention_cap: cap(self.attn_logit_softcapping),
            logits: Logits { scale: self.logit_scale.unwrap_or(1.0) as f32, cap: cap(self.final_logit_softcapping) },
            layers,
            ropes,
            shape,
        })
    }

    fn shape(&self) -> Result<Shape, ConfigError> {
        let shape = Shape {
            hidden_size: self.hidden_size,
            n_layers: self.num_hidden_layers,
            n_heads: self.num_attention_heads,
            n_kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            intermediate_size: self.intermediate_size,
            max_positions: self.max_position_embeddings,
            tie_embeddings: self.tie_word_embeddings,
            rope_theta: self.rope_theta.unwrap_or(Shape::default().rope_theta),
            rms_eps: self.layer_norm_eps.or(self.rms_norm_eps).unwrap_or(Shape::default().rms_eps),
        };
        shape.check()?;
        let sizes = [
            ("hidden_size", shape.hidden_size),
            ("num_hidden_layers", shape.n_layers),
            ("num_attention_heads", shape.n_heads),
            ("num_key_value_heads", shape.n_kv_heads),
            ("intermediate_size", shape.intermediate_size),
            ("max_position_embeddings", shape.max_positions),
        ];
        sizes.into_iter().try_for_each(|(name, size)| check_size(name, size))?;
        Ok(shape)
    }

    fn activation(&self) -> Result<Activation, ConfigError> {
        match self.hidden_activation.as_deref().or(self.hidden_act.as_deref()) {
            None | Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu_pytorch_tanh" | "gelu_new") => Ok(Activation::GeluTanh),
            Some(other) => Err(ConfigError::Unsupported {
                key: "hidden_act",
                value: other.to_owned(),
                expected: "silu` or `gelu_pytorch_tanh",
            }),
        }
    }

    fn layers(&self, family: &Family, head_dim: usize) -> Result<(Vec<LayerConfig>, Vec<RopeConfig>), ConfigError> {
        let (full, sliding) = rope::read(self, family, head_dim)?;
        let has_window = self.has_window(family)?;
        let layer = |has_window: bool| LayerConfig {
            window: self.sliding_window.filter(|_| has_window),
            rope: match family.rotation {
                Rotation::Same => Some(0),
                Rotation::ByWindow => Some(usize::from(has_window)),
                Rotation::WindowOnly => has_window.then_some(0),
            },
        };
        Ok((has_window.into_iter().map(layer).collect(), [Some(full), sliding].into_iter().flatten().collect()))
    }

    /// Whether each layer has a window.
    fn has_window(&self, family: &Family) -> Result<Vec<bool>, ConfigError> {
        let n_layers = self.num_hidden_layers;
        if self.sliding_window == Some(0) {
            return Err(ConfigError::Zero { name: "sliding_window" });
        }
        let late = family.windows == Windows::Late;
        if self.sliding_window.is_none() || (late && !self.use_sliding_window.unwrap_or(false)) {
            return Ok(vec![false; n_layers]);
        }
        if let Some(types) = &self.layer_types {
            if types.len() != n_layers {
                return Err(ConfigError::LayerTypes { found: types.len(), expected: n_layers });
            }
            return types.iter().map(|name| has_window(name)).collect();
        }
        let pattern = self.sliding_window_pattern.or(self.kept_sliding_window_pattern);
        let by_place = |layer: usize| match family.windows {
            Windows::Never => false,
            Windows::All => true,
            Windows::Late => layer >= self.max_window_layers.unwrap_or(0),
            Windows::AllBut(n) => !(layer + 1).is_multiple_of(pattern.unwrap_or(n)),
        };
        Ok((0..n_layers).map(by_place).collect())
    }

    /// A classifier of one label gives rewards; `transformers` takes two labels where the file does not say.
    fn reward_head(&self) -> Result<Head, ConfigError> {
        match self.num_labels.or(self.id2label.as_ref().map(JsonObject::len)).unwrap_or(2) {
            1 => Ok(Head::Reward),
            n => Err(ConfigError::Unsupported { key: "num_labels", value: n.to_string(), expected: "1" }),
        }
    }
}

/// Sizes are multiplied with one another and layers are listed: what no model has is no size.
fn check_size(name: &'static str, found: usize) -> Result<(), ConfigError> {
    let limit = if name == "num_hidden_layers" { MOST_LAYERS } else { GREATEST_SIZE };
    if found > limit { Err(ConfigError::TooLarge { name, found, limit }) } else { Ok(()) }
}

fn has_window(layer_type: &str) -> Result<bool, ConfigError> {
    match layer_type {
        "full_attention" => Ok(false),
        "sliding_attention" => Ok(true),
        other => Err(ConfigError::Unsupported {
            key: "layer_types",
            value: other.to_owned(),
            expected: "full_attention` or `sliding_attention",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new model's file after changes; null takes a key away.
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
        assert_eq!(with(four).unwrap().ropes, five.ropes);
        assert_eq!((five.ropes[0].theta, &five.ropes[0].scaling), (5e5, &RopeScaling::Linear { factor: 2.0 }));
    }

    #[test]
    fn both_generations_of_angles_for_each_type_of_layer_are_read() {
        let gemma = |rope: Value| {
            let mut changes = json!({"model_type": "gemma3_text", "num_hidden_layers": 6, "mlp_bias": null,
                "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 8, "rope_parameters": null,
                "rope_theta": null});
            changes.as_object_mut().unwrap().extend(rope.as_object().unwrap().clone());
            with(changes).unwrap()
        };
        let linear = json!({"rope_type": "linear", "factor": 8.0});
        let four = gemma(json!({"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": linear}));
        let five = gemma(json!({"rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        }}));
        assert_eq!(four.ropes, five.ropes);
        assert_eq!(four.ropes.iter().map(|rope| rope.theta).collect::<Vec<_>>(), [1e6, 1e4]);
        let expected = |layer| match layer {
            5 => LayerConfig { window: None, rope: Some(0) },
            _ => LayerConfig { window: Some(8), rope: Some(1) },
        };
        assert_eq!(four.layers, (0..6).map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn windows_follow_the_list_of_layers_or_else_the_family() {
        let windows = |changes: Value| {
            let layers = with(changes).unwrap().layers;
            layers.iter().map(|layer| layer.window).collect::<Vec<_>>()
        };
        let qwen = |use_window: bool, types: Value| {
            json!({"model_type": "qwen2", "attention_bias": null, "mlp_bias": null, "num_hidden_layers": 3,
                "sliding_window": 5, "max_window_layers": 2, "use_sliding_window": use_window, "layer_types": types})
        };
        assert_eq!(windows(qwen(true, Value::Null)), [None, None, Some(5)]);
        assert_eq!(windows(qwen(false, Value::Null)), [None; 3]);
        let types = json!(["sliding_attention", "full_attention", "full_attention"]);
        assert_eq!(windows(qwen(true, types)), [Some(5), None, None]);
        assert!(matches!(
            with(qwen(true, json!(["full_attention"]))),
            Err(ConfigError::LayerTypes { found: 1, expected: 3 })
        ));
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        let message = |changes| with(changes).unwrap_err().to_string();
        assert!(message(json!({"model_type": "mamba"})).contains("`mamba`; supported: `llama`, `mistral`, `qwen2`"));
        assert!(message(json!({"hidden_act": "relu2"})).contains("expected `silu` or `gelu_pytorch_tanh`"));
        assert!(message(json!({"sliding_window": 5})).contains("`sliding_window` = `5`, which `llama` models"));
        assert!(message(json!({"num_experts": 8})).contains("`num_experts` = `8`"));
        assert!(message(json!({"quantization_config": {"bits": 4}})).contains("expected `null`"));
        assert!(message(json!({"architectures": ["LlamaForTokenClassification"]})).contains("`architectures`"));
        let rope = |rope: Value| message(json!({"rope_parameters": rope}));
        assert!(rope(json!({"rope_type": "proportional", "factor": 4.0})).contains("`yarn`, `longrope`"));
        assert!(rope(json!({"rope_type": "default", "partial_rotary_factor": 0.5})).contains("expected `1`"));
        let short = json!({"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0, 2.0]});
        assert!(rope(short).contains("1 `short_factor`s and 2 `long_factor`s; expected 8"));
        assert!(message(json!({"num_key_value_heads": 3})).contains("4 query heads"));
        assert!(message(json!({"vocab_size": null})).contains("vocab_size"));
    }

    #[test]
    fn keys_that_hold_nothing_or_change_nothing_are_no_fault() {
        let harmless = json!({"num_experts": 0, "use_mrope": false, "_name_or_path": "x", "unsloth_version": "2026.1",
            "transformers.js_config": {"a": 1}, "temperature": 0.7, "attention_dropout": 0.1});
        assert_eq!(with(harmless).unwrap(), with(json!({})).unwrap());
    }
}
