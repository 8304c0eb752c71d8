//! A `train` step handed over to another trainer, and its checkpoint taken back.

use std::{fs, ops::ControlFlow, path::Path, sync::atomic::AtomicBool};

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{LocalModel, LoraConfig, ModelFiles, Sft, TrainConfig, TrainRow, train};
use cambist_pipeline::{
    PipelineError,
    handover::{Exported, HandoverOptions, Imported, export_training, import_checkpoint},
    plan::Plan,
    progress::{Advance, Outcome, Progress},
    run::{Capabilities, Runtime, STATE_EVERY},
};
use serde_json::Value;

use crate::house::{House, recipe};

/// What is there before: prompts and a base.
const BEFORE: &str = r"
name: handover
seed: 3
steps:
  - id: prompts
    prompts: {polyglot: {tasks: [date-long]}, languages: [ja, tr], splits: {teach: 12, dev: 4}}
  - id: start
    train:
      objective: pretrain
      new: {vocab_size: 320, shape: {hidden_size: 32, n_layers: 1, n_heads: 2, n_kv_heads: 1, intermediate_size: 64}}
      data: prompts.teach
      config: {steps: 4}
";

/// What is to be trained elsewhere.
const STUDENTS: &str = r"
  - id: whole
    train:
      {objective: sft, base: start, data: prompts.teach, held_out: prompts.dev, config: {epochs: 2, batch_size: 8, eval_every: 2}}
  - id: adapted
    train: {objective: sft, base: start, data: prompts.teach, lora: {r: 4}, config: {steps: 2, batch_size: 24}}
";

struct Nobody;

