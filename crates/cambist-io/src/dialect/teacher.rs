//! The dialects that teachers and judges are asked in, as a table.

use serde::{Deserialize, Serialize};

/// How a teacher is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherDialect {
    /// `/v1/chat/completions`, spoken by OpenAI and by nearly every server.
    #[serde(rename = "openai-chat")]
    OpenAiChat,
    /// `/v1/completions`: the prompt comes rendered, as token ids or text.
    #[serde(rename = "openai-completions")]
    OpenAiCompletions,
    /// `/v1/messages` of Anthropic.
    Anthropic,
    /// `/v2/chat` of Cohere.
    Cohere,
    /// `/generate` of SGLang: the prompt comes rendered.
    SglangGenerate,
    /// `/generate` of TGI: the prompt comes rendered, as text.
    TgiGenerate,
    /// `/completion` of llama.cpp: the prompt comes rendered.
    LlamacppCompletion,
}

impl TeacherDialect {
    /// Every dialect, in the order of the specification.
    pub const ALL: [Self; 7] = [
        Self::OpenAiChat,
        Self::OpenAiCompletions,
        Self::Anthropic,
        Self::Cohere,
        Self::SglangGenerate,
        Self::TgiGenerate,
        Self::LlamacppCompletion,
    ];

    /// The word for recipes and screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiCompletions => "openai-completions",
            Self::Anthropic => "anthropic",
            Self::Cohere => "cohere",
            Self::SglangGenerate => "sglang-generate",
            Self::TgiGenerate => "tgi-generate",
            Self::LlamacppCompletion => "llamacpp-completion",
        }
    }

    /// The path after the endpoint's base.
    pub fn path(self) -> &'static str {
        match self {
            Self::OpenAiChat => "/v1/chat/completions",
            Self::OpenAiCompletions => "/v1/completions",
            Self::Anthropic => "/v1/messages",
            Self::Cohere => "/v2/chat",
            Self::SglangGenerate | Self::TgiGenerate => "/generate",
            Self::LlamacppCompletion => "/completion",
        }
    }

    /// Whether we render the chat template, so that a request needs a rendered prompt.
    pub fn needs_rendered(self) -> bool {
        !matches!(self, Self::OpenAiChat | Self::Anthropic | Self::Cohere)
    }

    /// Whether the request carries a sampling seed. SGLang's own dialect has one in new releases alone, so it is left
    /// out there.
    pub fn takes_seed(self) -> bool {
        !matches!(self, Self::Anthropic | Self::SglangGenerate)
    }

    /// Whether one request may ask for several answers.
    pub fn takes_n(self) -> bool {
        matches!(self, Self::OpenAiChat | Self::OpenAiCompletions | Self::SglangGenerate)
    }

    /// Whether a reply may come in events that are put together again.
    pub fn streams(self) -> bool {
        matches!(self, Self::OpenAiChat | Self::OpenAiCompletions | Self::Anthropic)
    }

    /// How the key is sent.
    pub fn key_header(self) -> KeyHeader {
        match self {
            Self::Anthropic => KeyHeader::XApiKey,
            _ => KeyHeader::Bearer,
        }
    }

    /// Names the environment variable that usually holds the key.
    pub fn usual_key_env(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::Cohere => "CO_API_KEY",
            _ => "OPENAI_API_KEY",
        }
    }
}

/// How a key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHeader {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// `x-api-key: KEY`.
    XApiKey,
    /// The member `api_key` of every JSON body.
    BodyMember,
}

/// What program answers behind a dialect, and so which members beyond the dialect it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// A hosted service, or one that is not known: the dialect alone.
    #[default]
    None,
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// Text Generation Inference.
    Tgi,
    /// The server of llama.cpp.
    Llamacpp,
}

impl ServerKind {
    /// The word for recipes and screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::Tgi => "tgi",
            Self::Llamacpp => "llamacpp",
        }
    }

    /// Whether the server falls back to the model's own sampling defaults, so that every sampling member is sent.
    pub(super) fn reads_sampling_extras(self) -> bool {
        matches!(self, Self::Vllm | Self::Sglang | Self::Llamacpp)
    }
}
