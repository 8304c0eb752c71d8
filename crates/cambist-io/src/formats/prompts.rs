//! Prompts from the files that people have.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::Path,
};

use cambist_core::{
    check::Check,
    language::Language,
    prompt::{Message, Prompt, Role},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    FormatError, Place, Problem, Result, RowFault,
    chat::read_chat,
    columns::{NamedColumns, Wanted, wrong},
    fault::collect_rows,
    rows::{Row, RowError, RowStream, open_rows},
};

/// The shapes that are read, for errors and help.
pub const PROMPT_SHAPES: &str = "`messages` (OpenAI), `conversations` (ShareGPT), `instruction` with `input` and \
    `output` (Alpaca), `instruction` or `prompt` with `completions` or `chosen` (UltraFeedback), `prompt`, \
    `instruction`, `turns`, `question`, `inputs` or `text`; or name the column";

/// Which column of a file of prompts holds what. What is not named is looked for under its usual names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptColumns {
    /// The prompt's name; usually `id`, `prompt_id`, `question_id`, `instruction_id` or `uuid`.
    pub id: Option<String>,
    /// What the translations of one prompt share; usually `source_id` or `parallel_id`.
    pub source_id: Option<String>,
    /// The BCP-47 tag; usually `language_code`, `language` or `lang`.
    pub language: Option<String>,
    /// Text, a chat, or a list of turns of which the first is read; see [`PROMPT_SHAPES`].
    pub prompt: Option<String>,
    /// A known good answer; usually `reference`, `reference_answer`, `answer`, `targets`, `output` or `response`.
    pub reference: Option<String>,
    /// What kind of task it is; usually `task`, `task_type` or `category`.
    pub task: Option<String>,
    /// One column of text per language: every row is then as many prompts, translations of each other.
    pub translations: BTreeMap<Language, String>,
}

/// A prompt as a file gives it: what the file does not say is none.
#[derive(Clone, Debug, PartialEq)]
pub struct RawPrompt {
    /// Where it stands in its file.
    pub place: Place,
    /// Its name, unique in the file.
    pub id: Option<String>,
    /// What its translations share.
    pub source_id: Option<String>,
    /// The language that it is written in.
    pub language: Option<Language>,
    /// The language that the answer should have.
    pub answer_language: Option<Language>,
    /// The turns so far; the last is the user's.
    pub messages: Vec<Message>,
    /// What kind of task it is.
    pub task: Option<String>,
    /// A known good answer; where the file names none, the assistant's turn at the end of a chat.
    pub reference: Option<String>,
    /// An exact checker.
    pub check: Option<Check>,
    /// The set that it came from, as the file says.
    pub source: Option<String>,
}

impl RawPrompt {
    /// Returns the prompt with `language` and `name` where the file has none of its own; without a source id of its
    /// own it is its own source.
    pub fn into_prompt(self, language: Language, name: impl Into<String>) -> Prompt {
        let id = self.id.unwrap_or_else(|| name.into());
        Prompt {
            source_id: self.source_id.unwrap_or_else(|| id.clone()),
            id,
            language: self.language.unwrap_or(language),
            answer_language: self.answer_language,
            messages: self.messages,
            task: self.task,
            reference: self.reference,
            check: self.check,
            source: self.source.unwrap_or_default(),
            origin: None,
            mt_engine: None,
        }
    }
}

/// Reads prompts from any container and shape, in the order of the file.
///
/// # Errors
/// Faults of rows are told together; rows of no known shape name the fields found and [`PROMPT_SHAPES`]; a column that
/// `columns` names and no row has is [`FormatError::NoColumn`].
pub fn read_prompts(path: &Path, columns: &PromptColumns) -> Result<Vec<RawPrompt>> {
    let mut named = NamedColumns::new(columns.named());
    let mut names = HashMap::new();
    let prompts = collect_rows(open_rows(path)?, |row| {
        named.watch(&row);
        let prompts = columns.read(&row)?;
        prompts.iter().try_for_each(|prompt| check_new(&mut names, prompt, &row))?;
        Ok(prompts)
    });
    named.check(path)?;
    let prompts = prompts.map_err(|error| match error {
        FormatError::Rows { path, faults, n_faults } => FormatError::of_rows(path, faults, n_faults),
        other => other,
    });
    Ok(prompts?.into_iter().flatten().collect())
}

