//! Adapters that bring a reward head, against PEFT and PyTorch: the numbers of `golden/reward_adapter.py`.
//!
//! `golden/adapter/reward/written` is what this crate writes; the second test keeps that true. After a change that is meant
//! to change it: `CAMBIST_WRITE_GOLDEN=1 cargo test -p cambist-model --test heads`, then run the script.

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::PathBuf};

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{
    AdapterError, BradleyTerry, LocalModel, LoraConfig, ModelFiles, Observer, RewardModel, StepLog, TrainConfig,
    TrainRow, Training, run,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{files_of, folder, rewards, safetensors, tensors};

#[derive(Deserialize)]
struct Expected {
    n_trained: usize,
    chosen: Vec<f64>,
    rejected: Vec<f64>,
    losses: Vec<f64>,
    grad_norms: Vec<f64>,
    #[serde(default)]
    written: Value,
}

/// What this golden shares with that of the preference objectives.
#[derive(Deserialize)]
struct Shared {
    pairs: Vec<[String; 4]>,
    optimizer: TrainConfig,
}

const ADAPTER: &str = "adapter/reward";
const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const SCORE: &str = "base_model.model.score.weight";

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

fn expected() -> Expected {
    read("adapter/reward/expected.json")
}

/// PEFT's folder, without what the script says of it.
fn peft(name: &str) -> ModelFiles {
    let file = |file: &str| (file.to_owned(), fs::read(golden(name).join(file)).unwrap());
    ModelFiles([CONFIG, WEIGHTS].map(file).into())
}

fn language_model() -> LocalModel {
    LocalModel::from_files(&files_of("tied")).unwrap()
}

/// The language model with PEFT's adapter on it.
fn adapted() -> LocalModel {
    let mut model = language_model();
    model.read_adapter(&peft(ADAPTER)).unwrap();
    model
}

/// The same model with a new head, and a new adapter on that.
fn fresh() -> LocalModel {
    let mut model = language_model().with_reward_head(7).unwrap();
    model.add_adapter(&LoraConfig { r: 4, ..LoraConfig::default() }, 3).unwrap();
    model
}

fn rewards_of(model: LocalModel) -> [Vec<f64>; 2] {
    let shared: Shared = read("objectives.json");
    let model = RewardModel::new(model, None).unwrap();
    [2, 3].map(|side| {
        let conversation = |pair: &[String; 4]| vec![Message::user(&pair[1]), Message::assistant(&pair[side])];
        rewards(&model, &shared.pairs.iter().map(conversation).collect::<Vec<_>>())
    })
}

fn assert_those_of_peft(model: LocalModel) {
    let expected = expected();
    for (ours, theirs) in rewards_of(model).concat().iter().zip(expected.chosen.iter().chain(&expected.rejected)) {
        assert!((ours - theirs).abs() < 1e-4, "{ours} {theirs}");
    }
}

/// Hears of every step, and keeps the state after some of them, where the run stops.
#[derive(Default)]
struct Heard {
    until: Option<usize>,
    steps: Vec<StepLog>,
    state: Option<Vec<u8>>,
}

impl Observer for Heard {
    fn step(&mut self, log: &StepLog) -> ControlFlow<()> {
        self.steps.push(log.clone());
        if self.until == Some(self.steps.len()) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn wants_state(&mut self, is_stopping: bool) -> bool {
        is_stopping
    }

    fn keep(&mut self, state: Vec<u8>) {
        self.state = Some(state);
    }
}

/// From where to where a run goes.
#[derive(Clone, Copy, Default)]
struct Way<'a> {
    resume: Option<&'a [u8]>,
    until: Option<usize>,
    gradient_checkpointing: bool,
}

/// Trains on the pairs as the script does.
fn trained(mut model: LocalModel, way: Way<'_>) -> (LocalModel, Heard) {
    let Shared { pairs, optimizer } = read("objectives.json");
    let config = TrainConfig { gradient_checkpointing: way.gradient_checkpointing, ..optimizer };
    let row = |[language, prompt, chosen, rejected]: &[String; 4]| {
        let (language, turns) = (Language::parse(language).unwrap(), vec![Message::user(prompt)]);
        TrainRow::pair(prompt.as_str(), language, turns, [chosen.clone(), rejected.clone()])
    };
    let (rows, objective) = (pairs.iter().map(row).collect::<Vec<_>>(), BradleyTerry::default());
    let mut heard = Heard { until: way.until, ..Heard::default() };
    let training = Training { resume: way.resume, ..Training::new(&rows, &objective) };
    run(&mut model, &training, &config, &mut heard).unwrap();
    (model, heard)
}

fn numbers(model: &LocalModel) -> BTreeMap<String, Vec<f32>> {
    let all = tensors(&model.adapter_files("").unwrap().0[WEIGHTS]);
    all.into_iter().map(|(name, (_, numbers))| (name, numbers)).collect()
}

#[test]
fn rewards_equal_those_of_peft_on_a_language_model_and_merged_into_it() {
    let mut model = adapted();
    assert_eq!(model.n_trained(), expected().n_trained);
    let unmerged = model.to_files().unwrap();
    assert_those_of_peft(adapted());
    let report = model.merge_adapter().unwrap();
    // Five matrices of two layers: a head that the base does not have is no change of it.
    assert_eq!((report.n_changed, report.n_adapted), (10, 10), "{report:?}");
    assert_eq!(model.to_files().unwrap(), unmerged, "a folder of an adapted model is that of the merged one");
    assert_those_of_peft(model);
    assert_those_of_peft(LocalModel::for_inference(&unmerged, None).unwrap());
    let mut for_inference = LocalModel::for_inference(&files_of("tied"), None).unwrap();
    for_inference.read_adapter(&peft(ADAPTER)).unwrap();
    assert_those_of_peft(for_inference);
}

#[test]
fn what_is_written_is_what_peft_loads_with_equal_rewards() {
    let files = adapted().adapter_files("tied").unwrap();
    if std::env::var_os("CAMBIST_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(golden(ADAPTER).join("written")).unwrap();
        files.0.iter().for_each(|(name, bytes)| fs::write(golden(ADAPTER).join("written").join(name), bytes).unwrap());
        return;
    }
    assert_eq!(files, peft("adapter/reward/written"));
    let config: Value = serde_json::from_slice(&files.0[CONFIG]).unwrap();
    assert_eq!((&config["task_type"], &config["modules_to_save"]), (&json!("SEQ_CLS"), &json!(["score"])));
    assert_eq!(tensors(&files.0[WEIGHTS]), tensors(&peft(ADAPTER).0[WEIGHTS]));
    let evidence = expected().written;
    assert_eq!(evidence["largest_reward_gap"], 0.0, "what PEFT said of the written folder: {evidence}");
}

#[test]
fn three_steps_of_adamw_equal_a_program_of_peft_and_leave_the_base_alone() {
    let expected = expected();
    let (mut model, heard) = trained(adapted(), Way::default());
    for ((log, loss), norm) in heard.steps.iter().zip(&expected.losses).zip(&expected.grad_norms) {
        assert!((log.loss - loss).abs() < 1e-5 * loss.max(0.1), "loss {} {loss}", log.loss);
        assert!((log.grad_norm / norm - 1.0).abs() < 1e-4, "gradient norm {} {norm}", log.grad_norm);
    }
    assert_eq!(heard.steps.len(), expected.losses.len());
    let (ours, before) = (numbers(&model), numbers(&adapted()));
    for (name, (_, theirs)) in tensors(&fs::read(golden("adapter/reward/expected_weights.safetensors")).unwrap()) {
        let largest = theirs.iter().fold(0f32, |top, x| top.max(x.abs()));
        let gap = ours[&name].iter().zip(&theirs).fold(0f32, |top, (a, b)| top.max((a - b).abs()));
        assert!(gap < 1e-4 * largest, "{name} is {gap} apart of {largest}");
        assert_ne!(ours[&name], before[&name], "{name} was trained");
    }
    model.merge_adapter().unwrap();
    let (ours, start) = (model.to_files().unwrap(), language_model().to_files().unwrap());
    let (ours, start) = (tensors(&ours.0["model.safetensors"]), tensors(&start.0["model.safetensors"]));
    for (name, numbers) in ours.iter().filter(|(name, _)| !name.contains("_proj") && *name != "score.weight") {
        assert_eq!(numbers, &start[name], "{name} is no part of the adapter");
    }
}

#[test]
fn a_new_adapter_changes_no_reward_and_a_trained_one_changes_the_head_too() {
    let headed = || language_model().with_reward_head(7).unwrap();
    assert_eq!(rewards_of(fresh()), rewards_of(headed()), "to the last bit");
    assert!(matches!(fresh().merge_adapter(), Err(AdapterError::Unchanged)));
    let model = fresh();
    let start = model.start_model().unwrap();
    let (mut model, _) = trained(model, Way::default());
    assert_eq!(rewards_of(start), rewards_of(headed()), "the head of the base is not the one that is trained");
    let adapter = model.adapter_files("tied").unwrap();
    let found = rewards_of(headed_with(&adapter, headed()));
    let report = model.merge_adapter().unwrap();
    assert_eq!((report.n_changed, report.n_adapted), (15, 15), "fourteen matrices and the head: {report:?}");
    assert_eq!(rewards_of(headed_with(&adapter, language_model())), found, "whose head it lies on does not matter");
    let merged = rewards_of(model).concat();
    assert!(merged.iter().zip(found.concat()).all(|(a, b)| (a - b).abs() < 1e-5), "{merged:?} {found:?}");
}

fn headed_with(adapter: &ModelFiles, mut model: LocalModel) -> LocalModel {
    model.read_adapter(adapter).unwrap();
    model
}

#[test]
fn a_run_cut_off_ends_with_the_same_adapter_with_and_without_checkpointing() {
    let (whole, heard) = trained(fresh(), Way::default());
    for until in 1..heard.steps.len() {
        let (_, before) = trained(fresh(), Way { until: Some(until), ..Way::default() });
        let (resumed, after) = trained(fresh(), Way { resume: before.state.as_deref(), ..Way::default() });
        assert_eq!(resumed.adapter_files("tied").unwrap(), whole.adapter_files("tied").unwrap(), "after step {until}");
        assert_eq!([before.steps, after.steps].concat(), heard.steps);
    }
    let (again, _) = trained(fresh(), Way { gradient_checkpointing: true, ..Way::default() });
    assert_eq!(again.adapter_files("tied").unwrap(), whole.adapter_files("tied").unwrap(), "computed a second time");
}

#[test]
fn adapters_with_other_heads_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Value), tensor: Option<(Vec<usize>, Vec<f32>)>| {
        let mut files = peft(ADAPTER);
        let mut config: Value = serde_json::from_slice(&files.0[CONFIG]).unwrap();
        change(&mut config);
        files.0.insert(CONFIG.to_owned(), config.to_string().into_bytes());
        let mut weights = tensors(&files.0[WEIGHTS]);
        weights.remove(SCORE);
        weights.extend(tensor.map(|tensor| (SCORE.to_owned(), tensor)));
        files.0.insert(WEIGHTS.to_owned(), safetensors(&weights));
        language_model().read_adapter(&files).unwrap_err().to_string()
    };
    let score = tensors(&peft(ADAPTER).0[WEIGHTS])[SCORE].clone();
    for other in [json!(["lm_head"]), json!(["score", "embed_tokens"]), json!(["classifier"]), json!("score")] {
        let error = refused(&|config| config["modules_to_save"] = other.clone(), Some(score.clone()));
        assert!(
            error.contains(&format!("`modules_to_save` = `{other}`")) && error.contains("`score` alone"),
            "{error}"
        );
    }
    let error = refused(&|_| (), None);
    assert!(error.contains(&format!("has no tensor `{SCORE}`, expected with shape [1, 8]")), "{error}");
    let error = refused(&|_| (), Some((vec![2, 4], score.1.clone())));
    assert!(error.contains("has shape [2, 4]") && error.contains("[1, 8]"), "{error}");
    let error = refused(&|config| config["modules_to_save"] = Value::Null, Some(score));
    assert!(error.contains(SCORE) && error.contains("no place"), "{error}");
    let mut cohere = LocalModel::from_files(&folder("cohere")).unwrap();
    let mut files = peft(ADAPTER);
    let mut weights = tensors(&files.0[WEIGHTS]);
    weights.retain(|name, _| name == SCORE || name.contains("layers.0.self_attn.q_proj"));
    files.0.insert(WEIGHTS.to_owned(), safetensors(&weights));
    let error = cohere.read_adapter(&files).unwrap_err().to_string();
    assert!(error.contains("no `cohere` models with a reward head"), "{error}");
}
