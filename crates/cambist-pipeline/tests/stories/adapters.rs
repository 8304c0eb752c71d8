//! Adapters through a recipe: on a model, on one another, as teachers, in PEFT's folder, merged.

use std::{collections::BTreeMap, fs, path::Path};

use cambist_core::completion::Completion;
use cambist_io::{formats, store::Artifact};
use cambist_model::{LocalModel, ModelFiles};
use cambist_pipeline::{
    Dtype, PipelineError,
    merge_adapter::{MergeOptions, Merged, merge_adapter},
};
use serde_json::Value;

use crate::{
    house::{House, Ran, recipe},
    python::{python_with, run_well},
};

const RECIPE: &str = include_str!("adapters.yaml");

/// Enough to train adapters, without whom to ask.
fn trained(house: &House) -> Ran {
    house.run(recipe(RECIPE, &[]), 2).unwrap()
}

fn merge(house: &House, (adapter, base): (&str, Option<&Path>), to: &str) -> Result<Merged, PipelineError> {
    merge_in(Dtype::F32, house, (adapter, base), to)
}

fn merge_in(
    dtype: Dtype,
    house: &House,
    (adapter, base): (&str, Option<&Path>),
    to: &str,
) -> Result<Merged, PipelineError> {
    let (to, base) = (house.folder().join(to), base.map(Path::to_owned));
    merge_adapter(&MergeOptions { adapter: adapter.to_owned(), base, dtype, to }, &house.store())
}

fn model(folder: &Path) -> ModelFiles {
    ModelFiles(formats::read_model_folder(folder).unwrap())
}

/// What an artifact holds beside logs and files of tokenizers.
fn adapter(artifact: &Artifact) -> ModelFiles {
    let read = |name: &str| (name.to_owned(), artifact.read(name).unwrap());
    ModelFiles(["adapter_config.json", "adapter_model.safetensors"].map(read).into())
}

#[test]
fn an_adapter_lies_on_what_it_was_trained_on() {
    let house = House::new();
    let ran = trained(&house);
    let (start, first, second) = (ran.artifact("start"), ran.artifact("first"), ran.artifact("second"));
    for (made, base, n_merged) in [(first, start, 0), (second, first, 1)] {
        let config: Value = serde_json::from_slice(&made.read("adapter_config.json").unwrap()).unwrap();
        assert_eq!(config["base_model_name_or_path"], base.manifest().id.to_string());
        assert!(made.manifest().files.contains_key("tokenizer.json"));
        assert!(!made.manifest().files.contains_key("config.json"));
        let counts = &made.manifest().counts;
        assert!(counts["trained_parameters"] < counts["parameters"], "{counts:?}");
        assert_eq!(made.manifest().notes.len(), n_merged, "{:?}", made.manifest().notes);
    }
    let whole = ran.artifact("whole").manifest();
    assert!(whole.files.contains_key("model.safetensors") && !whole.files.contains_key("adapter_config.json"));
    assert!(whole.notes.len() == 2 && whole.notes[0].starts_with("the base's adapter was merged first: "), "{whole:?}");

    // Merged from the bottom up, by hand and by the command.
    let mut by_hand = LocalModel::from_files(&model(start.folder())).unwrap();
    for made in [first, second] {
        by_hand.read_adapter(&adapter(made)).unwrap();
        by_hand.merge_adapter().unwrap();
    }
    let merged = merge(&house, ("adapters.second", None), "merged").unwrap();
    assert_eq!(merged.adapters.len(), 2);
    assert!(merged.adapters.iter().all(|report| report.n_changed > 0 && report.largest_change > 0.0));
    assert_eq!(model(&merged.folder), by_hand.to_files().unwrap());
    let half = merge_in(Dtype::Bf16, &house, ("adapters.second", None), "half").unwrap();
    assert_eq!(model(&half.folder), by_hand.to_files_in(Dtype::Bf16).unwrap());
}

/// A change that f32 keeps and bf16 does not.
#[test]
fn changes_that_are_lost_to_rounding_are_no_merge() {
    let house = House::new();
    let faint = ["first.train.config.lr=4e-12", "first.train.config.steps=2", "second.train.config.steps=1"];
    house.run(recipe(RECIPE, &faint), 2).unwrap();
    let merged = merge(&house, ("adapters.first", None), "merged").unwrap();
    assert!(merged.adapters[0].largest_change < 1e-6, "{merged:?}");
    let error = merge_in(Dtype::Bf16, &house, ("adapters.first", None), "half").unwrap_err().to_string();
    assert!(error.contains("lost to rounding") && !house.folder().join("half").exists(), "{error}");
}

