//! Tokens and templates: what the header of a GGUF file knows, for folders that do not say it.

use serde_json::{Value as Json, json};

use super::{
    GgufError,
    header::{Header, Value},
    vocabulary,
};
use crate::{
    model::pretty,
    model_files::{CHAT_TEMPLATE, GENERATION_CONFIG, JsonObject, ModelFiles, TOKENIZER, TOKENIZER_CONFIG},
    tokenizer::Tokenizer,
};

/// The type of a token that stands for its own text.
const NORMAL: u64 = 1;

fn get<'a>(header: &'a Header<'_>, key: &str) -> Option<&'a Value> {
    header.metadata.get(&format!("tokenizer.{key}"))
}

fn tokens<'a>(header: &'a Header<'_>) -> &'a [Value] {
    get(header, "ggml.tokens").and_then(Value::list).unwrap_or_default()
}

/// Adds `tokenizer_config.json` and `generation_config.json`, or a template alone, where they are not there.
pub(super) fn complete(header: &Header<'_>, files: &mut ModelFiles) -> Result<(), GgufError> {
    if !files.0.contains_key(TOKENIZER) {
        files.0.insert(TOKENIZER.to_owned(), pretty(&vocabulary::tokenizer(header)?));
    }
    let id = |name: &str| get(header, &format!("ggml.{name}_token_id")).and_then(Value::whole);
    let ends: Vec<u64> = ["eos", "eot", "eom"].into_iter().filter_map(id).collect();
    if !ends.is_empty() && !files.0.contains_key(GENERATION_CONFIG) {
        files.0.insert(GENERATION_CONFIG.to_owned(), pretty(&json!({ "eos_token_id": ends })));
    }
    let mut config = match files.0.get(TOKENIZER_CONFIG).map(|bytes| serde_json::from_slice::<JsonObject>(bytes)) {
        None => named(header),
        Some(Ok(config)) => config,
        // Whoever reads the file says what is wrong with it.
        Some(Err(_)) => return Ok(()),
    };
    let template = get(header, "chat_template").and_then(Value::text);
    let has_template = config.contains_key("chat_template") || files.0.contains_key(CHAT_TEMPLATE);
    if let Some(template) = template.filter(|_| !has_template) {
        config.insert("chat_template".to_owned(), template.into());
    }
    files.0.insert(TOKENIZER_CONFIG.to_owned(), pretty(&config.into()));
    Ok(())
}

/// The special tokens by their names.
fn named(header: &Header<'_>) -> JsonObject {
    let mut config = JsonObject::from_iter([("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into())]);
    for (key, name) in [("bos", "bos_token"), ("eos", "eos_token"), ("padding", "pad_token")] {
        let id = get(header, &format!("ggml.{key}_token_id")).and_then(Value::whole);
        let token = id.and_then(|id| tokens(header).get(usize::try_from(id).ok()?)?.text());
        config.extend(token.map(|token| (name.to_owned(), token.into())));
    }
    config.insert("add_bos_token".to_owned(), Json::Bool(puts_beginning(header)));
    config
}

/// Whether the beginning is put before texts: as the file says, else as llama.cpp takes it for the tokenizer.
fn puts_beginning(header: &Header<'_>) -> bool {
    let word = |key: &str| get(header, key).and_then(Value::text).unwrap_or_default();
    match get(header, "ggml.add_bos_token") {
        Some(Value::Bool(is_put)) => *is_put,
        _ => word("ggml.model") != "gpt2" || word("ggml.pre").starts_with("llama"),
    }
}

/// Compares the tokens that stand for their own texts; control tokens and places that were kept free may have other names.
pub(super) fn check(header: &Header<'_>, tokenizer: &Tokenizer) -> Result<(), GgufError> {
    let types = get(header, "ggml.token_type").and_then(Value::list).unwrap_or_default();
    let is_normal = |id: usize| types.get(id).is_none_or(|kind| kind.whole() == Some(NORMAL));
    for (id, token) in tokens(header).iter().enumerate().filter(|(id, _)| is_normal(*id)) {
        let expected = token.text().unwrap_or_default();
        let found = u32::try_from(id).ok().and_then(|id| tokenizer.token_name(id)).unwrap_or_default();
        if found != expected {
            return Err(GgufError::Tokens { id, expected: expected.to_owned(), found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn config(keys: &[(&str, Value)]) -> JsonObject {
        let metadata = keys.iter().map(|(key, value)| (format!("tokenizer.{key}"), value.clone())).collect();
        let mut files = ModelFiles(BTreeMap::from([(TOKENIZER.to_owned(), vec![])]));
        complete(&Header { metadata, tensors: BTreeMap::new() }, &mut files).unwrap();
        files.json(TOKENIZER_CONFIG).unwrap()
    }

    #[test]
    fn special_tokens_are_named_and_the_beginning_is_put_as_llama_cpp_puts_it() {
        let text = |text: &str| Value::Text(text.to_owned());
        let tokens = Value::List(["<s>", "</s>", "a"].map(text).to_vec());
        let with = |more: &[(&'static str, Value)]| {
            let own = [("ggml.tokens", tokens.clone()), ("ggml.bos_token_id", Value::Whole(0))];
            config(&[own.as_slice(), more].concat())
        };
        let byte_level = with(&[("ggml.model", text("gpt2")), ("ggml.eos_token_id", Value::Whole(1))]);
        assert_eq!((&byte_level["bos_token"], &byte_level["eos_token"]), (&json!("<s>"), &json!("</s>")));
        assert_eq!(byte_level["add_bos_token"], false);
        let llama = [("ggml.model", text("gpt2")), ("ggml.pre", text("llama-bpe"))];
        assert_eq!(with(&llama)["add_bos_token"], true);
        assert_eq!(
            with(&[llama.as_slice(), &[("ggml.add_bos_token", Value::Bool(false))]].concat())["add_bos_token"],
            false
        );
        assert_eq!(with(&[("ggml.model", text("llama"))])["add_bos_token"], true);
        assert!(!with(&[("ggml.eos_token_id", Value::Whole(1 << 40))]).contains_key("eos_token"));
    }
}
