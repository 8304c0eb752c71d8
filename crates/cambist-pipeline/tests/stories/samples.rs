//! What lm-evaluation-harness itself logged (`../golden/lm_eval/make.sh`) becomes answers and scores for `replay`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cambist_pipeline::import::{ImportedSamples, SamplesOptions, import_samples};
use serde_json::Value;

use crate::house::{House, recipe};

const RECIPE: &str = "\
name: sampled
pool:
- {id: one, license: MIT, replay: {file: answers.jsonl, model: org/one-7b}}
- {id: two, license: MIT, replay: {file: answers.jsonl, model: org/two-7b}}
arbiters:
- {id: exact_match, recorded: {file: scores.jsonl}}
steps:
- {id: prompts, prompts: {file: prompts.jsonl}}
- {id: answers, generate: {prompts: prompts, router: {all-bon: {samples: 2}}, arbiter: exact_match}}
- id: kept
  select:
    from: answers
    strategies: {reward: {router: all}}
    gates: {language: null, repetition: null, echo: null, mixed: null, refusal: null}
";

fn logged() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/lm_eval");
    let models = ["org__one-7b", "org__two-7b"].map(|model| fs::read_dir(folder.join(model)).unwrap());
    let mut files: Vec<PathBuf> = models.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn rows(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn imported(options: SamplesOptions, folder: &Path) -> ImportedSamples {
    import_samples(&SamplesOptions { files: logged(), ..options }, folder).unwrap()
}

#[test]
fn logged_samples_are_replayed_and_scored_by_their_metrics() {
    let house = House::new();
    let told = imported(SamplesOptions::default(), house.folder());
    assert_eq!((told.n_prompts, told.n_answers, told.n_other_filters), (5, 2 * (3 * 2 + 2), 2 * 3));
    assert_eq!((told.n_broken, told.n_known, told.n_differing), (0, 0, 0), "{told:?}");
    assert_eq!(told.models, [("org/one-7b".to_owned(), 8), ("org/two-7b".to_owned(), 8)].into());
    assert_eq!(told.metrics, [("acc".to_owned(), 4), ("exact_match".to_owned(), 6)].into());
    let ran = house.run(recipe(RECIPE, &[]), 1).unwrap();
    let table: Value = serde_json::from_slice(&ran.artifact("kept").read("strategies.json").unwrap()).unwrap();
    let cell = |language: &str| &table["strategies"]["reward"]["languages"][language];
    // Both models say `lol` to everything; the third document expects it, and tasks of choices have another metric.
    assert_eq!((&cell("ar")["n_kept"], &cell("ar")["mean_reward"]), (&1.into(), &1.0.into()));
    assert_eq!(
        (&cell("tr")["n_prompts"], &cell("tr")["n_kept"], &cell("tr")["mean_reward"]),
        (&2.into(), &2.into(), &0.0.into())
    );
}

#[test]
fn the_likeliest_choice_is_the_answer_and_its_name_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    imported(
        SamplesOptions { model: Some("m".into()), language: "tr".parse().ok(), ..Default::default() },
        folder.path(),
    );
    let prompts = rows(&folder.path().join("prompts.jsonl"));
    let choice = prompts.iter().find(|row| row["id"] == "capitals_mc-1").unwrap();
    assert_eq!((choice["reference"].as_str(), choice["language"].as_str()), (Some("Ankara"), Some("tr")));
    let answers = rows(&folder.path().join("answers.jsonl"));
    let answers: Vec<&Value> = answers.iter().filter(|row| row["prompt_id"] == "capitals_mc-1").collect();
    assert_eq!(answers.len(), 1, "one model answered once, whatever folders its files lie in");
    let scores = rows(&folder.path().join("scores.jsonl"));
    let score = scores.iter().find(|row| row["prompt_id"] == "capitals_mc-1").unwrap();
    assert_eq!(score["score"] == 1.0, answers[0]["text"] == "Ankara", "the harness scores the likeliest choice");
}

#[test]
fn another_filter_and_files_that_are_no_samples() {
    let folder = tempfile::tempdir().unwrap();
    let told = imported(SamplesOptions { filter: Some("letters".into()), ..Default::default() }, folder.path());
    assert_eq!((told.n_prompts, told.n_other_filters), (3, 2 * 3 + 2 * 2));
    let other = folder.path().join("other.jsonl");
    fs::write(&other, "{\"prompt\": \"Naber?\"}\n").unwrap();
    let options = SamplesOptions { files: vec![other], ..Default::default() };
    let error = import_samples(&options, folder.path()).unwrap_err().to_string();
    assert!(error.contains("no file holds a sample: other.jsonl, line 1: no `arguments`"), "{error}");
}