/// The files of PEFT's folder beside a recipe, which names them as it likes.
fn beside_the_recipe(house: &House, ran: &Ran, base: &str) {
    let copy = |artifact: &Artifact, to: &str, names: &[&str]| {
        let to = house.folder().join(to);
        fs::create_dir_all(&to).unwrap();
        names.iter().for_each(|name| fs::write(to.join(name), artifact.read(name).unwrap()).unwrap());
    };
    let tokenizer = ["tokenizer.json", "tokenizer_config.json"];
    let whole = ["config.json", "generation_config.json", "model.safetensors"];
    copy(ran.artifact("start"), "models/start", &[tokenizer.as_slice(), &whole].concat());
    copy(ran.artifact("first"), "peft", &["adapter_config.json", "adapter_model.safetensors"]);
    let path = house.folder().join("peft/adapter_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["base_model_name_or_path"] = base.into();
    fs::write(path, config.to_string()).unwrap();
}

const FROM_FOLDERS: &str = r"
name: folders
seed: 5
pool:
  - {id: first, license: Apache-2.0, folder: peft}
arbiters:
  - {id: similarity, chrf: {}}
steps:
  - id: prompts
    prompts: {polyglot: {tasks: [date-long]}, languages: [ja, tr], splits: {teach: 24, test: 4}}
  - id: answers
    generate: {prompts: prompts.test, router: all, arbiter: similarity, sampling: {max_new_tokens: 16}}
  - id: second
    train:
      objective: sft
      base_folder: peft
      data: prompts.teach
      lora: {r: 2, alpha: 4, rslora: true, targets: [q_proj, v_proj]}
      config: {steps: 30, lr: 0.02}
";

fn texts(ran: &Ran, teacher: &str) -> BTreeMap<String, String> {
    let path = ran.artifact("answers").path("completions.parquet").unwrap();
    let answers: Vec<Completion> = formats::read_table(&path).unwrap();
    let own = answers.into_iter().filter(|answer| answer.teacher == teacher);
    own.map(|answer| (answer.prompt_id, answer.text)).collect()
}

#[test]
fn pefts_folder_teaches_and_is_trained_on_like_the_artifact_that_it_was() {
    let house = House::new();
    let ran = trained(&house);
    for base in ["models/start", house.folder().join("models/start").to_str().unwrap()] {
        beside_the_recipe(&house, &ran, base);
        let from_folders = house.run(recipe(FROM_FOLDERS, &[]), 2).unwrap();
        assert_eq!(texts(&from_folders, "first"), texts(&ran, "first"));
        let numbers = |ran: &Ran| ran.artifact("second").read("adapter_model.safetensors").unwrap();
        assert_eq!(numbers(&from_folders), numbers(&ran));
    }
    // Other numbers below the adapter are another model, and another artifact.
    let before = house.run(recipe(FROM_FOLDERS, &[]), 2).unwrap();
    fs::write(house.folder().join("models/start/model.safetensors"), merged_weights(&house)).unwrap();
    let after = house.run(recipe(FROM_FOLDERS, &[]), 2).unwrap();
    assert_ne!(before.artifact("answers").manifest().id, after.artifact("answers").manifest().id);
    let error = merge(&house, ("folders.second", Some(&house.folder().join("models/start"))), "other").unwrap_err();
    assert!(error.to_string().contains("is not the model that this adapter was trained on"), "{error}");
}

fn merged_weights(house: &House) -> Vec<u8> {
    let merged = merge(house, ("adapters.first", None), "merged-first").unwrap();
    fs::read(merged.folder.join("model.safetensors")).unwrap()
}

#[test]
fn bases_that_are_not_there_are_told_with_a_remedy() {
    let house = House::new();
    let ran = trained(&house);
    beside_the_recipe(&house, &ran, "google/gemma-2-9b");
    let error = house.run(recipe(FROM_FOLDERS, &[]), 2).err().unwrap().to_string();
    assert!(error.contains("its base `google/gemma-2-9b` is no model folder here"), "{error}");
    assert!(error.contains("cambist merge-adapter"), "{error}");
    beside_the_recipe(&house, &ran, "peft");
    let error = house.run(recipe(FROM_FOLDERS, &[]), 2).err().unwrap().to_string();
    assert!(error.contains("an adapter on an adapter"), "{error}");

    let peft = house.folder().join("peft");
    let given = house.folder().join("models/start");
    let merged = merge(&house, (peft.to_str().unwrap(), Some(&given)), "merged").unwrap();
    assert_eq!(model(&merged.folder), model(&merge(&house, ("adapters.first", None), "same").unwrap().folder));
    let error = merge(&house, ("adapters.first", None), "same").unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    let error = merge(&house, ("adapters.start", None), "none").unwrap_err().to_string();
    assert!(error.contains("it is a whole model and no adapter"), "{error}");
}

#[test]
fn peft_loads_the_artifact_and_says_what_the_merged_model_says() {
    let Some(python) = python_with(&["torch", "transformers", "peft"]) else { return };
    let house = House::new();
    let ran = trained(&house);
    let merged = merge(&house, ("adapters.first", None), "merged").unwrap();
    let script = "crates/cambist-pipeline/tests/stories/adapters.py";
    let folders = [ran.artifact("start").folder(), ran.artifact("first").folder(), &merged.folder];
    eprintln!("{}", run_well(&python, script, &folders));
}
