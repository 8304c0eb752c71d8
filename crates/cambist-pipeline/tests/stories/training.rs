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
    expected.scalars(1, [("loss", lines[1]["loss"].as_f64().unwrap())]);
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

#[test]
fn a_model_is_written_in_sixteen_bits_and_trained_on() {
    let next = "  - id: next\n    train: {objective: sft, base: student, data: prompts.teach, config: {steps: 2}}\n";
    let text = RECIPE.replace("  - report: {}\n", next);
    let made = |overrides: &[&str]| {
        let house = House::new();
        let ran = house.run(recipe(&text, overrides), 2).unwrap();
        let config: Value = serde_json::from_slice(&ran.artifact("student").read("config.json").unwrap()).unwrap();
        let n_bytes = |label: &str| ran.artifact(label).manifest().files["model.safetensors"].bytes;
        (config["dtype"].as_str().map(str::to_owned), n_bytes("student"), n_bytes("next"))
    };
    let (whole, half) = (made(&[]), made(&["student.train.dtype=bf16"]));
    assert_eq!((half.0.as_deref(), half.2), (Some("bfloat16"), whole.2));
    assert!(half.1 < whole.1 * 6 / 10, "{half:?} {whole:?}");
}
