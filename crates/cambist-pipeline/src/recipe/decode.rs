//! From the YAML tree to typed parameters, with every fault at its own line and column.
//!
//! The types are plain serde structs with `deny_unknown_fields`. Serde stops at its first error; so what it complains of
//! is told, taken out of the tree, and the rest is read again until nothing is left to complain of.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{
    fault::{Fault, Place},
    node::{Content, Node},
};

/// Returns the typed value of `node`.
///
/// # Errors
/// All faults that can be told apart, at their places.
pub(super) fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, Vec<Fault>> {
    let mut complaints = Complaints { rest: node.clone(), faults: Vec::new(), removed: Vec::new() };
    loop {
        match serde_path_to_error::deserialize::<_, T>(complaints.rest.to_json()) {
            Ok(value) if complaints.faults.is_empty() => return Ok(value),
            Ok(_) => return Err(complaints.faults),
            Err(error) => {
                if !complaints.add(error.path(), &error.inner().to_string()) {
                    return Err(complaints.faults);
                }
            }
        }
    }
}

/// What serde said so far.
struct Complaints {
    /// The tree without what was complained of.
    rest: Node,
    faults: Vec<Fault>,
    /// What was taken out: where the mapping or list around it stands, and its key, empty in a list.
    removed: Vec<(Place, String)>,
}

/// One step from a node down to one of its parts.
#[derive(Clone, Copy)]
struct Down {
    /// Which entry or item.
    index: usize,
    /// Whether the step goes through the name of a variant, which cannot be taken out alone.
    is_variant: bool,
}

impl Complaints {
    /// Takes one complaint in; false when nothing is left that could be read again.
    fn add(&mut self, path: &serde_path_to_error::Path, message: &str) -> bool {
        let steps = self.steps(path);
        let node = at(&self.rest, &steps);
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
        let is_known = match missing {
            Some(name) => self.has_removed(node.place, name),
            None => message.starts_with("invalid length") && self.has_removed(node.place, ""),
        };
        if !is_known {
            let name = self.name(&steps);
            let key_place = self.key_place(&steps);
            self.faults.push(explain(message, node, (name.as_deref(), key_place)));
        }
        self.remove(steps).is_some()
    }

    /// The steps along serde's path, as far as the tree has them.
    fn steps(&self, path: &serde_path_to_error::Path) -> Vec<Down> {
        let (mut node, mut steps) = (&self.rest, Vec::new());
        for segment in path.iter() {
            let (index, is_variant) = match (segment, &node.content) {
                (Segment::Seq { index }, Content::Sequence(items)) if *index < items.len() => (*index, false),
                (Segment::Map { key }, Content::Mapping(entries)) => {
                    let Some(index) = entries.iter().position(|entry| entry.key == *key) else { break };
                    (index, false)
                }
                (Segment::Enum { variant }, Content::Mapping(entries)) => {
                    let Some(index) = entries.iter().position(|entry| entry.key == *variant) else { break };
                    (index, true)
                }
                _ => break,
            };
            steps.push(Down { index, is_variant });
            node = at(node, &steps[steps.len() - 1..]);
        }
        steps
    }

    fn has_removed(&self, around: Place, key: &str) -> bool {
        self.removed.iter().any(|(place, removed)| *place == around && removed == key)
    }

    /// The innermost key on the way.
    fn name(&self, steps: &[Down]) -> Option<String> {
        (0..steps.len()).rev().find_map(|last| match &at(&self.rest, &steps[..last]).content {
            Content::Mapping(entries) => entries.get(steps[last].index).map(|entry| entry.key.clone()),
            _ => None,
        })
    }

    fn key_place(&self, steps: &[Down]) -> Option<Place> {
        let (last, around) = steps.split_last()?;
        match &at(&self.rest, around).content {
            Content::Mapping(entries) => entries.get(last.index).map(|entry| entry.key_place),
            _ => None,
        }
    }

    /// Takes the innermost part out; none when that is the whole tree.
    fn remove(&mut self, mut steps: Vec<Down>) -> Option<()> {
        while steps.pop_if(|last| last.is_variant).is_some() {}
        let (last, around) = steps.split_last()?;
        let parent = around.iter().try_fold(&mut self.rest, |node, step| node.child_mut(step.index))?;
        let key = match &mut parent.content {
            Content::Mapping(entries) => entries.remove(last.index).key,
            Content::Sequence(items) => {
                items.remove(last.index);
                String::new()
            }
            Content::Scalar(_) => return None,
        };
        self.removed.push((parent.place, key));
        Some(())
    }
}

