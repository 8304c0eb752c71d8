//! A reward model through a recipe: trained on pairs in two languages, it scores answers to other prompts at once, as the
//! step's checkpoint and as a folder.

use std::{collections::BTreeMap, fmt::Write, fs};

use cambist_core::score::Score;
use cambist_io::{formats, store::Artifact};
use cambist_model::{LocalModel, Shape, train_tokenizer};
use cambist_pipeline::{
    Dtype,
    merge_adapter::{MergeOptions, merge_adapter},
    recipe::Recipe,
};
use serde_json::{Value, json};

use crate::{
    house::{House, Ran, recipe},
    python::{python_with, run_well},
};

/// The good teacher writes the number, the bad one another word.
const RECIPE: &str = "
name: rewards
seed: 4
pool:
  - {id: good, license: MIT, replay: {file: answers.jsonl}}
  - {id: bad, license: MIT, replay: {file: answers.jsonl}}
arbiters:
  - {id: recorded, recorded: {file: scores.jsonl}}
  - {id: trained, local: rewarder}
steps:
  - id: prompts
    prompts: {file: prompts.jsonl, splits: {train: 64, dev: 24}}
  - id: answers
    generate: {prompts: prompts.train, router: all, arbiter: recorded}
  - id: dev-answers
    generate: {prompts: prompts.dev, router: all, arbiter: recorded}
  - id: data
    select:
      from: answers
      strategies: {best: {router: all}}
      gates: {language: null, repetition: null, echo: null}
      pairs: {margin_quantile: 0.0, max_length_ratio: null}
  - id: dev
    select:
      from: dev-answers
      strategies: {best: {router: all}}
      gates: {language: null, repetition: null, echo: null}
      pairs: {margin_quantile: 0.0, max_length_ratio: null}
  - id: rewarder
    train:
      objective: reward
      base_folder: language
      data: data.pairs
      held_out: dev.pairs
      loss: {margin_scale: 0.5, center_rewards_coefficient: 0.01}
      config: {steps: 40, lr: 0.01, batch_size: 16, eval_every: 20}
  - id: scores
    score: {from: dev-answers, arbiter: trained}
  - report: {}
";

const WORDS: [&str; 8] = ["river", "garden", "window", "letter", "bridge", "market", "forest", "candle"];

fn house() -> House {
    let house = House::new();
    let (mut prompts, mut answers, mut scores, mut texts) = (String::new(), String::new(), String::new(), vec![]);
    for at in 0..88 {
        let (language, ask) = [("en", "Which number stands on the"), ("de", "Welche Zahl steht auf dem")][at % 2];
        let prompt = format!("{ask} {} {at}?", WORDS[at / 2 % 8]);
        let _ = writeln!(prompts, "{}", json!({"id": format!("p{at}"), "language": language, "prompt": prompt}));
        for (model, text, score) in [("good", format!("It is number {at}."), 2.0), ("bad", format!("zzz {at}"), 1.0)] {
            let cell = json!({"prompt_id": format!("p{at}"), "model": model, "text": text, "score": score});
            let _ = writeln!(answers, "{cell}");
            let _ = writeln!(scores, "{cell}");
            texts.push(format!("{prompt} {text}"));
        }
    }
    for (name, text) in [("prompts", prompts), ("answers", answers), ("scores", scores)] {
        fs::write(house.folder().join(format!("{name}.jsonl")), text).unwrap();
    }
    let shape = Shape { hidden_size: 32, n_layers: 1, intermediate_size: 64, max_positions: 128, ..Shape::default() };
    let model = LocalModel::new(&shape, &train_tokenizer(&texts, 320).unwrap(), 5).unwrap();
    write_folder(&house, "language", &model.to_files().unwrap().0);
    house
}

fn write_folder(house: &House, name: &str, files: &BTreeMap<String, Vec<u8>>) {
    fs::create_dir(house.folder().join(name)).unwrap();
    for (file, bytes) in files {
        fs::write(house.folder().join(name).join(file), bytes).unwrap();
    }
}

