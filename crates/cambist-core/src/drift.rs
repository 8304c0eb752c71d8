//! Whether what calibration showed still holds while a router spends by it.
//!
//! Some prompts, drawn by lot, are asked of everybody: what the search would have kept of them, beside the best answer, is
//! regret that can be seen. And rewards, lengths and failures of each teacher and language, weighed by how likely the
//! answers were to be asked for, stand beside those of calibration.

mod levels;

use serde::{Deserialize, Serialize};

pub use levels::{Level, Quantity, Shift};
use levels::{Levels, shifts};

use crate::{
    language::Language,
    metrics::{Bootstrap, ClusterSums, Estimate},
};

/// Fewer audited prompts say nothing about regret.
pub const MIN_AUDITS: usize = 10;
/// Regret on audits is alarming where it is so many times what calibration promised.
const ALARMING: f64 = 2.0;

/// What calibration showed, and what it promises.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriftWatch {
    levels: Levels,
    promised: f64,
}

/// What one prompt of a run adds.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedPrompt {
    /// The source that its translations share.
    pub source_id: String,
    /// Its language.
    pub language: Language,
    /// Its answers: who gave it, one over the probability with which it was asked for, and what it was like.
    pub answers: Vec<(String, f64, Level)>,
    /// The best reward minus that of what the search would have kept, on the scale of the language; none where not
    /// everybody was asked by lot, or nobody gave a valid answer.
    pub audited_regret: Option<f64>,
}

/// What a run came to beside its calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Prompts of the run.
    pub n_prompts: usize,
    /// Prompts about which everybody was asked by lot.
    pub n_audits: usize,
    /// Regret on audits; none with too few of them.
    pub audit: Option<AuditRegret>,
    /// Every quantity that was compared.
    pub shifts: Vec<Shift>,
}

/// Regret on prompts about which everybody was asked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRegret {
    /// Mean of the best reward minus that of what the search keeps, on the scale of the language, resampled by source.
    pub regret: Estimate,
    /// What calibration promised.
    pub promised: f64,
    /// Whether it is more than twice what was promised, and its interval above that.
    pub is_alarming: bool,
}

impl DriftWatch {
    /// Watches for departures from some prompts, each of whose answers was sure to be asked for, and from a mean regret.
    pub fn new(calibration: impl IntoIterator<Item = WatchedPrompt>, promised: f64) -> Self {
        let mut levels = Levels::default();
        calibration.into_iter().for_each(|prompt| levels.add(&prompt));
        Self { levels, promised }
    }
}

/// A run that is being watched.
#[derive(Clone, Debug)]
pub struct Watched<'a> {
    watch: &'a DriftWatch,
    levels: Levels,
    n_prompts: usize,
    n_audits: usize,
    audits: ClusterSums,
}

impl<'a> Watched<'a> {
    /// Begins to watch.
    pub fn new(watch: &'a DriftWatch) -> Self {
        Self { watch, levels: Levels::default(), n_prompts: 0, n_audits: 0, audits: ClusterSums::new(2) }
    }

    /// Takes in the next prompt.
    pub fn add(&mut self, prompt: &WatchedPrompt) {
        self.n_prompts += 1;
        self.levels.add(prompt);
        if let Some(regret) = prompt.audited_regret {
            self.n_audits += 1;
            self.audits.add(&prompt.source_id, 0, 1.0);
            self.audits.add(&prompt.source_id, 1, regret);
        }
    }

    /// Returns what it came to.
    pub fn finish(self, bootstrap: Bootstrap) -> Drift {
        let promised = self.watch.promised;
        let judge = |regret: Estimate| {
            let is_above = regret.interval.is_some_and(|interval| interval.low > promised);
            let is_alarming = is_above && regret.value > ALARMING * promised;
            AuditRegret { regret, promised, is_alarming }
        };
        let regret = || bootstrap.resample(&self.audits).estimate(|t| (t[0] > 0.0).then(|| t[1] / t[0]));
        let audit = if self.n_audits < MIN_AUDITS { None } else { regret().map(judge) };
        let shifts = shifts(&self.watch.levels, &self.levels);
        Drift { n_prompts: self.n_prompts, n_audits: self.n_audits, audit, shifts }
    }
}

impl Drift {
    /// What no longer holds, a sentence for each, without a full stop; nothing where all of it does.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(AuditRegret { regret, promised, .. }) = self.audit.filter(|audit| audit.is_alarming) {
            let interval = regret.interval.map(|ends| format!(" [{:.2}, {:.2}]", ends.low, ends.high));
            warnings.push(format!(
                "on {} audited prompts the search gives up {:.2}{} spreads of reward, and calibration promised {promised:.2}",
                self.n_audits,
                regret.value,
                interval.unwrap_or_default()
            ));
        }
        warnings.extend(self.shifts.iter().filter(|shift| shift.is_alarming).map(Shift::told));
        warnings
    }
}
