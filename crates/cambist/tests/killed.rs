//! Killed at random again and again, a run ends with the artifacts and the answers of an undisturbed one.

#![cfg(test)]

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cambist_core::chance::Chance;
use cambist_io::store::{Manifest, StoreView};

const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cambist-pipeline/tests/stories/small.yaml");
const ADAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cambist-pipeline/tests/stories/adapters.yaml");
/// No wait is longer; the longest job of the recipe takes less, or a run would never end.
const LONGEST_WAIT_MS: f64 = 900.0;

/// Training keeps its state after every step, so that most kills find one.
fn start(recipe: &str, store: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambist"));
    command.args(["run", recipe, "--quiet", "--threads", "2", "--state-every", "0", "--store"]).arg(store);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn to_the_end(recipe: &str, store: &Path) {
    let output = start(recipe, store).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits for at most `wait`, then kills; says whether there was something left to kill.
fn kill_after(mut child: Child, wait: Duration) -> bool {
    let deadline = Instant::now() + wait;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "a run after a killed one ended with {status}");
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

/// The manifests of all artifacts, after every file was compared with its digest in them.
fn manifests(store: &Path) -> Vec<Manifest> {
    let listing = StoreView::open(store).unwrap().list().unwrap();
    assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
    listing.artifacts.iter().for_each(|artifact| artifact.verify().unwrap());
    listing.artifacts.iter().map(|artifact| artifact.manifest().clone()).collect()
}

/// Every call in the ledger, without its times.
fn calls(store: &Path) -> Vec<String> {
    let ledger = rusqlite::Connection::open(store.join("ledger.sqlite")).unwrap();
    let row = "key || endpoint || teacher || prompt_id || sample || request || status || text || finish_reason
        || COALESCE(failure, '') || COALESCE(tokens_in, '') || COALESCE(tokens_out, '') || cost_usd || attempts";
    let mut query = ledger.prepare(&format!("SELECT {row} FROM calls ORDER BY key")).unwrap();
    query.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn twenty_kills_change_nothing() {
    kills_change_nothing(SMALL, 20, (17, 100));
}

#[test]
fn adapters_end_with_the_same_numbers_after_eight_kills() {
    kills_change_nothing(ADAPTERS, 8, (7, 8));
}

/// `n_made` is how many artifacts the recipe makes, and how many answers it asks for at least.
fn kills_change_nothing(recipe: &str, n_wanted: usize, n_made: (usize, usize)) {
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = folder.path().join("undisturbed");
    to_the_end(recipe, &undisturbed);
    let (artifacts, answers) = (manifests(&undisturbed), calls(&undisturbed));
    let (n_artifacts, n_answers) = (artifacts.len(), answers.len());
    assert!(n_artifacts == n_made.0 && n_answers >= n_made.1, "{n_artifacts} artifacts, {n_answers} calls");

    let mut chance = Chance::new(7, &["kills"]);
    let (mut n_kills, mut n_lives) = (0, 0);
    while n_kills < n_wanted {
        n_lives += 1;
        let store = folder.path().join(format!("killed-{n_lives}"));
        loop {
            let wait = Duration::from_secs_f64(chance.unit() * LONGEST_WAIT_MS / 1e3);
            if n_kills == n_wanted || !kill_after(start(recipe, &store), wait) {
                break;
            }
            n_kills += 1;
        }
        to_the_end(recipe, &store);
        assert_eq!(manifests(&store), artifacts, "after {n_kills} kills");
        assert_eq!(calls(&store), answers, "after {n_kills} kills");
    }
    eprintln!("{n_kills} kills in {n_lives} lives, {} artifacts and {} calls equal", artifacts.len(), answers.len());
}
