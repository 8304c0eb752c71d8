//! What a strategy's students, one per training seed, have in common and apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::{language::Language, statistics::mean};

/// Returns each student's mean over its languages, each weighing the same, in the order of the seeds.
pub(super) fn means_by_seed<'a>(rows: impl Iterator<Item = (u64, &'a Language, f64)>) -> Vec<f64> {
    let mut seeds: BTreeMap<u64, BTreeMap<&Language, Vec<f64>>> = BTreeMap::new();
    for (seed, language, value) in rows {
        seeds.entry(seed).or_default().entry(language).or_default().push(value);
    }
    let of_languages =
        |languages: BTreeMap<_, Vec<f64>>| languages.values().filter_map(|v| mean(v)).collect::<Vec<_>>();
    seeds.into_values().filter_map(|languages| mean(&of_languages(languages))).collect()
}

/// Returns how many different ones there are.
pub(super) fn n_distinct<'a>(ids: impl Iterator<Item = &'a String>) -> usize {
    ids.collect::<BTreeSet<_>>().len()
}
