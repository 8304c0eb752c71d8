//! The prompts of a completion, or the inputs of a reward model: texts or token ids, one or several.

use std::sync::Arc;

use cambist_model::{Tokenizer, TokenizerError, text_offsets};
use serde::Deserialize;

use super::refusal::Refusal;

/// As a body gives them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Prompts {
    Text(String),
    Ids(Vec<u32>),
    Texts(Vec<String>),
    ManyIds(Vec<Vec<u32>>),
}

/// A prompt in tokens, and its text.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    pub(super) tokens: Arc<[u32]>,
    pub(super) text: String,
    /// For each token the character of the text in which it begins; empty where nobody asks.
    pub(super) offsets: Vec<usize>,
}

/// How prompts are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    /// The member that holds them.
    pub(super) param: &'static str,
    /// Whether the tokenizer adds its special tokens to texts.
    pub(super) with_specials: bool,
    /// Whether it is told where tokens begin.
    pub(super) with_offsets: bool,
}

impl Prompts {
    /// Returns each prompt, in their order.
    pub(super) fn read(self, how: Reading<'_>) -> Result<Vec<Prompt>, Refusal> {
        match self {
            Self::Text(text) => Self::Texts(vec![text]).read(how),
            Self::Texts(texts) => texts.into_iter().map(|text| how.encoded(text)).collect(),
            Self::Ids(ids) => Self::ManyIds(vec![ids]).read(how),
            Self::ManyIds(many) => many.into_iter().map(|ids| how.decoded(&ids)).collect(),
        }
    }
}

impl Reading<'_> {
    fn encoded(self, text: String) -> Result<Prompt, Refusal> {
        let Self { tokenizer, with_specials, .. } = self;
        let (tokens, offsets) = match (self.with_offsets, with_specials) {
            (true, _) => tokenizer.encode_with_offsets(&text, with_specials),
            (false, true) => tokenizer.encode_with_specials(&text).map(|tokens| (tokens, vec![])),
            (false, false) => tokenizer.encode(&text).map(|tokens| (tokens, vec![])),
        }
        .map_err(|error| self.failed(&error))?;
        Ok(Prompt { tokens: tokens.into(), text, offsets })
    }

    fn decoded(self, ids: &[u32]) -> Result<Prompt, Refusal> {
        let n_known = self.tokenizer.vocab_size();
        if let Some(id) = ids.iter().find(|id| **id as usize >= n_known) {
            return Err(Refusal::wrong(self.param, format!("token {id} is not one of the tokenizer's {n_known}")));
        }
        let offsets = if self.with_offsets { text_offsets(self.tokenizer, ids) } else { Ok(vec![]) };
        let offsets = offsets.map_err(|error| self.failed(&error))?;
        let text = self.tokenizer.decode(ids).map_err(|error| self.failed(&error))?;
        Ok(Prompt { tokens: ids.into(), text, offsets })
    }

    fn failed(self, error: &TokenizerError) -> Refusal {
        Refusal::wrong(self.param, error.to_string())
    }
}
