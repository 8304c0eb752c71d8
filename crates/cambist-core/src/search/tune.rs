//! Likeness and price of reward, by replaying calibration prompts with a memory that forgets their sources.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Likeness, Memory, MemoryError, Policy, replay::Replay};
use crate::{frontier::Play, reward_table::RewardTable};

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
    /// The reward that a unit of cost must bring.
    pub lambda: f64,
    /// All prices of reward on the grid, from dear reward (few calls) to cheap reward.
    pub grid: Vec<f64>,
    /// What a call costs, `[language, teacher]`: USD, or 1 where nothing costs anything.
    pub costs: Vec<f64>,
    /// What calibration promises.
    pub promise: Option<Promise>,
}

/// What calibration promises of a price of reward, on prompts whose sources the memory had forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// The gain kept.
    pub gain: f64,
    /// The share of the cost of asking everybody.
    pub cost_share: f64,
    /// The mean cost of a prompt: USD, or calls where nothing costs anything.
    pub cost: f64,
}

/// Fits budgeted routing on some prompts of a table.
///
/// What other languages and tasks weigh is chosen by the area under the curve of gain kept against the logarithm of the
/// share of cost, the price of reward by the goal, both on calibration prompts whose sources the memory forgets. Where
/// asking everybody gains nothing there, the dearest price is taken: one call.
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
    let curve = tuning.curve(likeness);
    let chosen = match goal {
        Goal::Target(target) => curve.cheapest(target),
        Goal::UsdPerPrompt(usd) => Some(curve.within(usd)),
        Goal::RewardPerUsd(_) => None,
    };
    let dearest = tuning.grid.first().copied().unwrap_or(f64::INFINITY);
    let lambda = match goal {
        Goal::RewardPerUsd(reward) => reward,
        _ => chosen.map_or(dearest, |at| tuning.grid[at]),
    };
    let promise = chosen.and_then(|at| curve.promise(at));
    let Tuning { grid, costs, .. } = tuning;
    let costs = costs.to_vec();
    Ok(Tuned { likeness, lambda, promise, grid, costs, memory })
}

impl Tuned {
    /// Returns the policy.
    pub fn policy(&self) -> Policy<'_> {
        Policy { memory: &self.memory, likeness: self.likeness }
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
        Replay { policy: self.policy(), table, costs: &self.costs, is_calibrating: false }.play(prompt, lambdas)
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
        let area = |likeness| self.curve(likeness).area();
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

    fn curve(&self, likeness: Likeness) -> Curve {
        let policy = Policy { memory: self.memory, likeness };
        let replay = Replay { policy, table: self.table, costs: self.costs, is_calibrating: true };
        let is_free = self.costs.iter().all(|cost| *cost == 1.0);
        let single = self.best_single();
        let mut curve = Curve { costs: vec![0.0; self.grid.len()], ..Curve::default() };
        let mut values = vec![0.0; self.grid.len()];
        let (mut alone, mut full) = (0.0, 0.0);
        let replayed = thinned(self.prompts, MAX_REPLAYED);
        for &at in &replayed {
            let (floor, costs) = (self.table.floor(at), replay.costs_of(at));
            let open = || costs.iter().copied().filter(|cost| cost.is_finite());
            alone += self.table.row(at)[single].reward().unwrap_or(floor);
            full += self.table.best(at);
            curve.full_cost += open().sum::<f64>();
            curve.single_cost += open().fold(f64::INFINITY, f64::min).min(costs[single]);
            for (place, play) in replay.play(at, &self.grid).into_iter().enumerate() {
                values[place] += play.value;
                curve.costs[place] += if is_free { play.calls } else { play.usd };
            }
        }
        curve.averaged(replayed.len(), values.into_iter().map(|v| (full > alone).then(|| (v - alone) / (full - alone))))
    }

    fn best_single(&self) -> usize {
        let value = |at: usize, teacher: usize| self.table.row(at)[teacher].reward().unwrap_or(self.table.floor(at));
        let worth = |teacher: usize| mean(self.prompts.iter().map(|at| value(*at, teacher)));
        let worths: Vec<f64> = (0..self.table.teachers().len()).map(worth).collect();
        (0..worths.len()).reduce(|best, next| if worths[next] > worths[best] { next } else { best }).unwrap_or(0)
    }
}

/// Gain and mean cost at each price of a grid.
#[derive(Default)]
struct Curve {
    /// Gain kept; none where asking everybody gains nothing.
    gains: Vec<Option<f64>>,
    costs: Vec<f64>,
    single_cost: f64,
    full_cost: f64,
}

impl Curve {
    fn averaged(mut self, n: usize, gains: impl Iterator<Item = Option<f64>>) -> Self {
        let n = n.max(1) as f64;
        self.gains = gains.collect();
        self.costs.iter_mut().for_each(|cost| *cost /= n);
        Self { single_cost: self.single_cost / n, full_cost: self.full_cost / n, ..self }
    }

    /// The mean gain kept over shares of the cost from one call to all, evenly in their logarithms, by the best price that
    /// costs no more; 0 where asking everybody gains nothing.
    fn area(&self) -> f64 {
        const STEPS: usize = 200;
        let start = (self.single_cost / self.full_cost).clamp(1e-6, 0.99).ln();
        let best = |share: f64| {
            let within = self.costs.iter().zip(&self.gains).filter(|(cost, _)| **cost <= share * self.full_cost);
            within.filter_map(|(_, gain)| *gain).fold(0.0, f64::max)
        };
        mean((0..STEPS).map(|step| best((start * (1.0 - step as f64 / (STEPS - 1) as f64)).exp() * (1.0 + 1e-9))))
    }

    /// The place of the dearest price that keeps a gain; the cheapest price when none does, none where there is no gain.
    fn cheapest(&self, target: f64) -> Option<usize> {
        let keeps = |gain: &Option<f64>| gain.is_some_and(|gain| gain >= target);
        let any = self.gains.iter().any(Option::is_some);
        any.then(|| self.gains.iter().position(keeps).unwrap_or(self.gains.len() - 1))
    }

    /// The place of the cheapest price whose mean cost is within a budget; the dearest when none is.
    fn within(&self, cost: f64) -> usize {
        self.costs.iter().rposition(|own| *own <= cost).unwrap_or(0)
    }

    fn promise(&self, at: usize) -> Option<Promise> {
        let cost = self.costs[at];
        Some(Promise { gain: self.gains[at]?, cost_share: cost / self.full_cost, cost })
    }
}
