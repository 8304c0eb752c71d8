//! The header of a GGUF file: metadata, and where each tensor lies.

use std::{collections::BTreeMap, fmt};

use super::GgufError;

/// What a file says before its numbers, and the file itself.
pub(super) struct Header<'a> {
    pub(super) metadata: BTreeMap<String, Value>,
    pub(super) tensors: BTreeMap<String, Stored<'a>>,
}

/// A tensor as it lies in the file.
pub(super) struct Stored<'a> {
    /// Rows first.
    pub(super) shape: Vec<usize>,
    /// Its type as llama.cpp numbers them.
    pub(super) kind: u32,
    /// From its first byte to the end of the file.
    pub(super) bytes: &'a [u8],
}

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Any whole number; none is beyond 64 bits.
    Whole(i128),
    /// Either width.
    Float(f64),
    Bool(bool),
    Text(String),
    List(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Bool(is_true) => write!(f, "{is_true}"),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => write!(f, "a list of {}", items.len()),
        }
    }
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn whole(&self) -> Option<u64> {
        if let Self::Whole(number) = self { u64::try_from(*number).ok() } else { None }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Whole(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// Whether it stands for the absence of what its key names.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Whole(number) => *number == 0,
            Self::Float(number) => *number == 0.0,
            Self::Bool(is_true) => !is_true,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
        }
    }
}

/// The first four bytes.
const MAGIC: &[u8] = b"GGUF";

/// Where tensors begin at multiples of this, unless the file says otherwise.
const ALIGNMENT: u64 = 32;

/// Lists of lists are no deeper in any file.
const DEEPEST: usize = 4;

/// No tensor has more dimensions.
const MOST_DIMENSIONS: u32 = 4;

impl<'a> Header<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, GgufError> {
        let mut cursor = Cursor { bytes, at: 0 };
        if cursor.take(4)? != MAGIC {
            return Err(cursor.broken("it does not begin with `GGUF`"));
        }
        match cursor.u32()? {
            2 | 3 => {}
            version if matches!(version.swap_bytes(), 1..=3) => return Err(cursor.broken("its numbers are big-endian")),
            version => return Err(cursor.broken(&format!("its version is {version}; read are 2 and 3"))),
        }
        let (n_tensors, n_keys) = (cursor.u64()?, cursor.u64()?);
        let mut metadata = BTreeMap::new();
        for _ in 0..n_keys {
            let key = cursor.text()?;
            let kind = cursor.u32()?;
            let value = cursor.value(kind, 0)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(cursor.broken(&format!("the key `{key}` stands twice")));
            }
        }
        let mut places = vec![];
        for _ in 0..n_tensors {
            places.push(cursor.place()?);
        }
        let alignment = metadata.get("general.alignment").map_or(Some(ALIGNMENT), Value::whole);
        let alignment = alignment.filter(|alignment| *alignment > 0 && *alignment <= 1 << 20);
        let alignment = alignment.ok_or_else(|| cursor.broken("`general.alignment` is no number of bytes"))?;
        let first = (cursor.at as u64).next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for Place { name, shape, kind, offset } in places {
            let start = first.checked_add(offset).and_then(|start| usize::try_from(start).ok());
            let bytes = start.and_then(|start| bytes.get(start..));
            let bytes = bytes.ok_or_else(|| cursor.broken(&format!("tensor `{name}` begins beyond the file's end")))?;
            if tensors.insert(name.clone(), Stored { shape, kind, bytes }).is_some() {
                return Err(cursor.broken(&format!("the tensor `{name}` stands twice")));
            }
        }
        Ok(Self { metadata, tensors })
    }
}

struct Place {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    /// From where tensors begin.
    offset: u64,
}

