//! Supervised fine-tuning: the assistant's own tokens become likely.

use super::{Encoder, Objective, RowLoss, ScoredRow, total_weight, weighted_nll};
use crate::{
    chat::EncodeError,
    train_row::{RowContent, Sequence},
};

/// The mean negative log-likelihood of the assistant's tokens, end of turn included, over all tokens of the batch.
///
/// Every assistant's turn counts; prompts never do. A conversation beyond the greatest length is cut from the right.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sft;

impl Objective for Sft {
    fn name(&self) -> &'static str {
        "sft"
    }

    fn formula(&self) -> String {
        "mean of -ln π(token) over the assistant's tokens".to_owned()
    }

    fn encode(&self, row: &RowContent, encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError> {
        let RowContent::Chat(messages) = row else {
            let (objective, found) = (self.name(), row.kind());
            return Err(EncodeError::Content { objective, expected: "a conversation", found });
        };
        let conversation = encoder.chat.encode_conversation(messages)?;
        let weights = conversation.is_answer.iter().map(|own| f32::from(*own)).collect();
        let sequence = Sequence::new(conversation.tokens, weights, encoder.max_length);
        match sequence.n_loss_tokens() {
            0 => Err(EncodeError::EmptyMask("no assistant's token lies within the greatest length")),
            _ => Ok(vec![sequence]),
        }
    }

    fn denominators(&self, sequences: &[Sequence]) -> Vec<f64> {
        vec![total_weight(sequences)]
    }

    fn loss(&self, row: ScoredRow<'_>) -> RowLoss {
        weighted_nll(row)
    }
}
