//! What can go wrong between a recipe and its report.

use std::path::PathBuf;

use cambist_core::fault::Fault;
use cambist_io::{exchange::Failure, transport::TransportError};

use crate::recipe::Faults;

/// Why a plan or a run stopped; finished artifacts stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The recipe is wrong.
    #[error(transparent)]
    Recipe(#[from] Faults),
    /// The disk refused, or a file is not there.
    #[error(transparent)]
    Disk(#[from] cambist_io::disk::DiskError),
    /// A file that the recipe names is not there.
    #[error(
        "the recipe names `{path}`, which does not exist; nothing was run\nhint: relative paths start at the recipe's folder"
    )]
    NoFile {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The store could not be opened, read or written.
    #[error(transparent)]
    Store(#[from] cambist_io::store::StoreError),
    /// The ledger could not be opened, read or written.
    #[error(transparent)]
    Ledger(#[from] cambist_io::ledger::LedgerError),
    /// A file of rows is not what it should be.
    #[error(transparent)]
    Format(#[from] cambist_io::formats::FormatError),
    /// A file that lies elsewhere cannot be had.
    #[error(transparent)]
    Remote(#[from] cambist_io::remote::RemoteError),
    /// A model folder is not what it should be.
    #[error(transparent)]
    ModelFolder(#[from] cambist_io::formats::ModelFolderError),
    /// The built-in task was asked for something that it does not have.
    #[error(transparent)]
    Polyglot(#[from] cambist_core::polyglot::PolyglotError),
    /// A model could not be made, read, trained or asked.
    #[error("`{label}`: {source}")]
    Model {
        /// The job.
        label: String,
        /// What the model said.
        source: Box<ModelFault>,
    },
    /// The input of a step is not what the step needs.
    #[error("`{step}`: {what}; {remedy}")]
    Input {
        /// The step or job.
        step: String,
        /// What was found and what was expected.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// An endpoint takes no more requests.
    #[error(
        "teacher `{teacher}` stopped answering: {failure}; what was answered is kept: mend it and run the same command again"
    )]
    Endpoint {
        /// The teacher or arbiter.
        teacher: String,
        /// Why.
        failure: Box<Failure>,
    },
    /// A server has no model of that name.
    #[error(
        "`{name}`: the server at `{address}` has no model `{model}`; it has {known}: change `endpoint.model`, or give `--capabilities never` if the server takes the name all the same"
    )]
    NoModel {
        /// The teacher or arbiter.
        name: String,
        /// The address.
        address: String,
        /// The model that the recipe names.
        model: String,
        /// The models that the server names.
        known: String,
    },
    /// A teacher failed every time.
    #[error(
        "teacher `{teacher}` gave no answer at all; the first failure is {reason}: mend its `endpoint` or `request`"
    )]
    Silent {
        /// The teacher.
        teacher: String,
        /// Its first failure.
        reason: String,
    },
    /// An arbiter gives what is no reward.
    #[error("arbiter `{arbiter}` is refused: {why}")]
    Arbiter {
        /// The arbiter.
        arbiter: String,
        /// What its values are.
        why: String,
    },
    /// Too many answers are missing that another run could get.
    #[error(
        "`{step}`: {n_failed} of {n_cells} answers are missing for reasons that may pass ({classes}); the others are kept: run the same command again to ask for these, or raise `max_failed` to go on without them"
    )]
    Unanswered {
        /// The job.
        step: String,
        /// How many are missing.
        n_failed: u64,
        /// Of how many.
        n_cells: u64,
        /// By class of failure.
        classes: String,
    },
    /// The budget is spent.
    #[error(
        "the budget is spent; calls in flight were finished and everything is kept: raise `budget` and run the same command again"
    )]
    Budget,
    /// A connection could not be set up at all.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The user asked to stop.
    #[error("stopped on request; finished work is kept: run the same command again to go on")]
    Interrupted,
    /// Cambist contradicts itself.
    #[error("{0}; this is a fault of cambist, please report it")]
    Internal(String),
}

impl PipelineError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Recipe(_)
            | Self::NoFile { .. }
            | Self::Polyglot(_)
            | Self::Arbiter { .. }
            | Self::NoModel { .. }
            | Self::Input { .. } => Fault::You,
            Self::Disk(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Ledger(error) => error.fault(),
            Self::Format(error) => error.fault(),
            Self::Remote(error) => error.fault(),
            Self::ModelFolder(error) => error.fault(),
            Self::Model { source, .. } => source.fault(),
            Self::Transport(error) => error.fault(),
            Self::Interrupted
            | Self::Endpoint { .. }
            | Self::Unanswered { .. }
            | Self::Silent { .. }
            | Self::Budget => Fault::World,
            Self::Internal(_) => Fault::Us,
        }
    }

    /// Returns an error of the model that the job `label` works on.
    pub(crate) fn model(label: &str, source: impl Into<ModelFault>) -> Self {
        Self::Model { label: label.to_owned(), source: Box::new(source.into()) }
    }

    /// Returns an error about what a step was given.
    pub(crate) fn input(step: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Input { step: step.to_owned(), what: what.into(), remedy: remedy.into() }
    }
}

/// What a model said.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum ModelFault {
    /// It cannot be read or made.
    Model(#[from] cambist_model::ModelError),
    /// It cannot be trained.
    Train(#[from] cambist_model::TrainError),
    /// Its tokenizer cannot be trained.
    Tokenizer(#[from] cambist_model::TokenizerError),
    /// Its adapter cannot be made, read or merged.
    Adapter(#[from] cambist_model::AdapterError),
    /// Its numbers cannot be computed.
    Tensor(#[from] cambist_model::TensorFault),
}

impl ModelFault {
    /// Whose fault it is: tensors of the wrong shape are ours, the rest is what was given.
    fn fault(&self) -> Fault {
        match self {
            Self::Tensor(_) | Self::Adapter(cambist_model::AdapterError::Tensor(_)) => Fault::Us,
            Self::Model(_) | Self::Train(_) | Self::Tokenizer(_) | Self::Adapter(_) => Fault::You,
        }
    }
}
