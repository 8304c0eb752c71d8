//! How strategies choose: how often the best teacher, how far from it otherwise, whom, and how sure.

use serde::{Deserialize, Serialize};

use super::{Play, Played, Preference};
use crate::{
    metrics::{Bootstrap, ClusterSums, Estimate, MarginHistogram, Resampled},
    reward_table::{Opened, RewardTable},
};

/// The largest k of Hit@k.
const MAX_K: usize = 3;
/// Bins of the histogram of margins, and of that of what was foretold.
const N_BINS: usize = 10;
/// The ends of the interval that four fifths of the rewards should fall into.
const INSIDE: [f64; 2] = [0.1, 0.9];
/// The strategy that learned ones have to beat.
const FIXED: &str = "fixed";

/// How strategies choose on the prompts of one language, or of all. Regrets, hits and agreement are over the prompts with
/// at least two valid answers, whom a strategy takes over all of them. Rewards are on the scale of the language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouterMetrics {
    /// Prompts with at least two valid answers.
    pub n: usize,
    /// The mean of the best reward minus the mean reward: what a lot gives up.
    pub spread: f64,
    /// Hit@k of a lot, for k of 1, 2 and 3.
    pub chance_hit_at: Vec<f64>,
    /// Every strategy that is played at its own price of reward.
    pub strategies: Vec<StrategyMetrics>,
    /// By how much the best teacher of a prompt is ahead of the second best.
    pub margins: MarginHistogram,
    /// What budgeted routing foretold of each teacher's rewards, where it was played.
    pub foretold: Vec<Foretold>,
}

/// How one strategy chooses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StrategyMetrics {
    /// The strategy.
    pub strategy: String,
    /// Mean of the best reward minus that of the answer taken; a prompt without a valid answer counts as its lowest
    /// valid reward.
    pub regret: Estimate,
    /// Regret over [`RouterMetrics::spread`]: 0 is the oracle, 1 a lot; none where nothing differs.
    pub relative_regret: Option<Estimate>,
    /// The share of the oracle's gain over the best single teacher that it keeps; none where that is none.
    pub oracle_gain: Option<Estimate>,
    /// The share of prompts of which a teacher with the best reward was taken; ties all count.
    pub hit: Estimate,
    /// Hit@k for k of 1, 2 and 3: a teacher with the best reward is among the first k that it would ask.
    pub hit_at: Vec<Estimate>,
    /// The regret of `fixed` minus its own, paired; none where `fixed` was not played. Where the interval is not above
    /// 0, `fixed` is the better advice.
    pub gain_on_fixed: Option<Estimate>,
    /// Cohen's kappa of the teachers taken with those that asking everybody takes; none where chance alone agrees.
    pub kappa: Option<Estimate>,
    /// By teacher, the share of prompts whose answer it was taken of.
    pub shares: Vec<f64>,
    /// The share of prompts left without a valid answer.
    pub without: f64,
    /// Entropy of the shares among the answers taken, in nats.
    pub entropy: f64,
    /// Equally used teachers with that entropy, `exp(entropy)`; none when nothing was taken.
    pub effective_teachers: Option<f64>,
}

/// How often rewards of a teacher fell where budgeted routing expected them, each just before it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foretold {
    /// The teacher.
    pub teacher: String,
    /// Rewards, and invalid answers, that were foretold.
    pub n: usize,
    /// The share that fell into the middle four fifths of what was expected: 0.8 where expectations are right.
    pub inside: Estimate,
    /// Tenths of the expected distribution, from the lowest rewards on, with how many fell there: even where
    /// expectations are right.
    pub histogram: Vec<usize>,
}

impl Foretold {
    /// Whether so few or so many rewards fell where they were expected that prices of reward mislead: outside 0.7 to 0.9,
    /// and clearly so.
    pub fn is_off(&self) -> bool {
        let is_clear = self.inside.interval.is_some_and(|interval| interval.high < 0.8 || interval.low > 0.8);
        is_clear && !(0.7..=0.9).contains(&self.inside.value)
    }
}

impl StrategyMetrics {
    /// Whether it chooses better than `fixed`, with 95 % confidence; none where they were not compared.
    pub fn beats_fixed(&self) -> Option<bool> {
        let interval = self.gain_on_fixed?.interval?;
        Some(interval.low > 0.0)
    }
}

/// What is measured: a table, what was played on it, and what each prompt weighs.
#[derive(Clone, Copy)]
pub(super) struct Choosing<'a> {
    pub table: &'a RewardTable,
    pub played: &'a [Played],
    pub weights: &'a [f64],
    pub bootstrap: Bootstrap,
    /// The names of the strategy whose gain counts as 0 and of the one that asks everybody.
    pub ends: (&'a str, &'a str),
}

/// One prompt as all strategies see it.
struct Sight {
    /// Teachers that can be opened.
    n_open: usize,
    /// Of them, those with the best reward.
    best: Vec<usize>,
    top: f64,
    mean: f64,
    margin: f64,
}

