//! Scores become labels through a recipe: each answer by itself, learned from by KTO.

use std::{collections::BTreeMap, fmt::Write, fs};

use cambist_io::{
    formats::{LabelledRow, read_table},
    store::Artifact,
};
use cambist_pipeline::{plan::Plan, recipe::Recipe};
use serde_json::{Value, json};

use crate::{
    house::{House, recipe},
    unpaired::house,
};

/// `good` has 2, `bad` has 1 and `fair` has 1.5, too many words or no score.
const RECIPE: &str = "
name: labels
seed: 4
pool:
  - {id: good, license: MIT, replay: {file: answers.jsonl}}
  - {id: fair, license: Apache-2.0, replay: {file: answers.jsonl}}
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
      gates: {language: null, repetition: null, echo: null, length: {limits: {max_chars: 60}}}
      labels: {}
  - id: dev
    select:
      from: dev-answers
      strategies: {best: {router: all}}
      gates: {language: null, repetition: null, echo: null, length: {limits: {max_chars: 60}}}
      labels: {rule: {at-least: 1.25}}
  - id: student
    train:
      objective: kto
      base_folder: language
      data: data.labels
      held_out: dev.labels
      loss: {beta: 0.5}
      config: {steps: 30, lr: 0.003, batch_size: 16, eval_every: 15}
  - report: {}
";

/// The house of single answers, and a third teacher in it.
fn labelled_house() -> House {
    let house = house();
    let [mut answers, mut scores] =
        ["answers", "scores"].map(|name| fs::read_to_string(house.folder().join(format!("{name}.jsonl"))).unwrap());
    for at in 0..48 {
        let many = if at % 8 == 5 { ", as far as anybody could ever tell such a thing for certain" } else { "" };
        let text = format!("Perhaps the {at}th{many}.");
        let cell = json!({"prompt_id": format!("p{at}"), "model": "fair", "text": text, "score": 1.5});
        let _ = writeln!(answers, "{cell}");
        if at % 8 != 2 {
            let _ = writeln!(scores, "{cell}");
        }
    }
    fs::write(house.folder().join("answers.jsonl"), answers).unwrap();
    fs::write(house.folder().join("scores.jsonl"), scores).unwrap();
    house
}

