//! Held-out rows of the user's own, for every objective.

use std::{fmt::Write, fs};

use cambist_io::store::{Artifact, Store};
use cambist_pipeline::{plan::Plan, recipe::Recipe};
use serde_json::{Value, json};

use crate::{
    house::{House, recipe},
    unpaired::house,
};

const CONVERSATIONS: [&str; 2] = ["sft", "pretrain"];
const PAIRS: [&str; 5] = ["dpo", "kto", "simpo", "orpo", "reward"];

/// One step for each of these objectives, on conversations or on pairs.
fn text(objectives: &[&str]) -> String {
    let mut text = "name: held\nseed: 4\nsteps:\n".to_owned();
    for objective in objectives {
        let file = if CONVERSATIONS.contains(objective) { "said" } else { "pairs" };
        let _ = writeln!(
            text,
            "  - id: {objective}\n    train: {{objective: {objective}, base_folder: language, data_file: {file}.jsonl, \
             held_out_file: {file}-held.jsonl, config: {{steps: 2, batch_size: 4, eval_every: 2}}}}"
        );
    }
    text
}

fn all() -> String {
    text(&[&CONVERSATIONS[..], &PAIRS].concat())
}

/// Rows of both shapes, to learn from and to measure; those of one shape are called alike in both files.
fn filled() -> House {
    let house = house();
    for (name, from, n) in [("", 0, 8), ("-held", 100, 3)] {
        let [mut said, mut pairs] = [const { String::new() }; 2];
        for at in 0..n {
            let (prompt, language) = (format!("Frage {}?", from + at), ["de", "en"][at % 2]);
            let row = |more: Value| {
                let mut row = json!({"id": format!("row-{at}"), "language": language, "prompt": prompt});
                row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                row
            };
            let _ = writeln!(said, "{}", row(json!({"completion": format!("It is number {at}.")})));
            let _ = writeln!(pairs, "{}", row(json!({"chosen": format!("It is number {at}."), "rejected": "zzz"})));
        }
        fs::write(house.folder().join(format!("said{name}.jsonl")), said).unwrap();
        fs::write(house.folder().join(format!("pairs{name}.jsonl")), pairs).unwrap();
    }
    house
}

fn measured(artifact: &Artifact) -> Vec<Value> {
    let text = String::from_utf8(artifact.read("train.jsonl").unwrap()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line.get("held_out").cloned()).collect()
}

#[test]
fn every_objective_is_measured_on_rows_of_a_file() {
    let house = filled();
    let ran = house.run(recipe(&all(), &[]), 2).unwrap();
    for objective in CONVERSATIONS.into_iter().chain(PAIRS) {
        let artifact = ran.artifact(objective);
        let measured = measured(artifact);
        // Three pairs are six single answers.
        let n_rows = if objective == "kto" { 6 } else { 3 };
        assert!(measured.len() == 1 && measured[0]["rows"] == n_rows, "{objective}: {measured:?}");
        let languages = measured[0]["loss_per_language"].as_object().unwrap();
        assert!(languages.keys().eq(["de", "en"]), "{objective}: {languages:?}");
        let params = &artifact.manifest().params;
        assert!(params["held_out_file_sha256"].is_string() && params["file_sha256"].is_string(), "{params}");
        assert_ne!(params["held_out_file_sha256"], params["file_sha256"]);
    }

    // Another file to measure is another artifact; the others stay.
    let path = house.folder().join("said-held.jsonl");
    let shorter =
        fs::read_to_string(&path).unwrap().lines().skip(1).map(|line| format!("{line}\n")).collect::<String>();
    fs::write(&path, shorter).unwrap();
    let again = house.run(recipe(&all(), &[]), 2).unwrap();
    assert_eq!(again.made, ["pretrain", "sft"]);
    assert_eq!(measured(again.artifact("sft"))[0]["rows"], 2);
}

#[test]
fn rows_that_ask_what_is_learned_are_not_held_out_whatever_they_are_called() {
    let house = filled();
    let learned = fs::read_to_string(house.folder().join("pairs.jsonl")).unwrap();
    let another = learned.lines().nth(2).unwrap().replace("row-2", "another").replace("zzz", "yyy");
    let path = house.folder().join("pairs-held.jsonl");
    let held = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{held}{another}\n")).unwrap();
    let error = house.run(recipe(&text(&["dpo"]), &[]), 1).err().unwrap().to_string();
    assert!(error.contains("1 of 4 held-out rows are learned from, `another` first"), "{error}");
    assert!(error.contains("rows with the same prompt count as one"), "{error}");
}

#[test]
fn held_out_files_stand_alone_and_with_how_often_they_are_measured() {
    let faults = |from: &str, to: &str| {
        let text = text(&["sft"]).replacen(from, to, 1);
        Recipe::parse("recipe.yaml", &text, &[]).err().unwrap().to_string()
    };
    let both = faults("held_out_file: said-held.jsonl", "held_out: sft, held_out_file: said-held.jsonl");
    assert!(both.contains("`held_out` and `held_out_file` stand side by side"), "{both}");
    let never = faults(", eval_every: 2", "");
    assert!(never.contains("`sft` has held-out rows and does not say when to measure them"), "{never}");
    let nothing = faults("held_out_file: said-held.jsonl, ", "");
    assert!(nothing.contains("add `held_out` or `held_out_file`"), "{nothing}");
    let absent = recipe(&text(&["sft"]).replace("said-held", "absent"), &[]);
    assert!(Plan::new(absent, filled().folder()).err().unwrap().to_string().contains("absent.jsonl"));
    let languages = text(&["sft"]).replacen("config: {steps", "languages: [en], config: {steps", 1);
    let house = filled();
    let german = json!({"language": "de", "prompt": "Wer?", "completion": "Ich."});
    fs::write(house.folder().join("said-held.jsonl"), format!("{german}\n")).unwrap();
    let error = house.run(recipe(&languages, &[]), 1).err().unwrap().to_string();
    assert!(error.contains("no held-out rows are left"), "{error}");
}

#[test]
fn held_out_files_are_handed_over() {
    let house = filled();
    let plan = Plan::new(recipe(&all(), &[]), house.folder()).unwrap();
    Store::open(&house.store()).unwrap();
    let world = (house, plan);
    for (step, n_held_out) in [("sft", 3), ("kto", 6), ("dpo", 3), ("reward", 3)] {
        let exported = crate::handover::export(&world, step, 1).unwrap();
        assert_eq!(exported.n_held_out, n_held_out, "{step}");
        let rows = fs::read_to_string(exported.folder.join("data/test.jsonl")).unwrap();
        assert_eq!(rows.lines().count(), n_held_out, "{step}");
        let settings = fs::read_to_string(exported.folder.join("training.yaml")).unwrap();
        assert!(settings.contains("eval_steps: 2"), "{settings}");
    }
}
