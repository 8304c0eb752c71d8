//! What servers do wrong is told in words, with the exit code of whoever is at fault, and finished work stays.

use std::process::Output;

use serde_json::{Value, json};

use super::pool::{Pool, is_explained, mock, n_stored, said};

/// A recipe with one teacher at `base_url`; `more` goes into its endpoint.
fn recipe(base_url: &str, more: &str) -> String {
    format!(
        "name: one\npool:\n- id: alpha\n  license: Apache-2.0\n  endpoint: {{base_url: \"{base_url}\", model: alpha{more}}}\n\
         steps:\n- id: prompts\n  prompts: {{polyglot: {{sources: 6}}, languages: [ja, tr]}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: all, sampling: {{max_new_tokens: 64}}}}\n"
    )
}

/// Runs against a mock that misbehaves.
fn outcome(behaviour: Value, more: &str) -> Output {
    let server = mock(behaviour);
    Pool::new(&recipe(&server.base_url(), more)).run("store")
}

#[test]
fn a_refused_key_stops_the_endpoint_and_names_the_variable() {
    let output = outcome(json!({ "auth": {"key": "right"} }), "");
    is_explained(&output, 3, "teacher `…` stopped answering: auth: …");
}

#[test]
fn a_key_variable_that_is_not_set_is_told_before_anything_is_sent() {
    let server = mock(json!({}));
    let output = Pool::new(&recipe(&server.base_url(), ", api_key_env: CAMBIST_TEST_NO_SUCH_KEY")).run("store");
    let pattern = "the header `…` is read from the environment variable `…`, which is not set";
    is_explained(&output, 2, pattern);
    assert!(said(&output).contains("`CAMBIST_TEST_NO_SUCH_KEY`"), "{}", said(&output));
    assert_eq!(server.stats().attempts, 0);
}

#[test]
fn a_model_that_is_not_there_is_told_before_anything_is_paid() {
    let server = mock(json!({ "models": ["beta", "gamma"] }));
    let pool = Pool::new(&recipe(&server.base_url(), ""));
    let output = pool.run("store");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("has no model `alpha`; it has `beta`, `gamma`"), "{}", said(&output));
    assert_eq!(server.stats().attempts, 0);
    // Whoever knows better is told by the first call.
    let output = pool.cambist(&["run", "recipe.yaml", "--quiet", "--store", "store", "--capabilities", "never"]);
    is_explained(&output, 3, "teacher `…` gave no answer at all; the first failure is …");
    assert!(said(&output).contains("not_found"), "{}", said(&output));
}

#[test]
fn a_request_that_is_always_refused_is_no_data() {
    let output = outcome(json!({ "faults": [{"fault": "status:422"}] }), "");
    is_explained(&output, 3, "teacher `…` gave no answer at all; the first failure is …");
    assert!(said(&output).contains("the first failure is request"), "{}", said(&output));
}

#[test]
fn a_server_that_answered_nothing_is_asked_again_once_it_is_mended() {
    for fault in ["status:422", "empty_choices"] {
        let broken = mock(json!({ "faults": [{"fault": fault}] }));
        let pool = Pool::new(&recipe(&broken.base_url(), ", retries: {max: 0}"));
        let output = pool.run("store");
        is_explained(&output, 3, "teacher `…` gave no answer at all; the first failure is …");
        let mended = mock(json!({}));
        std::fs::write(pool.path("recipe.yaml"), recipe(&mended.base_url(), "")).unwrap();
        let output = pool.run("store");
        assert!(output.status.success(), "{fault}: {}", said(&output));
        assert_eq!((n_stored(&pool.path("store")), mended.stats().answered), (12, 12), "{fault}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_in_time() {
    let recipe = recipe("http://127.0.0.1:9", ", retries: {max: 1}");
    let output = Pool::new(&recipe).run("store");
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("transport"), "{}", said(&output));
}

#[test]
fn too_many_failures_in_a_row_are_told_as_what_they_are() {
    let server = mock(json!({ "faults": [{"fault": "status:422"}] }));
    let many = recipe(&server.base_url(), "").replace("sources: 6", "sources: 60");
    let output = Pool::new(&many).run("store");
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("of the last") && said(&output).contains("exchanges failed"), "{}", said(&output));
    assert!(server.stats().attempts < 100, "it stopped early");
}

