//! Files that are added to in blocks and survive a kill: rows that are computed once and kept for later runs.
//!
//! Behind eight bytes that name the layout come blocks: the length of the block's body (u32), the first eight bytes of
//! its SHA-256, the body; little-endian. A block that was cut off by a kill is forgotten.

use std::path::PathBuf;

use cambist_core::digest::Digest;

use super::{Result, StoreError, StoreView};
use crate::disk::{self, DiskError};

/// Length and checksum in front of a block's body.
const BLOCK_HEAD: usize = 12;

/// A file of blocks, which nobody may have begun yet.
#[derive(Clone, Debug)]
pub(super) struct BlockFile {
    pub(super) path: PathBuf,
    /// How a file of this layout begins.
    magic: &'static [u8; 8],
}

impl BlockFile {
    /// The file of a folder of the store that is called by a name; `what` says whose name it is.
    pub(super) fn of(
        (store, folder): (&StoreView, &str),
        (name, what): (&str, &'static str),
        magic: &'static [u8; 8],
    ) -> Result<Self> {
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !is_plain {
            return Err(StoreError::BadName { name: name.to_owned(), what });
        }
        Ok(Self { path: store.root().join(folder).join(format!("{name}.rows")), magic })
    }

    /// Returns what `rows` makes of each body, in the order in which they were kept; nothing when there is no file. A last
    /// block that was cut off is removed from the file.
    pub(super) fn read<R>(&self, rows: impl Fn(&[u8]) -> Option<Vec<R>>) -> Result<Vec<R>> {
        let bytes = match disk::read(&self.path) {
            Err(DiskError::Missing { .. }) => return Ok(vec![]),
            bytes => bytes?,
        };
        if bytes.len() < self.magic.len() && self.magic.starts_with(&bytes) {
            disk::truncate(&self.path, 0)?;
            return Ok(vec![]);
        }
        if !bytes.starts_with(self.magic) {
            return Err(self.damaged(0));
        }
        let (mut records, mut at) = (vec![], self.magic.len());
        while let Some((body, end)) = next_block(&bytes, at) {
            let is_whole = checksum(body) == bytes[at + 4..at + BLOCK_HEAD];
            let own = if is_whole { rows(body) } else { None };
            records.extend(own.ok_or_else(|| self.damaged(at))?);
            at = end;
        }
        if at < bytes.len() {
            disk::truncate(&self.path, at as u64)?;
        }
        Ok(records)
    }

    /// Adds a block; it survives a kill from then on.
    pub(super) fn append(&self, body: &[u8]) -> Result<()> {
        let mut block = (body.len() as u32).to_le_bytes().to_vec();
        block.extend(checksum(body));
        block.extend(body);
        Ok(disk::append(&self.path, self.magic, &block)?)
    }

    fn damaged(&self, at: usize) -> StoreError {
        StoreError::DamagedCache { path: self.path.clone(), at }
    }
}

/// The body of the block that begins at `at`, and where it ends; none of the end of the file or of a part of a block.
fn next_block(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let n_bytes = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
    let (begin, end) = (at + BLOCK_HEAD, (at + BLOCK_HEAD).checked_add(n_bytes)?);
    Some((bytes.get(begin..end)?, end))
}

fn checksum(body: &[u8]) -> [u8; 8] {
    let digest = Digest::of_bytes(body);
    let digits = digest.as_str().chars().take(16).filter_map(|digit| digit.to_digit(16));
    digits.fold(0u64, |first, digit| first << 4 | u64::from(digit)).to_be_bytes()
}

/// The next bytes of a body; none where it ends before.
pub(super) fn take<const N: usize>(body: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = body.split_first_chunk::<N>()?;
    *body = rest;
    Some(*first)
}
