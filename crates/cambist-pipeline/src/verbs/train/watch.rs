//! Watches a training run: progress, logs, and the state that it goes on from after a kill.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use cambist_core::language::Language;
use cambist_io::{
    disk,
    formats::EventFile,
    memory,
    store::{ReferenceCache, ReferenceRecord, Scratch, StoreError},
};
use cambist_model::{DroppedRow, HeldOutLog, Means, MemoryNeed, Objective, Observer, ReferenceRow, StepLog};
use serde_json::{Map, Value, json};

use super::{LOG, comparison::to_record};
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
    failure: Option<PipelineError>,
    /// Bytes that may still be taken; none where the system does not say.
    available: Option<u64>,
    /// Whether no step was heard of yet.
    is_fresh: bool,
    /// Where log-probabilities of the reference model are kept; none where there is none.
    cache: Option<ReferenceCache>,
    dropped: String,
}

/// What a run leaves beside its model.
pub(super) struct Logs {
    /// Lines of JSON.
    pub lines: String,
    /// The same as TensorBoard's events.
    pub events: EventFile,
    /// Rows that were left out, as lines of JSON.
    pub dropped: String,
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
        (job, objective): (&'a Job, &dyn Objective),
        (scratch, cache): (&Scratch, Option<ReferenceCache>),
    ) -> Result<(Self, Option<Vec<u8>>), PipelineError> {
        let folder = scratch.resumable()?;
        let state = optional(disk::read(&folder.join(STATE)))?;
        let log = match &state {
            Some(_) => optional(disk::read(&folder.join(LOG)))?.unwrap_or_default(),
            None => Vec::new(),
        };
        let lines = log.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let head = json!({"step": 0, "objective": objective.name(), "formula": objective.formula()});
        let log: Vec<Value> = std::iter::once(head).chain(lines.filter(|line| line["step"] != 0)).collect();
        let now = Instant::now();
        let watch = Self {
            runtime: workshop.runtime,
            label: &job.label,
            folder,
            log,
            pace: Pace { since: now, n_tokens: 0 },
            kept_at: now,
            keeping_took: Duration::ZERO,
            failure: None,
            available: memory::available(),
            is_fresh: true,
            cache,
            dropped: String::new(),
        };
        Ok((watch, state))
    }

    /// Returns what was heard.
    ///
    /// # Errors
    /// When memory does not suffice, or the state could not be kept on the way.
    pub(super) fn finish(self) -> Result<Logs, PipelineError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let mut events = EventFile::default();
        for line in &self.log {
            let scalars = scalars(line);
            let step = line.get("step").and_then(Value::as_u64).unwrap_or(0);
            if scalars.is_empty() {
                continue;
            }
            events.scalars(step, scalars.iter().map(|(tag, value)| (tag.as_str(), *value)));
        }
        Ok(Logs { lines: lines(&self.log), events, dropped: self.dropped })
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
    fn begin(&mut self, need: &MemoryNeed) -> ControlFlow<()> {
        let missing = self.available.filter(|available| need.beyond_weights() > *available);
        let Some(available) = missing else { return ControlFlow::Continue(()) };
        self.failure = Some(too_large(self.label, need, available));
        ControlFlow::Break(())
    }

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

    fn dropped(&mut self, rows: &[DroppedRow]) {
        let line = |row: &DroppedRow| json!({"id": row.id, "language": row.language, "reason": row.reason, "detail": row.detail});
        self.dropped = rows.iter().map(|row| format!("{}\n", line(row))).collect();
    }

