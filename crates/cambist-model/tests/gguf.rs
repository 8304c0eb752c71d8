//! GGUF files against `transformers` and the `gguf` package: the numbers of `golden/gguf_models.py`.
#![cfg(test)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use cambist_core::prompt::Message;
use cambist_model::{GenerateRequest, LocalModel, ModelFiles, Sampling, generate};
use serde::Deserialize;
use serde_json::{Value, json};

/// A file, its class in `transformers`, and how far logits may be from theirs as a share of the largest: weights in f32 to the
/// last place, and in Q8_0 the same after both read the same blocks.
const MODELS: [(&str, &str, f32); 6] = [
    ("llama", "LlamaForCausalLM", 1e-5),
    ("qwen2", "Qwen2ForCausalLM", 1e-5),
    ("qwen3", "Qwen3ForCausalLM", 1e-5),
    ("gemma2", "Gemma2ForCausalLM", 1e-5),
    ("gemma3", "Gemma3ForCausalLM", 1e-5),
    ("llama-q8_0", "LlamaForCausalLM", 1e-5),
];

#[derive(Deserialize)]
struct Expected {
    tokens: Vec<u32>,
    /// Of every fifth position.
    logits: Vec<Vec<f32>>,
}

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A file with the tokenizer that the families share.
fn files(name: &str) -> ModelFiles {
    let read = |path: &str| fs::read(golden().join(path)).unwrap();
    ModelFiles(BTreeMap::from([
        (format!("{name}.gguf"), read(&format!("gguf/{name}.gguf"))),
        ("tokenizer.json".to_owned(), read("families/llama/tokenizer.json")),
    ]))
}

fn gap(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0f32, |top, x| top.max(x.abs()));
    ours.iter().zip(theirs).fold(0f32, |top, (a, b)| top.max((a - b).abs())) / largest
}

#[test]
fn logits_equal_those_of_transformers() {
    let expected: BTreeMap<String, Expected> =
        serde_json::from_slice(&fs::read(golden().join("gguf/expected.json")).unwrap()).unwrap();
    for (name, class, tolerance) in MODELS {
        let (model, Expected { tokens, logits }) = (LocalModel::from_files(&files(name)).unwrap(), &expected[name]);
        let ours = model.logits(tokens).unwrap();
        let ours: Vec<f32> = ours.chunks_exact(ours.len() / tokens.len()).step_by(5).flatten().copied().collect();
        let gap = gap(&ours, &logits.concat());
        assert!(gap < tolerance, "{name}: logits are {gap} of the largest apart");
        // What was read is written as a folder of `transformers`, and read again.
        let written = model.to_files().unwrap();
        let config: Value = serde_json::from_slice(&written.0["config.json"]).unwrap();
        assert_eq!(config["architectures"], json!([class]));
        let again = LocalModel::from_files(&written).unwrap();
        assert_eq!(again.to_files().unwrap(), written, "{name}");
        assert!(model.has_weights_of(&again).unwrap(), "{name}");
    }
}

#[test]
fn a_file_with_its_tokenizer_answers_in_its_own_template() {
    let model = LocalModel::from_files(&files("llama")).unwrap();
    let messages = vec![Message::user("w5 w6"), Message::assistant("w7")];
    assert_eq!(model.render(&messages, false).unwrap(), "<s> w5 w6 w7 </s>");
    let sampling = Sampling { temperature: 0.0, max_new_tokens: 6, ..Sampling::default() };
    let request = GenerateRequest { messages: messages[..1].to_vec(), sampling_key: "a".to_owned() };
    let mut answers = vec![];
    generate(&model, &[request], (&sampling, 1), &mut |_, answer| {
        answers.push(answer.unwrap());
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert!(answers[0].tokens_out > 0 && answers[0].text.starts_with('w'), "{answers:?}");
}

#[test]
fn files_that_are_something_else_are_refused_in_words() {
    let refused = |files: &ModelFiles| LocalModel::from_files(files).unwrap_err().to_string();
    let mut without = files("llama");
    without.0.remove("tokenizer.json");
    let found = refused(&without);
    assert!(found.contains("there is no `tokenizer.json` beside the GGUF file, and its own tokenizer"), "{found}");
    let mut other = files("llama");
    let tokenizer = String::from_utf8(other.0["tokenizer.json"].clone()).unwrap();
    other.0.insert("tokenizer.json".to_owned(), tokenizer.replace("\"w7\"", "\"other\"").into_bytes());
    assert!(refused(&other).contains("token 7 is `w7` in the GGUF file and `other` in `tokenizer.json`"));
    let changed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut files = files("llama");
        let bytes = files.0.get_mut("llama.gguf").unwrap();
        let places: Vec<usize> =
            (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
        assert!(!places.is_empty(), "{from}");
        places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to.as_bytes()));
        refused(&files)
    };
    let found = changed("general.architecture", "general.architectyre");
    assert!(found.contains("`general.architecture` `absent`; read are `llama`, `qwen2`"), "{found}");
    let found = changed("llama.block_count", "llama.block_cownt");
    assert!(found.contains("`llama.block_cownt` = `2`, which is not implemented"), "{found}");
    let found = changed("blk.1.ffn_up.weight", "blk.1.ffn_op.weight");
    assert!(found.contains("holds `blk.1.ffn_op.weight`, which this architecture has no place for"), "{found}");
    let found = changed("blk.1.ffn_up.weight", "blk.9.ffn_up.weight");
    assert!(found.contains("`model.layers."), "{found}");
}

/// A byte that is changed anywhere in the header is refused or changes the model, and never ends the process.
#[test]
fn no_byte_of_a_header_ends_the_process() {
    let files = files("llama-q8_0");
    let bytes = &files.0["llama-q8_0.gguf"];
    for at in 0..1500 {
        for byte in [0, 1, 0xff] {
            let mut other = files.clone();
            let mut lying = bytes.clone();
            lying[at] = byte;
            other.0.insert("llama-q8_0.gguf".to_owned(), lying);
            let _ = LocalModel::from_files(&other).map(|model| model.n_parameters());
        }
    }
    for end in (0..bytes.len()).step_by(97) {
        let mut cut = files.clone();
        cut.0.insert("llama-q8_0.gguf".to_owned(), bytes[..end].to_vec());
        assert!(LocalModel::from_files(&cut).is_err(), "{end}");
    }
}
