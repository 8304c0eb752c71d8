//! What an artifact is named by.

use std::{fmt, str::FromStr};

use cambist_core::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::canonical_json;

/// The name of an artifact: the verb that makes it and the digest of all that decides its contents.
///
/// Shown, and used as the folder's name, with the first twelve digits; stored with all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArtifactId {
    /// The verb, in lower-case letters.
    pub verb: String,
    /// The digest of the [`Identity`].
    pub digest: Digest,
}

/// What was given is no whole name of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no artifact name: expected a verb, `-` and 64 hexadecimal digits")]
pub struct ArtifactIdError(pub String);

impl ArtifactId {
    /// The name with the whole digest.
    pub fn full(&self) -> String {
        format!("{}-{}", self.verb, self.digest)
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.verb, self.digest.short())
    }
}

impl FromStr for ArtifactId {
    type Err = ArtifactIdError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let refused = || ArtifactIdError(name.to_owned());
        let (verb, digits) = name.rsplit_once('-').ok_or_else(refused)?;
        let is_verb = !verb.is_empty() && verb.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let digest = Digest::parse(digits).filter(|_| is_verb).ok_or_else(refused)?;
        Ok(Self { verb: verb.to_owned(), digest })
    }
}

impl TryFrom<String> for ArtifactId {
    type Error = ArtifactIdError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<ArtifactId> for String {
    fn from(id: ArtifactId) -> Self {
        id.full()
    }
}

/// One artifact that goes into another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its role, for example `prompts` or `model.0`.
    pub name: String,
    /// Which one.
    pub id: ArtifactId,
}

/// All that decides the contents of an artifact. Threads, retries and devices do not, and have no place here.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The verb, in lower-case letters.
    pub verb: String,
    /// Raised when the same parameters start to mean something else.
    pub revision: u32,
    /// The typed parameters as JSON; the order of keys does not matter.
    pub params: Value,
    /// What goes in, in an order that matters.
    pub inputs: Vec<Input>,
    /// Where all random numbers come from.
    pub seed: u64,
}

impl Identity {
    /// Returns the name that these make.
    pub fn id(&self) -> ArtifactId {
        let numbers = [self.revision.to_string(), self.seed.to_string()];
        let params = canonical_json(&self.params);
        let mut parts = vec!["cambist artifact", &self.verb, &numbers[0], &numbers[1], &params];
        for input in &self.inputs {
            parts.extend([input.name.as_str(), &input.id.verb, input.id.digest.as_str()]);
        }
        let digest = Digest::of_parts(parts.into_iter().map(str::as_bytes));
        ArtifactId { verb: self.verb.clone(), digest }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity() -> Identity {
        Identity {
            verb: "select".into(),
            revision: 1,
            params: json!({"a": 1, "b": {"c": 2.5, "d": null}}),
            inputs: vec![],
            seed: 7,
        }
    }

    #[test]
    fn the_order_of_keys_does_not_matter_and_everything_else_does() {
        let id = identity().id();
        let reordered = Identity { params: json!({"b": {"d": null, "c": 2.5}, "a": 1}), ..identity() };
        assert_eq!(reordered.id(), id);
        let input = Input { name: "from".into(), id: id.clone() };
        let others = [
            Identity { verb: "score".into(), ..identity() },
            Identity { revision: 2, ..identity() },
            Identity { params: json!({"a": 1.0, "b": {"c": 2.5, "d": null}}), ..identity() },
            Identity { seed: 8, ..identity() },
            Identity { inputs: vec![input.clone()], ..identity() },
            Identity { inputs: vec![Input { name: "to".into(), ..input }], ..identity() },
        ];
        let mut names: Vec<String> = others.iter().map(|other| other.id().full()).chain([id.full()]).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), others.len() + 1);
    }

    #[test]
    fn whole_names_are_read_and_others_refused() {
        let id = identity().id();
        assert_eq!(id.full().parse(), Ok(id.clone()));
        for name in ["", "select", "select-", &id.to_string(), &id.full().to_uppercase(), &format!("-{}", id.digest)] {
            assert_eq!(name.parse::<ArtifactId>(), Err(ArtifactIdError(name.to_owned())));
        }
    }
}
