//! Chats in the spellings of the field.

use cambist_core::prompt::{Message, Role};
use serde_json::Value;

/// What the fields of a chat may be called, for errors.
const EXPECTED: &str = "text, a list of `{role, content}` or `{from, value}`, or a list of texts";

/// Returns the turns that a value holds: a text is the user's turn, a list of objects is a chat (OpenAI's or
/// ShareGPT's spelling), of a list of texts only the first turn counts, since the next one depends on an answer that
/// nobody has given yet.
///
/// # Errors
/// What was expected instead.
pub fn read_chat(value: &Value) -> Result<Vec<Message>, String> {
    match value {
        Value::String(text) => Ok(read_text(text)),
        Value::Array(turns) => match turns.first() {
            Some(Value::String(first)) => Ok(vec![Message::user(first)]),
            _ => turns.iter().map(read_turn).collect(),
        },
        _ => Err(EXPECTED.to_owned()),
    }
}

/// CSV keeps a chat as JSON text.
fn read_text(text: &str) -> Vec<Message> {
    let as_list = |text: &str| serde_json::from_str::<Vec<Value>>(text).ok().filter(|turns| !turns.is_empty());
    let as_chat = |turns: Vec<Value>| turns.iter().map(read_turn).collect::<Result<_, _>>().ok();
    let chat = text.trim_start().starts_with('[').then(|| as_list(text).and_then(as_chat)).flatten();
    chat.unwrap_or_else(|| vec![Message::user(text)])
}

fn read_turn(turn: &Value) -> Result<Message, String> {
    let field = |names: [&str; 2]| names.into_iter().find_map(|name| turn.get(name).filter(|value| !value.is_null()));
    let speaker = field(["role", "from"]).and_then(Value::as_str).ok_or(EXPECTED)?;
    let role = read_role(speaker)
        .ok_or_else(|| format!("`{speaker}` to be one of `system`, `user`, `assistant`, `tool`, `human`, `gpt`"))?;
    let content = field(["content", "value"]).ok_or(EXPECTED)?;
    Ok(Message { role, content: read_content(content)? })
}

fn read_role(speaker: &str) -> Option<Role> {
    match speaker.trim().to_ascii_lowercase().as_str() {
        "system" | "developer" => Some(Role::System),
        "user" | "human" | "prompter" => Some(Role::User),
        "assistant" | "gpt" | "model" | "chatgpt" | "bot" | "bing" | "bard" => Some(Role::Assistant),
        "tool" | "function" | "function_response" | "observation" => Some(Role::Tool),
        _ => None,
    }
}

/// Content is text, or a list of parts of which all are text.
fn read_content(content: &Value) -> Result<String, String> {
    let part = |part: &Value| {
        let text = part.get("text").and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| "text parts only: images and sound are not read".to_owned())
    };
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts.iter().map(part).collect(),
        _ => Err(EXPECTED.to_owned()),
    }
}
