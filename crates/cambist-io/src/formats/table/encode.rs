//! From rows to Arrow columns, by way of serde: the fields of a row go straight into the builders of its columns.

mod message;
mod text;

use std::sync::Arc;

use arrow_array::{
    ArrayRef, RecordBatch,
    builder::{ArrayBuilder, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder, StructBuilder},
};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};
use serde::{
    Serialize,
    ser::{self, Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, Serializer},
};

use self::{message::write_message, text::take_text};
use super::Cell;

type Result<T> = std::result::Result<T, serde_json::Error>;

/// What is said of rows after one that did not fit.
const AFTER_A_FAULT: &str = "an earlier row did not fit";

/// The columns of a batch in the making.
pub(super) struct Columns {
    names: &'static [(&'static str, Cell)],
    columns: Vec<Column>,
    n_rows: usize,
    /// Whether a row did not fit: it has left some columns longer than others.
    is_broken: bool,
}

/// One column in the making.
enum Column {
    Text(StringBuilder),
    Integer(Int64Builder),
    Number(Float64Builder),
    Flag(BooleanBuilder),
    TextList(ListBuilder<StringBuilder>),
    Messages(ListBuilder<StructBuilder>),
    Json(StringBuilder),
}

impl Columns {
    pub(super) fn new(names: &'static [(&'static str, Cell)]) -> Self {
        Self { names, columns: names.iter().map(|(_, cell)| Column::new(*cell)).collect(), n_rows: 0, is_broken: false }
    }

    /// How many rows wait.
    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Whether nothing waits, not even the half of a row.
    pub(super) fn is_empty(&self) -> bool {
        self.n_rows == 0 && !self.is_broken
    }

    /// Takes in a row: what it has no field for is missing, and a field that no column declares is a mistake in the
    /// declaration, not something to drop.
    pub(super) fn push(&mut self, row: &impl Serialize) -> Result<()> {
        if self.is_broken {
            return Err(serde_json::Error::custom(AFTER_A_FAULT));
        }
        if let Err(error) = row.serialize(RowWriter { columns: self, next: 0, found: None }) {
            self.is_broken = true;
            return Err(error);
        }
        self.n_rows += 1;
        let short = self.columns.iter_mut().filter(|column| column.len() < self.n_rows);
        short.for_each(Column::push_missing);
        Ok(())
    }

    /// Takes the rows out as a batch.
    pub(super) fn finish(&mut self, schema: &Arc<Schema>) -> std::result::Result<RecordBatch, ArrowError> {
        if self.is_broken {
            return Err(ArrowError::InvalidArgumentError(AFTER_A_FAULT.to_owned()));
        }
        self.n_rows = 0;
        RecordBatch::try_new(schema.clone(), self.columns.iter_mut().map(Column::finish).collect())
    }
}

/// The parts of a message.
pub(super) const MESSAGE: [&str; 2] = ["role", "content"];

/// Names the parts of lists as `pyarrow` and `datasets` do.
pub(in crate::formats) fn data_type(cell: Cell) -> DataType {
    match cell {
        Cell::Text | Cell::Json => DataType::Utf8,
        Cell::Integer => DataType::Int64,
        Cell::Number => DataType::Float64,
        Cell::Flag => DataType::Boolean,
        Cell::TextList => DataType::List(element(DataType::Utf8)),
        Cell::Messages => DataType::List(element(DataType::Struct(message_fields()))),
    }
}

fn element(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", data_type, true))
}

fn message_fields() -> Fields {
    MESSAGE.map(|name| Field::new(name, DataType::Utf8, true)).to_vec().into()
}

