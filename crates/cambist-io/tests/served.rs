//! What a really served model says: exchanges recorded from vLLM on a CPU with a Llama of 260,000 parameters, as a
//! teacher and as a reward model.
//!
//! The requests are those that we encode, byte for byte, and the server took them; the replies are read by the same
//! dialects as in a run. `served/README.md` says how they were recorded.

#![cfg(test)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use cambist_core::{completion::FinishReason, prompt::Message};
use cambist_io::{
    dialect::{
        answer::{TeacherAnswer, UsageSource},
        decode::{decode, decode_all},
        encode::encode,
        probe::server_facts,
        request::{EncodeOptions, RenderedPrompt, RequestSampling, TeacherRequest, Thinking},
        reward::{
            RewardDialect, RewardInput, RewardOptions,
            activation::{ProbedPair, judge_activation},
            decode::decode_rewards,
            encode::{encode_reward_body, encode_rewards},
            probe_pairs::PROBE_PAIRS,
        },
        teacher::{ServerKind, TeacherDialect},
    },
    exchange::{Failure, FailureClass, HttpCall, HttpReply, Method},
};
use serde_json::json;

/// Where a server has to be to record anew: `SERVED_TEACHER=127.0.0.1:8311 SERVED_REWARD=127.0.0.1:8312`.
#[derive(Clone, Copy)]
enum Served {
    Teacher,
    Reward,
}

impl Served {
    fn address(self) -> Option<String> {
        let name = match self {
            Self::Teacher => "SERVED_TEACHER",
            Self::Reward => "SERVED_REWARD",
        };
        std::env::var(name).ok()
    }
}

/// Returns the recorded reply to `call`, which has to be the recorded request.
fn asked(served: Served, name: &str, call: &HttpCall) -> HttpReply {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/served").join(format!("{name}.http"));
    if let Some(address) = served.address() {
        fs::write(&path, written(call, &send(&address, call))).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (request, reply) = kept.split_once("\n=====\n").unwrap();
    assert_eq!(request, written_call(call), "{name}: no longer the request that the server took");
    let (head, body) = reply.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
    let body = body.strip_suffix('\n').unwrap().into();
    HttpReply { status, headers: headers.collect(), body, ..HttpReply::default() }
}

fn method(call: &HttpCall) -> &'static str {
    if call.method == Method::Get { "GET" } else { "POST" }
}

fn written_call(call: &HttpCall) -> String {
    format!("{} {}\n\n{}", method(call), call.path, std::str::from_utf8(&call.body).unwrap())
}

fn written(call: &HttpCall, reply: &HttpReply) -> String {
    let kept = reply.headers.iter().filter(|(name, _)| name == "content-type" || name == "retry-after");
    let headers: String = kept.map(|(name, value)| format!("\n{name}: {value}")).collect();
    let body = std::str::from_utf8(&reply.body).unwrap();
    format!("{}\n=====\n{}{headers}\n\n{body}\n", written_call(call), reply.status)
}

fn send(address: &str, call: &HttpCall) -> HttpReply {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{} {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        method(call),
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
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers = head.split("\r\n").filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    HttpReply { status, headers, body: bytes[at + 4..].to_vec(), ..HttpReply::default() }
}

const START: &str = "Once upon a time, there was a little";

fn story(max_tokens: u32) -> TeacherRequest {
    TeacherRequest {
        messages: vec![Message::user(START)],
        rendered: Some(RenderedPrompt { text: format!("<s>{START}"), ids: vec![] }),
        model: "tiny-teacher".into(),
        sampling: RequestSampling { temperature: 0.0, max_tokens, ..RequestSampling::default() },
        ..TeacherRequest::default()
    }
}

fn vllm() -> EncodeOptions {
    EncodeOptions { server: ServerKind::Vllm, ..EncodeOptions::default() }
}

fn teach(name: &str, dialect: TeacherDialect, request: &TeacherRequest) -> Result<TeacherAnswer, Failure> {
    let call = encode(dialect, request, vllm()).unwrap();
    decode(dialect, Thinking::Strip, &asked(Served::Teacher, name, &call))
}

#[test]
fn a_chat_is_answered_with_counts_and_an_end() {
    let answer = teach("chat", TeacherDialect::OpenAiChat, &story(24)).unwrap();
    assert!(answer.text.starts_with(" girl named Lily."), "{:?}", answer.text);
    assert_eq!((answer.finish, answer.raw_finish.as_str()), (FinishReason::Length, "length"));
    assert_eq!((answer.usage.output, answer.usage.source), (Some(24), UsageSource::Server));
    assert!(answer.usage.input.is_some_and(|n| n > 5), "{:?}", answer.usage);
    assert_eq!(answer.model_reported.as_deref(), Some("tiny-teacher"));
    assert!(!answer.is_eligible() && answer.reasoning.is_none() && answer.tool_calls.is_none());
}

#[test]
fn a_stop_text_ends_the_answer() {
    let mut request = story(60);
    request.sampling.stop = vec!["Lily".into()];
    let answer = teach("chat.stop", TeacherDialect::OpenAiChat, &request).unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), (" girl named ", FinishReason::Stop));
    assert!(answer.is_eligible() && answer.marks.is_empty());
}

