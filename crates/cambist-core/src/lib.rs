//! The vocabulary and the decisions of multilingual arbitrage.
//!
//! Everything here is a function of its arguments: prompts, answers, rewards and seeds go in; routes, kept answers,
//! preference pairs and statistics come out.
//!
//! **The odd decision: nothing here can wait, read or print.** Routers and selectors see recorded answers, not
//! endpoints; generators draw from a counter keyed by name, not from a stateful stream.
//! *Why*: a strategy can be replayed on a recorded matrix and gives the decision it gave live, under any number of
//! threads, in any order of arrival. *The price*: whoever asks the teachers (`cambist-pipeline`) has to bring answers
//! back here in batches.
//!
//! This crate never reads a file, a clock, an environment variable or a socket; never prints; never names a tensor.

pub mod chance;
pub mod digest;
pub mod language;
pub mod polyglot;
pub mod prompt;
pub mod shield;
pub mod split;

pub mod minhash;
pub mod overlap;

pub mod completion;
pub mod score;
pub mod teacher;

pub mod check;

pub mod arbiter;
pub mod candidate;
pub mod comparison;
pub mod ensemble;
pub mod fault;
pub mod features;
pub mod feedback;
pub mod gates;
pub mod identify;
pub mod listwise;
pub mod outline;
pub mod resemblance;
pub mod reward;
pub mod script;
pub mod statistics;
pub mod tally;

pub mod head;
pub mod license;
pub mod pool;
pub mod router;

pub mod advice;
pub mod drift;
pub mod frontier;
pub mod reservation;
pub mod reward_table;
pub mod search;

pub mod align;
pub mod fusion;
pub mod labels;
pub mod pairs;
pub mod select;

pub mod metrics;
