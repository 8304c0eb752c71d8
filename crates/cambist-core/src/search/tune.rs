//! Likeness and price of reward, by replaying calibration prompts with a memory that forgets their sources.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Likeness, Memory, MemoryError, Policy, Promise,
    curve::{Curve, Replayed},
    replay::Replay,
};
use crate::{
    frontier::{Play, Preference},
    language::Language,
    reward_table::RewardTable,
};

/// What a prompt in another language may weigh, and one of another task.
const ELSEWHERE: [f64; 4] = [0.0, 0.1, 0.3, 1.0];
const OTHER_TASK: [f64; 3] = [1.0, 0.3, 0.1];
/// A weight is changed for a gain in area above this over the square root of the number of sources: about the noise of
/// the area.
const MARGIN: f64 = 0.07;
/// Calibration prompts that are remembered, and replayed, at most.
const MAX_MEMORY: usize = 2_000;
const MAX_REPLAYED: usize = 1_000;
/// Prices of reward on the grid. Verdicts make few different policies, and a coarse grid misses some.
const N_LAMBDAS: usize = 60;
/// The ends of the grid, times (spread of rewards / mean cost of a call); the spread is 1 on the scale of a language.
const LAMBDA_ENDS: [f64; 2] = [1e-4, 10.0];

/// What budgeted routing is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Keep this share of the gain of asking everybody over the best single teacher, above 0 and up to 1, as cheaply as
    /// calibration allows.
    Target(f64),
    /// Spend at most this on a prompt on average, in USD.
    UsdPerPrompt(f64),
    /// Ask as long as a USD is expected to bring this much reward, on the scale of the language; 0 asks everybody.
    RewardPerUsd(f64),
}

/// Whether rewards of one prompt say something about each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Correlation {
    /// They do: what was seen weighs the calibration prompts. The default.
    #[default]
    Shared,
    /// They do not: Weitzman's rule to the letter, on the calibration prompts of the language.
    None,
}

/// Budgeted routing, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// What calibration prompts showed.
    pub memory: Memory,
    /// How they weigh.
    pub likeness: Likeness,
    /// The reward that a unit of cost must bring in a language without calibration, and where no language has its own.
    pub lambda: f64,
    /// By language of the table: its own price of reward, and what calibration promises there.
    pub languages: Vec<LanguagePrice>,
    /// All prices of reward on the grid, from dear reward (few calls) to cheap reward.
    pub grid: Vec<f64>,
    /// What a call costs, `[language, teacher]`: USD, or 1 where nothing costs anything.
    pub costs: Vec<f64>,
    /// What calibration promises over all prompts.
    pub promise: Option<Promise>,
}

/// The price of reward in one language.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanguagePrice {
    /// The reward that a unit of cost must bring.
    pub lambda: f64,
    /// What calibration promises at that; none where no calibration prompt was replayed.
    pub promise: Option<Promise>,
}

/// What reward costs, in words that can be kept: languages by their names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// The reward that a unit of cost must bring in a language without calibration.
    pub lambda: f64,
    /// What calibration promises over all prompts.
    pub promise: Option<Promise>,
    /// The price of each language.
    pub languages: BTreeMap<Language, LanguagePrice>,
}

/// Fits budgeted routing on some prompts of a table.
///
/// What other languages and tasks weigh is chosen by the area under the curve of gain kept against the logarithm of the
/// share of cost, the price of reward by the goal, both on calibration prompts whose sources the memory forgets. A target
/// is met in each language: its price is read off a curve of its own, drawn to that of all languages as if 50 prompts of
/// those were its own. Budgets and given prices are the same in every language, as the last unit of money should bring as
/// much everywhere. Where asking everybody gains nothing, the dearest price is taken: one call.
///
/// # Errors
/// When there are too few prompts.
pub fn tune(
    table: &RewardTable,
    prompts: &[usize],
    (goal, correlation): (Goal, Correlation),
) -> Result<Tuned, MemoryError> {
    let prompts = thinned(prompts, MAX_MEMORY);
    let memory = Memory::of(table, &prompts)?;
    let tuning =
        Tuning { table, prompts: &prompts, memory: &memory, costs: &costs(table), grid: grid(table, &prompts) };
    let likeness = match correlation {
        Correlation::Shared => tuning.likeness(),
        Correlation::None => Likeness::NONE,
    };
    let replayed = tuning.replayed(likeness);
    let pooled = Curve::of(&replayed, |_| true);
    let lambda = tuning.price(&pooled, goal);
    let n_languages = table.languages().len();
    let lambdas: Vec<f64> = (0..n_languages)
        .map(|language| match goal {
            Goal::Target(target) => {
                let own = Curve::of(&replayed, |at| table.prompts()[at].language == language);
                own.drawn_to(&pooled).cheapest(target).map_or(lambda, |at| tuning.grid[at])
            }
            Goal::UsdPerPrompt(_) | Goal::RewardPerUsd(_) => lambda,
        })
        .collect();
    let settled = tuning.settled(likeness, &lambdas);
    let promised =
        |language| Promise::of(settled.iter().filter(|one| table.prompts()[one.prompt].language == language));
    let price = |(language, lambda): (usize, &f64)| LanguagePrice { lambda: *lambda, promise: promised(language) };
    let languages = lambdas.iter().enumerate().map(price).collect();
    let promise = Promise::of(settled.iter());
    let Tuning { grid, costs, .. } = tuning;
    let costs = costs.to_vec();
    Ok(Tuned { likeness, lambda, languages, promise, grid, costs, memory })
}

