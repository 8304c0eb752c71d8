//! Names made from contents.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest in lower-case hexadecimal, the name of an artifact, a call or a file's bytes.
///
/// Parts are hashed with their length in front (64-bit little-endian), so that `["ab", "c"]` and `["a", "bc"]` differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Returns the digest of the parts in their order.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self::from_bytes(&hasher.finalize())
    }

    /// Returns the plain SHA-256 of `bytes`, equal to what `sha256sum` prints.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::from_bytes(&Sha256::digest(bytes))
    }

    /// Wraps the 32 bytes of a finished SHA-256.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        // A million of these are made to plan a large step, so no iterator of characters.
        let mut hex = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
            hex.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        Self(hex)
    }

    /// Reads 64 lower-case hexadecimal digits; none when `digits` are anything else.
    pub fn parse(digits: &str) -> Option<Self> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (digits.len() == 64 && digits.bytes().all(is_hex)).then(|| Self(digits.to_owned()))
    }

    /// The whole digest, 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, enough to tell artifacts of one store apart on a screen.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_by_their_lengths() {
        let joined = Digest::of_parts([b"ab".as_slice(), b"c"]);
        assert_ne!(joined, Digest::of_parts([b"a".as_slice(), b"bc"]));
        assert_eq!(joined.as_str().len(), 64);
    }

    #[test]
    fn only_whole_lower_case_digests_are_read() {
        let digest = Digest::of_bytes(b"abc");
        assert_eq!(Digest::parse(digest.as_str()), Some(digest.clone()));
        for other in ["", digest.short(), &digest.as_str().to_uppercase(), &"g".repeat(64)] {
            assert_eq!(Digest::parse(other), None, "{other}");
        }
    }

    #[test]
    fn plain_digest_is_sha256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of_bytes(b"abc").as_str(), expected);
    }
}
