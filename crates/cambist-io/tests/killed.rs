//! A store and a ledger whose writer is killed at random instants.

#![cfg(test)]
#![cfg(unix)]

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use cambist_core::{chance::Chance, completion::FinishReason};
use cambist_io::{
    ledger::{CallRecord, CallStatus, Ledger, call_key},
    store::{Identity, ManifestDraft, Store},
};
use serde_json::json;

const FOLDER: &str = "CAMBIST_TEST_KILLED_FOLDER";
const N_STEPS: u64 = 40;

fn identity(step: u64) -> Identity {
    Identity { verb: "generate".into(), revision: 1, params: json!({"step": step}), inputs: vec![], seed: 7 }
}

fn rows(step: u64) -> Vec<u8> {
    let mut chance = Chance::new(step, &["rows"]);
    (0..20_000).flat_map(|_| chance.next_u64().to_le_bytes()).collect()
}

fn call(step: u64) -> CallRecord {
    let request = json!({"step": step});
    CallRecord {
        key: call_key("local", &request, 0),
        language: "tr".into(),
        failure_class: None,
        reasoning: None,
        marks: Vec::new(),
        reply: None,
        origin: String::new(),
        costs_unknown: 0,
        n_maybe_charged: 0,
        endpoint: "local".into(),
        teacher: "t".into(),
        prompt_id: step.to_string(),
        sample: 0,
        request: request.to_string(),
        status: CallStatus::Answered,
        text: "відповідь".repeat(2000),
        finish_reason: FinishReason::Stop,
        failure: None,
        tokens_in: None,
        tokens_out: None,
        cost_usd: 1.0,
        seconds: 0.0,
        attempts: 1,
        created_at_unix_ms: 0,
    }
}

/// Does whatever is not done yet, as a run does: pays for an answer, then makes the artifact.
fn run(folder: &Path) {
    let store = Store::open(folder).unwrap();
    let mut ledger = Ledger::open(&store.ledger_path()).unwrap();
    for step in 0..N_STEPS {
        if store.find(&identity(step).id()).unwrap().is_some() {
            continue;
        }
        if ledger.find_calls(&[call(step).key]).unwrap()[0].is_none() {
            ledger.put_calls(&[call(step)]).unwrap();
        }
        let scratch = store.begin(identity(step)).unwrap();
        scratch.write("rows.bin", &rows(step)).unwrap();
        scratch.write("deep/rows.bin", &rows(step + 1)).unwrap();
        scratch.commit(ManifestDraft { step: step.to_string(), ..ManifestDraft::default() }).unwrap();
    }
}

/// Run by the test below in a process of its own; passes at once when run with the others.
#[test]
fn writer_that_gets_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        run(Path::new(&folder));
    }
}

#[test]
fn killed_at_random_twenty_times_a_run_ends_with_whole_artifacts_and_every_answer() {
    let mut folder = tempfile::tempdir().unwrap();
    let mut chance = Chance::new(1, &["kill"]);
    let (mut n_killed, mut n_started) = (0, 0);
    while n_killed < 20 {
        n_started += 1;
        assert!(n_started < 400, "only {n_killed} of {n_started} were killed at work");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer_that_gets_killed"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_micros(chance.below(40_000) as u64));
        if child.try_wait().unwrap().is_some() {
            // It got to its end: the next one begins with nothing.
            folder = tempfile::tempdir().unwrap();
            continue;
        }
        n_killed += 1;
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let listing = store.list().unwrap();
        assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
        let ledger = Ledger::open(&store.ledger_path()).unwrap();
        for artifact in &listing.artifacts {
            artifact.verify().unwrap();
            let step = artifact.manifest().params["step"].as_u64().unwrap();
            assert_eq!(ledger.find_calls(&[call(step).key]).unwrap(), [Some(call(step))]);
        }
    }
    run(folder.path());
    let undisturbed = tempfile::tempdir().unwrap();
    run(undisturbed.path());
    for step in 0..N_STEPS {
        let bytes = [folder.path(), undisturbed.path()].map(|root| {
            let folder = root.join("artifacts").join(identity(step).id().to_string());
            ["manifest.json", "rows.bin", "deep/rows.bin"].map(|name| std::fs::read(folder.join(name)).unwrap())
        });
        assert_eq!(bytes[0], bytes[1], "step {step}");
    }
}
