//! KTO through recipes: on single answers of a file, on pairs of a `select` step, and handed over to TRL.

use std::{fmt::Write, fs, ops::ControlFlow, path::Path};

use cambist_core::{language::Language, prompt::Message};
use cambist_io::store::{Artifact, Store};
use cambist_model::{BradleyTerry, LocalModel, LoraConfig, Shape, TrainConfig, TrainRow, train, train_tokenizer};
use cambist_pipeline::{plan::Plan, recipe::Recipe};
use serde_json::{Value, json};

use crate::house::{House, Ran, recipe};

/// The good teacher writes the number, the bad one another word.
const RECIPE: &str = "
name: unpaired
seed: 4
pool:
  - {id: good, license: MIT, replay: {file: answers.jsonl}}
  - {id: bad, license: MIT, replay: {file: answers.jsonl}}
arbiters:
  - {id: recorded, recorded: {file: scores.jsonl}}
steps:
  - id: prompts
    prompts: {file: prompts.jsonl, splits: {train: 32, dev: 16}}
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
  - id: student
    train:
      objective: kto
      base_folder: language
      data: data.pairs
      held_out: dev.pairs
      loss: {beta: 0.5, undesirable_weight: 1.5}
      config: {steps: 30, lr: 0.003, batch_size: 16, eval_every: 15}
  - id: reader
    train:
      objective: kto
      base_folder: language
      data_file: labelled.jsonl
      config: {steps: 4, lr: 0.003, batch_size: 16}
  - report: {}
";

const WORDS: [&str; 8] = ["river", "garden", "window", "letter", "bridge", "market", "forest", "candle"];

pub(crate) fn house() -> House {
    let house = House::new();
    let [mut prompts, mut answers, mut scores, mut labelled] = [const { String::new() }; 4];
    let mut texts = vec![];
    for at in 0..48 {
        let (language, ask) = [("en", "Which number stands on the"), ("de", "Welche Zahl steht auf dem")][at % 2];
        let prompt = format!("{ask} {} {at}?", WORDS[at / 2 % 8]);
        let _ = writeln!(prompts, "{}", json!({"id": format!("p{at}"), "language": language, "prompt": prompt}));
        for (model, text, score) in [("good", format!("It is number {at}."), 2.0), ("bad", format!("zzz {at}"), 1.0)] {
            let cell = json!({"prompt_id": format!("p{at}"), "model": model, "text": text, "score": score});
            let _ = writeln!(answers, "{cell}");
            let _ = writeln!(scores, "{cell}");
            let turn = |role: &str, text: &str| json!([{"role": role, "content": text}]);
            let row = json!({"prompt": turn("user", &prompt), "completion": turn("assistant", &text), "label": score > 1.5, "language": language});
            let _ = writeln!(labelled, "{row}");
            texts.push(format!("{prompt} {text}"));
        }
    }
    for (name, text) in [("prompts", prompts), ("answers", answers), ("scores", scores), ("labelled", labelled)] {
        fs::write(house.folder().join(format!("{name}.jsonl")), text).unwrap();
    }
    let shape = Shape { hidden_size: 32, n_layers: 1, intermediate_size: 64, max_positions: 128, ..Shape::default() };
    let model = LocalModel::new(&shape, &train_tokenizer(&texts, 320).unwrap(), 5).unwrap();
    let folder = house.folder().join("language");
    fs::create_dir(&folder).unwrap();
    model.to_files().unwrap().0.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    house
}

