//! A reply as server-sent events that add up to it.

use bytes::Bytes;
use serde_json::{Value, json};

use super::tokens;

/// Tokens of each event.
pub(crate) const TOKENS_PER_EVENT: usize = 4;

/// Returns the events of a reply, in the words of its route.
///
/// Chats and completions: for each choice its role, its reasoning, its text in pieces and its finish; then the usage
/// when asked for, and `[DONE]`. Messages: start, blocks, what ended it, stop.
pub(crate) fn events(whole: &Value, with_usage: bool) -> Vec<Bytes> {
    if whole["type"] == "message" {
        return message_events(whole);
    }
    let choices = whole["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_text = whole["object"] == "text_completion";
    let of_choice = |choice| if is_text { text_chunks(whole, choice) } else { choice_chunks(whole, choice) };
    let mut chunks: Vec<Value> = choices.iter().flat_map(of_choice).collect();
    if with_usage {
        chunks.push(chunk(whole, json!([]), whole["usage"].clone()));
    }
    let mut events: Vec<Bytes> = chunks.iter().map(|chunk| Bytes::from(format!("data: {chunk}\n\n"))).collect();
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

/// A text in pieces of a few tokens.
fn pieces(text: &str) -> Vec<String> {
    let pieces: Vec<&str> = tokens::pieces(text).collect();
    pieces.chunks(TOKENS_PER_EVENT).map(<[&str]>::concat).collect()
}

fn choice_chunks(whole: &Value, choice: &Value) -> Vec<Value> {
    let message = &choice["message"];
    let delta = |delta: Value, finish: Value| {
        chunk(whole, json!([{"index": choice["index"], "delta": delta, "finish_reason": finish}]), Value::Null)
    };
    let mut chunks = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
    for name in ["reasoning", "reasoning_content", "content"] {
        let text = message[name].as_str().unwrap_or_default();
        chunks.extend(pieces(text).into_iter().map(|piece| delta(json!({name: piece}), Value::Null)));
    }
    for entry in choice["logprobs"]["content"].as_array().into_iter().flatten() {
        let mut part = delta(json!({}), Value::Null);
        part["choices"][0]["logprobs"] = json!({ "content": [entry] });
        chunks.push(part);
    }
    chunks.push(delta(json!({}), choice["finish_reason"].clone()));
    chunks
}

fn text_chunks(whole: &Value, choice: &Value) -> Vec<Value> {
    let part = |text: &str, logprobs: &Value, finish: &Value| {
        let part = json!({"index": choice["index"], "text": text, "logprobs": logprobs, "finish_reason": finish});
        chunk(whole, json!([part]), Value::Null)
    };
    let mut texts = pieces(choice["text"].as_str().unwrap_or_default());
    let last = texts.pop().unwrap_or_default();
    let mut chunks: Vec<Value> = texts.iter().map(|text| part(text, &Value::Null, &Value::Null)).collect();
    chunks.push(part(&last, &choice["logprobs"], &choice["finish_reason"]));
    chunks
}

fn chunk(whole: &Value, choices: Value, usage: Value) -> Value {
    let object = if whole["object"] == "text_completion" { "text_completion" } else { "chat.completion.chunk" };
    json!({
        "id": whole["id"], "object": object, "created": whole["created"], "model": whole["model"],
        "choices": choices, "usage": usage,
    })
}

fn message_events(whole: &Value) -> Vec<Bytes> {
    let mut start = whole.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    let mut events = vec![json!({"type": "message_start", "message": start}), json!({"type": "ping"})];
    for (index, block) in whole["content"].as_array().into_iter().flatten().enumerate() {
        let name = if block["type"] == "thinking" { "thinking" } else { "text" };
        let mut empty = block.clone();
        empty[name] = json!("");
        events.push(json!({"type": "content_block_start", "index": index, "content_block": empty}));
        let piece = |text: String| {
            let delta = json!({"type": format!("{name}_delta"), name: text});
            json!({"type": "content_block_delta", "index": index, "delta": delta})
        };
        events.extend(pieces(block[name].as_str().unwrap_or_default()).into_iter().map(piece));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let delta = json!({"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]});
    let usage = json!({"output_tokens": whole["usage"]["output_tokens"]});
    events.push(json!({"type": "message_delta", "delta": delta, "usage": usage}));
    events.push(json!({"type": "message_stop"}));
    let line = |event: Value| {
        let name = event["type"].as_str().unwrap_or_default();
        Bytes::from(format!("event: {name}\ndata: {event}\n\n"))
    };
    events.into_iter().map(line).collect()
}
