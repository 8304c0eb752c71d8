//! What can go wrong, when, and for whom.

use serde::{Deserialize, Serialize};

use super::{asked::Asked, draw::Draw};

/// One thing that goes wrong at some requests.
///
/// A rule fires at a matching request when every condition that it states holds. With `at`, matching requests are
/// counted over the whole server; with `probability`, chance is drawn from (seed, cell, attempt), so the same request
/// meets the same fate whatever else is going on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Which requests; all of them by default.
    #[serde(default, rename = "match")]
    pub matching: FaultMatch,
    /// What happens.
    pub fault: Fault,
    /// How it happens.
    #[serde(default)]
    pub params: FaultParams,
    /// In which share of attempts, 0 to 1; in all of them by default.
    #[serde(default)]
    pub probability: Option<f64>,
    /// At which matching requests, counted from 1; each opens a window of [`FaultParams::window`] requests.
    #[serde(default)]
    pub at: Vec<u64>,
    /// At the first so many attempts of a cell only; at all by default.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// Whether requests that differ in nothing but their sampling seed count as attempts of one cell; no by default.
    #[serde(default)]
    pub across_seeds: bool,
    /// Changes where chance falls; 0 by default.
    #[serde(default)]
    pub seed: u64,
}

/// Which requests a rule is about: those that agree with every member given.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultMatch {
    /// The path, such as `/v1/chat/completions`.
    pub path: Option<String>,
    /// The model's name.
    pub model: Option<String>,
    /// A text that stands in the body.
    pub contains: Option<String>,
    /// Whether requests are meant that only ask what the server can do (`x-cambist-probe`), or those that do not, the
    /// default.
    pub probe: bool,
}

/// What happens, by the names of the endpoints specification, section 18; `status:503` answers with that status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Fault {
    /// A 429 that says when to come back.
    Burst429,
    /// A 429 that says that the account is empty.
    Quota429,
    /// A wait that grows with the requests in flight.
    Queue,
    /// A 429 `overloaded` where too many are in flight.
    HardCap,
    /// A 503 that says that no slot is free where too many are in flight.
    Slots,
    /// A reply whose body takes its time, piece by piece.
    Slow,
    /// A reply whose head takes its time.
    SlowFirstByte,
    /// A body that pauses in its middle.
    StallMid,
    /// RST before any byte.
    ResetBefore,
    /// RST in the middle of the body.
    ResetMid,
    /// FIN in the middle of the body; the server goes on listening.
    HalfClose,
    /// A whole reply whose JSON ends too early.
    TruncatedJson,
    /// A byte in a text that is no UTF-8.
    BadUtf8,
    /// A byte order mark before the JSON.
    Bom,
    /// `NaN` where the JSON's last number stands.
    NanNumber,
    /// A page of HTML, or JSON labelled as text.
    WrongType,
    /// This status.
    Status(u16),
    /// No choices, no texts.
    EmptyChoices,
    /// A null where the text stands.
    NullContent,
    /// One choice less than asked for.
    FewerN,
    /// Choices that all have index 0.
    DupIndex,
    /// The same id in every reply.
    DupId,
    /// A finish that says that the answer was cut.
    FinishLength,
    /// A finish that says that the answer was filtered.
    FinishFilter,
    /// A finish that says that the answer was given up.
    Abort,
    /// `<think>…</think>` before the text.
    ThinkInline,
    /// Thinking in a member of its own.
    ThinkField,
    /// `<think>` that never ends.
    ThinkUnclosed,
    /// A 400 that names the wrong length field, when it was sent.
    RenameTokens,
    /// Rows in another order, each with its right index.
    ShuffleIndex,
    /// One row too few.
    ShortBatch,
    /// `NaN` where the first row's score stands.
    NanScore,
    /// Another model's name in the reply.
    ModelSwap,
    /// Marks such as `⟦0⟧` in translations turned into something else.
    MangleMarks,
    /// A fused answer without the double square brackets around it.
    NoBrackets,
    /// No echo though it was asked for.
    IgnoreEcho,
    /// Log-probabilities that stand one token too early.
    EchoShift,
    /// A batch that expires with half of its lines done.
    BatchExpire,
    /// A batch that fails every third line.
    BatchPartial,
    /// A batch that delivers its first line twice.
    BatchDupLine,
}

