//! The one trainer: any objective, any model of this crate.

pub mod config;
mod held_out;
pub mod memory;
mod mismatch;
pub mod observer;
mod optimizer;
mod order;
pub mod reference;
pub(crate) mod rows;
mod state;
pub(crate) mod tally;

use std::{collections::BTreeMap, ops::ControlFlow};

pub use self::{
    reference::{ReferenceRow, ReferenceSource},
    rows::DroppedRow,
    state::StateError,
    tally::Means,
};
use cambist_core::language::Language;
use candle_core::Tensor;

use self::{
    config::{Keep, TrainConfig},
    held_out::HeldOut,
    mismatch::{Mismatches, Planned},
    observer::{EachStep, Observer},
    optimizer::{AdamW, gradient_norm},
    order::Order,
    rows::{EncodedRow, encode_rows},
    tally::Tally,
};
use crate::{
    batch::Batch,
    buffers::{Recycling, give_storage},
    chat::EncodeError,
    fault::TensorFault,
    head::Head,
    model::LocalModel,
    objective::{Objective, RowLoss},
    recompute::Forward,
    tape::add_assign,
    train_row::TrainRow,
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
    /// Tokens that counted in the loss; sequences where the objective reads rewards.
    pub n_loss_tokens: usize,
    /// Tokens that went through the model.
    pub n_tokens: usize,
    /// What else the objective measures, before the step; empty for SFT and pre-training.
    pub metrics: BTreeMap<String, f64>,
    /// Loss and metrics of each language that the batch held.
    pub per_language: BTreeMap<Language, Means>,
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
    /// Rows that were left out, those that are held out included; [`Observer::dropped`] was told of each.
    pub n_dropped: usize,
}