/// The prompts of one file as they come, for files that do not fit into memory; names are not compared.
pub struct PromptStream<'a> {
    rows: RowStream,
    columns: &'a PromptColumns,
    named: NamedColumns,
    waiting: VecDeque<RawPrompt>,
}

impl<'a> PromptStream<'a> {
    /// Opens a file as [`read_prompts`] does.
    ///
    /// # Errors
    /// When there is no such file, it has no bytes, or it is in no known format.
    pub fn open(path: &Path, columns: &'a PromptColumns) -> Result<Self> {
        let named = NamedColumns::new(columns.named());
        Ok(Self { rows: open_rows(path)?, columns, named, waiting: VecDeque::new() })
    }

    /// Refuses a file in which a column that `columns` names was in no row: to be asked at the end, or before faults
    /// are told, which it explains better.
    ///
    /// # Errors
    /// [`FormatError::NoColumn`].
    pub fn check_columns(&self) -> Result<()> {
        self.named.check(self.rows.path())
    }
}

impl Iterator for PromptStream<'_> {
    type Item = std::result::Result<RawPrompt, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.waiting.is_empty() {
            let prompts = self.rows.next()?.and_then(|row| {
                self.named.watch(&row);
                self.columns.read(&row).map_err(RowError::Row)
            });
            match prompts {
                Ok(prompts) => self.waiting.extend(prompts),
                Err(error) => return Some(Err(error)),
            }
        }
        self.waiting.pop_front().map(Ok)
    }
}

fn check_new(names: &mut HashMap<String, Place>, prompt: &RawPrompt, row: &Row) -> std::result::Result<(), RowFault> {
    let Some(id) = &prompt.id else { return Ok(()) };
    match names.insert(id.clone(), row.place) {
        None => Ok(()),
        Some(first) => {
            names.insert(id.clone(), first);
            Err(row.fault(Problem::DuplicateId { id: id.clone(), first }))
        }
    }
}

impl PromptColumns {
    fn named(&self) -> impl Iterator<Item = &String> {
        let single = [&self.id, &self.source_id, &self.language, &self.prompt, &self.reference, &self.task];
        single.into_iter().flatten().chain(self.translations.values())
    }

    fn read(&self, row: &Row) -> std::result::Result<Vec<RawPrompt>, RowFault> {
        let common = self.read_all_but_messages(row)?;
        if self.translations.is_empty() {
            let (messages, answer) = self.read_messages(row)?;
            let reference = common.reference.clone().or(answer);
            return Ok(vec![RawPrompt { messages, reference, ..common }]);
        }
        let translate = |(language, column): (&Language, &String)| {
            let text = Wanted { named: Some(column), usual: &[] }.required_text(row)?;
            Ok(RawPrompt {
                id: common.id.as_ref().map(|id| format!("{id}-{language}")),
                source_id: common.source_id.clone().or_else(|| common.id.clone()),
                language: Some(language.clone()),
                messages: vec![Message::user(text)],
                ..common.clone()
            })
        };
        self.translations.iter().map(translate).collect()
    }

    fn read_all_but_messages(&self, row: &Row) -> std::result::Result<RawPrompt, RowFault> {
        let usual_id: Vec<&str> = ["id", "prompt_id", "question_id", "instruction_id", "uuid"]
            .into_iter()
            .filter(|name| self.named().all(|taken| taken != name))
            .collect();
        Ok(RawPrompt {
            place: row.place,
            id: Wanted::new(&self.id, &usual_id).text(row)?,
            source_id: Wanted::new(&self.source_id, &["source_id", "parallel_id"]).text(row)?,
            language: read_language(row, Wanted::new(&self.language, &["language_code", "language", "lang"]))?,
            answer_language: read_language(row, Wanted::new(&None, &["answer_language"]))?,
            messages: Vec::new(),
            task: Wanted::new(&self.task, &["task", "task_type", "category"]).text(row)?,
            reference: Wanted::new(&self.reference, REFERENCES).text(row)?,
            check: read_check(row)?,
            source: Wanted::new(&None, &["source", "dataset"]).text(row)?,
        })
    }

