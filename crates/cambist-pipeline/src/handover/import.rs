//! A checkpoint that was trained elsewhere becomes the artifact of its step.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cambist_io::{
    formats,
    store::{ManifestDraft, Store},
};
use cambist_model::{LocalModel, ModelFiles, TrainRow};
use serde::Serialize;
use serde_json::json;

use super::{
    OUTPUT, TICKET, Target, in_workshop,
    log::{self, Log},
};
use crate::{
    error::{ModelFault, PipelineError},
    plan::Plan,
    run::{Runtime, note_made},
    verbs::{EVENTS, LOG, Prepared, objective, prepare},
};

/// What was taken over.
#[derive(Clone, Debug, Serialize)]
pub struct Imported {
    /// The run.
    pub step: String,
    /// The artifact that it is now.
    pub artifact: String,
    /// Weights of the model.
    pub n_parameters: usize,
    /// Weights that training changes: the adapter's, or all.
    pub n_trained: usize,
    /// Rows whose tokens were compared.
    pub n_compared: usize,
    /// Steps that its log tells of.
    pub n_steps: u64,
}

/// Rows whose tokens are compared.
const N_COMPARED: usize = 64;

/// Takes a Hugging Face folder, or PEFT's for a step with `lora`, as what the run called `step` was to make.
///
/// # Errors
/// When the run is finished already, its inputs are not there, or the checkpoint cannot have come from its base: another
/// architecture, size, tokenizer or template, another adapter than the recipe's, numbers that are not finite, or the
/// base itself.
pub fn import_checkpoint(
    plan: &Plan,
    (step, folder): (Option<&str>, &Path),
    store_folder: &Path,
    runtime: &Runtime<'_>,
) -> Result<Imported, PipelineError> {
    let target = Target::find(plan, step)?;
    let store = Store::open(store_folder)?;
    target.check_inputs(&store)?;
    if store.find(&target.job.id)?.is_some() {
        let what = format!("`{}` is made already", target.job.id);
        return Err(PipelineError::input(&target.job.label, what, "change the recipe for another one"));
    }
    let folder = checkpoint_in(folder);
    let prepared = in_workshop((plan, &store), runtime, |workshop| prepare(workshop, target.job, target.params))?;
    let arrival = Arrival { target, prepared: &prepared, folder: &folder };
    let model = arrival.open()?;
    arrival.check(&model)?;
    let (n_compared, log) = (arrival.compare_tokens(&model)?, log::read(&folder, prepared.held_out.len())?);
    arrival.keep(&store, (&model, &log))?;
    note_made(plan, &store, target.job)?;
    Ok(Imported {
        step: target.job.label.clone(),
        artifact: target.job.id.to_string(),
        n_parameters: model.n_parameters(),
        n_trained: model.n_trained(),
        n_compared,
        n_steps: log.n_steps(),
    })
}

/// The checkpoint inside a folder that was handed over, or the folder itself.
fn checkpoint_in(folder: &Path) -> PathBuf {
    let inside = folder.join(OUTPUT);
    if folder.join(TICKET).is_file() && inside.is_dir() { inside } else { folder.to_owned() }
}

/// What came back, and what it is to be.
struct Arrival<'a> {
    target: Target<'a>,
    prepared: &'a Prepared,
    folder: &'a Path,
}

impl Arrival<'_> {
    fn failed(&self, error: impl Into<ModelFault>) -> PipelineError {
        PipelineError::model(&self.target.job.label, error)
    }

    fn refuse<T>(&self, what: &str, remedy: &str) -> Result<T, PipelineError> {
        let what = format!("`{}` is not what this step trains: {what}", self.folder.display());
        Err(PipelineError::input(&self.target.job.label, what, remedy))
    }

    /// Opens the model, or the base with the adapter that came back.
    fn open(&self) -> Result<LocalModel, PipelineError> {
        match (self.target.params.lora.is_some(), formats::is_adapter_folder(self.folder)) {
            (true, false) => self.refuse("it is a whole model, and the step trains an adapter", "give PEFT's folder"),
            (false, true) => {
                self.refuse("it is an adapter, and the step trains a whole model", "add `lora` to the step")
            }
            (false, false) => {
                let files = ModelFiles(formats::read_model_folder(self.folder)?);
                LocalModel::from_files(&files).map_err(|error| self.failed(error))
            }
            (true, true) => self.open_adapter(),
        }
    }

    fn open_adapter(&self) -> Result<LocalModel, PipelineError> {
        let start = &self.prepared.start.model;
        let mut model = start.start_model().map_err(|error| self.failed(error))?;
        let files = ModelFiles(formats::read_adapter_folder(self.folder)?);
        model.read_adapter(&files).map_err(|error| self.failed(error))?;
        let (expected, found) = (start.lora(), model.lora());
        if expected != found {
            let what = format!("its adapter is {}, expected {}", json!(found), json!(expected));
            return self.refuse(&what, "train it with the step's settings");
        }
        Ok(model)
    }

    /// Refuses what cannot have been trained from the base, and the base.
    fn check(&self, model: &LocalModel) -> Result<(), PipelineError> {
        let start = &self.prepared.start.model;
        if let Some(what) = start.differs_from(model).map_err(|error| self.failed(error))? {
            return self.refuse(&what, "give the checkpoint that was trained from the step's base");
        }
        if start.has_weights_of(model).map_err(|error| self.failed(error))? {
            return self.refuse("its weights are those of the base to the last bit", "train it first");
        }
        Ok(())
    }

    /// Reads the first rows with both tokenizers and templates.
    fn compare_tokens(&self, model: &LocalModel) -> Result<usize, PipelineError> {
        let (params, start) = (self.target.params, &self.prepared.start.model);
        let objective = objective(self.target.job, params)?;
        let tokens = |model: &LocalModel, row: &TrainRow| {
            model
                .sequences(&row.content, objective.as_ref(), params.config.max_length)
                .map_err(|error| error.to_string())
        };
        let rows = &self.prepared.rows[..self.prepared.rows.len().min(N_COMPARED)];
        match rows.iter().find(|row| tokens(start, row) != tokens(model, row)) {
            Some(row) => {
                let what = format!("its tokenizer or chat template makes other tokens of row `{}`", row.id);
                self.refuse(&what, "save the base's tokenizer beside the checkpoint, unchanged")
            }
            None => Ok(rows.len()),
        }
    }

    fn keep(&self, store: &Store, (model, log): (&LocalModel, &Log)) -> Result<(), PipelineError> {
        let (job, start) = (self.target.job, &self.prepared.start);
        let scratch = store.begin(job.identity.clone())?;
        let files = start.files_of(model, self.target.params.dtype).map_err(|error| self.failed(error))?;
        for (name, bytes) in &files.0 {
            scratch.write(name, bytes)?;
        }
        scratch.write(LOG, log.to_lines().as_bytes())?;
        scratch.write(EVENTS, log.to_events().as_bytes())?;
        let mut counts = BTreeMap::from([
            ("parameters".to_owned(), model.n_parameters() as u64),
            ("rows".to_owned(), self.prepared.rows.len() as u64),
            ("steps".to_owned(), log.n_steps()),
        ]);
        if model.has_adapter() {
            counts.insert("trained_parameters".to_owned(), model.n_trained() as u64);
        }
        let notes = start.notes.iter().cloned().chain(["trained elsewhere, and imported as a folder".to_owned()]);
        let (step, kind, notes) = (job.label.clone(), "checkpoint".to_owned(), notes.collect());
        scratch.commit(ManifestDraft { step, kind, counts, notes, ..ManifestDraft::default() })?;
        Ok(())
    }
}
