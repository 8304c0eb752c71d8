//! CSV and TSV with a header.

use std::{
    cell::Cell,
    io::{self, BufRead, Read},
    path::{Path, PathBuf},
    rc::Rc,
};

use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::{FormatError, Place, Problem, Result, Row, RowError, RowFault, container::read_failed};

/// Rows of a table whose first line names the columns; an empty cell is null, every other one is text.
pub(super) struct CsvRows {
    path: PathBuf,
    reader: Reader<QuoteWatch>,
    header: Vec<String>,
    record: ByteRecord,
    /// Whether the marks read so far are odd in number.
    is_open: Rc<Cell<bool>>,
    /// The place of the last record when it runs over several lines.
    last_long: Option<Place>,
    is_done: bool,
}

impl CsvRows {
    pub(super) fn new(path: PathBuf, reader: Box<dyn BufRead>, delimiter: u8) -> Result<Self> {
        let is_open = Rc::new(Cell::new(false));
        let reader = QuoteWatch { inner: reader, is_open: is_open.clone() };
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(reader);
        let header = reader.byte_headers().map_err(|error| file_error(&path, error))?;
        let names: std::result::Result<Vec<String>, _> =
            header.iter().map(|name| str::from_utf8(name).map(|name| name.trim().to_owned())).collect();
        let header = names.map_err(|_| FormatError::NotThatFormat {
            path: path.clone(),
            expected: "UTF-8 text",
            reason: "the header is not UTF-8".to_owned(),
        })?;
        let twice = header.iter().enumerate().find(|(at, name)| header[..*at].contains(name));
        if let Some((_, column)) = twice {
            return Err(FormatError::DuplicateColumn { path, column: column.clone() });
        }
        Ok(Self { path, reader, header, record: ByteRecord::new(), is_open, last_long: None, is_done: false })
    }

    fn place(&self) -> Place {
        Place::Line(self.record.position().map_or(0, csv::Position::line))
    }

    fn parse(&self) -> std::result::Result<Row, RowError> {
        let place = self.place();
        let fault = |problem| RowError::Row(RowFault { place, problem });
        if self.record.len() != self.header.len() {
            return Err(fault(Problem::Ragged { found: self.record.len(), expected: self.header.len() }));
        }
        let mut fields = Map::new();
        for (name, cell) in self.header.iter().zip(&self.record) {
            let text =
                str::from_utf8(cell).map_err(|error| fault(Problem::InvalidUtf8 { byte: error.valid_up_to() + 1 }))?;
            let value = if text.is_empty() { Value::Null } else { text.into() };
            fields.insert(name.clone(), value);
        }
        Ok(Row { place, fields })
    }
}

impl Iterator for CsvRows {
    type Item = std::result::Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {
                let is_long = self.record.iter().any(|cell| cell.contains(&b'\n'));
                self.last_long = is_long.then(|| self.place());
                Some(self.parse())
            }
            Ok(false) => {
                self.is_done = true;
                let place = self.last_long.filter(|_| self.is_open.get())?;
                Some(Err(RowError::Row(RowFault { place, problem: Problem::Unclosed })))
            }
            Err(error) => {
                self.is_done = true;
                Some(Err(RowError::File(file_error(&self.path, error))))
            }
        }
    }
}

fn file_error(path: &Path, error: csv::Error) -> FormatError {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => read_failed(path, source),
        kind => {
            let reason = format!("{kind:?}");
            FormatError::NotThatFormat { path: path.to_owned(), expected: "CSV", reason }
        }
    }
}

/// Tells at the end of a file whether a cell is still open, which the reader beneath takes for a long cell.
struct QuoteWatch {
    inner: Box<dyn BufRead>,
    is_open: Rc<Cell<bool>>,
}

impl Read for QuoteWatch {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n_read = self.inner.read(bytes)?;
        let n_marks = bytes[..n_read].iter().filter(|byte| **byte == b'"').count();
        self.is_open.set(self.is_open.get() ^ (n_marks % 2 == 1));
        Ok(n_read)
    }
}
