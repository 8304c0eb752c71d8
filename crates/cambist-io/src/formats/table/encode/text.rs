//! Texts as they pass by, without a copy.

use serde::ser::{Error as _, Impossible, Serialize, Serializer};

use super::{Result, refuse, refuse_compound};

/// Hands a value that is written as text to `take`; none for a missing one.
///
/// # Errors
/// When the value is anything else, and whatever `take` says.
pub(super) fn take_text<T: Serialize + ?Sized, R>(
    value: &T,
    take: impl FnOnce(Option<&str>) -> Result<R>,
) -> Result<R> {
    value.serialize(TextTaker(take))
}

struct TextTaker<F>(F);

type Nothing<R> = Impossible<R, serde_json::Error>;

fn no_text<F>(_: &TextTaker<F>) -> serde_json::Error {
    serde_json::Error::custom("expected text")
}

impl<R, F: FnOnce(Option<&str>) -> Result<R>> Serializer for TextTaker<F> {
    type Ok = R;
    type Error = serde_json::Error;
    type SerializeSeq = Nothing<R>;
    type SerializeTuple = Nothing<R>;
    type SerializeTupleStruct = Nothing<R>;
    type SerializeTupleVariant = Nothing<R>;
    type SerializeMap = Nothing<R>;
    type SerializeStruct = Nothing<R>;
    type SerializeStructVariant = Nothing<R>;

    refuse! { no_text:
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_f32(f32),
        serialize_f64(f64), serialize_bytes(&[u8]), serialize_unit_struct(&'static str),
    }

    refuse_compound! { no_text:
        serialize_seq -> SerializeSeq(Option<usize>), serialize_tuple -> SerializeTuple(usize),
        serialize_tuple_struct -> SerializeTupleStruct(&'static str, usize),
        serialize_tuple_variant -> SerializeTupleVariant(&'static str, u32, &'static str, usize),
        serialize_map -> SerializeMap(Option<usize>), serialize_struct -> SerializeStruct(&'static str, usize),
        serialize_struct_variant -> SerializeStructVariant(&'static str, u32, &'static str, usize),
    }

    fn serialize_str(self, text: &str) -> Result<R> {
        (self.0)(Some(text))
    }

    fn serialize_char(self, text: char) -> Result<R> {
        (self.0)(Some(text.encode_utf8(&mut [0; 4])))
    }

    fn serialize_none(self) -> Result<R> {
        (self.0)(None)
    }

    fn serialize_unit(self) -> Result<R> {
        (self.0)(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<R> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<R> {
        (self.0)(Some(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<R> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<R> {
        Err(no_text(&self))
    }
}