impl Sight {
    /// None with fewer than two valid answers.
    fn of(table: &RewardTable, prompt: usize) -> Option<Self> {
        let n_open = table.row(prompt).iter().filter(|cell| **cell != Opened::Closed).count();
        let worths: Vec<(usize, f64)> =
            (0..table.teachers().len()).filter_map(|at| Some((at, table.worth(prompt, at)?))).collect();
        let mut sorted: Vec<f64> = worths.iter().map(|(_, worth)| *worth).collect();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let [top, second, ..] = sorted[..] else { return None };
        let best = worths.iter().filter(|(_, worth)| *worth == top).map(|(at, _)| *at).collect();
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        Some(Self { n_open, best, top, mean, margin: top - second })
    }

    /// The probability that `k` teachers drawn without replacement hold one of the best.
    fn chance_hit(&self, k: usize) -> f64 {
        let (n, others) = (self.n_open, self.n_open - self.best.len());
        let miss: f64 = (0..k.min(n)).map(|drawn| others.saturating_sub(drawn) as f64 / (n - drawn) as f64).product();
        1.0 - miss
    }

    fn hit(&self, taken: &[(usize, f64)]) -> f64 {
        taken.iter().filter(|(at, _)| self.best.contains(at)).map(|(_, share)| share).sum()
    }

    fn hit_at(&self, order: &[usize], k: usize) -> f64 {
        if order.is_empty() {
            return self.chance_hit(k);
        }
        f64::from(u8::from(order.iter().take(k).any(|at| self.best.contains(at))))
    }
}

/// Where the columns of a strategy stand in the bootstrap.
#[derive(Clone, Copy)]
struct Layout {
    n_teachers: usize,
}

/// Columns before those of the strategies: weights, and what a lot gives up.
const SHARED: usize = 2;

impl Layout {
    /// Regret, hit, Hit@k, weight of prompts that both answered, agreement, shares of both.
    fn width(self) -> usize {
        4 + MAX_K + 2 * self.n_teachers
    }

    fn of(self, strategy: usize) -> usize {
        SHARED + strategy * self.width()
    }
}

