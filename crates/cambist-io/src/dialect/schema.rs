//! Whether an answer follows the schema that was asked for.

use serde_json::Value;

use super::answer::TeacherAnswer;
use crate::exchange::{Failure, FailureClass};

/// Returns the JSON of an answer that follows `schema`.
///
/// Understood are `type`, `enum`, `const`, `properties`, `required`, `additionalProperties: false`, `items`,
/// `minItems`, `maxItems`, `minimum` and `maximum`; other words of the schema are taken as kept.
///
/// # Errors
/// [`Content`](FailureClass::Content) with what was found and where.
pub fn follow_schema(schema: &Value, answer: &TeacherAnswer) -> Result<Value, Failure> {
    let refuse = |found: String| Failure::new(FailureClass::Content, found);
    let value: Value = serde_json::from_str(answer.text.trim())
        .map_err(|error| refuse(format!("the answer is no JSON, a schema was asked for: {error}")))?;
    fit(schema, &value, "").map_err(|found| refuse(format!("the answer does not follow its schema: {found}")))?;
    Ok(value)
}

fn fit(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let place = if at.is_empty() { "/" } else { at };
    let must = |holds: bool, wanted: &dyn Fn() -> String| {
        if holds { Ok(()) } else { Err(format!("expected {} at `{place}`", wanted())) }
    };
    if let Some(kind) = schema.get("type") {
        must(is_kind(kind, value), &|| kind.to_string())?;
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        must(choices.contains(value), &|| format!("one of {}", Value::from(choices.clone())))?;
    }
    if let Some(only) = schema.get("const") {
        must(only == value, &|| only.to_string())?;
    }
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    if let Some(number) = value.as_f64() {
        must(bound("minimum").is_none_or(|least| number >= least), &|| "a larger number".to_owned())?;
        must(bound("maximum").is_none_or(|most| number <= most), &|| "a smaller number".to_owned())?;
    }
    if let Some(list) = value.as_array() {
        must(bound("minItems").is_none_or(|least| list.len() as f64 >= least), &|| "more items".to_owned())?;
        must(bound("maxItems").is_none_or(|most| list.len() as f64 <= most), &|| "fewer items".to_owned())?;
        let items = schema.get("items").unwrap_or(&Value::Bool(true));
        return list.iter().enumerate().try_for_each(|(nth, item)| fit(items, item, &format!("{at}/{nth}")));
    }
    fit_members(schema, value, at)
}

fn fit_members(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Some(members) = value.as_object() else { return Ok(()) };
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if let Some(missing) = required.iter().filter_map(Value::as_str).find(|name| !members.contains_key(*name)) {
        return Err(format!("expected `{missing}` at `{at}/`"));
    }
    let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    for (name, member) in members {
        match schema.get("properties").and_then(|properties| properties.get(name)) {
            Some(inner) => fit(inner, member, &format!("{at}/{name}"))?,
            None if is_closed => return Err(format!("expected no `{name}` at `{at}/`")),
            None => {}
        }
    }
    Ok(())
}

fn is_kind(kind: &Value, value: &Value) -> bool {
    match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| is_kind(kind, value)),
        Value::String(kind) => match kind.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            _ => true,
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_that_follow_are_read_and_others_are_content_failures() {
        let schema = json!({"type": "object", "required": ["a"], "additionalProperties": false, "properties": {
            "a": {"type": "integer", "minimum": 1, "maximum": 5},
            "b": {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 1},
            "c": {"type": ["string", "null"]},
        }});
        for text in [r#"{"a": 1}"#, " {\"a\": 5, \"b\": [\"x\"], \"c\": null}\n", r#"{"a": 2.0, "c": "z"}"#] {
            assert_eq!(fit(&schema, &serde_json::from_str(text).unwrap(), ""), Ok(()), "{text}");
        }
        let rows = [
            (r#"{"b": ["x"]}"#, "expected `a` at `/`"),
            (r#"{"a": 1.5}"#, "expected \"integer\" at `/a`"),
            (r#"{"a": 6}"#, "expected a smaller number at `/a`"),
            (r#"{"a": 1, "b": []}"#, "expected more items at `/b`"),
            (r#"{"a": 1, "b": ["x", "z"]}"#, "expected one of [\"x\",\"y\"] at `/b/1`"),
            (r#"{"a": 1, "d": 1}"#, "expected no `d` at `/`"),
            ("[]", "expected \"object\" at `/`"),
        ];
        for (text, expected) in rows {
            assert_eq!(fit(&schema, &serde_json::from_str(text).unwrap(), ""), Err(expected.to_owned()), "{text}");
        }
    }
}
