//! What can be wrong with a file of rows.

use std::{fmt, path::PathBuf};

use cambist_core::fault::Fault;

use super::rows::{Row, RowError, RowStream};
use crate::disk::DiskError;

/// How many faulty rows one error tells of; the others are counted.
pub const MAX_FAULTS: usize = 20;

/// What reading and writing of rows answers with.
pub type Result<T> = std::result::Result<T, FormatError>;

/// Where a row stands in its file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a text file.
    Line(u64),
    /// A row of a table or an element of an array.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Row(number) => write!(f, "row {number}"),
        }
    }
}

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct RowFault {
    /// Where the row stands.
    pub place: Place,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with one row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// A byte that no UTF-8 text has there.
    #[error("byte {byte} is not UTF-8: save the file as UTF-8")]
    InvalidUtf8 {
        /// Which byte of the line or cell, from 1.
        byte: usize,
    },
    /// A line that is not one JSON value.
    #[error("column {column} is not JSON: {reason}")]
    Json {
        /// Which byte of the line, from 1.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// A line so long that it is rather a mistake.
    #[error("the line has more than {limit} bytes: expected one row per line")]
    TooLong {
        /// The longest line that is read.
        limit: usize,
    },
    /// Another number of cells than the header has.
    #[error("found {found} cells, expected {expected} as in the header")]
    Ragged {
        /// Cells in the row.
        found: usize,
        /// Cells in the header.
        expected: usize,
    },
    /// A quotation mark that opens a cell and is never closed: the rest of the file would be in that cell.
    #[error("a quotation mark opens a cell and none closes it: double the marks inside of cells")]
    Unclosed,
    /// A field that has to be there is not, or is empty.
    #[error("field `{field}` is missing, found {}", list(found))]
    Missing {
        /// The field.
        field: String,
        /// The fields that are there.
        found: Vec<String>,
    },
    /// A field holds something of another kind.
    #[error("field `{field}`: found {found}, expected {expected}")]
    Wrong {
        /// The field.
        field: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// The row as a whole does not fit its type.
    #[error("{reason}")]
    Unfit {
        /// Which field is how.
        reason: String,
    },
    /// The name of an earlier row.
    #[error("`{id}` is already the name of {first}: every name may stand once")]
    DuplicateId {
        /// The name.
        id: String,
        /// Where it stood first.
        first: Place,
    },
    /// The name of a row of another file.
    #[error("`{id}` is already the name of {first} of `{file}`: every name may stand once")]
    DuplicateAcross {
        /// The name.
        id: String,
        /// Where it stood first.
        first: Place,
        /// In which file.
        file: PathBuf,
    },
    /// A text longer than the caller takes.
    #[error("the prompt has {found} characters: expected at most {limit}, as `max_chars` says")]
    Overlong {
        /// Its length.
        found: usize,
        /// The longest that is taken.
        limit: usize,
    },
    /// The fields are those of no known shape.
    #[error("no known shape has the fields {}: expected {expected}", list(found))]
    UnknownShape {
        /// The fields of the row.
        found: Vec<String>,
        /// The shapes that are read.
        expected: &'static str,
    },
}

/// What can be wrong with a file of rows.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no row in it.
    #[error("`{path}` has no rows")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Some rows are faulty.
    #[error("`{path}` has faulty rows, {n_faults} in all:{}", lines(faults, *n_faults))]
    Rows {
        /// The file.
        path: PathBuf,
        /// The first [`MAX_FAULTS`], in the order of the file.
        faults: Vec<RowFault>,
        /// How many there are in all.
        n_faults: usize,
    },
    /// The file stops in the middle.
    #[error("`{path}` is cut off: copy or download it again")]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// The file is not in the format that its name or its first bytes promise.
    #[error("`{path}` is not {expected}: {reason}")]
    NotThatFormat {
        /// The file.
        path: PathBuf,
        /// The format.
        expected: &'static str,
        /// What speaks against it.
        reason: String,
    },
    /// Neither the name nor the first bytes tell the format.
    #[error("`{path}` is in no known format: expected {expected}")]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The formats that are read.
        expected: &'static str,
    },
    /// Two columns have one name.
    #[error("`{path}` has two columns named `{column}`: every column needs a name of its own")]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// A column that the mapping names is in no row.
    #[error("`{path}` has no column `{column}`, found {}: change the column mapping", list(found))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns of the first row.
        found: Vec<String>,
    },
    /// Rows of this program do not fit their declared columns.
    #[error("cannot write rows of `{table}`: {reason}")]
    Encode {
        /// The kind of row.
        table: &'static str,
        /// What does not fit.
        reason: String,
    },
}

impl Problem {
    /// The kind of problem as a short code, for counting.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidUtf8 { .. } => "invalid_utf8",
            Self::Json { .. } => "not_json",
            Self::TooLong { .. } => "line_too_long",
            Self::Ragged { .. } => "ragged",
            Self::Unclosed => "unclosed_quote",
            Self::Missing { .. } => "missing_field",
            Self::Wrong { .. } => "wrong_field",
            Self::Unfit { .. } => "unfit",
            Self::DuplicateId { .. } | Self::DuplicateAcross { .. } => "duplicate_id",
            Self::Overlong { .. } => "too_long",
            Self::UnknownShape { .. } => "unknown_shape",
        }
    }
}

impl FormatError {
    /// Returns the error of a file with faulty rows, of which the first `faults` are told and `n_faults` counted. When
    /// every row told of has no known shape, one of them says it.
    pub fn of_rows(path: PathBuf, mut faults: Vec<RowFault>, n_faults: usize) -> Self {
        if faults.iter().all(|fault| matches!(fault.problem, Problem::UnknownShape { .. })) {
            faults.truncate(1);
        }
        Self::Rows { path, faults, n_faults }
    }

    /// Whose fault it is: a file that cannot be used is yours, the disk is the world's, rows that cannot be written
    /// are ours.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Disk(error) => error.fault(),
            Self::Encode { .. } => Fault::Us,
            _ => Fault::You,
        }
    }
}

/// Turns rows into values; the faults of the first [`MAX_FAULTS`] rows are told together.
pub(super) fn collect_rows<T>(
    rows: RowStream,
    mut read: impl FnMut(Row) -> std::result::Result<T, RowFault>,
) -> Result<Vec<T>> {
    let path = rows.path().to_owned();
    collect_values(path, rows.map(|row| row.and_then(|row| read(row).map_err(RowError::Row))))
}

/// Collects values; the faults of the first [`MAX_FAULTS`] rows are told together.
pub(super) fn collect_values<T>(
    path: PathBuf,
    rows: impl Iterator<Item = std::result::Result<T, RowError>>,
) -> Result<Vec<T>> {
    let (mut values, mut faults, mut n_faults) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        match row {
            Ok(value) => values.push(value),
            Err(RowError::File(error)) => return Err(error),
            Err(RowError::Row(fault)) => {
                n_faults += 1;
                faults.extend((faults.len() < MAX_FAULTS).then_some(fault));
            }
        }
    }
    if n_faults > 0 { Err(FormatError::Rows { path, faults, n_faults }) } else { Ok(values) }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn lines(faults: &[RowFault], n_faults: usize) -> String {
    let mut text: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    if n_faults > faults.len() {
        text.push_str(&format!("\n  and {} more", n_faults - faults.len()));
    }
    text
}
