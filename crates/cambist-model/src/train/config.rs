//! How a training run is set up.

use serde::{Deserialize, Serialize};

/// How a training run is set up; what is left out takes its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimiser steps; none (the default) means that `epochs` decides.
    pub steps: Option<usize>,
    /// Passes over the rows where `steps` is none, default 1; the last batch of a pass may run into the next.
    pub epochs: f64,
    /// Rows a step, default 16.
    pub batch_size: usize,
    /// Rows in memory at once, none (the default) for a whole batch; does not change the result beyond rounding.
    pub micro_batch_size: Option<usize>,
    /// Keeps only what goes into each layer and computes the rest again on the way back: the same result to the last
    /// bit with less memory, for one more pass through the layers; default false.
    #[serde(skip_serializing)]
    pub gradient_checkpointing: bool,
    /// Highest learning rate, default 4e-3, right for models below a million parameters.
    pub lr: f64,
    /// How the learning rate falls after the warm-up, default cosine.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises from `lr / warmup_steps` to `lr`; none (the default) means that
    /// `warmup_ratio` decides.
    pub warmup_steps: Option<usize>,
    /// Share of all steps that is warm-up where `warmup_steps` is none, default 0.05.
    pub warmup_ratio: f64,
    /// Decoupled weight decay of matrices, default 0.01; norms and embeddings have none.
    pub weight_decay: f64,
    /// Decay of the first and the second moment, default 0.9 and 0.95.
    pub betas: (f64, f64),
    /// Added to the root of the second moment, default 1e-8.
    pub eps: f64,
    /// Largest norm of all gradients together, longer ones are scaled down; default 1.0, none for no limit.
    pub max_grad_norm: Option<f64>,
    /// Longest sequence in tokens; none (the default) for the model's positions.
    pub max_length: Option<usize>,
    /// What becomes of a row of which no token counts in the loss, default an error.
    #[serde(skip_serializing_if = "OnEmptyMask::is_error")]
    pub on_empty_mask: OnEmptyMask,
    /// Measures held-out rows every so many steps and after the last one; none (the default) for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_every: Option<usize>,
    /// Which step's weights the model has at the end, default the last.
    #[serde(skip_serializing_if = "Keep::is_last")]
    pub keep: Keep,
    /// Ends the run when held-out loss has not fallen for so many measurements; none (the default) for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Names the order of the rows.
    pub seed: u64,
}

/// What becomes of a row of which no token counts in the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnEmptyMask {
    /// It ends the run before its first step.
    #[default]
    Error,
    /// It is left out, counted and listed.
    Drop,
}

impl OnEmptyMask {
    fn is_error(&self) -> bool {
        *self == Self::Error
    }
}

/// Which step's weights a model has at the end of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Those of the last step.
    #[default]
    Last,
    /// Those with the lowest held-out loss, the earlier ones on a tie.
    Best,
}

impl Keep {
    fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Half a cosine down to 0 (arXiv 1608.03983, equation 5, without restarts).
    #[default]
    Cosine,
    /// A straight line down to 0.
    Linear,
    /// Stays.
    Constant,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: None,
            epochs: 1.0,
            batch_size: 16,
            micro_batch_size: None,
            gradient_checkpointing: false,
            lr: 4e-3,
            schedule: Schedule::Cosine,
            warmup_steps: None,
            warmup_ratio: 0.05,
            weight_decay: 0.01,
            betas: (0.9, 0.95),
            eps: 1e-8,
            max_grad_norm: Some(1.0),
            max_length: None,
            on_empty_mask: OnEmptyMask::Error,
            eval_every: None,
            keep: Keep::Last,
            patience: None,
            seed: 0,
        }
    }
}

impl TrainConfig {
    /// The same without what changes no bit of the result.
    pub(super) fn decisive(&self) -> Self {
        Self { gradient_checkpointing: false, ..self.clone() }
    }

    /// Returns the number of steps over `n_rows` rows, at least 1.
    pub fn n_steps(&self, n_rows: usize) -> usize {
        let from_epochs = (self.epochs * n_rows as f64 / self.batch_size.max(1) as f64).ceil() as usize;
        self.steps.unwrap_or(from_epochs).max(1)
    }

    /// Whether held-out rows are measured after step `step` of `n_steps`, counted from 0.
    pub fn is_measured(&self, step: usize, n_steps: usize) -> bool {
        self.eval_every.is_some_and(|every| (step + 1).is_multiple_of(every.max(1)) || step + 1 == n_steps)
    }

    /// Returns over how many of `n_steps` the learning rate rises.
    pub fn n_warmup_steps(&self, n_steps: usize) -> usize {
        self.warmup_steps.unwrap_or((self.warmup_ratio * n_steps as f64).round() as usize)
    }

    /// Returns the learning rate of step `step` of `n_steps`, counted from 0.
    pub fn learning_rate(&self, step: usize, n_steps: usize) -> f64 {
        let warmup = self.n_warmup_steps(n_steps);
        if step < warmup {
            return self.lr * (step + 1) as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / n_steps.saturating_sub(warmup).max(1) as f64;
        match self.schedule {
            Schedule::Cosine => self.lr * 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()),
            Schedule::Linear => self.lr * (1.0 - progress.min(1.0)),
            Schedule::Constant => self.lr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_over_the_warm_up_and_falls_after_it() {
        let config = TrainConfig { lr: 1.0, warmup_steps: Some(4), ..TrainConfig::default() };
        let rates: Vec<f64> = (0..12).map(|step| config.learning_rate(step, 12)).collect();
        assert_eq!(rates[..5], [0.25, 0.5, 0.75, 1.0, 1.0]);
        assert!((rates[8] - 0.5).abs() < 1e-12 && rates[11] < 0.04, "{rates:?}");
    }

    #[test]
    fn epochs_count_rows() {
        let config = TrainConfig { epochs: 2.5, batch_size: 4, ..TrainConfig::default() };
        assert_eq!((config.n_steps(10), config.n_steps(0)), (7, 1));
    }
}
