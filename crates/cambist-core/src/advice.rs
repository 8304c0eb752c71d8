//! Which teachers of a pool are worth having, in each language, and how sure that is.
//!
//! A pool is worth the mean over prompts of the best reward among its teachers. Pools grow greedily: that worth is
//! monotone and submodular, so the greedy pool of any size keeps at least 1 - 1/e of what the best one adds (Nemhauser
//! et al. 1978). What a pool keeps is measured on sources that it was not chosen on, as the best of many noisy means is
//! never as good as it looked.

mod greedy;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::greedy::{Filled, grow};
use crate::{
    frontier::folds,
    language::Language,
    metrics::{Bootstrap, ClusterSums, Estimate, leave_one_out, shapley},
    reward_table::RewardTable,
};

/// Fewer prompts than this in a language make no advice.
pub const MIN_PROMPTS: usize = 30;

/// How pools are judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdviceOptions {
    /// The share of the whole pool's gain over its best teacher that the advised pool keeps, above 0 and up to 1;
    /// default 0.95.
    pub target: f64,
    /// On how many parts of the sources pools are measured after they were chosen on the rest; at least 2, default 5.
    pub folds: usize,
    /// How intervals are drawn; default 2,000 draws.
    pub bootstrap: Bootstrap,
}

impl Default for AdviceOptions {
    fn default() -> Self {
        Self { target: 0.95, folds: 5, bootstrap: Bootstrap { draws: 2_000, ..Bootstrap::default() } }
    }
}

/// One teacher in one language, in rewards on the language's scale; where it gave no valid answer it counts as the
/// lowest of the prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherWorth {
    /// The teacher.
    pub teacher: String,
    /// To how many prompts it gave a valid answer.
    pub n_valid: usize,
    /// Its mean reward.
    pub mean: Estimate,
    /// Its Shapley value.
    pub shapley: Estimate,
    /// What the whole pool loses without it.
    pub leave_one_out: Estimate,
    /// What an answer is expected to cost in USD, its score included.
    pub usd: f64,
}

/// The greedy pool of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolOfSize {
    /// Who is added last at this size, chosen on all sources.
    pub added: String,
    /// The share of the whole pool's gain over its best teacher that pools of this size kept on sources that they were
    /// not chosen on; none where the whole pool gains nothing.
    pub kept: Option<Estimate>,
    /// The same of pools by lot, exact: what size alone gives.
    pub kept_by_lot: Option<f64>,
    /// What asking this pool costs as a share of asking everybody; none where nothing costs anything.
    pub usd_share: Option<f64>,
}

/// What to do in one language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanguageAdvice {
    /// How many prompts it rests on.
    pub n: usize,
    /// How many sources they have.
    pub n_sources: usize,
    /// What asking everybody gains over the best teacher alone, chosen on other sources, in rewards on the language's
    /// scale.
    pub gain: Estimate,
    /// Whether that gain's interval is above 0; where it is not, one teacher is advised.
    pub is_gain: bool,
    /// Teachers, from the most worth on.
    pub teachers: Vec<TeacherWorth>,
    /// Greedy pools by size, from 1 on.
    pub pools: Vec<PoolOfSize>,
    /// The teachers to keep, from the first on: the smallest greedy pool that keeps the target.
    pub keep: Vec<String>,
    /// In what share of resampled sets of sources a pool of that size keeps the target, 0 to 1; none without a gain.
    pub certainty: Option<f64>,
}

/// What to do about a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// By language.
    pub languages: BTreeMap<Language, LanguageAdvice>,
    /// Languages with too few prompts, with how many they have.
    pub too_few: BTreeMap<Language, usize>,
    /// Teachers that no language keeps.
    pub drop: BTreeSet<String>,
}

/// Looks at every language with at least [`MIN_PROMPTS`] prompts.
pub fn advise(table: &RewardTable, options: &AdviceOptions) -> Advice {
    let mut by_language: Vec<Vec<usize>> = vec![Vec::new(); table.languages().len()];
    for (at, prompt) in table.prompts().iter().enumerate() {
        by_language[prompt.language].push(at);
    }
    let mut advice = Advice { languages: BTreeMap::new(), too_few: BTreeMap::new(), drop: BTreeSet::new() };
    for (language, prompts) in table.languages().iter().zip(by_language) {
        if prompts.len() < MIN_PROMPTS {
            advice.too_few.insert(language.clone(), prompts.len());
        } else if let Some(own) = Looking::new(table, prompts, options).advise() {
            advice.languages.insert(language.clone(), own);
        }
    }
    let kept: BTreeSet<&String> = advice.languages.values().flat_map(|language| &language.keep).collect();
    advice.drop = table.teachers().iter().filter(|teacher| !kept.contains(teacher)).cloned().collect();
    advice
}

/// One language of a table.
struct Looking<'a> {
    table: &'a RewardTable,
    options: &'a AdviceOptions,
    prompts: Vec<usize>,
    filled: Filled,
    /// Teachers that can be asked in the language at all.
    open: Vec<usize>,
    language: usize,
}

impl<'a> Looking<'a> {
    fn new(table: &'a RewardTable, prompts: Vec<usize>, options: &'a AdviceOptions) -> Self {
        let filled = Filled::of(table, &prompts);
        let language = prompts.first().map_or(0, |at| table.prompts()[*at].language);
        let open = filled.ever_open();
        Self { table, options, prompts, filled, open, language }
    }

