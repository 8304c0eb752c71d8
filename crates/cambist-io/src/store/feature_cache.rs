//! What a model makes of prompts, kept for later fits and routes.
//!
//! One file of blocks for each model, layer and pooling. A block's body is rows: key (u128), how many numbers (u32), the
//! numbers (f32); all little-endian.

use super::{
    Result, StoreView,
    blocks::{BlockFile, take},
};

/// What a model makes of one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureRecord {
    /// Names the prompt by its turns.
    pub key: u128,
    /// Its numbers; none where the model's template refuses it.
    pub values: Vec<f32>,
}

/// The kept features of one model.
#[derive(Clone, Debug)]
pub struct FeatureCache {
    file: BlockFile,
}

/// How a file of this layout begins.
const MAGIC: &[u8; 8] = b"cambfea1";

impl StoreView {
    /// Returns the kept features of the source called `name`, which nobody may have kept yet.
    ///
    /// # Errors
    /// When the name is no plain one.
    pub fn feature_cache(&self, name: &str) -> Result<FeatureCache> {
        Ok(FeatureCache { file: BlockFile::of((self, "features"), (name, "a source of features"), MAGIC)? })
    }
}

impl FeatureCache {
    /// Returns all rows in the order in which they were kept; none when there is no file. A last block that was cut off is
    /// removed from the file.
    ///
    /// # Errors
    /// When the disk refuses, or the file was changed by another hand.
    pub fn read(&self) -> Result<Vec<FeatureRecord>> {
        self.file.read(rows)
    }

    /// Adds rows in one block; they survive a kill from then on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&self, records: &[FeatureRecord]) -> Result<()> {
        self.file.append(&records.iter().flat_map(record_bytes).collect::<Vec<u8>>())
    }
}

fn record_bytes(record: &FeatureRecord) -> Vec<u8> {
    let mut bytes = record.key.to_le_bytes().to_vec();
    bytes.extend((record.values.len() as u32).to_le_bytes());
    record.values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes
}

/// Reads a body; none when it ends within a row.
fn rows(mut body: &[u8]) -> Option<Vec<FeatureRecord>> {
    let mut records = vec![];
    while !body.is_empty() {
        let key = u128::from_le_bytes(take(&mut body)?);
        let n_values = u32::from_le_bytes(take(&mut body)?) as usize;
        let (own, rest) = body.split_at_checked(n_values.checked_mul(4)?)?;
        let values = own.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        records.push(FeatureRecord { key, values });
        body = rest;
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::Store;

    #[test]
    fn rows_come_back_and_a_changed_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Store::open(folder.path()).unwrap().feature_cache("model-0a1b-mean").unwrap();
        let record = |key: u128, n: usize| FeatureRecord {
            key,
            values: (0..n).map(|at| at as f32 / 3.0 - key as f32).collect(),
        };
        assert_eq!(cache.read().unwrap(), []);
        cache.append(&[record(7, 3), record(u128::MAX, 0)]).unwrap();
        cache.append(&[record(1, 5)]).unwrap();
        let kept = [record(7, 3), record(u128::MAX, 0), record(1, 5)];
        assert_eq!(cache.read().unwrap(), kept);
        let whole = fs::read(&cache.file.path).unwrap();
        fs::write(&cache.file.path, &whole[..whole.len() - 2]).unwrap();
        assert_eq!(cache.read().unwrap(), kept[..2]);
        let mut changed = whole;
        changed[30] ^= 1;
        fs::write(&cache.file.path, changed).unwrap();
        let told = cache.read().unwrap_err().to_string();
        assert!(told.contains("is damaged at byte 8"), "{told}");
    }
}
