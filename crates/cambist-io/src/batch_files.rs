//! Files of batch jobs on the disk: requests written in parts, results found by their names whatever their order.
//!
//! Neither side holds the bodies: a million requests take no more memory than one, and of a million results sixteen
//! bytes of name and a place are kept. A file is written under another name and moved when it is whole.

mod results;
mod writer;

pub use results::{BatchReply, BatchResults};
pub use writer::{BatchForm, BatchLimits, BatchPart, BatchWriter};

/// Digits of a call's name that make the name of its line.
pub const NAME_DIGITS: usize = 32;

/// How the origin of an answer from a batch file begins.
pub const BATCH_ORIGIN: &str = "batch:";
