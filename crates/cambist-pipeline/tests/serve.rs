//! A served model, asked over real sockets by the dialects that a run speaks.
#![cfg(test)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
};

use cambist_core::{completion::FinishReason, prompt::Message};
use cambist_io::{
    dialect::{
        answer::TeacherAnswer,
        decode::decode_all,
        encode::encode,
        failures::classify,
        probe::{Shown, check_echo, info_calls, keeps_seed, server_facts},
        request::{EncodeOptions, RenderedPrompt, RequestSampling, TeacherRequest, Thinking},
        reward::{RewardDialect, RewardInput, RewardOptions, decode::decode_rewards, encode::encode_rewards},
        stream::{assembled, put_stream},
        teacher::TeacherDialect,
    },
    exchange::{FailureClass, HttpCall, HttpReply, Method},
};
use cambist_model::{LocalModel, RewardModel, log_probs, sequence_log_probs};
use cambist_pipeline::serve::{ModelServer, ServeOptions, read_model};
use serde_json::{Value, json};

/// Random weights with a tokenizer of many languages and bytes: an answer may be malformed text, or empty.
const TIED: &str = "tied";

/// Random weights with a tokenizer of words: an answer is well-formed text.
const WORDS: &str = "families/llama";

fn model(name: &str) -> LocalModel {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cambist-model/tests/golden").join(name);
    read_model(&folder, None).unwrap()
}

fn served(name: &str, batch_size: usize) -> ModelServer {
    serve(model(name), batch_size)
}

fn serve(model: LocalModel, batch_size: usize) -> ModelServer {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = ServeOptions { address, name: "tiny".into(), batch_size, threads: Some(2) };
    ModelServer::start(model, &options).unwrap()
}

fn send(server: &ModelServer, call: &HttpCall) -> HttpReply {
    let address = server.base_url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let method = if call.method == Method::Get { "GET" } else { "POST" };
    let head = format!(
        "{method} {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        call.path,
        call.body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&call.body).unwrap();
    let mut bytes = vec![];
    stream.read_to_end(&mut bytes).unwrap();
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..at].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> =
        head.split("\r\n").filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let is_chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if is_chunked { dechunked(&bytes[at + 4..]) } else { bytes[at + 4..].to_vec() };
    HttpReply { status, headers, body, ..HttpReply::default() }
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = vec![];
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 4 + length..];
    }
}

fn post(server: &ModelServer, path: &str, body: &Value) -> HttpReply {
    send(server, &HttpCall::post_json(path, body))
}

