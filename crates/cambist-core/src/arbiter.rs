//! Arbiters that are rules: they score one answer, or all answers to one prompt, at once, for nothing, and the same
//! every time.

use serde::{Deserialize, Serialize};

use crate::{completion::Completion, prompt::Prompt, score::Score};

mod chrf;
mod exact;
mod mbr;
mod ngrams;
mod numeric;
mod recorded;
mod rouge;

pub use chrf::{Chrf, ChrfArbiter, Counted};
pub use exact::{Contains, ExactChecker, ExactMatch, FoldedMatch};
pub use mbr::{Contender, Evidence, mean_utilities, utility};
pub use numeric::{NumericAnswer, final_number, numbers};
pub use recorded::{Recorded, RecordedError};
pub use rouge::{Overlap, Rouge, RougeArbiter};

/// Scores one answer by itself; higher is better.
pub trait Arbiter: Send + Sync {
    /// Names the arbiter in every score.
    fn id(&self) -> String;

    /// Returns the reward, or why there is none.
    ///
    /// # Errors
    /// When the arbiter cannot say; the caller keeps the reason and never a number in its place.
    fn value(&self, prompt: &Prompt, completion: &Completion) -> Result<f64, Missing>;
}

/// Why an answer has no reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The call failed, so there is nothing to score.
    #[error("no_answer")]
    NoAnswer,
    /// The prompt has no exact checker.
    #[error("no_check")]
    NoCheck,
    /// The prompt has no reference, or an empty one.
    #[error("no_reference")]
    NoReference,
    /// No score of this answer was recorded.
    #[error("not_recorded")]
    NotRecorded,
    /// The score was recorded as missing.
    #[error("recorded_as_missing")]
    RecordedAsMissing,
}

/// An arbiter gave something that is no number.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "arbiter `{arbiter}` gave {value} for teacher `{teacher}` on prompt `{prompt_id}`, expected a finite number: an arbiter that cannot say must say so"
)]
pub struct NotFinite {
    /// Who scored.
    pub arbiter: String,
    /// The prompt.
    pub prompt_id: String,
    /// Who answered.
    pub teacher: String,
    /// What the arbiter gave.
    pub value: f64,
}

/// Scores one answer; a failed call has no reward, whatever the arbiter.
///
/// # Errors
/// When the arbiter gives NaN or an infinity.
pub fn score(arbiter: &dyn Arbiter, prompt: &Prompt, completion: &Completion) -> Result<Score, NotFinite> {
    let is_answered =
        completion.failure.is_none() && completion.finish_reason != crate::completion::FinishReason::Error;
    let value = if is_answered { arbiter.value(prompt, completion) } else { Err(Missing::NoAnswer) };
    let (prompt_id, teacher) = (completion.prompt_id.clone(), completion.teacher.clone());
    match value {
        Ok(value) if !value.is_finite() => Err(NotFinite { arbiter: arbiter.id(), prompt_id, teacher, value }),
        value => Ok(Score {
            prompt_id,
            teacher,
            sample: completion.sample,
            arbiter: arbiter.id(),
            value: value.ok(),
            missing: value.err().map(|missing| missing.to_string()),
        }),
    }
}
