//! What became of calls, without what was sent and what exactly came.

use cambist_core::{completion::FinishReason, digest::Digest};
use rusqlite::Row;

use super::{Ledger, Result, call::read_finish};
use crate::exchange::FailureClass;

/// What became of a call: what an artifact is made of. [`CallRecord`](super::CallRecord) has the exchange as well.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOutcome {
    /// The call's name.
    pub key: Digest,
    /// The teacher's name in the pool when it was asked.
    pub teacher: String,
    /// The prompt's name when it was asked.
    pub prompt_id: String,
    /// The prompt's language; empty where unknown.
    pub language: String,
    /// Which of several answers, from 0.
    pub sample: u32,
    /// The answer, untrimmed; empty when the call failed.
    pub text: String,
    /// Why the answer ended.
    pub finish_reason: FinishReason,
    /// Why the call failed, when it did.
    pub failure: Option<String>,
    /// What kind of failure it was, where an endpoint failed.
    pub failure_class: Option<FailureClass>,
    /// Tokens of the request as the endpoint counts them.
    pub tokens_in: Option<u32>,
    /// Tokens of the answer as the endpoint counts them.
    pub tokens_out: Option<u32>,
    /// USD paid, all attempts together, as far as it is known.
    pub cost_usd: f64,
    /// The file of an import or of a batch; empty for a call.
    pub origin: String,
}

const SELECT: &str = "SELECT teacher, prompt_id, language, sample, text, finish_reason, failure, failure_class,
    tokens_in, tokens_out, cost_usd, origin FROM calls WHERE key = ?1";

impl Ledger {
    /// Returns what became of each call, in the order and number of `keys`; none for calls that were never made.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn find_outcomes(&self, keys: &[Digest]) -> Result<Vec<Option<CallOutcome>>> {
        self.find_all(SELECT, keys, read_outcome)
    }
}

fn read_outcome(key: &Digest, row: &Row<'_>) -> rusqlite::Result<CallOutcome> {
    Ok(CallOutcome {
        key: key.clone(),
        teacher: row.get(0)?,
        prompt_id: row.get(1)?,
        language: row.get(2)?,
        sample: row.get(3)?,
        text: row.get(4)?,
        finish_reason: read_finish(5, row.get_ref(5)?.as_str()?)?,
        failure: row.get(6)?,
        failure_class: row.get::<_, Option<String>>(7)?.as_deref().and_then(FailureClass::parse),
        tokens_in: row.get(8)?,
        tokens_out: row.get(9)?,
        cost_usd: row.get(10)?,
        origin: row.get(11)?,
    })
}
