//! Pairs of answers to one prompt, as tokens and as sums of log-probabilities.

use cambist_core::prompt::Message;

use super::{Encoder, ScoredRow};
use crate::{
    chat::EncodeError,
    train_row::{RowContent, Sequence},
};

/// One answer of a pair: sums over its tokens, end of turn included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Its log-probability under the model that is trained, nats.
    pub log_prob: f64,
    /// Its log-probability under the reference model, nats; 0 for losses without one.
    pub reference: f64,
    /// How many tokens count, at least 1.
    pub n_tokens: f64,
}

/// Two answers to one prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnswerPair {
    /// The better one.
    pub chosen: Answer,
    /// The worse one.
    pub rejected: Answer,
}

impl Answer {
    /// Returns the log of the ratio of the model to the reference, nats.
    pub fn log_ratio(&self) -> f64 {
        self.log_prob - self.reference
    }

    /// Returns the mean log-probability of its tokens, nats per token.
    pub fn mean_log_prob(&self) -> f64 {
        self.log_prob / self.n_tokens
    }
}

impl AnswerPair {
    /// Reads the sums of a scored row; sides that are not there are certain and empty.
    pub(super) fn of(row: ScoredRow<'_>) -> Self {
        let side = |i: usize| {
            let log_probs: &[f32] = row.log_probs.get(i).map_or(&[], Vec::as_slice);
            Answer {
                log_prob: log_probs.iter().map(|x| f64::from(*x)).sum(),
                reference: row.reference.get(i).copied().unwrap_or(0.0),
                n_tokens: log_probs.len().max(1) as f64,
            }
        };
        Self { chosen: side(0), rejected: side(1) }
    }
}

/// Returns the chosen and the rejected answer behind their prompt; the tokens of the answers alone count.
///
/// Both begin with the same tokens. An answer beyond the greatest length is cut from the right.
pub(super) fn encode(
    objective: &'static str,
    row: &RowContent,
    encoder: Encoder<'_>,
) -> Result<Vec<Sequence>, EncodeError> {
    let (prompt, [chosen, rejected]) = answers(objective, row)?;
    let (chosen, n_chosen) = encode_side(prompt, chosen, encoder)?;
    let (rejected, n_rejected) = encode_side(prompt, rejected, encoder)?;
    let (n_tokens, max_length) = (n_chosen.min(n_rejected), encoder.max_length);
    if n_tokens > max_length {
        return Err(EncodeError::PairTooLong { n_tokens, max_length });
    }
    if chosen.tokens == rejected.tokens {
        return Err(EncodeError::SameAnswers);
    }
    // The shorter answer fits whole, the longer one keeps at least as many tokens.
    Ok(vec![chosen, rejected])
}

/// Returns the prompt of a pair with the chosen and the rejected answer, neither of which is empty.
pub(super) fn answers<'a>(
    objective: &'static str,
    row: &'a RowContent,
) -> Result<(&'a [Message], [&'a str; 2]), EncodeError> {
    let RowContent::Pair { prompt, chosen, rejected } = row else {
        return Err(EncodeError::Content { objective, expected: "a pair of answers", found: row.kind() });
    };
    for (side, answer) in [("chosen", chosen), ("rejected", rejected)] {
        if answer.trim().is_empty() {
            return Err(EncodeError::EmptyAnswer(side));
        }
    }
    Ok((prompt, [chosen, rejected]))
}

/// Returns a prompt with an answer behind it.
pub(super) fn turns(prompt: &[Message], answer: &str) -> Vec<Message> {
    prompt.iter().cloned().chain([Message::assistant(answer)]).collect()
}

/// Returns one answer behind its prompt, cut to the greatest length, and the tokens that it had.
fn encode_side(prompt: &[Message], answer: &str, encoder: Encoder<'_>) -> Result<(Sequence, usize), EncodeError> {
    let conversation = encoder.chat.encode_conversation(&turns(prompt, answer))?;
    let (n_tokens, weights) = (conversation.tokens.len(), conversation.last_answer());
    Ok((Sequence::new(conversation.tokens, weights, encoder.max_length), n_tokens))
}
