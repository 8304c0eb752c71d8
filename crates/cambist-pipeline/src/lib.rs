//! From a recipe to a report: one file per verb, a plan that names every artifact before anything runs, and the runner.
//!
//! **The odd decision: strategies are replayed, not run.** `generate` asks; `select` decides for any number of
//! strategies on the same recorded answers and counts what each would have cost.
//! *Why*: comparing five strategies costs one round of calls instead of five, and the comparison is exact: every
//! strategy saw the same answers. *The price*: the recorded answers have to cover what any of the strategies asks.
//!
//! This crate owns no algorithm: routing, rewards and statistics are `cambist-core`'s, training is `cambist-model`'s,
//! files and calls are `cambist-io`'s. It never prints.

pub mod recipe;

pub mod plan;

mod checkpoint;

mod hidden;

mod network;

pub mod probe;

pub mod run;

pub mod routing;

mod verbs;

mod row_file;

pub mod batch;

pub mod handover;

pub mod import;

pub mod merge_adapter;

mod target;

pub mod report;

pub mod starter;
pub mod summary;

pub mod inspect;

pub mod tokens;

pub mod view;

pub mod serve;

pub mod progress;

mod error;

pub use cambist_model::{Dtype, Pooling};
pub use error::PipelineError;
