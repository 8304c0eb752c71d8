//! Prompts to learn from must not give prompts to test on away.

use cambist_core::{
    overlap::{HeldOut, Overlap},
    prompt::{Prompt, Role},
};
use rayon::prelude::*;
use serde_json::json;

use super::{
    Making,
    pile::{CHUNK, Pile},
    row::PromptRow,
    sets::Sets,
};
use crate::{error::PipelineError, recipe::params::OverlapAction};

/// The split that is held out when none is named.
const USUAL: &str = "test";

/// How many overlaps one error tells of.
const TOLD: usize = 5;

/// A prompt, the held-out one that it overlaps with, and how.
type Found = (usize, (usize, Overlap));

/// Compares every prompt of other sets with the held-out ones.
pub(super) fn check(making: &Making<'_>, pile: &mut Pile, sets: &mut Sets) -> Result<(), PipelineError> {
    let held_out = held_out_sets(making, sets)?;
    let action = making.params.overlap.action;
    if held_out.is_empty() || held_out.len() == sets.names().len() || action == OverlapAction::Ignore {
        return Ok(());
    }
    let is_held = |number: usize| sets.set_of(number).map(|set| held_out.contains(&set));
    let (mut held, mut ids) = (HeldOut::default(), Vec::new());
    for from in (0..pile.len()).step_by(CHUNK) {
        for (number, PromptRow { prompt, .. }) in (from..).zip(pile.rows(from)?) {
            if is_held(number) == Some(true) {
                held.add(&prompt.language, &asked(&prompt));
                ids.push(prompt.id);
            }
        }
    }
    let mut found: Vec<Found> = Vec::new();
    for from in (0..pile.len()).step_by(CHUNK) {
        making.workshop.checkpoint()?;
        let others: Vec<_> = (from..).zip(pile.rows(from)?).filter(|(n, _)| is_held(*n) == Some(false)).collect();
        let look = |(number, row): &(usize, PromptRow)| {
            let text = asked(&row.prompt);
            Some((*number, held.find((&row.prompt.language, &text), making.params.overlap.max_share)?))
        };
        found.extend(others.par_iter().filter_map(look).collect::<Vec<_>>());
    }
    match (found.is_empty(), action) {
        (true, _) => Ok(()),
        (false, OverlapAction::Drop) => leave_out((pile, sets), &found, &ids),
        (false, _) => Err(refusal(making, pile, (&found, &ids))),
    }
}

/// The places of the held-out sets.
fn held_out_sets(making: &Making<'_>, sets: &Sets) -> Result<Vec<usize>, PipelineError> {
    let named = &making.params.overlap.held_out;
    let place = |name: &str| sets.names().iter().position(|known| known == name);
    if named.is_empty() {
        return Ok(place(USUAL).into_iter().collect());
    }
    let unknown = |name: &String| {
        let what = format!("`overlap.held_out` names `{name}`, which is no split");
        making.refuse(what, format!("known here: {}", sets.names().join(", ")))
    };
    named.iter().map(|name| place(name).ok_or_else(|| unknown(name))).collect()
}

/// What the user says in all turns.
fn asked(prompt: &Prompt) -> String {
    let said = prompt.messages.iter().filter(|message| message.role == Role::User);
    said.map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n")
}

fn leave_out((pile, sets): (&mut Pile, &mut Sets), found: &[Found], ids: &[String]) -> Result<(), PipelineError> {
    for (number, (at, overlap)) in found {
        let share = if let Overlap::Shared(share) = overlap { *share } else { 1.0 };
        pile.drop_row(*number, "overlaps_held_out", json!({ "held_out": ids.get(*at), "share": share }))?;
        sets.remove(*number);
    }
    Ok(())
}

fn refusal(making: &Making<'_>, pile: &mut Pile, (found, ids): (&[Found], &[String])) -> PipelineError {
    let mut pairs = Vec::new();
    for (number, (at, overlap)) in found.iter().take(TOLD) {
        let row = match pile.row(*number) {
            Ok(row) => row,
            Err(error) => return error,
        };
        let held = ids.get(*at).map_or("?", String::as_str);
        let how = match overlap {
            Overlap::Equal => "equals".to_owned(),
            Overlap::Shared(share) => format!("shares {:.0} % of its 13-grams with", 100.0 * share),
        };
        pairs.push(format!("`{}` {how} `{held}`", row.prompt.id));
    }
    let more = found.len().saturating_sub(TOLD);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let what = format!("{} prompts give held-out ones away: {}{more}", found.len(), pairs.join(", "));
    making.refuse(what, "set `overlap: {action: drop}` to leave them out of the other splits, or give them the `source_id` of the held-out ones")
}
