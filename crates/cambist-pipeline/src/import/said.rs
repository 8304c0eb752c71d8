//! What files say that models answered, found by prompt.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use cambist_core::{
    completion::FinishReason,
    prompt::{Message, Prompt},
};
use cambist_io::{
    canonical::canonical_json,
    disk::digest_file,
    formats::{
        Place,
        rows::{Row, RowError, open_rows},
    },
};
use serde_json::{Value, json};

use super::{ImportOptions, shapes};
use crate::{error::PipelineError, verbs::WantedCell};

/// Rows without an answer that are shown, at most; all are counted.
const SHOWN: usize = 10;

/// One answer of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    /// The model, by whatever name the file has; empty when it has none.
    pub model: String,
    /// The prompt.
    pub prompt: Asked,
    /// Which of several answers; by default the next one.
    pub sample: Option<u32>,
    /// The answer.
    pub text: String,
    /// Why it ended, where that is said.
    pub finish: Option<FinishReason>,
    /// Tokens of the request and of the answer.
    pub tokens: (Option<u32>, Option<u32>),
    /// The request to the byte, where the file has it.
    pub exact: Option<Exact>,
    /// File, digest, line.
    pub origin: String,
}

/// How a file names a prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// By nothing.
    #[default]
    Nothing,
    /// By its name.
    Id(String),
    /// By its text, or its turns.
    Text(String),
}

impl Asked {
    /// A text, as it is compared: without white space around it.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.trim().to_owned())
    }

    /// Turns; a single one is its text.
    pub(super) fn turns(turns: &Value) -> Self {
        let content = |turn: &Value| turn.get("content").and_then(Value::as_str).map(str::to_owned);
        match turns.as_array().map(Vec::as_slice) {
            Some([turn]) => content(turn).map_or(Self::Nothing, |text| Self::text(&text)),
            Some(turns) if !turns.is_empty() => {
                let plain = |turn: &Value| json!([turn.get("role"), content(turn)]);
                Self::Text(json!(turns.iter().map(plain).collect::<Vec<_>>()).to_string())
            }
            _ => Self::Nothing,
        }
    }

    fn of(prompt: &Prompt) -> Self {
        let turn = |message: &Message| json!({ "role": message.role, "content": message.content });
        Self::turns(&json!(prompt.messages.iter().map(turn).collect::<Vec<_>>()))
    }
}

/// A request and its reply as they went over the wire.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exact {
    /// The request's body.
    pub request: Value,
    /// The reply's body, where the file has it.
    pub reply: Option<Value>,
}

impl Exact {
    /// Whether the request is `body` but for what changes no answer's meaning: seed, streaming, the user's name.
    pub(super) fn asks_the_same(&self, body: &Value) -> bool {
        let bare = |body: &Value| {
            let mut body = body.clone();
            if let Some(members) = body.as_object_mut() {
                members.retain(|name, value| {
                    !matches!(name.as_str(), "seed" | "stream" | "stream_options" | "user") && !value.is_null()
                });
                if members.get("n").is_some_and(|n| *n == 1) {
                    members.shift_remove("n");
                }
            }
            canonical_json(&body)
        };
        bare(&self.request) == bare(body)
    }
}

/// All answers of all files.
#[derive(Debug, Default)]
pub(super) struct Sayings {
    by_prompt: HashMap<(String, Asked), BTreeMap<u32, Said>>,
    pub(super) n_answers: u64,
    pub(super) n_broken: u64,
    pub(super) broken: Vec<String>,
}

impl Sayings {
    /// Reads files; rows without an answer are counted, not errors.
    pub(super) fn read(options: &ImportOptions) -> Result<Self, PipelineError> {
        let mut sayings = Self::default();
        for path in &options.files {
            sayings.file(options, path)?;
        }
        Ok(sayings)
    }

    fn file(&mut self, options: &ImportOptions, path: &Path) -> Result<(), PipelineError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digest = digest_file(path)?;
        for row in open_rows(path)? {
            let row = match row {
                Ok(row) => row,
                Err(RowError::File(error)) => return Err(error.into()),
                Err(RowError::Row(fault)) => {
                    self.refuse(&name, fault.place, &fault.problem.to_string());
                    continue;
                }
            };
            let Row { place, fields } = row;
            let said = shapes::read(options.format, &fields, &name);
            let kept = said.and_then(|said| said.into_iter().map(|said| complete(options, said)).collect());
            match kept {
                Ok(all) => {
                    let all: Vec<Said> = all;
                    let origin = format!("import:{name}@{digest}:{}", number(place));
                    all.into_iter().for_each(|said| self.keep(Said { origin: origin.clone(), ..said }));
                }
                Err(reason) => self.refuse(&name, place, &reason),
            }
        }
        Ok(())
    }

    fn keep(&mut self, said: Said) {
        self.n_answers += 1;
        let of_prompt = self.by_prompt.entry((said.model.clone(), said.prompt.clone())).or_default();
        let next = of_prompt.last_key_value().map_or(0, |(last, _)| last + 1);
        of_prompt.entry(said.sample.unwrap_or(next)).or_insert(said);
    }

    fn refuse(&mut self, name: &str, place: Place, reason: &str) {
        self.n_broken += 1;
        if self.broken.len() < SHOWN {
            self.broken.push(format!("{name}:{}: {reason}", number(place)));
        }
    }

    /// Takes out what is said of a cell.
    pub(super) fn take(&mut self, cell: &WantedCell<'_>) -> Option<Said> {
        let names = [Asked::Id(cell.prompt.id.clone()), Asked::of(cell.prompt)];
        for model in [cell.teacher, cell.model()] {
            for name in &names {
                let of_prompt = self.by_prompt.get_mut(&(model.to_owned(), name.clone()));
                if let Some(said) = of_prompt.and_then(|of_prompt| of_prompt.remove(&cell.sample)) {
                    return Some(said);
                }
            }
        }
        None
    }

    /// How many answers by whom nobody took.
    pub(super) fn left(&self) -> BTreeMap<String, u64> {
        let mut left = BTreeMap::new();
        for ((model, _), of_prompt) in self.by_prompt.iter().filter(|(_, of_prompt)| !of_prompt.is_empty()) {
            *left.entry(model.clone()).or_default() += of_prompt.len() as u64;
        }
        left
    }
}

/// Fills in the teacher that the user names, and refuses an answer by nobody or to nothing.
fn complete(options: &ImportOptions, said: Said) -> Result<Said, String> {
    let model = options.teacher.clone().unwrap_or_else(|| said.model.clone());
    if model.is_empty() {
        return Err("no model is named; expected `model`, or --teacher".to_owned());
    }
    if said.prompt == Asked::Nothing {
        return Err("no prompt is named; expected `prompt_id`, `prompt` or `messages`".to_owned());
    }
    Ok(Said { model, ..said })
}

fn number(place: Place) -> u64 {
    match place {
        Place::Line(number) | Place::Row(number) => number,
    }
}
