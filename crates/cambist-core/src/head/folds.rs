//! Folds of lessons that keep sources whole.

use super::Lessons;
use crate::chance::Chance;

/// How many folds cross-validation has.
pub const N_FOLDS: usize = 5;

/// Returns the fold of each lesson, 0 to 4: sources are dealt out in an order that `seed` shuffles, so that folds hold
/// equally many, and translations of one prompt stay together.
pub fn fold_of(lessons: &Lessons, seed: u64) -> Vec<usize> {
    let dealt = deal(&lessons.sources, seed);
    lessons.lessons.iter().map(|lesson| dealt[lesson.source] % N_FOLDS).collect()
}

/// The places of the sources in an order that depends on their names and the seed alone.
pub(super) fn deal(sources: &[String], seed: u64) -> Vec<usize> {
    let draw = |source: &String| Chance::new(seed, &["fold", source]).next_u64();
    let mut order: Vec<(u64, &String, usize)> =
        sources.iter().enumerate().map(|(at, source)| (draw(source), source, at)).collect();
    order.sort_unstable();
    let mut places = vec![0; sources.len()];
    order.into_iter().enumerate().for_each(|(place, (_, _, at))| places[at] = place);
    places
}
