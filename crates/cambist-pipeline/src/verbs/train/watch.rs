//! Watches a training run: progress, logs, and the state that it goes on from after a kill.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use cambist_io::{
    disk,
    formats::EventFile,
    store::{Scratch, StoreError},
};
use cambist_model::{HeldOutLog, Observer, StepLog};
use serde_json::{Value, json};

use super::LOG;
use crate::{
    error::PipelineError,
    plan::Job,
    progress::Advance,
    run::{Runtime, Workshop},
};

/// Weights, moments and counters of a run that was cut off.
const STATE: &str = "state.safetensors";

/// A run may spend one part in so many of its time on keeping its state.
const SHARE_OF_TIME: u32 = 20;

/// Steps between two words about progress.
const STEPS_A_WORD: usize = 10;

/// Listens to a run for the user and for the runs after it.
pub(super) struct Watch<'a> {
    runtime: &'a Runtime<'a>,
    label: &'a str,
    folder: PathBuf,
    log: Vec<Value>,
    pace: Pace,
    kept_at: Instant,
    keeping_took: Duration,
    failure: Option<StoreError>,
    /// Whether no step was heard of yet.
    is_fresh: bool,
}

/// How fast tokens go by.
struct Pace {
    since: Instant,
    n_tokens: usize,
}

impl<'a> Watch<'a> {
    /// Returns the listener, and the state of an earlier run where one was cut off.
    pub(super) fn begin(
        workshop: &Workshop<'a>,
        job: &'a Job,
        scratch: &Scratch,
    ) -> Result<(Self, Option<Vec<u8>>), PipelineError> {
        let folder = scratch.resumable()?;
        let state = optional(disk::read(&folder.join(STATE)))?;
        let log = match &state {
            Some(_) => optional(disk::read(&folder.join(LOG)))?.unwrap_or_default(),
            None => Vec::new(),
        };
        let lines = log.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let now = Instant::now();
        let watch = Self {
            runtime: workshop.runtime,
            label: &job.label,
            folder,
            log: lines.collect(),
            pace: Pace { since: now, n_tokens: 0 },
            kept_at: now,
            keeping_took: Duration::ZERO,
            failure: None,
            is_fresh: true,
        };
        Ok((watch, state))
    }

    /// Returns the log as lines of JSON, and as TensorBoard's events.
    ///
    /// # Errors
    /// When the state could not be kept on the way.
    pub(super) fn finish(self) -> Result<(String, EventFile), PipelineError> {
        if let Some(failure) = self.failure {
            return Err(failure.into());
        }
        let mut events = EventFile::default();
        for line in &self.log {
            let scalars = scalars(line);
            let step = line.get("step").and_then(Value::as_u64).unwrap_or(0);
            events.scalars(step, scalars.iter().map(|(tag, value)| (tag.as_str(), *value)));
        }
        Ok((lines(&self.log), events))
    }

    fn word(&mut self, log: &StepLog) {
        self.pace.n_tokens += log.n_tokens;
        if std::mem::replace(&mut self.is_fresh, false) && log.step > 0 {
            let at = Advance {
                done: log.step as u64,
                total: log.n_steps as u64,
                unit: "steps",
                note: "goes on where it was cut off",
            };
            return self.runtime.progress.advance(self.label, at);
        }
        if log.step % STEPS_A_WORD != STEPS_A_WORD - 1 && log.step + 1 != log.n_steps {
            return;
        }
        let rate = self.pace.n_tokens as f64 / self.pace.since.elapsed().as_secs_f64().max(1e-9);
        self.pace = Pace { since: Instant::now(), n_tokens: 0 };
        let note = format!("loss {:.3}, {rate:.0} tokens/s", log.loss);
        let at = Advance { done: log.step as u64 + 1, total: log.n_steps as u64, unit: "steps", note: &note };
        self.runtime.progress.advance(self.label, at);
    }

    /// Log first: lines beyond the state are dropped when it is read back.
    fn write(&self, state: &[u8]) -> Result<(), StoreError> {
        disk::write_atomic(&self.folder.join(LOG), lines(&self.log).as_bytes())?;
        Ok(disk::write_atomic(&self.folder.join(STATE), state)?)
    }
}

impl Observer for Watch<'_> {
    fn step(&mut self, log: &StepLog) -> ControlFlow<()> {
        // Lines beyond the state that was kept are told again.
        while self.log.last().is_some_and(|line| line.get("step").and_then(Value::as_u64) > Some(log.step as u64)) {
            self.log.pop();
        }
        self.log.push(step_line(log));
        self.word(log);
        let stops = self.runtime.stop.load(Ordering::Relaxed) || self.failure.is_some();
        if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn held_out(&mut self, log: &HeldOutLog) {
        self.log.push(held_out_line(log));
    }

    fn wants_state(&mut self, is_stopping: bool) -> bool {
        let pause = self.runtime.state_every.max(self.keeping_took * SHARE_OF_TIME);
        self.failure.is_none() && (is_stopping || self.kept_at.elapsed() >= pause)
    }

    fn keep(&mut self, state: Vec<u8>) {
        let began = Instant::now();
        self.failure = self.write(&state).err();
        self.kept_at = Instant::now();
        self.keeping_took = began.elapsed();
    }
}

fn optional(read: disk::Result<Vec<u8>>) -> Result<Option<Vec<u8>>, PipelineError> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(disk::DiskError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn lines(log: &[Value]) -> String {
    log.iter().map(|line| format!("{line}\n")).collect()
}

fn step_line(step: &StepLog) -> Value {
    json!({
        "step": step.step + 1, "loss": step.loss, "lr": step.lr, "grad_norm": step.grad_norm,
        "loss_tokens": step.n_loss_tokens, "tokens": step.n_tokens, "loss_per_language": step.loss_per_language,
    })
}

fn held_out_line(log: &HeldOutLog) -> Value {
    json!({
        "step": log.step + 1,
        "held_out": {
            "loss": log.loss, "rows": log.n_rows, "best": log.is_best, "loss_per_language": log.loss_per_language,
        },
    })
}

/// The numbers of a line under the names that dashboards show: `loss`, `lang/de/loss`, `held_out/loss`,
/// `held_out/lang/de/loss`.
fn scalars(line: &Value) -> Vec<(String, f64)> {
    let mut found = vec![];
    collect("", line, &mut found);
    found
}

fn collect(above: &str, value: &Value, found: &mut Vec<(String, f64)>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("step", _) => {}
            ("loss_per_language", Value::Object(languages)) => {
                let loss = |(language, loss): (&String, &Value)| {
                    loss.as_f64().map(|loss| (format!("{above}lang/{language}/loss"), loss))
                };
                found.extend(languages.iter().filter_map(loss));
            }
            (key, Value::Object(_)) => collect(&format!("{above}{key}/"), value, found),
            (key, value) => found.extend(value.as_f64().map(|number| (format!("{above}{key}"), number))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_named_as_dashboards_name_them() {
        let line = json!({
            "step": 3, "loss": 1.5, "loss_per_language": {"de": 1.0, "uk": 2.0},
            "held_out": {"loss": 0.5, "best": true, "loss_per_language": {"uk": 0.25}},
        });
        let expected = [
            ("loss", 1.5),
            ("lang/de/loss", 1.0),
            ("lang/uk/loss", 2.0),
            ("held_out/loss", 0.5),
            ("held_out/lang/uk/loss", 0.25),
        ];
        assert_eq!(scalars(&line), expected.map(|(tag, value)| (tag.to_owned(), value)));
    }
}
