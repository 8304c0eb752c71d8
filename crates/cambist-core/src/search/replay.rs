//! A policy on recorded answers, at all prices of reward at once.
//!
//! After the first valid answer the order of asking does not depend on the price of reward: one walk to the end for each
//! prompt and first teacher holds the decisions at every price, which differ in where they stop.

use super::{
    memory::Memory,
    policy::{Case, Policy, Seen},
};
use crate::{
    chance::Chance,
    frontier::{Play, Preference},
    metrics::randomized_pit,
    reward_table::{Opened, RewardTable},
};

/// A policy that is played on prompts of a table.
#[derive(Clone, Copy)]
pub(super) struct Replay<'a> {
    pub policy: Policy<'a>,
    pub table: &'a RewardTable,
    /// What a call costs, `[language, teacher]`.
    pub costs: &'a [f64],
    /// Whether it is played on calibration prompts: the memory forgets what it holds of a prompt's own source, and answers
    /// are worth their rewards, whatever an independent arbiter says.
    pub is_calibrating: bool,
}

/// What a prompt has come to after one more answer.
#[derive(Clone, Copy)]
struct Step {
    /// Who was asked.
    teacher: usize,
    /// What asking was expected to bring for each unit of cost; infinite where nobody stops.
    rate: f64,
    after: Play,
}

