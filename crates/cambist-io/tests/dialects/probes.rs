//! What servers say of themselves.

use cambist_io::{
    dialect::{
        answer::{TeacherAnswer, TokenLogProb},
        decode::{decode, decode_all},
        probe::{
            EchoError, PROBE_HEADER, ServerFacts, Shown, check_echo, follows_schema, gives_n, info_call, info_calls,
            keeps_seed, naming_paths, same_tokens, server_facts, tokenize_call,
        },
        request::Thinking,
        teacher::{ServerKind, TeacherDialect},
    },
    exchange::HttpReply,
};
use serde_json::{Value, json};

use super::reply;

fn facts(replies: &[(&'static str, Value)]) -> ServerFacts {
    let found = |path: &str| replies.iter().find(|(known, _)| *known == path);
    let answer =
        |path: &str| found(path).map_or(reply(404, &json!({"detail": "Not Found"})), |(_, body)| reply(200, body));
    let calls = info_calls();
    let replies: Vec<(&str, HttpReply)> = calls.iter().map(|call| (call.path.as_str(), answer(&call.path))).collect();
    server_facts("m", &replies)
}

#[test]
fn servers_are_told_apart() {
    let vllm = facts(&[
        (
            "/v1/models",
            json!({"data": [{"id": "other"}, {"id": "m", "owned_by": "vllm", "root": "org/m", "max_model_len": 8192}]}),
        ),
        ("/version", json!({"version": "0.11.0"})),
    ]);
    assert_eq!((vllm.kind, vllm.max_model_len, vllm.root.as_deref()), (ServerKind::Vllm, Some(8192), Some("org/m")));
    assert_eq!((vllm.version.as_deref(), vllm.models), (Some("0.11.0"), vec!["other".to_owned(), "m".to_owned()]));
    let sglang =
        facts(&[("/get_model_info", json!({"model_path": "org/m", "is_generation": true, "weight_version": "v2"}))]);
    assert_eq!((sglang.kind, sglang.revision.as_deref()), (ServerKind::Sglang, Some("v2")));
    let tgi = facts(&[(
        "/info",
        json!({"model_id": "org/m", "model_sha": "abc", "version": "3.0", "max_concurrent_requests": 128,
        "max_input_tokens": 4095, "max_total_tokens": 4096}),
    )]);
    assert_eq!((tgi.kind, tgi.max_concurrency, tgi.max_model_len), (ServerKind::Tgi, Some(128), Some(4096)));
    let llamacpp = facts(&[("/props", json!({"default_generation_settings": {"n_ctx": 2048}, "total_slots": 4}))]);
    assert_eq!(
        (llamacpp.kind, llamacpp.max_concurrency, llamacpp.max_model_len),
        (ServerKind::Llamacpp, Some(4), Some(2048))
    );
    let encoder = facts(&[("/info", json!({"model_id": "e", "max_client_batch_size": 32, "max_input_length": 512}))]);
    assert_eq!((encoder.kind, encoder.max_batch), (ServerKind::None, Some(32)));
    assert_eq!(facts(&[]), ServerFacts::default());
}

fn answer(text: &str) -> TeacherAnswer {
    let body = json!({"choices": [{"text": text, "finish_reason": "stop"}]});
    decode(TeacherDialect::OpenAiCompletions, Thinking::Strip, &reply(200, &body)).unwrap()
}

#[test]
fn trials_of_n_and_seed_conclude_no_more_than_they_show() {
    let choices = |n: usize| json!({"choices": vec![json!({"text": "x", "finish_reason": "stop"}); n]});
    let tried = |reply: &HttpReply| {
        let came = decode_all(TeacherDialect::OpenAiCompletions, Thinking::Strip, reply);
        gives_n(2, came.as_ref().map(|answers| answers.iter().flatten().count()))
    };
    assert_eq!(tried(&reply(200, &choices(2))), Shown::Yes);
    assert_eq!(tried(&reply(200, &choices(1))), Shown::No);
    assert_eq!(tried(&reply(400, &json!({"error": {"message": "n must be 1"}}))), Shown::No);
    assert_eq!(tried(&reply(500, &json!({}))), Shown::Unknown);
    assert_eq!(keeps_seed(&answer("a"), &answer("a"), &answer("b")), Shown::Yes);
    assert_eq!(keeps_seed(&answer("a"), &answer("b"), &answer("c")), Shown::No);
    assert_eq!(keeps_seed(&answer("a"), &answer("a"), &answer("a")), Shown::Unknown);
}

#[test]
fn a_schema_shows_in_the_first_letter() {
    let schema = json!({"type": "object", "properties": {"river": {"type": "string"}}});
    let shown = |text: &str| follows_schema(&schema, Ok(&answer(text)));
    assert_eq!((shown("{\"ri"), shown(" \n{"), shown("The river")), (Shown::Yes, Shown::Yes, Shown::No));
    assert_eq!(follows_schema(&json!({"type": "array"}), Ok(&answer("{"))), Shown::No);
    let thinking = TeacherAnswer { text: String::new(), ..answer("x") };
    assert_eq!(follows_schema(&schema, Ok(&thinking)), Shown::Unknown);
    let refused = |status: u16| {
        let failed = decode(TeacherDialect::OpenAiChat, Thinking::Strip, &reply(status, &json!({"error": "no"})));
        follows_schema(&schema, Err(&failed.unwrap_err()))
    };
    assert_eq!((refused(400), refused(422), refused(503)), (Shown::No, Shown::No, Shown::Unknown));
}

#[test]
fn a_model_is_missing_only_from_a_list_that_says_so() {
    let list = |more: bool| json!({"data": [{"id": "a"}, {"id": "b"}], "has_more": more});
    let whole = facts(&[("/v1/models", list(false))]);
    assert!(whole.may_serve("a") && !whole.may_serve("m") && whole.may_serve(""));
    // A page of a longer list, no list, and a server that reads no names say nothing.
    assert!(facts(&[("/v1/models", list(true))]).may_serve("m"));
    assert!(facts(&[]).may_serve("m"));
    let slots = json!({"default_generation_settings": {"n_ctx": 2048}, "total_slots": 4});
    assert!(facts(&[("/v1/models", list(false)), ("/props", slots)]).may_serve("m"));
}

#[test]
fn requests_about_the_server_say_so() {
    let is_marked = |headers: &[(String, String)]| headers.iter().any(|(name, _)| name == PROBE_HEADER);
    let anthropic = info_call(Some(TeacherDialect::Anthropic), "/v1/models");
    assert!(is_marked(&anthropic.headers) && anthropic.headers.iter().any(|(name, _)| name == "anthropic-version"));
    let tokens = tokenize_call(ServerKind::Vllm, "m", "Größe");
    assert!(is_marked(&tokens.headers));
    let body: Value = serde_json::from_slice(&tokens.body).unwrap();
    assert_eq!(body, json!({"model": "m", "prompt": "Größe", "add_special_tokens": false}));
    assert_eq!(naming_paths(ServerKind::Vllm), ["/version"]);
    assert_eq!(naming_paths(ServerKind::None).len(), 4);
}

#[test]
fn an_echo_that_cannot_be_trusted_is_refused() {
    let echo = |logprobs: &[Option<f64>]| {
        let token = |logprob: &Option<f64>| TokenLogProb { token: "t".into(), logprob: *logprob, top: vec![] };
        check_echo(3, &TeacherAnswer { logprobs: Some(logprobs.iter().map(token).collect()), ..answer("x") })
    };
    assert_eq!(echo(&[None, Some(-1.0), Some(0.0), Some(-2.0)]), Ok(()));
    assert_eq!(check_echo(3, &answer("x")), Err(EchoError::NoLogProbs));
    assert_eq!(echo(&[Some(-2.0)]), Err(EchoError::Ignored { found: 1, expected: 3 }));
    assert_eq!(echo(&[Some(-1.0), Some(-1.0), Some(-1.0)]), Err(EchoError::Shifted));
    assert_eq!(echo(&[None, Some(0.0), Some(0.0)]), Err(EchoError::Unusable));
    assert_eq!(echo(&[None, None, Some(-1.0)]), Err(EchoError::Unusable));
}

#[test]
fn tokenizers_are_compared_by_ids() {
    let tokens = |body: &Value| same_tokens(&[1, 2], &reply(200, body));
    assert_eq!(tokens(&json!({"tokens": [1, 2], "count": 2})), Shown::Yes);
    assert_eq!(tokens(&json!({"tokens": [{"id": 1, "piece": "a"}, {"id": 2, "piece": "b"}]})), Shown::Yes);
    assert_eq!(tokens(&json!({"tokens": [1, 2, 3]})), Shown::No);
    assert_eq!(tokens(&json!({"tokens": ["a", "b"]})), Shown::Unknown);
    assert_eq!(tokens(&json!({})), Shown::Unknown);
}
