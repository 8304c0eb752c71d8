//! Calls whose model thought aloud.

use cambist_core::digest::Digest;

use super::{Ledger, Result};

/// An answered call that kept what the model thought; [`Ledger::find_calls`] returns the thoughts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThoughtfulCall {
    /// The call's name.
    pub key: Digest,
    /// The prompt.
    pub prompt_id: String,
    /// The teacher's name in the pool.
    pub teacher: String,
    /// Which of the teacher's answers, from 0.
    pub sample: u32,
}

const THOUGHTFUL: &str = "SELECT key, prompt_id, teacher, sample FROM calls
    WHERE reasoning IS NOT NULL AND reasoning != '' AND status = 'answered' ORDER BY key";

impl Ledger {
    /// Names the answered calls whose model thought aloud, in the order of their keys; no text is returned.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn thoughtful_calls(&self) -> Result<Vec<ThoughtfulCall>> {
        let found = self.all(THOUGHTFUL, |row| {
            let key: String = row.get(0)?;
            let call =
                |key| Ok(ThoughtfulCall { key, prompt_id: row.get(1)?, teacher: row.get(2)?, sample: row.get(3)? });
            Digest::parse(&key).map(call).transpose()
        })?;
        Ok(found.into_iter().flatten().collect())
    }
}
