//! A router is fitted on recorded answers, kept, and routes: in `select`, in `generate`, and on plain files.

use std::{collections::BTreeMap, fmt::Write, fs};

use cambist_core::{
    completion::Completion,
    router::{FittedRouter, Learned},
};
use cambist_io::formats::scan_table;
use cambist_pipeline::{
    recipe::params::HeadChoice,
    routing::{FitFiles, fit_files, open_router, route_lines, write_router},
};
use serde_json::{Value, json};

use crate::house::{House, recipe};

const WORDS: [&str; 6] = ["river", "garden", "window", "letter", "bridge", "market"];

/// Teacher `asker` answers questions well, `doer` orders; `middling` is never best.
fn files(house: &House, n: usize) {
    let (mut prompts, mut answers, mut scores) = (String::new(), String::new(), String::new());
    for at in 0..n {
        let [one, other] = [at, at / 6 + 1].map(|place| WORDS[place % WORDS.len()]);
        let is_question = (at * 2_654_435_761) >> 9 & 1 == 1;
        let text = match is_question {
            true => format!("Why is the {one} so close to the {other} number {at}?"),
            false => format!("Write down everything about the {one} and the {other} number {at}."),
        };
        let language = ["en", "de"][at % 2];
        let _ = writeln!(prompts, "{}", json!({"id": format!("p{at}"), "language": language, "prompt": text}));
        for (model, score) in [("asker", is_question), ("doer", !is_question)] {
            let score = f64::from(u8::from(score)) + (at % 5) as f64 / 20.0;
            let _ =
                writeln!(answers, "{}", json!({"prompt_id": format!("p{at}"), "model": model, "text": "An answer."}));
            let _ = writeln!(scores, "{}", json!({"prompt_id": format!("p{at}"), "model": model, "score": score}));
        }
        let _ = writeln!(answers, "{}", json!({"prompt_id": format!("p{at}"), "model": "middling", "text": "Hm."}));
        let _ = writeln!(scores, "{}", json!({"prompt_id": format!("p{at}"), "model": "middling", "score": 0.45}));
    }
    for (name, text) in [("prompts", prompts), ("answers", answers), ("scores", scores)] {
        fs::write(house.folder().join(format!("{name}.jsonl")), text).unwrap();
    }
}

const RECIPE: &str = "name: learned
seed: 3
pool:
  - {id: asker, license: MIT, replay: {file: answers.jsonl}}
  - {id: doer, license: MIT, replay: {file: answers.jsonl}}
  - {id: middling, license: MIT, replay: {file: answers.jsonl}}
arbiters:
  - {id: recorded, recorded: {file: scores.jsonl}}
steps:
  - id: prompts
    prompts: {file: prompts.jsonl, splits: {calibration: 100, compare: 60}}
  - id: calibration
    generate: {prompts: prompts.calibration, router: all, arbiter: recorded}
  - id: router
    fit: {from: calibration, head: ridge, gates: {language: null, echo: null}}
  - id: answers
    generate: {prompts: prompts.compare, router: all, arbiter: recorded}
  - id: compared
    select:
      from: answers
      calibration: calibration
      gates: {language: null, echo: null}
      align: none
      strategies:
        fixed: {router: fixed}
        learned: {router: {learned: {from: router}}}
        explored: {router: {learned: {from: router, explore: 0.5}}}
        reward: {router: all}
  - id: routed
    generate: {prompts: prompts.compare, router: {learned: {from: router}}, arbiter: recorded}
  - report: {}
";

/// Regret summed over languages, and answers asked for.
fn measured(table: &Value, strategy: &str) -> (f64, f64) {
    let languages = table["strategies"][strategy]["languages"].as_object().unwrap();
    let regret: f64 = languages.values().map(|cell| cell["regret"].as_f64().unwrap()).sum();
    (regret, table["strategies"][strategy]["cost"]["run"]["generations"].as_f64().unwrap())
}

#[test]
fn a_router_is_fitted_once_and_routes_wherever_it_is_named() {
    let house = House::new();
    files(&house, 160);
    let ran = house.run(recipe(RECIPE, &[]), 2).unwrap();
    let fitted: FittedRouter = serde_json::from_slice(&ran.artifact("router").read("router.json").unwrap()).unwrap();
    assert_eq!((fitted.teachers.len(), fitted.n_prompts), (3, 100));
    let overall = fitted.tuned.overall;
    assert!(overall.gain > 2.0 * overall.gain_se.unwrap(), "{overall:?}");
    let table: Value = serde_json::from_slice(&ran.artifact("compared").read("strategies.json").unwrap()).unwrap();
    let (fixed, learned, reward) = (measured(&table, "fixed"), measured(&table, "learned"), measured(&table, "reward"));
    assert!(learned.0 < 0.5 * fixed.0 && reward.0 == 0.0, "{learned:?} {fixed:?}");
    assert_eq!((learned.1, reward.1), (60.0, 180.0));
    let explored = measured(&table, "explored").0;
    assert!(explored > learned.0, "{explored} {learned:?}");
    // `generate` asks those whom `select` says that it would have asked.
    let live = scan_table::<Completion>(&ran.artifact("routed").checked_path("completions.parquet").unwrap()).unwrap();
    let live: BTreeMap<String, String> = live.map(|row| row.unwrap()).map(|row| (row.prompt_id, row.teacher)).collect();
    assert_eq!(live.len(), 60);
    let router = open_router(&house.store(), "learned.router").unwrap();
    let lines: Vec<String> = prompts_of(&house).filter(|line| live.contains_key(&id_of(line))).collect();
    let routed = routed(&router, &lines.join("\n"));
    assert_eq!(routed.len(), 60);
    assert!(routed.iter().all(|route| route["teacher"] == live[route["id"].as_str().unwrap()]));
    assert!(routed.iter().all(|route| route["calibrated"] == json!(true)));
    let again =
        house.run(recipe(RECIPE, &["compared.select.strategies.explored.router.learned.explore=0.4"]), 1).unwrap();
    assert_eq!(again.made, ["compared", "report"]);
}

