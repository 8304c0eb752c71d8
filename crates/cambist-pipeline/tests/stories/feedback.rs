//! A router explores, what it asked for refits it, and nobody believes what was asked for without its probability.

use std::{collections::BTreeMap, fmt::Write, fs};

use cambist_core::router::{FittedRouter, Learned};
use cambist_io::formats::{Cell, TableRow, scan_table};
use cambist_pipeline::{
    recipe::{Recipe, params::HeadChoice},
    routing::{FitFiles, fit_files, open_router},
    summary::{closing_lines, searches_json},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    house::{House, Ran, recipe},
    learned::routed,
};

const WORDS: [&str; 6] = ["river", "garden", "window", "letter", "bridge", "market"];
const N: usize = 520;

fn is_question(at: usize) -> bool {
    (at * 2_654_435_761) >> 9 & 1 == 1
}

fn text_of(at: usize) -> String {
    let [one, other] = [at, at / 6 + 1].map(|place| WORDS[place % WORDS.len()]);
    match is_question(at) {
        true => format!("Why is the {one} so close to the {other} number {at}?"),
        false => format!("Write down everything about the {one} and the {other} number {at}."),
    }
}

fn score_of(at: usize, model: &str) -> f64 {
    let own = match model {
        "asker" => f64::from(u8::from(is_question(at))),
        "doer" => f64::from(u8::from(!is_question(at))),
        _ => 0.3,
    };
    own + (at % 5) as f64 / 20.0
}

fn files(house: &House) {
    let (mut prompts, mut answers, mut scores) = (String::new(), String::new(), String::new());
    for at in 0..N {
        let language = ["en", "de"][at % 2];
        let _ = writeln!(prompts, "{}", json!({"id": format!("p{at}"), "language": language, "prompt": text_of(at)}));
        for model in ["asker", "doer", "middling"] {
            let cell = |key: &str, value| json!({"prompt_id": format!("p{at}"), "model": model, key: value});
            let _ = writeln!(answers, "{}", cell("text", json!("An answer.")));
            let _ = writeln!(scores, "{}", cell("score", json!(score_of(at, model))));
        }
    }
    for (name, text) in [("prompts", prompts), ("answers", answers), ("scores", scores)] {
        fs::write(house.folder().join(format!("{name}.jsonl")), text).unwrap();
    }
}

/// The first router learns on few prompts that everybody answered; then it explores where it routes.
const RECIPE: &str = "name: feedback
seed: 3
pool:
  - {id: asker, license: MIT, replay: {file: answers.jsonl}}
  - {id: doer, license: MIT, replay: {file: answers.jsonl}}
  - {id: middling, license: MIT, replay: {file: answers.jsonl}}
arbiters:
  - {id: recorded, recorded: {file: scores.jsonl}}
steps:
  - id: prompts
    prompts: {file: prompts.jsonl, splits: {calibration: 70, traffic: 400, test: 50}}
  - id: calibration
    generate: {prompts: prompts.calibration, router: all, arbiter: recorded}
  - id: first
    fit: {from: calibration, head: ridge, gates: {language: null, echo: null}}
  - id: traffic
    generate: {prompts: prompts.traffic, router: {learned: {from: first, explore: 0.6}}, arbiter: recorded}
  - id: refit
    fit: {from: traffic, gates: {language: null, echo: null}}
  - id: searched
    generate:
      prompts: prompts.traffic
      router: {budgeted: {target: 0.9, audit_share: 0.2}}
      calibration: calibration
      arbiter: recorded
  - id: refit-of-search
    fit: {from: searched, gates: {language: null, echo: null}}
  - report: {}
";

/// A row of `asked.parquet`, as any reader has it.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    prompt_id: String,
    source_id: String,
    language: String,
    teacher: String,
    sample: u32,
    propensity: f64,
}

impl TableRow for Asked {
    const TABLE: &'static str = "asked";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("prompt_id", Cell::Text),
        ("source_id", Cell::Text),
        ("language", Cell::Text),
        ("teacher", Cell::Text),
        ("sample", Cell::Integer),
        ("propensity", Cell::Number),
    ];
}

fn asked(ran: &Ran, label: &str) -> Vec<Asked> {
    let path = ran.artifact(label).checked_path("asked.parquet").unwrap();
    scan_table::<Asked>(&path).unwrap().map(|row| row.unwrap()).collect()
}

fn fitted(ran: &Ran, label: &str) -> FittedRouter {
    serde_json::from_slice(&ran.artifact(label).read("router.json").unwrap()).unwrap()
}

