//! Every public set of answers of many models that lies beside the repository goes through `replay` and a recorded
//! arbiter, and each strategy keeps what an independent program keeps (`../golden/sets.py`).

mod readers;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use self::readers::Plain;
use crate::{
    house::{House, Ran, recipe},
    python::{python_with, root, run_well},
};

const GOLDEN: &str = include_str!("../golden/sets.json");
/// How far our means may lie from theirs.
const TOLERANCE: f64 = 1e-9;

/// The folder of all sets, if `set` is in it.
fn data(set: &str) -> Option<PathBuf> {
    let data = root().join("../shared/data");
    if !data.join(set).is_dir() {
        eprintln!("skipped: {} is not there", data.join(set).display());
        return None;
    }
    Some(data)
}

/// Writes the files that the recipe reads: prompts at even places calibrate, those at odd places are compared.
fn write(plain: &Plain, folder: &Path) {
    let lines = |rows: &mut dyn Iterator<Item = &Value>| rows.map(|row| format!("{row}\n")).collect::<String>();
    let files = [
        ("calibration", lines(&mut plain.prompts.iter().step_by(2))),
        ("compare", lines(&mut plain.prompts.iter().skip(1).step_by(2))),
        ("answers", lines(&mut plain.answers.iter())),
        ("scores", lines(&mut plain.scores.iter())),
    ];
    for (name, text) in files {
        fs::write(folder.join(format!("{name}.jsonl")), text).unwrap();
    }
}

/// The models that the judge scored, or that answered where nobody did, by id: ids have no dots.
fn teachers(plain: &Plain, judge: Option<&str>) -> BTreeMap<String, String> {
    let scored = plain.scores.iter().filter(|row| row["judge"].as_str() == judge);
    let rows: Vec<&Value> = if judge.is_some() { scored.collect() } else { plain.answers.iter().collect() };
    let id = |model: &str| model.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '-'), "_");
    rows.into_iter().map(|row| row["model"].as_str().unwrap()).map(|model| (id(model), model.to_owned())).collect()
}

fn text(teachers: &BTreeMap<String, String>, judge: Option<&str>) -> String {
    let (mut pool, mut singles) = (String::new(), String::new());
    for (id, model) in teachers {
        let replay = format!("replay: {{file: answers.jsonl, model: \"{model}\"}}");
        let _ = writeln!(pool, "- {{id: {id}, license: unknown, {replay}}}");
        let _ = write!(singles, "\n        single-{id}: {{router: {{single: {id}}}}}");
    }
    let lax = "eligibility: {allow_unknown_license: true}";
    let arbiter = judge
        .map(|judge| format!("arbiters:\n- {{id: recorded, recorded: {{file: scores.jsonl, judge: \"{judge}\"}}}}\n"));
    let (scored, calibrated) = match judge {
        Some(_) => (", arbiter: recorded", "calibration: calibration"),
        None => ("", ""),
    };
    let learned = "\n        single: {router: {single: best}}\n        fixed: {router: fixed}";
    let learned = judge.map_or("", |_| learned);
    format!(
        "name: recorded
seed: 7
pool:
{pool}{}steps:
  - {{id: known, prompts: {{file: calibration.jsonl}}}}
  - {{id: held-out, prompts: {{file: compare.jsonl}}}}
  - {{id: calibration, generate: {{prompts: known, router: all{scored}, {lax}}}}}
  - {{id: answers, generate: {{prompts: held-out, router: all{scored}, {lax}}}}}
  - id: compared
    select:
      from: answers
      {calibrated}
      {lax}
      gates: {{language: null, repetition: null, echo: null, mixed: null, refusal: null}}
      align: none
      strategies:
        random: {{router: random}}
        reward: {{router: all}}{learned}{singles}
",
        arbiter.unwrap_or_default()
    )
}

