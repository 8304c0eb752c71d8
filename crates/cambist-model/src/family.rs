//! Families of decoders, described by data: one entry of [`FAMILIES`] each, and nothing else anywhere.
//!
//! What a family's models differ in among themselves stands in their `config.json`; what all of them share and no file
//! says stands here. The forward pass ([`crate::decoder`]) knows no family by name.

use crate::model_files::JsonObject;

/// What all models of a family have in common.
#[derive(Debug, PartialEq)]
pub(crate) struct Family {
    /// Its name in `config.json`.
    pub(crate) model_type: &'static str,
    /// What `transformers` calls its models with a reward head, if it has any.
    pub(crate) classifier: Option<&'static str>,
    /// Keys of `config.json` that its models have beyond [`SHARED`]; those that `transformers` does not look at too.
    keys: &'static [&'static str],
    /// What `transformers` takes for keys that a file leaves out, as JSON.
    defaults: &'static str,
    pub(crate) norm: NormKind,
    pub(crate) block: Block,
    /// Whether queries, keys and values have a bias though no key says so.
    pub(crate) qkv_bias: bool,
    pub(crate) head_norm: HeadNorms,
    pub(crate) windows: Windows,
    pub(crate) rotation: Rotation,
    /// Whether neighbours in a head are turned together, instead of its two halves.
    pub(crate) interleaved: bool,
    /// Whether queries, keys and values, and gate and up, are one tensor each in the file.
    pub(crate) fused: bool,
    /// Whether embeddings are multiplied by the root of their width.
    pub(crate) scales_embedding: bool,
}

/// How rows are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NormKind {
    /// By the root mean square.
    Rms,
    /// The same, the file keeping each gain's distance from 1.
    RmsFromOne,
    /// Layer norm without a bias.
    Layer,
}

/// Where norms stand in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Before attention and before the feed-forward block.
    Before,
    /// Before and after either.
    Around,
    /// One, whose result both read side by side.
    Parallel,
}

/// Whether queries and keys are normalised head by head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadNorms {
    Never,
    /// With the same gains for all heads.
    Shared,
    /// With gains for each head, where `use_qk_norm` says so.
    Own,
}

/// Which layers see `sliding_window` tokens and no more, where no `layer_types` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Windows {
    Never,
    All,
    /// From layer `max_window_layers` on, where `use_sliding_window` says so.
    Late,
    /// All but every n-th, the number standing in `sliding_window_pattern` or else here.
    AllBut(usize),
}

/// Which layers are turned by which angles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// All by the same.
    Same,
    /// Those with a window by others than those without.
    ByWindow,
    /// Those with a window; the others know no positions.
    WindowOnly,
}

/// Keys of `config.json` that are read for every family.
pub(crate) const SHARED: [&str; 20] = [
    "architectures",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "id2label",
    "intermediate_size",
    "max_position_embeddings",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "num_labels",
    "pad_token_id",
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "tie_word_embeddings",
    "vocab_size",
];

const LLAMA: Family = Family {
    model_type: "llama",
    classifier: Some("LlamaForSequenceClassification"),
    keys: &["attention_bias", "mlp_bias"],
    defaults: r#"{"tie_word_embeddings": false, "rms_norm_eps": 1e-6}"#,
    norm: NormKind::Rms,
    block: Block::Before,
    qkv_bias: false,
    head_norm: HeadNorms::Never,
    windows: Windows::Never,
    rotation: Rotation::Same,
    interleaved: false,
    fused: false,
    scales_embedding: false,
};

const GEMMA2: Family = Family {
    model_type: "gemma2",
    classifier: Some("Gemma2ForSequenceClassification"),
    keys: &[
        "attention_bias",
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "hidden_activation",
        "layer_types",
        "query_pre_attn_scalar",
        "sliding_window",
        "sliding_window_size",
    ],
    defaults: r#"{"tie_word_embeddings": true, "rms_norm_eps": 1e-6, "head_dim": 256, "query_pre_attn_scalar": 256,
        "sliding_window": 4096, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
        "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 8192}"#,
    norm: NormKind::RmsFromOne,
    block: Block::Around,
    windows: Windows::AllBut(2),
    scales_embedding: true,
    ..LLAMA
};

const COHERE: Family = Family {
    model_type: "cohere",
    classifier: None,
    keys: &["attention_bias", "layer_norm_eps", "logit_scale", "model_max_length", "use_qk_norm"],
    defaults: r#"{"tie_word_embeddings": true, "layer_norm_eps": 1e-5, "logit_scale": 0.0625, "rope_theta": 500000.0}"#,
    norm: NormKind::Layer,
    block: Block::Parallel,
    head_norm: HeadNorms::Own,
    interleaved: true,
    ..LLAMA
};

