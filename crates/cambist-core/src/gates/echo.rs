//! Answers that give the prompt back.

use serde::{Deserialize, Serialize};

use super::{Reason, Stop};
use crate::{prompt::Prompt, resemblance::edit_similarity_above};

/// Keeps out answers that are the prompt's last user turn again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EchoGate {
    /// An answer more alike to the prompt than this is an echo; default 0.9.
    pub similarity: f64,
    /// Answers of fewer characters are never echoes: the answer to a short question may well be in it; default 20.
    pub min_chars: usize,
}

impl Default for EchoGate {
    fn default() -> Self {
        Self { similarity: 0.9, min_chars: 20 }
    }
}

impl EchoGate {
    /// An answer that the prompt's own checker accepts is right, however alike (`write this sentence again`).
    pub(super) fn stop(&self, prompt: &Prompt, text: &str) -> Option<Stop> {
        let answer = text.trim();
        if answer.chars().count() < self.min_chars || prompt.check.as_ref().is_some_and(|check| check.accepts(answer)) {
            return None;
        }
        let similarity = edit_similarity_above(answer, prompt.instruction().trim(), self.similarity)?;
        Some(Stop::new(Reason::Echo, format!("{:.0} % of the answer is the prompt", 100.0 * similarity)))
    }
}
