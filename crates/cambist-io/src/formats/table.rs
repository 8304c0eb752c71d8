//! One writer and one reader for every kind of row.
//!
//! Rows and columns meet in serde: [`encode`] and [`decode`] move the fields of a row into Arrow columns and back; of all
//! that is written only the messages of a list are JSON values in between. A Parquet file whose columns have other types
//! than ours, and JSONL, are read as anybody's rows.

mod decode;
mod encode;
mod press;

use std::{
    fs::File,
    io::Write,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_schema::{Field, Schema};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion},
    schema::types::ColumnPath,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub(in crate::formats) use self::{decode::Cells, encode::data_type};
use self::{encode::Columns, press::Press};
use super::{FormatError, Problem, Result, RowFault, fault::collect_values, rows::Row, stream::scan_table};
use crate::disk::DiskError;

/// What a column holds. Every cell may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Text of any length.
    Text,
    /// A whole number of 64 bits with sign.
    Integer,
    /// A double-precision number; one that is not finite is written as missing.
    Number,
    /// Yes or no.
    Flag,
    /// A list of texts.
    TextList,
    /// A list of `{role, content}`, as chat templates take it.
    Messages,
    /// An object, a list or a number: JSON text in Parquet, plain JSON in JSONL.
    Json,
}

/// A row that can be written and read as a table.
pub trait TableRow: Serialize + DeserializeOwned + Send {
    /// The name of the kind of row, for errors.
    const TABLE: &'static str;

    /// All fields in the order of the file, by the names that serde gives them.
    const COLUMNS: &'static [(&'static str, Cell)];
}

/// Rows that are turned into Arrow at once.
const BATCH: usize = 4096;

/// Rows of one row group: enough to compress well, few enough to read in parallel.
const ROW_GROUP: usize = 65_536;

/// Bytes of a column's dictionary in a row group, at most: values that repeat fit, names that never do soon give it up.
const DICTIONARY_BYTES: usize = 256 << 10;

/// Returns rows as the bytes of a Parquet file (Zstandard level 3). The same rows give the same bytes.
///
/// # Errors
/// When a row does not fit its declared columns.
pub fn to_parquet<'a, R: TableRow + 'a>(rows: impl IntoIterator<Item = &'a R>) -> Result<Vec<u8>> {
    let mut sheet = Sheet::<R, Vec<u8>>::new(Vec::new())?;
    for row in rows {
        sheet.push(row)?;
    }
    sheet.finish()
}

/// Writes a Parquet file row by row: a row group is on the disk as soon as it is full, and at most one is in memory.
///
/// The same rows give the bytes of [`to_parquet`].
pub struct TableWriter<R: TableRow> {
    path: PathBuf,
    sheet: Sheet<R, File>,
    n_rows: u64,
}

impl<R: TableRow> TableWriter<R> {
    /// Begins a file; one that is there is overwritten.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|source| DiskError::of("write", path, source))?;
        Ok(Self { path: path.to_owned(), sheet: Sheet::new(file)?, n_rows: 0 })
    }

    /// Takes in the next row.
    ///
    /// # Errors
    /// When the row does not fit its declared columns, or the disk refuses.
    pub fn push(&mut self, row: &R) -> Result<()> {
        self.push_as(row)
    }

    /// As [`TableWriter::push`], of a row that serde writes as it would an `R`: one with borrowed texts, say.
    ///
    /// # Errors
    /// As [`TableWriter::push`].
    pub fn push_as(&mut self, row: &impl Serialize) -> Result<()> {
        self.sheet.push(row).map_err(|error| on_disk(&self.path, error))?;
        self.n_rows += 1;
        Ok(())
    }

    /// How many rows were taken in.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Completes the file and returns how many rows it has; syncing it is up to the caller.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(self) -> Result<u64> {
        self.sheet.finish().map_err(|error| on_disk(&self.path, error))?;
        Ok(self.n_rows)
    }
}

