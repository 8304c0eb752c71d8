//! Requests against the bytes in `fixtures/`. Run with `UPDATE_FIXTURES=1` to write them anew, then read the diff.

use std::{fs, path::Path};

use cambist_core::prompt::{Message, Role};
use cambist_io::{
    dialect::{
        encode::{encode, put_seed},
        request::{EncodeError, EncodeOptions, LengthField, RenderedPrompt, RequestSampling, TeacherRequest, Thinking},
        reward::{
            RewardDialect, RewardInput, RewardOptions,
            encode::{RewardEncodeError, encode_rewards},
        },
        teacher::{ServerKind, TeacherDialect},
    },
    exchange::HttpCall,
};
use serde_json::{Value, json};

pub(super) fn assert_golden(name: &str, call: &HttpCall) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects/fixtures").join(format!("{name}.http"));
    let headers: String = call.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let body = std::str::from_utf8(&call.body).unwrap();
    let found = format!("POST {}\n{headers}content-type: {}\n\n{body}\n", call.path, call.content_type);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&path).unwrap_or_default(), "{name}");
}

fn plain() -> TeacherRequest {
    TeacherRequest {
        messages: vec![Message::user("Як справи?")],
        rendered: Some(RenderedPrompt { text: "<s>user: Як справи?\nassistant:".into(), ids: vec![] }),
        model: "m".into(),
        ..TeacherRequest::default()
    }
}

