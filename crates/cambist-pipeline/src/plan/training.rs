//! What a `train` job minimises and how, as far as the recipe says before there are rows.

use cambist_model::{Schedule, TrainConfig};
use serde::Serialize;

use super::{Job, Plan};
use crate::recipe::{Action, params::ObjectiveName};

/// What a run will minimise, with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingOutlook {
    /// The word of the recipe.
    pub objective: &'static str,
    /// The loss with every number in it, as `train.jsonl` will have it.
    pub formula: String,
    /// Optimiser steps; none where the number of rows decides.
    pub steps: Option<usize>,
    /// Passes over the rows; none where `steps` decides.
    pub epochs: Option<f64>,
    /// Rows a step.
    pub batch_size: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// How the learning rate falls after the warm-up.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises; none where the number of rows decides.
    pub warmup_steps: Option<usize>,
    /// Share of all steps over which the learning rate rises; none where `warmup_steps` decides.
    pub warmup_ratio: Option<f64>,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// The rank of the adapter that is trained in place of the model; none where the model is.
    pub adapter_rank: Option<usize>,
}

impl Plan {
    /// Returns what a `train` job will minimise; none of jobs of other verbs.
    pub fn training(&self, job: &Job) -> Option<TrainingOutlook> {
        let Action::Train(params) = &self.step_of(job).action else { return None };
        let formula = params.checked_objective()?.formula();
        let adapter_rank = params.lora.as_ref().map(|lora| lora.r);
        Some(TrainingOutlook { adapter_rank, ..TrainingOutlook::of(params.objective, formula, &params.config) })
    }
}

impl TrainingOutlook {
    fn of(objective: ObjectiveName, formula: String, config: &TrainConfig) -> Self {
        let warmup_steps = config.steps.map(|_| config.n_warmup_steps(config.n_steps(0))).or(config.warmup_steps);
        Self {
            objective: objective.name(),
            formula,
            steps: config.steps.map(|_| config.n_steps(0)),
            epochs: config.steps.is_none().then_some(config.epochs),
            batch_size: config.batch_size,
            lr: config.lr,
            schedule: config.schedule,
            warmup_steps,
            warmup_ratio: warmup_steps.is_none().then_some(config.warmup_ratio),
            weight_decay: config.weight_decay,
            adapter_rank: None,
        }
    }

    /// `60 steps of 8 rows, learning rate 0.002, cosine after 3 steps of warm-up, weight decay 0.01`.
    pub fn in_words(&self) -> String {
        let Self { batch_size, lr, weight_decay, .. } = self;
        let length = match (self.steps, self.epochs) {
            (Some(steps), _) => format!("{} of {}", counted(steps, "step"), counted(*batch_size, "row")),
            (None, epochs) => {
                let epochs = epochs.unwrap_or(1.0);
                format!("{epochs} epoch{} in steps of {}", plural(epochs == 1.0), counted(*batch_size, "row"))
            }
        };
        let schedule = match self.schedule {
            Schedule::Cosine => "cosine",
            Schedule::Linear => "linear",
            Schedule::Constant => "constant",
        };
        let warmup = match (self.warmup_steps, self.warmup_ratio) {
            (Some(0), _) => "without warm-up".to_owned(),
            (Some(steps), _) => format!("after {} of warm-up", counted(steps, "step")),
            (None, ratio) => format!("after a warm-up of {} of the steps", ratio.unwrap_or(0.0)),
        };
        let adapter = self.adapter_rank.map(|rank| format!(", adapter of rank {rank}")).unwrap_or_default();
        format!("{length}, learning rate {lr:?}, {schedule} {warmup}, weight decay {weight_decay}{adapter}")
    }
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", plural(n == 1))
}

fn plural(is_one: bool) -> &'static str {
    if is_one { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(config: TrainConfig) -> String {
        TrainingOutlook::of(ObjectiveName::Sft, String::new(), &config).in_words()
    }

    #[test]
    fn what_is_not_known_yet_is_told_as_the_recipe_has_it() {
        let known = TrainConfig { steps: Some(60), batch_size: 8, lr: 5e-7, ..TrainConfig::default() };
        let expected = "60 steps of 8 rows, learning rate 5e-7, cosine after 3 steps of warm-up, weight decay 0.01";
        assert_eq!(words(known), expected);
        let short =
            TrainConfig { steps: Some(1), batch_size: 1, schedule: Schedule::Constant, ..TrainConfig::default() };
        assert!(words(short).starts_with("1 step of 1 row, learning rate 0.004, constant without warm-up"));
        let expected = "1 epoch in steps of 16 rows, learning rate 0.004, cosine after a warm-up of 0.05 of the steps, \
                        weight decay 0.01";
        assert_eq!(words(TrainConfig::default()), expected);
        let fixed = TrainConfig { epochs: 2.5, warmup_steps: Some(1), ..TrainConfig::default() };
        assert!(
            words(fixed).starts_with("2.5 epochs in steps of 16 rows, learning rate 0.004, cosine after 1 step of")
        );
    }
}
