//! Tokenizers that are trained here mean the same everywhere, and those of others are read.
#![cfg(test)]

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf, process::Command};

use cambist_core::prompt::Message;
use cambist_model::{LocalModel, Shape, Tokenizer, train_tokenizer};
use serde::Deserialize;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// By script, a text to train on and one to encode.
fn scripts() -> BTreeMap<String, (String, String)> {
    serde_json::from_slice(&fs::read(golden("scripts.json")).unwrap()).unwrap()
}

fn trained() -> LocalModel {
    let texts: Vec<String> = scripts().into_values().map(|(text, _)| text).collect();
    let shape =
        Shape { hidden_size: 8, n_layers: 1, n_heads: 2, n_kv_heads: 2, intermediate_size: 8, ..Shape::default() };
    LocalModel::new(&shape, &train_tokenizer(&texts, 700).unwrap(), 1).unwrap()
}

#[derive(Deserialize)]
struct Encoded {
    ids: Vec<u32>,
    text: String,
}

/// Compares our ids and texts with those of other programs.
fn assert_alike(found: &BTreeMap<String, Encoded>) {
    let model = trained();
    for (script, (_, text)) in scripts() {
        let theirs = &found[&script];
        assert_eq!(model.tokenizer().encode(&text).unwrap(), theirs.ids, "{script}: {text}");
        assert_eq!(model.tokenizer().decode(&theirs.ids).unwrap(), theirs.text.replace("<s>", ""), "{script}");
    }
    let chat = [Message::user("Naber?"), Message::assistant("İyi.")];
    assert_eq!(model.render(&chat, false).unwrap(), found["chat"].text);
    let whole = cambist_model::ChatFormat::from_files(&model.to_files().unwrap()).unwrap().conversation(&chat).unwrap();
    assert_eq!(whole.tokens, found["chat"].ids);
}

#[test]
fn sixteen_scripts_are_encoded_as_tokenizers_and_transformers_encode_them() {
    let found = serde_json::from_slice(&fs::read(golden("tokenizer_ids.json")).unwrap()).unwrap();
    assert_alike(&found);
}

/// Runs `golden/tokenizer.py` where `CAMBIST_PYTHON` names a Python with the script's libraries, and saves what it
/// finds where `CAMBIST_SAVE` is set.
#[test]
fn python_reads_the_tokenizer_and_encodes_alike() {
    let Some(python) = std::env::var_os("CAMBIST_PYTHON") else {
        eprintln!("skipped: CAMBIST_PYTHON names no Python with transformers");
        return;
    };
    let out = std::env::temp_dir().join(format!("cambist-tokenizer-{}", std::process::id()));
    fs::create_dir_all(&out).unwrap();
    for (file, bytes) in trained().to_files().unwrap().0 {
        fs::write(out.join(file), bytes).unwrap();
    }
    let mut command = Command::new(python);
    command.arg(golden("tokenizer.py")).arg(&out);
    if std::env::var_os("CAMBIST_SAVE").is_some() {
        command.arg("--save");
    }
    let run = command.output().unwrap();
    fs::remove_dir_all(&out).unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_alike(&serde_json::from_slice(&run.stdout).unwrap());
}

fn shared(file: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tokenizers").join(file);
    let found = fs::read(&path).ok();
    if found.is_none() {
        eprintln!("skipped: {} is not there", path.display());
    }
    found
}

/// What a byte-level tokenizer reads it gives back, letter for letter, beside marks that it composes with their letters.
fn assert_round_trips(name: &str, tokenizer: &Tokenizer) {
    for (script, (_, text)) in scripts() {
        let text = text.replace("<s>", "").replace("e\u{301}", "é");
        let decoded = tokenizer.decode(&tokenizer.encode(&text).unwrap()).unwrap();
        assert_eq!(decoded, text, "{name}: {script}");
    }
}

#[test]
fn tokenizers_of_others_are_read() {
    if let Some(packed) = shared("gpt-neox-20b.tokenizer.json.zst") {
        let neox = Tokenizer::from_bytes(&zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
        assert_eq!(neox.encode("Hello world").unwrap(), [12092, 1533]);
        assert_round_trips("gpt-neox", &neox);
    }
    for file in ["torchtune-tiny/tokenizer.json", "torchtune-tiny/tiny_bpe_tokenizer.json"] {
        let Some(bytes) = shared(file) else { continue };
        let tokenizer = Tokenizer::from_bytes(&bytes).unwrap();
        let text = "I can see the sun.";
        let ids = tokenizer.encode(text).unwrap();
        assert!(!ids.is_empty() && ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()), "{file}: {ids:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap().trim(), text, "{file}");
    }
}

#[test]
fn a_file_of_another_kind_is_refused_with_the_reason() {
    for file in ["mistral-v3.sentencepiece.model", "gpt2.tiktoken"] {
        let Some(bytes) = shared(file) else { continue };
        let error = Tokenizer::from_bytes(&bytes).unwrap_err().to_string();
        assert!(error.starts_with("`tokenizer.json` cannot be read: "), "{file}: {error}");
    }
}