fn json_of(reply: &HttpReply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

fn request(sampling: RequestSampling) -> TeacherRequest {
    let messages = vec![Message::user("w5 w17 w9 w30")];
    let model = model(WORDS);
    let text = model.render(&messages, true).unwrap();
    let ids = model.encode(&messages).unwrap();
    TeacherRequest {
        messages,
        rendered: Some(RenderedPrompt { text, ids }),
        model: "tiny".into(),
        sampling,
        ..TeacherRequest::default()
    }
}

/// Asks in a dialect, whole or in events.
fn ask(
    server: &ModelServer,
    dialect: TeacherDialect,
    request: &TeacherRequest,
    (n, streams): (u32, bool),
) -> Vec<TeacherAnswer> {
    let mut call = encode(dialect, request, EncodeOptions { n, ..EncodeOptions::default() }).unwrap();
    if streams {
        let mut body: Value = serde_json::from_slice(&call.body).unwrap();
        put_stream(dialect, &mut body);
        call = HttpCall::post_json(call.path.as_str(), &body);
    }
    let reply = send(server, &call);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let reply = assembled(dialect, &reply).unwrap();
    decode_all(dialect, Thinking::Keep, &reply).unwrap().into_iter().map(Result::unwrap).collect()
}

fn drawn(seed: u32, logprobs: Option<u32>) -> RequestSampling {
    RequestSampling { temperature: 1.0, max_tokens: 12, seed: Some(seed), logprobs, ..RequestSampling::default() }
}

#[test]
fn both_dialects_get_the_same_answers_whole_and_in_events() {
    let server = served(WORDS, 8);
    let request = request(drawn(7, Some(3)));
    let chat = ask(&server, TeacherDialect::OpenAiChat, &request, (3, false));
    assert_eq!(chat.len(), 3);
    assert!(chat[0].text != chat[1].text || chat[0].text != chat[2].text, "several answers are several draws");
    assert_eq!(chat[0].usage.input, Some(request.rendered.as_ref().unwrap().ids.len() as u32));
    for answer in &chat {
        let tokens = answer.logprobs.as_ref().unwrap();
        assert!(tokens.len() <= 12 && tokens.iter().all(|token| token.logprob.is_some() && token.top.len() >= 3));
        let ends = if tokens.len() < 12 { FinishReason::Stop } else { FinishReason::Length };
        assert!(answer.finish == ends || answer.finish == FinishReason::Stop, "{answer:?}");
    }
    let texts = |answers: &[TeacherAnswer]| answers.iter().map(|answer| answer.text.clone()).collect::<Vec<_>>();
    for (dialect, streams) in [
        (TeacherDialect::OpenAiChat, true),
        (TeacherDialect::OpenAiCompletions, false),
        (TeacherDialect::OpenAiCompletions, true),
    ] {
        let other = ask(&server, dialect, &request, (3, streams));
        assert_eq!(texts(&other), texts(&chat), "{dialect:?} {streams}");
        assert_eq!(other[0].usage.output, chat[0].usage.output, "{dialect:?} {streams}");
        let sum = |answer: &TeacherAnswer| -> f64 {
            answer.logprobs.iter().flatten().filter_map(|token| token.logprob).sum()
        };
        assert!((sum(&other[1]) - sum(&chat[1])).abs() < 1e-9, "{dialect:?} {streams}");
    }
}

#[test]
fn a_seed_decides_and_company_does_not() {
    let server = served(WORDS, 4);
    let one = |seed: u32| ask(&server, TeacherDialect::OpenAiChat, &request(drawn(seed, None)), (1, false)).remove(0);
    let alone: Vec<TeacherAnswer> = (0..6).map(one).collect();
    assert_eq!(keeps_seed(&alone[1], &one(1), &alone[2]), Shown::Yes);
    let together: Vec<TeacherAnswer> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..6).map(|seed| scope.spawn(move || one(seed))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let texts = |answers: &[TeacherAnswer]| answers.iter().map(|answer| answer.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&together), texts(&alone));
}

#[test]
fn an_echo_has_the_log_probabilities_of_scoring() {
    let (server, model) = (served(TIED, 8), model(TIED));
    let messages = [Message::user("Bugün hava"), Message::assistant("çok güzel")];
    let context = model.encode(&messages[..1]).unwrap();
    let whole = [context.clone(), model.tokenizer().encode("çok güzel<|end|>").unwrap()].concat();
    let other = model.tokenizer().encode("Trời hôm nay đẹp quá").unwrap();
    // As lm-evaluation-harness asks: several prompts of ids, one more token.
    let body = json!({
        "model": "tiny", "prompt": [whole, other], "max_tokens": 1, "logprobs": 1, "echo": true, "temperature": 0,
        "seed": 1234,
    });
    let reply = json_of(&post(&server, "/v1/completions", &body));
    let expected = sequence_log_probs(&model, &[&whole, &other], 1).unwrap();
    for (choice, expected) in expected.iter().enumerate() {
        let log_probs = &reply["choices"][choice]["logprobs"];
        let values = log_probs["token_logprobs"].as_array().unwrap();
        assert_eq!(values.len(), expected.len() + 2, "the first token has none, and one is new");
        assert!(values[0].is_null() && log_probs["top_logprobs"][0].is_null());
        for (at, expected) in expected.iter().enumerate() {
            let found = values[at + 1].as_f64().unwrap();
            assert!((found - expected.log_prob).abs() < 1e-5, "{found} {expected:?}");
            let top = log_probs["top_logprobs"][at + 1].as_object().unwrap();
            let best = top.values().map(|value| value.as_f64().unwrap()).fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(best == found, expected.top[0].0 == expected.token);
        }
    }
    let of_answer = log_probs(&model, &[messages.to_vec()]).unwrap().remove(0).unwrap();
    let values = reply["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap();
    let sum: f64 = values[context.len()..values.len() - 1].iter().filter_map(Value::as_f64).sum();
    assert!((sum - of_answer.sum).abs() < 1e-4, "{sum} {}", of_answer.sum);
    // And as a run probes a server.
    let mut call = HttpCall::post_json("/v1/completions", &body);
    call.body = json!({"prompt": other, "max_tokens": 1, "logprobs": 1, "echo": true}).to_string().into_bytes();
    let answer =
        decode_all(TeacherDialect::OpenAiCompletions, Thinking::Keep, &send(&server, &call)).unwrap().remove(0);
    check_echo(other.len(), &answer.unwrap()).unwrap();
}

/// Each choice of a reply in events, put together again: its text, and what it says of its tokens.
fn assembled_choices(events: &HttpReply, n: usize) -> Vec<(String, Vec<Value>)> {
    let text = std::str::from_utf8(&events.body).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let parts = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|part| *part != "[DONE]");
    let mut choices = vec![(String::new(), vec![]); n];
    for part in parts.map(|part| serde_json::from_str::<Value>(part).unwrap()) {
        for choice in part["choices"].as_array().unwrap() {
            let own = &mut choices[choice["index"].as_u64().unwrap() as usize];
            own.0.push_str(choice["text"].as_str().unwrap());
            let of = |name: &str| choice["logprobs"][name].as_array().cloned().unwrap_or_default();
            let told = of("tokens").into_iter().zip(of("token_logprobs")).zip(of("text_offset"));
            own.1.extend(told.map(|((token, log_prob), offset)| json!([token, log_prob, offset])));
        }
    }
    choices
}

