//! Files of rows to train on: which fields make what.

use std::path::Path;

use cambist_core::{
    identify::identify,
    language::Language,
    prompt::{Message, Role},
};
use cambist_io::formats::{
    FormatError, MAX_FAULTS, Problem, files_of, read_chat,
    rows::{Row, RowError, open_rows},
};
use cambist_model::{RowContent, TrainRow};
use serde_json::Value;

use crate::error::PipelineError;

/// What a row holds.
pub(crate) enum Shown {
    /// What training sees.
    Trained(RowContent),
    /// What an answer is generated from.
    Prompt(Vec<Message>),
}

/// A row of a file.
pub(crate) struct FileRow {
    pub row: TrainRow,
    /// The kind of task, where the file says.
    pub task: Option<String>,
}

/// Letters of a text by which its language is told.
const LOOKED_AT: usize = 2000;

/// Reads the rows of a file, folder or pattern; a language that a row does not name (`language` or `lang`) is told from its
/// answer, else from its prompt.
///
/// # Errors
/// When nothing is there, or rows hold nothing to train on: the first of them are told.
pub(crate) fn read(source: &Path) -> Result<Vec<FileRow>, PipelineError> {
    let files = files_of(source).map_err(FormatError::from)?;
    let mut rows = Vec::new();
    for file in &files {
        let (mut faults, mut n_faults) = (Vec::new(), 0);
        for row in open_rows(file)? {
            let read = match row {
                Ok(row) => file_row(&row, (file, files.len())).map_err(|problem| row.fault(problem)),
                Err(RowError::Row(fault)) => Err(fault),
                Err(RowError::File(error)) => return Err(error.into()),
            };
            match read {
                Ok(row) => rows.push(row),
                Err(fault) => {
                    n_faults += 1;
                    faults.extend((n_faults <= MAX_FAULTS).then_some(fault));
                }
            }
        }
        if n_faults > 0 {
            return Err(FormatError::of_rows(file.clone(), faults, n_faults).into());
        }
    }
    Ok(rows)
}

fn file_row(row: &Row, (file, n_files): (&Path, usize)) -> Result<FileRow, Problem> {
    let content = match shown(row)? {
        Shown::Trained(content) => content,
        Shown::Prompt(_) => {
            let field = ANSWERS.join("`, `");
            return Err(Problem::Missing { field, found: row.field_names() });
        }
    };
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    let id = if n_files == 1 { name(row) } else { format!("{file}, {}", name(row)) };
    let number = |key: &str| field(row, key).and_then(Value::as_f64);
    let scores = || {
        Some(
            number("chosen_score").or(number("score_chosen"))?
                - number("rejected_score").or(number("score_rejected"))?,
        )
    };
    let margin = number("margin").or_else(scores);
    let task = field(row, "task").and_then(Value::as_str).map(str::to_owned);
    let (language, weight) = (language_of(row, &content)?, 1.0);
    Ok(FileRow { row: TrainRow { id, language, weight, margin, content }, task })
}

fn language_of(row: &Row, content: &RowContent) -> Result<Language, Problem> {
    let named = ["language", "lang"].into_iter().find_map(|key| Some((key, field(row, key)?.as_str()?)));
    if let Some((key, tag)) = named {
        let wrong = |_| Problem::Wrong {
            field: key.to_owned(),
            found: format!("`{tag}`"),
            expected: "a BCP-47 tag such as `de` or `pt-BR`".to_owned(),
        };
        return Language::parse(tag).map_err(wrong);
    }
    let last = |messages: &[Message]| messages.iter().rev().map(|m| m.content.clone()).collect::<Vec<_>>();
    let texts = match content {
        RowContent::Text(text) => vec![text.clone()],
        RowContent::Chat(messages) => last(messages),
        RowContent::Pair { prompt, chosen, .. } => [vec![chosen.clone()], last(prompt)].concat(),
        RowContent::Unpaired { prompt, completion, .. } => [vec![completion.clone()], last(prompt)].concat(),
    };
    let start = |text: &String| text.chars().take(LOOKED_AT).collect::<String>();
    let found = texts.iter().find_map(|text| identify(&start(text)));
    found.map(|found| found.language).ok_or_else(|| Problem::Unfit {
        reason: "no text has a letter to tell its language by: give it as `language`".to_owned(),
    })
}

