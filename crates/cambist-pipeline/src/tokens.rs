//! Rows in tokens, to be looked at before anything is trained on them.

use std::path::Path;

use cambist_core::prompt::Message;
use cambist_io::formats::{
    self, FormatError, RowFault,
    rows::{RowError, RowStream, open_rows},
};
use cambist_model::{ChatFormat, EncodeError, ModelFiles, RowContent};
pub use cambist_model::{TokenView, TokenizedText};

use crate::{
    error::PipelineError,
    row_file::{Shown, name, shown},
};

/// A row in tokens, or why it cannot become any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizedRow {
    /// Its name in the file, else where it stands.
    pub id: String,
    /// What it holds: `document`, `conversation`, `prompt`, `pair` or `answer` (one with a label).
    pub kind: &'static str,
    /// Its sequences: two for a pair, the better answer first.
    pub sequences: Result<Vec<TokenizedText>, String>,
}

/// A model's words: its tokenizer and chat template, without its weights.
#[derive(Debug)]
pub struct Words(ChatFormat);

impl Words {
    /// Reads `tokenizer.json`, `tokenizer_config.json` and the chat template of a model folder.
    ///
    /// # Errors
    /// When there is no such folder, or a file is missing or broken.
    pub fn open(folder: &Path) -> Result<Self, PipelineError> {
        let files = ModelFiles(formats::read_tokenizer_folder(folder)?);
        let name = folder.display().to_string();
        let broken = |error: cambist_model::ChatError| {
            PipelineError::input(&name, error.to_string(), "give the folder of a whole model")
        };
        Ok(Self(ChatFormat::from_files(&files).map_err(broken)?))
    }

    /// Returns a text as pre-training sees it, or as a user's turn that is to be answered.
    pub fn text(&self, text: &str, is_prompt: bool) -> TokenizedRow {
        let shown = match is_prompt {
            true => Shown::Prompt(vec![Message::user(text)]),
            false => Shown::Trained(RowContent::Text(text.to_owned())),
        };
        self.row("stdin".to_owned(), shown)
    }

    /// Opens a file of rows; they are read as they are asked for.
    ///
    /// A row with `messages` is a conversation, one with `chosen` and `rejected` a pair (with `prompt`, or both whole
    /// conversations), one with `prompt` and `completion` (or `response`, `answer`, `reference`) a conversation of two
    /// turns, or with a `label` that is true or false one answer, one with `prompt` alone is shown as an answer to it is generated, and one with `text` is a document.
    ///
    /// # Errors
    /// When there is no such file, or it is in no known format.
    pub fn rows(&self, path: &Path) -> Result<TokenizedRows<'_>, PipelineError> {
        Ok(TokenizedRows { words: self, rows: open_rows(path)? })
    }

    fn row(&self, id: String, shown: Shown) -> TokenizedRow {
        let (kind, sequences) = match shown {
            Shown::Prompt(messages) => ("prompt", self.0.tokenized_prompt(&messages).map(|text| vec![text])),
            Shown::Trained(content) => {
                let kind = match content {
                    RowContent::Text(_) => "document",
                    RowContent::Chat(_) => "conversation",
                    RowContent::Pair { .. } => "pair",
                    RowContent::Unpaired { .. } => "answer",
                };
                (kind, self.0.tokenized(&content))
            }
        };
        TokenizedRow { id, kind, sequences: sequences.map_err(|error: EncodeError| error.to_string()) }
    }
}

/// The rows of a file, in their order.
pub struct TokenizedRows<'a> {
    words: &'a Words,
    rows: RowStream,
}

impl Iterator for TokenizedRows<'_> {
    type Item = Result<TokenizedRow, PipelineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let faulty = |fault: RowFault, rows: &RowStream| {
            PipelineError::from(FormatError::of_rows(rows.path().to_owned(), vec![fault], 1))
        };
        Some(match self.rows.next()? {
            Ok(row) => match shown(&row) {
                Ok(shown) => Ok(self.words.row(name(&row), shown)),
                Err(problem) => Err(faulty(row.fault(problem), &self.rows)),
            },
            Err(RowError::Row(fault)) => Err(faulty(fault, &self.rows)),
            Err(RowError::File(error)) => Err(error.into()),
        })
    }
}
