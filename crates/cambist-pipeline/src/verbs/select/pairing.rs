//! Preference pairs over all answers of a step, without their texts.

use cambist_core::{
    candidate::Row,
    pairs::{Pair, PairOptions, Pairing},
    pool::Pool,
    reward::Scales,
    tally::Tally,
};
use cambist_io::formats::LineWriter;
use serde_json::json;

use super::{Making, survey::Answers};
use crate::error::PipelineError;

/// Prompts that are paired side by side.
const CHUNK: usize = 4096;

/// The pairs of a step, in the order of the prompts.
pub(super) struct PairList {
    pub pairs: Vec<PlacedPair>,
    /// Per language: prompts with a pair under `paired`, and every reason why there is none.
    pub tally: Tally,
    /// Prompts without a pair, and why.
    unpaired: Vec<(u32, &'static str)>,
}

/// A pair by its places.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedPair {
    /// The prompt's place.
    pub at: u32,
    /// The place of the preferred answer in the row.
    pub chosen: u32,
    /// The place of the other.
    pub rejected: u32,
    /// How much higher the chosen one's reward is, in normalised units of the language.
    pub margin: f64,
}

impl PairList {
    /// Makes the pairs.
    pub(super) fn make(
        making: &Making<'_>,
        (answers, pool): (&Answers, &Pool),
        options: &PairOptions,
    ) -> Result<Self, PipelineError> {
        let scales = Scales::of_outline(&answers.outline);
        let pairing = Pairing { pool, scales: &scales, options, seed: making.workshop.plan.recipe.seed };
        let floors = floors(&pairing, answers);
        let mut list = Self { pairs: Vec::new(), tally: Tally::default(), unpaired: Vec::new() };
        for from in (0..answers.outline.len()).step_by(CHUNK) {
            making.workshop.checkpoint()?;
            let made = answers.each_row(from..from + CHUNK, &answers.of_pairs, |line, row, likeness| {
                let made = pairing.pairs(row, likeness, floors[line.language_place()]);
                made.map(|made| made.iter().filter_map(|pair| PlacedPair::of(row, pair)).collect::<Vec<_>>())
            });
            for (at, made) in (from..).zip(made) {
                let language = answers.outline.line(at).map(|line| line.language());
                let code = made.as_ref().map_or_else(|reason| *reason, |_| "paired");
                language.into_iter().for_each(|language| list.tally.add(language, code));
                match made {
                    Ok(made) => list.pairs.extend(made.into_iter().map(|pair| PlacedPair { at: at as u32, ..pair })),
                    Err(reason) => list.unpaired.push((at as u32, reason)),
                }
            }
        }
        Ok(list)
    }

    /// Writes down every prompt without a pair, and why.
    pub(super) fn write_dropped(&self, answers: &Answers, lines: &mut LineWriter) -> Result<(), PipelineError> {
        for (at, reason) in &self.unpaired {
            if let Some(line) = answers.outline.line(*at as usize) {
                lines.push(&json!({ "set": "pairs", "prompt_id": line.id(), "reason": reason }))?;
            }
        }
        Ok(())
    }

    /// The pairs of the prompts from `from` until before `until`.
    pub(super) fn between(&self, from: usize, until: usize) -> &[PlacedPair] {
        let before = |place: usize| self.pairs.partition_point(|pair| (pair.at as usize) < place);
        &self.pairs[before(from)..before(until)]
    }
}

impl PlacedPair {
    fn of(row: &Row, pair: &Pair) -> Option<Self> {
        let place = |teacher: &str, sample| row.place((teacher, sample)).map(|at| at as u32);
        let chosen = place(&pair.chosen.teacher, pair.chosen.sample)?;
        let rejected = place(&pair.rejected.teacher, pair.rejected.sample)?;
        Some(Self { at: 0, chosen, rejected, margin: pair.margin })
    }
}

/// The smallest margin that is let through, by the place of the language.
fn floors(pairing: &Pairing<'_>, answers: &Answers) -> Vec<f64> {
    let mut margins = vec![Vec::new(); answers.outline.languages().len()];
    for from in (0..answers.outline.len()).step_by(CHUNK) {
        let of_rows = answers.each_row(from..from + CHUNK, &answers.of_pairs, |line, row, likeness| {
            (line.language_place(), pairing.margins(row, likeness))
        });
        of_rows.into_iter().for_each(|(language, of_row)| margins[language].extend(of_row));
    }
    margins.iter().map(|margins: &Vec<f64>| pairing.floor(margins)).collect()
}
