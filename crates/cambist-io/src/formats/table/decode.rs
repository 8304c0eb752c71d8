//! From Arrow columns to rows, by way of serde: a row reads its cells where they lie.

use std::ops::Range;

use arrow_array::{Array, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, cast::AsArray};
use serde::{
    Deserialize,
    de::{
        DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{
    Cell,
    encode::{MESSAGE, data_type},
};

type Result<T> = std::result::Result<T, serde_json::Error>;

/// The declared columns of a batch.
pub(in crate::formats) struct Cells {
    columns: Vec<(&'static str, Column)>,
    n_rows: usize,
}

/// One column of a batch.
enum Column {
    Text(StringArray),
    Integer(Int64Array),
    Number(Float64Array),
    Flag(BooleanArray),
    TextList(ListArray, StringArray),
    Messages(ListArray, Parts),
    Json(StringArray),
}

/// The parts of all turns of all conversations: names and texts.
type Parts = Vec<(&'static str, StringArray)>;

impl Cells {
    /// Looks at a batch; none when a declared column has another type than this crate writes.
    pub(in crate::formats) fn of(batch: &RecordBatch, declared: &'static [(&'static str, Cell)]) -> Option<Self> {
        let mut columns = Vec::with_capacity(declared.len());
        for (name, cell) in declared {
            if let Some(array) = batch.column_by_name(name) {
                columns.push((*name, Column::of(array.as_ref(), *cell)?));
            }
        }
        Some(Self { columns, n_rows: batch.num_rows() })
    }

    pub(in crate::formats) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Reads a row; missing cells are fields that JSON leaves out.
    pub(in crate::formats) fn row<'b, R: Deserialize<'b>>(&'b self, at: usize) -> Result<R> {
        R::deserialize(RowReader { cells: self, at, next: 0 })
    }

    /// The cell of a column of text; none when it is missing.
    pub(in crate::formats) fn text(&self, column: &str, at: usize) -> Option<&str> {
        match self.column(column)? {
            Column::Text(array) => array.is_valid(at).then(|| array.value(at)),
            _ => None,
        }
    }

    /// The cell of a column of whole numbers; none when it is missing.
    pub(in crate::formats) fn integer(&self, column: &str, at: usize) -> Option<i64> {
        match self.column(column)? {
            Column::Integer(array) => array.is_valid(at).then(|| array.value(at)),
            _ => None,
        }
    }

    /// The cell of a column of numbers; none when it is missing or no number.
    pub(in crate::formats) fn number(&self, column: &str, at: usize) -> Option<f64> {
        match self.column(column)? {
            Column::Number(array) => array.is_valid(at).then(|| array.value(at)).filter(|number| number.is_finite()),
            _ => None,
        }
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(found, _)| *found == name).map(|(_, column)| column)
    }
}

impl Column {
    fn of(array: &dyn Array, cell: Cell) -> Option<Self> {
        if *array.data_type() != data_type(cell) {
            return None;
        }
        Some(match cell {
            Cell::Text => Self::Text(array.as_string_opt()?.clone()),
            Cell::Integer => Self::Integer(array.as_primitive_opt()?.clone()),
            Cell::Number => Self::Number(array.as_primitive_opt()?.clone()),
            Cell::Flag => Self::Flag(array.as_boolean_opt()?.clone()),
            Cell::TextList => {
                let lists: &ListArray = array.as_list_opt()?;
                Self::TextList(lists.clone(), lists.values().as_string_opt()?.clone())
            }
            Cell::Messages => {
                let lists: &ListArray = array.as_list_opt()?;
                let texts =
                    lists.values().as_struct_opt()?.columns().iter().map(|texts| texts.as_string_opt().cloned());
                Self::Messages(lists.clone(), MESSAGE.into_iter().zip(texts.collect::<Option<Vec<_>>>()?).collect())
            }
            Cell::Json => Self::Json(array.as_string_opt()?.clone()),
        })
    }

    fn holds(&self, at: usize) -> bool {
        match self {
            Self::Text(array) | Self::Json(array) => array.is_valid(at),
            Self::Integer(array) => array.is_valid(at),
            // A number that is none is missing, whoever wrote it.
            Self::Number(array) => array.is_valid(at) && array.value(at).is_finite(),
            Self::Flag(array) => array.is_valid(at),
            Self::TextList(lists, _) | Self::Messages(lists, _) => lists.is_valid(at),
        }
    }
}

/// Reads one row.
struct RowReader<'b> {
    cells: &'b Cells,
    at: usize,
    next: usize,
}

impl<'b> Deserializer<'b> for RowReader<'b> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        <W: Visitor<'b>>
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'b> MapAccess<'b> for RowReader<'b> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'b>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        while let Some((name, column)) = self.cells.columns.get(self.next) {
            if column.holds(self.at) {
                return seed.deserialize((*name).into_deserializer()).map(Some);
            }
            self.next += 1;
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'b>>(&mut self, seed: S) -> Result<S::Value> {
        let (name, column) = self.cells.columns.get(self.next).ok_or_else(|| serde_json::Error::custom("no column"))?;
        self.next += 1;
        let named = |error: serde_json::Error| serde_json::Error::custom(format!("field `{name}`: {error}"));
        match column {
            Column::Json(array) => {
                let mut json = serde_json::Deserializer::from_str(array.value(self.at));
                let value = seed.deserialize(&mut json).map_err(named)?;
                json.end().map_err(named).map(|()| value)
            }
            column => seed.deserialize(CellReader { column, at: self.at }).map_err(named),
        }
    }
}

/// Reads one cell that is there.
struct CellReader<'b> {
    column: &'b Column,
    at: usize,
}

impl<'de> Deserializer<'de> for CellReader<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Self { column, at } = self;
        match column {
            Column::Text(array) | Column::Json(array) => visitor.visit_borrowed_str(array.value(at)),
            Column::Integer(array) => visitor.visit_i64(array.value(at)),
            Column::Number(array) => visitor.visit_f64(array.value(at)),
            Column::Flag(array) => visitor.visit_bool(array.value(at)),
            Column::TextList(lists, texts) => {
                let range = range(lists, at);
                if range.clone().any(|text| texts.is_null(text)) {
                    return Err(serde_json::Error::custom("a text of the list is missing"));
                }
                visitor.visit_seq(SeqDeserializer::new(range.map(|text| texts.value(text))))
            }
            Column::Messages(lists, parts) => {
                visitor.visit_seq(SeqDeserializer::new(range(lists, at).map(|turn| Turn { parts, at: turn })))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.column {
            Column::Text(array) => visitor.visit_enum(array.value(self.at).into_deserializer()),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Where the elements of a list stand among those of all lists.
fn range(lists: &ListArray, at: usize) -> Range<usize> {
    let offsets = lists.value_offsets();
    offsets[at] as usize..offsets[at + 1] as usize
}

/// One turn: the parts of it that are there.
struct Turn<'m> {
    parts: &'m [(&'static str, StringArray)],
    at: usize,
}

impl<'m> Iterator for Turn<'m> {
    type Item = (&'static str, &'m str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let ((name, texts), rest) = self.parts.split_first()?;
            self.parts = rest;
            if texts.is_valid(self.at) {
                return Some((name, texts.value(self.at)));
            }
        }
    }
}

impl<'de, 'm> IntoDeserializer<'de, serde_json::Error> for Turn<'m> {
    type Deserializer = MapDeserializer<'de, Self, serde_json::Error>;

    fn into_deserializer(self) -> Self::Deserializer {
        MapDeserializer::new(self)
    }
}