/// Asks for a completion whole and in events, and compares the two; returns the choices of the whole one.
fn completed_both_ways(server: &ModelServer, body: &Value) -> Vec<Value> {
    let choices = json_of(&post(server, "/v1/completions", body))["choices"].as_array().unwrap().clone();
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = assembled_choices(&post(server, "/v1/completions", &streamed), choices.len());
    for (whole, (text, told)) in choices.iter().zip(events) {
        assert_eq!(whole["text"], text, "{body}");
        let of = |name: &str| whole["logprobs"][name].as_array().unwrap().iter();
        let tokens = of("tokens").zip(of("token_logprobs")).zip(of("text_offset"));
        assert_eq!(
            tokens.map(|((token, log_prob), offset)| json!([token, log_prob, offset])).collect::<Vec<_>>(),
            told
        );
    }
    choices
}

#[test]
fn an_echo_stands_before_each_answer_whole_and_in_events() {
    let server = served(TIED, 8);
    let body = json!({"prompt": "Bugün", "max_tokens": 4, "echo": true, "logprobs": 0, "n": 2, "seed": 3});
    for whole in completed_both_ways(&server, &body) {
        assert!(whole["text"].as_str().unwrap().starts_with("Bugün"), "{whole}");
        let n_prompt = model(TIED).tokenizer().encode_with_specials("Bugün").unwrap().len();
        let n_tokens = whole["logprobs"]["tokens"].as_array().unwrap().len();
        assert!(n_tokens > n_prompt && n_tokens <= n_prompt + 4, "{whole}");
    }
}

/// Random weights say bytes that form no character more often than not; a prompt may end inside one, too.
#[test]
fn malformed_answers_are_the_same_whole_and_in_events() {
    let (server, model) = (served(TIED, 8), model(TIED));
    let mut cut = model.tokenizer().encode("Bugün ไ").unwrap();
    cut.pop();
    let mut n_malformed = 0;
    for (seed, prompt) in [json!("Bugün"), json!("ไ ai"), json!(cut)].iter().cycle().take(6).enumerate() {
        let mut body = json!({
            "prompt": prompt, "max_tokens": 24, "echo": true, "logprobs": 0, "n": 4, "temperature": 1.5, "seed": seed,
        });
        let choices = completed_both_ways(&server, &body);
        let text = |choice: &Value| choice["text"].as_str().unwrap().to_owned();
        for choice in &choices {
            let text = text(choice);
            let offsets = choice["logprobs"]["text_offset"].as_array().unwrap();
            let offsets: Vec<usize> = offsets.iter().map(|offset| offset.as_u64().unwrap() as usize).collect();
            assert!(offsets.is_sorted() && offsets[0] == 0 && offsets.iter().all(|at| *at <= text.chars().count()));
            let (n_prompt, before) = match prompt.as_str() {
                Some(text) => (model.tokenizer().encode_with_specials(text).unwrap().len(), text.to_owned()),
                None => (cut.len(), model.tokenizer().decode(&cut).unwrap()),
            };
            assert!(text.starts_with(&before) && offsets[n_prompt] == before.chars().count(), "{choice}");
            n_malformed += usize::from(text[before.len()..].trim_end_matches('\u{fffd}').contains('\u{fffd}'));
        }
        // What ends an answer is found behind malformed bytes, in one way as in the other.
        let letters: Vec<char> = text(&choices[0]).chars().collect();
        body["stop"] = json!([letters[letters.len() - 2..].iter().collect::<String>()]);
        completed_both_ways(&server, &body);
    }
    assert!(n_malformed > 6, "{n_malformed}");
}