fn full() -> TeacherRequest {
    TeacherRequest {
        messages: vec![
            Message { role: Role::System, content: "Be brief.".into() },
            Message::user("Один"),
            Message::user("two"),
            Message::assistant("three"),
            Message { role: Role::System, content: "Be kind.".into() },
            Message::user("four \"quoted\"\n"),
        ],
        rendered: Some(RenderedPrompt { text: "<s>…".into(), ids: vec![1, 5, 70_000] }),
        model: "org/m".into(),
        sampling: RequestSampling {
            temperature: 0.7,
            top_p: 0.9,
            max_tokens: 64,
            top_k: Some(40),
            min_p: Some(0.05),
            repetition_penalty: Some(1.1),
            presence_penalty: Some(0.25),
            frequency_penalty: Some(0.5),
            stop: vec!["\n\n".into(), "END".into()],
            seed: Some(81_733),
            logprobs: Some(5),
        },
        response_schema: Some(
            json!({"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "number"}}}),
        ),
        chat_template_kwargs: json!({"tone": "dry"}).as_object().unwrap().clone(),
        extra_body: Some(json!({"top_p": null, "metadata": {"run": "x"}})),
        thinking: Thinking::Off,
        prefill: Some("{\"b\":".into()),
    }
}

/// The kind of server that each dialect of our own templates belongs to.
fn usual_server(dialect: TeacherDialect) -> ServerKind {
    match dialect {
        TeacherDialect::OpenAiChat | TeacherDialect::OpenAiCompletions => ServerKind::Vllm,
        TeacherDialect::SglangGenerate => ServerKind::Sglang,
        TeacherDialect::TgiGenerate => ServerKind::Tgi,
        TeacherDialect::LlamacppCompletion => ServerKind::Llamacpp,
        TeacherDialect::Anthropic | TeacherDialect::Cohere => ServerKind::None,
    }
}

#[test]
fn plain_requests_have_these_bytes() {
    for dialect in TeacherDialect::ALL {
        let call = encode(dialect, &plain(), EncodeOptions::default()).unwrap();
        assert_golden(&format!("{}.plain", dialect.name()), &call);
    }
}

#[test]
fn full_requests_have_these_bytes() {
    for dialect in TeacherDialect::ALL {
        let mut request = full();
        if dialect == TeacherDialect::Anthropic {
            request.response_schema = None;
        }
        let options = EncodeOptions { server: usual_server(dialect), ..EncodeOptions::default() };
        let call = encode(dialect, &request, options).unwrap();
        assert_golden(&format!("{}.full", dialect.name()), &call);
    }
}

#[test]
fn chat_requests_to_each_kind_of_server_have_these_bytes() {
    for server in [ServerKind::Vllm, ServerKind::Sglang, ServerKind::Tgi, ServerKind::Llamacpp] {
        let options = EncodeOptions { server, ..EncodeOptions::default() };
        let call = encode(TeacherDialect::OpenAiChat, &plain(), options).unwrap();
        assert_golden(&format!("openai-chat.{}", server.name()), &call);
    }
}

#[test]
fn the_length_limit_takes_the_name_that_the_endpoint_wants() {
    let body = |length_field| {
        let options = EncodeOptions { length_field, ..EncodeOptions::default() };
        let call = encode(TeacherDialect::OpenAiChat, &plain(), options).unwrap();
        serde_json::from_slice::<Value>(&call.body).unwrap()
    };
    let new = body(LengthField::MaxCompletionTokens);
    assert_eq!((new.get("max_completion_tokens"), new.get("max_tokens")), (Some(&json!(2048)), None));
    let old = body(LengthField::MaxTokens);
    assert_eq!((old.get("max_completion_tokens"), old.get("max_tokens")), (None, Some(&json!(2048))));
    assert_eq!(LengthField::usual("https://api.openai.com/v1"), LengthField::MaxCompletionTokens);
    assert_eq!(LengthField::usual("http://127.0.0.1:8000/v1"), LengthField::MaxTokens);
}

#[test]
fn seeds_go_where_each_dialect_has_them() {
    for dialect in TeacherDialect::ALL {
        let mut request = plain();
        let unseeded = encode(dialect, &request, EncodeOptions::default()).unwrap();
        request.sampling.seed = Some(7);
        let seeded = encode(dialect, &request, EncodeOptions::default()).unwrap();
        let mut body: Value = serde_json::from_slice(&unseeded.body).unwrap();
        put_seed(dialect, &mut body, 7);
        assert_eq!(body, serde_json::from_slice::<Value>(&seeded.body).unwrap(), "{}", dialect.name());
        assert_eq!(seeded.body != unseeded.body, dialect.takes_seed(), "{}", dialect.name());
    }
}

#[test]
fn what_a_dialect_cannot_say_is_refused() {
    let options = EncodeOptions::default();
    let bare = TeacherRequest { rendered: None, ..plain() };
    for dialect in TeacherDialect::ALL {
        let result = encode(dialect, &bare, options);
        assert_eq!(result.is_err(), dialect.needs_rendered(), "{}", dialect.name());
        let several = encode(dialect, &plain(), EncodeOptions { n: 4, ..options });
        assert_eq!(several.is_ok(), dialect.takes_n(), "{}", dialect.name());
    }
    let with_schema = TeacherRequest { response_schema: Some(json!({})), ..plain() };
    let refused = encode(TeacherDialect::Anthropic, &with_schema, options).unwrap_err();
    assert_eq!(refused, EncodeError::NoSchema { dialect: "anthropic", server: "none" });
    assert!(encode(TeacherDialect::OpenAiCompletions, &with_schema, options).is_err());
}

fn scored(with_ids: bool) -> Vec<RewardInput> {
    let input = |answer: &str, ids: Vec<u32>| RewardInput {
        messages: vec![Message::user("Warum?"), Message::assistant(answer)],
        rendered: Some(RenderedPrompt { text: format!("<s>Warum?\n{answer}</s>"), ids }),
    };
    let ids = |ids: &[u32]| if with_ids { ids.to_vec() } else { Vec::new() };
    vec![input("Darum.", ids(&[1, 2, 3])), input("Weil die Erde sich dreht.", ids(&[1, 2, 4, 5]))]
}

#[test]
fn reward_requests_have_these_bytes() {
    let options = RewardOptions {
        allow_pair_join: true,
        bos: Some("<s>".into()),
        label_token_ids: Some([9, 8]),
        ..RewardOptions::default()
    };
    for dialect in RewardDialect::ALL {
        let inputs = if dialect == RewardDialect::NimChat { scored(true)[..1].to_vec() } else { scored(true) };
        let call = encode_rewards(dialect, "rm", &inputs, &options).unwrap();
        assert_golden(dialect.name(), &call);
    }
    let texts = encode_rewards(RewardDialect::VllmClassify, "rm", &scored(false), &options).unwrap();
    assert_golden("vllm-classify.text", &texts);
    let turns = [RewardInput { rendered: None, ..scored(false).remove(0) }];
    let turns = encode_rewards(RewardDialect::VllmPooling, "rm", &turns, &options).unwrap();
    assert_golden("vllm-pooling.turns", &turns);
}

#[test]
fn reward_requests_that_would_score_something_else_are_refused() {
    let options = RewardOptions::default();
    let encoded = |dialect, inputs: &[RewardInput]| encode_rewards(dialect, "rm", inputs, &options).unwrap_err();
    let pair = encoded(RewardDialect::VllmScore, &scored(true));
    assert_eq!(pair, RewardEncodeError::PairJoin { dialect: "vllm-score" });
    let mut mixed = scored(true);
    mixed[1].messages[0].content.push('!');
    assert_eq!(encoded(RewardDialect::TeiRerank, &mixed), RewardEncodeError::MixedPrompts { dialect: "tei-rerank" });
    let bare: Vec<RewardInput> = scored(true).into_iter().map(|i| RewardInput { rendered: None, ..i }).collect();
    assert_eq!(encoded(RewardDialect::Openrlhf, &bare), RewardEncodeError::NotRendered { dialect: "openrlhf" });
    let many = RewardEncodeError::BatchSize { dialect: "vllm-classify", most: 1, found: 2 };
    assert_eq!(encoded(RewardDialect::VllmClassify, &bare), many);
    let unlabelled = encoded(RewardDialect::VllmGenerativeScoring, &scored(true));
    assert_eq!(unlabelled, RewardEncodeError::NoLabels { dialect: "vllm-generative-scoring" });
    assert!(encode_rewards(RewardDialect::Openrlhf, "rm", &[], &options).is_err());
}
