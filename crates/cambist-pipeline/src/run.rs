//! Runs a plan: each job as soon as its inputs are there, several at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cambist_io::{
    dialect::teacher::KeyHeader,
    endpoint::Endpoint,
    ledger::Ledger,
    store::{Artifact, ArtifactId, RunRecord, RunStep, Store, StoreView},
    transport::{Client, SpendingCap, StopSignal},
};

use crate::{
    error::PipelineError,
    network::Network,
    plan::{Job, Plan},
    progress::{Outcome, Progress},
    verbs::{self, Probes},
};

/// How to run, none of which changes a result.
pub struct Runtime<'a> {
    /// Threads in all.
    pub threads: usize,
    /// Who listens.
    pub progress: &'a dyn Progress,
    /// Set to stop after the calls in flight.
    pub stop: &'a AtomicBool,
    /// Given together with `stop`: lets endpoints finish what is in flight and send nothing new.
    pub calls: StopSignal,
    /// Whether servers are asked what they can do before they are asked what counts.
    pub capabilities: Capabilities,
    /// How often a training run keeps what it needs to go on after a kill; longer where keeping it takes more than a
    /// twentieth of the time.
    pub state_every: Duration,
}

/// How often a training run keeps its state unless somebody says otherwise.
pub const STATE_EVERY: Duration = Duration::from_secs(30);

/// Whether servers are asked what they can do before they are asked what counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Capabilities {
    /// What they are, in every run; what they do, where that decides how they are asked and a day has passed. The
    /// default.
    #[default]
    Auto,
    /// The same, whatever is known from the day before.
    Force,
    /// Nothing: nothing is known then.
    Never,
}

/// What a job may use.
pub(crate) struct Workshop<'a> {
    pub plan: &'a Plan,
    pub store: &'a StoreView,
    pub ledger: &'a Mutex<Ledger>,
    pub runtime: &'a Runtime<'a>,
    pub network: Network,
    pub probes: Probes<'a>,
}

impl Workshop<'_> {
    /// The ledger, for one batch.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The finished artifact that a job reads.
    pub(crate) fn artifact(&self, id: &ArtifactId) -> Result<Artifact, PipelineError> {
        let missing = || PipelineError::Internal(format!("`{id}` was finished and is not in the store"));
        self.store.find(id)?.ok_or_else(missing)
    }

    /// The connection to an endpoint, one for all jobs that ask it as the same model.
    pub(crate) fn client(&self, endpoint: &Endpoint, key_header: KeyHeader) -> Result<Client, PipelineError> {
        self.network.client(endpoint, key_header)
    }

    /// What a teacher or arbiter may spend; none without a budget.
    pub(crate) fn purse(&self, name: &str) -> Option<Arc<dyn SpendingCap>> {
        self.network.purse(name)
    }

    /// Stops here when the user asked for it.
    pub(crate) fn checkpoint(&self) -> Result<(), PipelineError> {
        if self.runtime.stop.load(Ordering::Relaxed) { Err(PipelineError::Interrupted) } else { Ok(()) }
    }
}

/// The artifacts of a run with their labels, in the order of the plan.
pub type Finished = Vec<(String, Artifact)>;

/// Runs the jobs of `plan` whose places are in `wanted` and keeps the run's record.
///
/// The record is written after each job, so that a run that fails or is killed keeps its finished work from garbage
/// collection; steps that this run does not reach keep their place in it. Jobs whose artifacts are in the store are not run again. A job starts when its inputs are finished; several run
/// side by side, each with its share of the threads. After a failure the jobs under way are finished and no new one
/// begins.
///
/// # Errors
/// The first failure.
pub fn run(
    plan: &Plan,
    wanted: &[usize],
    store_folder: &Path,
    runtime: &Runtime<'_>,
) -> Result<Finished, PipelineError> {
    let store = Store::open(store_folder)?;
    let ledger = Ledger::open(&store.ledger_path())?;
    let network = Network::new(&plan.recipe.budget, &ledger)?;
    let ledger = Mutex::new(ledger);
    let probes = Probes::new(&store, runtime.capabilities);
    let workshop = Workshop { plan, store: &store, ledger: &ledger, runtime, network, probes };
    let diary = Diary::open(plan, &store)?;
    let queue = Queue::new(plan, wanted);
    std::thread::scope(|scope| {
        for _ in 0..runtime.threads.clamp(1, wanted.len().max(1)) {
            scope.spawn(|| work(&workshop, &store, &queue, &diary));
        }
    });
    queue.into_result()?;
    let label = |index: usize| plan.jobs[index].label.clone();
    let made = wanted.iter().map(|&index| Ok((label(index), workshop.artifact(&plan.jobs[index].id)?)));
    made.collect()
}

/// Writes down that the artifact of a job is there, as a run that made it would.
pub(crate) fn note_made(plan: &Plan, store: &Store, job: &Job) -> Result<(), PipelineError> {
    Diary::open(plan, store)?.note((plan, store), job)
}