/// Reads forward and never beyond the end.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn broken(&self, what: &str) -> GgufError {
        GgufError::Broken { at: self.at, what: what.to_owned() }
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8], GgufError> {
        let end = usize::try_from(n).ok().and_then(|n| self.at.checked_add(n));
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(self.broken(&format!("{n} more bytes are announced, {} are left", self.bytes.len() - self.at)));
        };
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let taken = self.take(N as u64)?;
        <[u8; N]>::try_from(taken).map_err(|_| self.broken("a number is cut off"))
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, GgufError> {
        let length = self.u64()?;
        let bytes = self.take(length)?;
        // Tokens that are parts of letters are no UTF-8 in some files.
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, GgufError> {
        let whole = |number: i128| Ok(Value::Whole(number));
        match kind {
            0 => whole(u8::from_le_bytes(self.array()?).into()),
            1 => whole(i8::from_le_bytes(self.array()?).into()),
            2 => whole(u16::from_le_bytes(self.array()?).into()),
            3 => whole(i16::from_le_bytes(self.array()?).into()),
            4 => whole(u32::from_le_bytes(self.array()?).into()),
            5 => whole(i32::from_le_bytes(self.array()?).into()),
            6 => Ok(Value::Float(f32::from_le_bytes(self.array()?).into())),
            7 => Ok(Value::Bool(u8::from_le_bytes(self.array()?) != 0)),
            8 => self.text().map(Value::Text),
            9 if depth < DEEPEST => {
                let (kind, length) = (self.u32()?, self.u64()?);
                // Grows as items are there, whatever the length says.
                let mut items = vec![];
                for _ in 0..length {
                    items.push(self.value(kind, depth + 1)?);
                }
                Ok(Value::List(items))
            }
            10 => whole(u64::from_le_bytes(self.array()?).into()),
            11 => whole(i64::from_le_bytes(self.array()?).into()),
            12 => Ok(Value::Float(f64::from_le_bytes(self.array()?))),
            other => Err(self.broken(&format!("{other} is no type of a value here"))),
        }
    }

    fn place(&mut self) -> Result<Place, GgufError> {
        let (name, n_dimensions) = (self.text()?, self.u32()?);
        if n_dimensions > MOST_DIMENSIONS {
            return Err(self.broken(&format!("tensor `{name}` has {n_dimensions} dimensions, at most 4 are read")));
        }
        let mut shape = vec![];
        for _ in 0..n_dimensions {
            let size = usize::try_from(self.u64()?);
            shape.push(size.map_err(|_| self.broken(&format!("tensor `{name}` is too large")))?);
        }
        shape.reverse();
        Ok(Place { name, shape, kind: self.u32()?, offset: self.u64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with one key and one tensor of four numbers.
    fn small(alignment: u32, offset: u64) -> Vec<u8> {
        let text = |text: &str| [(text.len() as u64).to_le_bytes().as_slice(), text.as_bytes()].concat();
        let mut file = [b"GGUF".as_slice(), &3u32.to_le_bytes(), &1u64.to_le_bytes(), &1u64.to_le_bytes()].concat();
        file.extend(
            [text("general.alignment"), 4u32.to_le_bytes().to_vec(), alignment.to_le_bytes().to_vec()].concat(),
        );
        file.extend([text("x"), 2u32.to_le_bytes().to_vec()].concat());
        file.extend([2u64.to_le_bytes(), 2u64.to_le_bytes()].concat());
        file.extend([0u32.to_le_bytes().as_slice(), &offset.to_le_bytes()].concat());
        file.resize(file.len().next_multiple_of(alignment.max(1) as usize), 0);
        file.extend([1f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat());
        file
    }

    fn fails(bytes: &[u8]) -> String {
        Header::read(bytes).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_small_file_is_read_and_every_cut_is_refused() {
        let file = small(32, 0);
        let header = Header::read(&file).unwrap();
        assert_eq!(header.metadata["general.alignment"], Value::Whole(32));
        let stored = &header.tensors["x"];
        assert_eq!((stored.shape.as_slice(), stored.kind, stored.bytes.len()), ([2, 2].as_slice(), 0, 16));
        assert!((0..96).all(|end| Header::read(&file[..end]).is_err()), "no part of a header is one");
    }

    #[test]
    fn lies_are_told_of_and_take_no_memory() {
        assert!(fails(b"GGML").contains("does not begin with `GGUF`"));
        assert!(fails(&small(0, 0)).contains("`general.alignment` is no number of bytes"));
        assert!(fails(&small(32, 1 << 40)).contains("begins beyond the file's end"));
        assert!(fails(&small(32, u64::MAX)).contains("begins beyond the file's end"));
        let mut file = small(32, 0);
        file[4..8].copy_from_slice(&1u32.to_le_bytes());
        assert!(fails(&file).contains("its version is 1; read are 2 and 3"));
        file[4..8].copy_from_slice(&3u32.to_be_bytes());
        assert!(fails(&file).contains("big-endian"));
        // So many tensors, so many keys, so long a key.
        for place in [8, 16, 24] {
            let mut file = small(32, 0);
            file[place..place + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            assert!(fails(&file).contains("cannot be read at byte"), "{place}: {}", fails(&file));
        }
        let mut nested = small(32, 0)[..24].to_vec();
        nested.extend([1u64.to_le_bytes().as_slice(), b"k"].concat());
        nested.extend(9u32.to_le_bytes());
        (0..9).for_each(|_| nested.extend([9u32.to_le_bytes().as_slice(), &1u64.to_le_bytes()].concat()));
        assert!(fails(&nested).contains("9 is no type of a value here"), "{}", fails(&nested));
    }
}
