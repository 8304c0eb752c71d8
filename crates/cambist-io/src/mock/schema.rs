//! Values that fit simple JSON schemas.

use serde_json::{Map, Value, json};

use super::draw::Draw;

/// Returns a value that fits `schema`: `const`, `enum`, the first of `anyOf` or `oneOf`, objects with all their
/// properties, arrays of the least length or one item, and the simple types within their stated bounds.
pub(crate) fn instance(schema: &Value, draw: Draw) -> Value {
    nested(schema, draw, 0)
}

fn nested(schema: &Value, draw: Draw, depth: usize) -> Value {
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.get(draw.below(values.len())).cloned().unwrap_or(Value::Null);
    }
    let either = ["anyOf", "oneOf", "allOf"].iter().find_map(|name| schema[*name].as_array()?.first());
    if let Some(first) = either
        && depth < 16
    {
        return nested(first, draw, depth + 1);
    }
    match kind(schema) {
        "object" => object(schema, draw, depth),
        "array" => array(schema, draw, depth),
        "integer" => json!(number(schema, draw).round() as i64),
        "number" => json!((number(schema, draw) * 100.0).round() / 100.0),
        "boolean" => json!(draw.unit() < 0.5),
        "null" => Value::Null,
        _ => json!(format!("value {}", draw.below(1000))),
    }
}

fn kind(schema: &Value) -> &str {
    let named = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    named.unwrap_or(if schema["properties"].is_object() { "object" } else { "string" })
}

fn object(schema: &Value, draw: Draw, depth: usize) -> Value {
    let Some(properties) = schema["properties"].as_object().filter(|_| depth < 16) else { return json!({}) };
    let member = |(name, schema): (&String, &Value)| (name.clone(), nested(schema, draw.with_text(name), depth + 1));
    Value::Object(properties.iter().map(member).collect::<Map<_, _>>())
}

fn array(schema: &Value, draw: Draw, depth: usize) -> Value {
    let n = schema["minItems"].as_u64().unwrap_or(1).min(64);
    (0..n).filter(|_| depth < 16).map(|i| nested(&schema["items"], draw.with(i), depth + 1)).collect()
}

fn number(schema: &Value, draw: Draw) -> f64 {
    let least = schema["minimum"].as_f64().unwrap_or(0.0);
    let most = schema["maximum"].as_f64().unwrap_or(least + 10.0);
    least + draw.unit() * (most - least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_their_members() {
        let schema = json!({"type": "object", "properties": {
            "name": {"type": "string"}, "grade": {"type": "integer", "minimum": 1, "maximum": 5},
            "tags": {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2}, "ok": {"type": "boolean"},
            "share": {"type": "number", "minimum": 0, "maximum": 1}, "maybe": {"anyOf": [{"type": "null"}]}}});
        for seed in 0..20 {
            let value = instance(&schema, Draw::new(seed));
            assert!(value["name"].is_string() && value["ok"].is_boolean() && value["maybe"].is_null(), "{value}");
            assert!((1..=5).contains(&value["grade"].as_i64().unwrap()), "{value}");
            assert!((0.0..=1.0).contains(&value["share"].as_f64().unwrap()), "{value}");
            assert!(value["tags"].as_array().unwrap().iter().all(|tag| tag == "x" || tag == "y"), "{value}");
            assert_eq!(value["tags"].as_array().unwrap().len(), 2);
        }
    }
}