#[test]
fn several_answers_come_with_their_log_probabilities() {
    let mut request = story(8);
    request.sampling =
        RequestSampling { temperature: 0.9, seed: Some(7), logprobs: Some(3), ..request.sampling.clone() };
    let call = encode(TeacherDialect::OpenAiChat, &request, EncodeOptions { n: 3, ..vllm() }).unwrap();
    let reply = asked(Served::Teacher, "chat.several", &call);
    let answers = decode_all(TeacherDialect::OpenAiChat, Thinking::Strip, &reply).unwrap();
    let answers: Vec<TeacherAnswer> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.len(), 3);
    for answer in &answers {
        let tokens = answer.logprobs.as_ref().unwrap();
        assert_eq!(tokens.len(), 8);
        assert!(tokens.iter().all(|token| token.logprob.is_some_and(|l| l <= 0.0) && token.top.len() >= 3));
    }
    assert_eq!(answers[0].usage.output, Some(24), "all of them together");
}

#[test]
fn other_dialects_of_the_same_server_give_the_same_greedy_story() {
    let chat = teach("chat", TeacherDialect::OpenAiChat, &story(24)).unwrap();
    let messages = teach("messages", TeacherDialect::Anthropic, &story(24)).unwrap();
    assert_eq!((&messages.text, messages.finish), (&chat.text, FinishReason::Length));
    assert_eq!((messages.usage.input, messages.usage.output), (chat.usage.input, chat.usage.output));
    let completion = teach("completions", TeacherDialect::OpenAiCompletions, &story(24)).unwrap();
    assert_eq!((&completion.text, completion.finish), (&chat.text, FinishReason::Length));
    assert_eq!(completion.usage, chat.usage);
}

#[test]
fn the_server_is_known_by_what_it_says() {
    let paths = ["/v1/models", "/version", "/get_model_info"];
    let reply = |path: &str| asked(Served::Teacher, &path[1..].replace('/', "."), &HttpCall::get(path));
    let replies = paths.map(|path| (path, reply(path)));
    let facts = server_facts("tiny-teacher", &replies);
    assert_eq!((facts.kind, facts.max_model_len), (ServerKind::Vllm, Some(512)));
    assert_eq!(facts.models, ["tiny-teacher"]);
    assert!(facts.version.is_some() && facts.root.is_some(), "{facts:?}");
    assert_eq!(replies[2].1.status, 404);
}

#[test]
fn refusals_have_their_class() {
    let refused = |name: &str, request: &TeacherRequest| {
        let chat = teach(name, TeacherDialect::OpenAiChat, request).unwrap_err();
        let messages = teach(&format!("messages.{name}"), TeacherDialect::Anthropic, request).unwrap_err();
        (chat, messages)
    };
    let (chat, messages) = refused("unknown-model", &TeacherRequest { model: "nobody".into(), ..story(8) });
    assert_eq!((chat.class, chat.status), (FailureClass::NotFound, Some(404)));
    assert_eq!(messages.class, FailureClass::NotFound);
    assert!(chat.reason.contains("nobody") && messages.reason.contains("nobody"), "{chat:?} {messages:?}");
    let long = TeacherRequest { messages: vec![Message::user("There was a cat. ".repeat(120))], ..story(8) };
    let (chat, messages) = refused("overlong", &long);
    assert_eq!((chat.class, messages.class), (FailureClass::Overlong, FailureClass::Overlong), "{chat:?} {messages:?}");
    let (chat, messages) = refused("overlong-answer", &story(600));
    assert_eq!((chat.class, messages.class), (FailureClass::Overlong, FailureClass::Overlong), "{chat:?} {messages:?}");
    let wrong = TeacherRequest { extra_body: Some(json!({"temperature": "hot"})), ..story(8) };
    let (chat, messages) = refused("bad-field", &wrong);
    assert_eq!((chat.class, messages.class), (FailureClass::Request, FailureClass::Request), "{chat:?} {messages:?}");
    assert!(chat.reason.contains("temperature"), "{chat:?}");
}

