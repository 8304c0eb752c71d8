//! Features of prompts that a local model reads: pooled hidden states, kept in the store.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use cambist_core::{
    digest::Digest,
    features::{FeatureReader, FeatureSource, FeatureVector},
    prompt::{Message, Prompt, Role},
};
use cambist_io::store::{FeatureCache, FeatureRecord, StoreView};
use cambist_model::{Pooling, PromptEncoder};

use crate::{checkpoint::Checkpoint, error::PipelineError};

/// Raised with every change that gives any prompt other numbers.
const VERSION: u32 = 1;
/// How the names of such features begin.
const PREFIX: &str = "hidden-v";
/// Prompts that are read and kept together; also what is lost at most when a run is killed.
const CHUNK: usize = 256;
/// Bytes of features that are held in memory, at most; what is more is read again.
const MAX_BYTES: usize = 512 << 20;

/// Hidden states of a model at one layer, pooled over the tokens that an answer would be generated from.
///
/// A prompt that the model's template refuses has none: its language alone decides.
pub(crate) struct HiddenFeatures(Arc<Shared>);

/// What all readers share.
struct Shared {
    name: String,
    encoder: PromptEncoder,
    cache: Option<FeatureCache>,
    known: Mutex<Known>,
}

/// What was read, as far as memory goes, and what the store has of it.
#[derive(Default)]
struct Known {
    states: HashMap<u128, Vec<f32>>,
    kept: HashSet<u128>,
}

/// What is read of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// Counted as `hidden_states` of `transformers`; the last where none.
    pub layer: Option<usize>,
    pub pooling: Pooling,
}

impl HiddenFeatures {
    /// Opens a model; what a store has of its features is not computed again.
    pub(crate) fn open(
        label: &str,
        (checkpoint, reading): (&Checkpoint, Reading),
        store: Option<&StoreView>,
    ) -> Result<Self, PipelineError> {
        let (model, _) = checkpoint.open().map_err(|error| PipelineError::model(label, error))?;
        let encoder = PromptEncoder::new(model, reading.layer, reading.pooling)
            .map_err(|error| PipelineError::input(label, error.to_string(), "leave `layer` out for the last"))?;
        let (digest, layer, pooling) = (checkpoint.digest(), encoder.layer(), encoder.pooling().name());
        let name = format!("{PREFIX}{VERSION}:{digest}:{layer}:{pooling}");
        let kept_as = format!("{}-{layer}-{pooling}-v{VERSION}", digest.short());
        let cache = store.map(|store| store.feature_cache(&kept_as)).transpose()?;
        let rows = cache.as_ref().map(FeatureCache::read).transpose()?.unwrap_or_default();
        let most = MAX_BYTES / (4 * encoder.width().max(1));
        let kept = rows.iter().map(|row| row.key).collect();
        let states = rows.into_iter().take(most).map(|row| (row.key, row.values)).collect();
        Ok(Self(Arc::new(Shared { name, encoder, cache, known: Mutex::new(Known { states, kept }) })))
    }

    /// Reads what the name of a router's features says of the model that they come from; none of other features.
    pub(crate) fn parse(name: &str) -> Option<Reading> {
        let mut parts = name.strip_prefix(PREFIX)?.split(':').skip(2);
        let layer = parts.next()?.parse().ok()?;
        let pooling =
            [Pooling::Mean, Pooling::Last].into_iter().find(|pooling| Some(pooling.name()) == parts.clone().next())?;
        Some(Reading { layer: Some(layer), pooling })
    }
}

impl Shared {
    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads prompts that are not known, and keeps what they come to.
    fn read(&self, prompts: &[(u128, &[Message])]) -> Result<(), String> {
        for chunk in prompts.chunks(CHUNK) {
            let conversations: Vec<&[Message]> = chunk.iter().map(|(_, messages)| *messages).collect();
            let states = self.encoder.encode(&conversations).map_err(|error| error.to_string())?;
            let record = |((key, _), state): (&(u128, &[Message]), Result<Vec<f32>, _>)| FeatureRecord {
                key: *key,
                values: state.unwrap_or_default(),
            };
            let records: Vec<FeatureRecord> = chunk.iter().zip(states).map(record).collect();
            self.keep(&records)?;
        }
        Ok(())
    }

    /// Keeps what was read: on the disk what is not there yet, in memory as much as fits.
    fn keep(&self, records: &[FeatureRecord]) -> Result<(), String> {
        let is_new = |record: &&FeatureRecord| self.known(|known| known.kept.insert(record.key));
        let new: Vec<FeatureRecord> = records.iter().filter(is_new).cloned().collect();
        if let Some(cache) = self.cache.as_ref().filter(|_| !new.is_empty()) {
            cache.append(&new).map_err(|error| error.to_string())?;
        }
        self.known(|known| {
            if (known.states.len() + records.len()) * self.encoder.width() * 4 > MAX_BYTES {
                known.states.clear();
            }
            known.states.extend(records.iter().map(|record| (record.key, record.values.clone())));
        });
        Ok(())
    }
}

/// Names a prompt by its turns.
fn key_of(prompt: &Prompt) -> u128 {
    let role = |role: Role| match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let parts = prompt.messages.iter().flat_map(|turn| [role(turn.role).as_bytes(), turn.content.as_bytes()]);
    let digest = Digest::of_parts(parts);
    u128::from_str_radix(&digest.as_str()[..32], 16).unwrap_or_default()
}

impl FeatureSource for HiddenFeatures {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn width(&self) -> usize {
        self.0.encoder.width()
    }

    fn reader(&self) -> Box<dyn FeatureReader> {
        Box::new(Reader { source: Arc::clone(&self.0), features: FeatureVector::default() })
    }

    fn prepare(&self, prompts: &[&Prompt]) -> Result<(), String> {
        let mut wanted: HashMap<u128, &[Message]> = HashMap::new();
        let mut order = Vec::new();
        let keys: Vec<u128> = prompts.iter().map(|prompt| key_of(prompt)).collect();
        self.0.known(|known| {
            for (key, prompt) in keys.iter().zip(prompts).filter(|(key, _)| !known.states.contains_key(*key)) {
                if wanted.insert(*key, &prompt.messages).is_none() {
                    order.push(*key);
                }
            }
        });
        self.0.read(&order.iter().map(|key| (*key, wanted[key])).collect::<Vec<_>>())
    }

    fn is_dense(&self) -> bool {
        true
    }
}

/// Looks up one prompt after the other.
struct Reader {
    source: Arc<Shared>,
    features: FeatureVector,
}

impl FeatureReader for Reader {
    fn read(&mut self, prompt: &Prompt) -> &FeatureVector {
        let key = key_of(prompt);
        let find = || self.source.known(|known| known.states.get(&key).cloned());
        let values = find().or_else(|| {
            // Whoever asks about many prompts has prepared them; what fails here failed there.
            self.source.read(&[(key, &prompt.messages)]).ok()?;
            find()
        });
        let values = values.unwrap_or_default();
        self.features = FeatureVector { indices: (0..values.len() as u32).collect(), values };
        &self.features
    }
}
