//! What training makes likely.
//!
//! An objective never sees a tensor. It turns a row into token sequences, and later gets the log-probability of every
//! token that counts and returns the loss with its derivative by each of them. The trainer does the rest. So a new
//! objective is one file here, and its test needs no model.

pub mod pretrain;
pub mod sft;

use crate::{
    chat::{Chat, EncodeError},
    model::LocalModel,
    train_row::{RowContent, Sequence},
};

/// Turns conversations and texts into tokens as the model that is trained does.
#[derive(Clone, Copy, Debug)]
pub struct Encoder<'a> {
    pub(crate) chat: &'a Chat,
    pub(crate) max_length: usize,
}

/// A loss over token log-probabilities.
///
/// The loss of a step is the sum over its rows of [`RowLoss::sum`] divided by the sum of [`Objective::denominator`],
/// both over the whole batch, so that micro-batches do not change it.
pub trait Objective: Send + Sync {
    /// Names the objective in errors and logs.
    fn name(&self) -> &'static str;

    /// Returns the sequences whose log-probabilities the loss needs: one for SFT, two for a pair.
    ///
    /// # Errors
    /// When the row is of another kind or cannot become tokens.
    fn encode(&self, row: &RowContent, encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError>;

    /// Returns what the row adds to the denominator of a step's loss: its loss tokens for a token mean, 1 for a row mean.
    fn denominator(&self, sequences: &[Sequence]) -> f64;

    /// Returns the row's loss before the division, and its derivatives.
    fn loss(&self, row: ScoredRow<'_>) -> RowLoss;

    /// Returns a frozen model whose log-probabilities the loss needs too; none by default.
    fn reference(&self) -> Option<&LocalModel> {
        None
    }
}

/// A row with the log-probabilities of its tokens.
#[derive(Clone, Copy, Debug)]
pub struct ScoredRow<'a> {
    /// What [`Objective::encode`] returned.
    pub sequences: &'a [Sequence],
    /// Nats, for each sequence one number for each token that counts.
    pub log_probs: &'a [Vec<f32>],
    /// The same under [`Objective::reference`]; empty when there is none.
    pub reference: &'a [Vec<f32>],
}

/// A row's loss and its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct RowLoss {
    /// Before the division by the denominator.
    pub sum: f64,
    /// By each log-probability, in the shape of [`ScoredRow::log_probs`].
    pub gradients: Vec<Vec<f32>>,
}

/// Returns the weighted negative log-likelihood, `-sum(weight * log_prob)`.
fn weighted_nll(row: ScoredRow<'_>) -> RowLoss {
    let gradients: Vec<Vec<f32>> = row.sequences.iter().map(|s| s.loss_weights().map(|w| -w).collect()).collect();
    let terms = gradients.iter().flatten().zip(row.log_probs.iter().flatten());
    RowLoss { sum: terms.map(|(g, log_prob)| f64::from(*g) * f64::from(*log_prob)).sum(), gradients }
}

/// Returns the sum of all weights.
fn total_weight(sequences: &[Sequence]) -> f64 {
    sequences.iter().flat_map(Sequence::loss_weights).map(f64::from).sum()
}
