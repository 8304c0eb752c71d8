//! The binary: arguments, screens and exit codes. Data goes to stdout, talk to stderr.
//!
//! Anything that a user of the library would want lives in `cambist-pipeline` or below.

mod args;
mod commands;
mod failure;
mod progress;
mod screen;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use clap::Parser;

use failure::Failure;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // A panic has told where it happened by now; what is left is to say whose fault it is.
    let done = catch_unwind(AssertUnwindSafe(|| commands::perform(&args)));
    match done.unwrap_or_else(|_| Err(Failure::ours("the program panicked"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
