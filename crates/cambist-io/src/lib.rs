//! Everything of Cambist that touches the disk and the network: the artifact store, the ledger of
//! calls, the file formats, and the endpoints that teachers and arbiters answer at.
//!
//! **The odd decision: nothing is ever changed in place.** Artifacts are folders named by what made them, built under
//! a scratch name and renamed when whole; a paid answer in the ledger is never replaced; every other file is written
//! beside its old self and renamed over it.
//! *Why*: a process killed at any instant leaves nothing that looks finished and is not, so running again is all that
//! resuming takes. *The price*: a step's output is written and synced once more than strictly needed, and disk space
//! is given back only by an explicit garbage collection.
//!
//! Faults of an input file are collected row by row and reported together, each with its file, line, field, what was
//! found and what was expected.
//!
//! **The second one: what is sent and how it is sent know nothing of each other.** A [`dialect`] turns requests into bytes
//! and bytes into answers or failures of a [kind](exchange::FailureClass), and never waits; the [`transport`] waits,
//! retries and paces by that kind alone, and never looks into a body. *The price*: an answer is read on the network's
//! thread.
//!
//! This crate never decides anything about routing, rewards or training, and never prints.

pub mod canonical;
pub mod clock;
pub mod disk;
pub mod memory;

pub mod store;

pub mod ledger;

pub mod formats;

pub mod remote;

pub mod endpoint;

pub mod exchange;

pub mod dialect;

pub mod batch_files;

pub mod hub_push;

pub mod money;

pub mod transport;

pub mod mock;

pub mod serve;
