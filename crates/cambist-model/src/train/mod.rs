//! The one trainer: any objective, any model of this crate.

pub mod config;
mod optimizer;
mod order;

use std::{collections::BTreeMap, ops::ControlFlow};

use cambist_core::language::Language;
use candle_core::{Device, Tensor};

use self::{
    config::TrainConfig,
    optimizer::{AdamW, gradient_norm},
    order::Order,
};
use crate::{
    batch::Batch,
    chat::EncodeError,
    fault::TensorFault,
    model::LocalModel,
    objective::{Encoder, Objective, ScoredRow},
    score,
    tape::{Tape, add_assign},
    train_row::{Sequence, TrainRow},
};

/// What happened in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepLog {
    /// The step, from 0.
    pub step: usize,
    /// All steps of the run.
    pub n_steps: usize,
    /// The objective's loss before the step, in nats per token for SFT and pre-training.
    pub loss: f64,
    /// The learning rate of the step.
    pub lr: f64,
    /// The norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Tokens that counted in the loss.
    pub n_loss_tokens: usize,
    /// Tokens that went through the model.
    pub n_tokens: usize,
    /// The loss of each language that the batch held.
    pub loss_per_language: BTreeMap<Language, f64>,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSummary {
    /// Steps taken; fewer than planned when the observer stopped the run.
    pub n_steps: usize,
    /// Tokens that went through the model.
    pub n_tokens: usize,
    /// Tokens that counted in the loss.
    pub n_loss_tokens: usize,
    /// The loss of the last step; NaN when none was taken.
    pub last_loss: f64,
    /// Whether the observer stopped the run.
    pub stopped: bool,
}

/// A training run cannot begin or go on. The model keeps the weights of the last whole step.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Nothing to learn from.
    #[error("there are no rows to train on")]
    NoRows,
    /// A size of nothing.
    #[error("`{0}` is 0; give at least 1")]
    Zero(&'static str),
    /// Longer sequences than the model has positions.
    #[error("`max_length` is {asked}, but the model has {max_positions} positions")]
    MaxLength {
        /// What was asked for.
        asked: usize,
        /// The model's positions.
        max_positions: usize,
    },
    /// A row cannot become tokens.
    #[error("row `{id}`: {source}")]
    Row {
        /// The row.
        id: String,
        /// Why not.
        source: EncodeError,
    },
    /// A parameter would silently stay as it is.
    #[error("no gradient reaches `{0}`; the model cannot be trained like this, please report it")]
    NoGradient(String),
    /// The run diverged.
    #[error("the loss is {loss} at step {step}; lower `lr` (now {lr:e}) or look at the rows of this step")]
    NotFinite {
        /// The step, from 0.
        step: usize,
        /// The loss.
        loss: f64,
        /// The learning rate of the step.
        lr: f64,
    },
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] TensorFault),
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(TensorFault(error))
    }
}

/// A row in tokens.
pub(crate) struct EncodedRow {
    pub(crate) language: Language,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) denominator: f64,
    /// Log-probabilities under the objective's reference model.
    reference: Vec<Vec<f32>>,
}

/// Trains a model in place and tells the observer of every step, which may stop the run after it.
///
/// Rows are shuffled anew for each pass. The same model, rows, objective and configuration give the same weights to
/// the last bit on the same kind of processor, whatever the number of threads. Runs on the current rayon pool.
///
/// # Errors
/// When a row cannot become tokens (all are looked at before the first step) or the loss is no longer finite.
pub fn train(
    model: &mut LocalModel,
    (rows, objective): (&[TrainRow], &dyn Objective),
    config: &TrainConfig,
    observer: &mut dyn FnMut(&StepLog) -> ControlFlow<()>,
) -> Result<TrainSummary, TrainError> {
    check(model, rows, config)?;
    let max_length = config.max_length.unwrap_or(model.max_positions());
    let rows = encode_rows(model, (rows, objective), max_length)?;
    let n_steps = config.n_steps(rows.len());
    let mut optimizer = AdamW::new(&model.decoder.parameters);
    let mut order = Order::new(rows.len(), config.seed);
    let mut summary = TrainSummary { n_steps: 0, n_tokens: 0, n_loss_tokens: 0, last_loss: f64::NAN, stopped: false };
    for step in 0..n_steps {
        let batch: Vec<&EncodedRow> = order.take(config.batch_size).map(|i| &rows[i]).collect();
        let lr = config.learning_rate(step, n_steps);
        let pass = Pass::run(model, &batch, (objective, config))?;
        let loss = pass.loss();
        let grad_norm = gradient_norm(&pass.gradients)?;
        if !(loss.is_finite() && grad_norm.is_finite()) {
            return Err(TrainError::NotFinite { step, loss, lr });
        }
        let scale = config.max_grad_norm.map_or(1.0, |limit| (limit / (grad_norm + 1e-6)).min(1.0));
        optimizer.step(&model.decoder.parameters, &pass.gradients, (lr, scale, config))?;
        summary.n_steps += 1;
        summary.n_tokens += pass.n_tokens;
        summary.n_loss_tokens += pass.n_loss_tokens;
        summary.last_loss = loss;
        let log = StepLog {
            step,
            n_steps,
            loss,
            lr,
            grad_norm,
            n_loss_tokens: pass.n_loss_tokens,
            n_tokens: pass.n_tokens,
            loss_per_language: pass.loss_per_language(),
        };
        if observer(&log).is_break() {
            summary.stopped = true;
            break;
        }
    }
    Ok(summary)
}

