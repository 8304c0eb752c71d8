//! One teacher's answer to one prompt.

use std::collections::BTreeSet;

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

/// Where an answer comes from that stands under another name than its author's: another answer, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The prompt that it was written for.
    pub prompt_id: String,
    /// Who wrote it; of a fused answer the fusor.
    pub teacher: String,
    /// Who translated it; none when it was taken over as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mt_engine: Option<String>,
    /// How it came out of several answers; none where it came out of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fusion: Option<Fusion>,
}

/// How an answer came out of several answers to its prompt (FusioN, arXiv 2510.00931).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fusion {
    /// What was kept.
    pub kept: FusionOutcome,
    /// Whether it stands in for a fused answer: the fusor was asked, and gave none that could be used.
    pub fallback: bool,
    /// Members of the pool whose words may be in it, beside the author and the translator.
    pub authors: BTreeSet<String>,
    /// Answers that were asked for before, failed and invalid ones included.
    pub n_asked: u32,
    /// Questions to the fusor: none, one, or two where its first answer could not be read.
    pub n_fusions: u32,
}

/// What a fusion keeps of one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FusionOutcome {
    /// What the fusor wrote.
    Fused,
    /// The only valid candidate: nobody was asked to fuse it.
    Only,
    /// The best candidate: of a task whose answers are not fused, or in place of a fused answer that did not come.
    Best,
    /// The best candidate, whose reward is higher than that of the fused answer.
    Better,
    /// Nothing: no candidate is valid.
    Nothing,
}

impl FusionOutcome {
    /// The code as files and reports spell it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Fused => "fused",
            Self::Only => "only",
            Self::Best => "best",
            Self::Better => "better",
            Self::Nothing => "nothing",
        }
    }
}

impl Origin {
    /// Members of the pool whose words may be in the answer: its author, its translator, and everybody behind a fused
    /// one. A member may be named twice.
    pub fn authors(&self) -> impl Iterator<Item = &str> {
        let fused = self.fusion.iter().flat_map(|fusion| fusion.authors.iter());
        std::iter::once(&self.teacher).chain(&self.mt_engine).chain(fused).map(String::as_str)
    }

    /// Answers that were asked for to have this one, those of a fusor included.
    pub fn n_generations(&self) -> u64 {
        self.fusion.as_ref().map_or(1, |fusion| u64::from(fusion.n_asked) + u64::from(fusion.n_fusions))
    }
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
