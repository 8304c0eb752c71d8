//! Which calls and scores are there, small enough to hold for millions.

use cambist_core::digest::Digest;

use super::{Ledger, LedgerError, Result};
use crate::exchange::FailureClass;

/// The names of all answered calls, or of all scores with a value: 16 bytes each, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<[u8; 16]>,
    /// Where the names of each share of all possible beginnings start, and where the last ones end: names are digests, so
    /// that each share has few, and one look here spares most of the waits for memory.
    starts: Vec<u32>,
}

/// Names of a share, about.
const IN_A_SHARE: usize = 8;

impl KeySet {
    /// Of names in order.
    fn new(keys: Vec<[u8; 16]>) -> Self {
        let n_shares = keys.len().div_ceil(IN_A_SHARE).max(1);
        let mut starts = Vec::with_capacity(n_shares + 1);
        for (at, key) in (0u32..).zip(&keys) {
            while starts.len() <= share(key, n_shares) {
                starts.push(at);
            }
        }
        starts.resize(n_shares + 1, keys.len() as u32);
        Self { keys, starts }
    }

    /// Whether the record called `key` is there.
    pub fn contains(&self, key: &Digest) -> bool {
        let wanted = prefix(key.as_str());
        let share = share(&wanted, self.starts.len().saturating_sub(1));
        let bounds = self.starts.get(share).zip(self.starts.get(share + 1));
        bounds.is_some_and(|(low, high)| self.keys[*low as usize..*high as usize].binary_search(&wanted).is_ok())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Ledger {
    /// Returns the names of all calls that need not be made: those with an answer, and those that failed for good
    /// ([`FailureClass::may_pass`]). An endpoint that never answered at all has no failures for good: what is wrong is
    /// the endpoint, and it may have been mended.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn settled_keys(&self) -> Result<KeySet> {
        let passing = FailureClass::ALL.into_iter().filter(|class| class.may_pass());
        let names: Vec<String> = passing.map(|class| format!("'{}'", class.name())).collect();
        let failed = format!(
            "SELECT key FROM calls WHERE status = 'failed' AND (failure_class IS NULL OR failure_class IN ({}) OR endpoint IN
             (SELECT endpoint FROM calls WHERE status = 'failed' EXCEPT SELECT endpoint FROM calls WHERE status = 'answered'))
             ORDER BY key",
            names.join(", ")
        );
        self.keys("SELECT key FROM calls ORDER BY key", &failed)
    }

    /// Returns the names of all calls that have an answer.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn answered_keys(&self) -> Result<KeySet> {
        self.keys("SELECT key FROM calls ORDER BY key", "SELECT key FROM calls WHERE status = 'failed' ORDER BY key")
    }

    /// Returns the names of all scores that have a value.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn scored_keys(&self) -> Result<KeySet> {
        self.keys("SELECT key FROM scores ORDER BY key", "SELECT key FROM scores WHERE value IS NULL ORDER BY key")
    }

    /// Both queries are answered from indices alone, but for the rows of failures: no answer is read.
    fn keys(&self, all: &str, without: &str) -> Result<KeySet> {
        let without = self.prefixes(without)?;
        let mut keys = self.prefixes(all)?;
        if !without.is_empty() {
            keys.retain(|key| without.binary_search(key).is_err());
        }
        Ok(KeySet::new(keys))
    }

    fn prefixes(&self, sql: &str) -> Result<Vec<[u8; 16]>> {
        let read = || {
            let mut select = self.connection.prepare_cached(sql)?;
            let mut rows = select.query([])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(prefix(row.get_ref(0)?.as_str()?));
            }
            Ok(keys)
        };
        read().map_err(|source| LedgerError::of(&self.path, source))
    }
}

/// Which of so many shares of all names a name falls into.
fn share(prefix: &[u8; 16], n_shares: usize) -> usize {
    let (lead, _) = prefix.as_chunks::<8>();
    let lead = lead.first().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    ((u128::from(lead) * n_shares as u128) >> 64) as usize
}

/// The first 128 bits of a name; two of a billion names share them with a chance of 1 in 10^20.
fn prefix(hex: &str) -> [u8; 16] {
    let digit = |at: usize| match hex.as_bytes().get(at) {
        Some(digit @ b'0'..=b'9') => digit - b'0',
        Some(digit @ b'a'..=b'f') => digit - b'a' + 10,
        _ => 0,
    };
    std::array::from_fn(|at| digit(2 * at) << 4 | digit(2 * at + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the names are, digests or not.
        #[test]
        fn what_is_there_is_found_and_nothing_else(
            mut keys in prop::collection::vec(prop_oneof![any::<u128>(), 0u128..300, (u128::MAX - 300)..], 0..2000),
            other in any::<u128>(),
        ) {
            let name = |key: u128| Digest::parse(&format!("{key:032x}{:032x}", 0)).unwrap();
            keys.sort_unstable();
            keys.dedup();
            let set = KeySet::new(keys.iter().map(|key| key.to_be_bytes()).collect());
            prop_assert!(keys.iter().all(|&key| set.contains(&name(key))));
            for absent in [other, 0, u128::MAX, 150, keys.first().map_or(1, |key| key.wrapping_add(1))] {
                prop_assert_eq!(set.contains(&name(absent)), keys.binary_search(&absent).is_ok());
            }
        }
    }
}
