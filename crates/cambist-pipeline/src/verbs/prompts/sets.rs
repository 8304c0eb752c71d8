//! Which prompt falls into which set.

use std::collections::BTreeSet;

use cambist_core::split::TooFewSources;

use super::{Making, WHOLE, pile::Pile};
use crate::error::PipelineError;

/// In no set.
const NONE: u16 = u16::MAX;

/// The named sets, by the numbers of the prompts.
pub(super) struct Sets {
    names: Vec<String>,
    set_of: Vec<u16>,
}

impl Sets {
    /// Deals the kept prompts: the cap by language first, then splits by source, then the limit.
    pub(super) fn deal(making: &Making<'_>, pile: &mut Pile) -> Result<Self, PipelineError> {
        if let Some(cap) = making.params.per_language {
            cap_languages(pile, cap)?;
        }
        let splits = &making.params.splits;
        let mut sets = if splits.is_empty() {
            let set = |number| if pile.is_kept(number) { 0 } else { NONE };
            Self { names: vec![WHOLE.to_owned()], set_of: (0..pile.len()).map(set).collect() }
        } else {
            let n_sources: Vec<usize> = splits.values().copied().collect();
            let refuse = |error: TooFewSources| making.refuse(error.to_string(), "see `splits`");
            Self { names: splits.keys().cloned().collect(), set_of: split(pile, &n_sources).map_err(refuse)? }
        };
        if let Some(limit) = making.params.limit {
            sets.cut(pile, limit);
        }
        Ok(sets)
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The place of a prompt's set among the names; none when it is in no set.
    pub(super) fn set_of(&self, number: usize) -> Option<usize> {
        self.set_of.get(number).filter(|set| **set != NONE).map(|set| usize::from(*set))
    }

    /// Leaves a prompt out of its set.
    pub(super) fn remove(&mut self, number: usize) {
        self.set_of[number] = NONE;
    }

    /// Keeps the first `limit` sources of each set, in the order of the input.
    fn cut(&mut self, pile: &Pile, limit: usize) {
        let mut kept: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); self.names.len()];
        for number in 0..self.set_of.len() {
            let Some(sources) = self.set_of(number).and_then(|set| kept.get_mut(set)) else { continue };
            let source = pile.source_of(number);
            if !sources.contains(&source) && (sources.len() >= limit || !sources.insert(source)) {
                self.remove(number);
            }
        }
    }
}

/// Keeps the `cap` prompts of each language whose sources come first in the order that splits are drawn in.
fn cap_languages(pile: &mut Pile, cap: usize) -> Result<(), PipelineError> {
    let mut by_language: Vec<Vec<u32>> = vec![Vec::new(); pile.n_languages()];
    for number in (0..pile.len()).filter(|&number| pile.is_kept(number)) {
        by_language[usize::from(pile.language_of(number))].push(number as u32);
    }
    let mut over: Vec<u32> = Vec::new();
    for mut numbers in by_language {
        numbers.sort_unstable_by_key(|&number| (pile.draw_of(number as usize), number));
        over.extend(numbers.into_iter().skip(cap));
    }
    over.sort_unstable();
    for number in over {
        pile.drop_row(number as usize, "over_per_language", serde_json::Value::Null)?;
    }
    Ok(())
}

/// Deals sources in the order of their random numbers, each split taking its number of them in the order of names, as
/// [`cambist_core::split::split_by_source`] does.
fn split(pile: &Pile, n_sources: &[usize]) -> Result<Vec<u16>, TooFewSources> {
    let mut sources: Vec<(u64, u32)> =
        (0..pile.len()).filter(|&number| pile.is_kept(number)).map(|n| (pile.draw_of(n), pile.source_of(n))).collect();
    sources.sort_unstable();
    sources.dedup();
    let wanted: usize = n_sources.iter().sum();
    if wanted > sources.len() {
        return Err(TooFewSources { wanted, found: sources.len() });
    }
    let n_all = sources.iter().map(|(_, source)| *source as usize + 1).max().unwrap_or(0);
    let mut set_of_source = vec![NONE; n_all];
    let sets = n_sources.iter().enumerate().flat_map(|(set, &n)| std::iter::repeat_n(set as u16, n));
    for ((_, source), set) in sources.iter().zip(sets) {
        set_of_source[*source as usize] = set;
    }
    let set = |number| if pile.is_kept(number) { set_of_source[pile.source_of(number) as usize] } else { NONE };
    Ok((0..pile.len()).map(set).collect())
}
