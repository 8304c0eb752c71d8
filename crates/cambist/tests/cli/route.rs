//! `cambist route` answers line by line, as prompts come.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::world::{Told, World};

/// A router as files have it: teacher `b` for questions, `a` for the rest.
fn world() -> World {
    let world = World::new();
    let router = json!({
        "schema_version": 1, "teachers": ["a", "b"], "features": "hashed-v1:8", "n_prompts": 60,
        "calibration": {"generations": 120, "arbiter_scores": 120, "tokens_in": 0, "tokens_out": 0,
            "generation_usd": 0.0, "scoring_usd": 0.0},
        // The feature is the cue that there is a question mark.
        "head": {"intercepts": [0.5, 0.25], "languages": {"tr": [0.0, 0.125]}, "width": 274, "features": [11],
            "weights": [[-1.0, 1.0]]},
        "chosen": {"head": "ridge", "penalty": 8.0, "n": 60, "regret": 0.1}, "temperature": 1.0, "trials": [],
        "overall": {"n": 60, "regret": 0.1, "table_regret": 0.2, "gain": 0.1, "gain_se": 0.01}, "languages": {},
    });
    world.write("router.json", router.to_string());
    world
}

fn routing(world: &World) -> Child {
    let mut command = world.command(&["route", "--router", "router.json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn line(id: usize, text: &str) -> String {
    format!("{}\n", json!({"id": id, "language": "tr", "prompt": text}))
}

#[test]
fn a_prompt_is_answered_before_the_next_one_comes() {
    let world = world();
    let mut child = routing(&world);
    let (mut asked, mut told) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for id in 0..3 {
        asked.write_all(line(id, if id == 1 { "Neden?" } else { "Yaz." }).as_bytes()).unwrap();
        let mut answer = String::new();
        told.read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let scores = if id == 1 { [-0.5, 1.375] } else { [0.5, 0.375] };
        let expected = json!({"id": id, "language": "tr", "calibrated": true, "teacher": if id == 1 { "b" } else { "a" },
            "propensity": 1.0, "scores": {"a": scores[0], "b": scores[1]}});
        assert_eq!(answer, expected);
    }
    drop(asked);
    assert!(child.wait().unwrap().success());
}

#[test]
fn lines_that_come_in_pieces_are_routed_in_their_order() {
    let world = world();
    let mut child = routing(&world);
    let mut asked = child.stdin.take().unwrap();
    let prompts: String =
        (0..5_000).map(|id| line(id, if id % 3 == 0 { "Niçin böyle?" } else { "Şunu yaz." })).collect();
    // Cut inside lines, and inside letters of two bytes; the last line has no end.
    let bytes = prompts.trim_end().as_bytes().to_vec();
    let writer = std::thread::spawn(move || bytes.chunks(977).for_each(|piece| asked.write_all(piece).unwrap()));
    let told = Told::of(child.wait_with_output().unwrap());
    writer.join().unwrap();
    assert_eq!((told.code, told.err.trim()), (0, "5000 prompts"));
    let routed: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(routed.len(), 5_000);
    for (id, route) in routed.iter().enumerate() {
        let teacher = if id % 3 == 0 { "b" } else { "a" };
        assert_eq!((&route["id"], &route["teacher"]), (&json!(id), &json!(teacher)));
    }
}

#[test]
fn a_line_that_is_no_prompt_is_named() {
    for (bad, named) in [("{}\n".as_bytes(), "`line 3`"), (b"\xff\n", "`line 3` is no UTF-8")] {
        let world = world();
        let mut child = routing(&world);
        let mut asked = child.stdin.take().unwrap();
        let lines = [line(1, "a").as_bytes(), b"\n", bad].concat();
        asked.write_all(&lines).unwrap();
        drop(asked);
        let told = Told::of(child.wait_with_output().unwrap());
        assert!(told.code == 2 && told.err.contains(named), "{told:?}");
        if bad == b"\xff\n" {
            told.is_explained(2, "`line …` is no UTF-8");
        }
    }
}