/// The Parquet writer keeps what the disk said as text alone; what rows can do wrong, they do in memory too.
fn on_disk(path: &Path, error: FormatError) -> FormatError {
    match error {
        FormatError::Encode { reason, .. } if reason.contains("os error") => {
            DiskError::of("write", path, std::io::Error::other(reason)).into()
        }
        other => other,
    }
}

/// A Parquet file in the making.
struct Sheet<R: TableRow, W: Write + Send + 'static> {
    schema: Arc<Schema>,
    press: Press<W>,
    waiting: Columns,
    rows: PhantomData<fn(&R)>,
}

impl<R: TableRow, W: Write + Send + 'static> Sheet<R, W> {
    fn new(goal: W) -> Result<Self> {
        let columns = R::COLUMNS.iter().map(|(name, cell)| Field::new(*name, data_type(*cell), true));
        let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        let properties = properties(R::COLUMNS).map_err(Self::encode)?;
        let writer = ArrowWriter::try_new(goal, schema.clone(), Some(properties)).map_err(Self::encode)?;
        Ok(Self { schema, press: Press::new(writer), waiting: Columns::new(R::COLUMNS), rows: PhantomData })
    }

    fn encode(error: impl ToString) -> FormatError {
        FormatError::Encode { table: R::TABLE, reason: error.to_string() }
    }

    fn push(&mut self, row: &impl Serialize) -> Result<()> {
        self.waiting.push(row).map_err(Self::encode)?;
        if self.waiting.n_rows() < BATCH {
            return Ok(());
        }
        let batch = self.waiting.finish(&self.schema).map_err(Self::encode)?;
        self.press.write(batch).map_err(Self::encode)
    }

    fn finish(mut self) -> Result<W> {
        let last = (!self.waiting.is_empty()).then(|| self.waiting.finish(&self.schema));
        self.press.finish(last.transpose().map_err(Self::encode)?).map_err(Self::encode)
    }
}

/// Returns rows as the bytes of a JSONL file: one object per line, missing optional fields left out or null as the
/// type says.
///
/// # Errors
/// When a row is not JSON.
pub fn to_jsonl<'a, R: Serialize + 'a>(rows: impl IntoIterator<Item = &'a R>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row)
            .map_err(|error| FormatError::Encode { table: "lines", reason: error.to_string() })?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Reads back rows that were written by this module, from Parquet or JSONL, in the order of the file.
///
/// # Errors
/// When the file cannot be read or rows do not fit; a file without rows is an empty table, not an error.
pub fn read_table<R: TableRow>(path: &Path) -> Result<Vec<R>> {
    collect_values(path.to_owned(), scan_table::<R>(path)?.rows())
}

/// Reads a row that came as named fields.
pub(super) fn read_row<R: TableRow>(row: Row) -> std::result::Result<R, RowFault> {
    let Row { place, mut fields } = row;
    let unfit = |reason: String| RowFault { place, problem: Problem::Unfit { reason } };
    for (name, cell) in R::COLUMNS {
        if let (Cell::Json, Some(value)) = (cell, fields.get_mut(*name))
            && let Value::String(text) = value
        {
            *value = serde_json::from_str(text).map_err(|error| unfit(format!("field `{name}`: {error}")))?;
        }
    }
    // A table has a cell where JSON leaves a field out.
    fields.retain(|_, value| !value.is_null());
    serde_json::from_value(Value::Object(fields)).map_err(|error| unfit(error.to_string()))
}

fn properties(columns: &[(&str, Cell)]) -> parquet::errors::Result<WriterProperties> {
    let properties = WriterProperties::builder()
        .set_created_by(concat!("cambist ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    // Nobody looks for the least of texts, and to find it every text is compared.
    let is_text = |cell: &Cell| !matches!(cell, Cell::Integer | Cell::Number | Cell::Flag);
    let texts = columns.iter().filter(|(_, cell)| is_text(cell));
    let without = |properties: WriterPropertiesBuilder, (name, _): &(&str, Cell)| {
        properties.set_column_statistics_enabled(ColumnPath::from(*name), EnabledStatistics::None)
    };
    Ok(texts.fold(properties, without).build())
}