fn log(artifact: &Artifact) -> Vec<Value> {
    let lines = String::from_utf8(artifact.read("train.jsonl").unwrap()).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(ran: &Ran, step: &str, what: &str) -> u64 {
    ran.artifact(step).manifest().counts[what]
}

#[test]
fn wanted_answers_become_likelier_in_every_language() {
    let house = house();
    let ran = house.run(recipe(RECIPE, &[]), 2).unwrap();
    let lines = log(ran.artifact("student"));
    assert_eq!(lines[0]["objective"], "kto");
    let formula = lines[0]["formula"].as_str().unwrap();
    assert!(formula.starts_with("mean over answers of 1 (1 - σ(0.5 (r - z))) for desirable and 1.5 (1"), "{formula}");
    // Each of 32 pairs is two answers; the first step begins at its reference.
    assert_eq!((number(&ran, "student", "rows"), number(&ran, "reader", "rows")), (64, 96));
    assert!((lines[1]["loss"].as_f64().unwrap() - 0.625).abs() < 0.13 && lines[1]["metrics"]["kl"] == 0.0);
    let held_out = &lines.iter().rfind(|line| line.get("held_out").is_some()).unwrap()["held_out"];
    for language in ["de", "en"] {
        let metrics = &held_out["metrics_per_language"][language];
        let [wanted, unwanted] =
            ["chosen", "rejected"].map(|side| metrics[format!("rewards/{side}")].as_f64().unwrap());
        assert!(wanted > unwanted + 0.1, "{language}: {metrics}");
    }
    assert_eq!(log(ran.artifact("reader")).len(), 5);

    // Another file is another artifact; the same one is none.
    let again = house.run(recipe(RECIPE, &[]), 2).unwrap();
    assert!(again.reused.contains(&"reader".to_owned()), "{:?}", again.reused);
    let path = house.folder().join("labelled.jsonl");
    let shorter: String = fs::read_to_string(&path).unwrap().lines().skip(1).map(|line| format!("{line}\n")).collect();
    fs::write(&path, shorter).unwrap();
    let changed = house.run(recipe(RECIPE, &[]), 2).unwrap();
    assert!(!changed.reused.contains(&"reader".to_owned()) && changed.reused.contains(&"student".to_owned()));
    assert_eq!(number(&changed, "reader", "rows"), 95);
}

#[test]
fn recipes_that_name_no_rows_or_twice_are_refused() {
    let faults = |text: &str| Recipe::parse("recipe.yaml", text, &[]).err().unwrap().to_string();
    let both =
        faults(&RECIPE.replace("data_file: labelled.jsonl", "data_file: labelled.jsonl\n      data: data.pairs"));
    assert!(both.contains("`data`") && both.contains("`data_file`"), "{both}");
    let none = faults(&RECIPE.replace("      data_file: labelled.jsonl\n", ""));
    assert!(none.contains("`data_file`"), "{none}");
    let sets = faults(&RECIPE.replace("data: data.pairs", "data: data.best"));
    assert!(sets.contains("reads `data.best`, and `kto` learns from pairs"), "{sets}");
    let loss = faults(&RECIPE.replace("{beta: 0.5, undesirable_weight: 1.5}", "{beta: 0.5, gamma: 1}"));
    assert!(loss.contains("`gamma` has no meaning beside `objective: kto`"), "{loss}");
    let missing = recipe(&RECIPE.replace("labelled.jsonl", "absent.jsonl"), &[]);
    assert!(Plan::new(missing, house().folder()).err().unwrap().to_string().contains("absent.jsonl"));
}

/// What a file of pairs and one of labelled answers become for TRL.
const HANDOVERS: &str = "
name: handovers
seed: 4
steps:
  - id: pairs
    train:
      objective: dpo
      base_folder: language
      data_file: pairs.jsonl
      loss: {beta: 0.2, nll: {weight: 0.5, reduce: token}}
      config: {steps: 2, batch_size: 4}
  - id: labels
    train: {objective: kto, base_folder: language, data_file: labelled.jsonl, config: {steps: 2, batch_size: 8}}
  - id: rewards
    train:
      {objective: reward, base_folder: language, data_file: pairs.jsonl, loss: {margin_scale: 0.5}, config: {steps: 2, batch_size: 4}}
  - id: odds
    train: {objective: orpo, base_folder: language, data_file: pairs.jsonl, config: {steps: 2, batch_size: 4}}
  - id: adapted-rewards
    train: {objective: reward, base_folder: language, data_file: pairs.jsonl, lora: {r: 4}, config: {steps: 2, batch_size: 4}}
";

/// What is handed over, before anything of it is trained.
fn handovers() -> (House, Plan) {
    let house = house();
    let pair = |at: usize, rejected: &str| json!({"language": "de", "prompt": format!("Frage {at}?"), "chosen": "Ja.", "rejected": rejected, "margin": 1.5});
    let rows = [pair(0, "Nein."), pair(1, "zzz"), pair(2, "Ja."), pair(3, "Nie.")];
    fs::write(house.folder().join("pairs.jsonl"), rows.map(|row| format!("{row}\n")).concat()).unwrap();
    let plan = Plan::new(recipe(HANDOVERS, &[]), house.folder()).unwrap();
    Store::open(&house.store()).unwrap();
    (house, plan)
}

fn lines(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("data/train.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn yaml(folder: &Path) -> String {
    fs::read_to_string(folder.join("training.yaml")).unwrap()
}

#[test]
fn pairs_and_labels_are_handed_over_in_the_shapes_of_trl() {
    let world = handovers();
    let export = |step: &str| crate::handover::export(&world, step, 1).unwrap();
    let said = |role: &str, text: &str| json!([{"role": role, "content": text}]);

    let pairs = export("pairs");
    assert_eq!((pairs.n_rows, pairs.n_dropped), (3, 1), "both answers of the third pair are the same");
    let first = &lines(&pairs.folder)[0];
    assert_eq!(
        (&first["prompt"], &first["chosen"], &first["rejected"]),
        (&said("user", "Frage 0?"), &said("assistant", "Ja."), &said("assistant", "Nein."))
    );
    for line in
        ["loss_type: [\"sigmoid\",\"sft\"]", "loss_weights: [1.0,0.5]", "beta: 0.2", "precompute_ref_log_probs: true"]
    {
        assert!(yaml(&pairs.folder).lines().any(|found| found == line), "{line} is not in {}", yaml(&pairs.folder));
    }
    assert!(fs::read_to_string(pairs.folder.join("train.sh")).unwrap().contains("trl dpo --config"));

    let labels = export("labels");
    let rows = lines(&labels.folder);
    assert_eq!((rows.len(), rows.iter().filter(|row| row["label"] == true).count()), (96, 48));
    assert!(rows[..12].windows(2).any(|two| two[0]["label"] == two[1]["label"]), "they are shuffled");
    assert_eq!(rows[0]["completion"][0]["role"], "assistant");

    let rewards = export("rewards");
    let first = &lines(&rewards.folder)[0];
    assert_eq!(first["margin"], 0.75);
    assert!(first["chosen_ids"].as_array().unwrap().len() > 3 && first["rejected_ids"].is_array());
    let base: Value = serde_json::from_slice(&fs::read(rewards.folder.join("base/config.json")).unwrap()).unwrap();
    assert_eq!(base["architectures"], json!(["LlamaForSequenceClassification"]), "both begin with the same new head");
    assert!(yaml(&rewards.folder).contains("model_name_or_path: \"base\""));
}

#[test]
fn pairs_for_trainers_without_a_command_are_handed_over_in_tokens() {
    let world = handovers();
    let odds = crate::handover::export(&world, "odds", 1).unwrap();
    let first = &lines(&odds.folder)[0];
    let ids = |key: &str| first[key].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect::<Vec<_>>();
    let (tokens, labels) = (ids("chosen_input_ids"), ids("chosen_labels"));
    let n_prompt = labels.iter().take_while(|label| **label == -100).count();
    assert!(n_prompt > 3 && labels[n_prompt..] == tokens[n_prompt..], "{labels:?} {tokens:?}");
    assert_eq!(ids("rejected_input_ids")[..n_prompt], tokens[..n_prompt]);
    let said = |name: &str| fs::read_to_string(odds.folder.join(name)).unwrap();
    assert!(
        said("train.sh").contains("accelerate launch --config_file accelerate.yaml train.py --config training.yaml")
    );
    assert!(
        said("train.py").contains("class TokenTrainer(ORPOTrainer)") && said("README.md").contains("prompts included")
    );
}

#[test]
fn a_reward_adapter_that_was_trained_elsewhere_is_the_steps_artifact() {
    let world = handovers();
    let adapted = crate::handover::export(&world, "adapted-rewards", 1).unwrap();
    assert!(yaml(&adapted.folder).lines().any(|line| line == "lora_task_type: \"SEQ_CLS\""));
    let folder = adapted.folder.join("checkpoint");
    let trained = elsewhere(crate::handover::read(&adapted.folder.join("base")));
    crate::handover::write(&folder, &trained.to_files().unwrap());
    let refused = crate::handover::import(&world, "adapted-rewards", &folder).unwrap_err().to_string();
    assert!(refused.contains("it is a whole model, and the step trains an adapter"), "{refused}");
    fs::remove_dir_all(&folder).unwrap();
    crate::handover::write(&folder, &trained.adapter_files("base").unwrap());
    let imported = crate::handover::import(&world, "adapted-rewards", &adapted.folder).unwrap();
    assert_eq!(imported.n_trained, trained.n_trained(), "{imported:?}");
    let ran = world.0.run(recipe(HANDOVERS, &[]), 2).unwrap();
    assert_eq!(ran.reused, ["adapted-rewards"]);
    let config: Value =
        serde_json::from_slice(&ran.artifact("adapted-rewards").read("adapter_config.json").unwrap()).unwrap();
    assert_eq!((&config["base_model_name_or_path"], &config["task_type"]), (&json!("language"), &json!("SEQ_CLS")));
}

/// Another trainer: a few steps of an adapter and its head on a pair of its own.
fn elsewhere(mut model: LocalModel) -> LocalModel {
    model.add_adapter(&LoraConfig { r: 4, ..LoraConfig::default() }, 1).unwrap();
    let (german, prompt) = (Language::parse("de").unwrap(), vec![Message::user("Frage 9?")]);
    let rows = [TrainRow::pair("pair", german, prompt, ["Ja.", "Nein."].map(str::to_owned))];
    let config = TrainConfig { steps: Some(3), batch_size: 1, ..TrainConfig::default() };
    train(&mut model, (&rows, &BradleyTerry::default()), &config, &mut |_| ControlFlow::Continue(())).unwrap();
    model
}
