//! Chunks of `/v1/chat/completions` and `/v1/completions`.

use serde_json::{Map, Value, json};

use super::{Broken, Event, data, status_of};

/// What stands for the end.
const DONE: &[u8] = b"[DONE]";

/// A choice that grows.
#[derive(Default)]
struct Choice {
    index: u64,
    /// What stays: the finish, and whatever a server adds.
    members: Map<String, Value>,
    message: Option<Map<String, Value>>,
    is_finished: bool,
}

/// Returns the reply that the chunks add up to.
pub(super) fn whole(events: &[Event<'_>]) -> Result<Value, Broken> {
    let mut reply = Map::new();
    let mut choices: Vec<Choice> = Vec::new();
    let mut is_done = false;
    for (at, event) in events.iter().enumerate() {
        let (text, is_last) = (event.data.trim_ascii(), at + 1 == events.len());
        if text == DONE {
            is_done = true;
            break;
        }
        if is_last && DONE.starts_with(text) {
            return Err(Broken::Off);
        }
        let Value::Object(chunk) = data(event, is_last)? else {
            return Err(Broken::Event("an event is no JSON object".to_owned()));
        };
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(Broken::Error(status_of(error), Value::Object(chunk.clone())));
        }
        for (name, value) in chunk {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("choices", Value::Array(parts)) => parts.into_iter().for_each(|part| take(&mut choices, part)),
                ("object", _) => {}
                // The counts of the last chunk are those of all.
                ("usage", usage) => drop(reply.insert("usage".to_owned(), usage)),
                (_, value) => drop(reply.entry(name).or_insert(value)),
            }
        }
    }
    if !is_done {
        return Err(Broken::Off);
    }
    reply.insert("choices".to_owned(), choices.into_iter().map(Choice::into_value).collect());
    Ok(Value::Object(reply))
}

/// Adds a part to the choice that it belongs to, or begins one: after a finish, another beginning under the same index
/// is another choice, as in plain replies.
fn take(choices: &mut Vec<Choice>, part: Value) {
    let Value::Object(part) = part else { return };
    let index = part.get("index").and_then(Value::as_u64).unwrap_or(0);
    let says = |pointer: &str| part.get("delta").unwrap_or(&Value::Null).get(pointer).is_some_and(|v| !v.is_null());
    let is_beginning = says("role") || part.get("text").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let known = choices.iter().rposition(|choice| choice.index == index);
    let place = match known.filter(|&at| !(choices[at].is_finished && is_beginning)) {
        Some(at) => at,
        None => {
            choices.push(Choice { index, ..Choice::default() });
            choices.len() - 1
        }
    };
    choices[place].grow(part);
}

impl Choice {
    fn grow(&mut self, part: Map<String, Value>) {
        for (name, value) in part {
            match (name.as_str(), value) {
                ("index", _) | (_, Value::Null) => {}
                ("delta", Value::Object(delta)) => add(self.message.get_or_insert_default(), delta),
                ("finish_reason", reason) => {
                    self.is_finished = true;
                    self.members.insert(name, reason);
                }
                (_, value) => add(&mut self.members, Map::from_iter([(name, value)])),
            }
        }
    }

    fn into_value(self) -> Value {
        let mut choice = Map::from_iter([("index".to_owned(), json!(self.index))]);
        if let Some(mut message) = self.message {
            message.entry("content").or_insert(Value::Null);
            choice.insert("message".to_owned(), Value::Object(message));
        }
        choice.extend(self.members);
        Value::Object(choice)
    }
}

/// Adds a piece: texts and lists grow, members of objects are added one by one, anything else is replaced. Names stay
/// what they are: servers repeat them.
fn add(to: &mut Map<String, Value>, piece: Map<String, Value>) {
    const NAMES: [&str; 4] = ["role", "id", "type", "name"];
    for (name, value) in piece {
        let is_name = NAMES.contains(&name.as_str());
        match (to.get_mut(&name), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(more)) if !is_name => text.push_str(&more),
            (Some(Value::Array(list)), Value::Array(more)) if name == "tool_calls" => {
                more.into_iter().for_each(|call| add_call(list, call));
            }
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (Some(Value::Object(members)), Value::Object(more)) => add(members, more),
            (None, Value::Array(more)) if name == "tool_calls" => {
                let mut list = Vec::new();
                more.into_iter().for_each(|call| add_call(&mut list, call));
                to.insert(name, Value::Array(list));
            }
            (_, value) => drop(to.insert(name, value)),
        }
    }
}

/// Adds a piece of a tool's call to the call with its index.
fn add_call(calls: &mut Vec<Value>, piece: Value) {
    let index = piece.get("index").and_then(Value::as_u64);
    let known = calls.iter_mut().find(|call| index.is_some() && call.get("index").and_then(Value::as_u64) == index);
    match (known, piece) {
        (Some(Value::Object(call)), Value::Object(piece)) => add(call, piece),
        (_, piece) => calls.push(piece),
    }
}