/// What names a row: its `id`, else where it stands.
pub(crate) fn name(row: &Row) -> String {
    row.fields.get("id").and_then(Value::as_str).map_or_else(|| row.place.to_string(), str::to_owned)
}

/// What the assistant's side of a row may be called.
const ANSWERS: [&str; 4] = ["completion", "response", "answer", "reference"];

/// Returns what a row holds: `messages` are a conversation, `chosen` and `rejected` a pair (with `prompt`, or both whole
/// conversations), `prompt` and `completion` (or `response`, `answer`, `reference`) a conversation of two turns, with a
/// `label` that is true or false an answer that is wanted or not, `prompt` alone something to answer, `text` a document.
///
/// # Errors
/// When the fields make none of these.
pub(crate) fn shown(row: &Row) -> Result<Shown, Problem> {
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
    match (prompt, answer.map(last_text), field(row, "label").and_then(label)) {
        (Some(prompt), Some(completion), Some(desirable)) => {
            Ok(Shown::Trained(RowContent::Unpaired { prompt, completion, desirable }))
        }
        (Some(prompt), Some(answer), None) => {
            Ok(Shown::Trained(RowContent::Chat([prompt, vec![Message::assistant(answer)]].concat())))
        }
        (Some(prompt), None, _) => Ok(Shown::Prompt(prompt)),
        (None, ..) => Err(Problem::Missing {
            field: "messages`, `chosen` and `rejected`, `prompt` or `text".to_owned(),
            found: row.field_names(),
        }),
    }
}

fn field<'a>(row: &'a Row, key: &str) -> Option<&'a Value> {
    row.fields.get(key).filter(|value| !value.is_null())
}

/// True or false, as JSON or as tables write it; none for classes of another kind.
fn label(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(label) => Some(*label),
        Value::Number(number) => [false, true].into_iter().find(|label| number.as_u64() == Some(u64::from(*label))),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn rows(lines: &str) -> Result<Vec<FileRow>, PipelineError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, lines).unwrap();
        read(&path)
    }

    #[test]
    fn shapes_of_trl_are_rows_to_train_on() {
        let lines = [
            r#"{"prompt": [{"role": "user", "content": "Wie heißt das?"}], "completion": [{"role": "assistant", "content": "Das ist ein Haus."}], "label": true}"#,
            r#"{"id": "b", "lang": "tr", "prompt": "?", "completion": "Ev", "label": false}"#,
            r#"{"language": "de", "prompt": "?", "chosen": "ja", "rejected": "nein", "score_chosen": 2.5, "score_rejected": 1}"#,
            r#"{"language": "de", "prompt": "?", "completion": "ja", "label": "greeting", "task": "chat"}"#,
        ];
        let rows = rows(&lines.join("\n")).unwrap();
        let unpaired = |row: &FileRow| match &row.row.content {
            RowContent::Unpaired { prompt, completion, desirable } => (prompt.len(), completion.clone(), *desirable),
            other => panic!("{other:?}"),
        };
        assert_eq!(unpaired(&rows[0]), (1, "Das ist ein Haus.".to_owned(), true));
        assert_eq!((rows[0].row.id.as_str(), rows[0].row.language.as_str()), ("line 1", "de"));
        assert_eq!(unpaired(&rows[1]), (1, "Ev".to_owned(), false));
        assert_eq!((rows[1].row.id.as_str(), rows[1].row.language.as_str()), ("b", "tr"));
        assert_eq!(rows[2].row.margin, Some(1.5));
        assert!(matches!(rows[3].row.content, RowContent::Chat(_)) && rows[3].task.as_deref() == Some("chat"));
    }

    #[test]
    fn rows_without_anything_to_learn_are_told_together() {
        let lines = [
            r#"{"prompt": "Wer?"}"#,
            r#"{"prompt": "1", "completion": "2", "label": true}"#,
            r#"{"prompt": "Wer?", "completion": "Ich", "language": "not a tag"}"#,
        ];
        let error = rows(&lines.join("\n")).err().unwrap().to_string();
        for part in [
            "line 1: field `completion`",
            "line 2: no text has a letter",
            "line 3: field `language`: found `not a tag`",
        ] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }
}
