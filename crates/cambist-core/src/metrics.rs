//! Numbers about students, routers and pools, each with what it rests on.
//!
//! Intervals are 95 % throughout. The unit of resampling is the source prompt: its translations, and the answers of
//! all of a strategy's students (one per seed), stay together. An interval therefore says how a result would vary over
//! prompts; how it varies over training runs is the standard deviation over seeds beside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::language::Language;

mod accuracy;
mod agreement;
mod bootstrap;
mod forecast;
mod games;
mod pool_value;
mod regret;
mod seeds;
mod shares;
mod significance;
mod wilson;

pub use accuracy::{Accuracy, Graded, accuracy};
pub use agreement::{Agreement, agreement};
pub use bootstrap::{Bootstrap, ClusterSums, Resampled};
pub use forecast::randomized_pit;
pub use games::{Game, GameResult, UnevenGrades, WinRate, play, win_rates};
pub use pool_value::{TeacherValue, best_of_random_pool, leave_one_out, pool_value, shapley};
pub use regret::{MarginHistogram, Regret, margin_histogram, regret};
pub use shares::{Shares, shares};
pub use significance::{holm, sign_flip};
pub use wilson::wilson;

/// A 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A number with its spread over prompts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// On the prompts as they are.
    pub value: f64,
    /// Standard deviation over the bootstrap draws; none when the value is undefined on more than 2.5 % of them.
    pub standard_error: Option<f64>,
    /// 2.5 % and 97.5 % quantiles over the bootstrap draws; none when the value is undefined on more than 2.5 % of them.
    pub interval: Option<Interval>,
}

/// One thing per language, and for all languages together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PerLanguage<T> {
    /// By language.
    pub languages: BTreeMap<Language, T>,
    /// Mean over the languages, each weighing the same; none without languages.
    pub macro_mean: Option<T>,
}
