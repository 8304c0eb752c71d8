//! Answers and scores that somebody recorded.

use std::{collections::HashMap, path::Path};

use cambist_core::score::Score;
use serde::{Deserialize, Serialize};

use super::{
    Place, Problem, Result, RowFault,
    columns::{NamedColumns, Wanted},
    fault::collect_rows,
    rows::{Row, open_rows},
};

/// Which column of recorded answers or scores holds what. What is not named is looked for under its usual names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordedColumns {
    /// The prompt's name; usually `prompt_id`, `question_id`, `instruction_id` or `id`.
    pub prompt_id: Option<String>,
    /// Who answered; usually `teacher`, `model`, `model_id` or `generator`.
    pub teacher: Option<String>,
    /// Which of several answers, from 0; usually `sample`. Where there is none, every answer is the first.
    pub sample: Option<String>,
    /// Which turn of a conversation, from 1; usually `turn`. Rows of later turns are left out.
    pub turn: Option<String>,
    /// The answer; usually `text`, `completion`, `response`, `output`, `answer` or `turns`, of which the first is read.
    pub text: Option<String>,
    /// The score; usually `score`, `value`, `reward` or `rating`. True is 1, false is 0.
    pub score: Option<String>,
    /// Who scored; usually `arbiter` or `judge`.
    pub arbiter: Option<String>,
    /// The probability with which the answer was asked for; usually `propensity`.
    pub propensity: Option<String>,
}

/// An answer that somebody recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// The prompt.
    pub prompt_id: String,
    /// Who answered.
    pub teacher: String,
    /// Which of the teacher's answers, from 0.
    pub sample: u32,
    /// The answer, untrimmed; none where the record has none. An empty answer is an answer.
    pub text: Option<String>,
}

/// Reads recorded answers from any container, in the order of the file.
///
/// # Errors
/// Faults of rows are told together; two answers with one prompt, teacher and sample are a fault.
pub fn read_answers(path: &Path, columns: &RecordedColumns) -> Result<Vec<RecordedAnswer>> {
    read_answers_where(path, columns, |_| true)
}

/// Reads the recorded answers of one teacher as [`read_answers`] does; what others answered is not held in memory.
///
/// # Errors
/// As [`read_answers`]; of two answers of others under one name nothing is told.
pub fn read_answers_of(path: &Path, columns: &RecordedColumns, teacher: &str) -> Result<Vec<RecordedAnswer>> {
    read_answers_where(path, columns, |of| of == teacher)
}

fn read_answers_where(
    path: &Path,
    columns: &RecordedColumns,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<RecordedAnswer>> {
    let text = Wanted::new(&columns.text, &["text", "completion", "response", "output", "answer", "turns"]);
    read_first_turns(path, columns, |row| {
        let (prompt_id, teacher, sample) = columns.read_cell(row)?;
        if !is_wanted(&teacher) {
            return Ok(None);
        }
        if !text.is_column(row) {
            return Err(text.missing(row));
        }
        let text = text.text_or_blank(row)?;
        let name = format!("{prompt_id} by {teacher}, sample {sample}");
        Ok(Some((name, RecordedAnswer { prompt_id, teacher, sample, text })))
    })
}

/// Reads recorded scores from any container, in the order of the file; null is missing, never 0.
///
/// `arbiter` names who scored where the file does not.
///
/// # Errors
/// Faults of rows are told together; two scores with one prompt, teacher, sample and arbiter are a fault.
pub fn read_scores(path: &Path, columns: &RecordedColumns, arbiter: &str) -> Result<Vec<Score>> {
    let value = Wanted::new(&columns.score, &["score", "value", "reward", "rating"]);
    let judge = Wanted::new(&columns.arbiter, &["arbiter", "judge"]);
    read_first_turns(path, columns, |row| {
        let (prompt_id, teacher, sample) = columns.read_cell(row)?;
        let arbiter = judge.text(row)?.unwrap_or_else(|| arbiter.to_owned());
        if !value.is_column(row) {
            return Err(value.missing(row));
        }
        let found = value.number(row)?;
        let missing = found.is_none().then(|| "no score in the record".to_owned());
        let name = format!("{prompt_id} by {teacher}, sample {sample}, scored by {arbiter}");
        Ok(Some((name, Score { prompt_id, teacher, sample, arbiter, value: found, missing })))
    })
}

/// The probability with which an answer was asked for, as somebody recorded it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedPropensity {
    /// The prompt.
    pub prompt_id: String,
    /// Who was asked.
    pub teacher: String,
    /// The probability.
    pub propensity: f64,
}

/// Reads the propensities that stand beside recorded answers or scores, of first samples; nothing where no row has one.
///
/// # Errors
/// Faults of rows are told together.
pub fn read_propensities(path: &Path, columns: &RecordedColumns) -> Result<Vec<RecordedPropensity>> {
    let value = Wanted::new(&columns.propensity, &["propensity"]);
    let judge = Wanted::new(&columns.arbiter, &["arbiter", "judge"]);
    read_first_turns(path, columns, |row| {
        let (prompt_id, teacher, sample) = columns.read_cell(row)?;
        let Some(propensity) = value.number(row)?.filter(|_| sample == 0) else { return Ok(None) };
        let name = format!("{prompt_id} by {teacher}, scored by {}", judge.text(row)?.unwrap_or_default());
        Ok(Some((name, RecordedPropensity { prompt_id, teacher, propensity })))
    })
}

/// Reads the rows of first turns that are wanted; every one has a name of its own.
fn read_first_turns<T>(
    path: &Path,
    columns: &RecordedColumns,
    read: impl Fn(&Row) -> std::result::Result<Option<(String, T)>, RowFault>,
) -> Result<Vec<T>> {
    let mut named = NamedColumns::new(columns.named());
    let mut names: HashMap<String, Place> = HashMap::new();
    let records = collect_rows(open_rows(path)?, |row| {
        named.watch(&row);
        if Wanted::new(&columns.turn, &["turn"]).count(&row)?.is_some_and(|turn| turn != 1) {
            return Ok(None);
        }
        let Some((name, record)) = read(&row)? else { return Ok(None) };
        match names.get(&name) {
            Some(first) => Err(row.fault(Problem::DuplicateId { id: name, first: *first })),
            None => {
                names.insert(name, row.place);
                Ok(Some(record))
            }
        }
    });
    named.check(path)?;
    Ok(records?.into_iter().flatten().collect())
}

impl RecordedColumns {
    fn named(&self) -> impl Iterator<Item = &String> {
        let cell = [&self.prompt_id, &self.teacher, &self.sample, &self.turn];
        cell.into_iter().chain([&self.text, &self.score, &self.arbiter, &self.propensity]).flatten()
    }

    fn read_cell(&self, row: &Row) -> std::result::Result<(String, String, u32), RowFault> {
        let ids = ["prompt_id", "question_id", "instruction_id", "id"];
        let prompt_id = Wanted::new(&self.prompt_id, &ids).required_text(row)?;
        let teachers = ["teacher", "model", "model_id", "generator"];
        let teacher = Wanted::new(&self.teacher, &teachers).required_text(row)?;
        let sample = Wanted::new(&self.sample, &["sample"]).count(row)?.unwrap_or(0);
        Ok((prompt_id, teacher, sample))
    }
}