fn lines(artifact: &Artifact, name: &str) -> Vec<Value> {
    let text = String::from_utf8(artifact.read(name).unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn scored_answers_are_labelled_counted_and_learned_from() {
    let house = labelled_house();
    let ran = house.run(recipe(RECIPE, &[]), 2).unwrap();
    let data = ran.artifact("data");
    let rows: Vec<LabelledRow> = read_table(&data.path("labels.parquet").unwrap()).unwrap();
    for row in &rows {
        assert_eq!(row.label, row.score >= 1.5, "{row:?}");
        assert_eq!(row.license, if row.teacher == "fair" { "Apache-2.0" } else { "MIT" });
        assert!(row.completion.len() == 1 && row.prompt.len() == 1, "{row:?}");
    }
    assert_eq!(lines(data, "labels.jsonl").len(), rows.len());

    // Every answer is accounted for, by language too.
    let dropped = lines(data, "dropped.jsonl");
    let n_for =
        |reason: &str| dropped.iter().filter(|line| line["set"] == "labels" && line["reason"] == reason).count();
    let (n_stopped, n_unscored) = (n_for("stopped"), n_for("unscored"));
    assert!(
        n_stopped > 0 && n_unscored > 0 && rows.len() + n_stopped + n_unscored == 3 * 32,
        "{n_stopped} {n_unscored}"
    );
    let table: Value = serde_json::from_slice(&data.read("strategies.json").unwrap()).unwrap();
    let of_codes = table["labels"].as_object().unwrap().values().flat_map(|codes| codes.as_object().unwrap());
    let mut counts = BTreeMap::<&str, u64>::new();
    of_codes.for_each(|(code, n)| *counts.entry(code).or_default() += n.as_u64().unwrap());
    assert_eq!(counts["wanted"], data.manifest().counts["wanted answers"]);
    assert_eq!((counts["unwanted"], data.manifest().counts["unwanted answers"]), (32, 32));
    assert_eq!((counts["stopped"], counts["unscored"]), (n_stopped as u64, n_unscored as u64));
    assert!(data.manifest().notes.is_empty(), "{:?}", data.manifest().notes);
    let card = String::from_utf8(data.read("README.md").unwrap()).unwrap();
    assert!(card.contains("config_name: \"labels\"\n  data_files: \"labels.parquet\""), "{card}");
    assert!(card.contains(&format!("Labelled answers: {} wanted, 32 unwanted.", counts["wanted"])), "{card}");

    let student = ran.artifact("student");
    assert_eq!(student.manifest().counts["rows"], rows.len() as u64);
    let log = lines(student, "train.jsonl");
    let held_out = &log.iter().rfind(|line| line.get("held_out").is_some()).unwrap()["held_out"];
    for language in ["de", "en"] {
        let metrics = &held_out["metrics_per_language"][language];
        let [wanted, unwanted] =
            ["chosen", "rejected"].map(|side| metrics[format!("rewards/{side}")].as_f64().unwrap());
        assert!(wanted > unwanted, "{language}: {metrics}");
    }
    let page = String::from_utf8(ran.artifact("report").read("report.html").unwrap()).unwrap();
    assert!(page.contains("Labelled answers by language"));

    let plan = Plan::new(recipe(RECIPE, &[]), house.folder()).unwrap();
    let n_held_out = ran.artifact("dev").manifest().counts.iter().filter(|(what, _)| what.ends_with("wanted answers"));
    let n_held_out: u64 = n_held_out.map(|(_, n)| n).sum();
    let world = (house, plan);
    let exported = crate::handover::export(&world, "student", 1).unwrap();
    assert_eq!((exported.n_rows, exported.n_held_out as u64), (rows.len(), n_held_out));
    assert!(fs::read_to_string(exported.folder.join("train.sh")).unwrap().contains("trl kto --config"));
}

#[test]
fn a_threshold_that_leaves_one_kind_is_warned_of_and_not_learned_from() {
    let house = labelled_house();
    let all = "data.select.labels={rule: {at-least: 0}, languages: {de: {at-least: 1.25}}}";
    let ran = house.run(recipe(RECIPE, &[all, "student.train.config.steps=2"]), 2).unwrap();
    let notes = &ran.artifact("data").manifest().notes;
    assert!(notes.len() == 1 && notes[0].starts_with("`labels`: all "), "{notes:?}");
    assert!(notes[0].ends_with(" labelled answers in `en` are wanted"), "{notes:?}");
    let error = house.run(recipe(RECIPE, &[all, "student.train.languages=[en]"]), 2).err().unwrap().to_string();
    assert!(error.contains(" answers to learn from are wanted, and `kto` needs both kinds"), "{error}");
    let none = "data.select.labels={dead_zone: 100}";
    let error = house.run(recipe(RECIPE, &[none]), 2).err().unwrap().to_string();
    assert!(error.contains("no rows are left to train on"), "{error}");
}

#[test]
fn labels_stand_only_where_they_can_be_learned_from() {
    let faults = |from: &str, to: &str| {
        assert!(RECIPE.contains(from), "{from}");
        Recipe::parse("recipe.yaml", &RECIPE.replacen(from, to, 1), &[]).err().unwrap().to_string()
    };
    let sets = faults("data: data.labels", "data: data.best");
    assert!(sets.contains("reads `data.best`, and `kto` learns from pairs or labels"), "{sets}");
    let dpo = faults("objective: kto", "objective: dpo");
    assert!(dpo.contains("`data` of `student` reads the labels `data.labels`, which `dpo` cannot"), "{dpo}");
    assert!(dpo.contains("`held_out` of `student` reads the labels `dev.labels`"), "{dpo}");
    let none = faults("      labels: {}\n", "");
    assert!(none.contains("`data` makes no labels") && none.contains("add `labels: {}` to `data`"), "{none}");
    let share = faults("labels: {}", "labels: {languages: {de: {prompt-share: 0.6}}}");
    assert!(share.contains("`data`: `prompt-share` is 0.6, expected a number above 0 to 0.5"), "{share}");
    let zone = faults("labels: {}", "labels: {dead_zone: -0.5}");
    assert!(zone.contains("`data`: `dead_zone` is -0.5, expected a number from 0"), "{zone}");
    let name = faults("strategies: {best: {router: all}}", "strategies: {labels: {router: all}}");
    assert!(name.contains("`labels` cannot be a strategy of `data`"), "{name}");
}

#[test]
fn files_hold_out_what_steps_teach_and_nothing_that_they_do() {
    let house = labelled_house();
    let held = |at: usize| json!({"id": "p1", "language": "de", "prompt": format!("Was ist {at}?"), "completion": "Es ist so.", "label": at.is_multiple_of(2)});
    let rows: String = (0..4).map(|at| format!("{}\n", held(at))).collect();
    fs::write(house.folder().join("held.jsonl"), rows).unwrap();
    let with = |file: &str| RECIPE.replace("held_out: dev.labels", &format!("held_out_file: {file}"));
    let ran = house.run(recipe(&with("held.jsonl"), &["student.train.config.steps=2"]), 2).unwrap();
    let log = lines(ran.artifact("student"), "train.jsonl");
    assert_eq!(log.last().unwrap()["held_out"]["rows"], 4);
    // `labelled.jsonl` has two answers to each of 48 prompts, 32 of which are learned from.
    let error = house.run(recipe(&with("labelled.jsonl"), &[]), 2).err().unwrap().to_string();
    assert!(error.contains("64 of 96 held-out rows are learned from") && error.contains("the same prompt"), "{error}");
}
