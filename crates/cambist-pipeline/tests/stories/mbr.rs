//! Recorded answers vote for each other: as they come, afterwards, in panels, and with answers that only support.

use std::{collections::BTreeMap, fs};

use cambist_core::{
    arbiter::{Contender, Evidence, mean_utilities},
    score::Score,
};
use cambist_io::formats;
use cambist_pipeline::{plan::Plan, recipe::Recipe};
use serde_json::json;

use crate::house::{House, Ran, recipe};

const RECIPE: &str = "
name: voting
pool:
  - {id: a, license: MIT, replay: {file: answers.jsonl}}
  - {id: b, license: MIT, replay: {file: answers.jsonl}}
  - {id: c, license: MIT, replay: {file: answers.jsonl}}
arbiters:
  - {id: votes, mbr: {}}
  - {id: letters, chrf: {}}
  - {id: panel, ensemble: {of: [votes, letters], combine: borda}}
steps:
  - id: prompts
    prompts: {file: prompts.jsonl}
  - id: answers
    generate: {prompts: prompts, router: all, arbiter: votes}
  - id: again
    score: {from: answers, arbiter: votes}
  - id: both
    score: {from: answers, arbiter: panel}
  - id: data
    select: {from: answers, strategies: {best: {router: all}}}
";

/// Answers by prompt, of `a`, `b` and `c`; an empty one was never given.
const ANSWERS: [(&str, [&str; 3]); 4] = [
    (
        "bend",
        [
            "Giants pulled them out of their beds a very long time ago, when nobody looked.",
            "Rivers bend because the water on the outer side runs faster and takes soil away.",
            "Rivers bend as the water at the outer side is faster and takes the soil away.",
        ],
    ),
    ("alone", ["", "There is no other answer to this question, only mine.", ""]),
    ("same", ["All of us give this very same answer here."; 3]),
    (
        "tongue",
        [
            "Der Fluss biegt sich, weil das Wasser außen schneller fließt und den Boden mitnimmt.",
            "Der Fluss biegt ab, weil das Wasser außen schneller ist und viel Boden mitnimmt.",
            "The river bends because the water outside is faster and carries soil away with it.",
        ],
    ),
];

fn house() -> House {
    let house = House::new();
    let write = |name: &str, lines: Vec<serde_json::Value>| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(house.folder().join(name), text).unwrap();
    };
    let prompt = |id: &str| json!({"id": id, "prompt": format!("Tell me about {id}."), "language": "en", "reference": "Water takes soil away."});
    write("prompts.jsonl", ANSWERS.iter().map(|(id, _)| prompt(id)).collect());
    let cells = ANSWERS.iter().flat_map(|(id, texts)| ["a", "b", "c"].into_iter().zip(texts).map(move |of| (id, of)));
    let given = cells.filter(|(_, (_, text))| !text.is_empty());
    write(
        "answers.jsonl",
        given.map(|(id, (model, text))| json!({"prompt_id": id, "model": model, "text": text})).collect(),
    );
    let witness = |text: &str| json!({"prompt_id": "bend", "model": "witness", "text": text});
    write("witness.jsonl", vec![witness("Giants pulled rivers out of their beds long ago, when nobody looked.")]);
    house
}

/// Values by prompt and teacher, and why there is none.
fn scores(ran: &Ran, label: &str) -> BTreeMap<(String, String), Result<f64, String>> {
    let path = ran.artifact(label).checked_path("scores.parquet").unwrap();
    let of = |score: Score| {
        let value = score.value.ok_or_else(|| score.missing.unwrap());
        ((score.prompt_id, score.teacher), value)
    };
    formats::scan_table::<Score>(&path).unwrap().map(|score| of(score.unwrap())).collect()
}

fn of_prompt(scores: &BTreeMap<(String, String), Result<f64, String>>, id: &str) -> Vec<Result<f64, String>> {
    ["a", "b", "c"].map(|teacher| scores[&(id.to_owned(), teacher.to_owned())].clone()).to_vec()
}

/// The values that the rule gives; `votes` says who has one.
fn expected(at: usize, votes: [bool; 3]) -> Vec<Result<f64, String>> {
    let contenders: Vec<Contender<'_>> =
        ANSWERS[at].1.iter().zip(votes).map(|(text, has_vote)| Contender { text, has_vote }).collect();
    mean_utilities(&contenders, Evidence::NONE).into_iter().map(Ok).collect()
}

