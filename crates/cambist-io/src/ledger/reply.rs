//! Raw replies on the disk.

use rusqlite::types::Type;

/// The first bytes of a Zstandard frame; no JSON begins like this.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Replies are short and many: more effort saves a few bytes and costs as much as the whole insertion.
const LEVEL: i32 = 1;

/// Compresses a reply; one that cannot be compressed is kept as it is.
pub(super) fn packed(reply: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(reply, LEVEL).unwrap_or_else(|_| reply.to_vec())
}

/// Returns a reply as it came; earlier versions kept it as it is.
pub(super) fn unpacked(kept: Vec<u8>) -> rusqlite::Result<Vec<u8>> {
    if !kept.starts_with(&MAGIC) {
        return Ok(kept);
    }
    let foreign = |error| rusqlite::Error::FromSqlConversionFailure(19, Type::Blob, Box::new(error));
    zstd::decode_all(kept.as_slice()).map_err(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_come_back_as_they_came_whoever_kept_them() {
        let reply = br#"{"choices":[{"message":{"content":"\u00c7ar\u015famba"}}],"choices_again":[]}"#.repeat(8);
        assert!(packed(&reply).len() < reply.len() / 4);
        for kept in [packed(&reply), reply.clone()] {
            assert_eq!(unpacked(kept).unwrap(), reply);
        }
        assert_eq!(unpacked(packed(b"")).unwrap(), b"");
        let broken = packed(&reply)[..20].to_vec();
        assert!(unpacked(broken).is_err());
    }
}
