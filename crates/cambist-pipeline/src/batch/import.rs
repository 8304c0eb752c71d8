//! Results of batch files into the ledger.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::Mutex,
};

use cambist_io::{
    batch_files::{BatchResults, NAME_DIGITS},
    ledger::{CallRecord, CallStatus, Ledger},
    store::Store,
};
use serde::Serialize;

use crate::{
    error::PipelineError,
    network::Network,
    plan::Plan,
    run::{Runtime, Workshop},
    target::Target,
    verbs::{Probes, WantedCell, each_wanted},
};

/// Records that are kept in one transaction.
const COMMIT: usize = 512;

/// What result files came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Imported {
    /// Lines that were read.
    pub n_lines: u64,
    /// Answers that are new in the ledger.
    pub n_stored: u64,
    /// Results for calls that had an answer; the first answer stays.
    pub n_known: u64,
    /// Failures by class; those of calls that were made are in the ledger, and a run asks again.
    pub failed: BTreeMap<String, u64>,
    /// Further lines about a call that another line is about.
    pub n_duplicates: u64,
    /// Names that are of no call that the step wants: of another recipe, or of older prompts. Nothing is guessed.
    pub n_unknown: u64,
    /// The first ten of them.
    pub unknown: Vec<String>,
    /// Lines that are no results.
    pub n_broken: u64,
    /// The first ten of them: file, line, reason.
    pub broken: Vec<String>,
    /// USD of the stored answers, at the price of the batch lane.
    pub cost_usd: f64,
    /// Stored answers whose cost nobody can tell.
    pub n_cost_unknown: u64,
    /// Calls that are left for a run.
    pub n_left: u64,
}

/// Puts the results in `files` into the ledger, in any order, error files among them. Nothing is stored twice, so that
/// the same files may be imported again.
///
/// # Errors
/// When the step is not there, its prompts are not made yet, a file cannot be read, or the ledger cannot be written.
pub fn import_results(
    plan: &Plan,
    (step, files): (Option<&str>, &[PathBuf]),
    store_folder: &Path,
    runtime: &Runtime<'_>,
) -> Result<Imported, PipelineError> {
    let target = Target::find(plan, step)?;
    let results = BatchResults::open(files)?;
    let store = Store::open(store_folder)?;
    target.check_inputs(&store)?;
    let ledger = Mutex::new(Ledger::open(&store.ledger_path())?);
    let network = Network::idle();
    let workshop = Workshop { plan, store: &store, ledger: &ledger, runtime, network, probes: Probes::none() };
    let (n_broken, broken) = results.broken();
    let imported = Imported {
        n_lines: results.n_lines(),
        n_duplicates: results.n_duplicates(),
        n_broken,
        broken: broken.to_vec(),
        ..Imported::default()
    };
    let mut reading = Reading { ledger: &ledger, results, imported, batch: Vec::new(), seen: HashSet::new() };
    each_wanted(&workshop, target.job, target.params, &mut |cell| reading.take(&cell))?;
    reading.finish()
}

struct Reading<'a> {
    ledger: &'a Mutex<Ledger>,
    results: BatchResults,
    imported: Imported,
    batch: Vec<CallRecord>,
    /// Calls without an answer: cells that ask the same are one call.
    seen: HashSet<[u8; NAME_DIGITS]>,
}

impl Reading<'_> {
    fn take(&mut self, cell: &WantedCell<'_>) -> Result<(), PipelineError> {
        if cell.is_answered {
            self.imported.n_known += u64::from(self.results.pass(&cell.key));
            return Ok(());
        }
        let is_first = cell.key.as_str().as_bytes().first_chunk().is_some_and(|name| self.seen.insert(*name));
        if !is_first {
            return Ok(());
        }
        self.imported.n_left += 1;
        let Some(found) = self.results.take(&cell.key)? else { return Ok(()) };
        let (record, class) = cell.read(found.reply, found.origin);
        if let Some(class) = class {
            *self.imported.failed.entry(class.name().to_owned()).or_default() += 1;
        }
        let Some(record) = record else { return Ok(()) };
        if record.status == CallStatus::Answered {
            self.imported.n_stored += 1;
            self.imported.n_left -= 1;
            self.imported.cost_usd += record.cost_usd;
            self.imported.n_cost_unknown += u64::from(record.costs_unknown);
        }
        self.batch.push(record);
        if self.batch.len() >= COMMIT { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), PipelineError> {
        let mut ledger = self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        ledger.put_calls(&self.batch)?;
        self.batch.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Imported, PipelineError> {
        self.commit()?;
        (self.imported.n_unknown, self.imported.unknown) = self.results.unknown();
        Ok(self.imported)
    }
}
