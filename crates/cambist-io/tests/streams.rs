//! Replies in events over real sockets: the same answers as plain replies, and a broken end is told as one.

#![cfg(test)]

use cambist_core::prompt::Message;
use cambist_io::{
    dialect::{
        answer::TeacherAnswer,
        decode::decode_all,
        encode::{call, encode_body, put_seed},
        request::{EncodeOptions, RenderedPrompt, RequestSampling, TeacherRequest, Thinking},
        stream::{assembled, put_stream},
        teacher::TeacherDialect,
    },
    endpoint::{Endpoint, Retries},
    exchange::{Exchange, Failure, FailureClass, HttpCall, HttpReply, TokenEstimate},
    mock::{MockOptions, MockServer},
    transport::{AuthHeaders, Client, LaneOptions, Transport, TransportOptions},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The dialects whose replies come in events.
const STREAMED: [TeacherDialect; 3] =
    [TeacherDialect::OpenAiChat, TeacherDialect::OpenAiCompletions, TeacherDialect::Anthropic];

/// A request whose reply is taken as it comes.
struct Raw(HttpCall);

impl Exchange for Raw {
    type Answer = HttpReply;

    fn call(&self, _attempt: u32) -> HttpCall {
        self.0.clone()
    }

    fn read(&mut self, reply: &HttpReply) -> Result<HttpReply, Failure> {
        Ok(reply.clone())
    }

    fn tokens(&self) -> TokenEstimate {
        TokenEstimate::default()
    }

    fn tokens_done(&self, _reply: &HttpReply) -> u32 {
        1
    }

    fn worst_cost_usd(&self) -> Option<f64> {
        None
    }

    fn cost_usd(&self, _reply: &HttpReply) -> Option<f64> {
        None
    }
}

/// A mock and a connection to it.
struct Server {
    client: Client,
    _server: MockServer,
    _transport: Transport,
}

impl Server {
    fn start(behaviour: Value) -> Self {
        let server = MockServer::start(serde_json::from_value::<MockOptions>(behaviour).unwrap()).unwrap();
        let endpoint: Endpoint = serde_json::from_value(json!({ "base_url": server.base_url() })).unwrap();
        let endpoint = Endpoint { retries: Retries { max: 0, ..Retries::default() }, ..endpoint };
        let transport = Transport::start(TransportOptions::default()).unwrap();
        let client = transport.client(&endpoint, AuthHeaders::default()).unwrap();
        Self { client, _server: server, _transport: transport }
    }

    fn send(&self, call: HttpCall) -> Result<HttpReply, Failure> {
        let (submit, mut outcomes) = self.client.lane::<Raw>(LaneOptions::default());
        submit.send(Raw(call)).unwrap_or_else(|closed| panic!("{}", closed.failure));
        drop(submit);
        outcomes.next().unwrap().outcome
    }
}

/// The body of a question; `n` only where the dialect takes it.
fn body(dialect: TeacherDialect, (text, seed, n): (&str, u32, u32), max_tokens: u32) -> Value {
    let request = TeacherRequest {
        messages: vec![Message::user(text)],
        rendered: Some(RenderedPrompt { text: text.to_owned(), ids: vec![] }),
        model: "teacher-a".to_owned(),
        sampling: RequestSampling {
            max_tokens,
            logprobs: (seed % 2 == 1 && dialect != TeacherDialect::Anthropic).then_some(2),
            ..RequestSampling::default()
        },
        ..TeacherRequest::default()
    };
    let n = if dialect.takes_n() { n } else { 1 };
    let mut body = encode_body(dialect, &request, EncodeOptions { n, ..EncodeOptions::default() }).unwrap();
    put_seed(dialect, &mut body, seed);
    body
}

type Answers = Result<Vec<Result<TeacherAnswer, Failure>>, Failure>;

/// What is remarkable of answers: all but the reply's own name, which tells attempts apart.
fn told(answers: Answers) -> Result<Vec<Result<TeacherAnswer, FailureClass>>, FailureClass> {
    let unnamed = |answer: TeacherAnswer| TeacherAnswer { request_id: None, ..answer };
    let one = |answer: Result<TeacherAnswer, Failure>| answer.map(unnamed).map_err(|failure| failure.class);
    answers.map(|answers| answers.into_iter().map(one).collect()).map_err(|failure| failure.class)
}

fn read(dialect: TeacherDialect, reply: &HttpReply) -> Answers {
    decode_all(dialect, Thinking::Strip, &*assembled(dialect, reply)?)
}

fn in_events(dialect: TeacherDialect, body: &Value) -> HttpCall {
    let mut streamed = body.clone();
    put_stream(dialect, &mut streamed);
    call(dialect, &streamed)
}

#[test]
fn events_add_up_to_the_plain_reply() {
    let server = Server::start(json!({}));
    let texts = ["Warum fließt der Fluss so schnell?", "今日の天気はどうですか。", "Hi", "ما هي عاصمة فرنسا؟"];
    let mut n_several = 0;
    for dialect in STREAMED {
        for (at, text) in (0u32..).zip(texts) {
            for (n, max_tokens) in [(1, 300), (3, 300), (2, 3)] {
                let body = body(dialect, (text, at, n), max_tokens);
                let plain = server.send(call(dialect, &body)).unwrap();
                let streamed = server.send(in_events(dialect, &body)).unwrap();
                assert!(streamed.header("content-type").unwrap().contains("event-stream"));
                assert!(plain.header("content-type").unwrap().contains("json"));
                let (plain, streamed) = (told(read(dialect, &plain)), told(read(dialect, &streamed)));
                assert_eq!(streamed, plain, "{} {text} {n}", dialect.name());
                let answers = plain.unwrap();
                assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|a| a.usage.output.is_some())));
                n_several += usize::from(answers.len() > 1);
            }
        }
    }
    assert_eq!(n_several, 2 * 2 * texts.len(), "the dialects that give several do");
}