#[test]
fn what_cannot_be_answered_is_refused_in_words() {
    let server = served(TIED, 2);
    let refused = |path: &str, body: Value| {
        let reply = post(&server, path, &body);
        let error = json_of(&reply)["error"].clone();
        (reply.status, classify(&reply).class, error)
    };
    let chat = |extra: Value| {
        let mut body = json!({"model": "tiny", "messages": [{"role": "user", "content": "a"}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        refused("/v1/chat/completions", body)
    };
    let (status, class, error) = chat(json!({"model": "nobody"}));
    assert_eq!((status, class, error["code"].as_str()), (404, FailureClass::NotFound, Some("model_not_found")));
    assert!(error["message"].as_str().unwrap().contains("`nobody`") && error["param"] == "model", "{error}");
    let (status, class, error) = chat(json!({"max_tokens": 500}));
    assert_eq!((status, class), (400, FailureClass::Overlong), "{error}");
    assert_eq!(error["code"], "context_length_exceeded");
    let (status, class, _) = chat(json!({"messages": [{"role": "user", "content": "uzun ".repeat(200)}]}));
    assert_eq!((status, class), (400, FailureClass::Overlong));
    for (extra, param) in [
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"temperature": -1.0}), "temperature"),
        (json!({"top_p": 0.0}), "top_p"),
        (json!({"n": 0}), "n"),
        (json!({"tools": [{"type": "function"}]}), "tools"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (json!({"messages": [{"role": "wizard", "content": "a"}]}), "messages[0].role"),
        (json!({"messages": []}), "messages"),
    ] {
        let (status, class, error) = chat(extra);
        assert_eq!((status, class, error["param"].as_str()), (400, FailureClass::Request, Some(param)), "{error}");
    }
    let (status, _, error) = refused("/v1/completions", json!({"prompt": [4_000_000]}));
    assert!(status == 400 && error["message"].as_str().unwrap().contains("4000000"), "{error}");
    let broken =
        HttpCall { body: b"{\"messages\": [".to_vec(), ..HttpCall::post_json("/v1/chat/completions", &json!({})) };
    let reply = send(&server, &broken);
    assert!(reply.status == 400 && json_of(&reply)["error"]["message"].as_str().unwrap().contains("no JSON"));
    assert_eq!(send(&server, &HttpCall::get("/v1/chat/completions")).status, 405);
    assert_eq!(send(&server, &HttpCall::get("/v2")).status, 404);
    // Harmless members are no reason to refuse.
    let fine =
        json!({"max_tokens": 2, "tools": null, "logit_bias": {}, "response_format": {"type": "text"}, "user": "x"});
    assert_eq!(chat(fine).0, 200);
}

#[test]
fn the_server_says_what_it_has() {
    let server = served(TIED, 1);
    assert_eq!(send(&server, &HttpCall::get("/health")).status, 200);
    let replies: Vec<(String, HttpReply)> =
        info_calls().iter().map(|call| (call.path.to_string(), send(&server, call))).collect();
    let replies: Vec<(&str, HttpReply)> = replies.iter().map(|(path, reply)| (path.as_str(), reply.clone())).collect();
    let facts = server_facts("tiny", &replies);
    assert_eq!((facts.max_model_len, facts.models.as_slice()), (Some(128), ["tiny".to_owned()].as_slice()));
    assert_eq!(json_of(&send(&server, &HttpCall::get("/v1/models/tiny")))["id"], "tiny");
}

#[test]
fn a_stop_text_ends_an_answer_and_a_client_that_leaves_holds_nobody_up() {
    let server = served(WORDS, 2);
    let greedy =
        |stop: Vec<String>| RequestSampling { temperature: 0.0, max_tokens: 40, stop, ..RequestSampling::default() };
    let whole = ask(&server, TeacherDialect::OpenAiChat, &request(greedy(vec![])), (1, false)).remove(0);
    let stop: String = whole.text.chars().skip(4).take(3).collect();
    for streams in [false, true] {
        let cut = ask(&server, TeacherDialect::OpenAiChat, &request(greedy(vec![stop.clone()])), (1, streams));
        assert_eq!(cut[0].text, whole.text[..whole.text.find(&stop).unwrap()]);
        assert_eq!(cut[0].finish, FinishReason::Stop);
    }
    let address = server.base_url().strip_prefix("http://").unwrap().to_owned();
    for _ in 0..4 {
        let mut leaver = TcpStream::connect(&address).unwrap();
        let body = r#"{"messages": [{"role": "user", "content": "a"}], "n": 60, "stream": true}"#;
        let head =
            format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        leaver.write_all(head.as_bytes()).unwrap();
        leaver.write_all(body.as_bytes()).unwrap();
    }
    let again = ask(&server, TeacherDialect::OpenAiChat, &request(greedy(vec![])), (1, false)).remove(0);
    assert_eq!(again.text, whole.text);
    drop(server);
    assert!(TcpStream::connect(&address).is_err());
}

fn classifier() -> LocalModel {
    model(TIED).with_reward_head(7).unwrap()
}

/// Conversations with the tokens that their rewards are read from.
fn scored() -> (Vec<RewardInput>, Vec<f64>) {
    let model = RewardModel::new(classifier(), None).unwrap();
    let answers = ["çok güzel", "Bugün hava", "bilmiyorum, belki yarın"];
    let turns = |answer: &str| vec![Message::user("Bugün hava nasıl?"), Message::assistant(answer)];
    let input = |messages: Vec<Message>| {
        let rendered = RenderedPrompt {
            text: model.model().render(&messages, false).unwrap(),
            ids: model.encode(&messages).unwrap(),
        };
        RewardInput { rendered: Some(rendered), messages }
    };
    let conversations: Vec<Vec<Message>> = answers.into_iter().map(turns).collect();
    let rewards = model.rewards(&conversations).unwrap().into_iter().map(Result::unwrap).collect();
    (conversations.into_iter().map(input).collect(), rewards)
}

#[test]
fn a_reward_model_is_asked_as_vllm_is() {
    let server = serve(classifier(), 4);
    let (inputs, expected) = scored();
    let dialect = RewardDialect::VllmClassify;
    let ask = |inputs: &[RewardInput]| -> Vec<f64> {
        let options = RewardOptions::default();
        let reply = send(&server, &encode_rewards(dialect, "tiny", inputs, &options).unwrap());
        let rewards = decode_rewards(dialect, &options, inputs.len(), &reply);
        let rewards = rewards.unwrap_or_else(|failure| panic!("{failure:?} {}", String::from_utf8_lossy(&reply.body)));
        rewards.into_iter().map(Result::unwrap).collect()
    };
    assert_eq!(ask(&inputs), expected, "ids, to the last bit");
    let without_ids = |input: &RewardInput| {
        let rendered = input.rendered.clone().map(|rendered| RenderedPrompt { ids: vec![], ..rendered });
        RewardInput { rendered, ..input.clone() }
    };
    assert_eq!(ask(&inputs.iter().map(without_ids).collect::<Vec<_>>()), expected, "rendered texts");
    for (input, reward) in inputs.iter().zip(&expected) {
        assert_eq!(ask(&[RewardInput { rendered: None, ..input.clone() }]), [*reward], "messages");
    }
    // Without a word about activation a sigmoid goes over the label, as with vLLM.
    let ids = &inputs[0].rendered.as_ref().unwrap().ids;
    let reply = json_of(&post(&server, "/classify", &json!({"input": ids})));
    let share = reply["data"][0]["probs"][0].as_f64().unwrap();
    assert!((share - 1.0 / (1.0 + (-expected[0]).exp())).abs() < 1e-12, "{reply}");
    assert_eq!((reply["object"].as_str(), reply["data"][0]["label"].as_str()), (Some("list"), Some("LABEL_0")));
    assert_eq!(
        (reply["usage"]["prompt_tokens"].as_u64(), reply["model"].as_str()),
        (Some(ids.len() as u64), Some("tiny"))
    );
    assert_eq!(json_of(&send(&server, &HttpCall::get("/v1/models")))["data"][0]["max_model_len"], 128);
}

#[test]
fn each_head_is_asked_on_its_own_path() {
    let (rewarding, answering) = (serve(classifier(), 2), served(TIED, 2));
    let refused = |server: &ModelServer, path: &str, body: Value| {
        let reply = post(server, path, &body);
        (reply.status, classify(&reply).class, json_of(&reply)["error"]["message"].as_str().unwrap().to_owned())
    };
    let chat = json!({"messages": [{"role": "user", "content": "a"}]});
    for (path, body) in [("/v1/chat/completions", chat), ("/v1/completions", json!({"prompt": "a"}))] {
        let (status, _, message) = refused(&rewarding, path, body);
        assert!(status == 400 && message.contains("has a reward head and writes no answers"), "{message}");
        assert!(message.contains("ask `/classify`"), "{message}");
    }
    let (status, _, message) = refused(&answering, "/classify", json!({"input": "a"}));
    assert!(status == 400 && message.contains("is a language model without a reward head"), "{message}");
    let long = "uzun ".repeat(200);
    for (body, found) in [
        (json!({"input": long}), "maximum context length is 128 tokens, but this input has"),
        (json!({"input": "a", "model": "nobody"}), "`nobody` does not exist"),
        (json!({"input": []}), "`input` has no token"),
        (json!({"input": [4_000_000]}), "token 4000000 is not one of"),
        (json!({}), "expected either `input`"),
        (json!({"input": "a", "truncate_prompt_tokens": 5}), "`truncate_prompt_tokens` is not supported"),
        (json!({"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": true}), "not supported"),
        (json!({"messages": [{"role": "user", "content": "a <|end|> b"}]}), "control token"),
    ] {
        let (status, class, message) = refused(&rewarding, "/classify", body);
        assert!((400..=404).contains(&status) && message.contains(found), "{status} {message}");
        assert_eq!(class == FailureClass::Overlong, found.starts_with("maximum"), "{message}");
    }
    assert_eq!(send(&rewarding, &HttpCall::get("/classify")).status, 405);
}

#[test]
fn a_gguf_file_is_served_by_its_own_name_or_that_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cambist-model/tests/golden");
    let copy = |from: &str, to: &str| fs::copy(golden.join(from), folder.path().join(to)).unwrap();
    copy("gguf/llama.gguf", "tiny-F32.gguf");
    assert!(
        read_model(folder.path(), None).unwrap_err().to_string().contains("no `tokenizer.json` beside the GGUF file")
    );
    copy("families/llama/tokenizer.json", "tokenizer.json");
    let (by_folder, by_file) =
        (read_model(folder.path(), None), read_model(&folder.path().join("tiny-F32.gguf"), None));
    assert_eq!(by_folder.unwrap().to_files().unwrap(), by_file.as_ref().unwrap().to_files().unwrap());
    let server = serve(by_file.unwrap(), 2);
    let body = json!({"messages": [{"role": "user", "content": "w5 w17"}], "max_tokens": 4, "temperature": 0});
    let reply = post(&server, "/v1/chat/completions", &body);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    // A user's turn of two words behind the beginning, in the template of the file.
    assert_eq!(json_of(&reply)["usage"]["prompt_tokens"], 3);
}

#[test]
fn a_folder_without_a_model_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    assert!(read_model(empty.path(), None).unwrap_err().to_string().contains("config.json"));
    fs::write(empty.path().join("config.json"), "{}").unwrap();
    assert!(read_model(empty.path(), None).unwrap_err().to_string().contains("model.safetensors"));
}
