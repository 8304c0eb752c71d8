//! Training through a recipe: held-out rows, the best step, and a run that is cut off.

use cambist_io::{formats::EventFile, store::Artifact};
use serde_json::Value;

use crate::house::{House, recipe};

const RECIPE: &str = r"
name: training
seed: 3
steps:
  - id: prompts
    prompts: {polyglot: {tasks: [date-long]}, languages: [ja, tr], splits: {teach: 24, dev: 8}}
  - id: student
    train:
      objective: sft
      new: {vocab_size: 320, shape: {hidden_size: 32, n_layers: 1, n_heads: 2, n_kv_heads: 1, intermediate_size: 64}}
      data: prompts.teach
      held_out: prompts.dev
      config: {steps: 40, lr: 0.02, eval_every: 4, keep: best, patience: 3}
  - report: {}
";

fn log(house: &House, overrides: &[&str]) -> (Vec<Value>, Vec<u8>, u64) {
    let ran = house.run(recipe(RECIPE, overrides), 2).unwrap();
    let artifact = ran.artifact("student");
    let lines = String::from_utf8(artifact.read("train.jsonl").unwrap()).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, artifact.read("events.out.tfevents.0.cambist").unwrap(), kept_step(artifact))
}

/// The last step unless an earlier one was kept.
fn kept_step(artifact: &Artifact) -> u64 {
    let counts = &artifact.manifest().counts;
    *counts.get("kept_step").unwrap_or(&counts["steps"])
}

#[test]
fn held_out_loss_falls_in_every_language_and_the_best_step_is_kept() {
    let (lines, events, kept_step) = log(&House::new(), &[]);
    let measured: Vec<&Value> = lines.iter().filter(|line| line.get("held_out").is_some()).collect();
    assert!(measured.len() >= 4, "{measured:?}");
    let loss = |line: &Value, language: &str| line["held_out"]["loss_per_language"][language].as_f64().unwrap();
    let best = measured.iter().find(|line| line["step"] == kept_step).unwrap();
    for language in ["ja", "tr"] {
        assert!(loss(best, language) < loss(measured[0], language), "{language}: {measured:?}");
    }
    assert!(measured.iter().all(|line| line["held_out"]["loss"].as_f64() >= best["held_out"]["loss"].as_f64()));
    assert_eq!(best["held_out"]["best"], true);
    let mut expected = EventFile::default();
    expected.scalars(1, [("loss", lines[0]["loss"].as_f64().unwrap())]);
    assert!(events.len() > 10 * expected.as_bytes().len());
    assert!(events.windows(20).any(|tag| tag == b"held_out/lang/tr/los"));
}

#[test]
fn the_report_draws_held_out_losses() {
    let house = House::new();
    let ran = house.run(recipe(RECIPE, &[]), 2).unwrap();
    let page = String::from_utf8(ran.artifact("report").read("report.html").unwrap()).unwrap();
    assert!(page.contains("Held-out loss of <code>student</code>") || page.contains("Held-out loss of `student`"));
    assert!(page.contains("16 held-out rows"), "rows of both languages are counted");
}

#[test]
fn rows_that_are_learned_from_cannot_be_held_out() {
    let error = House::new().run(recipe(RECIPE, &["student.train.held_out=prompts.teach"]), 2).err().unwrap();
    assert!(error.to_string().contains("48 of 48 held-out rows are learned from"), "{error}");
}
