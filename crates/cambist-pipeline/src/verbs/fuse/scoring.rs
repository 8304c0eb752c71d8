//! Rewards of fused answers beside those of their candidates.

use cambist_core::{
    completion::{Completion, FusionOutcome},
    prompt::Prompt,
    score::Score,
};

use super::{Fusing, Standing};
use crate::{
    error::PipelineError,
    recipe::fusion::FusionKeep,
    verbs::{
        answering::{self, Marks, Rivals},
        panel::Scorer,
    },
};

/// What the step's arbiter said.
pub(super) struct Scored {
    /// A score of each answer that is kept, in their order.
    pub scores: Vec<Score>,
    /// What it rests on.
    pub marks: Marks,
}

/// Scores fused answers together with their candidates, by the same arbiter on the same scale, and keeps the better where
/// that is asked for; nothing without an arbiter.
pub(super) fn score(fusing: &Fusing<'_>, standings: &mut [Standing<'_>]) -> Result<Option<Scored>, PipelineError> {
    let Some(arbiter) = &fusing.params.arbiter else { return Ok(None) };
    let scorer = Scorer::open(fusing.workshop, fusing.job, arbiter)?;
    let fused: Vec<Option<Completion>> = standings.iter().map(|standing| fused(fusing, standing)).collect();
    let mut answers: Vec<(&Prompt, &Completion)> = Vec::new();
    for (standing, fused) in standings.iter().zip(&fused) {
        let candidates = standing.ranked.iter().map(|candidate| &candidate.completion);
        answers.extend(candidates.chain(fused).map(|completion| (&standing.row.prompt, completion)));
    }
    let marks = answering::score((fusing.workshop, fusing.job), &scorer, (&answers, Rivals::OfPrompt))?;
    let mut said = marks.scores.iter();
    let mut scores = Vec::new();
    for (standing, fused) in standings.iter_mut().zip(&fused) {
        let candidates: Vec<&Score> = said.by_ref().take(standing.ranked.len()).collect();
        let fused = if fused.is_some() { said.next() } else { None };
        let kept = compare(standing, (&candidates, fused), fusing.params.keep);
        scores.extend(kept.map(|score| Score { teacher: fusing.params.name.clone(), sample: 0, ..score.clone() }));
    }
    Ok(Some(Scored { scores, marks }))
}

/// The fused answer as it competes with its candidates.
fn fused(fusing: &Fusing<'_>, standing: &Standing<'_>) -> Option<Completion> {
    standing.text()?;
    standing.completion(fusing.params)
}

/// Compares the fused answer with the best candidate; returns the score of what is kept.
fn compare<'s>(
    standing: &mut Standing<'_>,
    (candidates, fused): (&[&'s Score], Option<&'s Score>),
    keep: FusionKeep,
) -> Option<&'s Score> {
    let Some(fused) = fused else { return candidates.first().copied() };
    // Of equal rewards the first counts, which is the best by the order of every strategy.
    let mut best: Option<(usize, f64)> = None;
    for (at, value) in candidates.iter().enumerate().filter_map(|(at, score)| Some((at, score.value?))) {
        if best.is_none_or(|(_, highest)| value > highest) {
            best = Some((at, value));
        }
    }
    let Some((place, highest)) = best else { return Some(fused) };
    // A missing reward cannot win.
    let is_below = fused.value.is_none_or(|value| value < highest);
    standing.is_below = Some(is_below);
    if !is_below || keep == FusionKeep::Fused {
        return Some(fused);
    }
    standing.kept = FusionOutcome::Better;
    standing.ranked.swap(0, place);
    Some(candidates[place])
}
