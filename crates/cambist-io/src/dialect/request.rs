//! What a teacher is asked, before any dialect.

use cambist_core::prompt::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::teacher::ServerKind;

/// What a teacher is asked, before any dialect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TeacherRequest {
    /// The turns so far; the last is the user's.
    pub messages: Vec<Message>,
    /// The same turns through the model's chat template, `prefill` included; needed where
    /// [`needs_rendered`](super::teacher::TeacherDialect::needs_rendered).
    pub rendered: Option<RenderedPrompt>,
    /// The model's name at the endpoint.
    pub model: String,
    /// How tokens are drawn.
    pub sampling: RequestSampling,
    /// A JSON schema that the answer must follow.
    pub response_schema: Option<Value>,
    /// Options for the server's chat template, for example `enable_thinking`.
    pub chat_template_kwargs: Map<String, Value>,
    /// Members to merge into the body last (RFC 7396: null removes).
    pub extra_body: Option<Value>,
    /// What happens to thinking text.
    pub thinking: Thinking,
    /// How the answer has to begin; the reply holds what follows it.
    pub prefill: Option<String>,
}

/// A prompt after the chat template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderedPrompt {
    /// The text, special tokens included.
    pub text: String,
    /// Its token ids; empty when they are not known. Sent in place of the text wherever a dialect takes ids.
    pub ids: Vec<u32>,
}

/// How tokens are drawn by a server.
///
/// Everything with a value is sent, since servers otherwise apply the model's own `generation_config.json` unseen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestSampling {
    /// What logits are divided by, default 0.3; 0 is greedy.
    pub temperature: f64,
    /// Smallest set of tokens with this probability together is drawn from, default 1.0.
    pub top_p: f64,
    /// Longest answer in tokens, default 2,048.
    pub max_tokens: u32,
    /// At most this many tokens are drawn from; all of them by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Tokens below this share of the most likely one's probability are not drawn; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// What the logits of tokens that occurred are divided by; 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// What is taken from the logits of tokens that occurred; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// What is taken from the logits of tokens for each time they occurred; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Texts that end the answer; none by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Names the random numbers, where the server takes a seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// How many of the likeliest tokens to report with their log-probabilities; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u32>,
}

impl Default for RequestSampling {
    fn default() -> Self {
        Self {
            temperature: 0.3,
            top_p: 1.0,
            max_tokens: 2048,
            top_k: None,
            min_p: None,
            repetition_penalty: None,
            presence_penalty: None,
            frequency_penalty: None,
            stop: Vec::new(),
            seed: None,
            logprobs: None,
        }
    }
}

/// What happens to thinking text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Thinking {
    /// It is kept apart from the answer.
    #[default]
    Strip,
    /// Inline thinking stays in the answer.
    Keep,
    /// The template is asked not to think (`enable_thinking: false`); what comes nevertheless is kept apart.
    Off,
}

/// What decides a request's bytes beside its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// What the length limit is called in `openai-chat`.
    pub length_field: LengthField,
    /// What program answers.
    pub server: ServerKind,
    /// How many answers one request asks for, 1 by default; more only where
    /// [`takes_n`](super::teacher::TeacherDialect::takes_n).
    pub n: u32,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { length_field: LengthField::MaxTokens, server: ServerKind::None, n: 1 }
    }
}

/// What the length limit is called in `openai-chat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthField {
    /// `max_tokens`: self-hosted servers, old and new.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: the new models of OpenAI refuse the other.
    MaxCompletionTokens,
}

impl LengthField {
    /// Returns what servers at `base_url` usually take: `max_completion_tokens` at OpenAI, `max_tokens` elsewhere.
    pub fn usual(base_url: &str) -> Self {
        let host = base_url.split("://").nth(1).unwrap_or(base_url).split(['/', ':']).next().unwrap_or_default();
        if host == "api.openai.com" || host.ends_with(".openai.com") || host.ends_with(".openai.azure.com") {
            Self::MaxCompletionTokens
        } else {
            Self::MaxTokens
        }
    }

    /// The member's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::MaxTokens => Self::MaxCompletionTokens,
            Self::MaxCompletionTokens => Self::MaxTokens,
        }
    }
}

/// Why a request cannot be put into a dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The dialect takes a rendered prompt and there is none.
    #[error("the dialect `{dialect}` takes a rendered prompt: give the model's chat template, or use `openai-chat`")]
    NotRendered {
        /// The dialect.
        dialect: &'static str,
    },
    /// The dialect has no way to say that answers follow a schema.
    #[error(
        "the dialect `{dialect}` takes no response schema from `{server}` servers: leave it out, or use `openai-chat`"
    )]
    NoSchema {
        /// The dialect.
        dialect: &'static str,
        /// The kind of server.
        server: &'static str,
    },
    /// The dialect has no way to ask for several answers at once.
    #[error("the dialect `{dialect}` gives one answer a request, {n} were asked for: send single requests")]
    OneAnswer {
        /// The dialect.
        dialect: &'static str,
        /// How many were asked for.
        n: u32,
    },
}
