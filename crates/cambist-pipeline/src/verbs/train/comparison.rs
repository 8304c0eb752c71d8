//! The reference model of a preference objective, and what rows are worth to it, kept from run to run.

use cambist_core::digest::Digest;
use cambist_io::store::{ReferenceCache, ReferenceRecord};
use cambist_model::{LocalModel, ModelFiles, ReferenceRow};

use crate::{
    checkpoint::{Bases, Checkpoint},
    error::PipelineError,
    plan::Job,
    run::Workshop,
};

/// Changes when the same weights come to give other log-probabilities beyond rounding.
const KERNELS: &str = "f32-1";

/// What a run compares with.
pub(super) struct Comparison {
    /// The reference model where it is not the one that training starts from.
    pub model: Option<LocalModel>,
    /// What is known of rows already.
    pub known: Vec<ReferenceRow>,
    pub cache: ReferenceCache,
}

impl Comparison {
    /// Reads the reference model that the job names, and what earlier runs kept of it.
    pub(super) fn read(workshop: &Workshop<'_>, job: &Job, start: &LocalModel) -> Result<Self, PipelineError> {
        let model = match job.inputs("reference_model").next() {
            None => None,
            Some(input) => {
                let bases = Bases::of_recipe(&workshop.plan.folder);
                let checkpoint = Checkpoint::of_artifact(workshop.store, &workshop.artifact(&input.id)?, bases)?;
                Some(checkpoint.open().map_err(|error| PipelineError::model(&job.label, error))?.0)
            }
        };
        let files = model.as_ref().unwrap_or(start).to_files();
        let files = files.map_err(|error| PipelineError::model(&job.label, error))?;
        let cache = workshop.store.reference_cache(&name(&files))?;
        let known = cache.read()?.into_iter().map(from_record).collect();
        Ok(Self { model, known, cache })
    }
}

/// Names a reference model by its weights and by how they are multiplied.
fn name(ModelFiles(files): &ModelFiles) -> String {
    let digest = Digest::of_parts(files.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes.as_slice()]));
    format!("{}-{KERNELS}", digest.short())
}

pub(super) fn to_record(row: &ReferenceRow) -> ReferenceRecord {
    let sequences = row.log_probs.iter().copied().zip(row.n_tokens.iter().copied()).collect();
    ReferenceRecord { key: row.key, sequences }
}

fn from_record(record: ReferenceRecord) -> ReferenceRow {
    let (log_probs, n_tokens) = record.sequences.into_iter().unzip();
    ReferenceRow { key: record.key, log_probs, n_tokens }
}