fn judged(name: &str, dialect: RewardDialect, inputs: &[RewardInput]) -> Result<Vec<f64>, Failure> {
    let options = RewardOptions { allow_pair_join: true, ..RewardOptions::default() };
    let call = encode_rewards(dialect, "tiny-reward", inputs, &options).unwrap();
    let rewards = decode_rewards(dialect, &options, inputs.len(), &asked(Served::Reward, name, &call))?;
    Ok(rewards.into_iter().map(Result::unwrap).collect())
}

fn question(answer: &str) -> RewardInput {
    let text = format!("<s>What happened?\n{answer}");
    RewardInput {
        messages: vec![Message::user("What happened?"), Message::assistant(answer)],
        rendered: Some(RenderedPrompt { text, ids: vec![] }),
    }
}

fn turns(input: &RewardInput) -> [RewardInput; 1] {
    [RewardInput { rendered: None, ..input.clone() }]
}

/// What the server gives to a request that does not switch the activation off: the trap that `encode` steps around.
fn sigmoids(inputs: &[RewardInput]) -> Vec<f64> {
    let options = RewardOptions::default();
    let mut body = encode_reward_body(RewardDialect::VllmClassify, "tiny-reward", inputs, &options).unwrap();
    body.as_object_mut().unwrap().remove("use_activation");
    let reply = asked(Served::Reward, "classify.activated", &HttpCall::post_json("/classify", &body));
    let rewards = decode_rewards(RewardDialect::VllmClassify, &options, inputs.len(), &reply).unwrap();
    rewards.into_iter().map(Result::unwrap).collect()
}

#[test]
fn rewards_are_the_same_by_text_and_by_turns_and_tell_a_sentence_from_noise() {
    let inputs = [question("The dog found a ball in the park."), question("fk.hbl ta ea Tdgonu")];
    let texts = judged("classify", RewardDialect::VllmClassify, &inputs).unwrap();
    assert!(texts[0] > texts[1] + 0.2, "{texts:?}");
    let sigmoids = sigmoids(&inputs);
    for (raw, activated) in texts.iter().zip(sigmoids) {
        assert!((1.0 / (1.0 + (-raw).exp()) - activated).abs() < 1e-5, "{raw} {activated}");
    }
    let pooled = judged("pooling", RewardDialect::VllmPooling, &inputs).unwrap();
    let by_turns = judged("classify.turns", RewardDialect::VllmClassify, &turns(&inputs[0])).unwrap();
    let pooled_turns = judged("pooling.turns", RewardDialect::VllmPooling, &turns(&inputs[0])).unwrap();
    for other in [pooled[0], by_turns[0], pooled_turns[0]] {
        assert!((other - texts[0]).abs() < 1e-4, "{other} {texts:?}");
    }
    assert!((pooled[1] - texts[1]).abs() < 1e-4);
    let joined = judged("score", RewardDialect::VllmScore, &inputs).unwrap();
    assert!((joined[0] - texts[0]).abs() > 0.01, "without a template it is another text: {joined:?} {texts:?}");
}

#[test]
fn the_probe_reads_a_served_reward_model() {
    let probed = PROBE_PAIRS.map(|pair| {
        let [good, awful] = pair.inputs().map(|input| turns(&input));
        let score = |which: &str, input: &[RewardInput; 1]| {
            Ok(judged(&format!("probe.{}.{which}", pair.language), RewardDialect::VllmClassify, input).unwrap()[0])
        };
        ProbedPair { language: pair.language.to_owned(), good: score("good", &good), awful: score("awful", &awful) }
    });
    let verdict = judge_activation(&probed);
    assert!(verdict.is_accepted(), "{verdict}");
}

#[test]
fn refusals_of_the_reward_model_have_their_class() {
    let inputs = [question(&"The cat ran to the dog. ".repeat(900))];
    let failure = judged("classify.overlong", RewardDialect::VllmClassify, &inputs).unwrap_err();
    assert_eq!(failure.class, FailureClass::Overlong, "{failure:?}");
    let call = encode_rewards(RewardDialect::VllmClassify, "nobody", &[question("A cat.")], &RewardOptions::default())
        .unwrap();
    let reply = asked(Served::Reward, "classify.unknown-model", &call);
    let failure = decode_rewards(RewardDialect::VllmClassify, &RewardOptions::default(), 1, &reply).unwrap_err();
    assert_eq!(failure.class, FailureClass::NotFound, "{failure:?}");
    let elsewhere = teach("no-such-route", TeacherDialect::SglangGenerate, &story(8)).unwrap_err();
    assert_eq!((elsewhere.class, elsewhere.status), (FailureClass::NotFound, Some(404)));
}
