//! Messages of a list, part by part into the columns of their parts.

use arrow_array::builder::{StringBuilder, StructBuilder};
use serde::ser::{Error as _, Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};

use super::{MESSAGE, Result, refuse, refuse_compound, text::take_text};

/// Writes a message behind those that `column` has; a part that it lacks is missing, and one that no column is there for
/// is a mistake.
pub(super) fn write_message<T: Serialize + ?Sized>(value: &T, column: &mut StructBuilder) -> Result<()> {
    value.serialize(MessageWriter { column, written: [false; 2], found: None })
}

/// Writes one message.
struct MessageWriter<'a> {
    column: &'a mut StructBuilder,
    /// Which parts came.
    written: [bool; MESSAGE.len()],
    /// The part whose name came last.
    found: Option<usize>,
}

impl MessageWriter<'_> {
    fn put<T: Serialize + ?Sized>(&mut self, at: usize, value: &T) -> Result<()> {
        if std::mem::replace(&mut self.written[at], true) {
            return Err(serde_json::Error::custom(format!("a message has two parts `{}`", MESSAGE[at])));
        }
        let column = self.column.field_builder::<StringBuilder>(at).ok_or_else(no_column)?;
        take_text(value, |text| {
            column.append_option(text);
            Ok(())
        })
    }

    fn close(self) -> Result<()> {
        for (at, written) in self.written.into_iter().enumerate() {
            if !written {
                self.column.field_builder::<StringBuilder>(at).ok_or_else(no_column)?.append_null();
            }
        }
        self.column.append(true);
        Ok(())
    }
}

fn find(name: &str) -> Result<usize> {
    let at = MESSAGE.iter().position(|part| *part == name);
    at.ok_or_else(|| serde_json::Error::custom(format!("a message has no part `{name}`")))
}

fn no_column() -> serde_json::Error {
    serde_json::Error::custom("messages have no column of texts for a part")
}

impl SerializeStruct for MessageWriter<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        self.put(find(key)?, value)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

impl SerializeMap for MessageWriter<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.found = Some(take_text(key, |name| find(name.unwrap_or_default()))?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let at = self.found.take().ok_or_else(|| serde_json::Error::custom("a value without a key"))?;
        self.put(at, value)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

type Nothing = Impossible<(), serde_json::Error>;

fn no_message(_: &MessageWriter<'_>) -> serde_json::Error {
    serde_json::Error::custom("expected a list of messages")
}

impl Serializer for MessageWriter<'_> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Nothing;
    type SerializeTuple = Nothing;
    type SerializeTupleStruct = Nothing;
    type SerializeTupleVariant = Nothing;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Nothing;

    refuse! { no_message:
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_f32(f32),
        serialize_f64(f64), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]), serialize_none(),
        serialize_unit(), serialize_unit_struct(&'static str),
        serialize_unit_variant(&'static str, u32, &'static str),
    }

    refuse_compound! { no_message:
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
        Err(no_message(&self))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }
}
