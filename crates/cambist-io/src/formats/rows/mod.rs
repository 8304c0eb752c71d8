//! Any container of rows as one stream of named fields.

mod container;
mod csv;
mod json;
mod parquet;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use self::container::{Container, Opened};
pub(super) use self::parquet::{guarded, not_parquet};
use super::{FormatError, Place, Problem, Result, RowFault};

/// The named fields of one row, in the order of the file; missing cells of tables are null.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Where it stands.
    pub place: Place,
    /// What it holds.
    pub fields: Map<String, Value>,
}

impl Row {
    /// Returns the fault of this row.
    pub fn fault(&self, problem: Problem) -> RowFault {
        RowFault { place: self.place, problem }
    }

    /// Returns the names of all fields that hold something.
    pub fn field_names(&self) -> Vec<String> {
        self.fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.clone()).collect()
    }
}

/// What can come instead of a row.
#[derive(Debug)]
pub enum RowError {
    /// This row is faulty; the next one may be sound.
    Row(RowFault),
    /// The rest of the file cannot be read.
    File(FormatError),
}

/// A stream of rows. JSONL, CSV and Parquet are read piece by piece; a JSON array is read as a whole.
pub struct RowStream {
    path: PathBuf,
    rows: Box<dyn Iterator<Item = std::result::Result<Row, RowError>>>,
}

impl RowStream {
    /// Where the rows come from.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Iterator for RowStream {
    type Item = std::result::Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}

/// Opens a file of rows: `.jsonl`, `.ndjson`, `.json`, `.csv`, `.tsv` or `.parquet`, the text ones also with `.gz` or
/// `.zst` behind; under any other name the first bytes decide.
///
/// # Errors
/// When there is no such file, it has no bytes, or it is in no known format.
pub fn open_rows(path: &Path) -> Result<RowStream> {
    let Opened { container, reader } = container::open(path)?;
    let owned = path.to_owned();
    let rows: Box<dyn Iterator<Item = _>> = match container {
        Container::JsonLines => Box::new(json::JsonLines::new(owned, reader)),
        Container::JsonArray => Box::new(json::read_array(path, reader)?),
        Container::Csv { delimiter } => Box::new(csv::CsvRows::new(owned, reader, delimiter)?),
        Container::Parquet => Box::new(parquet::ParquetRows::open(path)?),
    };
    let mut rows = rows.peekable();
    match rows.peek() {
        None => Err(FormatError::Empty { path: path.to_owned() }),
        Some(_) => Ok(RowStream { path: path.to_owned(), rows: Box::new(rows) }),
    }
}
