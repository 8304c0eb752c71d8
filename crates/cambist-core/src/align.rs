//! Equal-size comparison: the same prompts for every strategy.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    router::{Decision, Outcome},
    tally::Tally,
};

/// Which prompts each strategy's student learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Align {
    /// Only those for which every strategy took an answer: all students get the same prompts. The default, and the only
    /// fair comparison.
    #[default]
    Intersection,
    /// All for which the strategy itself took an answer: for production, never for comparison.
    None,
}

/// What alignment did to one strategy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignedStrategy {
    /// The prompts that it keeps, in the order of its decisions.
    pub prompt_ids: Vec<String>,
    /// The prompts left out, in the same order.
    pub dropped: Vec<Dropped>,
    /// Per language: how many were `kept`, and how many left out for each reason.
    pub tally: Tally,
}

/// A prompt that a strategy's set is without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The prompt.
    pub prompt_id: String,
    /// `none_eligible` or `none_valid` when the strategy took no answer itself, `unaligned` when only others did not.
    pub reason: String,
    /// The strategies that took no answer, sorted; intersection can hide that one fails often.
    pub lacking: Vec<String>,
}

/// The standing of a prompt that a strategy keeps.
pub const KEPT: &str = "kept";

/// Returns how a prompt stands in a strategy's set, as a code: [`KEPT`], or why it is left out as [`Dropped`] says it;
/// `is_lacking` where some strategy took no answer to it.
pub fn standing(outcome: Outcome, is_lacking: bool, mode: Align) -> &'static str {
    match outcome {
        Outcome::Chosen if mode == Align::None || !is_lacking => KEPT,
        Outcome::Chosen => "unaligned",
        outcome => outcome.code(),
    }
}

/// Decides which prompts each strategy keeps; `strategies` has each one's decisions by its name.
///
/// A strategy that was not given a prompt counts as one that took no answer to it. Under [`Align::Intersection`] all
/// strategies that were given the same prompts keep the same ids in the same order.
pub fn align(strategies: &BTreeMap<String, Vec<Decision>>, mode: Align) -> BTreeMap<String, AlignedStrategy> {
    let chosen: BTreeMap<&str, BTreeSet<&str>> =
        strategies.iter().map(|(name, all)| (name.as_str(), ids(all))).collect();
    let mut aligned = BTreeMap::new();
    for (name, decisions) in strategies {
        let mut strategy = AlignedStrategy::default();
        for decision in decisions {
            let lacks = |took: &BTreeSet<&str>| !took.contains(decision.prompt_id.as_str());
            let lacking: Vec<String> =
                chosen.iter().filter(|(_, took)| lacks(took)).map(|(name, _)| (*name).to_owned()).collect();
            let reason = standing(decision.outcome, !lacking.is_empty(), mode);
            strategy.tally.add(&decision.language, reason);
            let prompt_id = decision.prompt_id.clone();
            if reason == KEPT {
                strategy.prompt_ids.push(prompt_id);
            } else {
                strategy.dropped.push(Dropped { prompt_id, reason: reason.to_owned(), lacking });
            }
        }
        aligned.insert(name.clone(), strategy);
    }
    aligned
}

fn ids(decisions: &[Decision]) -> BTreeSet<&str> {
    let chosen = decisions.iter().filter(|decision| decision.outcome == Outcome::Chosen);
    chosen.map(|decision| decision.prompt_id.as_str()).collect()
}
