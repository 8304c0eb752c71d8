//! How an error reaches the user: the message, a hint, an exit code by whose fault it is.

use std::{fmt::Display, process::ExitCode};

use cambist_core::fault::Fault;
use cambist_io::{disk::DiskError, store::StoreError};
use cambist_pipeline::PipelineError;

use crate::screen;

/// An error with whose fault it is.
#[derive(Debug)]
pub(crate) struct Failure {
    fault: Fault,
    message: String,
}

impl Failure {
    /// Returns the user's own error.
    pub(crate) fn yours(message: impl Display) -> Self {
        Self { fault: Fault::You, message: message.to_string() }
    }

    /// Prints the message on stderr and returns the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        screen::talk(&format!("error: {}", self.message));
        ExitCode::from(self.fault.exit_code())
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        Self { fault: error.fault(), message: error.to_string() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        PipelineError::from(error).into()
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        PipelineError::from(error).into()
    }
}
