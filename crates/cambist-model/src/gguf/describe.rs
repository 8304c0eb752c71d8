//! The metadata of a GGUF file as a `config.json`.

use serde_json::{Value as Json, json};

use super::{
    GgufError,
    header::{Header, Value},
    shown,
};
use crate::model_files::JsonObject;

/// An architecture of llama.cpp, and what `transformers` has for it.
pub(super) struct Architecture {
    /// Its name under `general.architecture`.
    pub(super) name: &'static str,
    model_type: &'static str,
    class: &'static str,
    /// Whether the rows of queries and keys were put in another order, two neighbours for the two halves of a head.
    pub(super) is_permuted: bool,
    /// Whether gains are kept as they act, and by `transformers` as their distance from 1.
    pub(super) gains_from_one: bool,
    /// The number of layers at which attention is scaled by the width for each head instead of a head's own (the 27B
    /// models of Gemma, which no key tells apart); none where there is no such model.
    wide_scale_at: Option<u64>,
}

const LLAMA: Architecture = Architecture {
    name: "llama",
    model_type: "llama",
    class: "LlamaForCausalLM",
    is_permuted: true,
    gains_from_one: false,
    wide_scale_at: None,
};

static ARCHITECTURES: [Architecture; 5] = [
    LLAMA,
    Architecture { name: "qwen2", model_type: "qwen2", class: "Qwen2ForCausalLM", is_permuted: false, ..LLAMA },
    Architecture { name: "qwen3", model_type: "qwen3", class: "Qwen3ForCausalLM", is_permuted: false, ..LLAMA },
    Architecture {
        name: "gemma2",
        model_type: "gemma2",
        class: "Gemma2ForCausalLM",
        is_permuted: false,
        gains_from_one: true,
        wide_scale_at: Some(46),
    },
    Architecture {
        name: "gemma3",
        model_type: "gemma3_text",
        class: "Gemma3ForCausalLM",
        is_permuted: false,
        gains_from_one: true,
        wide_scale_at: Some(62),
    },
];

/// Keys behind the architecture's name, and what `config.json` calls them.
const NAMES: [(&str, &str); 12] = [
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.sliding_window", "sliding_window"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("block_count", "num_hidden_layers"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("final_logit_softcapping", "final_logit_softcapping"),
    ("rope.freq_base", "rope_theta"),
    ("rope.freq_base_swa", "rope_local_base_freq"),
];

/// Keys that are read in other ways, or change no number.
const OTHERS: [&str; 11] = [
    "attention.key_length",
    "attention.scale",
    "attention.sliding_window_pattern",
    "attention.value_length",
    "rope.dimension_count",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "vocab_size",
];

/// Names all architectures that are read.
pub(super) fn supported() -> String {
    ARCHITECTURES.iter().map(|one| format!("`{}`", one.name)).collect::<Vec<_>>().join(", ")
}

