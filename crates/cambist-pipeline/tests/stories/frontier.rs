//! Recorded answers of three teachers, from plain files to the frontier, the advice about the pool and the report.

use std::{collections::BTreeMap, fs};

use cambist_pipeline::{
    PipelineError,
    starter::{RecordedFiles, recorded_recipe},
    summary::{advice, closing_lines},
};
use serde_json::{Value, json};

use crate::house::{House, Ran, recipe};

const N: usize = 90;

/// `wide` is right where the first word says so, `deep` where it does not, and `loud` nowhere; a second judge is fooled
/// by `loud`.
fn house() -> House {
    let house = House::new();
    let (mut prompts, mut answers, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..N {
        let kind = ((at * 2_654_435_761) >> 7) & 1;
        let id = format!("q{at}");
        prompts.push(json!({
            "id": id, "language": "en",
            "prompt": format!("{} the boats in harbour number {at}, please.", ["Count", "Describe"][kind]),
        }));
        for (model, right) in [("wide", kind == 0), ("deep", kind == 1 || at % 3 == 0), ("loud", false)] {
            let text = format!("The {model} answer to question {at} is that there are many of them in the harbour.");
            answers.push(json!({"prompt_id": id, "model": model, "text": text}));
            let tilt = (at % 7) as f64 / 50.0;
            scores.push(json!({"prompt_id": id, "model": model, "judge": "strict", "score": f64::from(right) + tilt}));
            let fooled = f64::from(right || model == "loud") + f64::from(model == "loud");
            scores.push(json!({"prompt_id": id, "model": model, "judge": "fooled", "score": fooled + tilt}));
        }
    }
    for (name, rows) in [("prompts", prompts), ("answers", answers), ("scores", scores)] {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(house.folder().join(format!("{name}.jsonl")), text).unwrap();
    }
    house
}

fn starter(house: &House, judge: &str) -> String {
    let path = |name: &str| house.folder().join(format!("{name}.jsonl"));
    let files = RecordedFiles {
        prompts: path("prompts"),
        answers: path("answers"),
        scores: Some(path("scores")),
        judge: Some(judge.to_owned()),
    };
    recorded_recipe("mine", &files).unwrap()
}

/// Gain kept and share of the calls by strategy, over all prompts.
fn points(ran: &Ran, label: &str) -> BTreeMap<String, (f64, f64)> {
    let file: Value = serde_json::from_slice(&ran.artifact(label).read("frontier.json").unwrap()).unwrap();
    let points = file["frontier"]["all"]["points"].as_array().unwrap().clone();
    let place = |point: &Value| {
        let name = point["strategy"].as_str().unwrap().to_owned();
        (name, (point["gain"]["value"].as_f64().unwrap(), point["calls_share"].as_f64().unwrap()))
    };
    points.iter().map(place).collect()
}

#[test]
fn three_files_make_a_frontier_advice_and_a_report() {
    let house = house();
    let mine = recipe(&starter(&house, "strict"), &[]);
    let ran = house.run(mine.clone(), 2).unwrap();
    let points = points(&ran, "frontier");
    for name in ["single", "fixed", "random", "learned", "weitzman", "budgeted", "reward", "oracle"] {
        assert!(points.contains_key(name), "{name} is not among {:?}", points.keys());
    }
    assert_eq!((points["single"].0, points["reward"]), (0.0, (1.0, 1.0)));
    // The first word tells who is right: one call keeps most of the gain. Asking until it is right keeps it too.
    assert!(points["learned"].0 > 0.8 && points["learned"].1 < 0.34, "{:?}", points["learned"]);
    assert!(points["budgeted"].0 > 0.8 && points["budgeted"].1 < 0.75, "{:?}", points["budgeted"]);
    let advised = advice(&ran.finished).unwrap();
    let (_, advised) = &advised[0];
    assert_eq!(advised.drop.iter().collect::<Vec<_>>(), ["loud"]);
    let closing = closing_lines(&mine, &ran.finished).unwrap().join("\n");
    assert!(closing.contains("learned") && closing.contains("no language keeps: loud"), "{closing}");
    assert_eq!(house.run(mine, 2).unwrap().made, Vec::<String>::new());
}

#[test]
fn prices_of_recorded_answers_make_money_of_their_lengths() {
    let house = house();
    let mut text = starter(&house, "strict");
    for (teacher, price) in [("wide", 1), ("deep", 10), ("loud", 1)] {
        let known = format!("{{id: \"{teacher}\", ");
        assert!(text.contains(&known), "{text}");
        text = text.replace(&known, &format!("{known}price: {{input: {price}, output: {price}}}, "));
    }
    let ran = house.run(recipe(&text, &[]), 2).unwrap();
    let file: Value = serde_json::from_slice(&ran.artifact("frontier").read("frontier.json").unwrap()).unwrap();
    let points = file["frontier"]["all"]["points"].as_array().unwrap();
    let share =
        |name: &str| points.iter().find(|point| point["strategy"] == name).unwrap()["usd_share"].as_f64().unwrap();
    // All answers to a prompt are of one length, and the best single teacher is the dear one.
    assert!(
        (share("single") - 10.0 / 12.0).abs() < 1e-9 && (share("reward") - 1.0).abs() < 1e-9,
        "{}",
        share("single")
    );
    assert!(share("budgeted") < share("single"), "{}", share("budgeted"));
}

#[test]
fn an_independent_arbiter_says_what_a_fooled_one_chose() {
    let house = house();
    let text = starter(&house, "fooled");
    let judges = "  - {id: strict, recorded: {file: scores.jsonl, judge: strict}}\nsteps:";
    let second = "  - id: checked
    score: {from: answers, arbiter: strict}
  - id: honest
    frontier:
      from: answers
      value_scores: checked
      eligibility: {allow_unknown_license: true}
      gates: {language: null, repetition: null, echo: null, mixed: null, refusal: null}
  - report";
    let text = text.replacen("steps:", judges, 1).replacen("  - report", second, 1);
    let ran = house.run(recipe(&text, &[]), 2).unwrap();
    // The fooled judge sees no gain over `loud` at all, and asking everybody ends with `loud`, which is never right.
    let file: Value = serde_json::from_slice(&ran.artifact("honest").read("frontier.json").unwrap()).unwrap();
    let all = &file["frontier"]["all"];
    let value = |name: &str| {
        let points = all["points"].as_array().unwrap();
        points.iter().find(|point| point["strategy"] == name).unwrap()["value"]["value"].as_f64().unwrap()
    };
    assert_eq!(all["is_gain"], false);
    assert!(value("oracle") > value("reward") + 0.5, "{} {}", value("oracle"), value("reward"));
    assert_eq!(value("reward"), value("single"));
}

#[test]
fn too_few_sources_are_refused_with_their_number() {
    let house = house();
    let prompts = fs::read_to_string(house.folder().join("prompts.jsonl")).unwrap();
    let few: String = prompts.lines().take(20).map(|line| format!("{line}\n")).collect();
    fs::write(house.folder().join("prompts.jsonl"), few).unwrap();
    let Err(error) = house.run(recipe(&starter(&house, "strict"), &[]), 2) else { panic!("20 sources were enough") };
    assert!(matches!(&error, PipelineError::Input { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("20 sources") && text.contains("at least 30"), "{text}");
}
