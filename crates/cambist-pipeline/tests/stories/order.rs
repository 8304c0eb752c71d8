//! `select` reads its tables along the prompts; what lies in another order gives the same bytes.

use std::{collections::BTreeMap, fmt::Write, fs};

use cambist_io::store::Artifact;
use serde_json::{Value, json};

use crate::house::{House, recipe};

const N: usize = 60;

const RECIPE: &str = "
name: order
seed: 7
pool:
  - {id: a, license: MIT, replay: {file: answers.jsonl}}
  - {id: b, license: MIT, replay: {file: answers.jsonl}}
  - {id: c, license: MIT, replay: {file: answers.jsonl}}
arbiters:
  - {id: judge, recorded: {file: scores.jsonl}}
steps:
  - id: prompts
    prompts: {file: prompts.jsonl}
  - id: mixed
    prompts: {file: mixed.jsonl}
  - id: answers
    generate: {prompts: prompts, router: {all-bon: {samples: 2}}}
  - id: mixed-answers
    generate: {prompts: mixed, router: {all-bon: {samples: 2}}}
  - id: scores
    score: {from: answers, arbiter: judge}
  - id: mixed-scores
    score: {from: mixed-answers, arbiter: judge}
  - id: data
    select:
      from: answers
      scores: scores
      safety: scores
      gates: {safety: {min_score: 1, allow_missing: true}}
      pairs: {rule: all-ordered, margin_quantile: 0}
      labels: {rule: {language-share: 0.3}}
      strategies:
        reward: {router: all}
        own: {router: {all-bon: {samples: 2}}, from: answers, scores: scores, safety: scores}
        lot: {router: random}
";

/// The recipe's `data` with its tables in the order of other prompts.
const ANOTHER: [&str; 5] = [
    "data.select.scores=mixed-scores",
    "data.select.safety=mixed-scores",
    "data.select.strategies.own.from=mixed-answers",
    "data.select.strategies.own.scores=scores",
    "data.select.strategies.own.safety=mixed-scores",
];

fn house() -> House {
    let house = House::new();
    let (mut prompts, mut answers, mut scores) = (Vec::new(), String::new(), String::new());
    for at in 0..N {
        prompts.push(json!({"id": format!("p{at:02}"), "prompt": format!("What is {at} and one?"), "language": "en"}));
        for (teacher, sample) in ["a", "b", "c"].iter().flat_map(|teacher| [(teacher, 0), (teacher, 1)]) {
            let hash = (at * 7 + sample * 3 + usize::from(teacher.as_bytes()[0])) % 11;
            let text =
                format!("The answer that you get from {teacher} is {}, which says it for the {hash}th time.", at + 1);
            let cell = |name: &str, value: Value| json!({"prompt_id": format!("p{at:02}"), "model": teacher, "sample": sample, name: value});
            let _ = writeln!(answers, "{}", cell("text", json!(text)));
            if hash != 9 {
                let _ = writeln!(scores, "{}", cell("score", json!(hash)));
            }
        }
    }
    let lines = |prompts: &[Value]| prompts.iter().map(|prompt| format!("{prompt}\n")).collect::<String>();
    let write = |name: &str, text: &str| fs::write(house.folder().join(name), text).unwrap();
    write("prompts.jsonl", &lines(&prompts));
    prompts.sort_by_key(|prompt| prompt["id"].as_str().unwrap().bytes().rev().collect::<Vec<_>>());
    write("mixed.jsonl", &lines(&prompts));
    write("answers.jsonl", &answers);
    write("scores.jsonl", &scores);
    house
}

fn files(artifact: &Artifact) -> BTreeMap<String, String> {
    let files = &artifact.manifest().files;
    files.iter().map(|(name, entry)| (name.clone(), entry.sha256.as_str().to_owned())).collect()
}

#[test]
fn tables_in_another_order_give_the_same_bytes() {
    for shard_rows in ["", "data.select.shard_rows=13"] {
        let house = house();
        let run = |more: &[&str], threads| {
            let overrides: Vec<&str> = more.iter().copied().chain([shard_rows]).filter(|key| !key.is_empty()).collect();
            let ran = house.run(recipe(RECIPE, &overrides), threads).unwrap();
            let data = ran.artifact("data");
            data.verify().unwrap();
            let counts = data.manifest().counts.clone();
            (data.manifest().id.clone(), counts, files(data))
        };
        let (id, counts, in_order) = run(&[], 1);
        let (other_id, other_counts, mixed) = run(&ANOTHER, 4);
        assert_ne!(id, other_id);
        assert_eq!((counts, &in_order), (other_counts, &mixed));
        // Nothing is left of what was laid out.
        let expected = if shard_rows.is_empty() { "own/sft.jsonl" } else { "data/own/train-00000-of-00005.parquet" };
        assert!(mixed.contains_key(expected), "{mixed:?}");
        assert!(mixed.keys().all(|name| !name.contains("laid")), "{mixed:?}");
    }
}

#[test]
fn answers_to_prompts_that_nobody_asked_are_refused_in_any_order() {
    let house = house();
    let text = fs::read_to_string(house.folder().join("prompts.jsonl")).unwrap();
    for (name, kept) in [("first.jsonl", 0..N / 2), ("last.jsonl", N / 2..N)] {
        let lines: Vec<&str> = text.lines().skip(kept.start).take(kept.len()).collect();
        fs::write(house.folder().join(name), lines.join("\n")).unwrap();
        let changes = [&*format!("prompts.prompts.file={name}"), "data.select.strategies.own.from=mixed-answers"];
        let error = house.run(recipe(RECIPE, &changes), 2).err().unwrap().to_string();
        assert!(error.contains("teacher `a` answered prompt `"), "{error}");
        assert!(error.contains("which is not among the prompts: give the prompts that were asked"), "{error}");
    }
}
