//! Prompts of earlier steps, read as often as needed and never all at once.

use std::{collections::BTreeSet, path::PathBuf};

use cambist_core::prompt::Prompt;
use cambist_io::formats;

use super::prompts::file_of;
use crate::{error::PipelineError, plan::Input, run::Workshop};

/// The files of prompts that a job reads, unchanged since they were made.
pub(super) struct PromptFiles(Vec<PathBuf>);

impl PromptFiles {
    /// Finds the files and compares their bytes with what their manifests say.
    pub(super) fn open<'a>(
        workshop: &Workshop<'_>,
        inputs: impl Iterator<Item = &'a Input>,
    ) -> Result<Self, PipelineError> {
        let mut files = Vec::new();
        let mut seen = BTreeSet::new();
        for input in inputs.filter(|input| seen.insert((input.id.clone(), input.part.clone()))) {
            let artifact = workshop.artifact(&input.id)?;
            files.push(artifact.checked_path(&file_of(&input.part))?);
        }
        Ok(Self(files))
    }

    /// Reads all prompts, in the order of the files.
    pub(super) fn scan(&self) -> impl Iterator<Item = Result<Prompt, PipelineError>> + use<'_> {
        self.0.iter().flat_map(|path| {
            let (rows, failed) = match formats::scan_table::<Prompt>(path) {
                Ok(rows) => (Some(rows), None),
                Err(error) => (None, Some(Err(error.into()))),
            };
            rows.into_iter().flatten().map(|row| row.map_err(PipelineError::from)).chain(failed)
        })
    }
}
