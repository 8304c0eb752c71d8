//! JSON: one row per line, or one array.

use std::{
    fmt,
    io::{BufRead, Read as _},
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{FormatError, Place, Problem, Result, Row, RowError, RowFault, container::read_failed};

/// The longest line that is read; longer ones are faults, not memory.
const MAX_LINE: usize = 64 << 20;

/// Rows of a text with one JSON object per line. Lines end at `\n` alone: U+2028 and its like are text.
pub(super) struct JsonLines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    n_lines: u64,
    is_done: bool,
}

impl JsonLines {
    pub(super) fn new(path: PathBuf, reader: Box<dyn BufRead>) -> Self {
        Self { path, reader, line: Vec::new(), n_lines: 0, is_done: false }
    }

    /// Reads the next line; false at the end.
    fn advance(&mut self) -> std::io::Result<bool> {
        self.line.clear();
        self.n_lines += 1;
        let limit = MAX_LINE as u64 + 1;
        Ok(self.reader.by_ref().take(limit).read_until(b'\n', &mut self.line)? > 0)
    }

    fn parse(&mut self) -> std::result::Result<Row, RowError> {
        let place = Place::Line(self.n_lines);
        let fault = |problem| RowError::Row(RowFault { place, problem });
        if self.line.len() > MAX_LINE {
            if self.line.last() != Some(&b'\n') {
                self.reader.skip_until(b'\n').map_err(|source| RowError::File(read_failed(&self.path, source)))?;
            }
            self.line = Vec::new();
            return Err(fault(Problem::TooLong { limit: MAX_LINE }));
        }
        let text = str::from_utf8(&self.line)
            .map_err(|error| fault(Problem::InvalidUtf8 { byte: error.valid_up_to() + 1 }))?;
        let fields = serde_json::from_str::<Fields>(text).map_err(|error| {
            let reason = explain(text, &error);
            fault(Problem::Json { column: error.column(), reason })
        })?;
        Ok(Row { place, fields: fields.0 })
    }
}

impl Iterator for JsonLines {
    type Item = std::result::Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_done {
            match self.advance() {
                Ok(true) if self.line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(true) => return Some(self.parse()),
                Ok(false) => self.is_done = true,
                Err(source) => {
                    self.is_done = true;
                    return Some(Err(RowError::File(read_failed(&self.path, source))));
                }
            }
        }
        None
    }
}

/// Reads a JSON array of objects as a whole.
pub(super) fn read_array(
    path: &Path,
    mut reader: Box<dyn BufRead>,
) -> Result<impl Iterator<Item = std::result::Result<Row, RowError>> + use<>> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|source| read_failed(path, source))?;
    let not_json = |reason| FormatError::NotThatFormat { path: path.to_owned(), expected: "a JSON array", reason };
    let text = str::from_utf8(&bytes).map_err(|error| {
        let n_lines = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        not_json(format!("line {}, byte {} of the file is not UTF-8", n_lines + 1, error.valid_up_to() + 1))
    })?;
    let rows: Vec<Fields> = serde_json::from_str(text).map_err(|error| {
        not_json(format!("line {}, column {}: {}", error.line(), error.column(), explain(text, &error)))
    })?;
    Ok((1..).zip(rows).map(|(number, fields)| Ok(Row { place: Place::Row(number), fields: fields.0 })))
}

/// Says what the parser says, without the place, and names the usual cause.
fn explain(text: &str, error: &serde_json::Error) -> String {
    let whole = error.to_string();
    let reason = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(reason, _)| reason);
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let has_python_number = line.contains("NaN") || line.contains("Infinity");
    if has_python_number && matches!(reason, "expected value" | "invalid number") {
        return "`NaN` and `Infinity` are not JSON: write null where a number is missing".to_owned();
    }
    reason.to_owned()
}

/// An object whose keys all differ: of two values for one field, none is the right one.
struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor).map(Self)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of one row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> std::result::Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("field `{name}` stands twice in one row")));
            }
            fields.insert(name, value);
        }
        Ok(fields)
    }
}
