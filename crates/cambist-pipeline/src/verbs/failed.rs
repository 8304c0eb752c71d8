//! Texts without a translation, answers that were not fused, and why.

use std::collections::BTreeMap;

use cambist_core::shield::Restored;
use cambist_io::{
    exchange::FailureClass,
    store::{ManifestDraft, Scratch},
};
use serde_json::json;

use crate::error::PipelineError;

/// Why a text has no translation, or candidates no fused answer.
pub(super) struct Failed {
    /// A code for counting: `lost_marks`, `no_brackets`, `empty`, the class of a call's failure.
    pub(super) reason: String,
    /// What was seen, for a reader.
    pub(super) detail: String,
    /// Whether another run may fare better.
    may_pass: bool,
}

impl Failed {
    pub(super) fn new(reason: &str, detail: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), detail: detail.into(), may_pass: false }
    }

    /// A call without an answer; `failure` begins with its class.
    pub(super) fn unanswered(failure: &str) -> Self {
        let class = failure.split(':').next().unwrap_or(failure);
        let known = FailureClass::parse(class);
        let reason = if known.is_some() || class == "content_filter" { class } else { "no_answer" };
        Self { may_pass: known.is_some_and(FailureClass::may_pass), ..Self::new(reason, failure) }
    }

    pub(super) fn lost_marks(restored: &Restored) -> Self {
        let Restored { lost, doubled, n_invented, .. } = restored;
        Self::new("lost_marks", format!("lost {lost:?}, doubled {doubled:?}, {n_invented} invented"))
    }
}

/// All failures of one step.
#[derive(Default)]
pub(super) struct Failures {
    lines: String,
    reasons: BTreeMap<String, u64>,
    passing: BTreeMap<String, u64>,
    n_asked: u64,
}

impl Failures {
    /// Counts a question that was asked.
    pub(super) fn count_asked(&mut self) {
        self.n_asked += 1;
    }

    /// Takes down a failure of what is called `id`.
    pub(super) fn add(&mut self, (id, language): (&str, &str), failed: &Failed) {
        let line = json!({ "id": id, "language": language, "reason": failed.reason, "detail": failed.detail });
        self.lines.push_str(&format!("{line}\n"));
        *self.reasons.entry(failed.reason.clone()).or_default() += 1;
        if failed.may_pass {
            *self.passing.entry(failed.reason.clone()).or_default() += 1;
        }
    }

    /// Writes `failures.jsonl` and the counts.
    ///
    /// # Errors
    /// When more calls are without an answer than the share `max_failed` of those asked, for reasons that another run may
    /// not have.
    pub(super) fn write(
        self,
        max_failed: f64,
        (scratch, draft): (&Scratch, &mut ManifestDraft),
    ) -> Result<(), PipelineError> {
        let n_passing: u64 = self.passing.values().sum();
        if n_passing as f64 > max_failed * self.n_asked as f64 {
            let classes: Vec<String> = self.passing.iter().map(|(class, n)| format!("{n} {class}")).collect();
            return Err(PipelineError::Unanswered {
                step: draft.step.clone(),
                n_failed: n_passing,
                n_cells: self.n_asked,
                classes: classes.join(", "),
            });
        }
        scratch.write("failures.jsonl", self.lines.as_bytes())?;
        for (reason, n) in self.reasons {
            *draft.failures.entry(reason).or_default() += n;
        }
        Ok(())
    }
}
