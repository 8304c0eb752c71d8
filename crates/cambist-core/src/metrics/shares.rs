//! Whose answers a strategy takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{language::Language, router::Decision};

/// How a strategy's answers are spread over teachers in one language.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// How many answers were taken.
    pub n: usize,
    /// How many prompts got no answer.
    pub n_without: usize,
    /// How many answers were taken of each teacher.
    pub counts: BTreeMap<String, usize>,
    /// The share of each teacher in the answers taken.
    pub shares: BTreeMap<String, f64>,
    /// Entropy of the shares in nats.
    pub entropy: f64,
    /// The number of equally used teachers with that entropy, exp(entropy); none when no answer was taken.
    pub effective_teachers: Option<f64>,
}

/// Returns who was chosen, by language.
pub fn shares(decisions: &[Decision]) -> BTreeMap<Language, Shares> {
    let mut table: BTreeMap<Language, Shares> = BTreeMap::new();
    for decision in decisions {
        let row = table.entry(decision.language.clone()).or_default();
        match &decision.teacher {
            Some(teacher) => *row.counts.entry(teacher.clone()).or_default() += 1,
            None => row.n_without += 1,
        }
    }
    table.values_mut().for_each(finish);
    table
}

fn finish(row: &mut Shares) {
    row.n = row.counts.values().sum();
    row.shares = row.counts.iter().map(|(teacher, n)| (teacher.clone(), *n as f64 / row.n as f64)).collect();
    // From 0, not from the -0 that an empty or single sum of -p ln p would give.
    row.entropy = row.shares.values().fold(0.0, |sum, share| sum - share * share.ln());
    row.effective_teachers = (row.n > 0).then(|| row.entropy.exp());
}
