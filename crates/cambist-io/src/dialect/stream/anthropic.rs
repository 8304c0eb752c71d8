//! Events of `/v1/messages`.

use serde_json::{Map, Value, json};

use super::{Broken, Event, data, status_of};

/// Returns the message that the events add up to.
pub(super) fn whole(events: &[Event<'_>]) -> Result<Value, Broken> {
    let mut message = Map::new();
    let mut blocks: Vec<Value> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let mut event = data(event, at + 1 == events.len())?;
        match event.get("type").and_then(Value::as_str).unwrap_or_default() {
            "message_start" => {
                if let Some(Value::Object(start)) = event.get_mut("message").map(Value::take) {
                    message = start;
                }
            }
            "content_block_start" => match event["content_block"].take() {
                block @ (Value::Object(_) | Value::Null) => blocks.push(block),
                other => return Err(Broken::Event(format!("expected a block, found `{other}`"))),
            },
            "content_block_delta" => {
                let place = event["index"].as_u64().and_then(|index| usize::try_from(index).ok());
                let block = place.and_then(|place| blocks.get_mut(place));
                let block = block.ok_or_else(|| Broken::Event("a piece belongs to no block".to_owned()))?;
                grow(block, &event["delta"]);
            }
            "message_delta" => {
                replace(&mut message, &event["delta"]);
                if let (Value::Object(usage), counts) = (message.entry("usage").or_insert(json!({})), &event["usage"]) {
                    replace(usage, counts);
                }
            }
            "message_stop" => {
                message.insert("content".to_owned(), blocks.into_iter().map(closed).collect());
                return Ok(Value::Object(message));
            }
            "error" => return Err(Broken::Error(status_of(&event["error"]), event)),
            _ => {}
        }
    }
    Err(Broken::Off)
}

fn grow(block: &mut Value, delta: &Value) {
    for name in ["text", "thinking", "partial_json", "signature"] {
        let Some(more) = delta.get(name).and_then(Value::as_str) else { continue };
        match block.get_mut(name) {
            Some(Value::String(text)) => text.push_str(more),
            _ => block[name] = json!(more),
        }
    }
}

/// A tool's input comes as pieces of JSON text.
fn closed(mut block: Value) -> Value {
    let pieces = block.as_object_mut().and_then(|members| members.shift_remove("partial_json"));
    if let Some(input) = pieces.as_ref().and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok()) {
        block["input"] = input;
    }
    block
}

fn replace(members: &mut Map<String, Value>, by: &Value) {
    for (name, value) in by.as_object().into_iter().flatten() {
        members.insert(name.clone(), value.clone());
    }
}
