//! Whether two strategies choose the same teachers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::router::Decision;

/// How far two strategies agree, over the prompts to which both took an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// How many prompts.
    pub n: usize,
    /// Share of them with the same teacher.
    pub observed: f64,
    /// Cohen's kappa (1960): agreement beyond what the two teacher shares give by chance; none when chance alone gives
    /// full agreement.
    pub kappa: Option<f64>,
}

/// Compares two strategies' teachers prompt by prompt; none when they share no answered prompt.
pub fn agreement(a: &[Decision], b: &[Decision]) -> Option<Agreement> {
    let answered = |all: &[Decision]| -> BTreeMap<String, String> {
        all.iter().filter_map(|d| Some((d.prompt_id.clone(), d.teacher.clone()?))).collect()
    };
    let (a, b) = (answered(a), answered(b));
    let both: Vec<(&String, &String)> = a.iter().filter_map(|(id, teacher)| Some((teacher, b.get(id)?))).collect();
    if both.is_empty() {
        return None;
    }
    let n = both.len() as f64;
    let mut counts: BTreeMap<&String, (f64, f64)> = BTreeMap::new();
    for (of_a, of_b) in &both {
        counts.entry(of_a).or_default().0 += 1.0;
        counts.entry(of_b).or_default().1 += 1.0;
    }
    let observed = both.iter().filter(|(of_a, of_b)| of_a == of_b).count() as f64 / n;
    let expected = counts.values().map(|(of_a, of_b)| of_a * of_b / (n * n)).sum::<f64>();
    let kappa = (expected < 1.0).then(|| (observed - expected) / (1.0 - expected));
    Some(Agreement { n: both.len(), observed, kappa })
}
