//! Preference training through a recipe: answers of two teachers of different worth, pairs by the checker, DPO with the
//! likelihood of chosen answers beside it.

use std::{collections::BTreeMap, sync::atomic::AtomicBool};

use cambist_io::store::Artifact;
use cambist_pipeline::{
    PipelineError,
    plan::Plan,
    progress::{Advance, Outcome, Progress},
    run::{Runtime, run},
};
use serde_json::Value;

use crate::house::{House, Ran, recipe};

/// `taught` knows the dates that it is asked about, `novice` hardly any; the pairs of `dev` are never learned from.
const RECIPE: &str = r"
name: preference
seed: 5
pool:
  - {id: taught, license: Apache-2.0, local: taught}
  - {id: novice, license: Apache-2.0, local: novice}
arbiters:
  - {id: similarity, chrf: {}}
steps:
  - id: prompts
    prompts: {polyglot: {tasks: [date-long]}, languages: [ja, tr], splits: {teach: 64, dev: 24}}
  - id: novice
    train:
      objective: sft
      new: {vocab_size: 320, shape: {hidden_size: 32, n_layers: 1, n_heads: 2, n_kv_heads: 1, intermediate_size: 64}}
      data: prompts.teach
      config: {steps: 60, lr: 0.01}
  - id: taught
    train: {objective: sft, base: novice, data: prompts, config: {steps: 240, lr: 0.01}}
  - id: answers
    generate: {prompts: prompts.teach, router: all, arbiter: similarity, sampling: {max_new_tokens: 32}}
  - id: dev-answers
    generate: {prompts: prompts.dev, router: all, arbiter: similarity, sampling: {max_new_tokens: 32}}
  - id: data
    select:
      from: answers
      strategies: {best: {router: all}}
      gates: {language: null, repetition: null, echo: null, keep_truncated: true}
      pairs: {margin_quantile: 0.0, max_length_ratio: null}
  - id: dev
    select:
      from: dev-answers
      strategies: {best: {router: all}}
      gates: {language: null, repetition: null, echo: null, keep_truncated: true}
      pairs: {margin_quantile: 0.0, max_length_ratio: null}
  - id: student
    train:
      objective: dpo
      base: novice
      data: data.pairs
      held_out: dev.pairs
      loss: {nll: {weight: 1.0}}
      config: {steps: 60, lr: 0.002, batch_size: 8, eval_every: 20}
  - report: {}
";

fn log(artifact: &Artifact) -> Vec<Value> {
    let lines = String::from_utf8(artifact.read("train.jsonl").unwrap()).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn held_out(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter_map(|line| line.get("held_out")).collect()
}

fn weights(ran: &Ran) -> Vec<u8> {
    ran.artifact("student").read("model.safetensors").unwrap()
}

#[test]
fn pairs_are_learned_from_in_every_language_with_the_losses_and_checks_that_there_are() {
    let house = House::new();
    margins_rise(&house);
    objectives_without_a_reference_keep_none(&house);
    what_does_not_fit_ends_the_run_before_its_first_step(&house);
}

fn margins_rise(house: &House) {
    let ran = house.run(recipe(RECIPE, &[]), 2).unwrap();
    let lines = log(ran.artifact("student"));
    assert_eq!(lines[0]["objective"], "dpo");
    let formula = "mean over pairs of -ln σ(0.1 Δ) + 1 * mean over pairs of -S_w/T_w; Δ = r_w - r_l";
    assert!(lines[0]["formula"].as_str().unwrap().starts_with(formula), "{}", lines[0]);
    assert_eq!(lines[1]["metrics"]["rewards/accuracies_half"], 0.5);
    let measured = held_out(&lines);
    let metric =
        |at: usize, language: &str, name: &str| measured[at]["metrics_per_language"][language][name].as_f64().unwrap();
    for language in ["ja", "tr"] {
        assert!(metric(2, language, "rewards/margins") > metric(0, language, "rewards/margins"), "{language}");
        assert!(metric(2, language, "rewards/accuracies") > 0.6, "{language}: {}", measured[2]);
        assert!(measured[2]["rows_per_language"][language].as_u64().unwrap() > 5, "{language}: {}", measured[2]);
    }
    let page = String::from_utf8(ran.artifact("report").read("report.html").unwrap()).unwrap();
    assert!(page.contains("Preference training by language") && page.contains("reward accuracy"));
    let events = ran.artifact("student").read("events.out.tfevents.0.cambist").unwrap();
    assert!(events.windows(35).any(|tag| tag == b"held_out/lang/tr/rewards/accuracies"));

    // Other losses and seeds of the same start ask the reference model nothing again, and start where it is.
    let before = std::fs::metadata(reference_file(house)).unwrap().len();
    let other = ["student.train.loss.kind=ipo", "student.train.loss.beta=0.5"];
    let ran = house.run(recipe(RECIPE, &other), 2).unwrap();
    assert_eq!(ran.made, ["report", "student"]);
    assert_eq!(std::fs::metadata(reference_file(house)).unwrap().len(), before);
    assert!(log(ran.artifact("student"))[0]["formula"].as_str().unwrap().contains("1/(2 * 0.5)"));
}

fn reference_file(house: &House) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(house.store().join("reference")).unwrap();
    let first = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none(), "one file for each reference model");
    first
}