#[test]
fn what_is_odd_in_a_plain_reply_is_as_odd_in_events() {
    let faults = [
        "empty_choices",
        "null_content",
        "fewer_n",
        "dup_index",
        "finish_length",
        "finish_filter",
        "abort",
        "think_inline",
        "think_field",
        "think_unclosed",
        "model_swap",
        "nan_number",
        "bad_utf8",
        "rename_tokens",
        "status:429",
        "status:500",
        "wrong_type",
    ];
    for fault in faults {
        let server = Server::start(json!({ "faults": [{ "fault": fault }] }));
        for dialect in STREAMED {
            let body = body(dialect, ("Why do rivers bend?", 0, 3), 200);
            let plain = told(server.send(call(dialect, &body)).and_then(|reply| read(dialect, &reply)));
            let streamed = told(server.send(in_events(dialect, &body)).and_then(|reply| read(dialect, &reply)));
            assert_eq!(streamed, plain, "{fault} {}", dialect.name());
        }
    }
}

#[test]
fn a_stream_that_breaks_off_is_told_as_one() {
    for fault in ["reset_mid", "half_close", "truncated_json"] {
        for after_bytes in [1, 40, 400, 700] {
            let rule = json!({ "fault": fault, "params": {"after_bytes": after_bytes} });
            let server = Server::start(json!({ "faults": [rule] }));
            for dialect in STREAMED {
                let body = body(dialect, ("Why do rivers bend?", 0, 1), 200);
                let outcome = server.send(in_events(dialect, &body)).and_then(|reply| read(dialect, &reply));
                let class = outcome.map_err(|failure| failure.class).unwrap_err();
                assert_eq!(class, FailureClass::TransportMid, "{fault} {after_bytes} {}", dialect.name());
            }
        }
    }
}

fn events(text: &str) -> HttpReply {
    let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
    HttpReply { status: 200, headers, body: text.as_bytes().to_vec(), ..HttpReply::default() }
}

#[test]
fn an_error_among_the_events_is_the_error() {
    let of = |dialect, text: &str| read(dialect, &events(text)).unwrap_err();
    let chat = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"a\"}}]}\n\n";
    for (error, class) in [
        ("{\"error\":{\"message\":\"boom\",\"code\":500}}", FailureClass::Server),
        ("{\"error\":{\"message\":\"maximum context length is 10\",\"code\":400}}", FailureClass::Overlong),
        ("{\"error\":{\"message\":\"slow down\",\"code\":429}}", FailureClass::Capacity),
        ("{\"error\":\"killed\"}", FailureClass::Server),
    ] {
        let text = format!("{chat}data: {error}\n\ndata: [DONE]\n\n");
        assert_eq!(of(TeacherDialect::OpenAiChat, &text).class, class, "{error}");
    }
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\n";
    let error =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";
    assert_eq!(of(TeacherDialect::Anthropic, &format!("{start}{error}")).class, FailureClass::Capacity);
    assert_eq!(of(TeacherDialect::Anthropic, start).class, FailureClass::TransportMid);
    assert_eq!(of(TeacherDialect::OpenAiChat, chat).class, FailureClass::TransportMid);
}

