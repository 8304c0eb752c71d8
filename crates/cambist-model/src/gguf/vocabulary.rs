//! The tokenizer in the header of a GGUF file as a `tokenizer.json`: byte-level BPE, whose merges are listed there.
//!
//! How text is cut up before merges has a name in the file and no rule; those that are known stand here.

use serde_json::{Map, Value as Json, json};

use super::{
    GgufError,
    header::{Header, Value},
};

/// A way to cut up texts, under the names that llama.cpp has for it.
struct Cut {
    names: &'static [&'static str],
    /// Pieces; none for those of GPT-2, which the byte-level step knows.
    pattern: Option<&'static str>,
    /// Whether letters and accents are put together first.
    composes: bool,
    /// Whether each digit stands alone before anything else.
    splits_digits: bool,
    /// Whether a piece that is a token needs no merges.
    takes_whole: bool,
}

static CUTS: [Cut; 4] = [
    Cut {
        names: &["llama-bpe", "llama3", "llama-v3"],
        pattern: Some(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        composes: false,
        splits_digits: false,
        takes_whole: true,
    },
    Cut {
        names: &["qwen2"],
        pattern: Some(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        composes: true,
        splits_digits: false,
        takes_whole: false,
    },
    Cut { names: &["gpt-2"], pattern: None, composes: false, splits_digits: false, takes_whole: false },
    Cut { names: &["smollm"], pattern: None, composes: false, splits_digits: true, takes_whole: false },
];

/// Names what can be rebuilt.
pub(super) fn supported() -> String {
    let names = CUTS.iter().flat_map(|cut| cut.names).map(|name| format!("`{name}`"));
    format!("`gpt2` with `tokenizer.ggml.pre` {}", names.collect::<Vec<_>>().join(", "))
}

/// The types of tokens that texts are searched for before anything else.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

/// Returns the tokenizer.
pub(super) fn tokenizer(header: &Header<'_>) -> Result<Json, GgufError> {
    let get = |key: &str| header.metadata.get(&format!("tokenizer.ggml.{key}"));
    let word = |key: &str| get(key).and_then(Value::text).unwrap_or("absent");
    let (model, pre) = (word("model"), word("pre"));
    let cut = CUTS.iter().find(|cut| model == "gpt2" && cut.names.contains(&pre));
    let unknown = || GgufError::NoTokenizer { found: format!("`{model}` with `tokenizer.ggml.pre` `{pre}`") };
    let cut = cut.ok_or_else(unknown)?;
    let list =
        |key: &str| get(key).and_then(Value::list).ok_or_else(|| GgufError::Missing(format!("tokenizer.ggml.{key}")));
    let (tokens, merges) = (list("tokens")?, list("merges")?);
    let types = get("token_type").and_then(Value::list).unwrap_or_default();
    let kind = |id: usize| types.get(id).and_then(Value::whole);
    let (mut vocabulary, mut added) = (Map::new(), vec![]);
    for (id, token) in tokens.iter().enumerate() {
        let token = token.text().unwrap_or_default();
        if let Some(own @ (CONTROL | USER_DEFINED)) = kind(id) {
            added.push(json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": own == CONTROL,
            }));
        }
        vocabulary.insert(token.to_owned(), id.into());
    }
    let merges: Vec<Json> = merges.iter().filter_map(|merge| merge.text()).map(pair).collect();
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": cut.composes.then(|| json!({"type": "NFC"})),
        "pre_tokenizer": cut.steps(),
        "post_processor": null,
        "decoder": byte_level(false),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": cut.takes_whole,
            "vocab": vocabulary, "merges": merges,
        },
    }))
}

/// Two tokens that become one; a space, which no byte-level token holds, stands between them.
fn pair(merge: &str) -> Json {
    let (left, right) = merge.split_once(' ').unwrap_or((merge, ""));
    json!([left, right])
}

fn byte_level(cuts: bool) -> Json {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": cuts})
}

impl Cut {
    fn steps(&self) -> Json {
        let digits = self.splits_digits.then(|| json!({"type": "Digits", "individual_digits": true}));
        let split = self.pattern.map(
            |pattern| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false}),
        );
        let last = byte_level(split.is_none());
        let steps: Vec<Json> = digits.into_iter().chain(split).chain([last]).collect();
        json!({"type": "Sequence", "pretokenizers": steps})
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::PathBuf};

    use super::*;
    use crate::{model::pretty, tokenizer::Tokenizer};

    fn golden(name: &str) -> Vec<u8> {
        fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gguf").join(name)).unwrap()
    }

    /// Tokenizers of `golden/gguf_models.py`: what the `tokenizers` package makes of texts, from the same vocabulary.
    #[test]
    fn texts_become_the_tokens_of_the_tokenizer_that_the_file_was_made_from() {
        let expected: BTreeMap<String, BTreeMap<String, Vec<u32>>> =
            serde_json::from_slice(&golden("words.json")).unwrap();
        assert_eq!(expected.len(), 4);
        for (pre, texts) in expected {
            let bytes = golden(&format!("words-{pre}.gguf"));
            let header = Header::read(&bytes).unwrap();
            let ours = Tokenizer::from_bytes(&pretty(&tokenizer(&header).unwrap())).unwrap();
            for (text, tokens) in texts {
                assert_eq!(ours.encode(&text).unwrap(), tokens, "{pre}: {text:?}");
                assert_eq!(ours.decode(&tokens).unwrap().is_empty(), text.is_empty(), "{pre}: {text:?}");
            }
        }
    }

    #[test]
    fn other_tokenizers_are_named() {
        let text = |text: &str| Value::Text(text.to_owned());
        let metadata = [("tokenizer.ggml.model", text("llama")), ("tokenizer.ggml.pre", text("default"))];
        let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let error = tokenizer(&Header { metadata, tensors: BTreeMap::new() }).unwrap_err().to_string();
        assert!(
            error.contains("(`llama` with `tokenizer.ggml.pre` `default`) is none that is rebuilt here"),
            "{error}"
        );
        assert!(error.contains("`llama-bpe`") && error.contains("copy `tokenizer.json`"), "{error}");
    }
}
