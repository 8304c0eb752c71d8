//! The strategies that every frontier is drawn with.

use super::{Play, Player, Preference, Strategist};
use crate::{
    reward_table::{Opened, RewardTable},
    statistics::{mean, quantile},
};

/// Fewer calibration prompts than this make no ranking of a language's own.
const MIN_PROMPTS: usize = 30;
/// The quantile of a language's rewards that an invalid answer counts as.
pub(super) const FLOOR_QUANTILE: f64 = 0.05;

/// Asks everybody and keeps the best: reward routing, the upper end of every frontier.
#[derive(Clone, Copy, Debug)]
pub struct Everyone;

/// Asks the one teacher whose answer is best, as only hindsight can.
#[derive(Clone, Copy, Debug)]
pub struct Oracle;

/// Asks a teacher by lot; value and cost are expectations over the lot.
#[derive(Clone, Copy, Debug)]
pub struct Lot;

/// Asks the teacher that was best over all languages on the calibration prompts.
#[derive(Clone, Copy, Debug)]
pub struct SingleBest;

/// Asks the teacher that was best in the language on the calibration prompts.
#[derive(Clone, Copy, Debug)]
pub struct FixedByLanguage;

impl Strategist for Everyone {
    fn names(&self) -> Vec<String> {
        vec!["reward".to_owned()]
    }

    fn fit(&self, _: &RewardTable, _: &[usize]) -> Option<Box<dyn Player>> {
        Some(Box::new(*self))
    }
}

impl Player for Everyone {
    fn play(&self, table: &RewardTable, prompt: usize) -> Vec<Play> {
        let opened = opened(table, prompt);
        let usd = opened.iter().map(|(_, _, usd)| usd).sum();
        let chosen = table.chosen(prompt, opened.iter().map(|(at, _, _)| *at));
        let value = chosen.and_then(|at| table.worth(prompt, at)).unwrap_or(table.least_worth(prompt));
        vec![Play { value, calls: opened.len() as f64, usd, rounds: 1.0 }]
    }

    /// By the rewards that it chooses by.
    fn prefer(&self, table: &RewardTable, prompt: usize) -> Preference {
        let mut left: Vec<usize> = opened(table, prompt).into_iter().map(|(at, _, _)| at).collect();
        let taken = table.chosen(prompt, left.iter().copied()).map(|at| (at, 1.0)).into_iter().collect();
        let mut order = Vec::with_capacity(left.len());
        while let Some(next) = table.chosen(prompt, left.iter().copied()).or(left.first().copied()) {
            left.retain(|at| *at != next);
            order.push(next);
        }
        Preference { order, taken, ..Preference::default() }
    }
}

impl Strategist for Oracle {
    fn names(&self) -> Vec<String> {
        vec!["oracle".to_owned()]
    }

    fn fit(&self, _: &RewardTable, _: &[usize]) -> Option<Box<dyn Player>> {
        Some(Box::new(*self))
    }
}

impl Player for Oracle {
    fn play(&self, table: &RewardTable, prompt: usize) -> Vec<Play> {
        let open = opened(table, prompt);
        let value = open.iter().filter_map(|(at, _, _)| table.worth(prompt, *at)).fold(f64::NEG_INFINITY, f64::max);
        let best = open.into_iter().filter(|(at, _, _)| table.worth(prompt, *at) == Some(value));
        let usd = best.map(|(_, _, usd)| usd).reduce(f64::min).unwrap_or(0.0);
        vec![Play { value, calls: 1.0, usd, rounds: 1.0 }]
    }

    /// By what answers are worth; ties go to the lower cost, then to the smaller id.
    fn prefer(&self, table: &RewardTable, prompt: usize) -> Preference {
        let mut order: Vec<usize> = opened(table, prompt).into_iter().map(|(at, _, _)| at).collect();
        let worth = |at: usize| table.worth(prompt, at).unwrap_or(f64::NEG_INFINITY);
        let paid = table.paid(prompt);
        order.sort_by(|&a, &b| worth(b).total_cmp(&worth(a)).then_with(|| paid[a].total_cmp(&paid[b])));
        let taken = order.first().filter(|at| table.worth(prompt, **at).is_some()).map(|at| (*at, 1.0));
        Preference { taken: taken.into_iter().collect(), order, ..Preference::default() }
    }
}

impl Strategist for Lot {
    fn names(&self) -> Vec<String> {
        vec!["random".to_owned()]
    }

    fn fit(&self, _: &RewardTable, _: &[usize]) -> Option<Box<dyn Player>> {
        Some(Box::new(*self))
    }
}

impl Player for Lot {
    fn play(&self, table: &RewardTable, prompt: usize) -> Vec<Play> {
        let floor = table.least_worth(prompt);
        let opened = opened(table, prompt);
        let n = opened.len().max(1) as f64;
        let value = opened.iter().map(|(at, _, _)| table.worth(prompt, *at).unwrap_or(floor)).sum::<f64>() / n;
        let usd = opened.iter().map(|(_, _, usd)| usd).sum::<f64>() / n;
        vec![Play { value, calls: 1.0, usd, rounds: 1.0 }]
    }

    /// No order: everybody who can be opened is as likely.
    fn prefer(&self, table: &RewardTable, prompt: usize) -> Preference {
        let opened = opened(table, prompt);
        let share = 1.0 / opened.len().max(1) as f64;
        let valid = opened.into_iter().filter(|(_, cell, _)| cell.reward().is_some());
        Preference { taken: valid.map(|(at, _, _)| (at, share)).collect(), ..Preference::default() }
    }
}

