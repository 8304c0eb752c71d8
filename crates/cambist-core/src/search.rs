//! Sequential search: which teacher to ask next, and when the best answer seen is good enough.
//!
//! Each prompt is one search problem in the sense of Weitzman (1979): asking costs, and shows a reward. His rule asks in
//! the order of reservation values and stops when the best reward seen is at least the largest of those left. It takes
//! boxes to be independent, and rewards are not: a prompt that one teacher fails is hard for the others. So calibration
//! prompts are taken as scenarios, weighted by how alike their rewards are to those that this prompt has shown so far.
//! The first teacher is the one of the highest reservation value, as option value counts most before anything is seen;
//! then follows whoever is expected to add most for its price, until nobody adds enough. That stop is the one of
//! reservation values under the same weights. With one teacher left it is exactly optimal for those scenarios; with more
//! the rule is a heuristic.

mod curve;
mod memory;
mod policy;
mod replay;
mod tune;

pub use curve::Promise;
pub use memory::{Likeness, Memory, MemoryError};
pub use policy::{Case, Policy, Seen};
pub use tune::{Correlation, Goal, LanguagePrice, Prices, Tuned, tune};
