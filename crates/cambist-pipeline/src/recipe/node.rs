//! YAML with its places: a tree in which every key and value knows its line and column.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Number, Value};

use super::fault::{Fault, Place};

/// A value of the recipe and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where the value begins.
    pub place: Place,
    /// The value.
    pub content: Content,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Null, a truth value, a number or a string.
    Scalar(Value),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys in the order of the file.
    Mapping(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_place: Place,
    /// The value.
    pub value: Node,
}

impl Node {
    /// Parses one YAML document.
    ///
    /// # Errors
    /// A fault for what is no YAML, for a second document and for keys that are not plain words.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut documents = MarkedYaml::load_from_str(text).map_err(|error| {
            Fault::new(
                Place::new(error.marker().line(), error.marker().col() + 1),
                format!("this is no YAML: {}", error.info()),
                "check indentation, quotes and brackets at this place",
            )
        })?;
        if documents.len() > 1 {
            return Err(Fault::new(
                Place::START,
                format!("found {} YAML documents, expected one", documents.len()),
                "remove the `---` lines between them",
            ));
        }
        match documents.pop() {
            Some(document) => convert(&document),
            None => Err(Fault::new(Place::START, "the recipe is empty", "`cambist init` writes one to start from")),
        }
    }

    /// The value under `key` when this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry under `key` when this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Where `word` stands first inside this value, as a key or as a text.
    pub fn find(&self, word: &str) -> Option<Place> {
        match &self.content {
            Content::Scalar(value) => (value == word).then_some(self.place),
            Content::Sequence(nodes) => nodes.iter().find_map(|inner| inner.find(word)),
            Content::Mapping(entries) => entries
                .iter()
                .find_map(|entry| if entry.key == word { Some(entry.key_place) } else { entry.value.find(word) }),
        }
    }

    /// The item, or the value of the entry, at `index`.
    pub(super) fn child(&self, index: usize) -> Option<&Node> {
        match &self.content {
            Content::Sequence(nodes) => nodes.get(index),
            Content::Mapping(entries) => entries.get(index).map(|entry| &entry.value),
            Content::Scalar(_) => None,
        }
    }

    /// As [`Node::child`], to change it.
    pub(super) fn child_mut(&mut self, index: usize) -> Option<&mut Node> {
        match &mut self.content {
            Content::Sequence(nodes) => nodes.get_mut(index),
            Content::Mapping(entries) => entries.get_mut(index).map(|entry| &mut entry.value),
            Content::Scalar(_) => None,
        }
    }

    /// Puts this value and all inside it at one place.
    pub(super) fn move_to(&mut self, place: Place) {
        self.place = place;
        match &mut self.content {
            Content::Scalar(_) => {}
            Content::Sequence(nodes) => nodes.iter_mut().for_each(|inner| inner.move_to(place)),
            Content::Mapping(entries) => entries.iter_mut().for_each(|entry| {
                entry.key_place = place;
                entry.value.move_to(place);
            }),
        }
    }

    /// The value without its places.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::Sequence(nodes) => Value::Array(nodes.iter().map(Self::to_json).collect()),
            Content::Mapping(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// What kind of value this is, in the words of an error message.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Scalar(Value::String(text)) => format!("the text `{text}`"),
            Content::Scalar(Value::Null) => "nothing".into(),
            Content::Scalar(value) => format!("`{value}`"),
            Content::Sequence(_) => "a list".into(),
            Content::Mapping(_) => "a mapping".into(),
        }
    }
}

fn convert(node: &MarkedYaml<'_>) -> Result<Node, Fault> {
    let place = Place::new(node.span.start.line(), node.span.start.col() + 1);
    let content = match &node.data {
        YamlData::Value(scalar) => Content::Scalar(scalar_value(scalar)),
        YamlData::Sequence(nodes) => Content::Sequence(nodes.iter().map(convert).collect::<Result<_, _>>()?),
        YamlData::Mapping(entries) => {
            Content::Mapping(entries.iter().map(|(key, value)| convert_entry(key, value)).collect::<Result<_, _>>()?)
        }
        YamlData::Tagged(tag, _) => {
            let what = format!("the tag `{tag}` has no meaning here");
            return Err(Fault::new(place, what, "write the plain value"));
        }
        YamlData::Representation(..) | YamlData::Alias(_) | YamlData::BadValue => {
            return Err(Fault::new(place, "this value cannot be read", "write it out plainly, without aliases"));
        }
    };
    Ok(Node { place, content })
}

fn convert_entry(key: &MarkedYaml<'_>, value: &MarkedYaml<'_>) -> Result<Entry, Fault> {
    let key_place = Place::new(key.span.start.line(), key.span.start.col() + 1);
    let YamlData::Value(scalar) = &key.data else {
        return Err(Fault::new(key_place, "a list or mapping stands as a key", "use a word as the key"));
    };
    let key = match scalar_value(scalar) {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(Entry { key, key_place, value: convert(value)? })
}

fn scalar_value(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(truth) => Value::Bool(*truth),
        Scalar::Integer(number) => Value::Number((*number).into()),
        Scalar::FloatingPoint(number) => {
            Number::from_f64(number.0).map_or_else(|| Value::String(number.0.to_string()), Value::Number)
        }
        Scalar::String(text) => Value::String(text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_know_their_places() {
        let node = Node::parse("name: x\nsteps:\n  - id: a\n    prompts: {source: y}\n").unwrap();
        let Content::Sequence(steps) = &node.get("steps").unwrap().content else { panic!("a list") };
        let prompts = steps[0].entry("prompts").unwrap();
        assert_eq!(prompts.key_place, Place::new(4, 5));
        assert_eq!(prompts.value.get("source").unwrap().place, Place::new(4, 23));
    }

    #[test]
    fn norwegian_is_a_word() {
        let node = Node::parse("languages: [no, en]").unwrap();
        assert_eq!(node.to_json()["languages"][0], "no");
    }

    #[test]
    fn faults_name_their_line() {
        for (text, line) in [("a: [1, 2\nb: 3", 2), ("a: 1\na: 2", 2), ("a: 'x\n", 2)] {
            let fault = Node::parse(text).unwrap_err();
            assert!(fault.place < Place::new(line + 2, 1), "{text:?}: {fault:?}");
        }
        assert!(Node::parse("").unwrap_err().what.contains("empty"));
        assert!(Node::parse("a: 1\n---\nb: 2").unwrap_err().what.contains("2 YAML documents"));
    }
}