impl Strategist for SingleBest {
    fn names(&self) -> Vec<String> {
        vec!["single".to_owned()]
    }

    fn fit(&self, table: &RewardTable, calibration: &[usize]) -> Option<Box<dyn Player>> {
        let by_language = prompts_by_language(table, calibration);
        let means: Vec<Vec<Option<f64>>> = by_language.iter().map(|prompts| means(table, prompts)).collect();
        let pooled: Vec<Option<f64>> = (0..table.teachers().len())
            .map(|at| mean(&means.iter().filter_map(|language| language[at]).collect::<Vec<_>>()))
            .collect();
        let covered = |at: usize| means.iter().filter(|language| language[at].is_some()).count();
        let costs = |at: usize| (0..table.languages().len()).map(|l| table.expected_usd(l)[at]).sum();
        // Teachers that may be asked everywhere come first: another one leaves prompts without an answer.
        let mut order = ranked(&pooled, costs);
        order.sort_by_key(|at| std::cmp::Reverse(covered(*at)));
        Some(Box::new(Ranked { by_language: vec![order; table.languages().len()] }))
    }
}

impl Strategist for FixedByLanguage {
    fn names(&self) -> Vec<String> {
        vec!["fixed".to_owned()]
    }

    fn fit(&self, table: &RewardTable, calibration: &[usize]) -> Option<Box<dyn Player>> {
        let of_all = ranked(&means(table, calibration), |_| 0.0);
        let by_language = prompts_by_language(table, calibration).into_iter().enumerate();
        let order = |(language, prompts): (usize, Vec<usize>)| {
            let own = ranked(&means(table, &prompts), |at| table.expected_usd(language)[at]);
            if prompts.len() < MIN_PROMPTS { of_all.clone() } else { own }
        };
        Some(Box::new(Ranked { by_language: by_language.map(order).collect() }))
    }
}

/// Asks the first open teacher of the language's order.
struct Ranked {
    by_language: Vec<Vec<usize>>,
}

impl Player for Ranked {
    fn play(&self, table: &RewardTable, prompt: usize) -> Vec<Play> {
        vec![first_open(table, prompt, &self.by_language[table.prompts()[prompt].language])]
    }

    fn prefer(&self, table: &RewardTable, prompt: usize) -> Preference {
        open_order(table, prompt, &self.by_language[table.prompts()[prompt].language])
    }
}

/// Asks the first of `order` that can be opened, and nobody else.
pub(super) fn first_open(table: &RewardTable, prompt: usize, order: &[usize]) -> Play {
    let first = order.iter().find(|at| table.row(prompt)[**at] != Opened::Closed);
    let value = first.and_then(|at| table.worth(prompt, *at)).unwrap_or(table.least_worth(prompt));
    let asked = f64::from(u8::from(first.is_some()));
    Play { value, calls: asked, usd: first.map_or(0.0, |at| table.paid(prompt)[*at]), rounds: asked }
}

/// Whom [`first_open`] asks, and whom it would ask after that.
pub(super) fn open_order(table: &RewardTable, prompt: usize, order: &[usize]) -> Preference {
    let row = table.row(prompt);
    let order: Vec<usize> = order.iter().copied().filter(|at| row[*at] != Opened::Closed).collect();
    let taken = order.first().filter(|at| row[**at].reward().is_some()).map(|at| (*at, 1.0));
    Preference { taken: taken.into_iter().collect(), order, ..Preference::default() }
}

/// The answers that can be opened: teacher, answer, cost in USD.
fn opened(table: &RewardTable, prompt: usize) -> Vec<(usize, Opened, f64)> {
    let cells = table.row(prompt).iter().zip(table.paid(prompt)).enumerate();
    cells.filter(|(_, (opened, _))| **opened != Opened::Closed).map(|(at, (o, usd))| (at, *o, *usd)).collect()
}

fn prompts_by_language(table: &RewardTable, prompts: &[usize]) -> Vec<Vec<usize>> {
    let mut by_language = vec![Vec::new(); table.languages().len()];
    prompts.iter().for_each(|&at| by_language[table.prompts()[at].language].push(at));
    by_language
}

/// Mean reward of each teacher; an invalid answer counts as the 5 % quantile of all rewards. None where a teacher was
/// never asked.
fn means(table: &RewardTable, prompts: &[usize]) -> Vec<Option<f64>> {
    let all: Vec<f64> = prompts.iter().flat_map(|&at| table.row(at)).filter_map(|cell| cell.reward()).collect();
    let floor = quantile(&all, FLOOR_QUANTILE).unwrap_or(0.0);
    let value = |cell: Opened| match cell {
        Opened::Closed => None,
        Opened::Failed => Some(floor),
        Opened::Reward(reward) => Some(reward),
    };
    let of_teacher = |at: usize| prompts.iter().filter_map(|&prompt| value(table.row(prompt)[at])).collect::<Vec<_>>();
    (0..table.teachers().len()).map(|at| mean(&of_teacher(at))).collect()
}

/// Teachers from the best mean on, those without one last; ties go to the lower cost, then to the smaller id.
fn ranked(means: &[Option<f64>], cost: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..means.len()).collect();
    let key = |at: usize| means[at].unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|&a, &b| key(b).total_cmp(&key(a)).then_with(|| cost(a).total_cmp(&cost(b))));
    order
}
