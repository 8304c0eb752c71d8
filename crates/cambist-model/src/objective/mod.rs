//! What training minimises.
//!
//! An objective never sees a tensor. It turns a row into token sequences, and later gets the log-probability of every
//! token that counts and returns the loss with its derivative by each of them. The trainer does the rest. So a new
//! objective is one file here, and its test needs no model.

pub mod kto;
mod logistic;
mod pair;
pub mod preference;
pub mod pretrain;
pub mod reward;
pub mod sft;

use cambist_core::prompt::Message;

use crate::{
    chat::{Chat, EncodeError},
    head::Head,
    train_row::{RowContent, Sequence},
};

/// Turns conversations and texts into tokens as the model that is trained does.
#[derive(Clone, Copy, Debug)]
pub struct Encoder<'a> {
    pub(crate) chat: &'a Chat,
    pub(crate) max_length: usize,
}

impl Encoder<'_> {
    /// Returns a whole conversation, as a reward head reads it: rendered without a cue, read at its end.
    ///
    /// # Errors
    /// When the template refuses the conversation, a text holds a control token, or it is longer than the greatest
    /// length, which leaves the row out: the reward of a cut conversation would be another one.
    pub fn whole(self, messages: &[Message]) -> Result<Sequence, EncodeError> {
        let tokens = self.chat.encode_whole(messages, false)?;
        let (n_tokens, max_length) = (tokens.len(), self.max_length);
        if n_tokens > max_length {
            return Err(EncodeError::WholeTooLong { n_tokens, max_length });
        }
        Ok(Sequence::read_at_end(tokens))
    }
}

/// A loss over token log-probabilities, or over rewards.
///
/// The loss of a step is the weighted sum of its terms. A term is the sum over the step's rows of
/// [`TermLoss::sum`] divided by the sum of what [`Objective::denominators`] says, each row by its own weight and both
/// over the whole step, so that micro-batches do not change it.
pub trait Objective: Send + Sync {
    /// Names the objective in errors and logs.
    fn name(&self) -> &'static str;

    /// Which head of the model the loss reads; a language model's by default.
    fn head(&self) -> Head {
        Head::Language
    }

    /// Returns the loss as a formula with every number in it; it tells one run from another. The name by default.
    fn formula(&self) -> String {
        self.name().to_owned()
    }

    /// Returns the terms of the loss; one of weight 1 by default.
    fn terms(&self) -> Vec<Term> {
        vec![Term::default()]
    }

    /// Returns the sequences whose log-probabilities the loss needs: one for SFT, two for a pair.
    ///
    /// # Errors
    /// When the row is of another kind or cannot become tokens. Rows whose error [`EncodeError::drops`] are left out
    /// and told of; any other error ends the run.
    fn encode(&self, row: &RowContent, encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError>;

    /// Returns what the row adds to the denominator of each term: its loss tokens for a token mean, 1 for a row mean.
    fn denominators(&self, sequences: &[Sequence]) -> Vec<f64>;

    /// Returns the row's loss before the division, its derivatives, and what else is measured of it.
    fn loss(&self, row: ScoredRow<'_>) -> RowLoss;

    /// Names the numbers in [`RowLoss::metrics`]; none by default.
    fn metrics(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the loss looks at [`ScoredRow::reference`]; it does not by default.
    fn needs_reference(&self) -> bool {
        false
    }

    /// Whether the loss looks at [`ScoredRow::margin`]; it does not by default.
    fn needs_margin(&self) -> bool {
        false
    }

    /// Whether the loss looks at [`ScoredRow::baseline`], what all rows of a step have in common; it does not by default.
    fn needs_baseline(&self) -> bool {
        false
    }
}

/// One summand of a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// Under which name it is logged before its weight, such as `loss/nll`; none when it is the whole loss.
    pub metric: Option<&'static str>,
    /// What it counts in the loss.
    pub weight: f64,
}

impl Default for Term {
    fn default() -> Self {
        Self { metric: None, weight: 1.0 }
    }
}

/// A row with the log-probabilities of its tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScoredRow<'a> {
    /// What [`Objective::encode`] returned.
    pub sequences: &'a [Sequence],
    /// Nats, for each sequence one number for each token that counts; for [`Head::Reward`] one number, the reward.
    pub log_probs: &'a [Vec<f32>],
    /// The sum of each sequence's log-probabilities under the reference model, in nats; empty where
    /// [`Objective::needs_reference`] says no.
    pub reference: &'a [f64],
    /// By how much the chosen answer of a pair is better, in the units of whoever scored both; 0 where
    /// [`Objective::needs_margin`] says no.
    pub margin: f64,
    /// Whether an unpaired answer is wanted; true for rows of other kinds.
    pub desirable: bool,
    /// How far the model went from the reference on answers under prompts that they do not belong to: the mean log-ratio of
    /// the step's answers, each under the prompt of another row of the step and by that row's weight, nats, at least 0. It
    /// is taken over the whole step before its first micro-batch. 0 where [`Objective::needs_baseline`] says no.
    pub baseline: f64,
}

/// A row's loss and what else is measured of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RowLoss {
    /// In the order of [`Objective::terms`].
    pub terms: Vec<TermLoss>,
    /// In the order of [`Objective::metrics`]; none for what this row says nothing of.
    pub metrics: Vec<Option<f64>>,
}

/// What a row adds to one term.
#[derive(Clone, Debug, PartialEq)]
pub struct TermLoss {
    /// Before the division by the denominator.
    pub sum: f64,
    /// The derivatives by each log-probability, in the shape of [`ScoredRow::log_probs`].
    pub gradients: Vec<Vec<f32>>,
}

impl RowLoss {
    /// Returns the loss of an objective of one term and without metrics.
    pub fn of_one_term(sum: f64, gradients: Vec<Vec<f32>>) -> Self {
        Self { terms: vec![TermLoss { sum, gradients }], metrics: vec![] }
    }
}

/// Returns the weighted negative log-likelihood, `-sum(weight * log_prob)`.
fn weighted_nll(row: ScoredRow<'_>) -> RowLoss {
    let gradients: Vec<Vec<f32>> = row.sequences.iter().map(|s| s.loss_weights().map(|w| -w).collect()).collect();
    let terms = gradients.iter().flatten().zip(row.log_probs.iter().flatten());
    RowLoss::of_one_term(terms.map(|(g, log_prob)| f64::from(*g) * f64::from(*log_prob)).sum(), gradients)
}

/// Returns the sum of all weights.
fn total_weight(sequences: &[Sequence]) -> f64 {
    sequences.iter().flat_map(Sequence::loss_weights).map(f64::from).sum()
}