#[test]
fn an_empty_account_stops_the_endpoint() {
    let output = outcome(json!({ "faults": [{"fault": "quota_429"}] }), "");
    is_explained(&output, 3, "teacher `…` stopped answering: quota: …");
}

#[test]
fn faults_that_pass_leave_no_trace_but_in_the_ledger() {
    let faults = [
        "status:500",
        "status:503",
        "burst_429",
        "reset_before",
        "reset_mid",
        "half_close",
        "truncated_json",
        "wrong_type",
        "empty_choices",
        "null_content",
        "bad_utf8",
        "nan_number",
        "abort",
        "rename_tokens",
    ];
    for fault in faults {
        let rule = json!({ "fault": fault, "at": [2, 5, 9], "params": {"wait_ms": 10, "retry_after": "ms", "after_bytes": 60} });
        let server = mock(json!({ "faults": [rule] }));
        let pool = Pool::new(&recipe(&server.base_url(), ", retries: {budget_ratio: 50.0}, limits: {concurrency: 12}"));
        let output = pool.run("store");
        assert!(output.status.success(), "{fault}: {}", said(&output));
        assert_eq!(n_stored(&pool.path("store")), 12, "{fault}");
    }
}

#[test]
fn answers_that_are_withheld_or_cut_are_kept_and_marked() {
    for (fault, kept) in [("finish_filter", "content_filter"), ("finish_length", "length")] {
        let server = mock(json!({ "faults": [{"fault": fault}] }));
        let pool = Pool::new(&recipe(&server.base_url(), ""));
        let output = pool.run("store");
        assert!(output.status.success(), "{fault}: {}", said(&output));
        let ledger = rusqlite::Connection::open(pool.path("store/ledger.sqlite")).unwrap();
        let n: i64 =
            ledger.query_row("SELECT COUNT(*) FROM calls WHERE finish_reason = ?1", [kept], |row| row.get(0)).unwrap();
        assert_eq!(n, 12, "{fault}");
    }
}

#[test]
fn a_reward_server_that_gives_no_raw_rewards_is_refused() {
    for (model, why) in [
        ("mock-rm-sigmoid", "sigmoid"),
        ("mock-rm-softmax", "softmax"),
        ("mock-rm-hidden", "hidden states"),
        ("mock-rm-l2", "normal"),
    ] {
        let server = mock(json!({}));
        let base_url = server.base_url();
        let recipe = recipe(&base_url, "")
            .replace("router: all,", "router: all, arbiter: rm,")
            .replace("steps:", &format!("arbiters:\n- id: rm\n  endpoint: {{dialect: vllm-classify, base_url: \"{base_url}\", model: {model}}}\nsteps:"));
        let pool = Pool::new(&recipe);
        let output = pool.run("store");
        is_explained(&output, 2, "arbiter `…` is refused: …");
        assert!(said(&output).contains(why), "{model}: {}", said(&output));
        assert_eq!(n_stored(&pool.path("store")), 12, "{model}: what the teacher answered is kept");
    }
}

#[test]
fn no_key_reaches_a_file_or_a_screen() {
    let canary = "sk-canary-5f2c9d81a7e64b0f9c3d2e1a";
    let server = mock(
        json!({ "auth": {"key": canary}, "faults": [{"fault": "status:500", "probability": 0.3, "attempts": 1}] }),
    );
    let pool = Pool::new(&recipe(&server.base_url(), ", api_key_env: CAMBIST_TEST_CANARY"));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cambist"))
        .args(["run", "recipe.yaml", "--store", "store"])
        .current_dir(pool.path(""))
        .env("CAMBIST_TEST_CANARY", canary)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains(canary) && !String::from_utf8_lossy(&output.stdout).contains(canary));
    let mut waiting = vec![pool.path("store")];
    let mut n_files = 0;
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        n_files += 1;
        assert!(!bytes.windows(canary.len()).any(|part| part == canary.as_bytes()), "{}", path.display());
    }
    assert!(n_files > 4);
}