#[test]
fn answers_that_agree_win_and_what_no_gate_lets_through_has_no_vote() {
    let house = house();
    let ran = house.run(recipe(RECIPE, &[]), 2).unwrap();
    let found = scores(&ran, "answers");
    assert_eq!(found.len(), 12);
    assert_eq!(of_prompt(&found, "bend"), expected(0, [true; 3]));
    let missing = || Err("no_answer".to_owned());
    assert_eq!(of_prompt(&found, "alone"), [missing(), Ok(1.0), missing()]);
    assert_eq!(of_prompt(&found, "same"), [Ok(1.0), Ok(1.0), Ok(1.0)]);
    // The two in German would have agreed with each other.
    assert_eq!(of_prompt(&found, "tongue"), expected(3, [false, false, true]));
    assert_eq!(scores(&ran, "again"), found, "afterwards as on the way");

    let kept = String::from_utf8(ran.artifact("data").read("best/sft.jsonl").unwrap()).unwrap();
    let chosen: Vec<String> = kept
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|row| format!("{} {}", row["id"].as_str().unwrap(), row["teacher"].as_str().unwrap()))
        .collect();
    let best_of_bend = if of_prompt(&found, "bend")[1] >= of_prompt(&found, "bend")[2] { "bend b" } else { "bend c" };
    // Equal ones go to the first name.
    assert_eq!(chosen, [best_of_bend, "alone b", "same a", "tongue c"]);
    let panel = scores(&ran, "both");
    assert!(panel.values().filter(|value| value.is_ok()).count() == 10, "{panel:?}");
}

#[test]
fn evidence_supports_and_never_wins() {
    let house = house();
    let text = RECIPE
        .replacen("arbiters:", "  - {id: witness, license: MIT, replay: {file: witness.jsonl}}\narbiters:", 1)
        .replacen("mbr: {}", "mbr: {evidence: {from: seen, weight: 4}}", 1)
        .replacen("  - id: answers\n    generate: {", "  - id: seen\n    generate: {prompts: prompts, router: all, teachers: [witness]}\n  - id: answers\n    generate: {teachers: [a, b, c], ", 1)
        .replacen("  - id: data\n    select: {from: answers, strategies: {best: {router: all}}}\n", "", 1);
    let ran = house.run(recipe(&text, &[]), 2).unwrap();
    let found = scores(&ran, "answers");
    assert_eq!(found.len(), 12, "the witness is no candidate");
    let bend: Vec<f64> = of_prompt(&found, "bend").into_iter().map(Result::unwrap).collect();
    assert!(bend[0] > bend[1] && bend[0] > bend[2], "{bend:?}");
    assert_eq!(of_prompt(&found, "same"), [Ok(1.0), Ok(1.0), Ok(1.0)]);
    assert_eq!(scores(&ran, "again"), found);
    // Other evidence, and evidence that weighs otherwise, make another artifact.
    let id = |text: &str| {
        let plan = Plan::new(recipe(text, &[]), house.folder()).unwrap();
        plan.jobs.iter().find(|job| job.label == "again").unwrap().id.clone()
    };
    let own = id(&text);
    assert_ne!(id(&text.replacen("weight: 4", "weight: 2", 1)), own);
    let witness = fs::read_to_string(house.folder().join("witness.jsonl")).unwrap();
    fs::write(house.folder().join("witness.jsonl"), witness.replace("Giants", "Dwarfs")).unwrap();
    assert_ne!(id(&text), own);
}

#[test]
fn what_votes_cannot_do_is_told_with_a_remedy() {
    let faults = |from: &str, to: &str| {
        let text = RECIPE.replacen(from, to, 1);
        assert_ne!(text, RECIPE, "{from}");
        Recipe::parse("recipe.yaml", &text, &[]).err().unwrap().to_string()
    };
    let cases = [
        ("mbr: {}", "mbr: {}, check: {}", "`check` and `mbr` stand side by side"),
        ("mbr: {}", "mbr: {gates: {safety: {}}}", "arbiter `votes` has a safety gate, and reads no safety scores"),
        ("mbr: {}", "mbr: {evidence: {from: answer}}", "unknown step that makes answers `answer`"),
        ("mbr: {}", "mbr: {evidence: {from: answers}}", "whose evidence `answers` is not made before it"),
        ("mbr: {}", "mbr: {evidence: {from: answers, weight: 0}}", "the `weight` of its evidence is 0"),
        (", combine: borda", "", "panel `panel` takes `votes`, which compares answers to one prompt"),
        (
            "router: all, arbiter: votes",
            "router: {budgeted: {}}, arbiter: votes",
            "`votes` scores when all answers are there",
        ),
    ];
    for (from, to, wanted) in cases {
        let told = faults(from, to);
        assert!(told.contains(wanted), "{to}: {told}");
    }
}
