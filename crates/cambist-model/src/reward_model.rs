//! A model that scores conversations: by its reward head, or by how it would go on.

use std::sync::Arc;

use cambist_core::prompt::Message;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    chat::EncodeError, decoder::Products, fault::TensorFault, head::Head, model::LocalModel, score, tape::Tape,
    tokenizer::TokenizerError, train_row::Sequence,
};

/// A model that scores whole conversations; higher is better, the scale is the model's own.
#[derive(Debug)]
pub struct RewardModel {
    model: LocalModel,
    reading: Reading,
}

/// The tokens by whose logits a language model says how good an answer is (arXiv 2408.15240, whose reward is the
/// likelihood of `Yes`; log-odds order answers alike and do not saturate).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardTokens {
    /// The token that a good answer makes likely, such as `Yes`: its name in the vocabulary, or a text of one token.
    pub good: String,
    /// The token that a bad answer makes likely, such as `No`; the reward is then the difference of both logits, the
    /// log-odds between them, in nats. None for the plain logit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
}

/// Where a reward is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Head,
    Logits { good: u32, bad: Option<u32> },
}

/// A model cannot be a reward model.
#[derive(Debug, thiserror::Error)]
pub enum RewardModelError {
    /// A language model, and nothing says which token's logit is the reward.
    #[error(
        "the model has a language model's head; expected `...ForSequenceClassification` with one label, or the token whose logit is the reward"
    )]
    NoHead,
    /// A reward head, and tokens too.
    #[error("the model has a reward head, which predicts no token `{0}`; remove the tokens")]
    NoTokens(String),
    /// A text that is not exactly one token.
    #[error("`{text}` is {n_tokens} tokens of this model; expected one, by its name in `tokenizer.json`")]
    Token {
        /// The text.
        text: String,
        /// How many tokens it is.
        n_tokens: usize,
    },
    /// The tokenizer refuses a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// A conversation has no reward.
#[derive(Debug, thiserror::Error)]
pub enum NoReward {
    /// It cannot become tokens, or has more of them than the model has positions.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The model computed no number.
    #[error("the reward is {0}; expected a finite number: look for weights that are not")]
    NotFinite(f32),
}

impl RewardModel {
    /// Takes a model with a reward head, or a language model and the tokens that say how good an answer is.
    ///
    /// # Errors
    /// When the model's head and the tokens do not fit one another, or a text is not one token.
    pub fn new(model: LocalModel, tokens: Option<&RewardTokens>) -> Result<Self, RewardModelError> {
        let reading = match (model.head(), tokens) {
            (Head::Reward, None) => Reading::Head,
            (Head::Reward, Some(tokens)) => return Err(RewardModelError::NoTokens(tokens.good.clone())),
            (Head::Language, None) => return Err(RewardModelError::NoHead),
            (Head::Language, Some(tokens)) => Reading::Logits {
                good: one_token(&model, &tokens.good)?,
                bad: tokens.bad.as_deref().map(|bad| one_token(&model, bad)).transpose()?,
            },
        };
        Ok(Self { model, reading })
    }

    /// Returns the reward of each conversation, in their order; one that has none does not keep the others back.
    ///
    /// A conversation is rendered by the chat template with exactly one beginning, never cut, and read at its last
    /// token; logits are those of the token that would come next, the cue for an answer included. Several are read at
    /// once on the current rayon pool, each by itself and without padding, so that no reward depends on its company.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn rewards(&self, conversations: &[Vec<Message>]) -> Result<Vec<Result<f64, NoReward>>, TensorFault> {
        conversations.par_iter().map(|messages| self.reward(messages)).collect()
    }

    /// Returns the reward of each sequence of tokens as [`RewardModel::rewards`] does of conversations; nothing is put
    /// before or behind them.
    ///
    /// # Errors
    /// When the tensor library fails, or a token is beyond the embedding table.
    pub fn rewards_of_tokens(&self, sequences: &[Arc<[u32]>]) -> Result<Vec<Result<f64, NoReward>>, TensorFault> {
        sequences.par_iter().map(|tokens| self.reward_of(tokens.to_vec())).collect()
    }

    /// Returns the tokens that a conversation's reward is read from.
    ///
    /// # Errors
    /// When the template refuses the conversation, or a text holds a control token.
    pub fn encode(&self, messages: &[Message]) -> Result<Vec<u32>, EncodeError> {
        self.model.chat.encode_whole(messages, self.reading != Reading::Head)
    }

    /// The model itself.
    pub fn model(&self) -> &LocalModel {
        &self.model
    }

    fn reward(&self, messages: &[Message]) -> Result<Result<f64, NoReward>, TensorFault> {
        match self.encode(messages) {
            Ok(tokens) => self.reward_of(tokens),
            Err(error) => Ok(Err(error.into())),
        }
    }

    fn reward_of(&self, tokens: Vec<u32>) -> Result<Result<f64, NoReward>, TensorFault> {
        let (n_tokens, max_positions) = (tokens.len(), self.model.max_positions());
        if n_tokens > max_positions {
            return Ok(Err(EncodeError::TooLong { n_tokens, max_positions }.into()));
        }
        if n_tokens == 0 {
            return Ok(Err(EncodeError::EmptyMask("the conversation has no token").into()));
        }
        let reward = match self.reading {
            Reading::Head => score::values(&self.model, &[Sequence::read_at_end(tokens)])?.concat()[0],
            Reading::Logits { good, bad } => {
                let logits = last_logits(&self.model, &tokens)?;
                logits[good as usize] - bad.map_or(0.0, |bad| logits[bad as usize])
            }
        };
        Ok(if reward.is_finite() { Ok(f64::from(reward)) } else { Err(NoReward::NotFinite(reward)) })
    }
}

/// Returns the logits of the token behind a sequence, one for each row of the embedding table.
fn last_logits(model: &LocalModel, tokens: &[u32]) -> Result<Vec<f32>, TensorFault> {
    let mut attention = model.decoder.causal(Arc::from([0, tokens.len()]));
    let last = Arc::from([tokens.len() as u32 - 1]);
    let how = (Products::Blocked, Some(&last));
    let hidden = model.decoder.hidden(&Tape::idle(), &Arc::from(tokens), &mut attention, how)?;
    Ok(model.decoder.logits(&hidden, Products::Blocked)?.flatten_all()?.to_vec1()?)
}

fn one_token(model: &LocalModel, text: &str) -> Result<u32, RewardModelError> {
    if let Some(id) = model.tokenizer().token_id(text) {
        return Ok(id);
    }
    match model.tokenizer().encode(text)?.as_slice() {
        [id] => Ok(*id),
        tokens => Err(RewardModelError::Token { text: text.to_owned(), n_tokens: tokens.len() }),
    }
}