impl Column {
    fn new(cell: Cell) -> Self {
        match cell {
            Cell::Text => Self::Text(StringBuilder::new()),
            Cell::Integer => Self::Integer(Int64Builder::new()),
            Cell::Number => Self::Number(Float64Builder::new()),
            Cell::Flag => Self::Flag(BooleanBuilder::new()),
            Cell::TextList => {
                Self::TextList(ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8)))
            }
            Cell::Messages => {
                let messages = StructBuilder::from_fields(message_fields(), 0);
                Self::Messages(ListBuilder::new(messages).with_field(element(DataType::Struct(message_fields()))))
            }
            Cell::Json => Self::Json(StringBuilder::new()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(column) | Self::Json(column) => column.len(),
            Self::Integer(column) => column.len(),
            Self::Number(column) => column.len(),
            Self::Flag(column) => column.len(),
            Self::TextList(column) => column.len(),
            Self::Messages(column) => column.len(),
        }
    }

    fn push_missing(&mut self) {
        match self {
            Self::Text(column) | Self::Json(column) => column.append_null(),
            Self::Integer(column) => column.append_null(),
            Self::Number(column) => column.append_null(),
            Self::Flag(column) => column.append_null(),
            Self::TextList(column) => column.append_null(),
            Self::Messages(column) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(column) | Self::Json(column) => Arc::new(column.finish()),
            Self::Integer(column) => Arc::new(column.finish()),
            Self::Number(column) => Arc::new(column.finish()),
            Self::Flag(column) => Arc::new(column.finish()),
            Self::TextList(column) => Arc::new(column.finish()),
            Self::Messages(column) => Arc::new(column.finish()),
        }
    }

    /// The name of what it holds, for errors.
    fn expected(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number of 64 bits",
            Self::Number(_) => "a number",
            Self::Flag(_) => "a truth value",
            Self::TextList(_) => "a list of texts",
            Self::Messages(_) => "a list of messages",
            Self::Json(_) => "JSON",
        }
    }

    /// Takes in one cell.
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if let Self::Json(column) = self {
            let text = serde_json::to_string(value)?;
            column.append_option((text != "null").then_some(text));
            return Ok(());
        }
        value.serialize(CellWriter { column: self })
    }
}

/// Writes the fields of one row.
struct RowWriter<'a> {
    columns: &'a mut Columns,
    /// Where the next field is expected: rows name their fields in the order of the columns.
    next: usize,
    /// The column of the key that came last.
    found: Option<usize>,
}

impl RowWriter<'_> {
    fn find(&self, name: &str) -> Result<usize> {
        let names = self.columns.names;
        let is_it = |at: &usize| names.get(*at).is_some_and(|(found, _)| *found == name);
        let at = (self.next..names.len()).chain(0..self.next).find(is_it);
        at.ok_or_else(|| serde_json::Error::custom(format!("no column is called `{name}`")))
    }

    fn put<T: Serialize + ?Sized>(&mut self, at: usize, value: &T) -> Result<()> {
        self.next = at + 1;
        let name = self.columns.names[at].0;
        self.columns.columns[at]
            .push(value)
            .map_err(|error| serde_json::Error::custom(format!("column `{name}`: {error}")))
    }
}

impl SerializeStruct for RowWriter<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        let at = self.find(key)?;
        self.put(at, value)
    }

    fn end(self) -> Result<()> {
        Ok(())
    }
}

/// Rows with flattened parts come as maps.
impl SerializeMap for RowWriter<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.found = Some(take_text(key, |name| self.find(name.unwrap_or_default()))?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let at = self.found.take().ok_or_else(|| serde_json::Error::custom("a value without a key"))?;
        self.put(at, value)
    }

    fn end(self) -> Result<()> {
        Ok(())
    }
}

/// Refuses every kind of value but those that the implementation lists itself.
macro_rules! refuse {
    ($refuse:ident: $($method:ident($($argument:ty),*)),* $(,)?) => {
        $(fn $method(self, $(_: $argument),*) -> Result<Self::Ok> {
            Err($refuse(&self))
        })*
    };
}
use refuse;

/// Refuses every kind of compound value but those that the implementation lists itself.
macro_rules! refuse_compound {
    ($refuse:ident: $($method:ident -> $kind:ident($($argument:ty),*)),* $(,)?) => {
        $(fn $method(self, $(_: $argument),*) -> Result<Self::$kind> {
            Err($refuse(&self))
        })*
    };
}
use refuse_compound;

/// Where nothing compound fits.
type Nothing = Impossible<(), serde_json::Error>;

fn no_row(_: &RowWriter<'_>) -> serde_json::Error {
    serde_json::Error::custom("a row is a struct or a map")
}

