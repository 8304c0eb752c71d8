//! One teacher's answer to one prompt.

use serde::{Deserialize, Serialize};

use crate::language::Language;

/// Why an answer ended, in the words of the OpenAI API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn.
    Stop,
    /// The limit on new tokens cut it.
    Length,
    /// The endpoint withheld it.
    ContentFilter,
    /// No answer came; `Completion::failure` says why.
    Error,
}

/// The answer that another one was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The prompt that it was written for.
    pub prompt_id: String,
    /// Who wrote it.
    pub teacher: String,
    /// Who translated it; none when it was taken over as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mt_engine: Option<String>,
}

/// One teacher's answer to one prompt, untrimmed, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The prompt answered.
    pub prompt_id: String,
    /// The prompt's source, kept beside it for clustering.
    pub source_id: String,
    /// The prompt's language.
    pub language: Language,
    /// Who answered.
    pub teacher: String,
    /// Which of several answers by the same teacher, from 0.
    pub sample: u32,
    /// The answer's text; empty when the call failed.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Why the call failed, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Tokens of the prompt as the teacher counts them; none when it does not say.
    pub tokens_in: Option<u32>,
    /// Tokens of the answer as the teacher counts them; none when it does not say.
    pub tokens_out: Option<u32>,
    /// Price of the call in USD at the teacher's list price, whether paid now or in an earlier run.
    pub cost_usd: f64,
    /// Where it comes from, when it was not written for its prompt: answers of one origin share one generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}
