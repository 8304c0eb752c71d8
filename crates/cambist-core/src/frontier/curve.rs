//! Gain kept against share of cost, with intervals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Played, RouterMetrics, choosing::Choosing};
use crate::{
    language::Language,
    metrics::{Bootstrap, ClusterSums, Estimate, Resampled},
    reward_table::RewardTable,
};

/// Cost shares at which the gain kept is read off.
const SHARES: [f64; 7] = [0.1, 0.12, 0.2, 0.3, 0.5, 0.55, 0.75];
/// Gains whose cost share is read off.
const GAINS: [f64; 4] = [0.5, 0.8, 0.95, 0.99];

/// How a frontier is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrontierOptions {
    /// The strategy whose gain counts as 0; default `single`.
    pub anchor: String,
    /// The strategy whose gain and cost count as 1; default `reward`.
    pub full: String,
    /// How intervals are drawn: sources are resampled with all their languages. Default 2,000 draws.
    pub bootstrap: Bootstrap,
}

impl Default for FrontierOptions {
    fn default() -> Self {
        let bootstrap = Bootstrap { draws: 2_000, ..Bootstrap::default() };
        Self { anchor: "single".to_owned(), full: "reward".to_owned(), bootstrap }
    }
}

/// One strategy's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The strategy.
    pub strategy: String,
    /// Mean reward of what it kept, on the scale of the language.
    pub value: Estimate,
    /// Gain kept, `(V - V(anchor)) / (V(full) - V(anchor))`; none where asking everybody gains nothing.
    pub gain: Option<Estimate>,
    /// Answers asked for, as a share of what asking everybody takes.
    pub calls_share: f64,
    /// Money, as a share of what asking everybody takes; none where nothing costs anything.
    pub usd_share: Option<f64>,
    /// Mean answers asked for.
    pub calls: f64,
    /// Mean times that it had to wait for answers.
    pub rounds: f64,
}

/// The gain kept at a share of the cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtShare {
    /// The share of the calls.
    pub share: f64,
    /// The gain kept by the best mixture of two strategies that costs no more.
    pub gain: f64,
}

/// The share of the cost that a gain takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Needed {
    /// The gain kept.
    pub gain: f64,
    /// The least share of the calls; none when no strategy keeps so much.
    pub share: Option<f64>,
}

/// The frontier over some prompts: of one language, or of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// How many prompts.
    pub n: usize,
    /// How many sources they have.
    pub n_sources: usize,
    /// Mean over prompts of the number of teachers that can be asked.
    pub n_teachers: f64,
    /// `V(full) - V(anchor)`: what asking everybody gains.
    pub full_gain: Estimate,
    /// Whether that gain's interval is above 0. If not, shares of it mean nothing and are left out.
    pub is_gain: bool,
    /// Every strategy.
    pub points: Vec<Point>,
    /// Gain kept at some shares of the calls, on the upper hull of the points of strategies that can be run.
    pub at_share: Vec<AtShare>,
    /// Share of the calls that some gains take.
    pub needed: Vec<Needed>,
    /// Area under the hull from the anchor's share of the calls to 1, by that width: 1 keeps everything for the price
    /// of the anchor. None without a gain.
    pub area: Option<f64>,
    /// How strategies choose; none where no prompt has two valid answers.
    #[serde(default)]
    pub routers: Option<RouterMetrics>,
}

/// The frontier of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frontier {
    /// The teachers.
    pub teachers: Vec<String>,
    /// By language.
    pub languages: BTreeMap<Language, Part>,
    /// Over all prompts, each language weighing the same; the same as its own part where there is one language.
    pub all: Option<Part>,
}

/// Measures what was played; strategies called `oracle` are points and never part of the hull, as nobody can run them.
///
/// None of the parts is there without prompts, or where the anchor or the full strategy was not played.
pub fn frontier(table: &RewardTable, played: &[Played], options: &FrontierOptions) -> Frontier {
    let mut by_language: Vec<Vec<usize>> = vec![Vec::new(); table.languages().len()];
    for (at, prompt) in table.prompts().iter().enumerate() {
        by_language[prompt.language].push(at);
    }
    let weights: Vec<f64> =
        table.prompts().iter().map(|prompt| 1.0 / by_language[prompt.language].len() as f64).collect();
    let measure = |prompts: &[usize], weights: &[f64]| Measure { table, played, options, weights }.part(prompts);
    let own = vec![1.0; weights.len()];
    let named = table.languages().iter().zip(&by_language);
    let languages = named.filter_map(|(language, prompts)| Some((language.clone(), measure(prompts, &own)?))).collect();
    let every: Vec<usize> = (0..weights.len()).collect();
    Frontier { teachers: table.teachers().to_vec(), languages, all: measure(&every, &weights) }
}