/// All families that are read.
pub(crate) static FAMILIES: [Family; 9] = [
    LLAMA,
    Family {
        model_type: "mistral",
        classifier: Some("MistralForSequenceClassification"),
        keys: &["sliding_window"],
        defaults: r#"{"tie_word_embeddings": false, "rms_norm_eps": 1e-6, "sliding_window": 4096}"#,
        windows: Windows::All,
        ..LLAMA
    },
    Family {
        model_type: "qwen2",
        classifier: Some("Qwen2ForSequenceClassification"),
        keys: &["layer_types", "max_window_layers", "sliding_window", "use_sliding_window"],
        defaults: r#"{"tie_word_embeddings": false, "rms_norm_eps": 1e-6, "sliding_window": 4096,
            "max_window_layers": 28}"#,
        qkv_bias: true,
        windows: Windows::Late,
        ..LLAMA
    },
    Family {
        model_type: "qwen3",
        classifier: Some("Qwen3ForSequenceClassification"),
        keys: &["attention_bias", "layer_types", "max_window_layers", "sliding_window", "use_sliding_window"],
        defaults: r#"{"tie_word_embeddings": false, "rms_norm_eps": 1e-6, "sliding_window": 4096,
            "max_window_layers": 28, "head_dim": 128}"#,
        head_norm: HeadNorms::Shared,
        windows: Windows::Late,
        ..LLAMA
    },
    Family {
        model_type: "phi3",
        classifier: Some("Phi3ForSequenceClassification"),
        keys: &[
            "full_attn_mod",
            "interpolate_factor",
            "original_max_position_embeddings",
            "partial_rotary_factor",
            "sliding_window",
        ],
        defaults: r#"{"tie_word_embeddings": false, "rms_norm_eps": 1e-5, "original_max_position_embeddings": 4096}"#,
        windows: Windows::All,
        fused: true,
        ..LLAMA
    },
    GEMMA2,
    Family {
        model_type: "gemma3_text",
        classifier: Some("Gemma3TextForSequenceClassification"),
        keys: &[
            "_sliding_window_pattern",
            "attention_bias",
            "final_logit_softcapping",
            "hidden_activation",
            "layer_types",
            "query_pre_attn_scalar",
            "rope_local_base_freq",
            "sliding_window",
            "sliding_window_pattern",
        ],
        defaults: r#"{"tie_word_embeddings": true, "rms_norm_eps": 1e-6, "head_dim": 256, "query_pre_attn_scalar": 256,
            "sliding_window": 4096, "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 131072,
            "vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4, "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0}"#,
        head_norm: HeadNorms::Shared,
        windows: Windows::AllBut(6),
        rotation: Rotation::ByWindow,
        ..GEMMA2
    },
    COHERE,
    Family {
        model_type: "cohere2",
        keys: &[
            "_sliding_window_pattern",
            "attention_bias",
            "layer_norm_eps",
            "layer_switch",
            "layer_types",
            "logit_scale",
            "order_of_interleaved_layers",
            "position_embedding_type",
            "rotary_pct",
            "sliding_window",
            "sliding_window_pattern",
            "use_embedding_sharing",
            "use_gated_activation",
            "use_parallel_block",
            "use_parallel_embedding",
        ],
        defaults: r#"{"tie_word_embeddings": true, "layer_norm_eps": 1e-5, "logit_scale": 0.0625,
            "sliding_window": 4096}"#,
        head_norm: HeadNorms::Never,
        windows: Windows::AllBut(4),
        rotation: Rotation::WindowOnly,
        ..COHERE
    },
];

impl Family {
    /// Finds the family of a `model_type`.
    pub(crate) fn of(model_type: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.model_type == model_type)
    }

    /// Whether its models may have a key.
    pub(crate) fn knows(&self, key: &str) -> bool {
        SHARED.contains(&key) || self.keys.contains(&key)
    }

    /// Returns what keys hold that a file leaves out.
    pub(crate) fn defaults(&self) -> Result<JsonObject, serde_json::Error> {
        serde_json::from_str(self.defaults)
    }
}

/// Names all families that are read.
pub(crate) fn supported() -> String {
    FAMILIES.iter().map(|family| format!("`{}`", family.model_type)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_of_a_key_that_the_family_has() {
        for family in &FAMILIES {
            for key in family.defaults().unwrap().keys() {
                assert!(family.knows(key), "{}: {key}", family.model_type);
            }
        }
    }
}
