//! A store of its own, and everything that can be seen of a run in it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, atomic::AtomicBool},
};

use cambist_io::{
    ledger::Ledger,
    store::{Artifact, Manifest, StoreView},
};
use cambist_pipeline::{
    PipelineError,
    plan::Plan,
    progress::{Advance, Outcome, Progress},
    recipe::Recipe,
    run::{Finished, Runtime, run},
};
use tempfile::TempDir;

/// Takes seconds; see the file.
pub(crate) const SMALL: &str = include_str!("small.yaml");

/// A folder for a recipe's files and a store below it.
pub(crate) struct House {
    folder: TempDir,
}

/// What a run did.
pub(crate) struct Ran {
    /// The artifacts, by label.
    pub finished: Finished,
    /// Labels of the jobs that made their artifacts, sorted.
    pub made: Vec<String>,
    /// Labels of the jobs whose artifacts were there, sorted.
    pub reused: Vec<String>,
}

impl Ran {
    /// The artifact that the job called `label` made.
    pub(crate) fn artifact(&self, label: &str) -> &Artifact {
        let found = self.finished.iter().find(|(other, _)| other == label);
        &found.unwrap_or_else(|| panic!("no job is called `{label}`")).1
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Where the recipe's relative paths start.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Runs all of `recipe`.
    pub(crate) fn run(&self, recipe: Recipe, threads: usize) -> Result<Ran, PipelineError> {
        let plan = Plan::new(recipe, self.folder())?;
        let all: Vec<usize> = (0..plan.jobs.len()).collect();
        let (listener, stop) = (Listener::default(), AtomicBool::new(false));
        let finished = run(
            &plan,
            &all,
            &self.store(),
            &Runtime {
                threads,
                progress: &listener,
                stop: &stop,
                calls: cambist_io::transport::StopSignal::new(),
                capabilities: cambist_pipeline::run::Capabilities::default(),
                state_every: cambist_pipeline::run::STATE_EVERY,
            },
        )?;
        let Seen { mut made, mut reused } = listener.0.into_inner().unwrap();
        made.sort();
        reused.sort();
        Ok(Ran { finished, made, reused })
    }

    /// Runs the small recipe with changes to it.
    pub(crate) fn run_small(&self, overrides: &[&str]) -> Ran {
        self.run(recipe(SMALL, overrides), 2).unwrap()
    }

    /// How many answers of each teacher the ledger holds; students under test stand under their own names.
    pub(crate) fn calls(&self) -> BTreeMap<String, u64> {
        let ledger = Ledger::open_read_only(&self.store().join("ledger.sqlite")).unwrap();
        let mut calls = BTreeMap::new();
        for teacher in ledger.teacher_totals().unwrap() {
            *calls.entry(teacher.teacher).or_default() += teacher.n_answered + teacher.n_failed;
        }
        calls
    }

    /// The manifests of all artifacts, whose files were compared with them.
    pub(crate) fn manifests(&self) -> Vec<Manifest> {
        let listing = StoreView::open(&self.store()).unwrap().list().unwrap();
        assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
        listing.artifacts.iter().for_each(|artifact| artifact.verify().unwrap());
        listing.artifacts.iter().map(|artifact| artifact.manifest().clone()).collect()
    }
}

/// Parses a recipe that has to be right.
pub(crate) fn recipe(text: &str, overrides: &[&str]) -> Recipe {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    Recipe::parse("recipe.yaml", text, &overrides).unwrap_or_else(|faults| panic!("{faults}"))
}

#[derive(Default)]
struct Listener(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    made: Vec<String>,
    reused: Vec<String>,
}

impl Progress for Listener {
    fn begin(&self, _job: &str, _verb: &str) {}

    fn advance(&self, _job: &str, _at: Advance<'_>) {}

    fn end(&self, job: &str, outcome: Outcome<'_>) {
        let mut seen = self.0.lock().unwrap();
        match outcome {
            Outcome::Made { .. } => seen.made.push(job.to_owned()),
            Outcome::Reused { .. } => seen.reused.push(job.to_owned()),
            Outcome::Failed | Outcome::Stopped => {}
        }
    }
}
