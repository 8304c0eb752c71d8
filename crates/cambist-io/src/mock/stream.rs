//! A chat reply as server-sent events that add up to it.

use bytes::Bytes;
use serde_json::{Value, json};

use super::tokens;

/// Tokens of each event.
pub(crate) const TOKENS_PER_EVENT: usize = 4;

/// Returns the events of a chat reply: for each choice its role, its reasoning, its text in pieces and its finish;
/// then the usage when asked for, and `[DONE]`.
pub(crate) fn events(whole: &Value, with_usage: bool) -> Vec<Bytes> {
    let choices = whole["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut chunks: Vec<Value> = choices.iter().flat_map(|choice| choice_chunks(whole, choice)).collect();
    if with_usage {
        chunks.push(chunk(whole, json!([]), whole["usage"].clone()));
    }
    let mut events: Vec<Bytes> = chunks.iter().map(|chunk| Bytes::from(format!("data: {chunk}\n\n"))).collect();
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn choice_chunks(whole: &Value, choice: &Value) -> Vec<Value> {
    let message = &choice["message"];
    let delta = |delta: Value, finish: Value| {
        chunk(whole, json!([{"index": choice["index"], "delta": delta, "finish_reason": finish}]), Value::Null)
    };
    let mut chunks = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
    for name in ["reasoning", "reasoning_content", "content"] {
        let text = message[name].as_str().unwrap_or_default();
        let pieces: Vec<&str> = tokens::pieces(text).collect();
        chunks.extend(pieces.chunks(TOKENS_PER_EVENT).map(|piece| delta(json!({name: piece.concat()}), Value::Null)));
    }
    chunks.push(delta(json!({}), choice["finish_reason"].clone()));
    chunks
}

fn chunk(whole: &Value, choices: Value, usage: Value) -> Value {
    json!({
        "id": whole["id"], "object": "chat.completion.chunk", "created": whole["created"], "model": whole["model"],
        "choices": choices, "usage": usage,
    })
}
