//! Whose answer was taken, by each strategy or by the reward alone.

use std::collections::{BTreeMap, HashMap};

use cambist_io::{formats::scan_table, store::Artifact};

use super::index::{Entry, Slot};
use crate::{
    error::PipelineError,
    verbs::{DECISIONS, DecisionRow},
};

/// What was taken of every prompt.
#[derive(Debug)]
pub(super) struct Ranking {
    /// The strategy; `best reward` where none decided.
    pub name: String,
    /// By the prompt's place.
    pub picks: Vec<Pick>,
}

/// What was taken of one prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pick {
    /// The answer's place; none when nothing was taken.
    pub slot: Option<u16>,
    /// Its reward minus that of the second best; none where there is no second.
    pub margin: Option<f64>,
}

/// The name of the ranking by reward.
pub(super) const BEST_REWARD: &str = "best reward";

/// What each strategy of a `select` artifact took, those that compared rewards first, then in the order of their
/// names; nothing for other artifacts.
///
/// A strategy with answers of its own is left out: they are not among those shown.
pub(super) fn decided(
    artifact: &Artifact,
    entries: &[Entry],
    (places, teachers): (&HashMap<&str, usize>, &[String]),
) -> Result<Vec<Ranking>, PipelineError> {
    if !artifact.manifest().files.contains_key(DECISIONS) {
        return Ok(Vec::new());
    }
    let mut rankings: BTreeMap<String, Vec<Pick>> = BTreeMap::new();
    for row in scan_table::<DecisionRow>(&artifact.path(DECISIONS)?)? {
        let DecisionRow { name, set, decision } = row?;
        let Some(&place) = places.get(decision.prompt_id.as_str()).filter(|_| set.is_empty()) else { continue };
        let picks = rankings.entry(name).or_insert_with(|| vec![Pick::default(); entries.len()]);
        let is_taken = |slot: &Slot| {
            teachers.get(usize::from(slot.teacher)) == decision.teacher.as_ref() && Some(slot.sample) == decision.sample
        };
        let slot = entries[place].answers.iter().position(is_taken);
        picks[place] = Pick { slot: slot.and_then(|slot| u16::try_from(slot).ok()), margin: decision.margin };
    }
    let mut rankings: Vec<Ranking> = rankings.into_iter().map(|(name, picks)| Ranking { name, picks }).collect();
    // Those that compared most rewards first: their margins say most.
    let n_margins = |ranking: &Ranking| ranking.picks.iter().filter(|pick| pick.margin.is_some()).count();
    rankings.sort_by_key(|ranking| std::cmp::Reverse(n_margins(ranking)));
    Ok(rankings)
}

/// The valid answer with the highest reward of every prompt; of equal ones the first by teacher and sample.
pub(super) fn best_rewards(entries: &[Entry]) -> Ranking {
    Ranking { name: BEST_REWARD.to_owned(), picks: entries.iter().map(|entry| best(&entry.answers)).collect() }
}

fn best(answers: &[Slot]) -> Pick {
    let mut best: Option<(u16, f64)> = None;
    let mut second: Option<f64> = None;
    for (slot, reward) in (0u16..).zip(answers).filter_map(|(at, slot)| Some((at, slot.valid_reward()?))) {
        match best {
            Some((_, top)) if reward <= top => second = Some(second.map_or(reward, |second| second.max(reward))),
            _ => {
                second = best.map(|(_, top)| top);
                best = Some((slot, reward));
            }
        }
    }
    Pick { slot: best.map(|(slot, _)| slot), margin: best.zip(second).map(|((_, top), second)| top - second) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(reward: Option<f64>, passed: bool) -> Slot {
        Slot {
            teacher: 0,
            sample: 0,
            row: Default::default(),
            folded: Default::default(),
            reward,
            failed: false,
            passed,
        }
    }

    #[test]
    fn the_best_valid_reward_wins_by_its_distance_to_the_second() {
        let answers = [slot(Some(1.0), true), slot(Some(9.0), false), slot(Some(3.0), true), slot(Some(2.5), true)];
        assert_eq!(best(&answers), Pick { slot: Some(2), margin: Some(0.5) });
        assert_eq!(best(&[slot(Some(1.0), true), slot(Some(1.0), true)]), Pick { slot: Some(0), margin: Some(0.0) });
        assert_eq!(best(&[slot(None, true), slot(Some(-1.0), true)]), Pick { slot: Some(1), margin: None });
        assert_eq!(best(&[slot(None, true)]), Pick::default());
    }
}
