//! From the YAML tree to typed parameters, with every fault at its own line and column.
//!
//! The types are plain serde structs with `deny_unknown_fields`. Serde stops at its first error and knows no places;
//! so each key of a mapping is tried alone, and the faults that come back are pinned to that key, or deeper inside it to
//! the name that serde's message quotes.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    fault::{Fault, Place},
    node::{Content, Entry, Node},
};

/// Returns the typed value of `node`.
///
/// # Errors
/// All faults that can be told apart, at their places.
pub(super) fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, Vec<Fault>> {
    let whole = match serde_json::from_value::<T>(node.to_json()) {
        Ok(value) => return Ok(value),
        Err(error) => error.to_string(),
    };
    let Content::Mapping(entries) = &node.content else { return Err(vec![explain(&whole, node, node.place)]) };
    let mut faults: Vec<Fault> = entries.iter().filter_map(fault_of_entry::<T>).collect();
    if faults.is_empty() || whole.contains("missing field") {
        faults.push(explain(&whole, node, node.place));
    }
    Err(faults)
}

fn fault_of_entry<T: DeserializeOwned>(entry: &Entry) -> Option<Fault> {
    let alone = Value::Object(Map::from_iter([(entry.key.clone(), entry.value.to_json())]));
    let message = serde_json::from_value::<T>(alone).err()?.to_string();
    if message.starts_with("missing field") {
        return None;
    }
    if message.starts_with(&format!("unknown field `{}`", entry.key)) {
        return Some(explain(&message, &entry.value, entry.key_place));
    }
    let mut fault = explain(&message, &entry.value, entry.value.place);
    fault.what = format!("`{}`: {}", entry.key, fault.what);
    Some(fault)
}

fn explain(message: &str, node: &Node, place: Place) -> Fault {
    let message = message.trim_end_matches(" at line 0 column 0");
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let place = quoted.first().and_then(|name| node.find(name)).unwrap_or(place);
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return Fault::new(place, format!("the key `{name}` is missing"), format!("add `{name}: ...`"));
    }
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let (name, known) = quoted.split_first().unwrap_or((&"", &[]));
        let kind = if message.starts_with("unknown field") { "key" } else { "word" };
        return unknown(place, (kind, name), known);
    }
    Fault::new(place, format!("found {}: {message}", node.describe()), "see the user guide for what may stand here")
}

/// Returns the fault of a name that is not among the known ones, with the nearest one as the remedy.
pub(super) fn unknown(place: Place, (kind, name): (&str, &str), known: &[&str]) -> Fault {
    let list = known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let nearest = known.iter().map(|word| (strsim::damerau_levenshtein(word, name), word)).min();
    let remedy = match nearest {
        Some((distance, word)) if distance <= 2.max(word.len() / 3) => {
            format!("did you mean `{word}`? known here: {list}")
        }
        _ if known.is_empty() => "remove it".to_owned(),
        _ => format!("known here: {list}"),
    };
    Fault::new(place, format!("unknown {kind} `{name}`"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Params {
        #[expect(dead_code, reason = "only its decoding is looked at")]
        size: usize,
        #[serde(default)]
        #[expect(dead_code, reason = "only its decoding is looked at")]
        inner: Inner,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        rate: f64,
    }

    #[test]
    fn every_fault_comes_with_its_place_and_remedy() {
        let node = Node::parse("size: many\niner: 3\ninner:\n  rat: 2\n").unwrap();
        let faults = decode::<Params>(&node).unwrap_err();
        let seen: Vec<(usize, usize)> = faults.iter().map(|f| (f.place.line, f.place.column)).collect();
        assert_eq!(seen, [(1, 7), (2, 1), (4, 3)], "{faults:#?}");
        assert!(faults[1].remedy.starts_with("did you mean `inner`?"), "{faults:#?}");
        assert!(faults[2].remedy.contains("`rate`"), "{faults:#?}");
    }

    #[test]
    fn a_missing_key_is_named() {
        let node = Node::parse("inner: {}").unwrap();
        assert_eq!(decode::<Params>(&node).unwrap_err()[0].what, "the key `size` is missing");
    }
}
