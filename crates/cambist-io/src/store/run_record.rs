//! Which artifacts a recipe's last run made or reused.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    ArtifactId, Result, Store, StoreError, StoreView,
    manifest::{read_versioned, to_pretty_json},
};
use crate::disk::{self, DiskError};

/// The version of [`RunRecord`] that is written.
pub const RUN_SCHEMA: u32 = 1;

const RUN_FILE: &str = "run.json";

/// What the recipe's endpoints were found to do, beside the run record.
pub(super) const PROBE_FILE: &str = "probe.json";

/// Which artifacts a recipe's last run made or reused; they, and what went into them, are what garbage collection
/// keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// [`RUN_SCHEMA`] of the program that wrote it.
    pub schema_version: u32,
    /// The recipe's name, also the name of its folder below `runs/`.
    pub recipe: String,
    /// The recipe as it was run.
    pub recipe_text: String,
    /// The version of the program that ran it.
    pub cambist_version: String,
    /// The steps that are done, in the order of the recipe.
    pub steps: Vec<RunStep>,
}

/// One finished step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunStep {
    /// The step's name, unique in the recipe.
    pub step: String,
    /// What it made.
    pub artifact: ArtifactId,
}

impl RunRecord {
    /// Returns the record of a run that has done nothing yet.
    pub fn new(recipe: impl Into<String>, recipe_text: impl Into<String>) -> Self {
        Self {
            schema_version: RUN_SCHEMA,
            recipe: recipe.into(),
            recipe_text: recipe_text.into(),
            cambist_version: env!("CARGO_PKG_VERSION").to_owned(),
            steps: Vec::new(),
        }
    }
}

impl StoreView {
    /// Returns the record of a recipe's last run; none when it never ran.
    ///
    /// # Errors
    /// When the name is no plain one or the record cannot be read.
    pub fn run(&self, recipe: &str) -> Result<Option<RunRecord>> {
        let path = self.run_folder(recipe)?.join(RUN_FILE);
        match disk::read(&path) {
            Err(DiskError::Missing { .. }) => Ok(None),
            bytes => read_versioned(&path, &bytes?, RUN_SCHEMA).map(Some),
        }
    }

    /// Returns all run records, in the order of their names.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn runs(&self) -> Result<Vec<RunRecord>> {
        let folders = disk::entries(&self.runs_folder())?;
        let names = folders.iter().filter_map(|folder| folder.file_name()?.to_str());
        names.filter_map(|name| self.run(name).transpose()).collect()
    }

    pub(super) fn run_folder(&self, recipe: &str) -> Result<PathBuf> {
        check_plain(recipe, "a recipe")?;
        Ok(self.runs_folder().join(recipe))
    }
}

impl Store {
    /// Replaces the record of a recipe's run and makes `runs/<recipe>/<step>` lead to each step's artifact: a link, or
    /// a text file with the path where the file system knows no links.
    ///
    /// # Errors
    /// When a name is no plain one, or the disk refuses.
    pub fn record_run(&self, record: &RunRecord) -> Result<()> {
        let folder = self.run_folder(&record.recipe)?;
        for step in &record.steps {
            check_plain(&step.step, "a step")?;
        }
        disk::write_atomic(&folder.join(RUN_FILE), &to_pretty_json("the run record", record)?)?;
        let kept: BTreeSet<&str> =
            record.steps.iter().map(|step| step.step.as_str()).chain([RUN_FILE, PROBE_FILE]).collect();
        for stale in disk::entries(&folder)? {
            if stale.file_name().and_then(|name| name.to_str()).is_none_or(|name| !kept.contains(name)) {
                fs::remove_file(&stale).map_err(|source| DiskError::of("remove", &stale, source))?;
            }
        }
        record.steps.iter().try_for_each(|step| lead_to(&folder.join(&step.step), &step.artifact))
    }
}

/// Makes `path` lead to an artifact, whatever was there before.
fn lead_to(path: &Path, artifact: &ArtifactId) -> Result<()> {
    let goal = Path::new("../../artifacts").join(artifact.to_string());
    if fs::read_link(path).is_ok_and(|old| old == goal) {
        return Ok(());
    }
    let mut neighbour = path.as_os_str().to_owned();
    neighbour.push(".tmp");
    let neighbour = PathBuf::from(neighbour);
    // A leftover of a killed run; when it cannot be removed, linking fails and the text file is the way out.
    let _ = fs::remove_file(&neighbour);
    if link(&goal, &neighbour).is_ok() {
        return Ok(disk::rename(&neighbour, path)?);
    }
    Ok(disk::write_atomic(path, format!("{}\n", goal.display()).as_bytes())?)
}

#[cfg(unix)]
fn link(goal: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(goal, path)
}

#[cfg(not(unix))]
fn link(_goal: &Path, _path: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

fn check_plain(name: &str, what: &'static str) -> Result<()> {
    let bad = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    if name.is_empty() || name.starts_with('.') || [RUN_FILE, PROBE_FILE].contains(&name) || name.contains(bad) {
        return Err(StoreError::BadName { name: name.to_owned(), what });
    }
    Ok(())
}
