//! Pre-training: every token of a document becomes likely.

use super::{Encoder, Objective, RowLoss, ScoredRow, total_weight, weighted_nll};
use crate::{
    chat::EncodeError,
    train_row::{RowContent, Sequence},
};

/// The mean negative log-likelihood of all tokens of a document but the first, the end of the document included.
///
/// A document beyond the greatest length becomes several sequences; each begins with the last token of the one before,
/// so that every token is predicted once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pretrain;

impl Objective for Pretrain {
    fn name(&self) -> &'static str {
        "pretrain"
    }

    fn formula(&self) -> String {
        "mean of -ln π(token) over all tokens of a document but the first".to_owned()
    }

    fn encode(&self, row: &RowContent, encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError> {
        let RowContent::Text(text) = row else {
            let (objective, found) = (self.name(), row.kind());
            return Err(EncodeError::Content { objective, expected: "a text", found });
        };
        let tokens = encoder.chat.encode_document(text)?;
        if tokens.len() < 2 || encoder.max_length < 2 {
            return Err(EncodeError::EmptyMask("a document needs two tokens, and a greatest length of two"));
        }
        let stride = encoder.max_length - 1;
        let piece = |first: usize| {
            let end = tokens.len().min(first + encoder.max_length);
            Sequence::new(tokens[first..end].to_vec(), vec![1.0; end - first], encoder.max_length)
        };
        Ok((0..tokens.len() - 1).step_by(stride).map(piece).collect())
    }

    fn denominators(&self, sequences: &[Sequence]) -> Vec<f64> {
        vec![total_weight(sequences)]
    }

    fn loss(&self, row: ScoredRow<'_>) -> RowLoss {
        weighted_nll(row)
    }
}