fn compare(ran: &Ran, golden: &Value, what: &str) {
    let table: Value = serde_json::from_slice(&ran.artifact("compared").read("strategies.json").unwrap()).unwrap();
    let (ours, theirs) = (table["strategies"].as_object().unwrap(), golden["strategies"].as_object().unwrap());
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{what}");
    for (strategy, theirs) in theirs {
        let languages = ours[strategy]["languages"].as_object().unwrap();
        assert_eq!(languages.len(), theirs.as_object().unwrap().len(), "{what}, {strategy}");
        for (language, theirs) in theirs.as_object().unwrap() {
            for (at, key) in ["n_prompts", "n_kept", "mean_reward", "regret"].into_iter().enumerate() {
                let (ours, theirs) = (languages[language][key].as_f64(), theirs[at].as_f64());
                let is_near = match (ours, theirs) {
                    (Some(ours), Some(theirs)) => (ours - theirs).abs() < TOLERANCE,
                    (ours, theirs) => ours == theirs,
                };
                assert!(is_near, "{what}, {strategy} in {language}, {key}: {ours:?}, expected {theirs:?}");
            }
        }
    }
    let Some(single) = golden["chosen"]["single"].as_str() else { return };
    assert_eq!(ours["single"]["strategy"], format!("single:{single}"), "{what}");
    for (language, shares) in ours["fixed"]["shares"].as_object().unwrap() {
        let taken: Vec<&String> = shares.as_object().unwrap().keys().collect();
        assert_eq!(taken, [golden["chosen"]["fixed"][language].as_str().unwrap()], "{what}, {language}");
    }
}

/// Compares a set under all its judges; returns how many comparisons there were.
fn replayed(set: &str, folder: &str, read: impl Fn(&Path) -> Plain) -> usize {
    let Some(data) = data(folder) else { return 0 };
    let all: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    let plain = read(&data);
    let house = House::new();
    write(&plain, house.folder());
    let of_set: Vec<&Value> = all.iter().filter(|golden| golden["set"] == set).collect();
    assert!(!of_set.is_empty(), "{set} has golden figures");
    for golden in &of_set {
        let judge = golden["judge"].as_str();
        let teachers = teachers(&plain, judge);
        assert_eq!(serde_json::to_value(&teachers).unwrap(), golden["teachers"], "{set} by {judge:?}");
        let ran = house.run(recipe(&text(&teachers, judge), &[]), 2).unwrap();
        compare(&ran, golden, &format!("{set} by {}", judge.unwrap_or("nobody")));
    }
    of_set.len()
}

macro_rules! sets {
    ($($name:ident: $set:literal, $folder:literal, $read:ident;)*) => {$(
        #[test]
        fn $name() {
            replayed($set, $folder, readers::$read);
        }
    )*};
}

sets! {
    verdicts_of_seventeen_models: "m-ifeval", "routing-m-ifeval", m_ifeval;
    three_judges_of_translated_questions: "mt-bench", "routing-mt-bench-multilingual", mt_bench;
    grades_of_ten_models: "arena-bench", "routing-arena-bench-v1", arena_bench;
    two_models_in_123_languages: "sib200", "routing-sib200", sib200;
    two_models_on_sums: "routellm-gsm8k", "routing-routellm", gsm8k;
    two_models_without_texts: "routellm-mmlu", "routing-routellm", mmlu;
    too_few_prompts_for_a_table_by_language: "routellm-mt-bench", "routing-routellm", routellm_mt_bench;
    preferences_of_two_judges_as_probabilities: "alpaca-eval", "routing-alpaca-eval-NC", alpaca_eval;
    games_in_both_orders_as_scores: "ja-vicuna-qa", "routing-ja-vicuna-qa", ja_vicuna;
    translators_into_german: "wmt-newstest2020-ende", "routing-wmt-mqm-scores", newstest_ende;
    translators_into_english: "wmt-newstest2020-zhen", "routing-wmt-mqm-scores", newstest_zhen;
    translators_of_talks_with_missing_scores: "wmt-ted-ende", "routing-wmt-mqm-scores", ted_ende;
    answers_that_nobody_scored: "ru-arena", "routing-ru-arena-general", ru_arena;
    answers_in_three_languages_of_ten: "x-alpacaeval", "eval-x-alpacaeval-NC", x_alpacaeval;
}

/// The way of the guide: the script's own files and recipe.
#[test]
fn the_script_that_writes_plain_files_writes_what_runs() {
    let (Some(data), Some(python)) = (data("routing-ja-vicuna-qa"), python_with(&["pyarrow"])) else { return };
    let house = House::new();
    let arguments = [&data, Path::new("ja-vicuna-qa"), Path::new("gpt-4"), house.folder()];
    run_well(&python, "scripts/recorded_sets.py", &arguments);
    let text = fs::read_to_string(house.folder().join("recipe.yaml")).unwrap();
    let ran = house.run(recipe(&text, &[]), 2).unwrap();
    let all: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    compare(&ran, all.iter().find(|golden| golden["set"] == "ja-vicuna-qa").unwrap(), "the script's files");
}
