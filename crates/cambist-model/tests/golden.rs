//! Against `transformers` and PyTorch: the numbers of `golden/llama.py`.
//!
//! The model folders under `golden/` were written by this crate; the first test keeps that true. After a change that is
//! meant to change them: `CAMBIST_WRITE_GOLDEN=1 cargo test -p cambist-model --test golden`, then run the script.
#![cfg(test)]

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::PathBuf};

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{
    GenerateRequest, Generated, LocalModel, ModelFiles, Sampling, Sft, Shape, TrainConfig, TrainRow, generate,
    log_probs, train, train_tokenizer,
};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

const MODELS: [&str; 2] = ["tied", "untied"];

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn texts() -> BTreeMap<String, Vec<String>> {
    serde_json::from_slice(&fs::read(folder("texts.json")).unwrap()).unwrap()
}

/// The model as this crate makes it.
fn made(name: &str) -> LocalModel {
    let tokenizer = train_tokenizer(&texts().into_values().flatten().collect::<Vec<_>>(), 340).unwrap();
    let shape = Shape {
        hidden_size: 8,
        n_heads: 4,
        n_kv_heads: 2,
        intermediate_size: 12,
        max_positions: 128,
        tie_embeddings: name == "tied",
        ..Shape::default()
    };
    LocalModel::new(&shape, &tokenizer, 7).unwrap()
}

/// The model as it lies on disk.
fn stored(name: &str) -> LocalModel {
    LocalModel::from_files(&read_folder(name)).unwrap()
}

fn read_folder(name: &str) -> ModelFiles {
    let entries = fs::read_dir(folder(name)).unwrap().map(Result::unwrap);
    let file = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    ModelFiles(entries.map(file).filter(|(name, _)| !name.starts_with("expected")).collect())
}

#[derive(Deserialize)]
struct Expected {
    encoded: BTreeMap<String, Vec<Vec<u32>>>,
    decoded: BTreeMap<String, Vec<String>>,
    rows: Vec<ExpectedRow>,
    losses: Vec<f64>,
    grad_norms: Vec<f64>,
    optimizer: TrainConfig,
}

#[derive(Deserialize)]
struct ExpectedRow {
    messages: Vec<Message>,
    rendered: String,
    prompt: Vec<u32>,
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
    answer_log_prob: f64,
    greedy: Vec<u32>,
    greedy_text: String,
}

fn expected(name: &str) -> Expected {
    serde_json::from_slice(&fs::read(folder(name).join("expected.json")).unwrap()).unwrap()
}

fn gap(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0f32, |top, x| top.max(x.abs()));
    ours.iter().zip(theirs).fold(0f32, |top, (a, b)| top.max((a - b).abs())) / largest
}

#[test]
fn the_folders_are_what_this_crate_writes() {
    for name in MODELS {
        let files = made(name).to_files().unwrap();
        if std::env::var_os("CAMBIST_WRITE_GOLDEN").is_some() {
            for (file, bytes) in &files.0 {
                fs::write(folder(name).join(file), bytes).unwrap();
            }
        }
        assert_eq!(files, read_folder(name), "{name}");
    }
}

#[test]
fn twelve_scripts_are_encoded_as_tokenizers_and_transformers_do() {
    let (model, expected) = (stored("tied"), expected("tied"));
    assert!(texts().len() > 12);
    for (script, texts) in texts() {
        for (i, text) in texts.iter().enumerate() {
            let tokens = model.tokenizer().encode(text).unwrap();
            assert_eq!(tokens, expected.encoded[&script][i], "{script}: {text}");
            assert_eq!(model.tokenizer().decode(&tokens).unwrap(), expected.decoded[&script][i], "{script}: {text}");
        }
    }
}

#[test]
fn conversations_and_logits_equal_those_of_transformers() {
    for name in MODELS {
        let model = stored(name);
        for row in expected(name).rows {
            assert_eq!(model.render(&row.messages, false).unwrap(), row.rendered);
            assert_eq!(model.encode(&row.messages[..row.messages.len() - 1]).unwrap(), row.prompt);
            let logits = model.logits(&row.tokens).unwrap();
            let rows = logits.chunks_exact(model.tokenizer().vocab_size());
            let kept: Vec<f32> = rows.flat_map(|row| row.iter().copied().step_by(17)).collect();
            let gap = gap(&kept, &row.logits.concat());
            assert!(gap < 1e-5, "{name}: logits are {gap} of the largest apart");
        }
    }
}

#[test]
fn answers_have_the_log_probability_of_transformers() {
    for name in MODELS {
        let rows = expected(name).rows;
        let conversations: Vec<_> = rows.iter().map(|row| row.messages.clone()).collect();
        for (ours, row) in log_probs(&stored(name), &conversations).unwrap().into_iter().zip(&rows) {
            let ours = ours.unwrap();
            assert!((ours.sum / row.answer_log_prob - 1.0).abs() < 1e-6, "{name}: {ours:?} {}", row.answer_log_prob);
        }
    }
}