impl Choosing<'_> {
    /// Measures some prompts; none where no prompt has two valid answers or nothing was played.
    pub(super) fn measure(&self, prompts: &[usize]) -> Option<RouterMetrics> {
        let sights: Vec<(usize, Sight)> =
            prompts.iter().filter_map(|at| Some((*at, Sight::of(self.table, *at)?))).collect();
        let own: Vec<&Played> = self.played.iter().filter(|played| !played.preferences.is_empty()).collect();
        if sights.is_empty() || own.is_empty() {
            return None;
        }
        let total: f64 = sights.iter().map(|(at, _)| self.weights[*at]).sum();
        let mean = |of: &dyn Fn(&Sight) -> f64| {
            sights.iter().map(|(at, sight)| self.weights[*at] * of(sight)).sum::<f64>() / total
        };
        let drawn = self.bootstrap.resample(&self.sums(&sights, &own));
        let find = |name: &str| own.iter().position(|played| played.name == name);
        let ends = (find(self.ends.0), find(FIXED));
        Some(RouterMetrics {
            n: sights.len(),
            spread: mean(&|sight| sight.top - sight.mean),
            chance_hit_at: (1..=MAX_K).map(|k| mean(&|sight| sight.chance_hit(k))).collect(),
            strategies: (0..own.len()).filter_map(|at| self.strategy(prompts, (own[at], at), (&drawn, ends))).collect(),
            margins: MarginHistogram::of(&sights.iter().map(|(_, s)| s.margin).collect::<Vec<_>>(), N_BINS),
            foretold: self.foretold(prompts),
        })
    }

    fn sums(&self, sights: &[(usize, Sight)], own: &[&Played]) -> ClusterSums {
        let layout = Layout { n_teachers: self.table.teachers().len() };
        let full = own.iter().find(|played| played.name == self.ends.1);
        let mut sums = ClusterSums::new(layout.of(own.len()));
        for (at, sight) in sights {
            let (weight, source) = (self.weights[*at], format!("{:08}", self.table.prompts()[*at].source));
            let mut add = |column: usize, value: f64| sums.add(&source, column, weight * value);
            add(0, 1.0);
            add(1, sight.top - sight.mean);
            let reward = full.and_then(|full| full.preferences[*at].taken.first().map(|(at, _)| *at));
            for (place, played) in own.iter().enumerate() {
                let (from, (play, preference)) = (layout.of(place), (&played.plays[*at], &played.preferences[*at]));
                Self::add((sight, play, preference), reward, |column, value| add(from + column, value));
            }
        }
        sums
    }

    /// Adds the columns of one strategy on one prompt.
    fn add(
        (sight, play, preference): (&Sight, &Play, &Preference),
        reward: Option<usize>,
        mut add: impl FnMut(usize, f64),
    ) {
        add(0, sight.top - play.value);
        add(1, sight.hit(&preference.taken));
        (1..=MAX_K).for_each(|k| add(1 + k, sight.hit_at(&preference.order, k)));
        let Some(reward) = reward else { return };
        for (teacher, share) in &preference.taken {
            add(2 + MAX_K, *share);
            add(3 + MAX_K, if *teacher == reward { *share } else { 0.0 });
            add(4 + MAX_K + 2 * teacher, *share);
            add(4 + MAX_K + 2 * reward + 1, *share);
        }
    }

    fn strategy(
        &self,
        prompts: &[usize],
        (played, place): (&Played, usize),
        (drawn, (anchor, fixed)): (&Resampled, (Option<usize>, Option<usize>)),
    ) -> Option<StrategyMetrics> {
        let layout = Layout { n_teachers: self.table.teachers().len() };
        let own = layout.of(place);
        let share = |column: usize| drawn.estimate(move |t| Some(t[own + column] / t[0]));
        let over = |below: usize, of: &dyn Fn(f64, f64) -> f64| {
            drawn.estimate(|t| (t[below] > 0.0).then(|| of(t[own], t[below])))
        };
        let Taken { shares, without, entropy } = self.taken(prompts, played);
        Some(StrategyMetrics {
            strategy: played.name.clone(),
            regret: share(0)?,
            relative_regret: over(1, &|regret, spread| regret / spread),
            oracle_gain: anchor.and_then(|anchor| over(layout.of(anchor), &|regret, most| 1.0 - regret / most)),
            hit: share(1)?,
            hit_at: (1..=MAX_K).filter_map(|k| share(1 + k)).collect(),
            gain_on_fixed: fixed
                .filter(|fixed| *fixed != place)
                .and_then(|fixed| drawn.estimate(|t| Some((t[layout.of(fixed)] - t[own]) / t[0]))),
            kappa: drawn.estimate(|t| kappa(&t[own + 2 + MAX_K..own + layout.width()])),
            effective_teachers: (without < 1.0).then(|| entropy.exp()),
            shares,
            without,
            entropy,
        })
    }

    /// Whose answers it takes, over all prompts.
    fn taken(&self, prompts: &[usize], played: &Played) -> Taken {
        let mut shares = vec![0.0; self.table.teachers().len()];
        let total: f64 = prompts.iter().map(|at| self.weights[*at]).sum();
        for &at in prompts {
            for (teacher, share) in &played.preferences[at].taken {
                shares[*teacher] += self.weights[at] * share / total;
            }
        }
        let all: f64 = shares.iter().sum();
        let parts = shares.iter().map(|share| share / all).filter(|part| *part > 0.0);
        // From 0, not from the -0 that an empty or single sum of -p ln p would give.
        let entropy = parts.fold(0.0, |sum, part| sum - part * part.ln());
        Taken { entropy, without: (1.0 - all).clamp(0.0, 1.0), shares }
    }

    /// What the strategy that foretells said of each teacher.
    fn foretold(&self, prompts: &[usize]) -> Vec<Foretold> {
        let told = |played: &&Played| played.preferences.iter().any(|one| !one.foretold.is_empty());
        // The last one that foretells is the one that budgeted routing follows.
        let Some(played) = self.played.iter().rfind(told) else { return Vec::new() };
        (0..self.table.teachers().len()).filter_map(|at| self.foretold_of(prompts, (played, at))).collect()
    }

    fn foretold_of(&self, prompts: &[usize], (played, teacher): (&Played, usize)) -> Option<Foretold> {
        let (mut n, mut histogram) = (0, vec![0; N_BINS]);
        let mut sums = ClusterSums::new(2);
        for &at in prompts {
            let own = played.preferences[at].foretold.iter().filter(|(of, _)| *of == teacher);
            for (_, place) in own {
                n += 1;
                histogram[((place * N_BINS as f64) as usize).min(N_BINS - 1)] += 1;
                let source = format!("{:08}", self.table.prompts()[at].source);
                sums.add(&source, 0, self.weights[at]);
                let is_inside = (INSIDE[0]..=INSIDE[1]).contains(place);
                sums.add(&source, 1, if is_inside { self.weights[at] } else { 0.0 });
            }
        }
        let inside = self.bootstrap.resample(&sums).estimate(|t| (t[0] > 0.0).then(|| t[1] / t[0]))?;
        Some(Foretold { teacher: self.table.teachers()[teacher].clone(), n, inside, histogram })
    }
}

struct Taken {
    shares: Vec<f64>,
    without: f64,
    entropy: f64,
}

/// Cohen's kappa of the columns: weight, agreement, then by teacher the weights of both.
fn kappa(columns: &[f64]) -> Option<f64> {
    let [n, agreed, shares @ ..] = columns else { return None };
    if *n <= 0.0 {
        return None;
    }
    let expected: f64 = shares.chunks_exact(2).map(|pair| pair[0] * pair[1] / (n * n)).sum();
    (expected < 1.0).then(|| (agreed / n - expected) / (1.0 - expected))
}
