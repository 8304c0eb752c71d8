//! What a Hugging Face trainer noted, in the words of `train.jsonl`.

use std::path::{Path, PathBuf};

use cambist_io::{disk, formats::EventFile};
use serde_json::{Map, Value, json};

use crate::error::PipelineError;

/// The lines of a log, in order.
#[derive(Debug, Default)]
pub(super) struct Log(Vec<Value>);

/// Where `transformers` keeps its notes.
const STATE: &str = "trainer_state.json";

/// Reads the notes in a checkpoint's folder, or in the last of the checkpoints below it; an empty log where there are
/// none. Measurements are over `n_held_out` rows.
pub(super) fn read(folder: &Path, n_held_out: usize) -> Result<Log, PipelineError> {
    let step_of = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.parse::<u64>().ok();
    let below = disk::entries(folder)?.into_iter().filter(|path| path.join(STATE).is_file()).max_by_key(step_of);
    let own = Some(folder.to_owned()).filter(|folder| folder.join(STATE).is_file());
    let Some(path) = own.or(below) else { return Ok(Log::default()) };
    let state: Value = serde_json::from_slice(&disk::read(&path.join(STATE))?).unwrap_or_default();
    Ok(Log(state["log_history"].as_array().into_iter().flatten().filter_map(|entry| line(entry, n_held_out)).collect()))
}

fn line(entry: &Value, n_held_out: usize) -> Option<Value> {
    let step = entry.get("step")?.as_u64()?;
    let number = |key: &str| entry.get(key).and_then(Value::as_f64);
    if let Some(loss) = number("eval_loss") {
        return Some(json!({"step": step, "held_out": {"loss": loss, "rows": n_held_out, "loss_per_language": {}}}));
    }
    let (loss, lr, grad_norm) = (number("loss")?, number("learning_rate"), number("grad_norm"));
    // How many tokens counted in a step is not among the notes.
    let mut line = json!({"step": step, "loss": loss, "lr": lr, "grad_norm": grad_norm});
    let is_ours = |name: &str| name == "kl" || ["rewards/", "logps/"].iter().any(|group| name.starts_with(group));
    let metrics = entry.as_object()?.iter().filter(|(name, value)| is_ours(name) && value.is_number());
    let metrics: Map<String, Value> = metrics.map(|(name, value)| (name.clone(), value.clone())).collect();
    if !metrics.is_empty() {
        line["metrics"] = metrics.into();
    }
    Some(line)
}

impl Log {
    /// The last step that it tells of; 0 when it is empty.
    pub(super) fn n_steps(&self) -> u64 {
        self.0.iter().filter_map(|line| line["step"].as_u64()).max().unwrap_or(0)
    }

    pub(super) fn to_lines(&self) -> String {
        self.0.iter().map(|line| format!("{line}\n")).collect()
    }

    pub(super) fn to_events(&self) -> EventFile {
        let mut events = EventFile::default();
        for line in &self.0 {
            let named = [
                ("loss", &line["loss"]),
                ("lr", &line["lr"]),
                ("grad_norm", &line["grad_norm"]),
                ("held_out/loss", &line["held_out"]["loss"]),
            ];
            let metrics = line["metrics"].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value));
            let scalars = named.into_iter().chain(metrics).filter_map(|(tag, value)| Some((tag, value.as_f64()?)));
            events.scalars(line["step"].as_u64().unwrap_or(0), scalars);
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trainers_notes_become_lines_and_events() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), 8).unwrap().n_steps(), 0);
        let notes = json!({"log_history": [
            {"loss": 2.5, "grad_norm": 1.5, "learning_rate": 1e-3, "epoch": 0.1, "step": 1},
            {"eval_loss": 2.0, "eval_runtime": 3.0, "step": 1},
            {"loss": 0.5, "grad_norm": 1.0, "learning_rate": 1e-3, "rewards/margins": 0.25, "entropy": 2.0, "step": 2},
            {"train_runtime": 7.0, "train_loss": 2.2, "step": 2},
        ]});
        for (name, text) in [("checkpoint-9", "{}".to_owned()), ("checkpoint-10", notes.to_string())] {
            disk::write_atomic(&folder.path().join(name).join(STATE), text.as_bytes()).unwrap();
        }
        let log = read(folder.path(), 8).unwrap();
        assert_eq!((log.0.len(), log.n_steps()), (3, 2));
        assert_eq!(log.0[2]["metrics"], json!({"rewards/margins": 0.25}));
        assert!(log.to_lines().starts_with("{\"step\":1,\"loss\":2.5,"), "{}", log.to_lines());
        let mut expected = EventFile::default();
        expected.scalars(1, [("loss", 2.5), ("lr", 1e-3), ("grad_norm", 1.5)]);
        expected.scalars(1, [("held_out/loss", 2.0)]);
        expected.scalars(2, [("loss", 0.5), ("lr", 1e-3), ("grad_norm", 1.0), ("rewards/margins", 0.25)]);
        assert_eq!(log.to_events().as_bytes(), expected.as_bytes());
    }
}
