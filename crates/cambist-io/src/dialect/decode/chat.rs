//! Replies that are turns of a chat.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{RawAnswer, TeacherAnswerParts, at, logprobs, text_at, usage};
use crate::dialect::answer::Mark;

/// Reads `choices[].message`.
pub(super) fn openai(body: &Value) -> Result<Vec<RawAnswer>, String> {
    choices(body)?.into_iter().map(|(choice, marks)| openai_choice(body, choice, marks)).collect()
}

/// Returns the choices by index, or as they came and marked where two have the same index.
pub(super) fn choices(body: &Value) -> Result<Vec<(&Value, Vec<Mark>)>, String> {
    let list = body.get("choices").and_then(Value::as_array).ok_or("expected `choices`")?;
    if list.is_empty() {
        return Err("`choices` is empty".to_owned());
    }
    if let [choice] = list.as_slice() {
        return Ok(vec![(choice, Vec::new())]);
    }
    let index = |(at, choice): (usize, &Value)| choice.get("index").and_then(Value::as_u64).unwrap_or(at as u64);
    let indices: Vec<u64> = list.iter().enumerate().map(index).collect();
    let distinct: BTreeSet<u64> = indices.iter().copied().collect();
    if distinct.len() < list.len() {
        return Ok(list.iter().map(|choice| (choice, vec![Mark::DuplicateIndex])).collect());
    }
    let mut ordered: Vec<(u64, &Value)> = indices.into_iter().zip(list).collect();
    ordered.sort_by_key(|(index, _)| *index);
    Ok(ordered.into_iter().map(|(_, choice)| (choice, Vec::new())).collect())
}

fn openai_choice(body: &Value, choice: &Value, marks: Vec<Mark>) -> Result<RawAnswer, String> {
    let message =
        choice.get("message").filter(|message| message.is_object()).ok_or("expected `message` in a choice")?;
    let (content, thought) = match message.get("content") {
        None | Some(Value::Null) => (None, None),
        Some(Value::String(text)) => (Some(text.clone()), None),
        Some(Value::Array(parts)) => blocks(parts),
        Some(other) => return Err(format!("expected `content` to be text, found {other}")),
    };
    let refusal = text_at(message, "/refusal").filter(|_| content.as_deref().is_none_or(str::is_empty));
    let reasoning = text_at(message, "/reasoning").or_else(|| text_at(message, "/reasoning_content")).or(thought);
    let calls = message.get("tool_calls").filter(|calls| calls.as_array().is_some_and(|calls| !calls.is_empty()));
    Ok(RawAnswer {
        is_refusal: refusal.is_some(),
        content: refusal.or(content),
        reasoning,
        finish: text_at(choice, "/finish_reason"),
        answer: TeacherAnswerParts {
            tool_calls: calls.or_else(|| message.get("function_call").filter(|call| call.is_object())).cloned(),
            usage: usage::openai(body),
            logprobs: logprobs::entries(at(choice, "/logprobs/content")),
            model_reported: text_at(body, "/model"),
            request_id: text_at(body, "/id"),
            marks,
        },
    })
}

/// Reads the blocks of Anthropic's `content`.
pub(super) fn anthropic(body: &Value) -> Result<Vec<RawAnswer>, String> {
    let list = body.get("content").and_then(Value::as_array).ok_or("expected `content` with blocks")?;
    let (content, reasoning) = blocks(list);
    let of_type = |name: &str| -> Vec<Value> {
        list.iter().filter(|block| block.get("type").and_then(Value::as_str) == Some(name)).cloned().collect()
    };
    let calls = of_type("tool_use");
    Ok(vec![RawAnswer {
        content,
        reasoning,
        finish: text_at(body, "/stop_reason"),
        is_refusal: false,
        answer: TeacherAnswerParts {
            tool_calls: (!calls.is_empty()).then_some(Value::Array(calls)),
            usage: usage::anthropic(body),
            logprobs: None,
            model_reported: text_at(body, "/model"),
            request_id: text_at(body, "/id"),
            marks: Vec::new(),
        },
    }])
}

/// Reads `message.content[]` of Cohere, whose reply names no model.
pub(super) fn cohere(body: &Value) -> Result<Vec<RawAnswer>, String> {
    let message = body.get("message").filter(|message| message.is_object()).ok_or("expected `message`")?;
    let (content, reasoning) = match message.get("content") {
        Some(Value::Array(parts)) => blocks(parts),
        Some(Value::String(text)) => (Some(text.clone()), None),
        None | Some(Value::Null) => (None, None),
        Some(other) => return Err(format!("expected `content` with blocks, found {other}")),
    };
    let calls = message.get("tool_calls").filter(|calls| calls.as_array().is_some_and(|calls| !calls.is_empty()));
    Ok(vec![RawAnswer {
        content,
        reasoning,
        finish: text_at(body, "/finish_reason"),
        is_refusal: false,
        answer: TeacherAnswerParts {
            tool_calls: calls.cloned(),
            usage: usage::cohere(body),
            logprobs: None,
            model_reported: None,
            request_id: text_at(body, "/id"),
            marks: Vec::new(),
        },
    }])
}

/// Joins blocks by their type: the answer's text, and thinking.
fn blocks(parts: &[Value]) -> (Option<String>, Option<String>) {
    let mut text = String::new();
    let mut thought = String::new();
    for part in parts {
        match part.get("type").and_then(Value::as_str) {
            Some("thinking" | "reasoning") => thought.push_str(&thinking_text(part.get("thinking"))),
            _ => text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default()),
        }
    }
    (Some(text), Some(thought).filter(|thought| !thought.is_empty()))
}

/// Thinking is text, or a list of blocks with text.
fn thinking_text(thinking: Option<&Value>) -> String {
    match thinking {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}
