//! How one step names what an earlier one made.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, SeqAccess, Visitor},
};

/// A name of what an earlier step made: `step`, or `step.part` for one split, one strategy or one run of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    /// The step's id.
    pub step: String,
    /// A split of `prompts`, a strategy of `select`, a variant of `train`; none for all of it.
    pub part: Option<String>,
}

impl Reference {
    /// Whether a part called `name` is meant; `reward` means `reward.seed-1` too.
    pub fn covers(&self, name: &str) -> bool {
        match &self.part {
            None => true,
            Some(part) => name == part || name.strip_prefix(part.as_str()).is_some_and(|rest| rest.starts_with('.')),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            None => f.write_str(&self.step),
            Some(part) => write!(f, "{}.{part}", self.step),
        }
    }
}

impl TryFrom<String> for Reference {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (step, part) = match text.split_once('.') {
            Some((step, part)) => (step, Some(part)),
            None => (text.as_str(), None),
        };
        if step.is_empty() || part.is_some_and(str::is_empty) {
            return Err(format!("`{text}` names no step: expected `step` or `step.part`"));
        }
        Ok(Self { step: step.to_owned(), part: part.map(str::to_owned) })
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// What several earlier steps made: one name, or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References(pub Vec<Reference>);

impl<'de> Deserialize<'de> for References {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferencesReader)
    }
}

struct ReferencesReader;

impl<'de> Visitor<'de> for ReferencesReader {
    type Value = References;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a step or a list of ids")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<References, E> {
        Ok(References(vec![Reference::try_from(name.to_owned()).map_err(E::custom)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<References, A::Error> {
        let mut references = Vec::new();
        while let Some(reference) = names.next_element()? {
            references.push(reference);
        }
        Ok(References(references))
    }
}
