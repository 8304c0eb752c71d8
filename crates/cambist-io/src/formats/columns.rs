//! Which column of a row holds what: as the user says, else by its usual names.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use super::{FormatError, Problem, Result, RowFault, rows::Row};

/// Where one thing stands: in the column that the user names, else in the first of its usual ones that is not empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) named: Option<&'a str>,
    pub(super) usual: &'a [&'a str],
}

impl<'a> Wanted<'a> {
    pub(super) fn new(named: &'a Option<String>, usual: &'a [&'a str]) -> Self {
        Self { named: named.as_deref(), usual }
    }

    /// Returns the column and what it holds; none when every candidate is missing or null.
    pub(super) fn find<'r>(&self, row: &'r Row) -> Option<(&'r str, &'r Value)> {
        let named = self.named.into_iter();
        let usual = self.usual.iter().copied().filter(|_| self.named.is_none());
        let mut held = named.chain(usual).filter_map(|name| row.fields.get_key_value(name));
        held.find(|(_, value)| !value.is_null()).map(|(name, value)| (name.as_str(), value))
    }

    /// Whether one of the candidates is a column of the row, whatever it holds.
    pub(super) fn is_column(&self, row: &Row) -> bool {
        match self.named {
            Some(name) => row.fields.contains_key(name),
            None => self.usual.iter().any(|name| row.fields.contains_key(*name)),
        }
    }

    /// Returns a text, with numbers and truth values spelled out; of a list of texts the first.
    pub(super) fn text_or_blank(&self, row: &Row) -> std::result::Result<Option<String>, RowFault> {
        let Some((field, value)) = self.find(row) else { return Ok(None) };
        let first = value.as_array().map_or(Some(value), |list| list.first());
        match first {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(plain @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(plain.to_string())),
            Some(other) if self.named.is_some() => Err(row.fault(wrong(field, other, "text"))),
            Some(_) => Ok(None),
        }
    }

    /// As [`Wanted::text_or_blank`], where an empty text says as little as none.
    pub(super) fn text(&self, row: &Row) -> std::result::Result<Option<String>, RowFault> {
        Ok(self.text_or_blank(row)?.filter(|text| !text.is_empty()))
    }

    /// Returns a text that has to be there.
    pub(super) fn required_text(&self, row: &Row) -> std::result::Result<String, RowFault> {
        self.text(row)?.ok_or_else(|| self.missing(row))
    }

    /// Returns a whole number from 0; none when missing.
    pub(super) fn count(&self, row: &Row) -> std::result::Result<Option<u32>, RowFault> {
        let Some((field, value)) = self.find(row) else { return Ok(None) };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let count = text.trim().parse().map_err(|_| row.fault(wrong(field, value, "a whole number from 0")))?;
        Ok(Some(count))
    }

    /// Returns a finite number, truth values as 1 and 0; none when missing.
    pub(super) fn number(&self, row: &Row) -> std::result::Result<Option<f64>, RowFault> {
        let Some((field, value)) = self.find(row) else { return Ok(None) };
        let number = match value {
            Value::Bool(is_right) => Some(f64::from(*is_right)),
            Value::Number(number) => number.as_f64(),
            Value::String(text) => read_number(text.trim()),
            _ => None,
        };
        let expected = "a finite number, `true`, `false` or nothing";
        let finite = number.filter(|number| number.is_finite());
        finite.map(Some).ok_or_else(|| row.fault(wrong(field, value, expected)))
    }

    /// The fault of a row that has it nowhere.
    pub(super) fn missing(&self, row: &Row) -> RowFault {
        let field = self.named.or_else(|| self.usual.first().copied()).unwrap_or_default().to_owned();
        row.fault(Problem::Missing { field, found: row.field_names() })
    }
}

fn read_number(text: &str) -> Option<f64> {
    match text {
        "true" | "True" | "TRUE" => Some(1.0),
        "false" | "False" | "FALSE" => Some(0.0),
        _ => text.parse().ok(),
    }
}

/// Says what a field holds in a few words.
pub(super) fn wrong(field: &str, value: &Value, expected: &str) -> Problem {
    const SHOWN: usize = 60;
    let whole = value.to_string();
    let mut shown: String = whole.chars().take(SHOWN).collect();
    if shown.len() < whole.len() {
        shown.push('…');
    }
    Problem::Wrong { field: field.to_owned(), found: format!("`{shown}`"), expected: expected.to_owned() }
}

/// Watches whether the columns that the user names are anywhere in the file.
#[derive(Debug)]
pub(super) struct NamedColumns {
    unseen: BTreeSet<String>,
    first: Option<Vec<String>>,
}

impl NamedColumns {
    pub(super) fn new<'a>(named: impl IntoIterator<Item = &'a String>) -> Self {
        Self { unseen: named.into_iter().cloned().collect(), first: None }
    }

    pub(super) fn watch(&mut self, row: &Row) {
        self.first.get_or_insert_with(|| row.fields.keys().cloned().collect());
        self.unseen.retain(|name| !row.fields.contains_key(name));
    }

    /// Refuses a file in which a named column was in no row; that explains faults of its rows better than they do.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        match (self.unseen.first(), &self.first) {
            (Some(column), Some(found)) => {
                Err(FormatError::NoColumn { path: path.to_owned(), column: column.clone(), found: found.clone() })
            }
            _ => Ok(()),
        }
    }
}
