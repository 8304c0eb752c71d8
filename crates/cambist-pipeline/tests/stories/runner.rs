//! Work that was done is not done again, and what was paid for is not paid for again.

use std::{collections::BTreeMap, fs};

use cambist_core::{completion::Completion, fault::Fault};
use cambist_io::{
    formats::read_table,
    store::{Artifact, Store},
};
use cambist_pipeline::inspect::{find_garbage, first_rows, remove_garbage};

use crate::house::{House, Ran, SMALL, recipe};

/// What a marked answer begins with.
const MARK: &str = "from the ledger: ";

/// Marks every answer in the ledger, so that one that is asked for again can be told from one that is not.
fn mark_answers(house: &House) {
    let ledger = rusqlite::Connection::open(house.store().join("ledger.sqlite")).unwrap();
    let marked = ledger.execute("UPDATE calls SET text = ?1 || text", [MARK]).unwrap();
    assert!(marked > 0, "there is something to mark");
}

fn answers(artifact: &Artifact) -> Vec<Completion> {
    read_table(&artifact.path("completions.parquet").unwrap()).unwrap()
}

fn teachers_calls(house: &House) -> BTreeMap<String, u64> {
    house.calls().into_iter().filter(|(name, _)| !name.contains("seed-")).collect()
}

fn total(calls: &BTreeMap<String, u64>) -> u64 {
    calls.values().sum()
}

#[test]
fn nothing_is_run_twice() {
    let house = House::new();
    let (first, calls, manifests) = (house.run_small(&[]), house.calls(), house.manifests());
    let second = house.run_small(&[]);
    assert_eq!(first.made.len(), 17);
    assert_eq!((second.made.len(), &second.reused), (0, &first.made));
    assert_eq!((house.calls(), house.manifests()), (calls, manifests));
}

#[test]
fn another_arbiter_scores_the_answers_that_are_there() {
    let house = House::new();
    let before = house.run_small(&[]);
    let calls = teachers_calls(&house);
    mark_answers(&house);
    let after = house.run_small(&["answers.generate.arbiter=checker", "calibration.generate.arbiter=checker"]);
    assert_eq!(teachers_calls(&house), calls, "nobody was asked");
    for label in ["answers", "calibration"] {
        let (old, new) = (answers(before.artifact(label)), answers(after.artifact(label)));
        assert!(new.iter().all(|answer| answer.text.starts_with(MARK)), "`{label}` is read from the ledger");
        let cells = |all: &[Completion]| {
            all.iter().map(|c| (c.prompt_id.clone(), c.teacher.clone(), c.tokens_out)).collect::<Vec<_>>()
        };
        assert_eq!(cells(&old), cells(&new));
    }
    for kept in ["prompts", "start", "teacher-both", "teacher-japanese", "teacher-turkish"] {
        assert!(after.reused.iter().any(|label| label == kept), "{kept}");
    }
}

#[test]
fn a_score_step_leaves_the_answers_alone() {
    let graded = |arbiter: &str| {
        let step = format!("  - id: graded\n    score: {{from: answers, arbiter: {arbiter}}}\n  - id: arbitrage\n");
        SMALL.replace("  - id: arbitrage\n", &step)
    };
    let house = House::new();
    let with = |arbiter: &str| house.run(recipe(&graded(arbiter), &[]), 2).unwrap();
    assert_eq!(with("checker").made.len(), 18);
    assert_eq!(with("similarity").made, ["graded"]);
}

#[test]
fn a_new_teacher_is_asked_alone_and_one_that_left_costs_nothing() {
    let without = |name: &str| {
        let lines = SMALL.lines().filter(|line| !line.contains(name)).collect::<Vec<_>>().join("\n");
        assert!(lines.len() < SMALL.len());
        lines.replace("teacher-turkish", "unused")
    };
    let house = House::new();
    house.run(recipe(&without("id: turkish"), &[]), 2).unwrap();
    let calls = teachers_calls(&house);
    assert_eq!(calls, BTreeMap::from([("both".to_owned(), 80), ("japanese".to_owned(), 40)]));

    mark_answers(&house);
    let joined = house.run_small(&[]);
    let mut expected = calls;
    expected.insert("turkish".to_owned(), 40);
    assert_eq!(teachers_calls(&house), expected);
    for answer in answers(joined.artifact("answers")) {
        assert_eq!(answer.text.starts_with(MARK), answer.teacher != "turkish", "{answer:?}");
    }
    let left = house.run(recipe(&without("id: japanese"), &[]), 2).unwrap();
    assert_eq!(teachers_calls(&house), expected);
    assert!(answers(left.artifact("answers")).iter().all(|answer| answer.teacher != "japanese"));
}

