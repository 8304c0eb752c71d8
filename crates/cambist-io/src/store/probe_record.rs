//! What the servers of a recipe were found to be and to do, for people and for the runs of the next day.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Result, Store, StoreView,
    manifest::{read_versioned, to_pretty_json},
    run_record::PROBE_FILE,
};
use crate::{
    dialect::{
        probe::{ServerFacts, Shown},
        request::LengthField,
    },
    disk::{self, DiskError},
};

/// The version of [`ProbeRecord`] and of the trials that a store keeps.
pub const PROBE_SCHEMA: u32 = 1;

/// How long a trial's outcome holds, in milliseconds: a day.
pub const TRIALS_HOLD_MS: u64 = 24 * 60 * 60 * 1000;

/// A small question that shows what a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// Whether one request may ask for several answers.
    N,
    /// Whether the sampling seed decides the answer.
    Seed,
    /// Whether answers follow a JSON schema.
    JsonSchema,
    /// Whether its tokens are those of the recipe's tokenizer.
    Tokenizer,
    /// Whether a reward model gives raw rewards.
    RawRewards,
}

impl Trial {
    /// The word for screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::N => "n",
            Self::Seed => "seed",
            Self::JsonSchema => "JSON schema",
            Self::Tokenizer => "tokenizer",
            Self::RawRewards => "raw rewards",
        }
    }
}

/// What trials showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trials {
    /// By trial, as far as they were made.
    pub shown: BTreeMap<Trial, Shown>,
    /// What the length limit is called, where a trial told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_field: Option<LengthField>,
}

impl Trials {
    /// Returns what a trial showed; none when it was not made.
    pub fn of(&self, trial: Trial) -> Option<Shown> {
        self.shown.get(&trial).copied()
    }
}

/// What one endpoint of a recipe was found to be and to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointProbe {
    /// The teacher or arbiter.
    pub name: String,
    /// `teacher`, `reward model` or `judge`.
    pub role: String,
    /// The address, without user, password and query.
    pub address: String,
    /// What it speaks.
    pub dialect: String,
    /// The model's name at the endpoint.
    pub model: String,
    /// What it says of itself.
    pub facts: ServerFacts,
    /// What it does.
    pub trials: Trials,
    /// What is to be known before it is asked, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why it cannot be asked, when it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// USD that the trials cost, as far as it is known.
    pub cost_usd: f64,
    /// Milliseconds since 1970 (UTC).
    pub probed_at_unix_ms: u64,
}

/// What the endpoints of a recipe were found to be and to do, last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// [`PROBE_SCHEMA`] of the program that wrote it.
    pub schema_version: u32,
    /// The recipe's name.
    pub recipe: String,
    /// By the names in the recipe.
    pub endpoints: BTreeMap<String, EndpointProbe>,
}

/// What one server of one version showed, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownTrials {
    at_unix_ms: u64,
    trials: Trials,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    schema_version: u32,
    servers: BTreeMap<String, KnownTrials>,
}

impl StoreView {
    /// Returns what is known of a recipe's endpoints; none when they were never asked.
    ///
    /// # Errors
    /// When the name is no plain one or the record cannot be read.
    pub fn probe_record(&self, recipe: &str) -> Result<Option<ProbeRecord>> {
        let path = self.run_folder(recipe)?.join(PROBE_FILE);
        match disk::read(&path) {
            Err(DiskError::Missing { .. }) => Ok(None),
            bytes => read_versioned(&path, &bytes?, PROBE_SCHEMA).map(Some),
        }
    }

    /// Returns what the server called `name` showed in the day before `now_ms`. A file that cannot be read is a day
    /// without trials: they can be made again.
    pub fn known_trials(&self, name: &str, now_ms: u64) -> Trials {
        let known = self.known_servers().servers.remove(name);
        known.filter(|known| holds(known, now_ms)).map(|known| known.trials).unwrap_or_default()
    }

    fn known_servers(&self) -> Known {
        let path = self.trials_path();
        let read = disk::read(&path).ok().and_then(|bytes| read_versioned(&path, &bytes, PROBE_SCHEMA).ok());
        read.unwrap_or_else(|| Known { schema_version: PROBE_SCHEMA, servers: BTreeMap::new() })
    }

    fn trials_path(&self) -> PathBuf {
        self.root().join("trials.json")
    }
}

fn holds(known: &KnownTrials, now_ms: u64) -> bool {
    now_ms.abs_diff(known.at_unix_ms) < TRIALS_HOLD_MS
}

impl Store {
    /// Replaces the record of a recipe's endpoints.
    ///
    /// # Errors
    /// When the name is no plain one, or the disk refuses.
    pub fn record_probe(&self, record: &ProbeRecord) -> Result<()> {
        let folder = self.run_folder(&record.recipe)?;
        disk::create_folder(&folder)?;
        Ok(disk::write_atomic(&folder.join(PROBE_FILE), &to_pretty_json("the record of endpoints", record)?)?)
    }

    /// Keeps what the server called `name` showed, for a day from the first of its trials; what showed nothing is not
    /// kept. Trials older than a day are forgotten.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_trials(&self, name: &str, trials: &Trials, now_ms: u64) -> Result<()> {
        let mut known = self.known_servers();
        known.servers.retain(|_, known| holds(known, now_ms));
        let mut kept = trials.clone();
        kept.shown.retain(|_, shown| *shown != Shown::Unknown);
        let at_unix_ms = known.servers.get(name).map_or(now_ms, |known| known.at_unix_ms);
        known.servers.insert(name.to_owned(), KnownTrials { at_unix_ms, trials: kept });
        Ok(disk::write_atomic(&self.trials_path(), &to_pretty_json("what servers showed", &known)?)?)
    }

    /// Forgets what the server called `name` showed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget_trials(&self, name: &str) -> Result<()> {
        let mut known = self.known_servers();
        if known.servers.remove(name).is_none() {
            return Ok(());
        }
        Ok(disk::write_atomic(&self.trials_path(), &to_pretty_json("what servers showed", &known)?)?)
    }
}