/// Which artifact each step made last, by its label: of this run as far as it came, of the run before for the rest.
struct Diary(Mutex<BTreeMap<String, ArtifactId>>);

impl Diary {
    /// Begins with what the run before made of steps that are still in the plan.
    fn open(plan: &Plan, store: &Store) -> Result<Self, PipelineError> {
        let before = store.run(&plan.recipe.name)?.map(|run| run.steps).unwrap_or_default();
        let kept = before.into_iter().filter(|made| plan.jobs.iter().any(|job| job.label == made.step));
        Ok(Self(Mutex::new(kept.map(|made| (made.step, made.artifact)).collect())))
    }

    /// Writes down that a job is finished.
    fn note(&self, (plan, store): (&Plan, &Store), job: &Job) -> Result<(), PipelineError> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(job.label.clone(), job.id.clone());
        let recipe = &plan.recipe;
        let mut record = RunRecord::new(&recipe.name, &recipe.text);
        let in_order = plan.jobs.iter().filter_map(|job| made.get_key_value(&job.label));
        record.steps = in_order.map(|(step, id)| RunStep { step: step.clone(), artifact: id.clone() }).collect();
        Ok(store.record_run(&record)?)
    }
}

fn work(workshop: &Workshop<'_>, store: &Store, queue: &Queue<'_>, diary: &Diary) {
    while let Some((index, n_busy)) = queue.next() {
        let job = &workshop.plan.jobs[index];
        let outcome = perform((workshop, store), job, n_busy).and_then(|()| diary.note((workshop.plan, store), job));
        queue.finish(index, outcome);
    }
}

/// Runs one job inside its share of the threads.
fn perform((workshop, store): (&Workshop<'_>, &Store), job: &Job, n_busy: usize) -> Result<(), PipelineError> {
    let verb = workshop.plan.step_of(job).action.verb();
    let progress = workshop.runtime.progress;
    if workshop.store.find(&job.id)?.is_some() {
        progress.end(&job.label, Outcome::Reused { artifact: &job.id.to_string() });
        return Ok(());
    }
    workshop.checkpoint()?;
    progress.begin(&job.label, verb);
    let threads = (workshop.runtime.threads / n_busy.max(1)).max(1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| PipelineError::Internal(format!("no threads: {error}")))?;
    // A panic is a fault of ours: it is told as one, and the other jobs end in order.
    let scratch = store.begin(job.identity.clone())?;
    let outcome = catch_unwind(AssertUnwindSafe(|| pool.install(|| verbs::perform(workshop, job, scratch))))
        .unwrap_or_else(|_| Err(PipelineError::Internal(format!("`{}` panicked", job.label))));
    match outcome {
        Ok(artifact) => {
            let seconds = artifact.runtime().map_or(0.0, |runtime| runtime.seconds);
            progress.end(&job.label, Outcome::Made { artifact: &job.id.to_string(), seconds });
            Ok(())
        }
        Err(error) => {
            let stopped = matches!(error, PipelineError::Interrupted);
            progress.end(&job.label, if stopped { Outcome::Stopped } else { Outcome::Failed });
            Err(error)
        }
    }
}

/// Which jobs wait, run and are done.
struct Queue<'a> {
    plan: &'a Plan,
    state: Mutex<QueueState>,
    changed: Condvar,
}

struct QueueState {
    waiting: BTreeSet<usize>,
    running: BTreeSet<usize>,
    failure: Option<PipelineError>,
}

impl<'a> Queue<'a> {
    fn new(plan: &'a Plan, wanted: &[usize]) -> Self {
        let state = QueueState { waiting: wanted.iter().copied().collect(), running: BTreeSet::new(), failure: None };
        Self { plan, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first job in the recipe's order whose inputs are finished, with the number of jobs that will then be busy or
    /// ready; waits when all that is left depends on what runs; none when nothing is left.
    fn next(&self) -> Option<(usize, usize)> {
        let mut state = self.lock();
        loop {
            if state.failure.is_some() || state.waiting.is_empty() {
                return None;
            }
            let ready: Vec<usize> =
                state.waiting.iter().copied().filter(|&index| self.is_ready(&state, index)).collect();
            if let Some(&index) = ready.first() {
                state.waiting.remove(&index);
                state.running.insert(index);
                return Some((index, state.running.len() + ready.len() - 1));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_ready(&self, state: &QueueState, index: usize) -> bool {
        let unfinished = |id: &ArtifactId| {
            let of = |&other: &usize| self.plan.jobs[other].id == *id;
            state.waiting.iter().any(of) || state.running.iter().any(of)
        };
        !self.plan.jobs[index].inputs.iter().any(|input| unfinished(&input.id))
    }

    fn finish(&self, index: usize, outcome: Result<(), PipelineError>) {
        let mut state = self.lock();
        state.running.remove(&index);
        if let Err(error) = outcome
            && state.failure.is_none()
        {
            state.failure = Some(error);
        }
        self.changed.notify_all();
    }

    fn into_result(self) -> Result<(), PipelineError> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.failure.map_or(Ok(()), Err)
    }
}
