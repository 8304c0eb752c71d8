//! Which answers face each other.

use serde::{Deserialize, Serialize};

use crate::{candidate::Candidate, chance::Chance};

/// Which answers to a prompt face each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The best against the worst.
    #[default]
    MaxMin,
    /// The best against one of the others by lot; the lot depends on seed and prompt id alone.
    MaxRandom,
    /// The best against one of the others, at this quantile of their rewards: 0 is the worst, 1 the second best.
    MaxQuantile(f64),
    /// Every better one against every worse one.
    AllOrdered,
}

/// A valid candidate with its reward.
pub(super) type Ranked<'a> = (&'a Candidate, f64);

impl Rule {
    /// Picks the pairs of `ranked`, at least two candidates from the best on.
    pub(super) fn pick<'a>(self, ranked: &[Ranked<'a>], prompt_id: &str, seed: u64) -> Vec<(Ranked<'a>, Ranked<'a>)> {
        let Some((best, others)) = ranked.split_first() else { return Vec::new() };
        let against = |at: usize| others.get(at).map(|other| (*best, *other)).into_iter().collect();
        match self {
            Self::MaxMin => against(worst(others)),
            Self::MaxRandom => against(Chance::new(seed, &["max-random", prompt_id]).below(others.len())),
            Self::MaxQuantile(q) => {
                let from_worst = (q.clamp(0.0, 1.0) * others.len() as f64).floor() as usize;
                against((others.len() - 1).saturating_sub(from_worst))
            }
            Self::AllOrdered => {
                let below = |at: usize| ranked[at + 1..].iter().map(move |worse| (ranked[at], *worse));
                (0..ranked.len()).flat_map(below).collect()
            }
        }
    }
}

/// The first of those that share the lowest reward: ties at either end go to the lower cost, then the smaller id.
fn worst(others: &[Ranked<'_>]) -> usize {
    let lowest = others.last().map_or(f64::NAN, |(_, reward)| *reward);
    others.iter().position(|(_, reward)| *reward == lowest).unwrap_or(0)
}
