//! Exact log-probabilities and held-out losses.

mod choices;
mod tokens;
mod tree;

use std::collections::BTreeMap;

use cambist_core::{language::Language, prompt::Message};

pub use self::{
    choices::{ChoiceLogProb, ChoiceQuestion, choices},
    tokens::sequence_log_probs,
};

use crate::{
    batch::Batch,
    chat::EncodeError,
    fault::TensorFault,
    model::LocalModel,
    objective::Objective,
    tape::Tape,
    train::{Means, TrainError, config::OnEmptyMask, rows::encode_rows, tally::Tally},
    train_row::{Sequence, TrainRow},
};

/// The log-probability of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnswerLogProb {
    /// Of all its tokens together, end of turn included, in nats.
    pub sum: f64,
    /// How many tokens that is.
    pub n_tokens: usize,
}

/// A loss over many rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanLoss {
    /// The objective's loss: nats per token for SFT and pre-training.
    pub loss: f64,
    /// How many rows it is over.
    pub n_rows: usize,
}

/// Tokens that are scored in one pass: what lies between two products stays in the last cache, and weights are read rarely.
pub(crate) const TOKENS_PER_PASS: usize = 1024;

/// Returns the log-probability of the last turn of each conversation given those before it, in their order. One
/// conversation that cannot become tokens does not keep the others back.
///
/// # Errors
/// When the tensor library fails.
pub fn log_probs(
    model: &LocalModel,
    conversations: &[Vec<Message>],
) -> Result<Vec<Result<AnswerLogProb, EncodeError>>, TensorFault> {
    let encoded: Vec<_> = conversations.iter().map(|messages| last_answer(model, messages)).collect();
    let sequences: Vec<&Sequence> = encoded.iter().filter_map(|e| e.as_ref().ok()).collect();
    let mut scores = passes(model, &sequences)?.into_iter();
    let answer = |log_probs: Vec<f32>| AnswerLogProb {
        sum: log_probs.iter().map(|x| f64::from(*x)).sum(),
        n_tokens: log_probs.len(),
    };
    Ok(encoded.into_iter().map(|e| e.map(|_| answer(scores.next().unwrap_or_default()))).collect())
}

fn last_answer(model: &LocalModel, messages: &[Message]) -> Result<Sequence, EncodeError> {
    let whole = model.chat.encode_conversation(messages)?;
    let (n_tokens, max_positions) = (whole.tokens.len(), model.max_positions());
    if n_tokens > max_positions {
        return Err(EncodeError::TooLong { n_tokens, max_positions });
    }
    let weights = whole.last_answer();
    let sequence = Sequence::new(whole.tokens, weights, n_tokens);
    match sequence.n_loss_tokens() {
        0 => Err(EncodeError::EmptyMask("the last turn is not the assistant's")),
        _ => Ok(sequence),
    }
}

/// Returns the held-out loss of each language under an objective without a reference model.
///
/// # Errors
/// When a row cannot become tokens, or the objective compares with a reference model.
pub fn mean_loss(
    model: &LocalModel,
    rows: &[TrainRow],
    objective: &dyn Objective,
) -> Result<BTreeMap<Language, MeanLoss>, TrainError> {
    if objective.needs_reference() {
        return Err(TrainError::NoReference(objective.name()));
    }
    let (rows, _) = encode_rows(model, (rows, objective), (model.max_positions(), OnEmptyMask::Error))?;
    let mut tally = Tally::new(objective);
    for row in &rows {
        let log_probs = values(model, &row.sequences)?;
        tally.add(row, &objective.loss(row.scored(&log_probs, 0.0)));
    }
    let mean = |means: Means| MeanLoss { loss: means.loss, n_rows: means.n_rows };
    Ok(tally.per_language().into_iter().map(|(language, means)| (language, mean(means))).collect())
}

/// Returns what the model's head says of each sequence: the log-probabilities of the tokens that count, in nats, or the
/// reward.
pub(crate) fn values(model: &LocalModel, sequences: &[Sequence]) -> Result<Vec<Vec<f32>>, TensorFault> {
    passes(model, &sequences.iter().collect::<Vec<_>>())
}

/// Scores sequences in passes of limited size.
pub(crate) fn passes(model: &LocalModel, sequences: &[&Sequence]) -> Result<Vec<Vec<f32>>, TensorFault> {
    let (mut scores, mut first) = (vec![], 0);
    while first < sequences.len() {
        let mut n_tokens = 0;
        let fits = |s: &&&Sequence| {
            n_tokens += s.tokens.len();
            n_tokens <= TOKENS_PER_PASS
        };
        let n = sequences[first..].iter().take_while(fits).count().max(1);
        let batch = Batch::new(&model.decoder, sequences[first..first + n].iter().copied());
        scores.extend(batch.split(&batch.values(&model.decoder, &Tape::idle())?)?);
        first += n;
    }
    Ok(scores)
}