#[test]
fn a_block_that_is_none_is_the_servers_fault() {
    for block in [json!("text"), json!(1), json!([]), json!(true)] {
        let chunks = [
            json!({"type": "message_start", "message": {"content": []}}),
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}),
            json!({"type": "message_stop"}),
        ];
        let text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        let failure = read(TeacherDialect::Anthropic, &events(&text)).unwrap_err();
        assert_eq!(failure.class, FailureClass::Shape);
        assert!(failure.reason.contains("expected a block"), "{}", failure.reason);
    }
}

#[test]
fn pieces_of_a_tools_call_and_names_are_joined() {
    let delta = |delta: Value| json!({"id": "x", "choices": [{"index": 0, "delta": delta}]});
    let call = |piece: Value| delta(json!({ "tool_calls": [piece] }));
    let chunks = [
        delta(json!({"role": "assistant", "content": null})),
        call(json!({"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": "{\"q\""}})),
        call(json!({"index": 1, "id": "d", "type": "function", "function": {"name": "sum", "arguments": "{}"}})),
        call(json!({"index": 0, "function": {"arguments": ": 1}"}})),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
    ];
    let text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>() + "data: [DONE]\n\n";
    let answer = read(TeacherDialect::OpenAiChat, &events(&text)).unwrap().remove(0).unwrap();
    let calls = answer.tool_calls.unwrap();
    assert_eq!((&calls[0]["function"]["arguments"], &calls[0]["id"]), (&json!("{\"q\": 1}"), &json!("c")));
    assert_eq!((&calls[1]["function"]["name"], answer.text.as_str()), (&json!("sum"), ""));

    let block =
        |index: u32, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let piece = |index: u32, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let chunks = [
        json!({"type": "message_start", "message": {"model": "m", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}}}),
        block(0, json!({"type": "thinking", "thinking": ""})),
        piece(0, json!({"type": "thinking_delta", "thinking": "so"})),
        piece(0, json!({"type": "signature_delta", "signature": "abc"})),
        block(1, json!({"type": "text", "text": ""})),
        piece(1, json!({"type": "text_delta", "text": "Yes"})),
        piece(1, json!({"type": "text_delta", "text": "."})),
        block(2, json!({"type": "tool_use", "id": "t", "name": "look", "input": {}})),
        piece(2, json!({"type": "input_json_delta", "partial_json": "{\"q\":"})),
        piece(2, json!({"type": "input_json_delta", "partial_json": "1}"})),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ];
    let text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    let answer = read(TeacherDialect::Anthropic, &events(&text)).unwrap().remove(0).unwrap();
    assert_eq!((answer.text.as_str(), answer.reasoning.as_deref()), ("Yes.", Some("so")));
    assert_eq!((answer.usage.input, answer.usage.output), (Some(5), Some(9)));
    assert_eq!(answer.tool_calls.unwrap()[0]["input"], json!({"q": 1}));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_cut_off_is_missed(share in 0.0f64..1.0, at in 0usize..3) {
        let dialect = STREAMED[at];
        let server = Server::start(json!({}));
        let body = body(dialect, ("今日の天気はどうですか。", 1, 2), 60);
        let whole = server.send(in_events(dialect, &body)).unwrap();
        // The last event, with the line that names it, is what says that nothing is missing.
        let end = if dialect == TeacherDialect::Anthropic { "{\"type\":\"message_stop\"}" } else { "[DONE]" };
        let last = whole.body.windows(end.len()).position(|part| part == end.as_bytes()).unwrap() + end.len();
        let cut = (share * (last - 1) as f64) as usize;
        let broken = HttpReply { body: whole.body[..cut].to_vec(), ..whole.clone() };
        prop_assert_eq!(read(dialect, &broken).unwrap_err().class, FailureClass::TransportMid, "{}", cut);
        let late = HttpReply { body: whole.body[..last].to_vec(), ..whole.clone() };
        prop_assert_eq!(told(read(dialect, &late)), told(read(dialect, &whole)));
    }

    #[test]
    fn no_bytes_are_read_as_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..3) {
        let reply = HttpReply { body: [b"data: ".as_slice(), &bytes].concat(), ..events("") };
        prop_assert!(read(STREAMED[at], &reply).is_err());
    }
}
