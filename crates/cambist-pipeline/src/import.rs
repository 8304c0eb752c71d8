//! Answers that somebody made elsewhere, put where a run looks for them.
//!
//! An answer whose request is known to the byte is as good as one that Cambist got itself, once the user says which
//! teacher it was. A bare text is not: nobody saw what was asked, so that it counts only where the user trusts it.

mod lm_eval;
mod said;
mod samples;
mod shapes;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cambist_io::{
    exchange::HttpReply,
    ledger::{CallRecord, CallStatus, Ledger},
    store::Store,
};
use serde::Serialize;

use self::said::{Exact, Said, Sayings};
pub use self::{
    samples::{ImportedSamples, SamplesOptions, import_samples},
    shapes::ImportFormat,
};
use crate::{
    error::PipelineError,
    network::Network,
    plan::Plan,
    run::{Runtime, Workshop},
    target::Target,
    verbs::{ImportedText, Probes, WantedCell, each_wanted},
};

/// Records that are kept in one transaction.
const COMMIT: usize = 512;

/// What to import, and how far to believe it.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The `generate` step; needed where the recipe has several.
    pub step: Option<String>,
    /// What the files are.
    pub format: ImportFormat,
    /// The files.
    pub files: Vec<PathBuf>,
    /// Who answered, where the files do not say or name the teacher otherwise.
    pub teacher: Option<String>,
    /// Whether bare texts count as answers.
    pub is_trusted: bool,
}

/// What files of answers came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ImportedAnswers {
    /// Answers in the files.
    pub n_answers: u64,
    /// Answers that are new in the ledger.
    pub n_stored: u64,
    /// Those of them whose request is the one that a run would send.
    pub n_exact: u64,
    /// Answers to calls that had one; the first answer stays.
    pub n_known: u64,
    /// Bare texts that fit a call and were left, since nobody said that they are trusted.
    pub n_untrusted: u64,
    /// Answers that came as failures, by class.
    pub failed: BTreeMap<String, u64>,
    /// Answers by models that are no teacher of the step, by the model's name.
    pub unknown_models: BTreeMap<String, u64>,
    /// Answers of the step's teachers to prompts that the step does not have, or more of them than it asks for.
    pub n_unknown_prompt: u64,
    /// Rows that hold no answer.
    pub n_broken: u64,
    /// The first ten of them: file, place, reason.
    pub broken: Vec<String>,
    /// Calls that are left for a run.
    pub n_left: u64,
}

/// Puts answers from `options.files` into the ledger as answers of a `generate` step. Each keeps in its `origin` the
/// file's name and digest and its line. Nothing is stored twice.
///
/// # Errors
/// When the step or teacher is not there, its prompts are not made yet, a file cannot be read, or the ledger cannot be
/// written.
pub fn import_answers(
    plan: &Plan,
    options: &ImportOptions,
    store_folder: &Path,
    runtime: &Runtime<'_>,
) -> Result<ImportedAnswers, PipelineError> {
    let target = Target::find(plan, options.step.as_deref())?;
    target.check_teacher(options.teacher.as_deref())?;
    let sayings = Sayings::read(options)?;
    let store = Store::open(store_folder)?;
    target.check_inputs(&store)?;
    let ledger = Mutex::new(Ledger::open(&store.ledger_path())?);
    let network = Network::idle();
    let workshop = Workshop { plan, store: &store, ledger: &ledger, runtime, network, probes: Probes::none() };
    let imported = ImportedAnswers {
        n_answers: sayings.n_answers,
        n_broken: sayings.n_broken,
        broken: sayings.broken.clone(),
        ..ImportedAnswers::default()
    };
    let mut reading = Reading { ledger: &ledger, options, sayings, imported, batch: Vec::new() };
    each_wanted(&workshop, target.job, target.params, &mut |cell| reading.take(&cell))?;
    reading.finish(&target)
}

struct Reading<'a> {
    ledger: &'a Mutex<Ledger>,
    options: &'a ImportOptions,
    sayings: Sayings,
    imported: ImportedAnswers,
    batch: Vec<CallRecord>,
}

impl Reading<'_> {
    fn take(&mut self, cell: &WantedCell<'_>) -> Result<(), PipelineError> {
        self.imported.n_left += u64::from(!cell.is_answered);
        let Some(said) = self.sayings.take(cell) else { return Ok(()) };
        if cell.is_answered {
            self.imported.n_known += 1;
            return Ok(());
        }
        let is_exact = said.exact.as_ref().is_some_and(|exact| exact.asks_the_same(cell.body()));
        if !(self.options.is_trusted || is_exact && self.options.teacher.is_some()) {
            self.imported.n_untrusted += 1;
            return Ok(());
        }
        let Some(record) = self.record(cell, said, is_exact) else { return Ok(()) };
        if record.status == CallStatus::Answered {
            self.imported.n_stored += 1;
            self.imported.n_exact += u64::from(is_exact);
            self.imported.n_left -= 1;
        }
        self.batch.push(record);
        if self.batch.len() >= COMMIT { self.commit() } else { Ok(()) }
    }

    fn record(&mut self, cell: &WantedCell<'_>, said: Said, is_exact: bool) -> Option<CallRecord> {
        let origin = said.origin;
        if let Some(Exact { reply: Some(body), .. }) = said.exact.filter(|_| is_exact) {
            let reply = HttpReply { status: 200, body: body.to_string().into_bytes(), ..HttpReply::default() };
            let (record, class) = cell.read(Ok(reply), origin);
            if let Some(class) = class {
                *self.imported.failed.entry(class.name().to_owned()).or_default() += 1;
            }
            return record;
        }
        cell.told(ImportedText { text: said.text, finish: said.finish, tokens: said.tokens }, origin)
    }

    fn commit(&mut self) -> Result<(), PipelineError> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).put_calls(&self.batch)?;
        self.batch.clear();
        Ok(())
    }

    fn finish(mut self, target: &Target<'_>) -> Result<ImportedAnswers, PipelineError> {
        self.commit()?;
        let is_known = |model: &str| {
            let of_endpoint = |endpoint: &cambist_io::endpoint::Endpoint| endpoint.model == model;
            target.servers.iter().any(|m| m.id == model || m.endpoint.as_ref().is_some_and(of_endpoint))
        };
        for (model, n) in self.sayings.left() {
            if is_known(&model) {
                self.imported.n_unknown_prompt += n;
            } else {
                *self.imported.unknown_models.entry(model).or_default() += n;
            }
        }
        Ok(self.imported)
    }
}
