//! Every family against `transformers` and PyTorch: the models and numbers of `golden/families.py`.
#![cfg(test)]

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::PathBuf, process::Command};

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{
    Dtype, EncodeError, GenerateRequest, Generated, LocalModel, LoraConfig, ModelFiles, Objective, RowContent,
    Sampling, Sequence, TrainConfig, TrainRow, generate,
    objective::{Encoder, RowLoss, ScoredRow},
    train,
};
use safetensors::SafeTensors;
use serde::Deserialize;

const MODELS: [&str; 11] =
    ["llama", "mistral", "qwen2", "qwen3", "phi3", "phi3-long", "gemma2", "gemma3", "cohere", "cohere-norm", "cohere2"];

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families").join(name)
}

fn files(name: &str) -> ModelFiles {
    let entries = fs::read_dir(folder(name)).unwrap().map(Result::unwrap);
    let file = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    ModelFiles(entries.map(file).filter(|(name, _)| !name.starts_with("expected")).collect())
}

fn model(name: &str) -> LocalModel {
    LocalModel::from_files(&files(name)).unwrap()
}

#[derive(Deserialize)]
struct Expected {
    tokens: Vec<u32>,
    /// Of every fifth position.
    logits: Vec<Vec<f32>>,
    log_probs: Vec<f64>,
    prompt: Vec<u32>,
    greedy: Vec<u32>,
    /// The first token of the text whose prediction counts in the loss.
    answer: usize,
    loss: f64,
}

fn expected(name: &str) -> Expected {
    serde_json::from_slice(&fs::read(folder(name).join("expected.json")).unwrap()).unwrap()
}

/// Returns the largest distance as a share of the largest number.
fn gap(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0f32, |top, x| top.max(x.abs()));
    ours.iter().zip(theirs).fold(0f32, |top, (a, b)| top.max((a - b).abs())) / largest
}

/// Row by row, every fifth.
fn every_fifth(logits: &[f32], n_tokens: usize) -> Vec<f32> {
    logits.chunks_exact(logits.len() / n_tokens).step_by(5).flatten().copied().collect()
}

#[test]
fn logits_equal_those_of_transformers() {
    for name in MODELS {
        let (model, expected) = (model(name), expected(name));
        let logits = model.logits(&expected.tokens).unwrap();
        let gap = gap(&every_fifth(&logits, expected.tokens.len()), &expected.logits.concat());
        assert!(gap < 1e-5, "{name}: logits are {gap} of the largest apart");
    }
}

/// Trains on tokens as they are: a row's text is its tokens, and the answer begins where the numbers say.
struct Tokens {
    first: usize,
}

impl Objective for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn encode(&self, row: &RowContent, _encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError> {
        let RowContent::Text(text) = row else { return Err(EncodeError::EmptyMask("rows are texts here")) };
        let tokens: Vec<u32> = text.split(' ').map(|token| token.parse().unwrap()).collect();
        let weights = (0..tokens.len()).map(|i| f32::from(i >= self.first)).collect();
        let n_tokens = tokens.len();
        Ok(vec![Sequence::new(tokens, weights, n_tokens)])
    }

    fn denominators(&self, sequences: &[Sequence]) -> Vec<f64> {
        vec![sequences.iter().map(|s| s.n_loss_tokens() as f64).sum()]
    }

    fn loss(&self, row: ScoredRow<'_>) -> RowLoss {
        let gradients = row.log_probs.iter().map(|log_probs| vec![-1.0; log_probs.len()]).collect();
        RowLoss::of_one_term(row.log_probs.iter().flatten().map(|x| -f64::from(*x)).sum(), gradients)
    }
}

fn row(tokens: &[u32]) -> TrainRow {
    let text: Vec<String> = tokens.iter().map(u32::to_string).collect();
    TrainRow::text("text", Language::parse("en").unwrap(), text.join(" "))
}

