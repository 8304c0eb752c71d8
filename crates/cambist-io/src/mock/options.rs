//! What a mock server can be told.

use std::fmt;

use serde::Deserialize;

use super::fault::FaultRule;

/// How a mock server behaves; every member has a default, so `{}` is a server that answers everything at once.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MockOptions {
    /// The port on 127.0.0.1; 0, the default, takes a free one.
    pub port: u16,
    /// Changes every answer, score and fault; 0 by default.
    pub seed: u64,
    /// Threads that serve, 1 by default.
    pub workers: usize,
    /// At least this many characters in an answer, 200 by default; dense scripts (Chinese, Japanese, Korean) have four
    /// tenths.
    pub min_chars: usize,
    /// About at most this many characters in an answer, 600 by default; the last sentence is finished.
    pub max_chars: usize,
    /// How long an answer takes; no time by default.
    pub latency: LatencyModel,
    /// How many requests are served at a time; all of them by default.
    pub capacity: Capacity,
    /// What goes wrong; the first rule that fires decides.
    pub faults: Vec<FaultRule>,
    /// Names the models that exist, so that others are answered with 404; every name exists when empty, the default.
    pub models: Vec<String>,
    /// The key that must be sent as `Authorization: Bearer` or `x-api-key`; none by default.
    pub auth: Option<MockKey>,
    /// After how many polls a batch is finished, 1 by default.
    pub batch_polls: u32,
    /// What `/v1/models`, `/tokenize` and `/info` call the longest context, 16,384 tokens by default.
    pub max_model_len: u32,
}

impl Default for MockOptions {
    fn default() -> Self {
        Self {
            port: 0,
            seed: 0,
            workers: 1,
            min_chars: 200,
            max_chars: 600,
            latency: LatencyModel::default(),
            capacity: Capacity::default(),
            faults: Vec::new(),
            models: Vec::new(),
            auth: None,
            batch_polls: 1,
            max_model_len: 16_384,
        }
    }
}

/// A key that a mock server asks for; it is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MockKey {
    key: String,
}

impl MockKey {
    /// Keeps a key.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into() }
    }

    /// Whether `sent` is the key.
    pub(crate) fn opens(&self, sent: &str) -> bool {
        self.key == sent
    }
}

impl fmt::Debug for MockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MockKey(…)")
    }
}

/// How long an answer takes: (`fixed_ms` + `per_token_ms` × tokens of the answer) × e^(`jitter` × a normal number drawn
/// from the request), the same for the same request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencyModel {
    /// Milliseconds of every reply.
    pub fixed_ms: f64,
    /// Milliseconds of every token of the answer.
    pub per_token_ms: f64,
    /// Deviation of the logarithm, 0 by default.
    pub jitter: f64,
}

/// How many requests are served at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Capacity {
    /// All of them.
    #[default]
    Unlimited,
    /// This many; the others wait, as with vLLM and llama.cpp.
    Queue {
        /// Requests that are served at a time.
        n: usize,
    },
    /// This many; the others are refused with 429, as with TGI.
    HardCap {
        /// Requests that are served at a time.
        n: usize,
    },
}
