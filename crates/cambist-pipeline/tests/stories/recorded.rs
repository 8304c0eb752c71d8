//! Answers and scores of real models go through `replay` and give the figures of an independent program.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    house::{House, Ran, recipe},
    python::{python_with, root, run_well},
};

const GOLDEN: &str = include_str!("../golden/recorded.json");

/// A recorded set, and what is known of its scores.
struct Recorded {
    name: &'static str,
    /// Folders whose files belong together; empty for the set's own.
    folders: &'static [&'static str],
    arbiter: &'static str,
    /// How far the mean of one score of each prompt may lie from its expectation, times the root of the prompts.
    spread: f64,
    splits: &'static str,
}

const IFEVAL: Recorded = Recorded {
    name: "routing-m-ifeval",
    folders: &["en", "es", "ja"],
    arbiter: "columns: {score: strict_all}",
    spread: 0.5,
    splits: "{calibration: 250, test: 250}",
};

const ARENA: Recorded = Recorded {
    name: "routing-arena-bench-v1",
    folders: &[""],
    arbiter: "judge: gpt-4",
    spread: 3.0,
    splits: "{calibration: 80, test: 100}",
};

fn data(set: &Recorded) -> Option<PathBuf> {
    let path = root().join("../shared/data").join(set.name);
    if !path.is_dir() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// Joins the files of all folders: one Zstandard stream after another is a Zstandard stream.
fn join(set: &Recorded, from: &Path, to: &Path) {
    for file in ["prompts.jsonl.zst", "completions.jsonl.zst", "scores.jsonl.zst"] {
        let parts = set.folders.iter().map(|folder| fs::read(from.join(folder).join(file)).unwrap());
        fs::write(to.join(file), parts.collect::<Vec<_>>().concat()).unwrap();
    }
}

/// Teachers' ids have no dots; models' names do.
fn id(model: &str) -> String {
    model.replace('.', "_")
}

fn text(set: &Recorded, models: &[&String]) -> String {
    let (mut pool, mut singles) = (String::new(), String::new());
    for model in models {
        let id = id(model);
        let _ = writeln!(
            pool,
            "  - {{id: {id}, license: unknown, replay: {{file: completions.jsonl.zst, model: \"{model}\"}}}}"
        );
        let _ = writeln!(singles, "        single-{id}: {{router: {{single: {id}}}}}");
    }
    let (arbiter, splits) = (set.arbiter, set.splits);
    let eligibility = "eligibility: {allow_unknown_license: true}";
    let gates = "gates: {language: null, repetition: null, echo: null, mixed: null, refusal: null}";
    let ask = format!("router: all, arbiter: recorded, {eligibility}");
    format!(
        "name: recorded
seed: 7
pool:
{pool}arbiters:
  - {{id: recorded, recorded: {{file: scores.jsonl.zst, {arbiter}}}}}
steps:
  - id: everything
    prompts: {{file: prompts.jsonl.zst}}
  - id: answers
    generate: {{prompts: everything, {ask}}}
  - id: compared
    select:
      from: answers
      {eligibility}
      {gates}
      strategies:
        random: {{router: random}}
        reward: {{router: all}}
{singles}
  - id: halves
    prompts: {{file: prompts.jsonl.zst, splits: {splits}}}
  - id: calibration
    generate: {{prompts: halves.calibration, {ask}}}
  - id: held-out
    generate: {{prompts: halves.test, {ask}}}
  - id: routed
    select:
      from: held-out
      calibration: calibration
      {eligibility}
      {gates}
      strategies:
        single: {{router: {{single: best}}}}
        random: {{router: random}}
        fixed: {{router: fixed}}
        reward: {{router: all}}
"
    )
}

fn table(ran: &Ran, step: &str) -> Value {
    serde_json::from_slice(&ran.artifact(step).read("strategies.json").unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn near(ours: &Value, theirs: &Value, what: &str) {
    assert!((number(ours) - number(theirs)).abs() < 1e-9, "{what}: {ours} and {theirs}");
}

/// Runs the recipe and compares it with the golden figures; returns the headroom of each language.
fn replayed(set: &Recorded, golden: &str) -> Option<BTreeMap<String, f64>> {
    let from = data(set)?;
    let mut figures: Value = serde_json::from_str(GOLDEN).unwrap();
    let golden = figures[golden].take();
    let golden = golden.as_object().unwrap();
    let house = House::new();
    join(set, &from, house.folder());
    let models: Vec<&String> = golden.values().next().unwrap()["means"].as_object().unwrap().keys().collect();
    let ran = house.run(recipe(&text(set, &models), &[]), 2).unwrap();

    let table_of_all = table(&ran, "compared");
    let mut headroom = BTreeMap::new();
    for (language, figures) in golden {
        let cell = |strategy: &str| &table_of_all["strategies"][strategy]["languages"][language];
        assert_eq!(cell("reward")["n_prompts"], figures["n_prompts"], "{language}");
        for (model, mean) in figures["means"].as_object().unwrap() {
            near(&cell(&format!("single-{}", id(model)))["mean_reward"], mean, model);
            let teacher = &table_of_all["teachers"][id(model)][language];
            assert_eq!(teacher["n_valid"], figures["n_scored"][model], "{model} in {language}");
        }
        near(&cell("reward")["mean_reward"], &figures["oracle"], "the reward strategy is the oracle");
        near(&table_of_all["oracle"][language]["mean_reward"], &figures["oracle"], "the oracle");
        let n_prompts = number(&figures["n_prompts"]);
        let (drawn, expected) = (number(&cell("random")["mean_reward"]), number(&figures["random"]));
        assert!((drawn - expected).abs() < 4.0 * set.spread / n_prompts.sqrt(), "{language}: {drawn}, {expected}");
        let best = cell(&format!("single-{}", id(figures["best_single"].as_str().unwrap())));
        let answered = if set.spread < 1.0 { number(&best["n_kept"]) / n_prompts } else { 1.0 };
        let ours = number(&cell("reward")["mean_reward"]) - number(&best["mean_reward"]) * answered;
        near(&ours.into(), &figures["headroom"], "the oracle's headroom");
        headroom.insert(language.clone(), ours);
    }
    held_out(&ran);
    if let Some(python) = python_with(&["pyarrow"]) {
        for step in ["compared", "routed"] {
            run_well(&python, "scripts/strategy_table.py", &[ran.artifact(step).folder()]);
        }
    }
    Some(headroom)
}

/// Nobody beats the oracle on held-out prompts, and choosing by calibration beats a lot.
fn held_out(ran: &Ran) {
    let table = table(ran, "routed");
    let languages = table["strategies"]["reward"]["languages"].as_object().unwrap();
    for (language, reward) in languages {
        let mean = |strategy: &str| number(&table["strategies"][strategy]["languages"][language]["mean_reward"]);
        eprintln!(
            "{language}: n {}, random {:.3}, single {:.3} ({}), fixed {:.3}, oracle {:.3}",
            reward["n_prompts"],
            mean("random"),
            mean("single"),
            table["strategies"]["single"]["strategy"],
            mean("fixed"),
            mean("reward")
        );
        assert!(number(&reward["regret"]).abs() < 1e-12);
        for strategy in ["random", "single", "fixed"] {
            assert!(number(&table["strategies"][strategy]["languages"][language]["regret"]) >= 0.0, "{strategy}");
        }
        assert!(mean("single") > mean("random") && mean("fixed") > mean("random"), "{language}");
    }
}

#[test]
fn verdicts_on_seventeen_models_in_three_languages() {
    let Some(headroom) = replayed(&IFEVAL, "m-ifeval") else { return };
    let points: Vec<(&str, f64)> =
        headroom.iter().map(|(language, share)| (language.as_str(), (1000.0 * share).round() / 10.0)).collect();
    assert_eq!(points, [("en", 13.2), ("es", 3.7), ("ja", 18.2)]);
}

#[test]
fn grades_of_ten_models_with_some_missing() {
    replayed(&ARENA, "arena-bench");
}

#[test]
fn the_recipe_that_we_ship_runs_on_the_files_that_we_ship() {
    let house = House::new();
    let shipped = root().join("recipes");
    fs::create_dir(house.folder().join("replay")).unwrap();
    for file in ["prompts.jsonl", "answers.jsonl", "scores.jsonl"] {
        fs::copy(shipped.join("replay").join(file), house.folder().join("replay").join(file)).unwrap();
    }
    let text = fs::read_to_string(shipped.join("replay.yaml")).unwrap();
    let ran = house.run(recipe(&text, &[]), 2).unwrap();
    let table = table(&ran, "arbitrage");
    for (language, reward) in table["strategies"]["reward"]["languages"].as_object().unwrap() {
        assert_eq!(reward["n_kept"], reward["n_prompts"], "{language}: scores follow a teacher under its own name");
        assert!(number(&reward["mean_reward"]) > 4.0, "{language}: somebody knew");
    }
    assert_eq!(table["strategies"]["reward"]["languages"].as_object().unwrap().len(), 3);
}
