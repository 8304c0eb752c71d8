//! Keys of `config.json` that are not read: which of them may stand there all the same.

use serde_json::Value;

use super::ConfigError;
use crate::{family::Family, model_files::JsonObject};

/// Keys that change no number of a forward pass: names, token numbers, dropout, how to start training or to generate.
const HARMLESS: [&str; 65] = [
    "add_cross_attention",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "cls_token_id",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "pruned_heads",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "tokenizer_model_max_length",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "typical_p",
    "use_bfloat16",
    "use_cache",
    "vocab_padded",
];

/// Beginnings of keys that programs sign their files with.
const SIGNATURES: [&str; 5] = ["_name_or_path", "_attn_implementation", "_commit_hash", "transformers", "unsloth"];

/// Refuses a key that is neither read nor known to change nothing, unless it holds nothing.
pub(super) fn check(json: &JsonObject, family: &Family) -> Result<(), ConfigError> {
    let harmless = |key: &str| HARMLESS.contains(&key) || SIGNATURES.iter().any(|start| key.starts_with(start));
    match json.iter().find(|(key, value)| !family.knows(key) && !harmless(key) && !is_nothing(value)) {
        None => Ok(()),
        Some((key, value)) => {
            Err(ConfigError::Unknown { key: key.clone(), value: value.to_string(), model_type: family.model_type })
        }
    }
}

/// Whether a value stands for the absence of what its key names.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(true) => false,
    }
}
