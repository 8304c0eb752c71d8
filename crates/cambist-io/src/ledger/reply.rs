//! Raw replies on the disk.

use rusqlite::types::Type;
use zstd::bulk::Compressor;

/// The first bytes of a Zstandard frame; no JSON begins like this.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Replies are short and many: more effort saves a few bytes and costs as much as the whole insertion.
const LEVEL: i32 = 1;

/// Compresses replies. Setting a compressor up takes longer than a reply does, so a batch shares one.
pub(super) struct Packer(Option<Compressor<'static>>);

impl Packer {
    pub(super) fn new() -> Self {
        Self(Compressor::new(LEVEL).ok())
    }

    /// Compresses a reply; one that cannot be compressed is kept as it is.
    pub(super) fn packed(&mut self, reply: &[u8]) -> Vec<u8> {
        let packed = self.0.as_mut().and_then(|compressor| compressor.compress(reply).ok());
        packed.unwrap_or_else(|| reply.to_vec())
    }
}

/// Returns a reply as it came; earlier versions kept it as it is.
pub(super) fn unpacked(column: usize, kept: Vec<u8>) -> rusqlite::Result<Vec<u8>> {
    if !kept.starts_with(&MAGIC) {
        return Ok(kept);
    }
    let foreign = |error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error));
    zstd::decode_all(kept.as_slice()).map_err(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_come_back_as_they_came_whoever_kept_them() {
        let reply = br#"{"choices":[{"message":{"content":"\u00c7ar\u015famba"}}],"choices_again":[]}"#.repeat(8);
        let mut packer = Packer::new();
        assert!(packer.packed(&reply).len() < reply.len() / 4);
        for kept in [packer.packed(&reply), Packer(None).packed(&reply), reply.clone()] {
            assert_eq!(unpacked(19, kept).unwrap(), reply);
        }
        assert_eq!(unpacked(19, packer.packed(b"")).unwrap(), b"");
        let broken = packer.packed(&reply)[..20].to_vec();
        assert!(unpacked(19, broken).is_err());
    }
}
