//! How routers choose, against numpy, SciPy and scikit-learn.

use std::collections::BTreeMap;

use cambist_core::{
    candidate::{Candidate, Matrix},
    frontier::{
        Budgeted, Everyone, FrontierOptions, Lot, Oracle, Play, Played, Player, Preference, RouterMetrics, Strategist,
        StrategyMetrics, cross_fit, folds, frontier,
    },
    metrics::{Bootstrap, Estimate, randomized_pit},
    outline::Outline,
    reward_table::{Opened, RewardTable},
    search::{Correlation, Goal},
};
use serde::Deserialize;

use crate::made::{answer, pool, prompt, stopped};

const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// Written by `golden/router_metrics.py`.
#[derive(Deserialize)]
struct Golden {
    raw: Vec<Vec<Option<f64>>>,
    language: Vec<String>,
    source: Vec<usize>,
    orders: BTreeMap<String, Vec<Vec<usize>>>,
    all: Measured,
    languages: BTreeMap<String, Measured>,
    pit: Vec<Pit>,
}

#[derive(Deserialize)]
struct Measured {
    n: usize,
    spread: f64,
    chance_hit_at: Vec<f64>,
    strategies: BTreeMap<String, GoldenStrategy>,
    ties: usize,
    largest_margin: f64,
}

#[derive(Deserialize)]
struct GoldenStrategy {
    regret: f64,
    relative_regret: f64,
    oracle_gain: f64,
    hit: f64,
    hit_at: Vec<f64>,
    gain_on_fixed: Option<f64>,
    kappa: f64,
    shares: Vec<f64>,
    without: f64,
    entropy: f64,
    effective_teachers: f64,
}

#[derive(Deserialize)]
struct Pit {
    values: Vec<Option<f64>>,
    weights: Vec<f64>,
    reward: Option<f64>,
    lot: f64,
    pit: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/router_metrics.json")).unwrap()
}

impl Golden {
    fn table(&self) -> RewardTable {
        let (mut prompts, mut answers) = (Vec::new(), Vec::new());
        for (at, row) in self.raw.iter().enumerate() {
            let mut prompt = prompt(&format!("p{at:03}"), &self.language[at]);
            prompt.source_id = format!("s{}", self.source[at]);
            for (id, reward) in IDS.iter().zip(row) {
                let candidate = answer(&prompt, id, 0, Some(reward.unwrap_or(0.0)));
                answers.push(if reward.is_none() { stopped(candidate) } else { candidate });
            }
            prompts.push(prompt);
        }
        RewardTable::of(&Outline::of(&Matrix::new(prompts, answers).unwrap()), &pool(&IDS))
    }

    fn played(&self, table: &RewardTable) -> Vec<Played> {
        let folds = folds(table, 5, 1);
        let ordered = self.orders.iter().map(|(name, orders)| Ordered { name, orders });
        let mut played: Vec<Played> = ordered.flat_map(|one| cross_fit(&one, table, &folds)).collect();
        let lots: [&dyn Strategist; 3] = [&Lot, &Everyone, &Oracle];
        played.extend(lots.iter().flat_map(|one| cross_fit(*one, table, &folds)));
        played
    }
}

/// A strategy of given orders.
struct Ordered<'a> {
    name: &'a str,
    orders: &'a [Vec<usize>],
}

struct Orders(Vec<Vec<usize>>);

impl Strategist for Ordered<'_> {
    fn names(&self) -> Vec<String> {
        vec![self.name.to_owned()]
    }

    fn fit(&self, _: &RewardTable, _: &[usize]) -> Option<Box<dyn Player>> {
        Some(Box::new(Orders(self.orders.to_vec())))
    }
}

impl Player for Orders {
    fn play(&self, table: &RewardTable, prompt: usize) -> Vec<Play> {
        let value = table.worth(prompt, self.0[prompt][0]).unwrap_or(table.least_worth(prompt));
        vec![Play { value, calls: 1.0, usd: 1.0, rounds: 1.0 }]
    }

    fn prefer(&self, table: &RewardTable, prompt: usize) -> Preference {
        let order = self.0[prompt].clone();
        let taken = table.worth(prompt, order[0]).map(|_| (order[0], 1.0)).into_iter().collect();
        Preference { order, taken, foretold: Vec::new() }
    }
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-12, "{found}, expected {expected}");
}

fn bracketed(found: &Estimate, expected: f64) {
    close(found.value, expected);
    let interval = found.interval.unwrap();
    assert!(interval.low <= found.value && found.value <= interval.high, "{found:?}");
}

fn strategy<'a>(metrics: &'a RouterMetrics, name: &str) -> &'a StrategyMetrics {
    metrics.strategies.iter().find(|own| own.strategy == name).unwrap()
}

fn compare(found: &RouterMetrics, expected: &Measured) {
    assert_eq!((found.n, found.margins.n_ties), (expected.n, expected.ties));
    close(found.spread, expected.spread);
    close(*found.margins.ends.last().unwrap(), expected.largest_margin);
    assert_eq!(found.margins.counts.iter().sum::<usize>() + found.margins.n_ties, found.n);
    found.chance_hit_at.iter().zip(&expected.chance_hit_at).for_each(|(a, b)| close(*a, *b));
    for (name, expected) in &expected.strategies {
        let own = strategy(found, name);
        bracketed(&own.regret, expected.regret);
        bracketed(&own.relative_regret.unwrap(), expected.relative_regret);
        close(own.oracle_gain.unwrap().value, expected.oracle_gain);
        bracketed(&own.hit, expected.hit);
        own.hit_at.iter().zip(&expected.hit_at).for_each(|(a, b)| bracketed(a, *b));
        bracketed(&own.kappa.unwrap(), expected.kappa);
        own.shares.iter().zip(&expected.shares).for_each(|(a, b)| close(*a, *b));
        close(own.without, expected.without);
        close(own.entropy, expected.entropy);
        close(own.effective_teachers.unwrap(), expected.effective_teachers);
        match own.gain_on_fixed {
            Some(gain) => bracketed(&gain, expected.gain_on_fixed.unwrap()),
            None => assert_eq!(name, "fixed"),
        }
    }
}