impl Default for TrainSummary {
    fn default() -> Self {
        let last_loss = f64::NAN;
        Self {
            n_steps: 0,
            n_tokens: 0,
            n_loss_tokens: 0,
            last_loss,
            stopped: false,
            kept_step: 0,
            ended_early: false,
            n_dropped: 0,
        }
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
    /// What preference losses compare with; the model as it is before the first step by default.
    pub reference: ReferenceSource<'a>,
}

impl<'a> Training<'a> {
    /// Returns a run from its first step, without held-out rows, with the model as it is before the first step as the
    /// reference where one is needed.
    pub fn new(rows: &'a [TrainRow], objective: &'a dyn Objective) -> Self {
        Self { rows, objective, held_out: &[], resume: None, reference: ReferenceSource::default() }
    }
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
    /// Steps of a single row, where rows of a step are compared.
    #[error("`batch_size` is 1, and the `{0}` objective compares the rows of a step with one another; give at least 2")]
    LoneRow(&'static str),
    /// The model ends in another head than the objective reads.
    #[error("the `{objective}` objective trains {}, the model has {}", expected.name(), found.name())]
    Head {
        /// The objective.
        objective: &'static str,
        /// What it reads.
        expected: Head,
        /// What the model has.
        found: Head,
    },
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
    /// A row that would teach nothing.
    #[error(
        "row `{id}`: no token of the row counts in the loss: {why}; mend it, or leave such rows out, counted, with \
         `on_empty_mask: drop`"
    )]
    EmptyMask {
        /// The row.
        id: String,
        /// Why nothing counts.
        why: &'static str,
    },
    /// Every row was left out.
    #[error("all {n_dropped} rows were left out, `{}` first: {}", first.id, first.detail)]
    AllDropped {
        /// How many.
        n_dropped: usize,
        /// The first of them.
        first: Box<DroppedRow>,
    },
    /// A row's weight is no weight.
    #[error("row `{id}` has the weight {weight}, expected a number above 0")]
    Weight {
        /// The row.
        id: String,
        /// Its weight.
        weight: f64,
    },
    /// A pair without the margin that the loss looks at.
    #[error("row `{id}` has {}, and the loss looks at margins; give pairs whose answers were scored, or take `margin_scale` away", .found.map_or("no margin".to_owned(), |margin| format!("the margin {margin}")))]
    Margin {
        /// The row.
        id: String,
        /// Its margin, where it has one.
        found: Option<f64>,
    },
    /// Known log-probabilities are not those of the reference model.
    #[error(
        "row `{id}`: the kept reference log-probabilities are {found:?}, the reference model gives {expected:?}; they are of another model: remove them to compute them anew"
    )]
    Reference {
        /// The row.
        id: String,
        /// What was kept, one for each sequence, nats.
        found: Vec<f64>,
        /// What the reference model gives.
        expected: Vec<f64>,
    },
    /// The reference model reads tokens by other numbers.
    #[error("the reference model has another tokenizer than the model that is trained; give one of the same family")]
    ReferenceTokenizer,
    /// An objective that compares with a reference model where there is none.
    #[error("the `{0}` objective compares with a reference model, and there is none here")]
    NoReference(&'static str),
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

/// Trains a model in place, or only its adapter where it has one, and tells the observer of every step, which may stop
/// the run after it.
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
    run(model, &Training::new(rows, objective), config, &mut EachStep(observer))
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
    model.decoder.make_plain().map_err(TensorFault)?;
    let Prepared { rows, held_out, n_dropped, stopped } = prepare(model, training, config, observer)?;
    if stopped {
        return Ok(TrainSummary { stopped, n_dropped, ..TrainSummary::default() });
    }
    let RowSet { rows, mismatches } = rows;
    let fingerprint = state::fingerprint(model, &rows, (training.objective, config));
    if observer.begin(&memory::need(model, &rows, config)).is_break() {
        return Ok(TrainSummary { stopped: true, ..TrainSummary::default() });
    }
    let mut run = Run {
        optimizer: AdamW::new(model.decoder.trained()),
        held_out: HeldOut::new(held_out),
        summary: TrainSummary { n_dropped, ..TrainSummary::default() },
    };
    if let Some(kept) = training.resume {
        run.resume(model, kept, &fingerprint)?;
    }
    let _recycling = Recycling::begin();
    let n_steps = config.n_steps(rows.len());
    let mut order = Order::new(rows.len(), config.seed);
    order.skip(run.summary.n_steps * config.batch_size);
    while run.summary.n_steps < n_steps && !run.summary.ended_early && !run.summary.stopped {
        let places: Vec<usize> = order.take(config.batch_size).collect();
        let baseline = mismatches.as_ref().map_or(Ok(0.0), |own| own.baseline(model, &rows, &places))?;
        let batch = StepRows { rows: places.iter().map(|i| &rows[*i]).collect(), baseline };
        let log = run.step(model, &batch, (training.objective, config, n_steps))?;
        run.summary.stopped = observer.step(&log).is_break();
        if config.is_measured(log.step, n_steps) && !run.held_out.is_empty() {
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

/// Rows that are ready for the first step.
struct Prepared {
    rows: RowSet,
    held_out: RowSet,
    n_dropped: usize,
    /// Whether the observer stopped the run on the way.
    stopped: bool,
}

/// Rows in tokens, and their answers under prompts of others where the objective compares with those.
struct RowSet {
    rows: Vec<EncodedRow>,
    mismatches: Option<Mismatches>,
}

/// The rows of one step, and what they have in common.
struct StepRows<'a> {
    rows: Vec<&'a EncodedRow>,
    /// [`crate::objective::ScoredRow::baseline`].
    baseline: f64,
}

/// Turns rows into tokens, and asks the reference model about them where there is one.
fn prepare(
    model: &LocalModel,
    training: &Training<'_>,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Prepared, TrainError> {
    let (objective, max_length) = (training.objective, config.max_length.unwrap_or(model.max_positions()));
    let how = (max_length, config.on_empty_mask);
    let (mut rows, mut dropped) = encode_rows(model, (training.rows, objective), how)?;
    let (mut held_out, more) = encode_rows(model, (training.held_out, objective), how)?;
    dropped.extend(more);
    observer.dropped(&dropped);
    let n_dropped = dropped.len();
    if let (true, Some(first)) = (rows.is_empty(), dropped.into_iter().next()) {
        return Err(TrainError::AllDropped { n_dropped, first: Box::new(first) });
    }
    let mut stopped = false;
    let mut planned = objective.needs_baseline().then(|| {
        let mut order = Order::new(rows.len(), config.seed);
        let steps = (0..config.n_steps(rows.len())).map(|_| order.take(config.batch_size).collect());
        // Held-out rows are measured all at once.
        let at_once = std::iter::once((0..held_out.len()).collect());
        [Planned::of(&rows, steps, max_length), Planned::of(&held_out, at_once, max_length)]
    });
    if objective.needs_reference() {
        let mismatched = planned.iter_mut().flatten().flat_map(|planned| &mut planned.rows);
        let mut all: Vec<&mut EncodedRow> = rows.iter_mut().chain(&mut held_out).chain(mismatched).collect();
        stopped = reference::fill(model, (training.reference, config.seed), &mut all, observer)?.is_break();
    }
    let settled = planned.map(|both| both.map(|planned| planned.settled((objective.name(), max_length))));
    let (own, measured) = settled.map_or((None, None), |[own, measured]| (Some(own), Some(measured)));
    let rows = RowSet { rows, mismatches: own };
    Ok(Prepared { rows, held_out: RowSet { rows: held_out, mismatches: measured }, n_dropped, stopped })
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
        batch: &StepRows<'_>,
        (objective, config, n_steps): (&dyn Objective, &TrainConfig, usize),
    ) -> Result<StepLog, TrainError> {
        let step = self.summary.n_steps;
        let lr = config.learning_rate(step, n_steps);
        let pass = Pass::run(model, batch, (objective, config))?;
        let (means, grad_norm) = (pass.tally.means(), gradient_norm(&pass.gradients)?);
        let loss = means.loss;
        if !(loss.is_finite() && grad_norm.is_finite()) {
            let rows = batch.rows.iter().map(|row| format!("`{}`", row.id)).collect();
            return Err(TrainError::NotFinite { step, loss, grad_norm, lr, rows });
        }
        let scale = config.max_grad_norm.map_or(1.0, |limit| (limit / (grad_norm + 1e-6)).min(1.0));
        self.optimizer.step(model.decoder.trained(), &pass.gradients, (lr, scale, config))?;
        pass.gradients.iter().try_for_each(give_storage)?;
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
            metrics: means.metrics,
            per_language: pass.tally.per_language(),
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
        _ if config.batch_size == 1 && training.objective.needs_baseline() => {
            Err(TrainError::LoneRow(training.objective.name()))
        }
        Some(0) => Err(TrainError::Zero("max_length")),
        Some(asked) if asked > max_positions => Err(TrainError::MaxLength { asked, max_positions }),
        _ => Ok(()),
    }
}

/// What a step minimises.
struct Terms<'a> {
    objective: &'a dyn Objective,
    /// What each term's sum is multiplied by.
    shares: Vec<f64>,
    baseline: f64,
}