impl Fault {
    /// Every fault but `status:N`, with its name.
    pub const NAMED: [(Self, &'static str); 39] = [
        (Self::Burst429, "burst_429"),
        (Self::Quota429, "quota_429"),
        (Self::Queue, "queue"),
        (Self::HardCap, "hard_cap"),
        (Self::Slots, "slots"),
        (Self::Slow, "slow"),
        (Self::SlowFirstByte, "slow_first_byte"),
        (Self::StallMid, "stall_mid"),
        (Self::ResetBefore, "reset_before"),
        (Self::ResetMid, "reset_mid"),
        (Self::HalfClose, "half_close"),
        (Self::TruncatedJson, "truncated_json"),
        (Self::BadUtf8, "bad_utf8"),
        (Self::Bom, "bom"),
        (Self::NanNumber, "nan_number"),
        (Self::WrongType, "wrong_type"),
        (Self::EmptyChoices, "empty_choices"),
        (Self::NullContent, "null_content"),
        (Self::FewerN, "fewer_n"),
        (Self::DupIndex, "dup_index"),
        (Self::DupId, "dup_id"),
        (Self::FinishLength, "finish_length"),
        (Self::FinishFilter, "finish_filter"),
        (Self::Abort, "abort"),
        (Self::ThinkInline, "think_inline"),
        (Self::ThinkField, "think_field"),
        (Self::ThinkUnclosed, "think_unclosed"),
        (Self::RenameTokens, "rename_tokens"),
        (Self::ShuffleIndex, "shuffle_index"),
        (Self::ShortBatch, "short_batch"),
        (Self::NanScore, "nan_score"),
        (Self::ModelSwap, "model_swap"),
        (Self::MangleMarks, "mangle_marks"),
        (Self::NoBrackets, "no_brackets"),
        (Self::IgnoreEcho, "ignore_echo"),
        (Self::EchoShift, "echo_shift"),
        (Self::BatchExpire, "batch_expire"),
        (Self::BatchPartial, "batch_partial"),
        (Self::BatchDupLine, "batch_dup_line"),
    ];
}

impl TryFrom<String> for Fault {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let status = name.strip_prefix("status:").and_then(|code| code.parse().ok());
        let named = || Self::NAMED.iter().find(|(_, known)| *known == name).map(|(fault, _)| *fault);
        status.filter(|code| (200..600).contains(code)).map(Self::Status).or_else(named).ok_or_else(|| {
            let known = Self::NAMED.map(|(_, name)| name).join("`, `");
            format!("`{name}` is no fault; known are `status:N` with N of 200 to 599, `{known}`")
        })
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Status(code) => format!("status:{code}"),
            named => Fault::NAMED.iter().find(|(known, _)| *known == named).map_or("", |(_, name)| name).to_owned(),
        }
    }
}

/// How a fault happens; each fault reads the members that mean something to it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultParams {
    /// How a 429 or 503 says when to come back; `seconds` by default.
    pub retry_after: RetryAfter,
    /// What it says, in milliseconds, 1,000 by default; `seconds` and `date` round up.
    pub wait_ms: u64,
    /// How long `slow`, `slow_first_byte` and each pause of `stall_mid` take, 100 ms by default; for `queue` by request
    /// over `above`.
    pub delay_ms: u64,
    /// After how many bytes of the body `reset_mid`, `half_close` and `truncated_json` cut it and `stall_mid` pauses;
    /// half of it by default.
    pub after_bytes: Option<usize>,
    /// How many bytes `stall_mid` sends after each pause; the whole rest by default.
    pub drip_bytes: Option<usize>,
    /// Requests in flight that `queue`, `hard_cap` and `slots` bear, 1 by default.
    pub above: usize,
    /// How many matching requests in a row each `at` hits, 1 by default; a very large number hits all from there on.
    pub window: u64,
    /// The shape of an error body; `openai` by default.
    pub shape: ErrorShape,
    /// Which length field `rename_tokens` accepts; `max_completion_tokens` by default.
    pub accepts: LengthField,
    /// Whether `wrong_type` sends the right JSON as `text/plain`; no, a page of HTML, by default.
    pub mislabel: bool,
}

