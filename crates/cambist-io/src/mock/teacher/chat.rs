//! `POST /v1/chat/completions`.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::mock::{
    answer::{Answer, Question},
    reply::Reply,
    reward, tokens,
    turn::{CREATED, Turn, said, text_of, usage},
};

/// The schema of a format that names none.
static ANY_OBJECT: LazyLock<Value> = LazyLock::new(|| json!({"properties": {"answer": {"type": "string"}}}));

/// Most choices of one call.
const MOST_CHOICES: u64 = 128;

pub(super) fn reply(turn: &Turn<'_>) -> Reply {
    let asked = turn.asked;
    if !asked.body["messages"].is_array() {
        return turn.refuse("`messages` is missing", "messages");
    }
    if asked.model().starts_with("mock-nim") {
        return nim(turn);
    }
    let (context, prompt) = said(&asked.body["messages"]);
    let most = asked.number("max_completion_tokens").or_else(|| asked.number("max_tokens"));
    let question = Question { context, schema: schema(&asked.body), ..turn.question(prompt, most) };
    let n = asked.number("n").unwrap_or(1).clamp(1, MOST_CHOICES) as usize;
    let answers = turn.answers(&question, n);
    let n_out = answers.iter().map(|answer| answer.n_tokens).sum();
    let n_in = tokens::count(&question.context) + tokens::count(&question.prompt);
    let choices: Vec<Value> =
        answers.into_iter().enumerate().map(|(index, answer)| choice(turn, (index, answer), &question)).collect();
    Reply::json(completion(turn, choices, usage(n_in, n_out))).with_tokens(n_out).streamed_as(asked)
}

fn schema(body: &Value) -> Option<&Value> {
    let format = &body["response_format"];
    match format["type"].as_str() {
        Some("json_schema") => format["json_schema"].get("schema").or_else(|| format.get("json_schema")),
        // A format without schema reads as an object without members.
        Some("json_object") => Some(&ANY_OBJECT),
        _ => body.get("guided_json").or_else(|| body["structured_outputs"].get("json")),
    }
}

fn completion(turn: &Turn<'_>, choices: Vec<Value>, usage: Value) -> Value {
    json!({
        "id": turn.id("chatcmpl"), "object": "chat.completion", "created": CREATED, "model": turn.asked.model(),
        "choices": choices, "usage": usage,
    })
}

fn choice(turn: &Turn<'_>, (index, answer): (usize, Answer), question: &Question<'_>) -> Value {
    let logprobs = turn.asked.flag("logprobs").then(|| logprobs(turn, &answer.text, question));
    let finish = if answer.is_cut { "length" } else { "stop" };
    json!({
        "index": index, "message": {"role": "assistant", "content": answer.text, "reasoning": null},
        "logprobs": logprobs, "finish_reason": finish,
    })
}

/// The log-probabilities of an answer's tokens, each with others beside it; a judge's letter stands beside its rival.
fn logprobs(turn: &Turn<'_>, text: &str, question: &Question<'_>) -> Value {
    let n_top = turn.asked.number("top_logprobs").unwrap_or(0).min(20);
    let mut before = "";
    let mut content = Vec::new();
    for piece in tokens::pieces(text) {
        let own = tokens::log_prob(before, piece);
        let rival = match piece {
            "A" => Some("B"),
            "B" => Some("A"),
            _ => None,
        };
        let others = (1..n_top).map(|place| match (place, rival) {
            (1, Some(rival)) => entry(rival, own - 1.0),
            _ => entry(&format!("~{place}"), own - 1.0 - place as f64 * question.draw.with_text(piece).unit()),
        });
        let top: Vec<Value> = (n_top > 0).then(|| entry(piece, own)).into_iter().chain(others).collect();
        let mut token = entry(piece, own);
        token["top_logprobs"] = Value::Array(top);
        content.push(token);
        before = piece;
    }
    json!({"content": content})
}

fn entry(token: &str, logprob: f64) -> Value {
    json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()})
}

/// A reward model behind the chat route: the score stands where a log-probability would, and in the text.
fn nim(turn: &Turn<'_>) -> Reply {
    let messages = &turn.asked.body["messages"];
    let (_, prompt) = said(messages);
    let last = messages.as_array().and_then(|turns| turns.last()).filter(|turn| turn["role"] == "assistant");
    let answer = last.map(|turn| text_of(&turn["content"])).unwrap_or_default();
    let score = reward::of_texts(&prompt, &answer, turn.options.seed);
    let choice = json!({
        "index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": format!("reward:{score:.4}")},
        "logprobs": {"content": [{"token": "reward", "logprob": score, "top_logprobs": []}]},
    });
    let n_in = tokens::count(&prompt) + tokens::count(&answer);
    Reply::json(completion(turn, vec![choice], usage(n_in, 1))).with_tokens(1)
}
