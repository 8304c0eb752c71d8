//! What calibration prompts come to at each price of reward.

use serde::{Deserialize, Serialize};

/// Prompts of all languages that count as a language's own when its price is chosen.
const SHRINKAGE: f64 = 50.0;

/// One calibration prompt, played at some prices of reward.
pub(super) struct Replayed {
    /// Its place in the table.
    pub prompt: usize,
    /// What the best single teacher gets.
    pub alone: f64,
    /// What asking everybody gets.
    pub full: f64,
    /// What asking everybody costs.
    pub full_cost: f64,
    /// What the cheapest call costs.
    pub single_cost: f64,
    /// At each price: reward and cost.
    pub plays: Vec<(f64, f64)>,
}

/// What calibration promises of a price of reward, on prompts whose sources the memory had forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// How many prompts it rests on.
    pub n: usize,
    /// The gain kept; none where asking everybody gains nothing.
    pub gain: Option<f64>,
    /// The share of the cost of asking everybody.
    pub cost_share: f64,
    /// The mean cost of a prompt: USD, or calls where nothing costs anything.
    pub cost: f64,
    /// The mean of the best reward minus that of the answer kept, on the scale of the language.
    pub regret: f64,
}

impl Promise {
    /// Of prompts played at one price each; none without any.
    pub(super) fn of<'a>(settled: impl Iterator<Item = &'a Replayed>) -> Option<Self> {
        let (mut n, mut alone, mut full, mut full_cost, mut value, mut cost) = (0, 0.0, 0.0, 0.0, 0.0, 0.0);
        for (one, play) in settled.filter_map(|one| Some((one, one.plays.first()?))) {
            n += 1;
            alone += one.alone;
            full += one.full;
            full_cost += one.full_cost;
            value += play.0;
            cost += play.1;
        }
        let per_prompt = 1.0 / f64::from(n);
        (n > 0).then(|| Self {
            n: n as usize,
            gain: (full > alone).then(|| (value - alone) / (full - alone)),
            cost_share: cost / full_cost,
            cost: cost * per_prompt,
            regret: (full - value) * per_prompt,
        })
    }
}

/// Gain and mean cost at each price of a grid.
pub(super) struct Curve {
    n: usize,
    /// Gain kept; none where asking everybody gains nothing.
    gains: Vec<Option<f64>>,
    costs: Vec<f64>,
    single_cost: f64,
    full_cost: f64,
}

impl Curve {
    /// Of the prompts that are meant.
    pub(super) fn of(replayed: &[Replayed], is_meant: impl Fn(usize) -> bool) -> Self {
        let n_prices = replayed.first().map_or(0, |one| one.plays.len());
        let (mut values, mut costs) = (vec![0.0; n_prices], vec![0.0; n_prices]);
        let (mut n, mut alone, mut full, mut single_cost, mut full_cost) = (0, 0.0, 0.0, 0.0, 0.0);
        for one in replayed.iter().filter(|one| is_meant(one.prompt)) {
            n += 1;
            alone += one.alone;
            full += one.full;
            single_cost += one.single_cost;
            full_cost += one.full_cost;
            for (place, (value, cost)) in one.plays.iter().enumerate() {
                values[place] += value;
                costs[place] += cost;
            }
        }
        let per_prompt = 1.0 / (n as f64).max(1.0);
        costs.iter_mut().for_each(|cost| *cost *= per_prompt);
        let gain = |value: f64| (full > alone).then(|| (value - alone) / (full - alone));
        let (single_cost, full_cost) = (single_cost * per_prompt, full_cost * per_prompt);
        Self { n, gains: values.into_iter().map(gain).collect(), costs, single_cost, full_cost }
    }

    /// The curve with gains drawn to those of all prompts, the more so the fewer prompts it rests on; without gains where
    /// it has none itself.
    pub(super) fn drawn_to(self, pooled: &Self) -> Self {
        let n = self.n as f64;
        let draw =
            |(own, all): (&Option<f64>, &Option<f64>)| Some((n * (*own)? + SHRINKAGE * (*all)?) / (n + SHRINKAGE));
        Self { gains: self.gains.iter().zip(&pooled.gains).map(draw).collect(), ..self }
    }

    /// The mean gain kept over shares of the cost from one call to all, evenly in their logarithms, by the best price that
    /// costs no more; 0 where asking everybody gains nothing.
    pub(super) fn area(&self) -> f64 {
        const STEPS: usize = 200;
        let start = (self.single_cost / self.full_cost).clamp(1e-6, 0.99).ln();
        let best = |share: f64| {
            let within = self.costs.iter().zip(&self.gains).filter(|(cost, _)| **cost <= share * self.full_cost);
            within.filter_map(|(_, gain)| *gain).fold(0.0, f64::max)
        };
        let at = |step: usize| best((start * (1.0 - step as f64 / (STEPS - 1) as f64)).exp() * (1.0 + 1e-9));
        (0..STEPS).map(at).sum::<f64>() / STEPS as f64
    }

    /// The place of the dearest price that keeps a gain; the cheapest price when none does, none where there is no gain.
    pub(super) fn cheapest(&self, target: f64) -> Option<usize> {
        let keeps = |gain: &Option<f64>| gain.is_some_and(|gain| gain >= target);
        let any = self.gains.iter().any(Option::is_some);
        any.then(|| self.gains.iter().position(keeps).unwrap_or(self.gains.len() - 1))
    }

    /// The place of the cheapest price whose mean cost is within a budget; the dearest when none is.
    pub(super) fn within(&self, cost: f64) -> usize {
        self.costs.iter().rposition(|own| *own <= cost).unwrap_or(0)
    }
}
