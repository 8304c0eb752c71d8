//! Models for inference, with weights of 32 and of 16 bits, against `transformers` and against themselves: the numbers of
//! `golden/half.py`.
#![cfg(test)]

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::PathBuf, sync::Arc};

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{
    AnswerRequest, ChoiceQuestion, Dtype, Generation, LocalModel, LoraConfig, ModelFiles, Sampling, Sft, TrainConfig,
    TrainRow, choices, log_probs, sequence_log_probs, train,
};
use serde::Deserialize;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn files(name: &str) -> ModelFiles {
    let entries = fs::read_dir(golden().join(name)).unwrap().map(Result::unwrap);
    let file = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    ModelFiles(entries.map(file).filter(|(name, _)| !name.starts_with("expected")).collect())
}

#[derive(Deserialize)]
struct Expected {
    tokens: Vec<u32>,
    /// Behind the last token.
    logits: Vec<f32>,
    log_probs: Vec<f64>,
    prompt: Vec<u32>,
    greedy: Vec<u32>,
}

fn drawn(model: &LocalModel, prompt: &[u32]) -> Vec<u32> {
    let sampling = Arc::new(Sampling { max_new_tokens: 16, ..Sampling::default() });
    let mut generation = Generation::new(model, 1);
    let request = AnswerRequest::new(0, prompt.into(), (sampling, String::new()));
    generation.ask(AnswerRequest { n_top: Some(0), ..request }).unwrap();
    let mut tokens = vec![];
    while !generation.is_idle() {
        tokens.extend(generation.step().unwrap().into_iter().filter_map(|drawn| drawn.token).map(|token| token.token));
    }
    tokens
}

/// Tolerance 1e-4 of the largest logit, and 1e-4 nats: both sides round the same weights, and compute in f32.
#[test]
fn weights_of_sixteen_bits_give_the_numbers_of_transformers() {
    let expected: BTreeMap<String, BTreeMap<String, Expected>> =
        serde_json::from_slice(&fs::read(golden().join("half.json")).unwrap()).unwrap();
    assert_eq!(expected.len(), 5);
    for (name, expected) in &expected {
        let whole = files(&format!("families/{name}"));
        for (dtype, expected) in [(Dtype::Bf16, &expected["bf16"]), (Dtype::F16, &expected["f16"])] {
            // Rounded as it is read, and a folder that holds such numbers.
            let folder = LocalModel::from_files(&whole).unwrap().to_files_in(dtype).unwrap();
            let models = [LocalModel::for_inference(&whole, Some(dtype)), LocalModel::for_inference(&folder, None)];
            for model in models.map(Result::unwrap) {
                let logits = model.logits(&expected.tokens).unwrap();
                let last = &logits[logits.len() - expected.logits.len()..];
                let largest = expected.logits.iter().fold(0f32, |top, x| top.max(x.abs()));
                for (ours, theirs) in last.iter().zip(&expected.logits) {
                    assert!((ours - theirs).abs() < 1e-4 * largest, "{name} {dtype:?}: {ours} {theirs}");
                }
                let scored = &sequence_log_probs(&model, &[&expected.tokens], 0).unwrap()[0];
                for (ours, theirs) in scored.iter().zip(&expected.log_probs) {
                    assert!((ours.log_prob - theirs).abs() < 1e-4, "{name} {dtype:?}: {ours:?} {theirs}");
                }
                assert_eq!(drawn(&model, &expected.prompt), expected.greedy, "{name} {dtype:?}");
            }
        }
    }
}