impl Serializer for RowWriter<'_> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Nothing;
    type SerializeTuple = Nothing;
    type SerializeTupleStruct = Nothing;
    type SerializeTupleVariant = Nothing;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Nothing;

    refuse! { no_row:
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_f32(f32),
        serialize_f64(f64), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]), serialize_none(),
        serialize_unit(), serialize_unit_struct(&'static str),
        serialize_unit_variant(&'static str, u32, &'static str),
    }

    refuse_compound! { no_row:
        serialize_seq -> SerializeSeq(Option<usize>), serialize_tuple -> SerializeTuple(usize),
        serialize_tuple_struct -> SerializeTupleStruct(&'static str, usize),
        serialize_tuple_variant -> SerializeTupleVariant(&'static str, u32, &'static str, usize),
        serialize_struct_variant -> SerializeStructVariant(&'static str, u32, &'static str, usize),
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<()> {
        Err(no_row(&self))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }
}

/// Writes one cell.
struct CellWriter<'a> {
    column: &'a mut Column,
}

fn unfit(cell: &CellWriter<'_>) -> serde_json::Error {
    serde_json::Error::custom(format!("expected {}", cell.column.expected()))
}

impl CellWriter<'_> {
    fn integer(self, value: impl TryInto<i64>) -> Result<()> {
        match (value.try_into(), &mut *self.column) {
            (Ok(value), Column::Integer(column)) => column.append_value(value),
            (Ok(value), Column::Number(column)) => column.append_value(value as f64),
            _ => return Err(unfit(&self)),
        }
        Ok(())
    }
}

/// Whole numbers of every width.
macro_rules! integers {
    ($($method:ident($kind:ty)),*) => {
        $(fn $method(self, value: $kind) -> Result<()> {
            self.integer(value)
        })*
    };
}

impl<'a> Serializer for CellWriter<'a> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = ListWriter<'a>;
    type SerializeTuple = Nothing;
    type SerializeTupleStruct = Nothing;
    type SerializeTupleVariant = Nothing;
    type SerializeMap = Nothing;
    type SerializeStruct = Nothing;
    type SerializeStructVariant = Nothing;

    integers!(
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64)
    );

    refuse! { unfit: serialize_bytes(&[u8]), serialize_unit_struct(&'static str) }

    refuse_compound! { unfit:
        serialize_tuple -> SerializeTuple(usize), serialize_tuple_struct -> SerializeTupleStruct(&'static str, usize),
        serialize_tuple_variant -> SerializeTupleVariant(&'static str, u32, &'static str, usize),
        serialize_map -> SerializeMap(Option<usize>), serialize_struct -> SerializeStruct(&'static str, usize),
        serialize_struct_variant -> SerializeStructVariant(&'static str, u32, &'static str, usize),
    }

    fn serialize_bool(self, value: bool) -> Result<()> {
        let Column::Flag(column) = self.column else { return Err(unfit(&self)) };
        column.append_value(value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        let Column::Number(column) = self.column else { return Err(unfit(&self)) };
        column.append_option(value.is_finite().then_some(value));
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        let Column::Text(column) = self.column else { return Err(unfit(&self)) };
        column.append_value(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<()> {
        self.column.push_missing();
        Ok(())
    }

    fn serialize_unit(self) -> Result<()> {
        self.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<()> {
        Err(unfit(&self))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<ListWriter<'a>> {
        match self.column {
            Column::TextList(_) | Column::Messages(_) => Ok(ListWriter { column: self.column }),
            _ => Err(unfit(&self)),
        }
    }
}

/// Writes a list into one cell.
struct ListWriter<'a> {
    column: &'a mut Column,
}

impl SerializeSeq for ListWriter<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        match &mut *self.column {
            Column::TextList(column) => {
                let missing = || serde_json::Error::custom("expected a list of texts");
                take_text(value, |text| {
                    column.values().append_value(text.ok_or_else(missing)?);
                    Ok(())
                })
            }
            Column::Messages(column) => write_message(value, column.values()),
            column => Err(ser::Error::custom(format!("expected {}", column.expected()))),
        }
    }

    fn end(self) -> Result<()> {
        match self.column {
            Column::TextList(column) => column.append(true),
            Column::Messages(column) => column.append(true),
            _ => {}
        }
        Ok(())
    }
}
