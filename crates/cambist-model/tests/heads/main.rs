//! Reward heads against `transformers` and PyTorch: the numbers of `golden/heads.py`.
#![cfg(test)]

mod adapter;
mod reward;

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::PathBuf, process::Command};

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{
    BradleyTerry, EncodeError, Head, LocalModel, ModelFiles, NoReward, Objective, RewardModel, RewardModelError,
    RewardTokens, Sft, StepLog, TrainConfig, TrainError, TrainRow, train,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Golden {
    /// A user's turn and an assistant's, in tokens.
    turns: Vec<(Vec<u32>, Vec<u32>)>,
    good: u32,
    bad: u32,
    models: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    class: String,
    score: Vec<f32>,
    rewards: Vec<f64>,
    /// With the end of a turn as the token that pads.
    rewards_end_pads: Vec<f64>,
    loss: f64,
    gradients: BTreeMap<String, Gradient>,
    logits: Vec<f64>,
    log_odds: Vec<f64>,
}

#[derive(Deserialize)]
struct Gradient {
    norm: f64,
    /// Every seventh part of it.
    numbers: Vec<f32>,
}

fn golden() -> Golden {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/heads.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn folder(name: &str) -> ModelFiles {
    files_of(&format!("families/{name}"))
}

fn files_of(name: &str) -> ModelFiles {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    ModelFiles(entries.map(file).filter(|(name, _)| !name.starts_with("expected")).collect())
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn tensors(bytes: &[u8]) -> Tensors {
    let floats = |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let read = SafeTensors::deserialize(bytes).unwrap();
    read.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), floats(view.data())))).collect()
}

fn safetensors(tensors: &Tensors) -> Vec<u8> {
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, data))| {
            (name.as_str(), shape.clone(), data.iter().flat_map(|x| x.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, b)| (*name, TensorView::new(Dtype::F32, shape.clone(), b).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// The folder of a language model with the golden's reward head in place of its own.
fn classifier(name: &str, expected: &Expected, pad: u32) -> ModelFiles {
    with_head(folder(name), (&expected.class, &expected.score), pad)
}

fn with_head(mut files: ModelFiles, (class, score): (&str, &[f32]), pad: u32) -> ModelFiles {
    let mut config: Value = serde_json::from_slice(&files.0["config.json"]).unwrap();
    config["architectures"] = json!([class]);
    config["id2label"] = json!({"0": "LABEL_0"});
    config["label2id"] = json!({"LABEL_0": 0});
    config["pad_token_id"] = pad.into();
    files.0.insert("config.json".to_owned(), config.to_string().into_bytes());
    let mut weights = tensors(&files.0["model.safetensors"]);
    weights.remove("lm_head.weight");
    weights.insert("score.weight".to_owned(), (vec![1, score.len()], score.to_vec()));
    files.0.insert("model.safetensors".to_owned(), safetensors(&weights));
    files
}

fn words(tokens: &[u32]) -> String {
    tokens.iter().map(|token| format!("w{token}")).collect::<Vec<_>>().join(" ")
}

fn conversations(golden: &Golden) -> Vec<Vec<Message>> {
    let conversation =
        |(user, answer): &(Vec<u32>, Vec<u32>)| vec![Message::user(words(user)), Message::assistant(words(answer))];
    golden.turns.iter().map(conversation).collect()
}

fn rewards(model: &RewardModel, conversations: &[Vec<Message>]) -> Vec<f64> {
    model.rewards(conversations).unwrap().into_iter().map(Result::unwrap).collect()
}

fn reward_model(files: &ModelFiles) -> RewardModel {
    RewardModel::new(LocalModel::from_files(files).unwrap(), None).unwrap()
}

fn assert_near(name: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0f64, |top, x| top.max(x.abs()));
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() < 1e-5 * largest, "{name}: {ours:?} {theirs:?}");
    }
}

#[test]
fn rewards_equal_those_of_transformers_in_a_padded_batch() {
    let golden = golden();
    for (name, expected) in &golden.models {
        let model = reward_model(&classifier(name, expected, 0));
        assert_near(name, &rewards(&model, &conversations(&golden)), &expected.rewards);
    }
}

#[test]
fn where_the_end_of_a_turn_pads_the_token_before_it_is_read() {
    let golden = golden();
    for (name, expected) in &golden.models {
        let model = reward_model(&classifier(name, expected, 2));
        assert_near(name, &rewards(&model, &conversations(&golden)), &expected.rewards_end_pads);
    }
}

#[test]
fn a_language_model_rewards_by_the_logit_of_a_token_or_the_odds_of_two() {
    let golden = golden();
    let word = |token| format!("w{token}");
    for (name, expected) in &golden.models {
        let by = |bad: Option<u32>| {
            let tokens = RewardTokens { good: word(golden.good), bad: bad.map(word) };
            let model = LocalModel::from_files(&folder(name)).unwrap();
            rewards(&RewardModel::new(model, Some(&tokens)).unwrap(), &conversations(&golden))
        };
        assert_near(name, &by(None), &expected.logits);
        assert_near(name, &by(Some(golden.bad)), &expected.log_odds);
    }
}