fn words(from: u32, n: u32) -> String {
    (0..n).map(|i| format!("w{}", 3 + (from + i * 7) % 45)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_narrower_type_that_holds_all_weights_changes_no_bit() {
    for name in ["llama", "qwen3", "gemma3", "cohere"] {
        for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
            let folder = LocalModel::from_files(&files(&format!("families/{name}"))).unwrap();
            let folder = folder.to_files_in(dtype).unwrap();
            let [narrow, wide] = [None, Some(Dtype::F32)].map(|d| LocalModel::for_inference(&folder, d).unwrap());
            let plain = LocalModel::from_files(&folder).unwrap();
            let tokens: Vec<u32> = (3..30).collect();
            assert_eq!(narrow.logits(&tokens).unwrap(), wide.logits(&tokens).unwrap(), "{name} {dtype:?}");
            assert_eq!(drawn(&narrow, &tokens), drawn(&wide, &tokens));
            // What generation computes with weights that are not laid out is the same, too.
            assert_eq!(drawn(&narrow, &tokens), drawn(&plain, &tokens));
            assert!(narrow.has_weights_of(&plain).unwrap() && narrow.n_parameters() == plain.n_parameters());
            assert_eq!(narrow.to_files_in(dtype).unwrap(), folder, "{name} {dtype:?}");
        }
    }
}

#[test]
fn sums_over_answers_and_choices_equal_those_of_plain_weights() {
    for name in ["llama", "gemma2", "cohere2"] {
        let plain = LocalModel::from_files(&files(&format!("families/{name}"))).unwrap();
        let laid_out = LocalModel::for_inference(&files(&format!("families/{name}")), None).unwrap();
        let talk = |i| vec![Message::user(words(i, 9)), Message::assistant(words(i * 3, 4 + i))];
        let talks: Vec<_> = (1..5).map(talk).collect();
        let sums = |model| log_probs(model, &talks).unwrap().into_iter().map(|answer| answer.unwrap().sum);
        for (a, b) in sums(&plain).zip(sums(&laid_out)) {
            assert!((a - b).abs() < 1e-4, "{name}: {a} {b}");
        }
        let continuations = (0..4).map(|i| format!(" {}", words(i, 3))).collect();
        let question = [ChoiceQuestion { context: words(2, 20), continuations }];
        let choices =
            |model| choices(model, &question).unwrap().remove(0).into_iter().map(|choice| choice.unwrap().sum);
        for (a, b) in choices(&plain).zip(choices(&laid_out)) {
            assert!((a - b).abs() < 1e-4, "{name}: {a} {b}");
        }
    }
}

fn trained(mut model: LocalModel) -> ModelFiles {
    let row = |i: u32| {
        let turns = vec![Message::user(words(i, 5)), Message::assistant(words(i * 2, 3))];
        TrainRow::chat(format!("{i}"), Language::parse("en").unwrap(), turns)
    };
    let rows: Vec<_> = (0..6).map(row).collect();
    let config = TrainConfig { steps: Some(4), batch_size: 3, ..TrainConfig::default() };
    train(&mut model, (&rows, &Sft), &config, &mut |_| ControlFlow::Continue(())).unwrap();
    model.to_files().unwrap()
}

#[test]
fn training_takes_laid_out_weights_back_and_adapters_lie_on_them() {
    let read = || LocalModel::from_files(&files("families/llama")).unwrap();
    let laid_out = || LocalModel::for_inference(&files("families/llama"), None).unwrap();
    assert_eq!(trained(laid_out()), trained(read()));
    let with_adapter = |mut model: LocalModel| {
        model.add_adapter(&LoraConfig { r: 2, ..LoraConfig::default() }, 3).unwrap();
        model
    };
    assert_eq!(trained(with_adapter(laid_out())), trained(with_adapter(read())));
    let tokens: Vec<u32> = (3..20).collect();
    let adapter = with_adapter(read()).adapter_files("base").unwrap();
    let mut model = laid_out();
    model.read_adapter(&adapter).unwrap();
    assert_eq!(drawn(&model, &tokens), drawn(&laid_out(), &tokens), "a fresh adapter changes nothing");
}

#[test]
fn numbers_beyond_a_type_are_refused_by_tensor() {
    let mut files = files("families/llama");
    let bytes = files.0.get_mut("model.safetensors").unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&65_520f32.to_le_bytes());
    let error = LocalModel::for_inference(&files, Some(Dtype::F16)).unwrap_err().to_string();
    assert!(error.contains("holds numbers beyond what float16 can hold; take f32 or bf16"), "{error}");
    LocalModel::for_inference(&files, Some(Dtype::Bf16)).unwrap();
}