struct Measure<'a> {
    table: &'a RewardTable,
    played: &'a [Played],
    options: &'a FrontierOptions,
    /// What each prompt weighs.
    weights: &'a [f64],
}

/// Columns of the bootstrap before the values of the strategies: weights.
const FIXED_COLUMNS: usize = 1;

impl Measure<'_> {
    fn part(&self, prompts: &[usize]) -> Option<Part> {
        let find = |name: &str| self.played.iter().position(|played| played.name == name);
        let (anchor, full) = (find(&self.options.anchor)?, find(&self.options.full)?);
        if prompts.is_empty() {
            return None;
        }
        let sums = self.sums(prompts);
        let drawn = self.options.bootstrap.resample(&sums);
        let full_gain = drawn.estimate(|t| Some((t[FIXED_COLUMNS + full] - t[FIXED_COLUMNS + anchor]) / t[0]))?;
        let is_gain = full_gain.interval.is_some_and(|interval| interval.low > 0.0) && full_gain.value > 0.0;
        let points: Vec<Point> = (0..self.played.len())
            .filter_map(|at| self.point(prompts, (at, &drawn), (anchor, full), is_gain))
            .collect();
        let start = points.iter().find(|point| point.strategy == self.options.anchor)?.calls_share;
        let hull = hull(&points);
        let n_open =
            |at: &usize| self.table.row(*at).iter().filter(|o| **o != crate::reward_table::Opened::Closed).count();
        Some(Part {
            n: prompts.len(),
            n_sources: sums.n_clusters(),
            n_teachers: prompts.iter().map(|at| n_open(at) as f64).sum::<f64>() / prompts.len() as f64,
            full_gain,
            is_gain,
            at_share: SHARES
                .into_iter()
                .filter_map(|share| Some(AtShare { share, gain: gain_at(&hull, share)? }))
                .collect(),
            needed: GAINS.into_iter().map(|gain| Needed { gain, share: share_for(&hull, gain) }).collect(),
            area: area(&hull, start),
            points,
            routers: self.choosing().measure(prompts),
        })
    }

    fn choosing(&self) -> Choosing<'_> {
        let FrontierOptions { anchor, full, bootstrap } = self.options;
        Choosing {
            table: self.table,
            played: self.played,
            weights: self.weights,
            bootstrap: *bootstrap,
            ends: (anchor, full),
        }
    }

    fn sums(&self, prompts: &[usize]) -> ClusterSums {
        let mut sums = ClusterSums::new(FIXED_COLUMNS + self.played.len());
        for &at in prompts {
            let source = format!("{:08}", self.table.prompts()[at].source);
            sums.add(&source, 0, self.weights[at]);
            for (column, played) in self.played.iter().enumerate() {
                sums.add(&source, FIXED_COLUMNS + column, self.weights[at] * played.plays[at].value);
            }
        }
        sums
    }

    fn point(
        &self,
        prompts: &[usize],
        (at, drawn): (usize, &Resampled),
        (anchor, full): (usize, usize),
        is_gain: bool,
    ) -> Option<Point> {
        let [value, anchor, full_value] = [at, anchor, full].map(|column| FIXED_COLUMNS + column);
        let ratio = |t: &[f64]| {
            let gain = t[full_value] - t[anchor];
            (gain > 0.0).then(|| (t[value] - t[anchor]) / gain)
        };
        let [own, all] = [at, full].map(|at| self.means(prompts, at));
        Some(Point {
            strategy: self.played[at].name.clone(),
            value: drawn.estimate(|t| Some(t[value] / t[0]))?,
            gain: if is_gain { drawn.estimate(ratio) } else { None },
            calls_share: own[0] / all[0],
            usd_share: (all[1] > 0.0).then(|| own[1] / all[1]),
            calls: own[0],
            rounds: own[2],
        })
    }

    /// Weighted means of calls, money and rounds.
    fn means(&self, prompts: &[usize], strategy: usize) -> [f64; 3] {
        let weight: f64 = prompts.iter().map(|at| self.weights[*at]).sum();
        let plays = &self.played[strategy].plays;
        let mean = |part: fn(&super::Play) -> f64| {
            prompts.iter().map(|&at| self.weights[at] * part(&plays[at])).sum::<f64>() / weight
        };
        [mean(|play| play.calls), mean(|play| play.usd), mean(|play| play.rounds)]
    }
}

