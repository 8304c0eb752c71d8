//! One request as the mock server sees it, and what names it.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::draw::Draw;
use crate::dialect::identity::VOLATILE;

/// A request, read once.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The path without the query.
    pub(crate) path: String,
    /// The query, without its question mark.
    pub(crate) query: String,
    /// The body as it came.
    pub(crate) raw: Bytes,
    /// The body as JSON; null when there is none.
    pub(crate) body: Value,
    /// Names the cell: path, body without volatile members, sampling seed.
    pub(crate) cell: u64,
    /// Names the cell whatever the sampling seed.
    pub(crate) cell_without_seed: u64,
    /// Whether it only asks what the server can do.
    pub(crate) is_probe: bool,
}

impl Asked {
    /// Names a request.
    pub(crate) fn new(path: &str, query: &str, raw: Bytes, body: Value) -> Self {
        let named = Draw::new(0).with_text(path);
        let named = match &body {
            Value::Object(members) => named.with(lasting(members)),
            other => named.with_json(other),
        };
        let seed = seed_of(&body).map_or(0, |seed| seed.wrapping_add(1));
        Self {
            path: path.to_owned(),
            query: query.to_owned(),
            raw,
            cell: named.with(seed).bits(),
            cell_without_seed: named.bits(),
            is_probe: false,
            body,
        }
    }

    /// Says whether it only asks what the server can do.
    pub(crate) fn about_server(self, is_probe: bool) -> Self {
        Self { is_probe, ..self }
    }

    /// The model that is asked for; empty when none is named.
    pub(crate) fn model(&self) -> &str {
        self.text("model")
    }

    /// The text called `name`; empty when there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    /// Whether the member `name` is true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.body[name].as_bool().unwrap_or(false)
    }

    /// The number called `name`.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.body[name].as_u64()
    }

    /// Whether `text` stands in the body as it came, or in one of its texts.
    pub(crate) fn says(&self, text: &str) -> bool {
        contains(&self.body, text) || String::from_utf8_lossy(&self.raw).contains(text)
    }
}

fn contains(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found.contains(text),
        Value::Array(items) => items.iter().any(|item| contains(item, text)),
        Value::Object(members) => members.values().any(|member| contains(member, text)),
        _ => false,
    }
}

fn lasting(members: &Map<String, Value>) -> u64 {
    let is_lasting = |(name, _): &(&String, &Value)| !VOLATILE.contains(&name.as_str());
    let named = |(name, value): (&String, &Value)| {
        let draw = Draw::new(1).with_text(name);
        match value {
            Value::Object(inner) if is_sampling(name) => draw.with(lasting(inner)),
            other => draw.with_json(other),
        }
    };
    members.iter().filter(is_lasting).map(|member| named(member).bits()).fold(0, u64::wrapping_add)
}

fn is_sampling(name: &str) -> bool {
    matches!(name, "sampling_params" | "parameters")
}

fn seed_of(body: &Value) -> Option<u64> {
    let places = [&body["seed"], &body["sampling_params"]["seed"], &body["parameters"]["seed"]];
    places.into_iter().find_map(|place| place.as_u64().or_else(|| place.as_i64().map(i64::unsigned_abs)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(body: Value) -> Asked {
        Asked::new("/v1/chat/completions", "", Bytes::new(), body)
    }

    #[test]
    fn volatile_members_name_nothing() {
        let plain = asked(json!({"model": "m", "seed": 4}));
        let decked = asked(json!({"seed": 4, "stream": true, "n": 3, "user": "u", "model": "m"}));
        assert_eq!(plain.cell, decked.cell);
        assert_ne!(plain.cell, asked(json!({"model": "m", "seed": 5})).cell);
        assert_eq!(plain.cell_without_seed, asked(json!({"model": "m"})).cell_without_seed);
        assert_ne!(plain.cell, asked(json!({"model": "other", "seed": 4})).cell);
    }
}
