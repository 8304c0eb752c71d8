//! Pairs that would teach something else than quality.

use super::{PairOptions, Proposal};

/// Keeps the proposals that pass; when none does, returns why the first, the widest, did not.
pub(super) fn keep<'a>(
    proposals: Vec<Proposal<'a>>,
    options: &PairOptions,
    floor: f64,
) -> Result<Vec<Proposal<'a>>, &'static str> {
    let first = proposals.first().and_then(|proposal| fault(proposal, options, floor));
    let kept: Vec<_> = proposals.into_iter().filter(|proposal| fault(proposal, options, floor).is_none()).collect();
    if kept.is_empty() { Err(first.unwrap_or("no_gap")) } else { Ok(kept) }
}

fn fault(proposal: &Proposal<'_>, options: &PairOptions, floor: f64) -> Option<&'static str> {
    if proposal.margin < floor {
        Some("small_margin")
    } else if options.max_length_ratio.is_some_and(|most| proposal.log_length_ratio.abs() > most.ln()) {
        Some("length_ratio")
    } else {
        None
    }
}
