//! What a teacher answered, after any dialect.

use cambist_core::completion::FinishReason;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a teacher answered, after any dialect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherAnswer {
    /// The answer, untrimmed; empty only when it was cut or withheld, or is a tool call.
    pub text: String,
    /// Thinking text, where the server or the answer told it apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Why it ended.
    pub finish: FinishReason,
    /// The server's word for why it ended; empty when it gave none.
    pub raw_finish: String,
    /// Calls of tools, as the server wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Value>,
    /// What the server counted.
    pub usage: TokenUsage,
    /// Log-probabilities of the answer's tokens, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<TokenLogProb>>,
    /// The model's name in the reply; some dialects have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_reported: Option<String>,
    /// The server's name for the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What was remarkable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

/// Tokens as a server counts them; for several answers to one request, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Of the request, cached ones included.
    #[serde(rename = "in")]
    pub input: Option<u32>,
    /// Of the answer, thinking included.
    #[serde(rename = "out")]
    pub output: Option<u32>,
    /// Of the request, those that the server had cached.
    pub cached_in: Option<u32>,
    /// Of the answer, those spent on thinking.
    pub reasoning_out: Option<u32>,
    /// Who counted.
    pub source: UsageSource,
}

/// Who counted the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageSource {
    /// The server.
    Server,
    /// We did, with the model's tokenizer.
    Counted,
    /// Nobody.
    #[default]
    Unknown,
}

/// One token of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogProb {
    /// The token's text, or its id in decimal where the server names tokens by id.
    pub token: String,
    /// In nats; none where the server has none (some write -9999).
    pub logprob: Option<f64>,
    /// The likeliest tokens in its place, in the server's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, Option<f64>)>,
}

/// Something remarkable about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// A thinking tag was opened and not closed: not eligible, since nobody knows where the answer begins.
    ThinkingUnclosed,
    /// The server cut the prompt.
    TruncatedPrompt,
    /// The answer is, or holds, a call of a tool.
    ToolCalls,
    /// The server gave no reason, or an unknown one, for the answer's end; it counts as a stop.
    UnknownFinish,
    /// Two answers of one reply have the same index; they are taken in the order of arrival.
    DuplicateIndex,
}

impl Mark {
    /// The word for files and screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::ThinkingUnclosed => "thinking_unclosed",
            Self::TruncatedPrompt => "truncated_prompt",
            Self::ToolCalls => "tool_calls",
            Self::UnknownFinish => "unknown_finish",
            Self::DuplicateIndex => "duplicate_index",
        }
    }
}

impl TeacherAnswer {
    /// Whether it may win: whole, not withheld, and nothing about it in doubt.
    pub fn is_eligible(&self) -> bool {
        self.finish == FinishReason::Stop && !self.marks.contains(&Mark::ThinkingUnclosed)
    }
}
