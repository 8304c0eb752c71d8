//! What a model is trained on, before and after it became tokens.

use cambist_core::{language::Language, prompt::Message};
use serde::{Deserialize, Serialize};

/// One row of training data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainRow {
    /// Names the row in errors.
    pub id: String,
    /// The language that its loss is reported under.
    pub language: Language,
    /// What the row counts in means over rows, above 0; 1 unless said otherwise.
    pub weight: f64,
    /// By how much the chosen answer of a pair is better, in the units of whoever scored both; none where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// What is learned from.
    pub content: RowContent,
}

/// What a row holds; an objective says which kind it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowContent {
    /// A document, for pre-training.
    Text(String),
    /// A conversation with at least one assistant's turn, for SFT.
    Chat(Vec<Message>),
    /// Two answers to one prompt, for preference objectives.
    Pair {
        /// The turns so far; the last is the user's.
        prompt: Vec<Message>,
        /// The better answer.
        chosen: String,
        /// The worse answer.
        rejected: String,
    },
    /// One answer that is wanted or not, for KTO.
    Unpaired {
        /// The turns so far; the last is the user's.
        prompt: Vec<Message>,
        /// The answer.
        completion: String,
        /// Whether it is wanted.
        desirable: bool,
    },
}

impl RowContent {
    /// Names the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Chat(_) => "a conversation",
            Self::Pair { .. } => "a pair of answers",
            Self::Unpaired { .. } => "an answer with a label",
        }
    }
}

impl TrainRow {
    /// Returns a row that holds a document.
    pub fn text(id: impl Into<String>, language: Language, text: impl Into<String>) -> Self {
        Self::new(id.into(), language, RowContent::Text(text.into()))
    }

    /// Returns a row that holds a conversation.
    pub fn chat(id: impl Into<String>, language: Language, messages: Vec<Message>) -> Self {
        Self::new(id.into(), language, RowContent::Chat(messages))
    }

    /// Returns a row that holds two answers to one prompt, the better one first.
    pub fn pair(
        id: impl Into<String>,
        language: Language,
        prompt: Vec<Message>,
        [chosen, rejected]: [String; 2],
    ) -> Self {
        Self::new(id.into(), language, RowContent::Pair { prompt, chosen, rejected })
    }

    /// Returns a row that holds one answer, and whether it is wanted.
    pub fn unpaired(
        id: impl Into<String>,
        language: Language,
        prompt: Vec<Message>,
        (completion, desirable): (String, bool),
    ) -> Self {
        Self::new(id.into(), language, RowContent::Unpaired { prompt, completion, desirable })
    }

    fn new(id: String, language: Language, content: RowContent) -> Self {
        Self { id, language, weight: 1.0, margin: None, content }
    }
}

/// Tokens, and what predicting each of them counts in the loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    pub(crate) tokens: Vec<u32>,
    pub(crate) weights: Vec<f32>,
}

impl Sequence {
    /// Pairs tokens with weights, both cut from the right to `max_length`; the first token is never predicted, so its
    /// weight is set to 0. A missing weight is 0.
    pub fn new(mut tokens: Vec<u32>, mut weights: Vec<f32>, max_length: usize) -> Self {
        tokens.truncate(max_length);
        weights.resize(tokens.len(), 0.0);
        if let Some(first) = weights.first_mut() {
            *first = 0.0;
        }
        Self { tokens, weights }
    }

    /// Returns a whole sequence of which one number is read at its end.
    pub(crate) fn read_at_end(tokens: Vec<u32>) -> Self {
        let mut weights = vec![0.0; tokens.len()];
        if let Some(last) = weights.last_mut() {
            *last = 1.0;
        }
        Self { tokens, weights }
    }

    /// The tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The weights of the tokens that count, in their order.
    pub fn loss_weights(&self) -> impl Iterator<Item = f32> {
        self.weights.iter().copied().filter(|weight| *weight != 0.0)
    }

    /// The weight of each token in the loss, in their order; 0 where it does not count.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// How many tokens count.
    pub fn n_loss_tokens(&self) -> usize {
        self.loss_weights().count()
    }

    /// Returns how many tokens stand before the first one that counts.
    pub(crate) fn n_before(&self) -> usize {
        self.scored().next().unwrap_or(self.tokens.len())
    }

    /// Returns the answer of another sequence (its tokens from the first one that counts) behind what stands here before
    /// the first one that counts, cut to `max_length`.
    pub(crate) fn answered_by(&self, other: &Self, max_length: usize) -> Self {
        let (own, answer) = (self.n_before(), other.n_before());
        let tokens = [&self.tokens[..own], &other.tokens[answer..]].concat();
        let weights = [&self.weights[..own], &other.weights[answer..]].concat();
        Self::new(tokens, weights, max_length)
    }

    /// Positions of the tokens that count.
    pub(crate) fn scored(&self) -> impl Iterator<Item = usize> {
        self.weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0).map(|(position, _)| position)
    }
}