fn at<'a>(node: &'a Node, steps: &[Down]) -> &'a Node {
    steps.iter().fold(node, |node, step| node.child(step.index).unwrap_or(node))
}

/// Turns serde's words into ours; `name` is the key that it speaks of, at `key_place`.
fn explain(message: &str, node: &Node, (name, key_place): (Option<&str>, Option<Place>)) -> Fault {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return Fault::new(node.place, format!("the key `{name}` is missing"), format!("add `{name}: ...`"));
    }
    if message.starts_with("unknown field") {
        let (name, known) = quoted.split_first().unwrap_or((&"", &[]));
        return unknown(key_place.unwrap_or(node.place), ("key", name), known);
    }
    if message.starts_with("unknown variant") {
        let (name, known) = quoted.split_first().unwrap_or((&"", &[]));
        return unknown(node.find(name).unwrap_or(node.place), ("word", name), known);
    }
    let expected = message.rsplit_once(", expected ").filter(|_| message.starts_with("invalid ")).map(|(_, rest)| rest);
    let (what, remedy) = match expected {
        Some(expected) => {
            let (words, remedy) = in_words(expected, node);
            (format!("found {}, expected {words}", node.describe()), remedy)
        }
        None => (message.to_owned(), GUIDE.to_owned()),
    };
    let place = quoted.first().and_then(|word| node.find(word)).unwrap_or(node.place);
    Fault::new(place, name.map_or(what.clone(), |name| format!("`{name}`: {what}")), remedy)
}

const GUIDE: &str = "docs/guide/recipe.md says what may stand here";

/// What serde expected in words for people, and what to write.
fn in_words(expected: &str, node: &Node) -> (String, String) {
    let (words, remedy) = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => ("a whole number from 0", "write a whole number, such as 8"),
        "i32" | "i64" => ("a whole number", "write a whole number, such as 8"),
        "f32" | "f64" => ("a number", "write a number, such as 0.5"),
        "a boolean" => ("`true` or `false`", "write `true` or `false`"),
        "a string" | "path string" => match &node.content {
            Content::Scalar(Value::Null) => ("a text", "write a value behind the colon"),
            Content::Scalar(_) => ("a text", "put quotes around it"),
            _ => ("a text", "write one word or one quoted text"),
        },
        "a sequence" => ("a list", "write a list, such as `[a, b]`"),
        "a map" | "map" => ("a mapping", "write keys and values, such as `{key: value}`"),
        "map with a single key" | "string or map" => ("a word, or a mapping with one key", GUIDE),
        "unit" => ("nothing behind this word", "write the word alone"),
        "newtype variant" | "struct variant" | "tuple variant" => {
            ("a value behind this word", "write it as a mapping, such as `{single: best}`")
        }
        _ if expected.starts_with("struct ") => ("a mapping", "write keys and values, such as `{key: value}`"),
        _ if expected.starts_with("a tuple of size ") => {
            let n = expected.trim_start_matches("a tuple of size ");
            return (format!("a list of {n}"), format!("write {n} values in brackets"));
        }
        _ => return (expected.to_owned(), GUIDE.to_owned()),
    };
    (words.to_owned(), remedy.to_owned())
}

/// Returns the fault of a name that is not among the known ones, with the nearest one as the remedy.
pub(super) fn unknown(place: Place, (kind, name): (&str, &str), known: &[&str]) -> Fault {
    let list = known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let nearest = known.iter().map(|word| (strsim::damerau_levenshtein(word, name), word)).min();
    let remedy = match nearest {
        Some((distance, word)) if distance <= 1.max(word.chars().count() / 3) => {
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
        let mut seen: Vec<Place> = faults.iter().map(|f| f.place).collect();
        seen.sort();
        assert_eq!(seen, [(1, 7), (2, 1), (4, 3)].map(|(line, column)| Place::new(line, column)), "{faults:#?}");
        let told = |part: &str| faults.iter().any(|fault| fault.remedy.contains(part) || fault.what.contains(part));
        assert!(told("did you mean `inner`?") && told("`rate`"), "{faults:#?}");
        assert!(told("`size`: found the text `many`, expected a whole number from 0"), "{faults:#?}");
    }

    #[test]
    fn a_missing_key_is_named() {
        let node = Node::parse("inner: {}").unwrap();
        assert_eq!(decode::<Params>(&node).unwrap_err()[0].what, "the key `size` is missing");
    }
}