impl Replay<'_> {
    /// Plays a prompt at each price, from dear reward to cheap reward.
    pub(super) fn play(&self, prompt: usize, lambdas: &[f64]) -> Vec<Play> {
        if !self.policy.likeness.is_shared() {
            return lambdas.iter().map(|lambda| self.search(prompt, *lambda)).collect();
        }
        let own = &self.table.prompts()[prompt];
        let without = self.is_calibrating.then_some(own.source);
        let prior = self.memory().prior(&self.policy.likeness, (Some(own.language), own.task), without);
        let costs = self.costs_of(prompt);
        let firsts = self.firsts(&prior, &costs, lambdas);
        let mut walks: Vec<Option<Vec<Step>>> = vec![None; costs.len()];
        let mut plays = Vec::with_capacity(lambdas.len());
        for (first, lambda) in firsts.into_iter().zip(lambdas) {
            let Some(first) = first else {
                plays.push(Play { value: self.worth(prompt, None), ..Play::default() });
                continue;
            };
            let walk = walks[first].get_or_insert_with(|| self.walk(prompt, (&prior, &costs), first));
            plays.push(walk[last(walk, *lambda)].after);
        }
        plays
    }

    /// Whom it asks about a prompt in which order, whose answer it takes, and where each reward fell in what was expected
    /// of it.
    pub(super) fn prefer(&self, prompt: usize, lambda: f64) -> Preference {
        let (own, costs) = (&self.table.prompts()[prompt], self.costs_of(prompt));
        let without = self.is_calibrating.then_some(own.source);
        let prior = self.memory().prior(&self.policy.likeness, (Some(own.language), own.task), without);
        let (order, asked) = if self.policy.likeness.is_shared() {
            let first = self.firsts(&prior, &costs, &[lambda]).into_iter().flatten().next();
            let walk = first.map(|first| self.walk(prompt, (&prior, &costs), first)).unwrap_or_default();
            let asked = if walk.is_empty() { 0 } else { last(&walk, lambda) + 1 };
            (walk.into_iter().map(|step| step.teacher).collect::<Vec<_>>(), asked)
        } else {
            let case = Case { language: Some(own.language), task: own.task, costs: &costs, lambda };
            (self.policy.next(&case, &[]), self.search(prompt, lambda).calls as usize)
        };
        let taken = self.table.chosen(prompt, order.iter().copied().take(asked)).map(|at| (at, 1.0));
        let foretold = self.foretold(prompt, &prior, &order);
        Preference { taken: taken.into_iter().collect(), order, foretold }
    }

    /// Where each reward fell in what was expected just before it was seen.
    fn foretold(&self, prompt: usize, prior: &[f64], order: &[usize]) -> Vec<(usize, f64)> {
        let (row, id) = (self.table.row(prompt), &self.table.prompts()[prompt].id);
        let mut logs = vec![0.0; prior.len()];
        let mut foretold = Vec::with_capacity(order.len());
        for &teacher in order {
            let weights = self.memory().posterior(prior, &logs, &self.policy.likeness);
            let lot = Chance::new(0, &["pit", id, &self.table.teachers()[teacher]]).unit();
            let reward = row[teacher].reward();
            let place = randomized_pit(self.memory().records(teacher, &weights), reward, lot);
            foretold.extend(place.map(|place| (teacher, place)));
            self.memory().observe(&mut logs, &self.policy.likeness, (teacher, reward));
        }
        foretold
    }

    /// What keeping a teacher's answer is worth, or keeping none.
    fn worth(&self, prompt: usize, chosen: Option<usize>) -> f64 {
        let table = self.table;
        if self.is_calibrating {
            return chosen.and_then(|at| table.row(prompt)[at].reward()).unwrap_or(table.floor(prompt));
        }
        chosen.and_then(|at| table.worth(prompt, at)).unwrap_or(table.least_worth(prompt))
    }

    fn memory(&self) -> &Memory {
        self.policy.memory
    }

    /// What calls about a prompt cost; infinite where there is no record to open.
    pub(super) fn costs_of(&self, prompt: usize) -> Vec<f64> {
        let n = self.table.teachers().len();
        let own = &self.costs[self.table.prompts()[prompt].language * n..][..n];
        let open = own.iter().zip(self.table.row(prompt));
        open.map(|(cost, cell)| if *cell == Opened::Closed { f64::INFINITY } else { *cost }).collect()
    }

    /// Whom to ask first at each price; none where nobody can be asked.
    fn firsts(&self, prior: &[f64], costs: &[f64], lambdas: &[f64]) -> Vec<Option<usize>> {
        let mut order: Vec<usize> = (0..costs.len()).filter(|at| costs[*at].is_finite()).collect();
        order.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]));
        let rising: Vec<f64> = lambdas.iter().rev().copied().collect();
        let kappas = |at: usize| rising.iter().map(|lambda| lambda * costs[at]).collect::<Vec<_>>();
        let values: Vec<Vec<f64>> =
            order.iter().map(|at| self.memory().reservations(*at, prior, &kappas(*at))).collect();
        let first = |place: usize| {
            let of = |rank: usize| values[rank][rising.len() - 1 - place];
            let best = (0..order.len()).reduce(|best, rank| if of(rank) > of(best) { rank } else { best });
            best.map(|rank| order[rank])
        };
        (0..lambdas.len()).map(first).collect()
    }

    /// Asks one after the other until nobody is left or nothing more is expected of anybody.
    fn walk(&self, prompt: usize, (prior, costs): (&[f64], &[f64]), first: usize) -> Vec<Step> {
        let (row, paid) = (self.table.row(prompt), self.table.paid(prompt));
        let mut closed: Vec<usize> = (0..costs.len()).filter(|at| costs[*at].is_finite()).collect();
        closed.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]));
        let mut logs = vec![0.0; prior.len()];
        let (mut steps, mut best, mut sum) = (Vec::new(), None::<f64>, Play::default());
        let (mut asked, mut next) = (Vec::new(), Some((first, f64::INFINITY)));
        while let Some((teacher, rate)) = next {
            closed.retain(|at| *at != teacher);
            let reward = row[teacher].reward();
            best = best.into_iter().chain(reward).reduce(f64::max);
            asked.push(teacher);
            self.memory().observe(&mut logs, &self.policy.likeness, (teacher, reward));
            sum.calls += 1.0;
            sum.rounds += 1.0;
            sum.usd += paid[teacher];
            sum.value = self.worth(prompt, self.table.chosen(prompt, asked.iter().copied()));
            steps.push(Step { teacher, rate, after: sum });
            let weights = self.memory().posterior(prior, &logs, &self.policy.likeness);
            next = self.best_of(&closed, (&weights, best), costs);
        }
        steps
    }

    /// Who of the closed ones comes next, and at what rate.
    fn best_of(&self, closed: &[usize], (weights, best): (&[f64], Option<f64>), costs: &[f64]) -> Option<(usize, f64)> {
        let value = |at: usize| match best {
            None => self.memory().mean(at, weights),
            Some(best) => self.policy.rate(at, (weights, best), costs[at]),
        };
        let valued = closed.iter().map(|at| (*at, value(*at)));
        let (teacher, value) = valued.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        Some((teacher, if best.is_none() { f64::INFINITY } else { value }))
    }

    /// Asks one after the other as the policy says.
    fn search(&self, prompt: usize, lambda: f64) -> Play {
        let (row, own) = (self.table.row(prompt), &self.table.prompts()[prompt]);
        let costs = self.costs_of(prompt);
        let case = Case { language: Some(own.language), task: own.task, costs: &costs, lambda };
        let (mut seen, mut play) = (Vec::new(), Play::default());
        while let Some(&teacher) = self.policy.next(&case, &seen).first() {
            seen.push(Seen { teacher, reward: row[teacher].reward() });
            play.calls += 1.0;
            play.rounds += 1.0;
            play.usd += self.table.paid(prompt)[teacher];
        }
        play.value = self.worth(prompt, self.table.chosen(prompt, seen.iter().map(|seen| seen.teacher)));
        play
    }
}

/// The step of a walk after which it stops at a price of reward.
fn last(walk: &[Step], lambda: f64) -> usize {
    let stop = walk.iter().skip(1).position(|step| step.rate <= lambda && lambda > 0.0);
    stop.unwrap_or(walk.len().saturating_sub(1))
}
