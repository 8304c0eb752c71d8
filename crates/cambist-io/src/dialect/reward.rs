//! The dialects that reward models are asked in.
//!
//! A reward that cannot be had is missing, with the reason; no number ever stands in for it.

pub mod activation;
pub mod decode;
pub mod encode;
pub mod probe_pairs;

use cambist_core::prompt::Message;
use serde::{Deserialize, Serialize};

use super::request::RenderedPrompt;

/// How a reward model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RewardDialect {
    /// vLLM's `/classify`: one logit a text, the activation switched off.
    VllmClassify,
    /// vLLM's `/pooling` with the task `classify`; process reward models too.
    VllmPooling,
    /// vLLM's `/score`: joins prompt and answer without a chat template, so it has to be allowed.
    VllmScore,
    /// SGLang's `/classify`.
    SglangClassify,
    /// SGLang's `/v1/embeddings` of a reward model.
    SglangEmbeddings,
    /// SGLang's `/v1/score`: the answers to one prompt.
    SglangScore,
    /// NVIDIA NIM: a chat whose log-probabilities are rewards.
    NimChat,
    /// OpenRLHF's `/get_reward`.
    Openrlhf,
    /// TEI's `/predict`.
    TeiPredict,
    /// TEI's `/rerank`: the answers to one prompt.
    TeiRerank,
    /// vLLM's `/generative_scoring`: the probability of one of two tokens after the answer.
    VllmGenerativeScoring,
}

/// A name that is no reward dialect, or one that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewardDialectError {
    /// There is no such dialect.
    #[error("`{found}` is no reward dialect: expected one of {expected}")]
    Unknown {
        /// What was found.
        found: String,
        /// The names that there are.
        expected: String,
    },
    /// The gateway of SGLang.
    #[error(
        "the reward dialect `sglang-gateway` is refused: its softmax over one logit is 1.0 for every answer; ask a worker with `sglang-classify`"
    )]
    SglangGateway,
}

impl RewardDialect {
    /// Every dialect, in the order of the specification.
    pub const ALL: [Self; 11] = [
        Self::VllmClassify,
        Self::VllmPooling,
        Self::VllmScore,
        Self::SglangClassify,
        Self::SglangEmbeddings,
        Self::SglangScore,
        Self::NimChat,
        Self::Openrlhf,
        Self::TeiPredict,
        Self::TeiRerank,
        Self::VllmGenerativeScoring,
    ];

    /// The word for recipes and screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::VllmClassify => "vllm-classify",
            Self::VllmPooling => "vllm-pooling",
            Self::VllmScore => "vllm-score",
            Self::SglangClassify => "sglang-classify",
            Self::SglangEmbeddings => "sglang-embeddings",
            Self::SglangScore => "sglang-score",
            Self::NimChat => "nim-chat",
            Self::Openrlhf => "openrlhf",
            Self::TeiPredict => "tei-predict",
            Self::TeiRerank => "tei-rerank",
            Self::VllmGenerativeScoring => "vllm-generative-scoring",
        }
    }

    /// Returns the dialect called `name`.
    ///
    /// # Errors
    /// When there is none, or it is refused.
    pub fn parse(name: &str) -> Result<Self, RewardDialectError> {
        if name == "sglang-gateway" {
            return Err(RewardDialectError::SglangGateway);
        }
        Self::ALL.into_iter().find(|dialect| dialect.name() == name).ok_or_else(|| RewardDialectError::Unknown {
            found: name.to_owned(),
            expected: Self::ALL.map(|dialect| format!("`{}`", dialect.name())).join(", "),
        })
    }

    /// The path after the endpoint's base.
    pub fn path(self) -> &'static str {
        match self {
            Self::VllmClassify | Self::SglangClassify => "/classify",
            Self::VllmPooling => "/pooling",
            Self::VllmScore => "/score",
            Self::SglangEmbeddings => "/v1/embeddings",
            Self::SglangScore => "/v1/score",
            Self::NimChat => "/v1/chat/completions",
            Self::Openrlhf => "/get_reward",
            Self::TeiPredict => "/predict",
            Self::TeiRerank => "/rerank",
            Self::VllmGenerativeScoring => "/generative_scoring",
        }
    }

    /// Whether we render the chat template, so that inputs need a rendered text. vLLM's take turns too, one input a
    /// request, with whatever template the server holds.
    pub fn needs_rendered(self) -> bool {
        matches!(self, Self::SglangClassify | Self::SglangEmbeddings | Self::Openrlhf | Self::TeiPredict)
    }

    /// Whether the inputs of one request must all answer one prompt.
    pub fn one_prompt_a_request(self) -> bool {
        matches!(self, Self::SglangScore | Self::TeiRerank | Self::VllmGenerativeScoring)
    }

    /// Whether rewards are probabilities by nature, so that the probe asks for their order alone.
    pub fn gives_probabilities(self, options: &RewardOptions) -> bool {
        let of_labels = self == Self::SglangScore && options.label_token_ids.is_some();
        of_labels || self == Self::VllmGenerativeScoring
    }

    /// How many inputs one request may hold; `rendered` says whether they are.
    pub fn max_batch(self, rendered: bool) -> usize {
        match self {
            Self::NimChat => 1,
            Self::VllmClassify | Self::VllmPooling if !rendered => 1,
            Self::TeiPredict | Self::TeiRerank => 32,
            _ => 64,
        }
    }
}

impl TryFrom<String> for RewardDialect {
    type Error = RewardDialectError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<RewardDialect> for String {
    fn from(dialect: RewardDialect) -> Self {
        dialect.name().to_owned()
    }
}

/// One answer to be scored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewardInput {
    /// The turns with the answer as the last one, the assistant's.
    pub messages: Vec<Message>,
    /// The same turns through the reward model's chat template, without a generation prompt.
    pub rendered: Option<RenderedPrompt>,
}

/// What decides how a reward model is asked and read beside its inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardOptions {
    /// Allows [`RewardDialect::VllmScore`] to join prompt and answer without a chat template, no by default.
    pub allow_pair_join: bool,
    /// The beginning-of-text token: one is stripped from the rendered text where a server adds its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos: Option<String>,
    /// Which of several labels is the reward, from 0; several are refused without it, unless `label_token_ids` names
    /// them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<usize>,
    /// Which attribute of `nim-chat` is the reward, `reward` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The ids of the tokens that mean good and bad, for the dialects that ask a language model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_token_ids: Option<[u32; 2]>,
    /// What becomes of a process reward model's rewards for each step; they are refused without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<StepReduction>,
}

/// What becomes of a process reward model's rewards for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepReduction {
    /// The last step's counts.
    Last,
    /// The lowest counts.
    Min,
}
