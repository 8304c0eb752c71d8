//! Faults that do not pass: one server fails for good beside a sound one. The run ends with words and the code of the
//! world, what the sound one answered is kept, and a mended server is asked for its own calls alone.

use serde_json::{Value, json};

use super::pool::{Pool, is_explained, mock, n_stored, said};

/// Calls of each teacher; more than an endpoint may fail before it is given up.
const N_CALLS: u64 = 60;

/// A recipe with a teacher on each server; `more` goes into the endpoint of the second.
fn recipe(sound: &str, failing: &str, more: &str) -> String {
    let limits = "limits: {concurrency: 60}, retries: {max: 0}";
    format!(
        "name: two\npool:\n\
         - {{id: alpha, license: MIT, endpoint: {{base_url: \"{sound}\", model: alpha}}}}\n\
         - {{id: beta, license: MIT, endpoint: {{base_url: \"{failing}\", model: beta, {limits}{more}}}}}\n\
         steps:\n- id: prompts\n  prompts: {{polyglot: {{sources: 30}}, languages: [ja, tr]}}\n\
         - id: answers\n  generate: {{prompts: prompts, router: all, sampling: {{max_new_tokens: 512}}}}\n"
    )
}

/// Runs beside a server that always fails so, then beside a mended one.
fn fails_and_is_mended(fault: Value, more: &str, explained: impl Fn(&str) -> String) {
    let (sound, failing) = (mock(json!({})), mock(json!({ "faults": [fault] })));
    let pool = Pool::new(&recipe(&sound.base_url(), &failing.base_url(), more));
    let output = pool.run("store");
    let pattern = explained(&said(&output));
    is_explained(&output, 3, &pattern);
    let kept = n_stored(&pool.path("store"));
    assert_eq!(kept, N_CALLS, "{pattern}: the sound server's answers are kept\n{}", said(&output));
    let mended = mock(json!({}));
    std::fs::write(pool.path("recipe.yaml"), recipe(&sound.base_url(), &mended.base_url(), "")).unwrap();
    let output = pool.run("store");
    assert!(output.status.success(), "{pattern}: {}", said(&output));
    let (again, first) = (sound.stats(), mended.stats());
    assert_eq!((again.answered, first.answered), (N_CALLS, N_CALLS), "{pattern}: nobody is asked twice");
}

/// What is told of a teacher that failed `class` again and again: so many failures, or, where the machine is so slow
/// that the endpoint was rested in between, so long without an answer.
fn gave_up(class: &str) -> impl Fn(&str) -> String {
    move |told: &str| match told.contains("exchanges failed") {
        true => format!("teacher `…` stopped answering: … exchanges failed: … x {class}: …"),
        false => format!("teacher `…` stopped answering: {class}: no answer for … s: …"),
    }
}

#[test]
fn a_server_that_always_fails() {
    fails_and_is_mended(json!({"fault": "status:500"}), "", gave_up("server"));
}

#[test]
fn a_server_whose_json_always_breaks_off() {
    fails_and_is_mended(json!({"fault": "truncated_json"}), "", gave_up("transport_mid"));
}

#[test]
fn a_server_that_never_has_a_choice_to_offer() {
    fails_and_is_mended(json!({"fault": "empty_choices"}), "", gave_up("shape"));
}

#[test]
fn a_server_that_answers_nothing() {
    fails_and_is_mended(json!({"fault": "null_content"}), "", gave_up("empty"));
}

#[test]
fn a_proxy_that_answers_with_a_page() {
    fails_and_is_mended(json!({"fault": "wrong_type"}), "", gave_up("content_type"));
}

#[test]
fn connections_that_are_always_reset() {
    fails_and_is_mended(json!({"fault": "reset_before"}), "", gave_up("transport"));
    let in_the_middle = json!({"fault": "reset_mid", "params": {"after_bytes": 60}});
    fails_and_is_mended(in_the_middle, "", gave_up("transport_mid"));
}

#[test]
fn a_reply_that_never_stops_dripping() {
    let drip = json!({"fault": "slow", "params": {"delay_ms": 600_000}});
    fails_and_is_mended(drip, ", timeouts: {total: 1}", gave_up("timeout"));
}

#[test]
fn a_storm_of_429_passes_without_a_failure() {
    let storm = json!({"fault": "burst_429", "at": [2], "params": {"window": 30, "retry_after": "ms", "wait_ms": 20}});
    let (sound, stormy) = (mock(json!({})), mock(json!({ "faults": [storm] })));
    let pool = Pool::new(&recipe(&sound.base_url(), &stormy.base_url(), ""));
    let output = pool.run("store");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(n_stored(&pool.path("store")), 2 * N_CALLS);
    let stats = stormy.stats();
    assert_eq!((stats.answered, stats.attempts), (N_CALLS, N_CALLS + 30), "nothing is lost, nothing asked twice");
}

#[test]
fn a_server_that_asks_to_come_back_in_days() {
    let storm = json!({"fault": "burst_429", "params": {"retry_after": "absurd"}});
    let pattern = "teacher `…` stopped answering: capacity: the server asks to wait … s, which is longer than … s";
    fails_and_is_mended(storm, "", |_| pattern.to_owned());
}