/// The share of prompts whose best teacher a router names.
fn hits(router: &Learned) -> f64 {
    let line = |at: usize| json!({"id": at, "language": "en", "prompt": text_of(at)}).to_string();
    let routed = routed(router, &(0..N).map(line).collect::<Vec<_>>().join("\n"));
    let best = |at: usize| if is_question(at) { "asker" } else { "doer" };
    routed.iter().enumerate().filter(|(at, route)| route["teacher"] == best(*at)).count() as f64 / N as f64
}

#[test]
fn what_a_router_asked_for_refits_it() {
    let house = House::new();
    files(&house);
    let ran = house.run(recipe(RECIPE, &[]), 2).unwrap();
    let explored = asked(&ran, "traffic");
    assert_eq!(explored.len(), 400);
    assert!(explored.iter().all(|row| row.propensity > 0.0 && row.propensity < 1.0 && row.sample == 0));
    let refit = fitted(&ran, "refit");
    let partial = refit.partial.as_ref().unwrap();
    assert_eq!((partial.n_cells, partial.n_asked, refit.n_prompts), (1_200, 400, 400));
    assert!(partial.teachers.values().all(|own| (own.weight - 1.0).abs() < 0.3), "{partial:?}");
    let overall = refit.tuned.overall;
    assert!(overall.gain > 2.0 * overall.gain_se.unwrap(), "{overall:?}");
    assert!(fitted(&ran, "first").partial.is_none());
    // One answer for each of 400 prompts teaches what matters, and so do the answers of a search.
    for label in ["refit", "refit-of-search"] {
        let hits = hits(&open_router(&house.store(), &format!("feedback.{label}")).unwrap());
        assert!(hits > 0.9, "{label}: {hits}");
    }
    let searched = asked(&ran, "searched");
    let mut of_prompt: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    searched.iter().for_each(|row| of_prompt.entry(&row.prompt_id).or_default().push(row.propensity));
    assert!(searched.iter().all(|row| row.propensity == 1.0 || row.propensity == 0.2));
    // Whoever was audited was asked of everybody; others were asked of those alone whom the search was sure to ask.
    let n_audited = of_prompt.values().filter(|own| own.contains(&0.2)).count();
    assert!((50..120).contains(&n_audited), "{n_audited}");
    assert!(of_prompt.values().all(|own| own.len() == 3 || !own.contains(&0.2)));
    let page = String::from_utf8(ran.artifact("report").read("report.html").unwrap()).unwrap();
    assert!(page.contains("learned from answers of which only some were asked for"));
}

#[test]
fn what_was_asked_for_is_not_believed_without_its_probability() {
    let house = House::new();
    files(&house);
    let refusal = |overrides: &[&str]| house.run(recipe(RECIPE, overrides), 2).err().unwrap().to_string();
    let error = refusal(&["traffic.generate.router.learned.explore=0"]);
    assert!(error.contains("`refit`: 400 of 800 answers were never asked for"), "{error}");
    assert!(error.contains("no propensities say why"), "{error}");
    let error = refusal(&["refit.fit.head=kl-softmax"]);
    assert!(error.contains("`kl-softmax` compares everybody's answers"), "{error}");
    let error =
        Recipe::parse("recipe.yaml", RECIPE, &["refit.fit.max_weight=0.5".to_owned()]).err().unwrap().to_string();
    assert!(error.contains("`max_weight` of `refit` is 0.5"), "{error}");
    let steps = "  - frontier: {from: traffic}\n  - report: {}\n";
    let frontier = RECIPE.replace("  - report: {}\n", steps);
    let error = house.run(recipe(&frontier, &[]), 2).err().unwrap().to_string();
    assert!(error.contains("are those that a router asked for"), "{error}");
    let error = refusal(&["searched.generate.calibration=traffic"]);
    assert!(error.contains("are those that a router asked for"), "{error}");
}

