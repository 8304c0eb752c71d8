//! Rows in tokens, to be looked at before anything is trained on them.

use std::path::Path;

use cambist_core::prompt::{Message, Role};
use cambist_io::formats::{
    self, FormatError, Problem, RowFault, read_chat,
    rows::{Row, RowError, RowStream, open_rows},
};
use cambist_model::{ChatFormat, EncodeError, ModelFiles, RowContent};
pub use cambist_model::{TokenView, TokenizedText};
use serde_json::Value;

use crate::error::PipelineError;

/// A row in tokens, or why it cannot become any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizedRow {
    /// Its name in the file, else where it stands.
    pub id: String,
    /// What it holds: `document`, `conversation`, `prompt` or `pair`.
    pub kind: &'static str,
    /// Its sequences: two for a pair, the better answer first.
    pub sequences: Result<Vec<TokenizedText>, String>,
}

/// A model's words: its tokenizer and chat template, without its weights.
#[derive(Debug)]
pub struct Words(ChatFormat);

/// What is looked at.
enum Shown {
    /// What training sees.
    Trained(RowContent),
    /// What an answer is generated from.
    Prompt(Vec<Message>),
}

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
    /// turns, one with `prompt` alone is shown as an answer to it is generated, and one with `text` is a document.
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

fn name(row: &Row) -> String {
    row.fields.get("id").and_then(Value::as_str).map_or_else(|| row.place.to_string(), str::to_owned)
}

/// What the assistant's side of a row may be called.
const ANSWERS: [&str; 4] = ["completion", "response", "answer", "reference"];

fn shown(row: &Row) -> Result<Shown, Problem> {
    let turns = |key: &str| field(row, key).map(|value| chat(key, value)).transpose();
    let prompt = turns("prompt")?;
    if let Some(messages) = turns("messages")?.or(turns("conversations")?) {
        return Ok(Shown::Trained(RowContent::Chat(messages)));
    }
    if let Some((chosen, rejected)) = turns("chosen")?.zip(turns("rejected")?) {
        return pair(prompt, chosen, rejected).map(Shown::Trained);
    }
    if let Some(text) = field(row, "text").and_then(Value::as_str) {
        return Ok(Shown::Trained(RowContent::Text(text.to_owned())));
    }
    let answer = ANSWERS.iter().find_map(|key| field(row, key).map(|value| chat(key, value))).transpose()?;
    match (prompt, answer) {
        (Some(prompt), Some(answer)) => {
            let messages = [prompt, vec![Message::assistant(last_text(answer))]].concat();
            Ok(Shown::Trained(RowContent::Chat(messages)))
        }
        (Some(prompt), None) => Ok(Shown::Prompt(prompt)),
        (None, _) => Err(Problem::Missing {
            field: "messages`, `chosen` and `rejected`, `prompt` or `text".to_owned(),
            found: row.field_names(),
        }),
    }
}

fn field<'a>(row: &'a Row, key: &str) -> Option<&'a Value> {
    row.fields.get(key).filter(|value| !value.is_null())
}

fn chat(key: &str, value: &Value) -> Result<Vec<Message>, Problem> {
    let found = || value.to_string().chars().take(60).collect();
    read_chat(value).map_err(|expected| Problem::Wrong { field: key.to_owned(), found: found(), expected })
}

/// Without a prompt, both sides are whole conversations, and the prompt is what they have in common.
fn pair(
    prompt: Option<Vec<Message>>,
    mut chosen: Vec<Message>,
    mut rejected: Vec<Message>,
) -> Result<RowContent, Problem> {
    let (better, worse) = (chosen.pop(), rejected.pop());
    let (Some(better), Some(worse)) = (better, worse) else {
        return Err(Problem::Unfit { reason: "`chosen` or `rejected` has no turn".to_owned() });
    };
    let prompt = match prompt {
        Some(prompt) => prompt,
        None if chosen == rejected && chosen.iter().any(|turn| turn.role == Role::User) => chosen,
        None => {
            let reason = "`chosen` and `rejected` differ before their last turn: give the turns before it as `prompt`";
            return Err(Problem::Unfit { reason: reason.to_owned() });
        }
    };
    Ok(RowContent::Pair { prompt, chosen: better.content, rejected: worse.content })
}

fn last_text(mut turns: Vec<Message>) -> String {
    turns.pop().map(|turn| turn.content).unwrap_or_default()
}
