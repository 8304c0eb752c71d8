//! Budgeted routing at the price that reaches a goal, and over all prices.

use super::{Play, Player, Preference, Strategist};
use crate::{
    reward_table::RewardTable,
    search::{Correlation, Goal, Tuned, tune},
};

/// Sequential search with calibration prompts as its memory: one strategy at the price of reward that reaches the goal,
/// and one for each price of a grid. Where rewards of one prompt are taken for independent it is Weitzman's rule on the
/// calibration prompts of the language, at the price that reaches the goal.
#[derive(Clone, Copy, Debug)]
pub struct Budgeted {
    /// What the first one is to reach.
    pub goal: Goal,
    /// Whether rewards seen say something about those to come.
    pub correlation: Correlation,
}

/// Prices on the grid of a [`Tuned`].
const N_PRICES: usize = 60;

struct AllPrices {
    tuned: Tuned,
}

struct OnePrice {
    tuned: Tuned,
}

impl Player for OnePrice {
    fn play(&self, table: &RewardTable, prompt: usize) -> Vec<Play> {
        let lambda = self.tuned.lambda_in(Some(table.prompts()[prompt].language));
        self.tuned.play(table, prompt, &[lambda])
    }

    fn prefer(&self, table: &RewardTable, prompt: usize) -> Preference {
        self.tuned.prefer(table, prompt)
    }
}

impl Strategist for Budgeted {
    /// `budgeted`, then `budgeted:N` for each price; `weitzman` alone where answers are taken for independent.
    fn names(&self) -> Vec<String> {
        match self.correlation {
            Correlation::None => vec!["weitzman".to_owned()],
            Correlation::Shared => {
                std::iter::once("budgeted".to_owned()).chain((0..N_PRICES).map(|at| format!("budgeted:{at}"))).collect()
            }
        }
    }

    /// Nothing where there are too few calibration prompts.
    fn fit(&self, table: &RewardTable, calibration: &[usize]) -> Option<Box<dyn Player>> {
        let tuned = tune(table, calibration, (self.goal, self.correlation)).ok()?;
        Some(match self.correlation {
            Correlation::None => Box::new(OnePrice { tuned }),
            Correlation::Shared => Box::new(AllPrices { tuned }),
        })
    }
}

impl Player for AllPrices {
    fn play(&self, table: &RewardTable, prompt: usize) -> Vec<Play> {
        let mut plays = self.tuned.play(table, prompt, &self.tuned.grid);
        let own = self.tuned.lambda_in(Some(table.prompts()[prompt].language));
        let of_goal = self.tuned.grid.iter().position(|lambda| *lambda == own).map(|at| plays[at]);
        let of_goal = of_goal.or_else(|| self.tuned.play(table, prompt, &[own]).first().copied());
        plays.insert(0, of_goal.unwrap_or_default());
        plays
    }

    fn prefer(&self, table: &RewardTable, prompt: usize) -> Preference {
        self.tuned.prefer(table, prompt)
    }
}
