//! Faults that change what a reply says.

use cambist_io::mock::Fault;
use serde_json::{Value, json};

use crate::client::{Got, post, start};

const CHAT: &str = "/v1/chat/completions";

fn ask() -> Value {
    json!({"model": "m", "n": 3, "max_tokens": 900, "messages": [{"role": "user", "content": "Why do rivers bend?"}]})
}

/// The first attempt meets the fault, the second does not.
fn with_fault(fault: &str, path: &str, body: &Value) -> Got {
    let server = start(&format!(r#"{{"faults": [{{"fault": {fault}, "attempts": 1}}]}}"#));
    let got = post(&server, path, body);
    let after = post(&server, path, body);
    assert_eq!(after.status, 200, "{fault}");
    serde_json::from_slice::<Value>(&after.body).unwrap();
    assert_eq!(server.stats().max_attempts, 2);
    got
}

fn named(name: &str) -> Got {
    with_fault(&format!("\"{name}\""), CHAT, &ask())
}

fn with_params(name: &str, params: Value) -> Got {
    with_fault(&format!(r#""{name}", "params": {params}"#), CHAT, &ask())
}

#[test]
fn refusals_say_when_to_come_back() {
    let form = |form: &str| with_params("burst_429", json!({"retry_after": form, "wait_ms": 1500}));
    let seconds = form("seconds");
    assert_eq!((seconds.status, seconds.header("retry-after")), (429, Some("2")));
    assert_eq!(form("ms").header("retry-after-ms"), Some("1500"));
    assert!(form("date").header("retry-after").unwrap().ends_with("gmt"));
    assert!(form("past_date").header("retry-after").unwrap().ends_with("gmt"));
    assert_eq!(form("reset").header("x-ratelimit-reset-requests"), Some("0m1.5s"));
    assert_eq!(form("body").json()["retry_after"], 1.5);
    assert_eq!(form("absurd").header("retry-after"), Some("950400"));
    assert_eq!(form("none").header("retry-after"), None);
    assert_eq!(named("quota_429").json()["error"]["type"], "insufficient_quota");
}

#[test]
fn statuses_in_every_shape() {
    let shape = |shape: &str| with_params("status:503", json!({"shape": shape}));
    assert!(shape("openai").json()["error"]["message"].is_string());
    assert_eq!(shape("flat").json()["object"], "error");
    assert!(shape("tgi").json()["error_type"].is_string());
    assert_eq!(shape("anthropic").json()["type"], "error");
    let text = shape("text");
    assert_eq!(text.status, 503);
    assert!(text.header("content-type").unwrap().starts_with("text/plain"));
    assert_eq!(named("status:404").status, 404);
}

#[test]
fn bytes_that_are_no_json() {
    for name in ["truncated_json", "bad_utf8", "bom", "nan_number"] {
        let got = named(name);
        assert_eq!(got.status, 200, "{name}");
        assert!(serde_json::from_slice::<Value>(&got.body).is_err(), "{name}: {}", got.text());
        assert!(!got.is_short(), "{name}");
    }
    assert!(std::str::from_utf8(&named("bad_utf8").body).is_err());
    assert!(named("bom").body.starts_with(&[0xef, 0xbb, 0xbf]));
    assert!(named("nan_number").text().contains(":NaN"));
    assert!(named("wrong_type").header("content-type").unwrap().starts_with("text/html"));
    let mislabelled = with_params("wrong_type", json!({"mislabel": true}));
    assert!(mislabelled.header("content-type").unwrap().starts_with("text/plain"));
    assert!(mislabelled.json()["choices"].is_array());
}

#[test]
fn odd_choices() {
    assert_eq!(named("empty_choices").json()["choices"], json!([]));
    assert_eq!(named("null_content").json()["choices"][1]["message"]["content"], Value::Null);
    assert_eq!(named("fewer_n").json()["choices"].as_array().unwrap().len(), 2);
    assert_eq!(named("dup_index").json()["choices"][2]["index"], 0);
    assert_eq!(named("dup_id").json()["id"], "the-same-id");
    assert_eq!(named("finish_length").json()["choices"][0]["finish_reason"], "length");
    assert_eq!(named("finish_filter").json()["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(named("abort").json()["choices"][0]["finish_reason"], "abort");
    assert_ne!(named("model_swap").json()["model"], "m");
    let shuffled = named("shuffle_index").json();
    assert_ne!(shuffled["choices"][0]["index"], 0);
}

#[test]
fn thinking_in_three_places() {
    let content = |got: Got| got.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let inline = content(named("think_inline"));
    assert!(inline.starts_with("<think>") && inline.contains("</think>"));
    let unclosed = content(named("think_unclosed"));
    assert!(unclosed.starts_with("<think>") && !unclosed.contains("</think>"));
    let field = named("think_field").json();
    assert!(field["choices"][0]["message"]["reasoning"].is_string());
    let claude = json!({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(with_fault("\"think_field\"", "/v1/messages", &claude).json()["content"][0]["type"], "thinking");
    assert_eq!(with_fault("\"finish_filter\"", "/v1/messages", &claude).json()["stop_reason"], "refusal");
    assert_eq!(with_fault("\"finish_length\"", "/v2/chat", &claude).json()["finish_reason"], "MAX_TOKENS");
}

#[test]
fn length_fields_are_renamed() {
    let server = start(r#"{"faults": [{"fault": "rename_tokens"}]}"#);
    let refused = post(&server, CHAT, &ask());
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("'max_tokens'") && refused.text().contains("'max_completion_tokens'"));
    let mut renamed = ask();
    renamed.as_object_mut().unwrap().remove("max_tokens");
    renamed["max_completion_tokens"] = json!(900);
    assert_eq!(post(&server, CHAT, &renamed).status, 200);
    let older = start(r#"{"faults": [{"fault": "rename_tokens", "params": {"accepts": "max_tokens"}}]}"#);
    assert_eq!(post(&older, CHAT, &renamed).status, 400);
}

#[test]
fn arbiters_out_of_order() {
    let body = json!({"model": "mock-rm", "input": [[1, 2, 3], [4, 5], [6]]});
    let arbiter = |name: &str| with_fault(&format!("\"{name}\""), "/classify", &body);
    let right = post(&start("{}"), "/classify", &body).json();
    let shuffled = arbiter("shuffle_index").json();
    assert_ne!(shuffled["data"], right["data"]);
    for row in shuffled["data"].as_array().unwrap() {
        assert_eq!(*row, right["data"][row["index"].as_u64().unwrap() as usize]);
    }
    assert_eq!(arbiter("short_batch").json()["data"].as_array().unwrap().len(), 2);
    assert!(arbiter("nan_score").text().contains("\"probs\":[NaN]"));
    let bare = json!({"model": "mock-rm", "text": ["a", "b"]});
    assert_eq!(with_fault("\"short_batch\"", "/classify", &bare).json().as_array().unwrap().len(), 1);
}

#[test]
fn traps_of_log_likelihood() {
    let body = json!({"model": "m", "prompt": "The sea is", "max_tokens": 1, "echo": true, "logprobs": 1});
    let ask = |name: &str| with_fault(&format!("\"{name}\""), "/v1/completions", &body).json()["choices"][0].clone();
    let right = post(&start("{}"), "/v1/completions", &body).json()["choices"][0].clone();
    let ignored = ask("ignore_echo");
    assert_eq!(ignored["logprobs"]["tokens"].as_array().unwrap().len(), 1);
    assert!(!ignored["text"].as_str().unwrap().starts_with("The sea"));
    let shifted = ask("echo_shift");
    assert_eq!(shifted["logprobs"]["token_logprobs"][0], right["logprobs"]["token_logprobs"][1]);
    assert_eq!(shifted["text"], right["text"]);
}

#[test]
fn rules_fire_where_they_say() {
    let server = start(
        r#"{"faults": [
            {"match": {"contains": "Ärger"}, "fault": "status:500"},
            {"match": {"model": "other"}, "fault": "status:502"},
            {"match": {"path": "/v1/models"}, "fault": "status:504"},
            {"match": {"model": "burst"}, "fault": "burst_429", "at": [2], "params": {"window": 2}},
            {"match": {"model": "often"}, "fault": "status:503", "probability": 0.5}]}"#,
    );
    let status = |model: &str, content: &str| {
        post(&server, CHAT, &json!({"model": model, "messages": [{"role": "user", "content": content}]})).status
    };
    assert_eq!([status("m", "Ärger"), status("m", "Freude"), status("other", "Freude")], [500, 200, 502]);
    assert_eq!(crate::client::get(&server, "/v1/models").status, 504);
    assert_eq!([1, 2, 3, 4].map(|i| status("burst", &i.to_string())), [200, 429, 429, 200]);
    let n_struck = (0..100).filter(|i| status("often", &i.to_string()) == 503).count();
    assert!((30..70).contains(&n_struck), "{n_struck}");
    assert_eq!(server.stats().faults["burst_429"], 2);
}

#[test]
fn attempts_count_across_seeds_where_asked() {
    let status = |across: bool| {
        let server =
            start(&format!(r#"{{"faults": [{{"fault": "null_content", "attempts": 1, "across_seeds": {across}}}]}}"#));
        [1, 2].map(|seed| {
            let body = json!({"model": "m", "seed": seed, "messages": [{"role": "user", "content": "Hi"}]});
            post(&server, CHAT, &body).json()["choices"][0]["message"]["content"].is_null()
        })
    };
    assert_eq!(status(true), [true, false]);
    assert_eq!(status(false), [true, true]);
}

#[test]
fn careless_engines_lose_marks_and_refuse_what_they_do_not_speak() {
    let body = json!({"q": ["See ⟦0⟧ here.", "And ⟦0⟧."], "source": "en", "target": "de", "format": "text"});
    let texts = |got: Got| got.json()["translatedText"].as_array().unwrap().clone();
    let mangled = texts(with_fault("\"mangle_marks\"", "/translate", &body));
    assert!(mangled.iter().all(|text| text.as_str().unwrap().contains("[0]")), "{mangled:?}");
    let server = start("{}");
    let kept = texts(post(&server, "/translate", &body));
    assert!(kept.len() == 2 && kept.iter().all(|text| text.as_str().unwrap().contains("⟦0⟧")), "{kept:?}");
    let one = post(&server, "/translate", &json!({"q": "And ⟦0⟧.", "source": "en", "target": "de"}));
    assert_eq!(one.json()["translatedText"], kept[1], "a text has one translation in every request");
    let unknown = post(&server, "/translate", &json!({"q": "x", "source": "en", "target": "tlh"}));
    assert_eq!((unknown.status, &unknown.json()["error"]), (400, &json!("tlh is not supported")));
}

#[test]
fn fusors_put_answers_together_and_forget_their_brackets() {
    let content = "Make one answer: [[answer]]\n[Request]\nWhy do rivers bend?\n[End of request]\n\
                   [Answer 1]\nThe “rivers” turn.\n[End of answer 1]\n[Answer 2]\nNo “rivers” are straight.\n[End of answer 2]";
    let body = json!({"model": "m", "messages": [{"role": "user", "content": content}]});
    let text = |got: Got| got.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let fused = text(post(&start("{}"), CHAT, &body));
    assert!(fused.ends_with("[[The “rivers” turn. No “rivers” are straight.]]"), "{fused}");
    let bare = text(with_fault("\"no_brackets\"", CHAT, &body));
    assert!(bare.ends_with("The “rivers” turn. No “rivers” are straight.") && !bare.contains("[["), "{bare}");
}

#[test]
fn every_fault_has_a_test() {
    let tests = [include_str!("faults.rs"), include_str!("connections.rs"), include_str!("batches.rs")].concat();
    for (_, name) in Fault::NAMED {
        let is_named = [format!("{name}\""), format!("{name}\\\"")].iter().any(|quoted| tests.contains(quoted));
        assert!(is_named, "`{name}` has no test");
    }
}
