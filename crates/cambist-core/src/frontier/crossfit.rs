//! Fitting on some sources and playing on the others.

use super::{Play, Preference, Strategist};
use crate::{chance::Chance, reward_table::RewardTable};

/// One strategy on every prompt of a table, none of which it was fitted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// The strategy's name.
    pub name: String,
    /// By prompt.
    pub plays: Vec<Play>,
    /// By prompt, whom it prefers; empty for all but the first of a strategist's names.
    pub preferences: Vec<Preference>,
}

/// Returns the fold of each prompt, `0..n_folds`: sources are dealt out in a random order keyed by `seed`, so that
/// translations stay together and folds have equal numbers of sources.
pub fn folds(table: &RewardTable, n_folds: usize, seed: u64) -> Vec<usize> {
    let mut sources: Vec<usize> = (0..table.n_sources()).collect();
    Chance::new(seed, &["folds"]).shuffle(&mut sources);
    let mut fold = vec![0; sources.len()];
    for (place, source) in sources.into_iter().enumerate() {
        fold[source] = place % n_folds.max(1);
    }
    table.prompts().iter().map(|prompt| fold[prompt.source]).collect()
}

/// Prompts of a fold with what playing them came to, once for each name of a strategist, and whom its first name prefers.
pub type FoldPlays = Vec<(usize, Vec<Play>, Preference)>;

/// Fits `strategist` on all folds but `fold` and plays it on that one; nothing where there is too little to learn from.
pub fn play_fold(strategist: &dyn Strategist, table: &RewardTable, (folds, fold): (&[usize], usize)) -> FoldPlays {
    let (held_out, calibration): (Vec<usize>, Vec<usize>) = (0..folds.len()).partition(|prompt| folds[*prompt] == fold);
    let Some(player) = strategist.fit(table, &calibration) else { return Vec::new() };
    held_out.into_iter().map(|at| (at, player.play(table, at), player.prefer(table, at))).collect()
}

/// Puts what [`play_fold`] returned for each fold together, in any order of folds; nothing where a prompt is missing.
pub fn join_folds(names: Vec<String>, n_prompts: usize, parts: Vec<FoldPlays>) -> Vec<Played> {
    if parts.iter().map(Vec::len).sum::<usize>() != n_prompts {
        return Vec::new();
    }
    let blank = |name| Played { name, plays: vec![Play::default(); n_prompts], preferences: Vec::new() };
    let mut played: Vec<Played> = names.into_iter().map(blank).collect();
    let mut preferences = vec![Preference::default(); n_prompts];
    for (prompt, plays, preference) in parts.into_iter().flatten() {
        played.iter_mut().zip(plays).for_each(|(played, play)| played.plays[prompt] = play);
        preferences[prompt] = preference;
    }
    played.iter_mut().take(1).for_each(|first| first.preferences = std::mem::take(&mut preferences));
    played
}

/// Plays `strategist` on every fold after fitting it on the others; returns one [`Played`] for each of its names.
pub fn cross_fit(strategist: &dyn Strategist, table: &RewardTable, folds: &[usize]) -> Vec<Played> {
    let n_folds = folds.iter().max().map_or(0, |last| last + 1);
    let parts = (0..n_folds).map(|fold| play_fold(strategist, table, (folds, fold))).collect();
    join_folds(strategist.names(), folds.len(), parts)
}
