//! What rows are worth to a reference model, kept for later runs.
//!
//! One file of blocks for each reference model. A block's body is rows: key (u128), number of sequences (u8), and for each
//! sequence its log-probability (f64) and how many tokens that is (u32); all little-endian.

use super::{
    Result, StoreView,
    blocks::{BlockFile, take},
};

/// What one row is worth to a reference model.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceRecord {
    /// Names the row by its tokens and by which of them count.
    pub key: u128,
    /// The log-probability of each sequence, nats, and how many tokens that is; at most 255 sequences.
    pub sequences: Vec<(f64, u32)>,
}

/// The kept log-probabilities of one reference model.
#[derive(Clone, Debug)]
pub struct ReferenceCache {
    file: BlockFile,
}

/// How a file of this layout begins.
const MAGIC: &[u8; 8] = b"cambref1";

impl StoreView {
    /// Returns the kept log-probabilities of the reference model called `name`, which nobody may have kept yet.
    ///
    /// # Errors
    /// When the name is no plain one.
    pub fn reference_cache(&self, name: &str) -> Result<ReferenceCache> {
        let file = BlockFile::of((self, "reference"), (name, "a reference model"), MAGIC)?;
        Ok(ReferenceCache { file })
    }
}

impl ReferenceCache {
    /// Returns all rows in the order in which they were kept; none when there is no file. A last block that was cut
    /// off is removed from the file.
    ///
    /// # Errors
    /// When the disk refuses, or the file was changed by another hand.
    pub fn read(&self) -> Result<Vec<ReferenceRecord>> {
        self.file.read(rows)
    }

    /// Adds rows in one block; they survive a kill from then on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&self, records: &[ReferenceRecord]) -> Result<()> {
        self.file.append(&records.iter().flat_map(record_bytes).collect::<Vec<u8>>())
    }
}

fn record_bytes(record: &ReferenceRecord) -> Vec<u8> {
    let mut bytes = record.key.to_le_bytes().to_vec();
    bytes.push(record.sequences.len() as u8);
    for (log_prob, n_tokens) in &record.sequences {
        bytes.extend(log_prob.to_le_bytes());
        bytes.extend(n_tokens.to_le_bytes());
    }
    bytes
}

/// Reads a body; none when it ends within a row.
fn rows(mut body: &[u8]) -> Option<Vec<ReferenceRecord>> {
    let mut records = vec![];
    while !body.is_empty() {
        let key = u128::from_le_bytes(take(&mut body)?);
        let [n_sequences] = take(&mut body)?;
        let mut sequence = || Some((f64::from_le_bytes(take(&mut body)?), u32::from_le_bytes(take(&mut body)?)));
        let sequences = (0..n_sequences).map(|_| sequence()).collect::<Option<Vec<_>>>()?;
        records.push(ReferenceRecord { key, sequences });
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::store::Store;

    fn record(key: u128) -> ReferenceRecord {
        ReferenceRecord { key, sequences: vec![(-(key as f64) / 3.0, 7), (f64::MIN_POSITIVE, u32::MAX)] }
    }

    fn cache(folder: &Path) -> ReferenceCache {
        Store::open(folder).unwrap().reference_cache("model-0a1b").unwrap()
    }

    #[test]
    fn rows_come_back_in_the_order_in_which_they_were_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        assert_eq!(cache.read().unwrap(), []);
        cache.append(&[record(u128::MAX), record(2)]).unwrap();
        cache.append(&[]).unwrap();
        cache.append(&[record(3)]).unwrap();
        assert_eq!(cache.read().unwrap(), [record(u128::MAX), record(2), record(3)]);
    }

    #[test]
    fn a_block_that_was_cut_off_is_forgotten_and_the_next_one_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.append(&[record(1)]).unwrap();
        let first = fs::read(&cache.file.path).unwrap();
        cache.append(&[record(2)]).unwrap();
        let whole = fs::read(&cache.file.path).unwrap();
        for cut in first.len()..whole.len() {
            fs::write(&cache.file.path, &whole[..cut]).unwrap();
            assert_eq!(cache.read().unwrap(), [record(1)], "cut at {cut}");
            cache.append(&[record(3)]).unwrap();
            assert_eq!(cache.read().unwrap(), [record(1), record(3)], "cut at {cut}");
        }
        fs::write(&cache.file.path, &MAGIC[..3]).unwrap();
        assert_eq!(cache.read().unwrap(), []);
        cache.append(&[record(4)]).unwrap();
        assert_eq!(cache.read().unwrap(), [record(4)]);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.append(&[record(1)]).unwrap();
        cache.append(&[record(2)]).unwrap();
        let whole = fs::read(&cache.file.path).unwrap();
        // Lengths aside: a longer block is one that was cut off.
        for at in (0..whole.len()).filter(|at| !(8..12).contains(at) && !(61..65).contains(at)) {
            let mut changed = whole.clone();
            changed[at] ^= 0x40;
            fs::write(&cache.file.path, changed).unwrap();
            let told = cache.read().unwrap_err().to_string();
            assert!(told.contains("is damaged at byte "), "byte {at}: {told}");
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for name in ["", "..", "a/b", "a.b"] {
            assert!(store.reference_cache(name).is_err(), "{name}");
        }
    }
}
