//! Every dialect over a real socket: what is encoded is understood, and what comes back is decoded.

#![cfg(test)]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use cambist_core::{language::Language, prompt::Message};
use cambist_io::{
    dialect::{
        answer::UsageSource,
        decode::{decode, decode_all},
        encode::encode,
        judge::{
            JudgeMode,
            combine::{PairOutcome, both_orders},
            prompt::{JudgeQuestion, judge_prompt},
            verdict::{JudgeVerdict, read_verdict},
        },
        probe::{info_calls, server_facts},
        request::{EncodeOptions, RenderedPrompt, RequestSampling, TeacherRequest, Thinking},
        reward::{
            RewardDialect, RewardInput, RewardOptions,
            activation::{ActivationVerdict, ProbedPair, judge_activation},
            decode::decode_rewards,
            encode::encode_rewards,
            probe_pairs::PROBE_PAIRS,
        },
        schema::follow_schema,
        teacher::TeacherDialect,
    },
    exchange::{HttpCall, HttpReply, Method},
    mock::{MockOptions, MockServer},
};
use serde_json::json;

fn send(server: &MockServer, call: &HttpCall) -> HttpReply {
    let method = if call.method == Method::Get { "GET" } else { "POST" };
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let headers: String = call.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} {} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n{headers}content-type: {}\r\ncontent-length: {}\r\n\r\n",
        call.path,
        call.content_type,
        call.body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&call.body).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    HttpReply {
        status,
        headers: lines.filter_map(header).collect(),
        body: bytes[at + 4..].to_vec(),
        ..HttpReply::default()
    }
}

fn request(model: &str, text: &str) -> TeacherRequest {
    TeacherRequest {
        messages: vec![Message::user(text)],
        rendered: Some(RenderedPrompt { text: text.to_owned(), ids: vec![] }),
        model: model.to_owned(),
        sampling: RequestSampling { max_tokens: 400, ..RequestSampling::default() },
        ..TeacherRequest::default()
    }
}