    fn advise(&self) -> Option<LanguageAdvice> {
        let every: Vec<usize> = (0..self.prompts.len()).collect();
        let order = grow(&self.filled, &every, &self.open, self.costs());
        // Columns: weight, best single, everybody, then pools of each size, all on sources they were not chosen on.
        let sums = self.cross_fitted();
        let drawn = self.options.bootstrap.resample(&sums);
        let gain = drawn.estimate(|t| Some((t[2] - t[1]) / t[0]))?;
        let is_gain = gain.interval.is_some_and(|interval| interval.low > 0.0);
        let kept = |size: usize| {
            let share = move |t: &[f64]| (t[2] > t[1]).then(|| (t[2 + size] - t[1]) / (t[2] - t[1]));
            if is_gain { drawn.estimate(share) } else { None }
        };
        let (by_lot, usd) = (self.by_lot(), self.costs());
        let all_usd: f64 = order.iter().map(|at| usd[*at]).sum();
        let pool = |(place, at): (usize, &usize)| PoolOfSize {
            added: self.table.teachers()[*at].clone(),
            kept: kept(place + 1),
            kept_by_lot: is_gain.then(|| by_lot[place]),
            usd_share: (all_usd > 0.0).then(|| order[..=place].iter().map(|at| usd[*at]).sum::<f64>() / all_usd),
        };
        let pools: Vec<PoolOfSize> = order.iter().enumerate().map(pool).collect();
        let keeps = |pool: &PoolOfSize| pool.kept.as_ref().is_some_and(|kept| kept.value >= self.options.target);
        let size = if is_gain { pools.iter().position(keeps).map_or(pools.len(), |at| at + 1) } else { 1 };
        let target = self.options.target;
        let certain = |t: &[f64]| Some(f64::from(u8::from(t[2 + size] - t[1] >= target * (t[2] - t[1]))));
        Some(LanguageAdvice {
            n: self.prompts.len(),
            n_sources: sums.n_clusters(),
            gain,
            is_gain,
            teachers: self.worths(),
            keep: pools.iter().take(size).map(|pool| pool.added.clone()).collect(),
            certainty: if is_gain { drawn.mean(certain) } else { None },
            pools,
        })
    }

    fn costs(&self) -> &[f64] {
        self.table.expected_usd(self.language)
    }

    /// Sums by source of what the best teacher, everybody and greedy pools of each size are worth, chosen on other folds.
    fn cross_fitted(&self) -> ClusterSums {
        let all_folds = folds(self.table, self.options.folds.max(2), self.options.bootstrap.seed);
        let fold_of: Vec<usize> = self.prompts.iter().map(|at| all_folds[*at]).collect();
        let mut sums = ClusterSums::new(3 + self.open.len());
        for fold in 0..self.options.folds.max(2) {
            let (held_out, chosen_on): (Vec<usize>, Vec<usize>) =
                (0..self.prompts.len()).partition(|at| fold_of[*at] == fold);
            let order = grow(&self.filled, &chosen_on, &self.open, self.costs());
            let single = self.filled.best_single(&chosen_on, &self.open);
            for at in held_out {
                let source = format!("{:08}", self.table.prompts()[self.prompts[at]].source);
                let row = self.filled.row(at);
                let mut best = f64::NEG_INFINITY;
                for (size, teacher) in order.iter().enumerate() {
                    best = best.max(row[*teacher]);
                    sums.add(&source, 3 + size, best);
                }
                sums.add(&source, 0, 1.0);
                sums.add(&source, 1, row[single]);
                sums.add(&source, 2, best);
            }
        }
        sums
    }

    /// What pools of each size by lot keep of the gain over the best teacher.
    fn by_lot(&self) -> Vec<f64> {
        let every: Vec<usize> = (0..self.prompts.len()).collect();
        let single = self.filled.mean_of(&every, &[self.filled.best_single(&every, &self.open)]);
        let all = self.filled.mean_of(&every, &self.open);
        let size = |k: usize| (self.filled.mean_by_lot(&self.open, k) - single) / (all - single);
        (1..=self.open.len()).map(size).collect()
    }

    fn worths(&self) -> Vec<TeacherWorth> {
        let n = self.open.len();
        let mut sums = ClusterSums::new(1 + 3 * n);
        for (at, prompt) in self.prompts.iter().enumerate() {
            let source = format!("{:08}", self.table.prompts()[*prompt].source);
            let row: Vec<f64> = self.open.iter().map(|teacher| self.filled.row(at)[*teacher]).collect();
            let floor = row.iter().copied().fold(f64::INFINITY, f64::min);
            let (shares, alone) = (shapley(&row, floor), leave_one_out(&row, floor));
            sums.add(&source, 0, 1.0);
            for place in 0..n {
                sums.add(&source, 1 + place, row[place]);
                sums.add(&source, 1 + n + place, shares[place]);
                sums.add(&source, 1 + 2 * n + place, alone[place]);
            }
        }
        let drawn = self.options.bootstrap.resample(&sums);
        let estimate = |column: usize| drawn.estimate(|t| Some(t[column] / t[0]));
        let worth = |(place, at): (usize, &usize)| {
            Some(TeacherWorth {
                teacher: self.table.teachers()[*at].clone(),
                n_valid: self.prompts.iter().filter(|p| self.table.row(**p)[*at].reward().is_some()).count(),
                mean: estimate(1 + place)?,
                shapley: estimate(1 + n + place)?,
                leave_one_out: estimate(1 + 2 * n + place)?,
                usd: self.costs()[*at],
            })
        };
        let mut worths: Vec<TeacherWorth> = self.open.iter().enumerate().filter_map(worth).collect();
        worths.sort_by(|a, b| b.shapley.value.total_cmp(&a.shapley.value).then_with(|| a.teacher.cmp(&b.teacher)));
        worths
    }
}