fn check(model: &LocalModel, rows: &[TrainRow], config: &TrainConfig) -> Result<(), TrainError> {
    let max_positions = model.max_positions();
    match config.max_length {
        _ if rows.is_empty() => Err(TrainError::NoRows),
        _ if config.batch_size == 0 => Err(TrainError::Zero("batch_size")),
        _ if config.micro_batch_size == Some(0) => Err(TrainError::Zero("micro_batch_size")),
        Some(0) => Err(TrainError::Zero("max_length")),
        Some(asked) if asked > max_positions => Err(TrainError::MaxLength { asked, max_positions }),
        _ => Ok(()),
    }
}

/// Turns rows into tokens, and scores them under the reference model where the objective has one.
pub(crate) fn encode_rows(
    model: &LocalModel,
    (rows, objective): (&[TrainRow], &dyn Objective),
    max_length: usize,
) -> Result<Vec<EncodedRow>, TrainError> {
    let encoder = Encoder { chat: &model.chat, max_length };
    let encode = |row: &TrainRow| {
        let failed = |source| TrainError::Row { id: row.id.clone(), source };
        let sequences = objective.encode(&row.content, encoder).map_err(failed)?;
        let reference = match objective.reference() {
            Some(reference) => score::token_log_probs(reference, &sequences)?,
            None => vec![],
        };
        let denominator = objective.denominator(&sequences);
        Ok(EncodedRow { language: row.language.clone(), sequences, denominator, reference })
    };
    rows.iter().map(encode).collect()
}

/// Loss and gradients of one step.
#[derive(Default)]
struct Pass {
    gradients: Vec<Tensor>,
    per_language: BTreeMap<Language, (f64, f64)>,
    n_tokens: usize,
    n_loss_tokens: usize,
}

impl Pass {
    fn run(
        model: &LocalModel,
        rows: &[&EncodedRow],
        (objective, config): (&dyn Objective, &TrainConfig),
    ) -> Result<Self, TrainError> {
        let denominator: f64 = rows.iter().map(|row| row.denominator).sum();
        let mut pass = Self::default();
        for rows in rows.chunks(config.micro_batch_size.unwrap_or(rows.len())) {
            pass.add(model, rows, (objective, denominator))?;
        }
        Ok(pass)
    }

    fn add(
        &mut self,
        model: &LocalModel,
        rows: &[&EncodedRow],
        (objective, denominator): (&dyn Objective, f64),
    ) -> Result<(), TrainError> {
        let batch = Batch::new(rows.iter().flat_map(|row| &row.sequences));
        let tape = Tape::recording(model.decoder.parameters.len());
        let log_probs = batch.log_probs(&model.decoder, &tape)?;
        let values = batch.split(&log_probs.tensor.to_vec1()?);
        let mut by_token = Vec::with_capacity(batch.n_loss_tokens());
        let mut first = 0;
        for row in rows {
            let log_probs = &values[first..first + row.sequences.len()];
            first += row.sequences.len();
            let loss = objective.loss(ScoredRow { sequences: &row.sequences, log_probs, reference: &row.reference });
            by_token.extend(loss.gradients.iter().flatten().map(|g| (f64::from(*g) / denominator) as f32));
            let sums = self.per_language.entry(row.language.clone()).or_default();
            *sums = (sums.0 + loss.sum, sums.1 + row.denominator);
        }
        let by_token = Tensor::from_vec(by_token, batch.n_loss_tokens(), &Device::Cpu)?;
        self.accumulate(model, tape.backward(&log_probs, by_token)?)?;
        self.n_tokens += batch.n_tokens();
        self.n_loss_tokens += batch.n_loss_tokens();
        Ok(())
    }

    fn accumulate(&mut self, model: &LocalModel, found: Vec<Option<Tensor>>) -> Result<(), TrainError> {
        let mut new = Vec::with_capacity(found.len());
        for (parameter, gradient) in model.decoder.parameters.iter().zip(found) {
            new.push(gradient.ok_or_else(|| TrainError::NoGradient(parameter.name().to_owned()))?);
        }
        if self.gradients.is_empty() {
            self.gradients = new;
            return Ok(());
        }
        Ok(self.gradients.iter().zip(&new).try_for_each(|(sum, new)| add_assign(sum, new))?)
    }

    fn loss(&self) -> f64 {
        let (sum, denominator) = self.per_language.values().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        sum / denominator
    }

    fn loss_per_language(&self) -> BTreeMap<Language, f64> {
        self.per_language.iter().map(|(language, (sum, n))| (language.clone(), sum / n)).collect()
    }
}