    fn reference(&mut self, rows: &[ReferenceRow], (done, total): (usize, usize)) -> ControlFlow<()> {
        let records: Vec<ReferenceRecord> = rows.iter().map(to_record).collect();
        let kept = self.cache.as_ref().map_or(Ok(()), |cache| cache.append(&records));
        self.failure = kept.err().map(PipelineError::from);
        let at = Advance { done: done as u64, total: total as u64, unit: "rows", note: "asks the reference model" };
        self.runtime.progress.advance(self.label, at);
        let stops = self.runtime.stop.load(Ordering::Relaxed) || self.failure.is_some();
        if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn wants_state(&mut self, is_stopping: bool) -> bool {
        let pause = self.runtime.state_every.max(self.keeping_took * SHARE_OF_TIME);
        self.failure.is_none() && (is_stopping || self.kept_at.elapsed() >= pause)
    }

    fn keep(&mut self, state: Vec<u8>) {
        let began = Instant::now();
        self.failure = self.write(&state).err().map(PipelineError::from);
        self.kept_at = Instant::now();
        self.keeping_took = began.elapsed();
    }
}

/// Told instead of being killed half-way.
fn too_large(label: &str, need: &MemoryNeed, available: u64) -> PipelineError {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let what = format!(
        "training needs about {:.1} GB beside the model ({:.1} GB for gradients and moments, {:.1} GB for activations), \
         and {:.1} GB are left on this machine",
        gigabytes(need.beyond_weights()),
        gigabytes(need.optimizer),
        gigabytes(need.activations.max(need.kept)),
        gigabytes(available),
    );
    let remedy = match need.optimizer > need.activations {
        true => "train an adapter with `lora`, or a smaller model",
        false => "lower `config.micro_batch_size` or `config.max_length`, or set `config.gradient_checkpointing: true`",
    };
    PipelineError::input(label, what, remedy)
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
    let mut line = Map::new();
    line.insert("step".into(), json!(step.step + 1));
    line.insert("loss".into(), json!(step.loss));
    line.insert("lr".into(), json!(step.lr));
    line.insert("grad_norm".into(), json!(step.grad_norm));
    line.insert("loss_tokens".into(), json!(step.n_loss_tokens));
    line.insert("tokens".into(), json!(step.n_tokens));
    add_means(&mut line, &step.metrics, &step.per_language);
    line.into()
}

fn held_out_line(log: &HeldOutLog) -> Value {
    let mut held_out = Map::new();
    held_out.insert("loss".into(), json!(log.all.loss));
    held_out.insert("rows".into(), json!(log.all.n_rows));
    held_out.insert("best".into(), json!(log.is_best));
    add_means(&mut held_out, &log.all.metrics, &log.per_language);
    if !log.all.metrics.is_empty() {
        held_out.insert("standard_errors".into(), json!(log.all.standard_errors));
        held_out.insert("standard_errors_per_language".into(), per_language(&log.per_language, |m| &m.standard_errors));
    }
    json!({"step": log.step + 1, "held_out": held_out})
}

/// Adds the loss of each language and, where the objective measures more, that too.
fn add_means(line: &mut Map<String, Value>, metrics: &BTreeMap<String, f64>, languages: &BTreeMap<Language, Means>) {
    line.insert("loss_per_language".into(), per_language(languages, |means| means.loss));
    if metrics.is_empty() {
        return;
    }
    line.insert("metrics".into(), json!(metrics));
    line.insert("metrics_per_language".into(), per_language(languages, |means| &means.metrics));
    line.insert("rows_per_language".into(), per_language(languages, |means| means.n_rows));
}

fn per_language<'a, T: serde::Serialize>(
    languages: &'a BTreeMap<Language, Means>,
    read: impl Fn(&'a Means) -> T,
) -> Value {
    let entry = |(language, means): (&'a Language, &'a Means)| (language.to_string(), json!(read(means)));
    Value::Object(languages.iter().map(entry).collect())
}

/// The numbers of a line under the names that dashboards show: `loss`, `rewards/margins`, `lang/de/loss`,
/// `held_out/lang/de/rewards/margins`.
fn scalars(line: &Value) -> Vec<(String, f64)> {
    let mut found = vec![];
    collect("", line, &mut found);
    found
}

fn collect(above: &str, value: &Value, found: &mut Vec<(String, f64)>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("step" | "rows_per_language" | "standard_errors" | "standard_errors_per_language", _) => {}
            ("loss_per_language", Value::Object(languages)) => {
                let loss = |(language, loss): (&String, &Value)| {
                    loss.as_f64().map(|loss| (format!("{above}lang/{language}/loss"), loss))
                };
                found.extend(languages.iter().filter_map(loss));
            }
            ("metrics", metrics) => collect(above, metrics, found),
            ("metrics_per_language", Value::Object(languages)) => {
                languages.iter().for_each(|(language, own)| collect(&format!("{above}lang/{language}/"), own, found));
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
            "metrics": {"rewards/margins": 0.1}, "metrics_per_language": {"de": {"rewards/margins": 0.2}},
            "rows_per_language": {"de": 3},
            "held_out": {"loss": 0.5, "best": true, "loss_per_language": {"uk": 0.25}, "metrics": {"loss/nll": 3.0}},
        });
        let expected = [
            ("loss", 1.5),
            ("lang/de/loss", 1.0),
            ("lang/uk/loss", 2.0),
            ("rewards/margins", 0.1),
            ("lang/de/rewards/margins", 0.2),
            ("held_out/loss", 0.5),
            ("held_out/lang/uk/loss", 0.25),
            ("held_out/loss/nll", 3.0),
        ];
        assert_eq!(scalars(&line), expected.map(|(tag, value)| (tag.to_owned(), value)));
    }

    #[test]
    fn what_is_too_large_is_told_with_what_would_help() {
        let billion = 1_000_000_000;
        let need = |optimizer, activations| MemoryNeed { weights: billion, optimizer, activations, kept: 0 };
        let told = |need: MemoryNeed| too_large("student", &need, 2 * billion).to_string();
        assert_eq!(
            told(need(billion, 12 * billion)),
            "`student`: training needs about 13.0 GB beside the model (1.0 GB for gradients and moments, 12.0 GB for \
             activations), and 2.0 GB are left on this machine; lower `config.micro_batch_size` or `config.max_length`, \
             or set `config.gradient_checkpointing: true`"
        );
        assert!(told(need(12 * billion, billion)).ends_with("train an adapter with `lora`, or a smaller model"));
    }
}