#[test]
fn log_probs_equal_those_of_transformers() {
    for name in MODELS {
        let expected = expected(name);
        let (model, rows) = (model(name), [row(&expected.tokens)]);
        for first in [1, expected.answer] {
            let found = cambist_model::mean_loss(&model, &rows, &Tokens { first }).unwrap();
            let theirs = &expected.log_probs[first - 1..];
            let mean = -theirs.iter().sum::<f64>() / theirs.len() as f64;
            let ours = found.values().next().unwrap().loss;
            assert!((ours / mean - 1.0).abs() < 1e-5, "{name}: {ours} {mean}");
        }
    }
}

/// One step of plain descent reveals the gradients: with `beta1 = beta2 = 0`, a large `eps` makes AdamW linear in them.
#[test]
fn gradients_of_every_tensor_equal_those_of_pytorch() {
    const EPS: f64 = 1e6;
    let config = TrainConfig {
        steps: Some(1),
        batch_size: 1,
        lr: EPS,
        eps: EPS,
        betas: (0.0, 0.0),
        weight_decay: 0.0,
        max_grad_norm: None,
        warmup_steps: Some(0),
        ..TrainConfig::default()
    };
    for name in MODELS {
        let expected = expected(name);
        let before = tensors(&files(name).0["model.safetensors"]);
        let mut model = model(name);
        let mut loss = f64::NAN;
        let objective = Tokens { first: expected.answer };
        train(&mut model, (&[row(&expected.tokens)], &objective), &config, &mut |log: &cambist_model::StepLog| {
            loss = log.loss;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!((loss / expected.loss - 1.0).abs() < 1e-5, "{name}: {loss} {}", expected.loss);
        let after = tensors(&model.to_files().unwrap().0["model.safetensors"]);
        let theirs = tensors(&fs::read(folder(name).join("expected_gradients.safetensors")).unwrap());
        assert_eq!(after.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{name}");
        let largest = |numbers: &[f32]| numbers.iter().fold(0f32, |top, x| top.max(x.abs()));
        for (tensor, theirs) in &theirs {
            let ours: Vec<f32> = before[tensor].iter().zip(&after[tensor]).map(|(b, a)| b - a).collect();
            // The difference of two weights is no better than their last place.
            let rounding = largest(&before[tensor]) * f32::EPSILON / largest(theirs);
            let gap = gap(&ours, theirs);
            assert!(gap < 1e-4 + rounding, "{name}: gradient of {tensor} is {gap} of its largest number apart");
        }
    }
}

fn tensors(bytes: &[u8]) -> BTreeMap<String, Vec<f32>> {
    let read = SafeTensors::deserialize(bytes).unwrap();
    let floats = |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    read.iter().map(|(name, view)| (name.to_owned(), floats(view.data()))).collect()
}

/// Tokens 3 and up are words of their own, so that a text says which tokens are meant; the template puts token 1 first.
fn words(tokens: &[u32]) -> String {
    tokens.iter().map(|token| format!("w{token}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn greedy_answers_equal_those_of_transformers_token_for_token() {
    for name in MODELS {
        let (model, expected) = (model(name), expected(name));
        let messages = vec![Message::user(words(&expected.prompt[1..]))];
        assert_eq!(model.encode(&messages).unwrap(), expected.prompt, "{name}");
        // A second, shorter request beside it: no answer depends on its company.
        let beside = vec![Message::user(words(&expected.prompt[20..]))];
        let request = |messages| GenerateRequest { messages, sampling_key: String::new() };
        let sampling = Sampling { max_new_tokens: 16, ..Sampling::default() };
        let mut found = None;
        let mut keep = |i: usize, answer: Result<Generated, _>| {
            if i == 1 {
                found = Some(answer.unwrap());
            }
            ControlFlow::Continue(())
        };
        generate(&model, &[request(beside), request(messages)], (&sampling, 2), &mut keep).unwrap();
        let (found, visible) = (found.unwrap(), expected.greedy.iter().copied().filter(|token| *token > 2));
        assert_eq!(found.text, words(&visible.collect::<Vec<_>>()), "{name}");
        assert_eq!(found.tokens_out as usize, expected.greedy.len(), "{name}");
    }
}

#[test]
fn a_folder_comes_back_as_it_was() {
    for name in MODELS {
        let written = model(name).to_files().unwrap();
        let read = files(name);
        assert_eq!(tensors(&written.0["model.safetensors"]), tensors(&read.0["model.safetensors"]), "{name}");
        let config =
            |files: &ModelFiles| -> serde_json::Value { serde_json::from_slice(&files.0["config.json"]).unwrap() };
        assert_eq!(config(&written), config(&read), "{name}");
    }
}

/// Runs `golden/families.py --back` where `CAMBIST_PYTHON` names a Python with the script's libraries.
#[test]
fn transformers_loads_what_this_crate_writes_with_the_same_logits() {
    let Some(python) = std::env::var_os("CAMBIST_PYTHON") else {
        eprintln!("skipped: CAMBIST_PYTHON names no Python with transformers");
        return;
    };
    let out = std::env::temp_dir().join(format!("cambist-families-{}", std::process::id()));
    for name in MODELS {
        fs::create_dir_all(out.join(name)).unwrap();
        for (file, bytes) in model(name).to_files().unwrap().0 {
            fs::write(out.join(name).join(file), bytes).unwrap();
        }
    }
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families.py");
    let run = Command::new(python).arg(script).arg("--back").arg(&out).output().unwrap();
    fs::remove_dir_all(&out).unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(text.lines().filter(|line| line.contains("loaded, logits")).count(), MODELS.len(), "{text}");
}

#[test]
fn an_adapter_of_every_family_begins_as_nothing_is_trained_alone_and_merges() {
    for name in MODELS {
        let (plain, mut adapted, tokens) = (model(name), model(name), expected(name).tokens);
        adapted.add_adapter(&LoraConfig { r: 2, ..LoraConfig::default() }, 3).unwrap();
        let start = plain.logits(&tokens).unwrap();
        assert_eq!(adapted.logits(&tokens).unwrap(), start, "{name}");

        let config = TrainConfig { steps: Some(3), batch_size: 1, lr: 0.02, ..TrainConfig::default() };
        let mut observer = |_: &_| ControlFlow::Continue(());
        train(&mut adapted, (&[row(&tokens)], &Tokens { first: 1 }), &config, &mut observer).unwrap();
        let trained = adapted.logits(&tokens).unwrap();
        assert!(gap(&trained, &start) > 1e-3, "{name}: the adapter learned nothing");

        let mut read = model(name);
        read.read_adapter(&adapted.adapter_files(name).unwrap()).unwrap();
        assert_eq!(read.logits(&tokens).unwrap(), trained, "{name}");
        let report = adapted.merge_adapter().unwrap();
        assert_eq!(report.n_changed, report.n_adapted, "{name}");
        let gap = gap(&adapted.logits(&tokens).unwrap(), &trained);
        assert!(gap < 1e-5, "{name}: merged logits are {gap} of the largest apart");
    }
}

/// Gradient checkpointing: weights after three steps in micro-batches, of the whole model and of an adapter.
#[test]
fn layers_that_are_computed_again_give_the_same_bits() {
    let config = |gradient_checkpointing| TrainConfig {
        steps: Some(3),
        batch_size: 3,
        micro_batch_size: Some(2),
        lr: 0.02,
        gradient_checkpointing,
        ..TrainConfig::default()
    };
    for name in MODELS {
        let expected = expected(name);
        let rows: Vec<TrainRow> = [3, 2, 1].map(|part| row(&expected.tokens[..expected.tokens.len() / part])).into();
        let trained = |checkpointing, adapt: bool| {
            let mut model = model(name);
            if adapt {
                model.add_adapter(&LoraConfig { r: 2, ..LoraConfig::default() }, 3).unwrap();
            }
            let mut observer = |_: &_| ControlFlow::Continue(());
            train(&mut model, (&rows, &Tokens { first: 2 }), &config(checkpointing), &mut observer).unwrap();
            model.to_files().unwrap()
        };
        assert_ne!(trained(false, false), model(name).to_files().unwrap(), "{name}");
        for adapt in [false, true] {
            assert!(trained(false, adapt) == trained(true, adapt), "{name}, an adapter: {adapt}");
        }
    }
}

/// The names, types and numbers of a model's weights.
fn weights(files: &ModelFiles) -> BTreeMap<String, (safetensors::Dtype, Vec<u8>)> {
    let read = SafeTensors::deserialize(&files.0["model.safetensors"]).unwrap();
    read.iter().map(|(name, view)| (name.to_owned(), (view.dtype(), view.data().to_vec()))).collect()
}

#[test]
fn sixteen_bits_are_the_nearest_and_come_back_as_they_are() {
    for (dtype, stored, named, bits) in
        [(Dtype::Bf16, safetensors::Dtype::BF16, "bfloat16", 8), (Dtype::F16, safetensors::Dtype::F16, "float16", 11)]
    {
        for name in MODELS {
            let whole = model(name);
            let files = whole.to_files_in(dtype).unwrap();
            let config: serde_json::Value = serde_json::from_slice(&files.0["config.json"]).unwrap();
            assert!(config["dtype"] == named && config.get("torch_dtype").is_none(), "{name}: {config}");
            let read = LocalModel::from_files(&files).unwrap();
            assert_eq!(read.to_files_in(dtype).unwrap(), files, "{name}");
            let (exact, rounded) = (weights(&whole.to_files().unwrap()), weights(&read.to_files().unwrap()));
            for (tensor, (exact_type, exact)) in &exact {
                assert_eq!((weights(&files)[tensor].0, *exact_type), (stored, safetensors::Dtype::F32));
                let numbers = |bytes: &[u8]| -> Vec<f32> {
                    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
                };
                for (exact, rounded) in numbers(exact).iter().zip(numbers(&rounded[tensor].1)) {
                    // Half of the last bit; numbers below the normal ones of f16 have an absolute error.
                    let tolerance = exact.abs() * 0.5f32.powi(bits) + 3e-8;
                    assert!((exact - rounded).abs() <= tolerance, "{name}: {tensor}: {exact} became {rounded}");
                }
            }
        }
    }
}

#[test]
fn numbers_beyond_f16_are_refused_by_tensor() {
    let mut files = files("llama");
    let bytes = files.0.get_mut("model.safetensors").unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&65_520f32.to_le_bytes());
    let model = LocalModel::from_files(&files).unwrap();
    let error = model.to_files_in(Dtype::F16).unwrap_err().to_string();
    assert!(error.contains("holds numbers beyond what float16 can hold"), "{error}");
    model.to_files_in(Dtype::Bf16).unwrap();
}

/// The numbers of `golden/adapter_families.py`: joint projections, biases, norms around blocks, parallel blocks.
#[test]
fn logits_with_an_adapter_of_peft_equal_those_of_peft() {
    for name in ["qwen2", "phi3", "gemma3", "cohere2"] {
        let adapter = files(&format!("../adapter/families/{name}"));
        let theirs = fs::read(folder(&format!("../adapter/families/{name}")).join("expected.json")).unwrap();
        let theirs: BTreeMap<String, Vec<Vec<f32>>> = serde_json::from_slice(&theirs).unwrap();
        let (mut model, tokens) = (model(name), expected(name).tokens);
        model.read_adapter(&adapter).unwrap();
        for merged in [false, true] {
            if merged {
                model.merge_adapter().unwrap();
            }
            let logits = every_fifth(&model.logits(&tokens).unwrap(), tokens.len());
            let gap = gap(&logits, &theirs["logits"].concat());
            assert!(gap < 1e-5, "{name}, merged: {merged}: logits are {gap} of the largest apart");
        }
    }
}