#[test]
fn how_routers_choose_is_that_of_the_reference() {
    let golden = golden();
    let table = golden.table();
    let options = FrontierOptions { bootstrap: Bootstrap { draws: 500, seed: 3 }, ..FrontierOptions::default() };
    let measured = frontier(&table, &golden.played(&table), &options);
    let all = measured.all.unwrap().routers.unwrap();
    compare(&all, &golden.all);
    assert_eq!(measured.languages.len(), golden.languages.len());
    for (tag, expected) in &golden.languages {
        let own = measured.languages.iter().find(|(language, _)| language.as_str() == tag).unwrap().1;
        compare(own.routers.as_ref().unwrap(), expected);
    }
    // A lot hits as often as chance, and gives up what chance gives up but for invalid answers.
    let lot = strategy(&all, "random");
    lot.hit_at.iter().zip(&all.chance_hit_at).for_each(|(hit, chance)| close(hit.value, *chance));
    close(lot.hit.value, all.chance_hit_at[0]);
    assert!(lot.relative_regret.unwrap().value >= 1.0 && lot.kappa.unwrap().value < 0.2);
    for name in ["reward", "oracle"] {
        let own = strategy(&all, name);
        assert_eq!((own.regret.value, own.hit.value, own.oracle_gain.unwrap().value), (0.0, 1.0, 1.0));
        assert_eq!((own.kappa.unwrap().value, own.beats_fixed()), (1.0, Some(true)));
    }
    assert!(all.foretold.is_empty());
}

#[test]
fn places_in_a_distribution_are_those_of_the_reference() {
    for Pit { values, weights, reward, lot, pit } in golden().pit {
        close(randomized_pit(values.into_iter().zip(weights), reward, lot).unwrap(), pit);
    }
    assert_eq!(randomized_pit([(Some(1.0), 0.0)].into_iter(), Some(1.0), 0.5), None);
}

/// Rewards of three teachers from six levels, drawn for each prompt, by a generator that leaves no pattern.
fn drawn(n: usize, shift: f64) -> RewardTable {
    let (mut prompts, mut answers): (Vec<_>, Vec<Candidate>) = (Vec::new(), Vec::new());
    for at in 0..n {
        let prompt = prompt(&format!("p{at:04}"), "tr");
        for id in &IDS[..3] {
            let mut chance = cambist_core::chance::Chance::new(5, &[id, &at.to_string()]);
            let level = chance.below(6) as f64 + if *id == "c" && at % 5 == 0 { shift } else { 0.0 };
            answers.push(answer(&prompt, id, 0, Some(level)));
        }
        prompts.push(prompt);
    }
    RewardTable::of(&Outline::of(&Matrix::new(prompts, answers).unwrap()), &pool(&IDS[..3]))
}

#[test]
fn what_is_foretold_of_like_prompts_comes_about() {
    let table = drawn(400, 0.0);
    assert!(table.prompts().iter().zip(0..).all(|(_, at)| !table.row(at).contains(&Opened::Closed)));
    let budgeted = Budgeted { goal: Goal::Target(0.9), correlation: Correlation::Shared };
    let folds = folds(&table, 5, 1);
    let mut played: Vec<Played> = [&Everyone as &dyn Strategist, &cambist_core::frontier::SingleBest, &budgeted]
        .iter()
        .flat_map(|one| cross_fit(*one, &table, &folds))
        .collect();
    let options = FrontierOptions { bootstrap: Bootstrap { draws: 200, seed: 3 }, ..FrontierOptions::default() };
    let foretold = |played: &[Played]| frontier(&table, played, &options).all.unwrap().routers.unwrap().foretold;
    let right = foretold(&played);
    assert_eq!(right.iter().map(|own| own.n).collect::<Vec<_>>(), [400; 3]);
    for own in &right {
        assert_eq!(own.histogram.iter().sum::<usize>(), own.n);
        assert!((own.inside.value - 0.8).abs() < 0.06 && !own.is_off(), "{own:?}");
    }
    // Rewards that all lie at the lower end of what was said are told.
    let budgeted = played.iter_mut().find(|played| played.name == "budgeted").unwrap();
    let places = budgeted.preferences.iter_mut().flat_map(|preference| &mut preference.foretold);
    places.for_each(|(_, place)| *place *= 0.3);
    assert!(foretold(&played).iter().all(|own| own.is_off() && own.histogram[5..].iter().all(|n| *n == 0)));
}

#[test]
fn a_strategy_that_asks_in_turn_prefers_whom_it_asks() {
    let table = drawn(120, 2.0);
    let folds = folds(&table, 5, 1);
    for correlation in [Correlation::Shared, Correlation::None] {
        let strategist = Budgeted { goal: Goal::Target(0.9), correlation };
        let played = cross_fit(&strategist, &table, &folds).remove(0);
        for (at, (play, preference)) in played.plays.iter().zip(&played.preferences).enumerate() {
            assert_eq!(preference.order.len(), 3);
            let asked = preference.order[..play.calls as usize].iter().copied();
            let taken = table.chosen(at, asked);
            assert_eq!(preference.taken, taken.map(|at| (at, 1.0)).into_iter().collect::<Vec<_>>());
            assert_eq!(taken.and_then(|teacher| table.worth(at, teacher)), Some(play.value));
            assert_eq!(preference.foretold.len(), 3);
        }
    }
}