fn pair(golden: &Golden) -> TrainRow {
    let [(user, chosen), _, (_, rejected)] = golden.turns.as_slice() else { panic!("three conversations") };
    let prompt = vec![Message::user(words(user))];
    TrainRow::pair("pair", Language::parse("en").unwrap(), prompt, [words(chosen), words(rejected)])
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
    let golden = golden();
    for (name, expected) in &golden.models {
        let files = classifier(name, expected, 0);
        let before = tensors(&files.0["model.safetensors"]);
        let mut model = LocalModel::from_files(&files).unwrap();
        let mut logged = None;
        let mut keep = |log: &StepLog| {
            logged = Some(log.clone());
            ControlFlow::Continue(())
        };
        train(&mut model, (&[pair(&golden)], &BradleyTerry::default()), &config, &mut keep).unwrap();
        let log = logged.unwrap();
        assert!((log.loss / expected.loss - 1.0).abs() < 1e-4, "{name}: {} {}", log.loss, expected.loss);
        assert_eq!(log.n_loss_tokens, 2, "{name}");
        let after = tensors(&model.to_files().unwrap().0["model.safetensors"]);
        assert_eq!(after.keys().collect::<Vec<_>>(), expected.gradients.keys().collect::<Vec<_>>(), "{name}");
        for (tensor, theirs) in &expected.gradients {
            let (before, after) = (&before[tensor].1, &after[tensor].1);
            let ours: Vec<f32> = before.iter().zip(after).map(|(b, a)| b - a).collect();
            let norm = ours.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let largest = before.iter().fold(0f32, |top, x| top.max(x.abs()));
            // The difference of two weights is no better than their last place.
            let rounding = f64::from(largest * f32::EPSILON) * (ours.len() as f64).sqrt();
            assert!(
                (norm - theirs.norm).abs() < 1e-4 * theirs.norm + rounding,
                "{name}: {tensor}: {norm} {}",
                theirs.norm
            );
            for (a, b) in ours.iter().step_by((ours.len() / 7).max(1)).zip(&theirs.numbers) {
                let gap = f64::from((a - b).abs());
                assert!(gap < 1e-4 * theirs.norm + rounding, "{name}: {tensor}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_reward_depends_on_its_own_conversation_to_the_last_bit() {
    let golden = golden();
    let model = reward_model(&classifier("gemma2", &golden.models["gemma2"], 0));
    let all = conversations(&golden);
    let together = rewards(&model, &all);
    let reversed = rewards(&model, &all.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(together, reversed.into_iter().rev().collect::<Vec<_>>());
    for (conversation, reward) in all.into_iter().zip(together) {
        assert_eq!(rewards(&model, &[conversation]), [reward]);
    }
}

#[test]
fn what_has_no_reward_keeps_the_others_from_nothing() {
    let golden = golden();
    let model = reward_model(&classifier("llama", &golden.models["llama"], 0));
    let mut all = conversations(&golden);
    all.insert(1, vec![Message::user("w3"), Message::assistant(words(&[5; 64]))]);
    all.insert(2, vec![Message::user("w3"), Message::assistant("w4 </s> w5")]);
    let found = model.rewards(&all).unwrap();
    let message = |i: usize| found[i].as_ref().unwrap_err().to_string();
    assert_eq!(message(1), "67 tokens do not fit the model's 64 positions");
    assert!(matches!(found[1], Err(NoReward::Encode(EncodeError::TooLong { n_tokens: 67, max_positions: 64 }))));
    assert!(message(2).contains("turn 1 holds `</s>`"), "{}", message(2));
    let others: Vec<f64> = [0, 3, 4].map(|i| *found[i].as_ref().unwrap()).to_vec();
    assert_near("llama", &others, &golden.models["llama"].rewards);
}

#[test]
fn what_overflows_gives_no_reward() {
    let golden = golden();
    let mut files = classifier("llama", &golden.models["llama"], 0);
    let mut weights = tensors(&files.0["model.safetensors"]);
    for name in ["score.weight", "model.norm.weight"] {
        weights.get_mut(name).unwrap().1.iter_mut().for_each(|x| *x = f32::MAX);
    }
    files.0.insert("model.safetensors".to_owned(), safetensors(&weights));
    let model = reward_model(&files);
    let found = model.rewards(&conversations(&golden)).unwrap();
    assert!(found.iter().all(|reward| matches!(reward, Err(NoReward::NotFinite(_)))), "{found:?}");
}

#[test]
fn a_language_model_gets_a_head_that_is_kept() {
    let golden = golden();
    for (name, expected) in &golden.models {
        let language = || LocalModel::from_files(&folder(name)).unwrap();
        let model = language().with_reward_head(7).unwrap();
        assert_eq!(model.head(), Head::Reward);
        let files = model.to_files().unwrap();
        let config: Value = serde_json::from_slice(&files.0["config.json"]).unwrap();
        assert_eq!(config["architectures"], json!([expected.class]), "{name}");
        let (mut ours, mut theirs) =
            (tensors(&files.0["model.safetensors"]), tensors(&folder(name).0["model.safetensors"]));
        let score = ours.remove("score.weight").unwrap();
        theirs.remove("lm_head.weight");
        assert_eq!(ours, theirs, "{name}: only the head is new");
        assert_eq!(language().with_reward_head(7).unwrap().to_files().unwrap(), files, "{name}: same seed, same bytes");
        let other = language().with_reward_head(8).unwrap().to_files().unwrap();
        assert_ne!(tensors(&other.0["model.safetensors"])["score.weight"], score, "{name}: another seed");
        let again = LocalModel::from_files(&files).unwrap();
        assert_eq!(again.to_files().unwrap(), files, "{name}: what is written is read");
        let of = |model| rewards(&RewardModel::new(model, None).unwrap(), &conversations(&golden));
        assert_eq!(of(again), of(model), "{name}");
    }
}

#[test]
fn a_reward_head_learns_which_answer_is_better() {
    let golden = golden();
    let mut model = LocalModel::from_files(&folder("qwen3")).unwrap().with_reward_head(1).unwrap();
    let config = TrainConfig { steps: Some(30), batch_size: 1, lr: 3e-3, ..TrainConfig::default() };
    let mut losses = vec![];
    train(&mut model, (&[pair(&golden)], &BradleyTerry::default()), &config, &mut |log: &StepLog| {
        losses.push(log.loss);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(losses[29] < losses[0] / 2.0, "{losses:?}");
    let found = rewards(&RewardModel::new(model, None).unwrap(), &conversations(&golden));
    assert!(found[0] > found[2] + 1.0, "{found:?}");
}

#[test]
fn heads_and_what_is_asked_of_them_fit_or_are_refused() {
    let golden = golden();
    let language = || LocalModel::from_files(&folder("llama")).unwrap();
    let classifier = || LocalModel::from_files(&classifier("llama", &golden.models["llama"], 0)).unwrap();
    let tokens = |good: &str| RewardTokens { good: good.to_owned(), bad: None };
    assert!(matches!(RewardModel::new(language(), None), Err(RewardModelError::NoHead)));
    assert!(matches!(RewardModel::new(classifier(), Some(&tokens("w3"))), Err(RewardModelError::NoTokens(_))));
    let two = RewardModel::new(language(), Some(&tokens("w3 w4"))).unwrap_err();
    assert_eq!(two.to_string(), "`w3 w4` is 2 tokens of this model; expected one, by its name in `tokenizer.json`");
    let cohere = LocalModel::from_files(&folder("cohere")).unwrap().with_reward_head(1).unwrap_err();
    assert!(cohere.to_string().contains("no `cohere` models with a reward head"), "{cohere}");

    let config = TrainConfig { steps: Some(1), ..TrainConfig::default() };
    let fails = |mut model: LocalModel, objective: &dyn Objective| {
        let rows = [pair(&golden)];
        train(&mut model, (&rows, objective), &config, &mut |_: &StepLog| ControlFlow::Continue(())).unwrap_err()
    };
    let error = fails(language(), &BradleyTerry::default());
    assert_eq!(error.to_string(), "the `reward` objective trains a reward head, the model has a language model's head");
    assert!(matches!(fails(classifier(), &Sft), TrainError::Head { expected: Head::Language, .. }));

    let mut files = classifier().to_files().unwrap();
    let mut config: Value = serde_json::from_slice(&files.0["config.json"]).unwrap();
    config["id2label"] = json!({"0": "bad", "1": "good"});
    files.0.insert("config.json".to_owned(), config.to_string().into_bytes());
    let error = LocalModel::from_files(&files).unwrap_err().to_string();
    assert!(error.contains("`num_labels` = `2`, which is not implemented; expected `1`"), "{error}");
}

/// Runs `golden/heads.py --back` where `CAMBIST_PYTHON` names a Python with the script's libraries.
#[test]
fn transformers_loads_what_this_crate_writes_with_the_same_rewards() {
    let Some(python) = std::env::var_os("CAMBIST_PYTHON") else {
        eprintln!("skipped: CAMBIST_PYTHON names no Python with transformers");
        return;
    };
    let golden = golden();
    let out = std::env::temp_dir().join(format!("cambist-heads-{}", std::process::id()));
    for (name, expected) in &golden.models {
        fs::create_dir_all(out.join(name)).unwrap();
        let model = LocalModel::from_files(&classifier(name, expected, 0)).unwrap();
        for (file, bytes) in model.to_files().unwrap().0 {
            fs::write(out.join(name).join(file), bytes).unwrap();
        }
    }
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/heads.py");
    let run = Command::new(python).arg(script).arg("--back").arg(&out).output().unwrap();
    fs::remove_dir_all(&out).unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(text.lines().filter(|line| line.contains("loaded, rewards")).count(), golden.models.len(), "{text}");
}
