//! Heads: linear maps from a prompt's features and language to one number for each teacher.
//!
//! A head is learned from lessons, one for each calibration prompt: its features and what each teacher's answer was
//! worth. Three losses give three heads: [`KlSoftmax`] (arXiv 2311.08692), [`BradleyTerry`] (arXiv 2510.10925) and
//! [`SquaredError`], ridge regression, whose numbers are expected rewards. [`tune`] chooses penalties, and whether
//! learning is better than a table at all, on prompts that were held out.

mod lesson;
mod linear;
mod rows;

mod bradley_terry;
mod kl_softmax;
mod loss;
mod squared_error;

mod design;
mod fit;
mod gram;
mod minimize;

mod folds;
mod standard;
mod trainers;
mod trial;
mod tune;

pub use bradley_terry::BradleyTerry;
pub use fit::{FitOptions, fit, fit_table};
pub use folds::{N_FOLDS, fold_of};
pub use kl_softmax::KlSoftmax;
pub use lesson::{Lesson, Lessons, LessonsError};
pub use linear::LinearHead;
pub use loss::Loss;
pub use squared_error::SquaredError;
pub use standard::Standard;
pub use trial::{HeadKind, LanguageTrial, Trial};
pub use tune::{ExpectedRewards, TuneOptions, Tuned, expected_rewards, tune};

pub(crate) use loss::softmax;