fn prompts_of(house: &House) -> impl Iterator<Item = String> + use<> {
    let text = fs::read_to_string(house.folder().join("prompts.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// Where lines go, the first of which has the number 7.
pub(crate) fn routed(router: &Learned, lines: &str) -> Vec<Value> {
    let routed = route_lines(router, lines, 7).unwrap();
    let values: Vec<Value> = routed.json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(routed.n_prompts, values.len());
    assert_eq!(routed.n_uncalibrated, values.iter().filter(|value| value["calibrated"] == json!(false)).count());
    values
}

fn id_of(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_router_for_other_teachers_is_refused_before_anybody_is_asked() {
    let house = House::new();
    files(&house, 160);
    let error = house.run(recipe(RECIPE, &["routed.generate.teachers=[asker, doer]"]), 2).err().unwrap().to_string();
    assert!(error.contains("the pool does not have `middling`"), "{error}");
    let few = RECIPE.replace("calibration: 100", "calibration: 40");
    let error = house.run(recipe(&few, &[]), 2).err().unwrap().to_string();
    assert!(error.contains("40 calibration prompts") && error.contains("at least 50"), "{error}");
}

#[test]
fn plain_files_make_a_router_that_routes_lines() {
    let house = House::new();
    files(&house, 100);
    let at = |name: &str| house.folder().join(name);
    let files = FitFiles {
        prompts: at("prompts.jsonl"),
        scores: at("scores.jsonl"),
        answers: Some(at("answers.jsonl")),
        judge: None,
        head: HeadChoice::KlSoftmax,
        bits: 14,
        features: None,
        seed: 0,
        max_weight: 50.0,
    };
    let fitted = fit_files(&files).unwrap();
    assert_eq!(fit_files(&FitFiles { answers: None, ..files.clone() }).unwrap().tuned, fitted.tuned);
    write_router(&fitted, &at("router.json")).unwrap();
    let router = open_router(&house.store(), at("router.json").to_str().unwrap()).unwrap();
    let one = &routed(&router, r#"{"prompt": "Why is the river so close to the bridge?"}"#)[0];
    assert_eq!((&one["teacher"], &one["id"], &one["language"]), (&json!("asker"), &json!(7), &json!("en")));
    assert_eq!(one["scores"].as_object().unwrap().len(), 3);
    let chat = r#"{"id": "a", "lang": "sw", "messages": [{"role": "user", "content": "Write down everything."}]}"#;
    let two = routed(&router, &format!("\n{chat}\r\n \n{{\"prompt\": \"Why?\"}}"));
    assert_eq!((&two[0]["teacher"], &two[0]["calibrated"]), (&json!("doer"), &json!(false)));
    assert_eq!((two.len(), &two[1]["id"]), (2, &json!(10)));
    for bad in ["{}", "[]", "no json", r#"{"prompt": "a", "messages": []}"#, r#"{"prompt": "a", "language": "?"}"#] {
        for before in [String::new(), format!("{chat}\n").repeat(200)] {
            let n_before = before.lines().count();
            let lines = format!("{before}{bad}\n{bad}\n");
            let error = route_lines(&router, &lines, 7).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`line {}`", 7 + n_before)), "{error}");
        }
    }
    // However lines are cut into blocks, they go where they go alone.
    let lines: Vec<String> = prompts_of(&house).collect();
    let together = route_lines(&router, &lines.join("\n"), 1).unwrap().json;
    let alone: String = lines.iter().map(|line| route_lines(&router, line, 1).unwrap().json).collect();
    assert_eq!(together, alone);
    let error = fit_files(&FitFiles { judge: Some("nobody".into()), ..files }).unwrap_err().to_string();
    assert!(error.contains("`nobody` scored nothing"), "{error}");
    fs::write(at("router.json"), "{}").unwrap();
    let error = open_router(&house.store(), at("router.json").to_str().unwrap()).err().unwrap().to_string();
    assert!(error.contains("no fitted router"), "{error}");
}