impl Architecture {
    pub(super) fn of(header: &Header<'_>) -> Result<&'static Self, GgufError> {
        let found = header.metadata.get("general.architecture").and_then(Value::text).unwrap_or("absent");
        let known = ARCHITECTURES.iter().find(|one| one.name == found);
        known.ok_or_else(|| GgufError::Architecture { found: found.to_owned() })
    }
}

/// Returns the model as `config.json` would describe it.
pub(super) fn config(header: &Header<'_>) -> Result<JsonObject, GgufError> {
    let keys = Keys { header, architecture: Architecture::of(header)? };
    keys.refuse_unknown()?;
    let mut config = JsonObject::new();
    config.insert("model_type".to_owned(), keys.architecture.model_type.into());
    config.insert("architectures".to_owned(), json!([keys.architecture.class]));
    for (key, name) in NAMES {
        if let Some(value) = keys.get(key) {
            config.insert(name.to_owned(), keys.plain(key, value)?);
        }
    }
    NEEDED.into_iter().try_for_each(|key| keys.size(key).map(drop))?;
    config.entry("num_key_value_heads").or_insert(json!(keys.size("attention.head_count")?));
    let head_dim = keys.head_dim()?;
    config.insert("head_dim".to_owned(), head_dim.into());
    let table = header.tensors.get("token_embd.weight").and_then(|stored| stored.shape.first());
    let rows = table.ok_or_else(|| GgufError::Missing("token_embd.weight".to_owned()))?;
    config.insert("vocab_size".to_owned(), json!(rows));
    config.insert("tie_word_embeddings".to_owned(), (!header.tensors.contains_key("output.weight")).into());
    for (tensor, key) in [("blk.0.attn_output.bias", "attention_bias"), ("blk.0.ffn_gate.bias", "mlp_bias")] {
        if header.tensors.contains_key(tensor) {
            config.insert(key.to_owned(), true.into());
        }
    }
    if keys.architecture.wide_scale_at.is_some() {
        config.insert("query_pre_attn_scalar".to_owned(), json!(keys.attention_scalar(head_dim)?));
    }
    config.extend(keys.windows()?);
    config.extend(keys.rotation(head_dim)?.map(|scaling| ("rope_scaling".to_owned(), scaling)));
    for (key, name) in [("bos", "bos_token_id"), ("eos", "eos_token_id"), ("padding", "pad_token_id")] {
        let id = header.metadata.get(&format!("tokenizer.ggml.{key}_token_id")).and_then(Value::whole);
        config.extend(id.map(|id| (name.to_owned(), id.into())));
    }
    Ok(config)
}

/// No model has more; one that says so is refused with the rest of its config.
const MOST_LAYERS: u64 = 1 << 16;

/// Keys without which there is no model.
const NEEDED: [&str; 5] =
    ["attention.head_count", "block_count", "context_length", "embedding_length", "feed_forward_length"];

struct Keys<'a> {
    header: &'a Header<'a>,
    architecture: &'static Architecture,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture.name)
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.header.metadata.get(&self.name(key))
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.get(key).and_then(Value::number)
    }

    fn size(&self, key: &str) -> Result<u64, GgufError> {
        self.get(key).and_then(Value::whole).ok_or_else(|| GgufError::Missing(self.name(key)))
    }

    fn unsupported(&self, key: &str, value: &Value, expected: &str) -> GgufError {
        GgufError::Unsupported { key: self.name(key), value: shown(value), expected: expected.to_owned() }
    }

    /// One number; models that differ from layer to layer have lists.
    fn plain(&self, key: &str, value: &Value) -> Result<Json, GgufError> {
        match value {
            Value::Whole(_) if value.whole().is_some() => Ok(json!(value.whole())),
            Value::Float(number) => Ok(json!(number)),
            other => Err(self.unsupported(key, other, "one number")),
        }
    }

    fn refuse_unknown(&self) -> Result<(), GgufError> {
        let start = self.name("");
        let is_known = |key: &str| OTHERS.contains(&key) || NAMES.iter().any(|(name, _)| *name == key);
        let mut own = self.header.metadata.iter().filter_map(|(key, value)| Some((key.strip_prefix(&start)?, value)));
        match own.find(|(key, value)| !is_known(key) && !value.is_nothing()) {
            Some((key, value)) => Err(self.unsupported(key, value, "no such key, or 0")),
            None => Ok(()),
        }
    }

    /// A head's width, all of which is turned.
    fn head_dim(&self) -> Result<u64, GgufError> {
        let heads = self.size("attention.head_count")?.max(1);
        let head_dim = match self.get("attention.key_length") {
            Some(_) => self.size("attention.key_length")?,
            None => self.size("embedding_length")? / heads,
        };
        for key in ["attention.value_length", "rope.dimension_count"] {
            if let Some(value) = self.get(key).filter(|value| value.whole() != Some(head_dim)) {
                return Err(self.unsupported(key, value, &format!("{head_dim}, the width of a head")));
            }
        }
        Ok(head_dim)
    }

    /// What attention is divided by the root of.
    fn attention_scalar(&self, head_dim: u64) -> Result<f64, GgufError> {
        if let Some(scale) = self.number("attention.scale").filter(|scale| *scale > 0.0) {
            return Ok(scale.powi(-2));
        }
        let is_wide = self.architecture.wide_scale_at == Some(self.size("block_count")?);
        let per_head = self.size("embedding_length")? / self.size("attention.head_count")?.max(1);
        Ok(if is_wide { per_head } else { head_dim } as f64)
    }

    /// Which layers have a window, where the file says more than the family.
    fn windows(&self) -> Result<JsonObject, GgufError> {
        const KEY: &str = "attention.sliding_window_pattern";
        let has_window: Vec<bool> = match self.get(KEY) {
            None => return Ok(JsonObject::new()),
            Some(Value::Whole(every)) if *every > 0 => {
                let n_layers = self.size("block_count")?.min(MOST_LAYERS);
                (1..=i128::from(n_layers)).map(|layer| layer % every != 0).collect()
            }
            Some(Value::List(items)) => items.iter().map(|item| !item.is_nothing()).collect(),
            Some(other) => return Err(self.unsupported(KEY, other, "a number of layers, or a list")),
        };
        let word = |has_window: bool| if has_window { "sliding_attention" } else { "full_attention" };
        let types: Vec<&str> = has_window.into_iter().map(word).collect();
        Ok(JsonObject::from_iter([("layer_types".to_owned(), json!(types))]))
    }

    /// How angles are stretched: by keys, or by a tensor of divisors as files of Llama 3.1 and later have it.
    fn rotation(&self, head_dim: u64) -> Result<Option<Json>, GgufError> {
        let divisors = self.header.tensors.get("rope_freqs.weight");
        let kind = self.get("rope.scaling.type").and_then(Value::text).unwrap_or("none");
        let factor = || json!(self.number("rope.scaling.factor").unwrap_or(1.0));
        match (kind, divisors) {
            ("none" | "", None) => Ok(None),
            ("none" | "", Some(stored)) => {
                let theta = self.number("rope.freq_base").unwrap_or(10_000.0);
                super::tensors::llama3(stored, (head_dim, theta)).map(Some)
            }
            ("linear", None) => Ok(Some(json!({"rope_type": "linear", "factor": factor()}))),
            ("yarn", None) => Ok(Some(json!({
                "rope_type": "yarn",
                "factor": factor(),
                "original_max_position_embeddings": self.size("rope.scaling.original_context_length")?,
            }))),
            _ => Err(GgufError::Unsupported {
                key: self.name("rope.scaling.type"),
                value: kind.to_owned(),
                expected: "`none`, `linear` or `yarn`, and no divisors beside".to_owned(),
            }),
        }
    }
}
