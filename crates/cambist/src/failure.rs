//! How an error reaches the user: the message, a hint, an exit code by whose fault it is.

use std::{
    fmt::Display,
    io::{self, ErrorKind},
    process::ExitCode,
};

use cambist_core::fault::Fault;
use cambist_io::{disk::DiskError, hub_push::PushError, store::StoreError};
use cambist_pipeline::PipelineError;

use crate::screen;

/// What a shell expects of a program that Ctrl-C ended: 128 and the number of the signal.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why the program ends before its time.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error, and whose fault it is.
    Error {
        /// Whose.
        fault: Fault,
        /// What is told.
        message: String,
    },
    /// The user asked for it.
    Stopped(String),
    /// Whoever read stdout has seen enough, as `head` does: no error.
    ReaderGone,
}

impl Failure {
    /// Returns the user's own error.
    pub(crate) fn yours(message: impl Display) -> Self {
        Self::Error { fault: Fault::You, message: message.to_string() }
    }

    /// Returns an error of the world: the disk, the network, another program.
    pub(crate) fn of_the_world(message: impl Display) -> Self {
        Self::Error { fault: Fault::World, message: message.to_string() }
    }

    /// Returns an error that should not be possible.
    pub(crate) fn ours(message: impl Display) -> Self {
        let message = format!("{message}; this is a fault of cambist, please report it");
        Self::Error { fault: Fault::Us, message }
    }

    /// Whether it is the user's to mend.
    pub(crate) fn is_yours(&self) -> bool {
        matches!(self, Self::Error { fault: Fault::You, .. })
    }

    /// Prints the message on stderr and returns the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        match self {
            Self::Error { fault, message } => {
                screen::talk(&format!("error: {message}"));
                ExitCode::from(fault.exit_code())
            }
            Self::Stopped(message) => {
                screen::talk(message);
                ExitCode::from(INTERRUPTED)
            }
            Self::ReaderGone => ExitCode::SUCCESS,
        }
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Interrupted => Self::Stopped(error.to_string()),
            _ => Self::Error { fault: error.fault(), message: error.to_string() },
        }
    }
}

/// What can go wrong with stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::Error { fault: Fault::World, message: format!("cannot write to stdout: {error}") }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        PipelineError::from(error).into()
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        Self::Error { fault: error.fault(), message: error.to_string() }
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        PipelineError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_of_ours_is_told_as_one() {
        let failure = Failure::from(PipelineError::Internal("two and two are five".into()));
        let Failure::Error { fault, message } = &failure else { panic!("an error") };
        assert_eq!((fault.exit_code(), message.contains("please report it")), (70, true), "{message}");
    }
}
