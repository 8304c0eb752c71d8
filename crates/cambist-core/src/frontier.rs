//! The frontier of routing: how much of the gain of asking everybody a strategy keeps, and for what share of its cost.
//!
//! Strategies are fitted on four fifths of the sources and played on the last fifth, five times over, so that no
//! prompt is routed by what was learned on itself or on its translations. A prompt for which a strategy ends without a
//! valid answer counts as the lowest valid reward that anybody got there.

mod budgeted;
mod choosing;
mod crossfit;
mod curve;
mod learned;
mod strategies;

pub use budgeted::Budgeted;
pub use choosing::{Foretold, RouterMetrics, StrategyMetrics};
pub use crossfit::{FoldPlays, Played, cross_fit, folds, join_folds, play_fold};
pub use curve::{AtShare, Frontier, FrontierOptions, Needed, Part, Point, frontier};
pub use learned::Learned;
pub use strategies::{Everyone, FixedByLanguage, Lot, Oracle, SingleBest};

use crate::reward_table::RewardTable;

/// What playing a strategy on one prompt came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Play {
    /// Reward of the answer that was taken, or its expectation where lots are drawn.
    pub value: f64,
    /// Answers asked for.
    pub calls: f64,
    /// What they cost in USD, scores included.
    pub usd: f64,
    /// How often it had to wait for answers before it could decide whom to ask next, the first time included.
    pub rounds: f64,
}

/// Whom a strategy prefers on one prompt, and whose answer it takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preference {
    /// Teachers that can be opened, by place, in the order in which it would ask them, to the last one, whether or not it
    /// stops before; empty where lots are drawn.
    pub order: Vec<usize>,
    /// Whose valid answer it takes, with the probability of that: 1 unless lots are drawn. Nobody's where it ends without
    /// a valid answer.
    pub taken: Vec<(usize, f64)>,
    /// What it foretold of rewards before it saw them: teacher, and where the reward fell in the distribution, 0 to 1
    /// ([`crate::metrics::randomized_pit`]). Empty for strategies that foretell nothing.
    pub foretold: Vec<(usize, f64)>,
}

/// A strategy that is ready to be played.
pub trait Player: Send + Sync {
    /// Plays one prompt of a table, once for each name of its strategist.
    fn play(&self, table: &RewardTable, prompt: usize) -> Vec<Play>;

    /// Tells whom it prefers there, as its strategist's first name plays.
    fn prefer(&self, table: &RewardTable, prompt: usize) -> Preference;
}

/// A strategy before it has seen a calibration.
pub trait Strategist: Send + Sync {
    /// Names what its players play: one name, or one for each point of a curve.
    fn names(&self) -> Vec<String>;

    /// Learns from some prompts of a table; none where they are too few to learn from.
    fn fit(&self, table: &RewardTable, calibration: &[usize]) -> Option<Box<dyn Player>>;
}
