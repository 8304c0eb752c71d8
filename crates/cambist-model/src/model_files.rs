//! A model as named bytes.

use std::collections::BTreeMap;

/// A Hugging Face model folder: file names and their bytes.
///
/// Holds `config.json`, `model.safetensors` (or shards with `model.safetensors.index.json`), `tokenizer.json`,
/// `tokenizer_config.json`, `generation_config.json` and, where the template is not inside `tokenizer_config.json`,
/// `chat_template.jinja`. Whoever touches the disk writes one file for each entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFiles(pub BTreeMap<String, Vec<u8>>);

/// The weights, where they are in one file.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// Which shard holds which tensor.
pub(crate) const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
/// The architecture.
pub(crate) const CONFIG: &str = "config.json";
/// Vocabulary, merges and normalisation.
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// Special tokens and, mostly, the chat template.
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// The chat template, in newer folders.
pub(crate) const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// The tokens that end an answer.
pub(crate) const GENERATION_CONFIG: &str = "generation_config.json";

/// A file of a model folder is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file that every model folder needs is not there.
    #[error("the model folder has no `{0}`")]
    Missing(&'static str),
    /// A JSON file cannot be read.
    #[error("`{file}` is not the JSON object that it should be: {source}")]
    Json {
        /// The file.
        file: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
}

impl ModelFiles {
    /// Returns the bytes of a file that has to be there.
    pub(crate) fn required(&self, file: &'static str) -> Result<&[u8], FileError> {
        self.0.get(file).map(Vec::as_slice).ok_or(FileError::Missing(file))
    }

    /// Reads a JSON object, an empty one where the file is absent.
    pub(crate) fn json(&self, file: &'static str) -> Result<JsonObject, FileError> {
        let Some(bytes) = self.0.get(file) else { return Ok(JsonObject::new()) };
        serde_json::from_slice(bytes).map_err(|source| FileError::Json { file, source })
    }
}

pub(crate) type JsonObject = serde_json::Map<String, serde_json::Value>;