    /// Returns the turns up to the user's last one, and the answer behind them if there is one.
    fn read_messages(&self, row: &Row) -> std::result::Result<(Vec<Message>, Option<String>), RowFault> {
        let wanted = Wanted::new(&self.prompt, PROMPTS);
        let Some((field, value)) = wanted.find(row) else {
            let known = self.prompt.is_some() || PROMPTS.iter().any(|name| row.fields.contains_key(*name));
            let unknown = Problem::UnknownShape { found: row.field_names(), expected: PROMPT_SHAPES };
            return Err(if known { wanted.missing(row) } else { row.fault(unknown) });
        };
        let not_a_chat = |expected: String| row.fault(wrong(field, value, &expected));
        let mut messages = read_chat(value).map_err(not_a_chat)?;
        if field == "instruction" {
            add_alpaca_context(row, &mut messages);
        }
        add_system(row, &mut messages);
        let answer = messages.pop_if(|last| last.role == Role::Assistant).map(|last| last.content);
        let answer = answer.or_else(|| chosen_answer(row));
        match messages.last() {
            Some(last) if last.role == Role::User && !last.content.trim().is_empty() => {
                Ok((messages, answer.filter(|text| !text.is_empty())))
            }
            _ => Err(not_a_chat("a user's turn with text at the end, an answer may follow".to_owned())),
        }
    }
}

const PROMPTS: &[&str] = &[
    "messages",
    "conversations",
    "conversation",
    "prompt",
    "instruction",
    "turns",
    "question",
    "inputs",
    "text",
    "chosen",
];

const REFERENCES: &[&str] = &["reference", "reference_answer", "answer", "targets", "output", "response"];

fn read_language(row: &Row, wanted: Wanted<'_>) -> std::result::Result<Option<Language>, RowFault> {
    let (Some(tag), Some((field, value))) = (wanted.text(row)?, wanted.find(row)) else { return Ok(None) };
    let expected = "a BCP-47 tag such as `en`, `uk` or `zh-hant`";
    Language::parse(&tag).map(Some).map_err(|_| row.fault(wrong(field, value, expected)))
}

fn read_check(row: &Row) -> std::result::Result<Option<Check>, RowFault> {
    let Some(value) = row.fields.get("check").filter(|value| !value.is_null()) else { return Ok(None) };
    let check = match value {
        Value::String(text) => serde_json::from_str(text),
        other => serde_json::from_value(other.clone()),
    };
    check.map(Some).map_err(|_| row.fault(wrong("check", value, "`{\"one-of\": [\"an answer\", ...]}`")))
}

/// Alpaca's `input` stands behind the instruction, its `history` of question and answer in front.
fn add_alpaca_context(row: &Row, messages: &mut Vec<Message>) {
    let input = row.fields.get("input").and_then(Value::as_str).filter(|text| !text.is_empty());
    if let (Some(input), Some(last)) = (input, messages.last_mut()) {
        last.content.push_str("\n\n");
        last.content.push_str(input);
    }
    let history = row.fields.get("history").and_then(Value::as_array).into_iter().flatten();
    let turns = history.filter_map(|pair| Some((pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)));
    let earlier = turns.flat_map(|(asked, answered)| [Message::user(asked), Message::assistant(answered)]);
    messages.splice(0..0, earlier.collect::<Vec<_>>());
}

/// A system prompt in a column of its own stands in front of a chat that has none.
fn add_system(row: &Row, messages: &mut Vec<Message>) {
    let column = ["system", "system_prompt"].into_iter().find_map(|name| row.fields.get(name)?.as_str());
    let is_new = messages.first().is_none_or(|first| first.role != Role::System);
    if let Some(content) = column.filter(|text| !text.is_empty() && is_new) {
        messages.insert(0, Message { role: Role::System, content: content.to_owned() });
    }
}

/// The preferred answer of a preference pair.
fn chosen_answer(row: &Row) -> Option<String> {
    let chosen = row.fields.get("chosen")?;
    match chosen {
        Value::String(text) => Some(text.clone()),
        chat => read_chat(chat).ok()?.pop().filter(|last| last.role == Role::Assistant).map(|last| last.content),
    }
}
