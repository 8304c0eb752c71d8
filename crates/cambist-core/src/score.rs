//! What an arbiter said of one answer.

use serde::{Deserialize, Serialize};

/// What one arbiter said of one answer; a missing value stays missing, it is never 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The prompt.
    pub prompt_id: String,
    /// Who answered it.
    pub teacher: String,
    /// Which of the teacher's answers, from 0.
    pub sample: u32,
    /// Who scored.
    pub arbiter: String,
    /// The reward, higher is better; none when the arbiter could not say.
    pub value: Option<f64>,
    /// Why there is no value, when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}