#[test]
fn teachers_answer_in_every_dialect() {
    let server = MockServer::start(MockOptions::default()).unwrap();
    for dialect in TeacherDialect::ALL {
        let call =
            encode(dialect, &request("teacher-a", "Why do rivers bend? Explain briefly."), EncodeOptions::default());
        let reply = send(&server, &call.unwrap());
        let answer = decode(dialect, Thinking::Strip, &reply).unwrap_or_else(|e| panic!("{}: {e}", dialect.name()));
        assert!(answer.text.len() > 20, "{}", dialect.name());
        assert_eq!(answer.usage.source, UsageSource::Server, "{}", dialect.name());
        assert!(answer.usage.output.is_some(), "{}", dialect.name());
    }
    for dialect in TeacherDialect::ALL.into_iter().filter(|dialect| dialect.takes_n()) {
        let call =
            encode(dialect, &request("teacher-a", "Why?"), EncodeOptions { n: 3, ..EncodeOptions::default() }).unwrap();
        assert_eq!(decode_all(dialect, Thinking::Strip, &send(&server, &call)).unwrap().len(), 3, "{}", dialect.name());
    }
    let schema = json!({"type": "object", "required": ["name", "n"], "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}});
    let asked = TeacherRequest { response_schema: Some(schema.clone()), ..request("teacher-a", "Give a record.") };
    let call = encode(TeacherDialect::OpenAiChat, &asked, EncodeOptions::default()).unwrap();
    let answer = decode(TeacherDialect::OpenAiChat, Thinking::Strip, &send(&server, &call)).unwrap();
    follow_schema(&schema, &answer).unwrap();
}

fn verdict_on(server: &MockServer, dialect: RewardDialect, model: &str) -> ActivationVerdict {
    let options = RewardOptions { allow_pair_join: true, ..RewardOptions::default() };
    let score = |mut input: RewardInput| {
        let text = input.messages.iter().map(|m| format!("{}\n", m.content)).collect();
        input.rendered = Some(RenderedPrompt { text, ids: vec![] });
        let call = encode_rewards(dialect, model, &[input], &options).unwrap();
        decode_rewards(dialect, &options, 1, &send(server, &call))
            .unwrap_or_else(|e| panic!("{}: {e}", dialect.name()))
            .remove(0)
    };
    let probed = PROBE_PAIRS.map(|pair| {
        let [good, awful] = pair.inputs().map(score);
        ProbedPair { language: pair.language.to_owned(), good, awful }
    });
    judge_activation(&probed)
}

#[test]
fn the_probe_accepts_raw_rewards_in_every_dialect_and_refuses_the_rest() {
    let server = MockServer::start(MockOptions::default()).unwrap();
    for dialect in RewardDialect::ALL.into_iter().filter(|d| *d != RewardDialect::VllmGenerativeScoring) {
        let model = if dialect == RewardDialect::NimChat { "mock-nim" } else { "mock-rm" };
        let verdict = verdict_on(&server, dialect, model);
        assert!(verdict.is_accepted(), "{}: {verdict}", dialect.name());
    }
    let refused = |model| verdict_on(&server, RewardDialect::VllmClassify, model);
    assert_eq!(refused("mock-rm-sigmoid"), ActivationVerdict::Sigmoid);
    assert_eq!(refused("mock-rm-softmax"), ActivationVerdict::Softmax);
    assert!(matches!(refused("mock-rm-hidden"), ActivationVerdict::HiddenStates { .. }));
    assert_eq!(refused("mock-rm-l2"), ActivationVerdict::Normalised);
    assert!(refused("mock-rm-sigmoid-default").is_accepted());
}

#[test]
fn judges_prefer_the_better_answer_in_both_orders() {
    let server = MockServer::start(MockOptions::default()).unwrap();
    let pair = PROBE_PAIRS[1];
    let language = Language::parse(pair.language).unwrap();
    let ask = |model: &str, mode: JudgeMode, answers: &[&str]| -> Option<JudgeVerdict> {
        let question = JudgeQuestion { language: &language, instruction: pair.prompt, answers, reference: None };
        let mut asked = request(model, "");
        asked.messages = judge_prompt(mode, &question);
        if mode == JudgeMode::PairLogprob {
            asked.sampling.max_tokens = 1;
            asked.sampling.logprobs = Some(5);
        }
        let call = encode(TeacherDialect::OpenAiChat, &asked, EncodeOptions::default()).unwrap();
        let answer = decode(TeacherDialect::OpenAiChat, Thinking::Strip, &send(&server, &call)).unwrap();
        read_verdict(mode, &answer, answers.len())
    };
    for mode in JudgeMode::ALL.into_iter().filter(|mode| mode.is_pair()) {
        let both =
            |model| both_orders(ask(model, mode, &[pair.good, pair.awful]), ask(model, mode, &[pair.awful, pair.good]));
        assert_eq!(both("mock-judge-fair"), PairOutcome::First, "{}", mode.name());
        assert_eq!(both("mock-judge-A"), PairOutcome::Tie { flipped: true }, "{}", mode.name());
    }
    for mode in [JudgeMode::Abs10, JudgeMode::Abs5] {
        let grade = |answer| match ask("mock-judge-fair", mode, &[answer]) {
            Some(JudgeVerdict::Grade(grade)) => grade,
            other => panic!("{other:?}"),
        };
        assert!(grade(pair.good) > grade(pair.awful), "{}", mode.name());
    }
    let best = |model| ask(model, JudgeMode::Checklist, &[pair.awful, pair.good, "?"]);
    assert_eq!(best("mock-judge-fair"), Some(JudgeVerdict::Best(1)));
    assert_eq!(best("mock-judge-A"), Some(JudgeVerdict::Best(0)));
}

#[test]
fn the_server_is_known_by_its_replies() {
    let server = MockServer::start(MockOptions::default()).unwrap();
    let calls = info_calls();
    let replies: Vec<(&str, HttpReply)> = calls.iter().map(|call| (call.path.as_str(), send(&server, call))).collect();
    let facts = server_facts("teacher-a", &replies);
    assert!(facts.max_model_len.is_some() && facts.version.is_some(), "{facts:?}");
}