/// Asks for a stop once `job` has gone so far.
struct StopAt<'a> {
    job: &'a str,
    at: u64,
    unit: &'a str,
    stop: &'a AtomicBool,
}

impl Progress for StopAt<'_> {
    fn begin(&self, _job: &str, _verb: &str) {}

    fn advance(&self, job: &str, at: Advance<'_>) {
        if job == self.job && at.unit == self.unit && at.done >= self.at {
            self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn end(&self, _job: &str, _outcome: Outcome<'_>) {}
}

fn run_until(house: &House, (unit, at): (&str, u64)) -> Result<(), PipelineError> {
    let stop = AtomicBool::new(false);
    let listener = StopAt { job: "student", at, unit, stop: &stop };
    let plan = Plan::new(recipe(RECIPE, &[]), house.folder())?;
    let all: Vec<usize> = (0..plan.jobs.len()).collect();
    let runtime = Runtime {
        threads: 2,
        progress: &listener,
        stop: &stop,
        calls: cambist_io::transport::StopSignal::new(),
        capabilities: cambist_pipeline::run::Capabilities::default(),
        state_every: cambist_pipeline::run::STATE_EVERY,
    };
    run(&plan, &all, &house.store(), &runtime).map(|_| ())
}

#[test]
fn a_run_that_is_stopped_at_the_reference_and_on_the_way_ends_with_the_same_bytes() {
    let (whole, cut) = (House::new(), House::new());
    let expected = whole.run(recipe(RECIPE, &[]), 2).unwrap();
    for stop in [("rows", 1), ("steps", 10), ("steps", 30)] {
        assert!(matches!(run_until(&cut, stop), Err(PipelineError::Interrupted)), "{stop:?}");
    }
    let ran = cut.run(recipe(RECIPE, &[]), 2).unwrap();
    assert_eq!(ran.made, ["report", "student"]);
    assert_eq!(weights(&ran), weights(&expected));
    assert_eq!(log(ran.artifact("student")), log(expected.artifact("student")));
}

fn what_does_not_fit_ends_the_run_before_its_first_step(house: &House) {
    // Every byte of a number in the middle of the file: its block's checksum no longer fits.
    let path = reference_file(house);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let told = |overrides: &[&str]| house.run(recipe(RECIPE, overrides), 2).err().unwrap().to_string();
    let error = told(&["student.train.loss.beta=0.2"]);
    assert!(error.contains("is damaged at byte") && error.contains("remove the file"), "{error}");
    std::fs::remove_file(&path).unwrap();
    let error = told(&["student.train.config.max_length=12"]);
    assert!(error.contains("rows were left out") && error.contains("`max_length`"), "{error}");
    let error = told(&["student.train.held_out=data.pairs"]);
    assert!(error.contains("held-out rows are learned from"), "{error}");
}

fn objectives_without_a_reference_keep_none(house: &House) {
    let before = std::fs::metadata(reference_file(house)).unwrap().len();
    let counts: BTreeMap<&str, u64> = ["simpo", "orpo"]
        .into_iter()
        .map(|objective| {
            let objective_word = format!("student.train.objective={objective}");
            let overrides = [objective_word.as_str(), "student.train.loss={}", "student.train.config.steps=8"];
            let ran = house.run(recipe(RECIPE, &overrides), 2).unwrap();
            let lines = log(ran.artifact("student"));
            assert_eq!(lines[0]["objective"], objective);
            assert!(lines[1]["metrics"].get("kl/chosen").is_none(), "{}", lines[1]);
            (objective, ran.artifact("student").manifest().counts["steps"])
        })
        .collect();
    assert_eq!(counts, BTreeMap::from([("orpo", 8), ("simpo", 8)]));
    assert_eq!(std::fs::metadata(reference_file(house)).unwrap().len(), before);
}