impl Default for FaultParams {
    fn default() -> Self {
        Self {
            retry_after: RetryAfter::default(),
            wait_ms: 1000,
            delay_ms: 100,
            after_bytes: None,
            drip_bytes: None,
            above: 1,
            window: 1,
            shape: ErrorShape::default(),
            accepts: LengthField::default(),
            mislabel: false,
        }
    }
}

/// How a refusal says when to come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// `Retry-After: 2`.
    #[default]
    Seconds,
    /// `Retry-After: Wed, 21 Oct 2026 07:28:00 GMT`.
    Date,
    /// A date that is over.
    PastDate,
    /// `retry-after-ms: 1500`.
    Ms,
    /// `x-ratelimit-reset-requests: 0m1.5s`.
    Reset,
    /// `"retry_after": 1.5` in the body, where it is JSON.
    Body,
    /// Not at all.
    None,
    /// Eleven days.
    Absurd,
}

/// The shape of an error body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorShape {
    /// `{"error": {"message", "type", "param", "code"}}`.
    #[default]
    Openai,
    /// `{"object": "error", "message", "type", "param", "code"}`.
    Flat,
    /// `{"error", "error_type"}`.
    Tgi,
    /// `{"type": "error", "error": {"type", "message"}}`.
    Anthropic,
    /// Plain text.
    Text,
}

/// The name of the member that limits an answer's length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthField {
    /// `max_completion_tokens`, as hosted services ask for.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`, the only one that older servers know.
    MaxTokens,
}

impl FaultMatch {
    /// Whether a request is meant.
    pub(crate) fn covers(&self, asked: &Asked) -> bool {
        self.path.as_ref().is_none_or(|path| *path == asked.path)
            && self.model.as_ref().is_none_or(|model| model == asked.model())
            && self.contains.as_ref().is_none_or(|text| asked.says(text))
            && self.probe == asked.is_probe
    }
}

impl FaultRule {
    /// Whether the rule fires at attempt `attempt` of a request that is the `nth` that it covers, both from 1.
    pub(crate) fn fires(&self, asked: &Asked, attempt: u32, nth: u64) -> bool {
        let is_hit = |first: &u64| nth >= *first && nth < first.saturating_add(self.params.window);
        let cell = if self.across_seeds { asked.cell_without_seed } else { asked.cell };
        let chance = || Draw::new(self.seed).with(cell).with(u64::from(attempt)).unit();
        self.attempts.is_none_or(|most| attempt <= most)
            && (self.at.is_empty() || self.at.iter().any(is_hit))
            && self.probability.is_none_or(|share| chance() < share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (fault, name) in Fault::NAMED {
            assert_eq!(Fault::try_from(name.to_owned()), Ok(fault));
            assert_eq!(String::from(fault), name);
        }
        assert_eq!(Fault::try_from("status:503".to_owned()), Ok(Fault::Status(503)));
        assert!(Fault::try_from("status:99".to_owned()).unwrap_err().contains("status:N"));
    }

    #[test]
    fn unknown_members_are_refused() {
        let read = serde_json::from_str::<FaultRule>;
        assert!(read(r#"{"fault": "slow", "params": {"delay_ms": 5}, "probability": 0.5}"#).is_ok());
        assert!(read(r#"{"fault": "slow", "params": {"delay": 5}}"#).is_err());
        assert!(read(r#"{"fault": "slow", "matching": {}}"#).is_err());
    }
}
