//! The binary: arguments, screens and exit codes. Data goes to stdout, talk to stderr.
//!
//! Anything that a user of the library would want lives in `cambist-pipeline` or below.

mod args;
mod commands;
mod failure;
mod progress;
mod screen;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match commands::perform(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
