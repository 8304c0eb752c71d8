//! Preference pairs from rewards: which answer to prefer over which, and when not to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    candidate::{Candidate, Matrix, Row},
    language::Language,
    pool::Pool,
    reward::Scales,
    select::{NEAR_DUPLICATE, alike, lack, valid_by_rank},
    statistics::quantile,
    tally::Tally,
};

mod guards;
mod rule;

use rule::Ranked;
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

/// What pairs and labels read of an answer's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Likeness {
    /// Valid answers to one prompt that say the same share a group.
    pub group: u32,
    /// Characters, white space at the ends not counted.
    pub n_chars: u32,
}

impl Likeness {
    /// Reads the texts of a row, in the order of its candidates; `near_duplicate` is what their 5-grams must share more
    /// than to say the same, none where only equal texts do.
    pub fn of(row: &Row, near_duplicate: Option<f64>) -> Vec<Self> {
        let valid: Vec<usize> =
            (0..row.candidates.len()).filter(|at| row.candidates[*at].valid_reward().is_some()).collect();
        let texts: Vec<&str> = row.candidates.iter().map(|candidate| candidate.completion.text.trim()).collect();
        let of_valid: Vec<&str> = valid.iter().map(|at| texts[*at]).collect();
        let mut groups: Vec<usize> = (0..texts.len()).collect();
        for (at, group) in valid.iter().zip(alike(&of_valid, near_duplicate.unwrap_or(f64::INFINITY))) {
            groups[*at] = valid[group];
        }
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let likeness =
            |(text, group): (&&str, usize)| Self { group: narrow(group), n_chars: narrow(text.chars().count()) };
        texts.iter().zip(groups).map(likeness).collect()
    }
}

/// A pair before the guards.
struct Proposal<'a> {
    chosen: Ranked<'a>,
    rejected: Ranked<'a>,
    margin: f64,
    /// How many times longer one text is than the other, as a logarithm; negative when the chosen one is shorter.
    log_length_ratio: f64,
}

type Proposals<'a> = Result<Vec<Proposal<'a>>, &'static str>;

/// How pairs of one set are made, prompt by prompt.
///
/// Near-duplicates are collapsed to their best first; then the rule proposes pairs, and the guards drop some. A
/// language without a scale has no valid reward, so no pair. Rows need no texts: what counts of them is in [`Likeness`].
#[derive(Clone, Copy, Debug)]
pub struct Pairing<'a> {
    /// Whose costs break ties.
    pub pool: &'a Pool,
    /// What margins are measured on.
    pub scales: &'a Scales,
    /// How pairs are made.
    pub options: &'a PairOptions,
    /// Keys the lots of [`Rule::MaxRandom`].
    pub seed: u64,
}

impl Pairing<'_> {
    /// Returns the margins of all pairs that the rule proposes for a prompt, in normalised units of the language.
    pub fn margins(&self, row: &Row, likeness: &[Likeness]) -> Vec<f64> {
        self.propose(row, likeness).into_iter().flatten().map(|proposal| proposal.margin).collect()
    }

    /// Returns the margin under which a language's pairs are dropped, of all margins of the language: the larger of the
    /// absolute and the relative floor.
    pub fn floor(&self, margins: &[f64]) -> f64 {
        quantile(margins, self.options.margin_quantile).unwrap_or(0.0).max(self.options.min_margin)
    }

    /// Makes the pairs of a prompt, from the widest margin on; `floor` is that of its language.
    ///
    /// # Errors
    /// Why there is none, as [`Unpaired`] says it.
    pub fn pairs(&self, row: &Row, likeness: &[Likeness], floor: f64) -> Result<Vec<Pair>, &'static str> {
        let kept = guards::keep(self.propose(row, likeness)?, self.options, floor)?;
        Ok(finish(row, &kept))
    }

    fn propose<'r>(&self, row: &'r Row, likeness: &[Likeness]) -> Proposals<'r> {
        let of = |candidate: &Candidate| row.place(candidate.cell()).and_then(|at| likeness.get(at));
        let ranked = valid_by_rank(row, &self.pool.query(&row.prompt));
        let distinct = distinct(&ranked, |candidate| of(candidate).map(|like| like.group));
        match (ranked.len(), distinct.len()) {
            (0, _) => return Err(lack(row)),
            (1, _) => return Err("one_valid"),
            (_, 1) => return Err("duplicates"),
            _ => {}
        }
        let normal = |reward| self.scales.normalize(&row.prompt.language, reward).unwrap_or(reward);
        // Neither is empty once the gates stood.
        let length = |(candidate, _): Ranked<'_>| f64::from(of(candidate).map_or(1, |like| like.n_chars.max(1)));
        let picked = self.options.rule.pick(&distinct, &row.prompt.id, self.seed).into_iter();
        let gaps = picked.map(|(chosen, rejected)| Proposal {
            chosen,
            rejected,
            margin: normal(chosen.1) - normal(rejected.1),
            log_length_ratio: (length(chosen) / length(rejected)).ln(),
        });
        let mut proposals: Vec<Proposal<'r>> = gaps.filter(|proposal| proposal.margin > 0.0).collect();
        // By raw rewards: their gaps order the same, and equal ones stay equal to the last bit.
        let gap = |proposal: &Proposal<'_>| proposal.chosen.1 - proposal.rejected.1;
        proposals.sort_by(|a, b| gap(b).total_cmp(&gap(a)));
        if proposals.is_empty() { Err("no_gap") } else { Ok(proposals) }
    }
}

/// Makes preference pairs of the valid candidates of each prompt, as [`Pairing`] does.
pub fn make_pairs(matrix: &Matrix, pool: &Pool, scales: &Scales, options: &PairOptions, seed: u64) -> Pairs {
    let pairing = Pairing { pool, scales, options, seed };
    let rows: Vec<(&Row, Vec<Likeness>)> =
        matrix.rows().iter().map(|row| (row, Likeness::of(row, options.near_duplicate))).collect();
    let mut margins: BTreeMap<Language, Vec<f64>> = BTreeMap::new();
    for (row, likeness) in &rows {
        margins.entry(row.prompt.language.clone()).or_default().extend(pairing.margins(row, likeness));
    }
    let floors = margins.into_iter().map(|(language, margins)| (language, pairing.floor(&margins))).collect();
    let mut pairs = Pairs { floors, ..Pairs::default() };
    for (row, likeness) in rows {
        let floor = pairs.floors.get(&row.prompt.language).copied().unwrap_or(0.0);
        let made = pairing.pairs(row, &likeness, floor);
        let code = made.as_ref().map_or_else(|reason| *reason, |_| "paired");
        pairs.tally.add(&row.prompt.language, code);
        match made {
            Ok(made) => pairs.pairs.extend(made),
            Err(reason) => {
                pairs.unpaired.push(Unpaired { prompt_id: row.prompt.id.clone(), reason: reason.to_owned() });
            }
        }
    }
    pairs
}

/// Keeps the first of each group, which is its best when the candidates come from the best on.
pub(crate) fn distinct<'a>(ranked: &[Ranked<'a>], group: impl Fn(&Candidate) -> Option<u32>) -> Vec<Ranked<'a>> {
    let mut seen = Vec::new();
    let is_new = |(candidate, _): &Ranked<'a>| {
        let group = group(candidate);
        let is_new = !seen.contains(&group);
        seen.push(group);
        is_new
    };
    ranked.iter().copied().filter(is_new).collect()
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
