//! Killed at random ten times against a faulty server, a run ends with the rows of an undisturbed one, and no call is
//! answered again after its answer was stored.

use std::time::{Duration, Instant};

use cambist_core::chance::Chance;
use cambist_io::{
    mock::{MockServer, MockStats},
    store::StoreView,
};
use serde_json::{Value, json};

use super::pool::{Pool, mock, n_stored, said};

const N_KILLS: usize = 10;

/// Sources, each in ten languages and asked of two teachers: 2,000 cells, or as many as `CAMBIST_TEST_CELLS` says.
fn n_sources() -> usize {
    let cells = std::env::var("CAMBIST_TEST_CELLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    cells / 20
}

fn faults() -> Value {
    json!([
        {"fault": "status:500", "probability": 0.02, "attempts": 2},
        {"fault": "reset_before", "probability": 0.02, "attempts": 2, "seed": 1},
        {"fault": "reset_mid", "probability": 0.01, "attempts": 1, "seed": 2, "params": {"after_bytes": 90}},
        {"fault": "truncated_json", "probability": 0.01, "attempts": 1, "seed": 3},
        {"fault": "half_close", "probability": 0.01, "attempts": 1, "seed": 4, "params": {"after_bytes": 40}},
        {"fault": "wrong_type", "probability": 0.005, "attempts": 1, "seed": 5},
        {"fault": "status:400", "match": {"contains": "171"}},
        {"fault": "burst_429", "at": [300, 900], "params": {"window": 20, "retry_after": "ms", "wait_ms": 30}},
    ])
}

fn recipe(teachers: &MockServer, arbiter: &MockServer) -> String {
    let (teachers, arbiter) = (teachers.base_url(), arbiter.base_url());
    let limits = "limits: {concurrency: 64}, retries: {budget_ratio: 5.0}";
    format!(
        "name: night\nseed: 7\npool:\n\
         - id: alpha\n  license: Apache-2.0\n  price: {{input: 0.1, output: 0.3}}\n  \
           endpoint: {{base_url: \"{teachers}\", model: alpha-9b, {limits}}}\n\
         - id: beta\n  license: Apache-2.0\n  price: {{input: 0.2, output: 0.6}}\n  \
           endpoint: {{dialect: cohere, base_url: \"{teachers}\", model: beta-8b, {limits}}}\n\
         arbiters:\n- id: rm\n  endpoint: {{dialect: vllm-classify, base_url: \"{arbiter}\", model: mock-rm, {limits}}}\n\
         steps:\n- id: prompts\n  prompts: {{polyglot: {{sources: {n}}}}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: all, arbiter: rm, sampling: {{max_new_tokens: 300}}}}\n",
        n = n_sources()
    )
}

/// The files of the answers, by name and digest.
fn answers(store: &std::path::Path) -> Value {
    let listing = StoreView::open(store).unwrap().list().unwrap();
    assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
    let made = listing.artifacts.iter().find(|artifact| artifact.manifest().id.verb == "generate").unwrap();
    made.verify().unwrap();
    let manifest = made.manifest();
    json!({ "files": manifest.files, "counts": manifest.counts, "failures": manifest.failures })
}

/// Waits until nothing is on its way, and says what was answered: what a killed process wrote into its sockets is read
/// and answered after its end, so that a moment without requests says nothing.
fn at_rest(server: &MockServer) -> MockStats {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut before = server.stats();
    loop {
        std::thread::sleep(Duration::from_millis(150));
        let stats = server.stats();
        if (stats.in_flight == 0 && stats.attempts == before.attempts) || Instant::now() > deadline {
            return stats;
        }
        before = stats;
    }
}

#[test]
fn ten_kills_cost_the_calls_in_flight_and_nothing_else() {
    let faulty = || mock(json!({ "faults": faults(), "latency": {"fixed_ms": 3} }));
    let (calm_teachers, arbiter) = (faulty(), mock(json!({})));
    let calm = Pool::new(&recipe(&calm_teachers, &arbiter));
    let output = calm.run("store");
    assert!(output.status.success(), "{}", said(&output));
    let undisturbed = answers(&calm.path("store"));

    let teachers = faulty();
    let pool = Pool::new(&recipe(&teachers, &arbiter));
    let store = pool.path("store");
    let mut chance = Chance::new(7, &["kills"]);
    let (mut n_kills, mut n_lost) = (0, 0);
    while n_kills < N_KILLS {
        let mut child = pool.start("store");
        // Longer runs are killed as late in them as short ones.
        let longest_ms = 250.0 * (n_sources() as f64 / 100.0);
        std::thread::sleep(Duration::from_millis(60 + (chance.unit() * longest_ms) as u64));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "a run after a killed one ended with {status}");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        n_kills += 1;
        n_lost = at_rest(&teachers).answered - n_stored(&store);
    }
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(answers(&store), undisturbed, "after {n_kills} kills");
    let stats = at_rest(&teachers);
    let stored = n_stored(&store);
    eprintln!("{n_kills} kills: {stored} answers stored, {} given, {n_lost} lost in flight", stats.answered);
    assert!(n_kills >= 3, "the run is too short to be killed: {n_kills}");
    assert_eq!(stats.answered, stored + n_lost, "an answer that was stored was asked for again");
    assert!(n_lost <= 128 * n_kills as u64, "more was lost than was in flight");
}
