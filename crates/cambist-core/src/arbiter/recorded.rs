//! Scores that were given before.

use std::collections::BTreeMap;

use super::{Arbiter, Missing};
use crate::{completion::Completion, prompt::Prompt, score::Score};

/// Looks up the scores that another arbiter gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    arbiter: String,
    values: BTreeMap<(String, String, u32), Option<f64>>,
}

/// Why scores cannot be looked up.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecordedError {
    /// One arbiter scored one answer twice.
    #[error(
        "arbiter `{arbiter}` scored teacher `{teacher}` on prompt `{prompt_id}`, sample {sample}, twice: keep one of the scores"
    )]
    Duplicate {
        /// Who scored.
        arbiter: String,
        /// The prompt.
        prompt_id: String,
        /// Who answered.
        teacher: String,
        /// Which of the teacher's answers.
        sample: u32,
    },
    /// A score is NaN or infinite.
    #[error(transparent)]
    NotFinite(#[from] super::NotFinite),
}

impl Recorded {
    /// Keeps the scores that `arbiter` gave; those of others are passed over.
    ///
    /// # Errors
    /// When the arbiter scored an answer twice, or a score is not finite.
    pub fn new(arbiter: &str, scores: &[Score]) -> Result<Self, RecordedError> {
        let mut values = BTreeMap::new();
        for score in scores.iter().filter(|score| score.arbiter == arbiter) {
            let Score { prompt_id, teacher, sample, arbiter, value, .. } = score.clone();
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Err(super::NotFinite { arbiter, prompt_id, teacher, value }.into());
            }
            if values.insert((prompt_id.clone(), teacher.clone(), sample), value).is_some() {
                return Err(RecordedError::Duplicate { arbiter, prompt_id, teacher, sample });
            }
        }
        Ok(Self { arbiter: arbiter.to_owned(), values })
    }
}

impl Arbiter for Recorded {
    fn id(&self) -> String {
        self.arbiter.clone()
    }

    fn value(&self, _prompt: &Prompt, completion: &Completion) -> Result<f64, Missing> {
        let cell = (completion.prompt_id.clone(), completion.teacher.clone(), completion.sample);
        self.values.get(&cell).ok_or(Missing::NotRecorded)?.ok_or(Missing::RecordedAsMissing)
    }
}