impl Tuned {
    /// Returns the policy.
    pub fn policy(&self) -> Policy<'_> {
        Policy { memory: &self.memory, likeness: self.likeness }
    }

    /// Names the prices; `languages` are those of the table that it was tuned on.
    pub fn prices(&self, languages: &[Language]) -> Prices {
        let named = languages.iter().cloned().zip(self.languages.iter().copied());
        Prices { lambda: self.lambda, promise: self.promise, languages: named.collect() }
    }

    /// The price of reward in a language, by place; none for one without calibration.
    pub fn lambda_in(&self, language: Option<usize>) -> f64 {
        let own = language.and_then(|language| self.languages.get(language));
        own.map_or(self.lambda, |own| own.lambda)
    }

    /// What a call to each teacher costs; `language` by place, none for one without calibration.
    pub fn costs_in(&self, language: Option<usize>) -> Vec<f64> {
        let n = self.memory.n_teachers();
        match language {
            Some(language) => self.costs[language * n..(language + 1) * n].to_vec(),
            None => (0..n).map(|at| mean(self.costs.iter().skip(at).step_by(n.max(1)).copied())).collect(),
        }
    }

    /// Plays one prompt of a table at each price of reward.
    pub fn play(&self, table: &RewardTable, prompt: usize, lambdas: &[f64]) -> Vec<Play> {
        self.replay(table).play(prompt, lambdas)
    }

    /// Tells whom it asks about a prompt of a table, in which order, and whose answer it takes.
    pub fn prefer(&self, table: &RewardTable, prompt: usize) -> Preference {
        self.replay(table).prefer(prompt, self.lambda_in(Some(table.prompts()[prompt].language)))
    }

    fn replay<'a>(&'a self, table: &'a RewardTable) -> Replay<'a> {
        Replay { policy: self.policy(), table, costs: &self.costs, is_calibrating: false }
    }
}

/// What a call costs, `[language, teacher]`.
fn costs(table: &RewardTable) -> Vec<f64> {
    let usd: Vec<f64> = (0..table.languages().len()).flat_map(|l| table.expected_usd(l).to_vec()).collect();
    if usd.iter().all(|cost| *cost == 0.0) { vec![1.0; usd.len()] } else { usd }
}

/// Prices from dear reward to cheap reward, evenly in logarithms.
fn grid(table: &RewardTable, prompts: &[usize]) -> Vec<f64> {
    let (n, costs) = (table.teachers().len(), costs(table));
    let of_prompt = |at: &usize| mean(costs[table.prompts()[*at].language * n..][..n].iter().copied());
    let mean_cost = mean(prompts.iter().map(of_prompt)).max(f64::MIN_POSITIVE);
    let [low, high] = LAMBDA_ENDS.map(|end| (end / mean_cost).ln());
    let step = (high - low) / (N_LAMBDAS - 1) as f64;
    (0..N_LAMBDAS).map(|at| (high - step * at as f64).exp()).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0usize), |(sum, n), value| (sum + value, n + 1));
    if n > 0 { sum / n as f64 } else { 0.0 }
}

/// At most `n` of the prompts, evenly spread.
fn thinned(prompts: &[usize], n: usize) -> Vec<usize> {
    if prompts.len() <= n {
        return prompts.to_vec();
    }
    (0..n).map(|at| prompts[at * prompts.len() / n]).collect()
}

