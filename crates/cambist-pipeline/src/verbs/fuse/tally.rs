//! What became of a step's prompts, in numbers.

use std::collections::BTreeMap;

use cambist_core::completion::FusionOutcome;
use cambist_io::store::ManifestDraft;

use super::Standing;
use crate::verbs::failed::{Failed, Failures};

/// Why a prompt has no answer though candidates came.
const NONE_VALID: &str = "none_valid";

/// What became of a step's prompts.
#[derive(Default)]
pub(super) struct Tally {
    n_prompts: u64,
    kept: BTreeMap<FusionOutcome, u64>,
    n_fallbacks: u64,
    n_fusions: u64,
    n_compared: u64,
    n_below: u64,
    n_unasked: u64,
    /// Why fused answers are missing.
    pub failures: Failures,
}

impl Tally {
    /// Counts one prompt.
    pub(super) fn add(&mut self, standing: &Standing<'_>) {
        self.n_prompts += 1;
        if standing.row.candidates.is_empty() {
            self.n_unasked += 1;
            return;
        }
        *self.kept.entry(standing.kept).or_default() += 1;
        self.n_fusions += standing.said.len() as u64;
        standing.said.iter().for_each(|_| self.failures.count_asked());
        self.n_compared += u64::from(standing.is_below.is_some());
        self.n_below += u64::from(standing.is_below == Some(true));
        let prompt = &standing.row.prompt;
        let name = (prompt.id.as_str(), prompt.language.as_str());
        if let Some(failed) = standing.failed() {
            self.n_fallbacks += 1;
            self.failures.add(name, failed);
        }
        if standing.kept == FusionOutcome::Nothing {
            let n = standing.row.candidates.len();
            self.failures.add(name, &Failed::new(NONE_VALID, format!("none of {n} candidates is valid")));
        }
    }

    /// The manifest as far as numbers go.
    pub(super) fn draft(&self, step: &str) -> ManifestDraft {
        let mut draft = ManifestDraft { step: step.to_owned(), kind: "completions".into(), ..ManifestDraft::default() };
        let of = |outcome: FusionOutcome| self.kept.get(&outcome).copied().unwrap_or(0);
        let told = [
            ("prompts", self.n_prompts),
            ("fused", of(FusionOutcome::Fused)),
            ("only candidate", of(FusionOutcome::Only)),
            ("best of its task", of(FusionOutcome::Best).saturating_sub(self.n_fallbacks)),
            ("fallback to the best", self.n_fallbacks),
            ("better candidate", of(FusionOutcome::Better)),
            ("questions to the fusor", self.n_fusions),
            ("fused and compared", self.n_compared),
            ("fused below the best candidate", self.n_below),
        ];
        draft.counts.extend(told.into_iter().filter(|(_, n)| *n > 0).map(|(what, n)| (what.to_owned(), n)));
        if self.n_unasked > 0 {
            draft.failures.insert("none_eligible".to_owned(), self.n_unasked);
        }
        draft
    }
}