impl Progress for Nobody {
    fn begin(&self, _job: &str, _verb: &str) {}
    fn advance(&self, _job: &str, _at: Advance<'_>) {}
    fn end(&self, _job: &str, _outcome: Outcome<'_>) {}
}

/// The base in a store, and the plan that goes on from it.
fn prepared() -> (House, Plan) {
    let house = House::new();
    house.run(recipe(BEFORE, &[]), 2).unwrap();
    let plan = Plan::new(recipe(&format!("{BEFORE}{STUDENTS}"), &[]), house.folder()).unwrap();
    (house, plan)
}

fn with_runtime<T>(work: impl FnOnce(&Runtime<'_>) -> T) -> T {
    let stop = AtomicBool::new(false);
    work(&Runtime {
        threads: 2,
        progress: &Nobody,
        stop: &stop,
        calls: cambist_io::transport::StopSignal::new(),
        capabilities: Capabilities::default(),
        state_every: STATE_EVERY,
    })
}

pub(crate) fn export((house, plan): &(House, Plan), step: &str, n_devices: usize) -> Result<Exported, PipelineError> {
    let to = house.folder().join(format!("{step}-{n_devices}"));
    let options = HandoverOptions { step: Some(step.to_owned()), n_devices, to };
    with_runtime(|runtime| export_training(plan, &options, &house.store(), runtime))
}

pub(crate) fn import((house, plan): &(House, Plan), step: &str, folder: &Path) -> Result<Imported, PipelineError> {
    with_runtime(|runtime| import_checkpoint(plan, (Some(step), folder), &house.store(), runtime))
}

pub(crate) fn read(folder: &Path) -> LocalModel {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let file =
        |path: std::path::PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
    let known = |name: &str| name.ends_with(".json") || name == "model.safetensors";
    LocalModel::from_files(&ModelFiles(entries.map(file).filter(|(name, _)| known(name)).collect())).unwrap()
}

pub(crate) fn write(folder: &Path, files: &ModelFiles) {
    fs::create_dir_all(folder).unwrap();
    files.0.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
}

/// Another trainer: a few steps on a row of its own.
fn elsewhere(mut model: LocalModel, lora: Option<&LoraConfig>) -> LocalModel {
    if let Some(lora) = lora {
        model.add_adapter(lora, 1).unwrap();
    }
    let messages = vec![Message::user("2024-03-09"), Message::assistant("9 Mart 2024")];
    let rows = [TrainRow::chat("row", Language::parse("tr").unwrap(), messages)];
    let config = TrainConfig { steps: Some(3), batch_size: 1, ..TrainConfig::default() };
    train(&mut model, (&rows, &Sft), &config, &mut |_| ControlFlow::Continue(())).unwrap();
    model
}

#[test]
fn rows_are_handed_over_as_the_tokens_that_count() {
    let world = prepared();
    let exported = export(&world, "whole", 2).unwrap();
    assert_eq!((exported.n_rows, exported.n_held_out), (24, 8));
    let base = read(Path::new(&exported.base));
    let lines = fs::read_to_string(exported.folder.join("data/train.jsonl")).unwrap();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut n_counted = 0;
    for row in &rows {
        let numbers = |key: &str| row[key].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect::<Vec<_>>();
        let (tokens, labels) = (numbers("input_ids"), numbers("labels"));
        assert_eq!(tokens.len(), labels.len());
        let counted: Vec<u32> =
            labels.iter().filter(|label| **label != -100).map(|label| u32::try_from(*label).unwrap()).collect();
        // The prompt does not count; what counts is the end of the row, end of turn included.
        let n_prompt = tokens.len() - counted.len();
        assert!(n_prompt > 3 && labels[..n_prompt].iter().all(|label| *label == -100), "{labels:?}");
        assert_eq!(labels[n_prompt..], tokens[n_prompt..]);
        assert_eq!(counted.last().copied(), base.tokenizer().token_id("<|end|>"));
        n_counted += counted.len();
    }
    assert_eq!((rows.len(), n_counted), (24, exported.n_loss_tokens));
    let said = |name: &str| fs::read_to_string(exported.folder.join(name)).unwrap();
    for (file, line) in [
        ("training.yaml", "max_steps: 6"),
        ("training.yaml", "per_device_train_batch_size: 4"),
        ("accelerate.yaml", "num_processes: 2"),
        ("accelerate.yaml", "distributed_type: FSDP"),
    ] {
        assert!(said(file).lines().any(|found| found == line), "{file} has no `{line}`: {}", said(file));
    }
    assert!(said("train.sh").contains("trl sft --config training.yaml"));
    assert!(exported.unmapped.iter().all(|what| said("README.md").contains(what)));
    assert_eq!(fs::read_to_string(exported.folder.join("data/test.jsonl")).unwrap().lines().count(), 8);

    let error = export(&world, "whole", 2).unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    let error = export(&world, "whole", 3).unwrap_err().to_string();
    assert!(error.contains("cannot be dealt out to 3 devices"), "{error}");
    let error = export(&world, "nobody", 1).unwrap_err().to_string();
    assert!(error.contains("there is no `train` step called `nobody`") && error.contains("`adapted`"), "{error}");
}

#[test]
fn a_step_whose_inputs_are_not_made_is_not_handed_over() {
    let (house, _) = prepared();
    let plan = Plan::new(recipe(&format!("{BEFORE}{STUDENTS}"), &["seed=4"]), house.folder()).unwrap();
    let error = export(&(house, plan), "whole", 1).unwrap_err().to_string();
    assert!(error.contains("is not made yet"), "{error}");
}

#[test]
fn what_was_trained_elsewhere_is_the_steps_artifact() {
    let world = prepared();
    let (house, _) = &world;
    let (whole, adapted) = (export(&world, "whole", 1).unwrap(), export(&world, "adapted", 1).unwrap());
    write(&whole.folder.join("checkpoint"), &elsewhere(read(Path::new(&whole.base)), None).to_files().unwrap());
    let notes = r#"{"log_history": [{"step": 6, "loss": 1.5, "learning_rate": 0.1, "grad_norm": 2.0}]}"#;
    fs::write(whole.folder.join("checkpoint/trainer_state.json"), notes).unwrap();
    let imported = import(&world, "whole", &whole.folder).unwrap();
    assert_eq!((imported.n_compared, imported.n_steps), (24, 6));

    let model = elsewhere(read(Path::new(&adapted.base)), Some(&LoraConfig { r: 4, ..LoraConfig::default() }));
    let folder = adapted.folder.join("checkpoint");
    write(&folder, &model.adapter_files("start").unwrap());
    let imported = import(&world, "adapted", &folder).unwrap();
    assert!(imported.n_trained < imported.n_parameters, "{imported:?}");

    let ran = house.run(recipe(&format!("{BEFORE}{STUDENTS}  - report: {{}}\n"), &[]), 2).unwrap();
    assert_eq!(ran.reused, ["adapted", "prompts", "start", "whole"]);
    for label in ["whole", "adapted"] {
        let notes = &ran.artifact(label).manifest().notes;
        assert_eq!(notes, &["trained elsewhere, and imported as a folder"]);
        ran.artifact(label).verify().unwrap();
    }
    let error = import(&world, "whole", &whole.folder).unwrap_err().to_string();
    assert!(error.contains("is made already"), "{error}");
}

#[test]
fn checkpoints_that_cannot_have_come_from_the_base_are_refused() {
    let world = prepared();
    let exported = export(&world, "whole", 1).unwrap();
    let folder = |name: &str| world.0.folder().join(name);
    let refused = |step: &str, name: &str, files: &ModelFiles| {
        write(&folder(name), files);
        import(&world, step, &folder(name)).unwrap_err().to_string()
    };
    let base = || read(Path::new(&exported.base));
    let error = refused("whole", "base", &base().to_files().unwrap());
    assert!(error.contains("its weights are those of the base to the last bit"), "{error}");

    let larger = BEFORE.replace("hidden_size: 32", "hidden_size: 48").replace("name: handover", "name: larger");
    let larger = world.0.run(recipe(&larger, &[]), 2).unwrap();
    let error =
        refused("whole", "larger", &elsewhere(read(larger.artifact("start").folder()), None).to_files().unwrap());
    assert!(error.contains("of [320, 48], expected `model.embed_tokens.weight` of [320, 32]"), "{error}");

    let mut files = elsewhere(base(), None).to_files().unwrap();
    let template = String::from_utf8(files.0["tokenizer_config.json"].clone()).unwrap();
    files.0.insert("tokenizer_config.json".into(), template.replace("<|end|>", "<|end|>\\n").into_bytes());
    let error = refused("whole", "template", &files);
    assert!(error.contains("its tokenizer or chat template makes other tokens of row"), "{error}");

    let mut files = elsewhere(base(), None).to_files().unwrap();
    let weights = files.0.get_mut("model.safetensors").unwrap();
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = refused("whole", "nan", &files);
    assert!(error.contains("holds NaN at place"), "{error}");

    let lora = LoraConfig { r: 4, ..LoraConfig::default() };
    let adapter = elsewhere(base(), Some(&lora)).adapter_files("start").unwrap();
    let error = refused("whole", "adapter", &adapter);
    assert!(error.contains("it is an adapter, and the step trains a whole model"), "{error}");
    let error = refused("adapted", "merged", &elsewhere(base(), None).to_files().unwrap());
    assert!(error.contains("it is a whole model, and the step trains an adapter"), "{error}");
    let other = LoraConfig { r: 8, ..LoraConfig::default() };
    let error = refused("adapted", "other", &elsewhere(base(), Some(&other)).adapter_files("start").unwrap());
    assert!(error.contains("its adapter is {") && error.contains("\"r\":8"), "{error}");
}
