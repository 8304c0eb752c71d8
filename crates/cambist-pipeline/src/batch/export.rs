//! Unanswered calls as files.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

use cambist_io::{
    batch_files::{BatchForm, BatchPart, BatchWriter},
    dialect::teacher::TeacherDialect,
    disk::DiskError,
    ledger::{Ledger, LedgerError},
    store::StoreView,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::PipelineError,
    network::Network,
    plan::Plan,
    recipe::PoolMember,
    run::{Runtime, Workshop},
    target::Target,
    verbs::{Probes, WantedCell, each_wanted},
};

/// What to write, and where.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// The `generate` step; needed where the recipe has several.
    pub step: Option<String>,
    /// Only this teacher's requests; all servers' by default.
    pub teacher: Option<String>,
    /// How files are written; by default as the teacher's provider takes them.
    pub form: Option<BatchForm>,
    /// A file when there is one teacher; a folder that gets a file for each teacher otherwise.
    pub to: PathBuf,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The files, by teacher.
    pub files: Vec<ExportedPart>,
    /// Calls that the ledger has an answer to already.
    pub n_answered: u64,
    /// Cells that ask the same as another one, so that one line serves both.
    pub n_shared: u64,
}

/// One file of requests to one teacher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportedPart {
    /// The teacher's name in the pool.
    pub teacher: String,
    /// The file.
    #[serde(flatten)]
    pub part: BatchPart,
}

/// Writes the calls of a `generate` step that the ledger has no answer to, each under the first 32 digits of its name
/// in the ledger, with the body that a run would send. The ledger is not changed: until the results are imported, a
/// run would make the same calls.
///
/// # Errors
/// When the step or teacher is not there, its prompts are not made yet, a teacher's dialect has no such files, or the
/// disk refuses.
pub fn export_requests(
    plan: &Plan,
    options: &ExportOptions,
    store_folder: &Path,
    runtime: &Runtime<'_>,
) -> Result<Exported, PipelineError> {
    let target = Target::find(plan, options.step.as_deref())?;
    target.check_teacher(options.teacher.as_deref())?;
    let store = StoreView::open(store_folder)?;
    target.check_inputs(&store)?;
    let ledger = match Ledger::open_read_only(&store.ledger_path()) {
        Err(LedgerError::Disk(DiskError::Missing { .. })) => Ledger::nowhere()?,
        ledger => ledger?,
    };
    let ledger = Mutex::new(ledger);
    let network = Network::idle();
    let workshop = Workshop { plan, store: &store, ledger: &ledger, runtime, network, probes: Probes::none() };
    let mut writing = Writing::new(&target, options)?;
    each_wanted(&workshop, target.job, target.params, &mut |cell| writing.take(&cell))?;
    writing.finish()
}

struct Writing {
    writers: BTreeMap<String, BatchWriter>,
    exported: Exported,
}

impl Writing {
    fn new(target: &Target<'_>, options: &ExportOptions) -> Result<Self, PipelineError> {
        let is_wanted = |member: &&&PoolMember| options.teacher.as_ref().is_none_or(|teacher| member.id == *teacher);
        let members: Vec<_> = target.servers.iter().filter(is_wanted).collect();
        let label = &target.job.label;
        if members.is_empty() {
            let what = "no teacher of this step has an `endpoint`";
            return Err(PipelineError::input(label, what, "batch files are for teachers behind servers"));
        }
        let is_file = options.to.extension().is_some_and(|end| end == "jsonl" || end == "json");
        if is_file && members.len() > 1 {
            let names: Vec<String> = members.iter().map(|member| format!("`{}`", member.id)).collect();
            let what = format!("a batch file is for one teacher and this step asks {}", names.join(", "));
            return Err(PipelineError::input(label, what, "name one with --teacher, or give a folder with -o"));
        }
        let mut writers = BTreeMap::new();
        for member in members {
            let form = form_of(member, options.form)?;
            let inside = || options.to.join(format!("{}.{}", file_name(&member.id), form.extension()));
            let path = if is_file { options.to.clone() } else { inside() };
            writers.insert(member.id.clone(), BatchWriter::new(path, form));
        }
        Ok(Self { writers, exported: Exported::default() })
    }

    fn take(&mut self, cell: &WantedCell<'_>) -> Result<(), PipelineError> {
        let Some(writer) = self.writers.get_mut(cell.teacher) else { return Ok(()) };
        if cell.is_answered {
            self.exported.n_answered += 1;
            return Ok(());
        }
        let call = cell.call();
        let body: Value = serde_json::from_slice(&call.body)
            .map_err(|error| PipelineError::Internal(format!("a request that is no JSON: {error}")))?;
        let is_written = writer.push(&cell.key, (&call.path, &body))?;
        self.exported.n_shared += u64::from(!is_written);
        Ok(())
    }

    fn finish(mut self) -> Result<Exported, PipelineError> {
        for (teacher, writer) in self.writers {
            let parts = writer.finish()?;
            self.exported.files.extend(parts.into_iter().map(|part| ExportedPart { teacher: teacher.clone(), part }));
        }
        Ok(self.exported)
    }
}

/// The form that a teacher's provider takes, or the wanted one where it can.
fn form_of(member: &PoolMember, wanted: Option<BatchForm>) -> Result<BatchForm, PipelineError> {
    let dialect = member.endpoint.as_ref().map(|endpoint| endpoint.dialect.as_str()).unwrap_or_default();
    let usual = if dialect == TeacherDialect::Anthropic.name() { BatchForm::Anthropic } else { BatchForm::OpenAi };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != usual) {
        let what =
            format!("its dialect is `{dialect}`, whose batches are `{}` and not `{}`", usual.name(), wanted.name());
        return Err(PipelineError::input(&member.id, what, "leave --format out, or name another --teacher"));
    }
    Ok(usual)
}

/// A teacher's name as a file's.
fn file_name(id: &str) -> String {
    id.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).collect()
}
