//! Every row of the table of failures.

use std::time::Duration;

use cambist_io::{
    dialect::{
        decode::decode,
        failures::{classify, renamed_length_field},
        request::{LengthField, Thinking},
        teacher::TeacherDialect,
    },
    exchange::{Failure, FailureClass},
};
use serde_json::{Value, json};

use super::{raw, reply};

fn failed(status: u16, body: impl Into<Vec<u8>>) -> Failure {
    decode(TeacherDialect::OpenAiChat, Thinking::Strip, &raw(status, body)).unwrap_err()
}

fn class(status: u16, body: &Value) -> FailureClass {
    failed(status, body.to_string()).class
}

fn openai(message: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}})
}

#[test]
fn statuses_without_a_word_have_their_class() {
    let rows = [
        (FailureClass::Server, vec![500, 502, 503, 504, 408, 409, 425, 599]),
        (FailureClass::Capacity, vec![429, 529]),
        (FailureClass::Quota, vec![402]),
        (FailureClass::Auth, vec![401, 403]),
        (FailureClass::NotFound, vec![404, 405]),
        (FailureClass::Request, vec![400, 413, 422, 302]),
    ];
    for (expected, statuses) in rows {
        for status in statuses {
            for body in
                ["", "{}", "null", "no", r#"{"error":{"message":"no"}}"#, r#"{"object":"error","message":"no"}"#]
            {
                let failure = failed(status, body);
                assert_eq!((failure.class, failure.status), (expected, Some(status)), "{body}");
            }
        }
    }
}

#[test]
fn what_a_server_says_counts_more_than_its_status() {
    let insufficient = json!({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}});
    assert_eq!(class(429, &insufficient), FailureClass::Quota);
    let low = json!({"type": "error", "error": {"type": "invalid_request_error",
        "message": "Your credit balance is too low to access the API."}});
    assert_eq!(class(400, &low), FailureClass::Quota);
    assert_eq!(class(400, &openai("Billing hard limit has been reached")), FailureClass::Quota);
    assert_eq!(class(400, &openai("`credit card` is no valid value of `topic`")), FailureClass::Request);

    assert_eq!(
        class(503, &json!({"error": "Model is overloaded", "error_type": "overloaded"})),
        FailureClass::Capacity
    );
    assert_eq!(
        class(429, &json!({"error": "Model is overloaded", "error_type": "overloaded"})),
        FailureClass::Capacity
    );
    assert_eq!(class(503, &openai("no slot available")), FailureClass::Capacity);
    assert_eq!(class(503, &openai("Loading model")), FailureClass::Server);
    assert_eq!(
        class(529, &json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})),
        FailureClass::Capacity
    );

    for message in [
        "This model's maximum context length is 8192 tokens, however you requested 9000",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000",
        "the request exceeds the available context size",
    ] {
        assert_eq!(class(400, &openai(message)), FailureClass::Overlong, "{message}");
        assert_eq!(class(422, &json!({"error": message, "error_type": "validation"})), FailureClass::Overlong);
    }
    let coded = json!({"error": {"message": "no", "code": "context_length_exceeded"}});
    assert_eq!(class(400, &coded), FailureClass::Overlong);
    let flat = json!({"object": "error", "message": "maximum context length", "type": "BadRequestError", "code": 400});
    assert_eq!(class(400, &flat), FailureClass::Overlong);
}

#[test]
fn successes_without_an_answer_have_their_class() {
    let rows = [
        (FailureClass::ContentType, "<!DOCTYPE html><html>Bad gateway</html>".as_bytes()),
        (FailureClass::ContentType, b"LoRA adapter loaded"),
        (FailureClass::ContentType, b"\xff\xd8\xff"),
        (FailureClass::TransportMid, b""),
        (FailureClass::TransportMid, b"{\"choices\":[{\"message\":{\"cont"),
        (FailureClass::TransportMid, "{\"choices\":\"п".as_bytes().split_last().unwrap().1),
        (FailureClass::Shape, b"{\"choices\":\"\xff\"}"),
        (FailureClass::Shape, b"{\"choices\":[{\"message\":{\"content\":NaN}}]}"),
        (FailureClass::Shape, b"{}"),
        (FailureClass::Shape, b"[]"),
        (FailureClass::Shape, b"{\"choices\":[]}"),
        (FailureClass::Shape, b"{\"choices\":[{\"index\":0}]}"),
        (FailureClass::Shape, b"{\"choices\":[{\"message\":{\"content\":7}}]}"),
        (FailureClass::Empty, b"{\"choices\":[{\"message\":{\"content\":null}}]}"),
        (FailureClass::Empty, b"{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":\"stop\"}]}"),
    ];
    for (expected, body) in rows {
        assert_eq!(failed(200, body).class, expected, "{}", String::from_utf8_lossy(body));
    }
    // The prose of a success decides nothing.
    let prose = failed(200, r#"{"error":{"message":"quota exceeded, overloaded"}}"#);
    assert_eq!(prose.class, FailureClass::Shape);
    assert!(prose.reason.contains("overloaded"), "{prose}");
}

#[test]
fn missing_members_are_shape_in_every_dialect() {
    for dialect in TeacherDialect::ALL {
        let failure = decode(dialect, Thinking::Strip, &reply(200, &json!({"unexpected": 1}))).unwrap_err();
        assert_eq!(failure.class, FailureClass::Shape, "{}", dialect.name());
    }
}

#[test]
fn reasons_are_short_and_hold_no_key() {
    let canary = "sk-canary-0123456789abcdef";
    let long = format!("Incorrect API key provided: {canary}. {}", "ü".repeat(1000));
    let failure = failed(401, openai(&long).to_string());
    assert!(!failure.reason.contains("canary"), "{failure}");
    assert_eq!(failure.reason.chars().count(), 300);
    for body in [format!("<html>{canary}</html>"), format!("{{\"detail\":[\"{canary}\"]}}"), canary.to_owned()] {
        for status in [200, 400, 500] {
            assert!(!failed(status, body.clone()).reason.contains("canary"), "{status} {body}");
        }
    }
}

#[test]
fn a_refused_length_limit_says_what_to_send() {
    let new =
        classify(&reply(400, &openai("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")));
    assert_eq!(renamed_length_field(&new, LengthField::MaxTokens), Some(LengthField::MaxCompletionTokens));
    let old = classify(&reply(422, &openai("Unrecognized request argument: max_completion_tokens")));
    assert_eq!(renamed_length_field(&old, LengthField::MaxCompletionTokens), Some(LengthField::MaxTokens));
    assert_eq!(renamed_length_field(&old, LengthField::MaxTokens), None);
    let other = classify(&reply(400, &openai("temperature must be at most 2")));
    assert_eq!(renamed_length_field(&other, LengthField::MaxTokens), None);
}

#[test]
fn failures_carry_the_wait_that_was_asked_for() {
    let mut refused = reply(429, &openai("slow down"));
    refused.headers.push(("retry-after".into(), "7".into()));
    assert_eq!(classify(&refused).retry_after, Some(Duration::from_secs(7)));
    refused.headers = vec![("retry-after".into(), "Sun, 06 Nov 1994 08:49:37 GMT".into())];
    assert_eq!(classify(&refused).retry_after, None);
}