#[test]
fn names_are_no_part_of_what_was_done() {
    let house = House::new();
    house.run_small(&[]);
    let renamed = SMALL.replace("name: small", "name: other").replace("id: results", "id: verdict");
    let again = house.run(recipe(&renamed, &[]), 2).unwrap();
    assert_eq!(again.made, Vec::<String>::new(), "a recipe or a step by another name is the same work");

    let calls = teachers_calls(&house);
    let renamed = SMALL.replace("id: both", "id: everyone").replace("single: both", "single: everyone");
    let again = house.run(recipe(&renamed, &[]), 2).unwrap();
    assert!(again.made.contains(&"answers".to_owned()), "answers carry their teacher's name");
    assert_eq!(teachers_calls(&house), calls, "and are not asked for again");
}

#[test]
fn more_seeds_train_more_students_only() {
    let house = House::new();
    house.run_small(&[]);
    let more = house.run_small(&["students.train.seeds=[1, 2, 3]"]);
    let students = ["fixed", "random", "reward", "single"].map(|strategy| format!("students.{strategy}.seed-3"));
    let expected: Vec<String> = ["results".to_owned()].into_iter().chain(students).collect();
    assert_eq!(more.made, expected);
}

/// Asks a model folder, so that a rehearsal and the whole run ask the same teacher.
fn asking(small: &Ran) -> String {
    let folder = small.artifact("teacher-both").folder().display().to_string();
    format!(
        "name: asking\nseed: 7\n\
         pool: [{{id: both, license: Apache-2.0, folder: \"{folder}\"}}]\n\
         arbiters: [{{id: checker, check: {{}}}}]\n\
         steps:\n\
         - prompts: {{polyglot: {{tasks: [date-long]}}, languages: [ja, tr], splits: {{answer: 20, rest: 12}}}}\n\
         - id: answers\n  \
           generate: {{prompts: prompts.answer, router: all, arbiter: checker, sampling: {{max_new_tokens: 24}}}}\n"
    )
}

#[test]
fn a_rehearsal_is_a_part_of_the_whole() {
    let house = House::new();
    let text = asking(&house.run_small(&[]));
    let before = total(&house.calls());
    let mut rehearsal = recipe(&text, &[]);
    rehearsal.limit(4);
    let rehearsed = house.run(rehearsal, 2).unwrap();
    assert_eq!(rehearsed.artifact("prompts").manifest().counts, [("answer", 8), ("rest", 8)].map(count).into());
    assert_eq!(total(&house.calls()) - before, 8);

    mark_answers(&house);
    let whole = house.run(recipe(&text, &[]), 2).unwrap();
    assert_eq!(total(&house.calls()) - before, 40, "32 of 40 answers are new");
    let n_kept = answers(whole.artifact("answers")).iter().filter(|answer| answer.text.starts_with(MARK)).count();
    assert_eq!(n_kept, 8);
}

fn count((name, n): (&str, u64)) -> (String, u64) {
    (name.to_owned(), n)
}

#[test]
fn what_was_finished_before_a_failure_stays() {
    let house = House::new();
    fs::write(house.folder().join("recorded.jsonl"), r#"{"prompt_id": "p", "model": "other", "text": "x"}"#).unwrap();
    let ghost = "  - {id: ghost, license: MIT, replay: {file: recorded.jsonl}}\narbiters:";
    let haunted = SMALL.replace("arbiters:", ghost);
    let error = house.run(recipe(&haunted, &[]), 2).map(|ran| ran.made).unwrap_err();
    assert_eq!(error.fault(), Fault::You);
    assert!(error.to_string().contains("has no answer by `ghost`"), "{error}");

    let went_on = house.run_small(&[]);
    for kept in ["prompts", "start", "teacher-both"] {
        assert!(went_on.reused.iter().any(|label| label == kept), "{kept} of {:?}", went_on.reused);
    }
}

#[test]
fn garbage_is_what_no_last_run_reaches() {
    let house = House::new();
    house.run_small(&[]);
    let n_before = house.manifests().len();
    house.run_small(&["students.train.seeds=[1]"]);
    let sweep = |dry_run: bool| {
        let store = Store::open(&house.store()).unwrap();
        let garbage = find_garbage(&store, false).unwrap();
        if !dry_run {
            remove_garbage(&store, &garbage, false).unwrap();
        }
        garbage.unreachable.len()
    };
    assert_eq!((sweep(true), sweep(false), sweep(false)), (5, 5, 0), "four students of seed 2 and the old results");
    assert_eq!(house.manifests().len(), n_before + 1 - 5);
    assert!(house.run_small(&["students.train.seeds=[1]"]).made.is_empty());
}

#[test]
fn every_artifact_can_be_looked_at_tables_without_rows_too() {
    let house = House::new();
    let ran = house.run_small(&["arbitrage.select.pairs.min_margin=1000"]);
    for (label, artifact) in &ran.finished {
        for (table, rows) in first_rows(artifact, 2).unwrap() {
            assert_eq!(rows.is_empty(), table == "pairs.parquet", "{label}: {table}");
        }
    }
}