#[test]
fn plain_files_say_how_likely_each_answer_was() {
    let house = House::new();
    files(&house);
    let at = |name: &str| house.folder().join(name);
    // A log of a router that asked one teacher for each prompt.
    let (mut logged, mut unweighed) = (String::new(), String::new());
    for at in 0..N {
        let (model, propensity) = match (at * 7_919) % 10 {
            0..6 => ("middling", 0.6),
            6..8 => ("asker", 0.2),
            _ => ("doer", 0.2),
        };
        let row = |propensity: Option<f64>| {
            let score = score_of(at, model);
            json!({"prompt_id": format!("p{at}"), "model": model, "score": score, "propensity": propensity})
        };
        let _ = writeln!(logged, "{}", row(Some(propensity)));
        let _ = writeln!(unweighed, "{}", row(None));
    }
    fs::write(at("logged.jsonl"), logged).unwrap();
    let files = FitFiles {
        prompts: at("prompts.jsonl"),
        scores: at("logged.jsonl"),
        answers: None,
        judge: None,
        head: HeadChoice::Auto,
        bits: 14,
        features: None,
        seed: 0,
        max_weight: 50.0,
    };
    let fitted = fit_files(&files).unwrap();
    assert_eq!(fitted.partial.as_ref().map(|partial| partial.n_asked), Some(N));
    assert!(hits(&Learned::new(fitted).unwrap()) > 0.9);
    fs::write(at("logged.jsonl"), unweighed).unwrap();
    let error = fit_files(&files).unwrap_err().to_string();
    assert!(error.contains("answers were never asked for") && error.contains("docs/guide/routing.md"), "{error}");
    // A few that are missing are nobody's choice: they play no part, and are counted.
    let scores = fs::read_to_string(house.folder().join("scores.jsonl")).unwrap();
    let some: String =
        scores.lines().enumerate().filter(|(at, _)| at % 20 != 3).map(|(_, line)| format!("{line}\n")).collect();
    fs::write(at("logged.jsonl"), some).unwrap();
    let fitted = fit_files(&files).unwrap();
    assert_eq!((fitted.n_missing, fitted.partial.is_none()), (scores.lines().count().div_ceil(20), true));
    assert!(hits(&Learned::new(fitted).unwrap()) > 0.9);
    let mut bad = String::new();
    let _ = writeln!(bad, "{}", json!({"prompt_id": "p1", "model": "asker", "score": 1.0, "propensity": 7.0}));
    fs::write(at("logged.jsonl"), bad).unwrap();
    let error = fit_files(&files).unwrap_err().to_string();
    assert!(error.contains("for prompt `p1` is 7, expected a probability"), "{error}");
}

#[test]
fn a_budgeted_run_tells_whether_its_calibration_holds() {
    let house = House::new();
    files(&house);
    let text = RECIPE.replace("audit_share: 0.2", "audit_share: 0.4");
    let mine = recipe(&text, &[]);
    let ran = house.run(mine.clone(), 2).unwrap();
    let search = searches_json(&ran.finished).unwrap().remove(0);
    assert_eq!(search["step"], "searched");
    let prices = search["search"]["prices"]["languages"].as_object().unwrap();
    assert_eq!(prices.keys().collect::<Vec<_>>(), ["de", "en"]);
    assert!(prices.values().all(|own| own["promise"]["gain"].as_f64().unwrap() > 0.6), "{prices:?}");
    assert_eq!(search["search"]["warnings"], json!([]));
    assert!(search["search"]["drift"]["n_audits"].as_u64().unwrap() > 100);
    let closing = closing_lines(&mine, &ran.finished).unwrap().join("\n");
    assert!(closing.contains("`searched` searched at") && !closing.contains("warning"), "{closing}");
    // From now on `asker` answers badly in German.
    let scores = fs::read_to_string(house.folder().join("scores.jsonl")).unwrap();
    let changed: String = scores
        .lines()
        .map(|line| {
            let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
            let at: usize = row["prompt_id"].as_str().unwrap()[1..].parse().unwrap();
            if row["model"] == "asker" && at % 2 == 1 {
                row["score"] = json!(row["score"].as_f64().unwrap() - 2.0);
            }
            format!("{row}\n")
        })
        .collect();
    fs::write(house.folder().join("changed.jsonl"), changed).unwrap();
    let text = text.replace("steps:\n", "  - {id: changed, recorded: {file: changed.jsonl}}\nsteps:\n").replace(
        "      calibration: calibration\n      arbiter: recorded",
        "      calibration: calibration\n      arbiter: changed",
    );
    let mine = recipe(&text, &[]);
    let ran = house.run(mine.clone(), 2).unwrap();
    let closing = closing_lines(&mine, &ran.finished).unwrap().join("\n");
    assert!(closing.contains("warning: the mean reward of `asker` in de went from"), "{closing}");
    assert!(closing.contains("calibrate again") && !closing.contains("in en"), "{closing}");
    let page = String::from_utf8(ran.artifact("report").read("report.html").unwrap()).unwrap();
    assert!(page.contains("Budgeted runs") && page.contains("calibrate again"));
}