struct Tuning<'a> {
    table: &'a RewardTable,
    prompts: &'a [usize],
    memory: &'a Memory,
    costs: &'a [f64],
    grid: Vec<f64>,
}

impl Tuning<'_> {
    /// Changes one weight after the other, as long as that gains more than noise.
    fn likeness(&self) -> Likeness {
        let several = |of: fn(&crate::reward_table::TablePrompt) -> Option<usize>| {
            self.prompts.iter().map(|at| of(&self.table.prompts()[*at])).collect::<BTreeSet<_>>().len() > 1
        };
        let (languages, tasks) = (several(|p| Some(p.language)), several(|p| p.task));
        let n_sources = self.prompts.iter().map(|at| self.table.prompts()[*at].source).collect::<BTreeSet<_>>().len();
        let margin = MARGIN / (n_sources.max(1) as f64).sqrt();
        let area = |likeness| Curve::of(&self.replayed(likeness), |_| true).area();
        let mut best = (Likeness::START, if languages || tasks { area(Likeness::START) } else { 0.0 });
        let others =
            OTHER_TASK.iter().filter(|_| tasks).map(|other_task| Likeness { other_task: *other_task, ..best.0 });
        for next in others.collect::<Vec<_>>().into_iter().filter(|next| *next != Likeness::START) {
            let area = area(next);
            best = if area > best.1 + margin { (next, area) } else { best };
        }
        for elsewhere in ELSEWHERE.into_iter().filter(|_| languages) {
            let next = Likeness { elsewhere, ..best.0 };
            let area = if next == best.0 { best.1 } else { area(next) };
            best = if area > best.1 + margin { (next, area) } else { best };
        }
        best.0
    }

    /// The price that the goal asks for, read off a curve.
    fn price(&self, curve: &Curve, goal: Goal) -> f64 {
        let dearest = self.grid.first().copied().unwrap_or(f64::INFINITY);
        match goal {
            Goal::Target(target) => curve.cheapest(target).map_or(dearest, |at| self.grid[at]),
            Goal::UsdPerPrompt(usd) => self.grid.get(curve.within(usd)).copied().unwrap_or(dearest),
            Goal::RewardPerUsd(reward) => reward,
        }
    }

    /// Calibration prompts played at every price of the grid.
    fn replayed(&self, likeness: Likeness) -> Vec<Replayed> {
        self.played(likeness, |_| &self.grid)
    }

    /// Calibration prompts played at the price of their language.
    fn settled(&self, likeness: Likeness, lambdas: &[f64]) -> Vec<Replayed> {
        self.played(likeness, |at| std::slice::from_ref(&lambdas[self.table.prompts()[at].language]))
    }

    fn played<'s>(&'s self, likeness: Likeness, lambdas: impl Fn(usize) -> &'s [f64]) -> Vec<Replayed> {
        let policy = Policy { memory: self.memory, likeness };
        let replay = Replay { policy, table: self.table, costs: self.costs, is_calibrating: true };
        let is_free = self.costs.iter().all(|cost| *cost == 1.0);
        let single = self.best_single();
        let play = |at: usize| {
            let costs = replay.costs_of(at);
            let open = || costs.iter().copied().filter(|cost| cost.is_finite());
            let plays = replay.play(at, lambdas(at)).into_iter();
            Replayed {
                prompt: at,
                alone: self.table.row(at)[single].reward().unwrap_or(self.table.floor(at)),
                full: self.table.best(at),
                full_cost: open().sum(),
                single_cost: open().fold(f64::INFINITY, f64::min).min(costs[single]),
                plays: plays.map(|play| (play.value, if is_free { play.calls } else { play.usd })).collect(),
            }
        };
        thinned(self.prompts, MAX_REPLAYED).into_iter().map(play).collect()
    }

    fn best_single(&self) -> usize {
        let value = |at: usize, teacher: usize| self.table.row(at)[teacher].reward().unwrap_or(self.table.floor(at));
        let worth = |teacher: usize| mean(self.prompts.iter().map(|at| value(*at, teacher)));
        let worths: Vec<f64> = (0..self.table.teachers().len()).map(worth).collect();
        (0..worths.len()).reduce(|best, next| if worths[next] > worths[best] { next } else { best }).unwrap_or(0)
    }
}
