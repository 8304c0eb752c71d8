//! Addresses on the Hub.

use super::RemoteError;

/// What kind of repository it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubKind {
    /// `hf://OWNER/NAME/...`
    Model,
    /// `hf://datasets/OWNER/NAME/...`
    Dataset,
}

impl HubKind {
    /// The word in the Hub's paths and in the cache.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// A file, a folder or a pattern in a repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubAddress {
    /// What kind of repository.
    pub kind: HubKind,
    /// `OWNER/NAME`.
    pub repository: String,
    /// A branch, a tag or a commit; `main` when the address names none.
    pub revision: String,
    /// The path inside; empty for the whole repository.
    pub path: String,
}

const EXPECTED: &str = "`hf://datasets/OWNER/NAME[@REVISION]/PATH` or `hf://OWNER/NAME[@REVISION]/PATH`";

impl HubAddress {
    /// Reads an address as the `huggingface_hub` package writes it; `/` in a revision is written `%2F`.
    ///
    /// # Errors
    /// [`RemoteError::Address`] when owner or name is missing or has letters that no repository has.
    pub fn parse(address: &str) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Address { address: address.to_owned(), expected: EXPECTED };
        let rest = address.strip_prefix("hf://").ok_or_else(wrong)?;
        let (kind, rest) = match (rest.strip_prefix("datasets/"), rest.strip_prefix("models/")) {
            (Some(rest), _) => (HubKind::Dataset, rest),
            (None, models) => (HubKind::Model, models.unwrap_or(rest)),
        };
        let mut parts = rest.splitn(3, '/');
        let (owner, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
        let path = parts.next().unwrap_or_default().trim_matches('/').to_owned();
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let revision = revision.replace("%2F", "/").replace("%2f", "/");
        if !is_name(owner) || !is_name(name) || !is_revision(&revision) || !is_inside(&path) {
            return Err(wrong());
        }
        Ok(Self { kind, repository: format!("{owner}/{name}"), revision, path })
    }

    /// The repository's folder in the cache.
    pub(super) fn folder_name(&self) -> String {
        format!("{}--{}", self.kind.plural(), self.repository.replace('/', "--"))
    }
}

fn is_revision(revision: &str) -> bool {
    is_inside(revision) && !revision.is_empty() && !revision.contains(['?', '#', '%', ' '])
}

/// Whether a path stays below where it starts.
pub(super) fn is_inside(path: &str) -> bool {
    let is_plain =
        |part: &str| !matches!(part, "" | "." | "..") && !part.contains(|c: char| c == '\\' || c.is_control());
    path.is_empty() || path.split('/').all(is_plain)
}

/// Returns a path as it stands in a URL.
pub(super) fn encode(path: &str) -> String {
    let mut encoded = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let address =
            HubAddress::parse("hf://datasets/owner/some.name@refs%2Fconvert%2Fparquet/data/*.parquet").unwrap();
        assert_eq!((address.kind, address.repository.as_str()), (HubKind::Dataset, "owner/some.name"));
        assert_eq!((address.revision.as_str(), address.path.as_str()), ("refs/convert/parquet", "data/*.parquet"));
        assert_eq!(address.folder_name(), "datasets--owner--some.name");
        let model = HubAddress::parse("hf://owner/name/a file.jsonl").unwrap();
        assert_eq!(
            (model.kind, model.revision.as_str(), model.path.as_str()),
            (HubKind::Model, "main", "a file.jsonl")
        );
        assert_eq!(encode("a file/ü.jsonl"), "a%20file/%C3%BC.jsonl");
    }

    #[test]
    fn what_leaves_the_repository_is_refused() {
        for address in
            ["hf://", "hf://owner", "hf://a b/c/d", "hf://o/n/../x", "hf://o/n@/x", "hf://o/n/a//b", "hf://datasets/o"]
        {
            assert!(HubAddress::parse(address).is_err(), "{address}");
        }
    }
}
