//! Preference pairs from rewards: which answer to prefer over which, and when not to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    candidate::{Candidate, Matrix, Row},
    language::Language,
    pool::Pool,
    reward::Scales,
    select::{NEAR_DUPLICATE, collapse_near_duplicates, lack, valid_by_rank},
    statistics::quantile,
    tally::Tally,
};

mod guards;
mod rule;

pub use rule::Rule;

/// How pairs are made, and which are dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairOptions {
    /// Which answers face each other; default `max-min`.
    pub rule: Rule,
    /// Drops pairs with a smaller margin, in normalised units of the language; default 0. Pairs without any margin
    /// are never made.
    pub min_margin: f64,
    /// Drops pairs with a margin below this quantile of the language's margins; default 0.2, 0 switches it off.
    pub margin_quantile: f64,
    /// Drops pairs of which one text is more than this many times longer, in characters; default 3, none switches it
    /// off.
    pub max_length_ratio: Option<f64>,
    /// Collapses answers whose character 5-grams overlap by more than this (Jaccard); default 0.9, none leaves only
    /// equal texts to collapse.
    pub near_duplicate: Option<f64>,
}

impl Default for PairOptions {
    fn default() -> Self {
        Self {
            rule: Rule::MaxMin,
            min_margin: 0.0,
            margin_quantile: 0.2,
            max_length_ratio: Some(3.0),
            near_duplicate: Some(NEAR_DUPLICATE),
        }
    }
}

/// One side of a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Who answered.
    pub teacher: String,
    /// Which of the teacher's answers.
    pub sample: u32,
    /// Its reward as the arbiter gave it.
    pub score: f64,
}

/// Two answers to one prompt of which the first is preferred.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The prompt.
    pub prompt_id: String,
    /// The prompt's source.
    pub source_id: String,
    /// The prompt's language.
    pub language: Language,
    /// The preferred answer.
    pub chosen: Side,
    /// The other.
    pub rejected: Side,
    /// How much higher the chosen one's reward is, in normalised units of the language; always above 0.
    pub margin: f64,
    /// What the pair counts in training: 1 over the number of pairs of the prompt.
    pub weight: f64,
}

/// A prompt without a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpaired {
    /// The prompt.
    pub prompt_id: String,
    /// Why, as a code: `none_asked`, `none_passed`, `none_scored`, `one_valid`, `duplicates` (all valid answers say the
    /// same), `no_gap` (equal rewards), or the guard that dropped the prompt's widest pair: `small_margin`,
    /// `length_ratio`.
    pub reason: String,
}

/// Pairs, and the prompts that gave none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pairs {
    /// The pairs, in the order of the prompts; those of one prompt from the widest margin on.
    pub pairs: Vec<Pair>,
    /// The prompts without a pair, in the order of the prompts.
    pub unpaired: Vec<Unpaired>,
    /// Per language: prompts with a pair under `paired`, and every reason; sums to the prompts.
    pub tally: Tally,
    /// Per language: the smallest margin that was let through, in normalised units.
    pub floors: BTreeMap<Language, f64>,
}

/// A pair before the guards.
struct Proposal<'a> {
    chosen: (&'a Candidate, f64),
    rejected: (&'a Candidate, f64),
    margin: f64,
}

type Proposals<'a> = Result<Vec<Proposal<'a>>, &'static str>;

/// Makes preference pairs of the valid candidates of each prompt.
///
/// Near-duplicates are collapsed to their best first; then the rule proposes pairs, and the guards drop some. `seed`
/// keys the lots of [`Rule::MaxRandom`]. A language without a scale in `scales` has no valid reward, so no pair.
pub fn make_pairs(matrix: &Matrix, pool: &Pool, scales: &Scales, options: &PairOptions, seed: u64) -> Pairs {
    let propose = |row| propose(row, pool, scales, options, seed);
    let proposed: Vec<Proposals<'_>> = matrix.rows().iter().map(propose).collect();
    let mut pairs = Pairs { floors: floors(matrix, &proposed, options), ..Pairs::default() };
    for (row, proposals) in matrix.rows().iter().zip(proposed) {
        let floor = pairs.floors.get(&row.prompt.language).copied().unwrap_or(0.0);
        let kept = proposals.and_then(|all| guards::keep(all, options, floor));
        let code = kept.as_ref().map_or_else(|reason| *reason, |_| "paired");
        pairs.tally.add(&row.prompt.language, code);
        match kept {
            Ok(kept) => pairs.pairs.extend(finish(row, &kept)),
            Err(reason) => {
                pairs.unpaired.push(Unpaired { prompt_id: row.prompt.id.clone(), reason: reason.to_owned() });
            }
        }
    }
    pairs
}

fn propose<'a>(row: &'a Row, pool: &Pool, scales: &Scales, options: &PairOptions, seed: u64) -> Proposals<'a> {
    let ranked = valid_by_rank(row, &pool.query(&row.prompt));
    let distinct = collapse_near_duplicates(&ranked, options.near_duplicate.unwrap_or(f64::INFINITY));
    match (ranked.len(), distinct.len()) {
        (0, _) => return Err(lack(row)),
        (1, _) => return Err("one_valid"),
        (_, 1) => return Err("duplicates"),
        _ => {}
    }
    let normal = |reward| scales.normalize(&row.prompt.language, reward).unwrap_or(reward);
    let picked = options.rule.pick(&distinct, &row.prompt.id, seed).into_iter();
    let gaps =
        picked.map(|(chosen, rejected)| Proposal { chosen, rejected, margin: normal(chosen.1) - normal(rejected.1) });
    let mut proposals: Vec<Proposal<'a>> = gaps.filter(|proposal| proposal.margin > 0.0).collect();
    // By raw rewards: their gaps order the same, and equal ones stay equal to the last bit.
    let gap = |proposal: &Proposal<'_>| proposal.chosen.1 - proposal.rejected.1;
    proposals.sort_by(|a, b| gap(b).total_cmp(&gap(a)));
    if proposals.is_empty() { Err("no_gap") } else { Ok(proposals) }
}

/// The margin under which a language's pairs are dropped: the larger of the absolute and the relative floor.
fn floors(matrix: &Matrix, proposed: &[Proposals<'_>], options: &PairOptions) -> BTreeMap<Language, f64> {
    let mut margins: BTreeMap<&Language, Vec<f64>> = BTreeMap::new();
    for (row, proposals) in matrix.rows().iter().zip(proposed) {
        let of_row = proposals.iter().flatten().map(|proposal| proposal.margin);
        margins.entry(&row.prompt.language).or_default().extend(of_row);
    }
    let floor = |margins: Vec<f64>| quantile(&margins, options.margin_quantile).unwrap_or(0.0).max(options.min_margin);
    margins.into_iter().map(|(language, margins)| (language.clone(), floor(margins))).collect()
}

fn finish(row: &Row, kept: &[Proposal<'_>]) -> Vec<Pair> {
    let side = |(candidate, score): (&Candidate, f64)| Side {
        teacher: candidate.completion.teacher.clone(),
        sample: candidate.completion.sample,
        score,
    };
    let pair = |proposal: &Proposal<'_>| Pair {
        prompt_id: row.prompt.id.clone(),
        source_id: row.prompt.source_id.clone(),
        language: row.prompt.language.clone(),
        chosen: side(proposal.chosen),
        rejected: side(proposal.rejected),
        margin: proposal.margin,
        weight: 1.0 / kept.len() as f64,
    };
    kept.iter().map(pair).collect()
}
