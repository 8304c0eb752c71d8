//! GGUF, llama.cpp's one file for a model: what it says as `config.json`, and its tensors under the names of `transformers`.
//!
//! Every type becomes f32 when it is read; the model is then like any other, and is written as a Hugging Face folder.
//! Rows that llama.cpp puts in another order, and gains that it keeps as they act, are put back.
//!
//! The header is read here: candle's reader divides by the alignment that the file states, and keeps the last of two
//! tensors of one name. Blocks of quantised numbers are candle's business.

mod describe;
mod header;
mod tensors;
mod vocabulary;
mod words;

use std::collections::BTreeMap;

use candle_core::Tensor;

use self::header::{Header, Value};
use crate::{
    fault::TensorFault,
    model_files::{JsonObject, ModelFiles},
    tokenizer::Tokenizer,
};

/// A GGUF file cannot be read as a model; nothing is computed rather than wrongly.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The bytes are no GGUF, or lie about themselves.
    #[error("the GGUF file cannot be read at byte {at}: {what}")]
    Broken {
        /// Where, from the beginning of the file.
        at: usize,
        /// What is wrong there.
        what: String,
    },
    /// An architecture that has no entry here.
    #[error("the GGUF file has `general.architecture` `{found}`; read are {}", describe::supported())]
    Architecture {
        /// What stands there.
        found: String,
    },
    /// A key that a model needs.
    #[error("the GGUF file has no `{0}`, which its architecture needs")]
    Missing(String),
    /// A key that holds what is not implemented, or that may change the numbers for all that is known of it.
    #[error("the GGUF file has `{key}` = `{value}`, which is not implemented; expected {expected}")]
    Unsupported {
        /// The key.
        key: String,
        /// What it holds.
        value: String,
        /// What is implemented.
        expected: String,
    },
    /// Numbers that are not there.
    #[error("tensor `{name}` of the GGUF file cannot be read: {what}")]
    Numbers {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A type of numbers that is not read.
    #[error(
        "tensor `{name}` of the GGUF file has the type number {found}; read are {}: take another file of the model",
        tensors::supported()
    )]
    Type {
        /// The tensor.
        name: String,
        /// Its type as llama.cpp numbers them.
        found: u32,
    },
    /// A tensor that no part of the architecture has.
    #[error("the GGUF file holds `{0}`, which this architecture has no place for")]
    Unexpected(String),
    /// Nothing that text becomes tokens by.
    #[error(
        "there is no `tokenizer.json` beside the GGUF file, and its own tokenizer ({found}) is none that is rebuilt here \
         ({}); copy `tokenizer.json` from the Hugging Face folder that the file was made from",
        vocabulary::supported()
    )]
    NoTokenizer {
        /// What the file says of its tokenizer.
        found: String,
    },
    /// The tokenizer of another model.
    #[error(
        "token {id} is `{expected}` in the GGUF file and `{found}` in `tokenizer.json`; take the tokenizer that the file was made with"
    )]
    Tokens {
        /// The token's number.
        id: usize,
        /// Its name in the GGUF file.
        expected: String,
        /// Its name in `tokenizer.json`, empty where it has none.
        found: String,
    },
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] TensorFault),
}

impl From<candle_core::Error> for GgufError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(TensorFault(error))
    }
}

/// A GGUF file whose header was read.
pub(crate) struct Gguf<'a>(Header<'a>);

/// Returns the name of the GGUF file among the files of a model, where there is one.
pub(crate) fn file_of(files: &ModelFiles) -> Option<&String> {
    files.0.keys().find(|name| name.ends_with(".gguf"))
}

impl<'a> Gguf<'a> {
    /// Reads the header of a file.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, GgufError> {
        Ok(Self(Header::read(bytes)?))
    }

    /// Returns the model as `config.json` would describe it.
    pub(crate) fn config(&self) -> Result<JsonObject, GgufError> {
        describe::config(&self.0)
    }

    /// Returns all tensors under the names of `transformers`, in f32; `config` is what [`Gguf::config`] returned.
    pub(crate) fn tensors(&self, config: &JsonObject) -> Result<BTreeMap<String, Tensor>, GgufError> {
        tensors::read(&self.0, config)
    }

    /// Adds what the header says of tokens and templates to files that lack it.
    ///
    /// # Errors
    /// When there is no `tokenizer.json`, and the tokenizer in the file is none that can be rebuilt.
    pub(crate) fn complete(&self, files: &mut ModelFiles) -> Result<(), GgufError> {
        words::complete(&self.0, files)
    }

    /// Compares the tokenizer beside the file with the tokens that the header lists.
    pub(crate) fn check_tokens(&self, tokenizer: &Tokenizer) -> Result<(), GgufError> {
        words::check(&self.0, tokenizer)
    }
}

/// Shows a value in a message, long ones cut.
fn shown(value: &Value) -> String {
    let text = format!("{value}");
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