#[test]
fn greedy_answers_equal_those_of_transformers_token_for_token() {
    for name in MODELS {
        let (model, rows) = (stored(name), expected(name).rows);
        let request = |row: &ExpectedRow| GenerateRequest {
            messages: row.messages[..row.messages.len() - 1].to_vec(),
            sampling_key: String::new(),
        };
        let requests: Vec<_> = rows.iter().map(request).collect();
        let sampling = Sampling { max_new_tokens: 24, ..Sampling::default() };
        let mut n_done = 0;
        let mut compare = |i: usize, answer: Result<Generated, _>| {
            let answer: Generated = answer.unwrap();
            assert_eq!(answer.text, rows[i].greedy_text, "{name} {i}");
            assert_eq!(answer.tokens_out as usize, rows[i].greedy.len(), "{name} {i}");
            n_done += 1;
            ControlFlow::Continue(())
        };
        generate(&model, &requests, (&sampling, 3), &mut compare).unwrap();
        assert_eq!(n_done, rows.len());
    }
}

/// Trains as the script did and returns the model with its losses and gradient norms.
fn trained(name: &str, config: &TrainConfig) -> (LocalModel, Vec<(f64, f64)>) {
    let english = Language::parse("en").unwrap();
    let row = |(i, row): (usize, ExpectedRow)| TrainRow::chat(i.to_string(), english.clone(), row.messages);
    let rows: Vec<_> = expected(name).rows.into_iter().enumerate().map(row).collect();
    let (mut model, mut logs) = (stored(name), vec![]);
    let mut keep = |log: &cambist_model::StepLog| {
        logs.push((log.loss, log.grad_norm));
        ControlFlow::Continue(())
    };
    train(&mut model, (&rows, &Sft), config, &mut keep).unwrap();
    (model, logs)
}

#[test]
fn three_steps_of_adamw_equal_a_pytorch_program() {
    for name in MODELS {
        let expected = expected(name);
        let (model, logs) = trained(name, &expected.optimizer);
        for ((loss, norm), (their_loss, their_norm)) in
            logs.iter().zip(expected.losses.iter().zip(&expected.grad_norms))
        {
            assert!((loss / their_loss - 1.0).abs() < 1e-6, "{name}: loss {loss} {their_loss}");
            assert!((norm / their_norm - 1.0).abs() < 1e-5, "{name}: gradient norm {norm} {their_norm}");
        }
        compare_weights(name, &model, "expected_weights.safetensors", |ours, theirs, _| (ours.clone(), theirs.clone()));
    }
}

/// One step of plain descent reveals the gradients: with `beta1 = beta2 = 0`, a large `eps` makes AdamW linear in them.
#[test]
fn gradients_of_every_tensor_equal_those_of_pytorch() {
    const EPS: f64 = 1e4;
    for name in MODELS {
        let config = TrainConfig {
            steps: Some(1),
            batch_size: expected(name).rows.len(),
            lr: EPS,
            eps: EPS,
            betas: (0.0, 0.0),
            weight_decay: 0.0,
            max_grad_norm: None,
            warmup_steps: Some(0),
            ..TrainConfig::default()
        };
        let (model, _) = trained(name, &config);
        compare_weights(name, &model, "expected_gradients.safetensors", |ours, theirs, before| {
            (before.iter().zip(ours).map(|(b, o)| b - o).collect(), theirs.clone())
        });
    }
}

/// Compares every tensor after `view` of ours, theirs and ours before training: 1e-4 of the tensor's largest number.
fn compare_weights(
    name: &str,
    model: &LocalModel,
    file: &str,
    view: impl Fn(&Vec<f32>, &Vec<f32>, &Vec<f32>) -> (Vec<f32>, Vec<f32>),
) {
    let ours = tensors(&model.to_files().unwrap().0["model.safetensors"]);
    let before = tensors(&stored(name).to_files().unwrap().0["model.safetensors"]);
    let theirs = tensors(&fs::read(folder(name).join(file)).unwrap());
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (tensor, theirs) in &theirs {
        let (ours, theirs) = view(&ours[tensor], theirs, &before[tensor]);
        let gap = gap(&ours, &theirs);
        assert!(gap < 1e-4, "{name}, {file}: {tensor} is {gap} of its largest number apart");
    }
}

fn tensors(bytes: &[u8]) -> BTreeMap<String, Vec<f32>> {
    let read = SafeTensors::deserialize(bytes).unwrap();
    let floats = |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    read.iter().map(|(name, view)| (name.to_owned(), floats(view.data()))).collect()
}

#[test]
fn the_written_config_names_what_transformers_needs() {
    let config: Value = serde_json::from_slice(&read_folder("tied").0["config.json"]).unwrap();
    assert_eq!(config["architectures"][0], "LlamaForCausalLM");
    assert_eq!(config["rope_parameters"]["rope_theta"], config["rope_theta"]);
}