/// Loss and gradients of one step.
struct Pass {
    gradients: Vec<Tensor>,
    tally: Tally,
    n_tokens: usize,
    n_loss_tokens: usize,
}

impl Pass {
    fn run(
        model: &LocalModel,
        batch: &StepRows<'_>,
        (objective, config): (&dyn Objective, &TrainConfig),
    ) -> Result<Self, TrainError> {
        let rows = &batch.rows;
        let terms = Terms { objective, shares: shares(rows, objective), baseline: batch.baseline };
        let mut pass = Self { gradients: vec![], tally: Tally::new(objective), n_tokens: 0, n_loss_tokens: 0 };
        for rows in rows.chunks(config.micro_batch_size.unwrap_or(rows.len())) {
            pass.add(model, rows, (&terms, config.gradient_checkpointing))?;
        }
        Ok(pass)
    }

    fn add(
        &mut self,
        model: &LocalModel,
        rows: &[&EncodedRow],
        (terms, checkpointing): (&Terms<'_>, bool),
    ) -> Result<(), TrainError> {
        let batch = Batch::new(&model.decoder, rows.iter().flat_map(|row| &row.sequences));
        let forward = Forward::run(&model.decoder, &batch, checkpointing)?;
        let values = batch.split(forward.said())?;
        let mut by_value = Vec::with_capacity(batch.n_values());
        let mut first = 0;
        for row in rows {
            let log_probs = &values[first..first + row.sequences.len()];
            first += row.sequences.len();
            let loss = terms.objective.loss(row.scored(log_probs, terms.baseline));
            extend_by_value(&mut by_value, &loss, (row.weight, &terms.shares));
            self.tally.add(row, &loss);
        }
        self.accumulate(model, forward.backward(by_value)?)?;
        self.n_tokens += batch.n_tokens();
        self.n_loss_tokens += batch.n_values();
        Ok(())
    }

    fn accumulate(&mut self, model: &LocalModel, found: Vec<Option<Tensor>>) -> Result<(), TrainError> {
        let mut new = Vec::with_capacity(found.len());
        for (parameter, gradient) in model.decoder.trained().iter().zip(found) {
            new.push(gradient.ok_or_else(|| TrainError::NoGradient(parameter.name().to_owned()))?);
        }
        if self.gradients.is_empty() {
            self.gradients = new;
            return Ok(());
        }
        let add = |(sum, new): (&Tensor, &Tensor)| add_assign(sum, new).and_then(|()| give_storage(new));
        Ok(self.gradients.iter().zip(&new).try_for_each(add)?)
    }
}

/// Returns what each term's sum is multiplied by in the loss of a step: its weight over the step's denominator.
fn shares(rows: &[&EncodedRow], objective: &dyn Objective) -> Vec<f64> {
    let denominator = |i: usize| rows.iter().map(|row| row.weight * row.denominators[i]).sum::<f64>();
    objective.terms().iter().enumerate().map(|(i, term)| term.weight / denominator(i)).collect()
}

/// Appends the derivatives of a step's loss by what the head says of a row.
fn extend_by_value(by_value: &mut Vec<f32>, loss: &RowLoss, (weight, shares): (f64, &[f64])) {
    let first = by_value.len();
    for (term, share) in loss.terms.iter().zip(shares) {
        let n_tokens = term.gradients.iter().map(Vec::len).sum::<usize>();
        by_value.resize(by_value.len().max(first + n_tokens), 0.0);
        for (sum, g) in by_value[first..].iter_mut().zip(term.gradients.iter().flatten()) {
            *sum += (f64::from(*g) * weight * share) as f32;
        }
    }
}
