//! The one trainer: any objective, any model of this crate.

pub mod config;
mod held_out;
pub mod observer;
mod optimizer;
mod order;
mod state;

use std::{collections::BTreeMap, ops::ControlFlow};

pub use self::state::StateError;
use cambist_core::language::Language;
use candle_core::{Device, Tensor};

use self::{
    config::{Keep, TrainConfig},
    held_out::HeldOut,
    observer::{EachStep, Observer},
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
    /// The step, from 0, whose weights the model has at the end: the last one, or the best on held-out rows where
    /// [`TrainConfig::keep`] says so.
    pub kept_step: usize,
    /// Whether held-out loss no longer fell, and the run ended before its last step.
    pub ended_early: bool,
}

impl Default for TrainSummary {
    fn default() -> Self {
        let last_loss = f64::NAN;
        Self { n_steps: 0, n_tokens: 0, n_loss_tokens: 0, last_loss, stopped: false, kept_step: 0, ended_early: false }
    }
}

/// What a run trains on, and where it begins.
#[derive(Clone, Copy)]
pub struct Training<'a> {
    /// Rows to learn from.
    pub rows: &'a [TrainRow],
    /// What they make likely.
    pub objective: &'a dyn Objective,
    /// Rows that are never learned from, measured every [`TrainConfig::eval_every`] steps.
    pub held_out: &'a [TrainRow],
    /// What [`Observer::keep`] was given by an earlier run of the same model, rows, objective and configuration: this
    /// one goes on after it, and ends with the same weights to the last bit.
    pub resume: Option<&'a [u8]>,
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
    /// Something that needs held-out rows, and there are none.
    #[error("`{0}` needs held-out rows, and `eval_every` to say how often they are measured")]
    NoHeldOut(&'static str),
    /// The run cannot go on from what was kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// The run diverged.
    #[error(
        "the loss is {loss}, the gradient's norm {grad_norm} at step {step}; lower `lr` (now {lr:e}) or look at the rows of this step: {}",
        rows.join(", ")
    )]
    NotFinite {
        /// The step, from 0.
        step: usize,
        /// The loss.
        loss: f64,
        /// The norm of all gradients.
        grad_norm: f64,
        /// The learning rate of the step.
        lr: f64,
        /// The rows of the step.
        rows: Vec<String>,
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
    pub(crate) id: String,
    pub(crate) language: Language,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) denominator: f64,
    /// Log-probabilities under the objective's reference model.
    pub(crate) reference: Vec<Vec<f32>>,
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
    let training = Training { rows, objective, held_out: &[], resume: None };
    run(model, &training, config, &mut EachStep(observer))
}

/// Trains as [`train`] does, with held-out rows, and from where an earlier run was interrupted.
///
/// # Errors
/// As [`train`], and when `resume` is not of this run.
pub fn run(
    model: &mut LocalModel,
    training: &Training<'_>,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<TrainSummary, TrainError> {
    check(model, training, config)?;
    let max_length = config.max_length.unwrap_or(model.max_positions());
    let rows = encode_rows(model, (training.rows, training.objective), max_length)?;
    let fingerprint = state::fingerprint(model, &rows, (training.objective, config));
    let mut run = Run {
        optimizer: AdamW::new(&model.decoder.parameters),
        held_out: HeldOut::new(encode_rows(model, (training.held_out, training.objective), max_length)?),
        summary: TrainSummary::default(),
    };
    if let Some(kept) = training.resume {
        run.resume(model, kept, &fingerprint)?;
    }
    let n_steps = config.n_steps(rows.len());
    let mut order = Order::new(rows.len(), config.seed);
    order.skip(run.summary.n_steps * config.batch_size);
    while run.summary.n_steps < n_steps && !run.summary.ended_early && !run.summary.stopped {
        let batch: Vec<&EncodedRow> = order.take(config.batch_size).map(|i| &rows[i]).collect();
        let log = run.step(model, &batch, (training.objective, config, n_steps))?;
        run.summary.stopped = observer.step(&log).is_break();
        if config.is_measured(log.step, n_steps) && !training.held_out.is_empty() {
            let measured = run.held_out.measure(model, training.objective, log.step)?;
            run.summary.ended_early = run.held_out.is_past(config.patience);
            observer.held_out(&measured);
        }
        if observer.wants_state(run.summary.stopped) {
            observer.keep(run.state(model, &fingerprint)?);
        }
    }
    run.summary.kept_step = run.summary.n_steps.saturating_sub(1);
    if config.keep == Keep::Best && !run.summary.stopped {
        run.summary.kept_step = run.held_out.restore(model).unwrap_or(run.summary.kept_step);
    }
    Ok(run.summary)
}

/// A run under way.
struct Run {
    optimizer: AdamW,
    held_out: HeldOut,
    summary: TrainSummary,
}

impl Run {
    fn step(
        &mut self,
        model: &LocalModel,
        batch: &[&EncodedRow],
        (objective, config, n_steps): (&dyn Objective, &TrainConfig, usize),
    ) -> Result<StepLog, TrainError> {
        let step = self.summary.n_steps;
        let lr = config.learning_rate(step, n_steps);
        let pass = Pass::run(model, batch, (objective, config))?;
        let (loss, grad_norm) = (pass.loss(), gradient_norm(&pass.gradients)?);
        if !(loss.is_finite() && grad_norm.is_finite()) {
            let rows = batch.iter().map(|row| format!("`{}`", row.id)).collect();
            return Err(TrainError::NotFinite { step, loss, grad_norm, lr, rows });
        }
        let scale = config.max_grad_norm.map_or(1.0, |limit| (limit / (grad_norm + 1e-6)).min(1.0));
        self.optimizer.step(&model.decoder.parameters, &pass.gradients, (lr, scale, config))?;
        self.summary.n_steps += 1;
        self.summary.n_tokens += pass.n_tokens;
        self.summary.n_loss_tokens += pass.n_loss_tokens;
        self.summary.last_loss = loss;
        Ok(StepLog {
            step,
            n_steps,
            loss,
            lr,
            grad_norm,
            n_loss_tokens: pass.n_loss_tokens,
            n_tokens: pass.n_tokens,
            loss_per_language: pass.loss_per_language(),
        })
    }
}

fn check(model: &LocalModel, training: &Training<'_>, config: &TrainConfig) -> Result<(), TrainError> {
    let max_positions = model.max_positions();
    let is_measured = config.eval_every.is_some() && !training.held_out.is_empty();
    match config.max_length {
        _ if training.rows.is_empty() => Err(TrainError::NoRows),
        _ if config.eval_every == Some(0) => Err(TrainError::Zero("eval_every")),
        _ if config.keep == Keep::Best && !is_measured => Err(TrainError::NoHeldOut("keep: best")),
        _ if config.patience.is_some() && !is_measured => Err(TrainError::NoHeldOut("patience")),
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
        Ok(EncodedRow { id: row.id.clone(), language: row.language.clone(), sequences, denominator, reference })
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