/// The upper hull of (share of calls, gain): what coin flips between two strategies reach.
fn hull(points: &[Point]) -> Vec<(f64, f64)> {
    let real = points.iter().filter(|point| point.strategy != "oracle");
    let mut places: Vec<(f64, f64)> = real.filter_map(|p| Some((p.calls_share, p.gain.as_ref()?.value))).collect();
    places.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for place in places {
        if hull.last().is_some_and(|last| place.1 <= last.1) {
            continue;
        }
        while let [.., before, last] = hull.as_slice() {
            let slope = |a: &(f64, f64), b: &(f64, f64)| (b.1 - a.1) / (b.0 - a.0).max(f64::MIN_POSITIVE);
            if slope(before, last) > slope(last, &place) {
                break;
            }
            hull.pop();
        }
        hull.push(place);
    }
    hull
}

/// The gain on the hull at a share of the calls; none left of the cheapest strategy.
fn gain_at(hull: &[(f64, f64)], share: f64) -> Option<f64> {
    let after = hull.partition_point(|place| place.0 <= share);
    let before = hull.get(after.checked_sub(1)?)?;
    let Some(next) = hull.get(after) else { return Some(before.1) };
    Some(before.1 + (next.1 - before.1) * (share - before.0) / (next.0 - before.0))
}

/// The least share of the calls that keeps a gain; none when the hull does not reach it.
fn share_for(hull: &[(f64, f64)], gain: f64) -> Option<f64> {
    let after = hull.iter().position(|place| place.1 >= gain)?;
    let next = hull[after];
    let Some(before) = after.checked_sub(1).map(|at| hull[at]) else { return Some(next.0) };
    Some(before.0 + (next.0 - before.0) * (gain - before.1) / (next.1 - before.1))
}

fn area(hull: &[(f64, f64)], start: f64) -> Option<f64> {
    let width = 1.0 - start;
    let mut shares: Vec<f64> =
        hull.iter().map(|place| place.0).filter(|share| *share > start && *share < 1.0).collect();
    shares.insert(0, start);
    shares.push(1.0);
    let gains: Vec<f64> = shares.iter().map(|share| gain_at(hull, *share)).collect::<Option<_>>()?;
    let strips = shares.windows(2).zip(gains.windows(2)).map(|(s, g)| (s[1] - s[0]) * (g[0] + g[1]) / 2.0);
    (width > 0.0).then(|| strips.sum::<f64>() / width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(strategy: &str, calls_share: f64, gain: f64) -> Point {
        let certain = |value| Estimate { value, standard_error: None, interval: None };
        let gain = Some(certain(gain));
        Point {
            strategy: strategy.into(),
            value: certain(0.0),
            gain,
            calls_share,
            usd_share: None,
            calls: 0.0,
            rounds: 0.0,
        }
    }

    #[test]
    fn the_hull_is_what_mixtures_reach() {
        let points = [
            point("single", 0.1, 0.0),
            point("b", 0.2, 0.8),
            point("below", 0.3, 0.7),
            point("c", 0.6, 0.9),
            point("oracle", 0.1, 1.0),
            point("reward", 1.0, 1.0),
        ];
        let hull = hull(&points);
        assert_eq!(hull, [(0.1, 0.0), (0.2, 0.8), (0.6, 0.9), (1.0, 1.0)]);
        assert!((gain_at(&hull, 0.15).unwrap() - 0.4).abs() < 1e-12);
        assert_eq!((gain_at(&hull, 0.05), gain_at(&hull, 2.0)), (None, Some(1.0)));
        assert!((share_for(&hull, 0.85).unwrap() - 0.4).abs() < 1e-12);
        assert_eq!((share_for(&hull, 0.0), share_for(&hull, 1.1)), (Some(0.1), None));
        let expected = (0.1 * 0.4 + 0.4 * 0.85 + 0.4 * 0.95) / 0.9;
        assert!((area(&hull, 0.1).unwrap() - expected).abs() < 1e-12);
    }
}