fn log(artifact: &Artifact) -> Vec<Value> {
    let lines = String::from_utf8(artifact.read("train.jsonl").unwrap()).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn scores(ran: &Ran) -> BTreeMap<(String, String), f64> {
    let path = ran.artifact("scores").checked_path("scores.parquet").unwrap();
    let scores = formats::scan_table::<Score>(&path).unwrap().map(Result::unwrap);
    scores.map(|score| ((score.prompt_id.clone(), score.teacher.clone()), score.value.unwrap())).collect()
}

#[test]
fn a_reward_model_learns_every_language_and_scores_at_once() {
    let house = house();
    let ran = house.run(recipe(RECIPE, &[]), 2).unwrap();
    let lines = log(ran.artifact("rewarder"));
    assert_eq!(lines[0]["objective"], "reward");
    let formula = "mean over pairs of -ln σ(r_w - r_l - 0.5 m) + 0.01 * mean over pairs of (r_w + r_l)^2; r the reward";
    assert!(lines[0]["formula"].as_str().unwrap().starts_with(formula), "{}", lines[0]);
    let held_out = &lines.iter().rfind(|line| line.get("held_out").is_some()).unwrap()["held_out"];
    for language in ["de", "en"] {
        let metrics = &held_out["metrics_per_language"][language];
        assert!(metrics["rewards/accuracies"].as_f64().unwrap() > 0.9, "{language}: {held_out}");
        let [chosen, rejected, margin] =
            ["chosen", "rejected", "margins"].map(|name| metrics[format!("rewards/{name}")].as_f64().unwrap());
        assert!((chosen - rejected - margin).abs() < 1e-9 && margin > 0.0, "{language}: {metrics}");
        assert!(metrics["rewards/ties"] == 0.0 && held_out["loss_per_language"][language].as_f64().unwrap() < 0.7);
    }
    let found = scores(&ran);
    assert_eq!(found.len(), 48);
    let better = |((prompt, teacher), value): (&(String, String), &f64)| {
        teacher == "good" && *value > found[&(prompt.clone(), "bad".to_owned())]
    };
    assert!(found.iter().filter(|cell| better(*cell)).count() > 21, "{found:?}");
    let page = String::from_utf8(ran.artifact("report").read("report.html").unwrap()).unwrap();
    assert!(page.contains("reward accuracy"));

    // The checkpoint is a folder of `transformers`, and the same arbiter under `folder`.
    let checkpoint = ran.artifact("rewarder");
    let config: Value = serde_json::from_slice(&checkpoint.read("config.json").unwrap()).unwrap();
    assert_eq!(config["architectures"], json!(["LlamaForSequenceClassification"]));
    let names = checkpoint.manifest().files.keys();
    write_folder(&house, "copied", &names.map(|name| (name.clone(), checkpoint.read(name).unwrap())).collect());
    let as_folder = RECIPE.replace("local: rewarder", "folder: copied");
    let ran = house.run(recipe(&as_folder, &[]), 2).unwrap();
    assert_eq!(scores(&ran), found, "to the last bit");
}

/// The same training through an adapter: what is kept is PEFT's folder.
fn adapted() -> String {
    let adapted = RECIPE.replace("base_folder: language", "base_folder: language\n      lora: {r: 4, alpha: 8}");
    adapted.replace("lr: 0.01", "lr: 0.03")
}

#[test]
fn an_adapter_brings_its_reward_head_and_scores_as_its_merge_does() {
    let house = house();
    let ran = house.run(recipe(&adapted(), &[]), 2).unwrap();
    let (checkpoint, found) = (ran.artifact("rewarder"), scores(&ran));
    let counts = &checkpoint.manifest().counts;
    assert!(counts["trained_parameters"] < counts["parameters"], "{counts:?}");
    let lines = log(checkpoint);
    let held_out = &lines.iter().rfind(|line| line.get("held_out").is_some()).unwrap()["held_out"];
    for language in ["de", "en"] {
        let accuracy = held_out["metrics_per_language"][language]["rewards/accuracies"].as_f64().unwrap();
        assert!(accuracy > 0.9, "{language}: {held_out}");
    }
    let config: Value = serde_json::from_slice(&checkpoint.read("adapter_config.json").unwrap()).unwrap();
    assert_eq!((&config["task_type"], &config["modules_to_save"]), (&json!("SEQ_CLS"), &json!(["score"])));
    assert_eq!(config["base_model_name_or_path"], "language");
    assert!(!checkpoint.manifest().files.contains_key("config.json"));

    // As a folder of its own beside its base, and merged into it.
    let copied = ["adapter_config.json", "adapter_model.safetensors"];
    write_folder(&house, "peft", &copied.map(|name| (name.to_owned(), checkpoint.read(name).unwrap())).into());
    let to = house.folder().join("merged");
    let base = Some(house.folder().join("language"));
    let options = MergeOptions { adapter: "rewards.rewarder".to_owned(), base, dtype: Dtype::F32, to };
    let merged = merge_adapter(&options, &house.store()).unwrap();
    assert_eq!((merged.adapters[0].n_changed, merged.adapters[0].n_adapted), (7, 7), "{merged:?}");
    for folder in ["peft", "merged"] {
        let as_folder = adapted().replace("local: rewarder", &format!("folder: {folder}"));
        assert_eq!(scores(&house.run(recipe(&as_folder, &[]), 2).unwrap()), found, "{folder}, to the last bit");
    }

    // Trained on, the adapter is merged first, and its head is where the next one begins.
    let second = "  - id: second\n    train: {objective: reward, base: rewarder, data: data.pairs, lora: {r: 2}, config: {steps: 2}}\n";
    let again = adapted().replace("  - id: scores\n", &format!("{second}  - id: scores\n"));
    let ran = house.run(recipe(&again, &[]), 2).unwrap();
    let notes = &ran.artifact("second").manifest().notes;
    assert!(notes.iter().any(|note| note.starts_with("the base's adapter was merged first: 7 of 7")), "{notes:?}");
}

#[test]
fn peft_loads_the_reward_adapter_and_scores_as_its_merge_does() {
    let Some(python) = python_with(&["torch", "transformers", "peft"]) else { return };
    let house = house();
    let ran = house.run(recipe(&adapted(), &[]), 2).unwrap();
    let (to, base) = (house.folder().join("merged"), house.folder().join("language"));
    let options =
        MergeOptions { adapter: "rewards.rewarder".to_owned(), base: Some(base.clone()), dtype: Dtype::F32, to };
    let merged = merge_adapter(&options, &house.store()).unwrap();
    let script = "crates/cambist-pipeline/tests/stories/reward_adapters.py";
    eprintln!("{}", run_well(&python, script, &[base.as_path(), ran.artifact("rewarder").folder(), &merged.folder]));
}

#[test]
fn recipes_use_reward_models_for_rewards_alone() {
    let faults = |text: &str| Recipe::parse("recipe.yaml", text, &[]).err().unwrap().to_string();
    let language = faults(
        &RECIPE
            .replace("objective: reward", "objective: dpo")
            .replace("loss: {margin_scale: 0.5, center_rewards_coefficient: 0.01}", "loss: {}"),
    );
    assert!(language.contains("arbiter `trained` is `local: rewarder`, which trains a language model"), "{language}");
    let tokens = faults(&RECIPE.replace("local: rewarder", "local: rewarder, tokens: {good: \"1\"}"));
    assert!(tokens.contains("which trains a reward head, which has no logits of tokens"), "{tokens}");
    let teacher =
        faults(&RECIPE.replace(
            "{id: bad, license: MIT, replay: {file: answers.jsonl}}",
            "{id: bad, license: MIT, local: rewarder}",
        ));
    assert!(
        teacher.contains("teacher `bad` is `rewarder`, and `rewarder` trains reward models, which write no answers"),
        "{teacher}"
    );
    let evaluated =
        RECIPE.replace("  - report: {}", "  - evaluate: {models: rewarder, prompts: prompts.dev, arbiter: recorded}");
    let evaluated = faults(&evaluated);
    assert!(evaluated.contains("a model under `models` is `rewarder`"), "{evaluated}");
    let rows = faults(&RECIPE.replace("data: data.pairs", "data: data.best"));
    assert!(rows.contains("reads `data.best`, and `reward` learns from pairs"), "{rows}");
}
