//! Near-duplicates: the first of each stays, in the order of the input.

use std::{cmp::Reverse, collections::BTreeMap};

use cambist_core::{
    minhash::{NearDuplicates, Sketcher},
    resemblance::Shingles,
    split::fold_conversation,
};
use rayon::prelude::*;
use serde_json::json;

use super::{Making, pile::Pile};
use crate::error::PipelineError;

/// A prompt is compared with at most this many earlier ones, those first that share the most bands, and of each band
/// only as many of the nearest are looked at: prompts of one template share bands by the thousand.
const MAX_COMPARED: usize = 64;

/// No earlier prompt.
const NONE: u32 = u32::MAX;

/// Drops every prompt that is nearly equal to an earlier one of its language that stays.
pub(super) fn drop_near_duplicates(
    making: &Making<'_>,
    pile: &mut Pile,
    settings: NearDuplicates,
) -> Result<(), PipelineError> {
    let sketcher =
        Sketcher::new(settings).map_err(|error| making.refuse(error.to_string(), "mend `near_duplicates`"))?;
    let mut earlier = pile.take_bands();
    chain(pile, &mut earlier, sketcher.bands());
    for number in 0..pile.len() {
        if number % 4096 == 0 {
            making.workshop.checkpoint()?;
        }
        let bands = number * sketcher.bands()..(number + 1) * sketcher.bands();
        let proposed = proposals(pile, &earlier, bands);
        if proposed.is_empty() {
            continue;
        }
        let own = shingles(pile, &sketcher, number)?;
        for other in proposed {
            let others = shingles(pile, &sketcher, other)?;
            if sketcher.is_near(&own, &others) {
                let same_as = pile.row(other)?.prompt.id;
                let detail = json!({ "same_as": same_as, "similarity": own.jaccard(&others) });
                pile.drop_row(number, "near_duplicate", detail)?;
                break;
            }
        }
    }
    Ok(())
}

/// Replaces each band's hash by the number of the last earlier prompt of the same language with the same hash.
fn chain(pile: &Pile, bands: &mut [u32], n_bands: usize) {
    let mut order: Vec<u32> = (0..pile.len() as u32).collect();
    for band in 0..n_bands {
        let hash = |number: u32| bands[number as usize * n_bands + band];
        order.par_sort_unstable_by_key(|&number| (pile.language_of(number as usize), hash(number), number));
        let bucket = |number: u32| (pile.language_of(number as usize), hash(number));
        let previous: Vec<u32> = std::iter::once(NONE)
            .chain(order.windows(2).map(|pair| if bucket(pair[0]) == bucket(pair[1]) { pair[0] } else { NONE }))
            .collect();
        for (&number, &previous) in order.iter().zip(&previous) {
            bands[number as usize * n_bands + band] = previous;
        }
    }
}

/// The earlier prompts that share bands and stay, those that share the most first.
fn proposals(pile: &Pile, earlier: &[u32], bands: std::ops::Range<usize>) -> Vec<usize> {
    let n_bands = bands.len();
    let mut n_shared: BTreeMap<usize, usize> = BTreeMap::new();
    for (band, mut at) in earlier[bands].iter().copied().enumerate() {
        let mut n_seen = 0;
        while at != NONE && n_seen < MAX_COMPARED {
            if pile.is_kept(at as usize) {
                *n_shared.entry(at as usize).or_default() += 1;
                n_seen += 1;
            }
            at = earlier[at as usize * n_bands + band];
        }
    }
    let mut found: Vec<(Reverse<usize>, usize)> = n_shared.into_iter().map(|(at, n)| (Reverse(n), at)).collect();
    found.sort_unstable();
    found.into_iter().take(MAX_COMPARED).map(|(_, at)| at).collect()
}

fn shingles(pile: &mut Pile, sketcher: &Sketcher, number: usize) -> Result<Shingles, PipelineError> {
    Ok(sketcher.shingles(&fold_conversation(&pile.row(number)?.prompt)))
}
