//! Names made from contents.

mod lanes;

use std::fmt;

use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};

/// A SHA-256 digest in lower-case hexadecimal, the name of an artifact, a call or a file's bytes.
///
/// Parts are hashed with their length in front (64-bit little-endian), so that `["ab", "c"]` and `["a", "bc"]` differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Returns the digest of the parts in their order.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut pieces = Pieces::default();
        for part in parts {
            pieces.push(&(part.len() as u64).to_le_bytes());
            pieces.push(part);
        }
        pieces.digest()
    }

    /// Returns the plain SHA-256 of `bytes`, equal to what `sha256sum` prints.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::from_bytes(digest(&SHA256, bytes).as_ref())
    }

    /// Returns [`Digest::of_bytes`] of each message, in their order: many are hashed side by side where that is faster.
    pub fn of_each(messages: &[&[u8]]) -> Vec<Self> {
        if messages.len() < FEW || !lanes::pay_off() {
            return messages.iter().map(|message| Self::of_bytes(message)).collect();
        }
        lanes::hash(messages).iter().map(|hash| Self::from_bytes(hash)).collect()
    }

    /// Wraps the 32 bytes of a finished SHA-256.
    fn from_bytes(bytes: &[u8]) -> Self {
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

/// Messages that leave so many lanes empty that they are hashed one after the other.
const FEW: usize = 6;

/// Writes a part as [`Digest::of_parts`] hashes it, behind what is in `into`: the length of what `write` adds, and that.
pub fn put_part(into: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend_from_slice(&[0; 8]);
    write(into);
    let length = (into.len() - start - 8) as u64;
    into[start..start + 8].copy_from_slice(&length.to_le_bytes());
}

/// Bytes that come piece by piece and are hashed as they come: where they are parted does not matter.
#[derive(Clone)]
pub struct Pieces(Context);

impl Default for Pieces {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Pieces {
    /// Adds the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Returns the digest of all pieces, that of [`Digest::of_bytes`] of them joined.
    pub fn digest(self) -> Digest {
        Digest::from_bytes(self.0.finish().as_ref())
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
    fn parts_that_are_written_are_those_that_are_hashed() {
        let parts = [b"ab".as_slice(), b"", b"c"];
        let mut written = Vec::new();
        parts.iter().for_each(|part| put_part(&mut written, |into| into.extend_from_slice(part)));
        assert_eq!(Digest::of_bytes(&written), Digest::of_parts(parts));
    }

    #[test]
    fn many_are_hashed_as_each_of_them_is() {
        let messages: Vec<Vec<u8>> = (0..40u8).map(|number| vec![number; 37 * usize::from(number)]).collect();
        for n in [0, 1, FEW, messages.len()] {
            let borrowed: Vec<&[u8]> = messages[..n].iter().map(Vec::as_slice).collect();
            let each: Vec<Digest> = borrowed.iter().map(|message| Digest::of_bytes(message)).collect();
            assert_eq!(Digest::of_each(&borrowed), each);
        }
    }

    #[test]
    fn plain_digest_is_sha256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of_bytes(b"abc").as_str(), expected);
        let mut pieces = Pieces::default();
        [b"a".as_slice(), b"", b"bc"].into_iter().for_each(|piece| pieces.push(piece));
        assert_eq!(pieces.digest().as_str(), expected);
    }
}
