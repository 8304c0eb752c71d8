//! Which format a file is in: by its name, then by its first bytes.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::{FormatError, Result};
use crate::disk::DiskError;

/// A format of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    JsonLines,
    JsonArray,
    Csv { delimiter: u8 },
    Parquet,
}

/// A file ready to be read as text, without compression and byte order mark.
pub(super) struct Opened {
    pub(super) container: Container,
    pub(super) reader: Box<dyn BufRead>,
}

const ACCEPTED: &str = "`.jsonl`, `.json`, `.csv`, `.tsv` (each also with `.gz` or `.zst` behind) or `.parquet`";

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const PARQUET: &[u8] = b"PAR1";
const UTF8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Zstandard windows up to 128 MiB are read, the largest that its own tool takes without being asked.
const ZSTD_WINDOW_LOG: u32 = 27;

pub(super) fn open(path: &Path) -> Result<Opened> {
    let failed = |source| FormatError::from(DiskError::of("read", path, source));
    if path.is_dir() {
        return Err(DiskError::IsFolder { path: path.to_owned() }.into());
    }
    let file = File::open(path).map_err(failed)?;
    let (first, packed) = look_ahead(BufReader::with_capacity(1 << 16, file)).map_err(failed)?;
    if first.is_empty() {
        return Err(FormatError::Empty { path: path.to_owned() });
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let reader = unpack(path, &name, &first, packed)?;
    let (first, mut reader) = look_ahead(reader).map_err(|source| read_failed(path, source))?;
    refuse_utf16(path, &first)?;
    if first.starts_with(UTF8_MARK) {
        reader.consume(UTF8_MARK.len());
    }
    let container = container_of(path, &name, first.strip_prefix(UTF8_MARK).unwrap_or(&first))?;
    Ok(Opened { container, reader: Box::new(reader) })
}

/// Tells a file that stops in the middle from one that the disk does not give.
pub(super) fn read_failed(path: &Path, source: io::Error) -> FormatError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::UnexpectedEof => FormatError::Truncated { path },
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            FormatError::NotThatFormat { path, expected: "sound compressed data", reason: source.to_string() }
        }
        _ => DiskError::of("read", &path, source).into(),
    }
}

type Ahead<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// Returns the first bytes and a reader that gives them again.
fn look_ahead<R: BufRead>(mut reader: R) -> io::Result<(Vec<u8>, Ahead<R>)> {
    let mut first = Vec::new();
    reader.by_ref().take(64).read_to_end(&mut first)?;
    Ok((first.clone(), Cursor::new(first).chain(reader)))
}

fn unpack(path: &Path, name: &str, first: &[u8], packed: impl BufRead + 'static) -> Result<Box<dyn BufRead>> {
    let promised = |suffix: &str, expected| {
        let reason = format!("its name ends in `{suffix}` and its first bytes are others");
        let wrong = FormatError::NotThatFormat { path: path.to_owned(), expected, reason };
        if name.ends_with(suffix) { Err(wrong) } else { Ok(()) }
    };
    if first.starts_with(GZIP) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(packed))));
    }
    if first.starts_with(ZSTD) {
        let mut decoder = zstd::Decoder::with_buffer(packed).map_err(|source| read_failed(path, source))?;
        decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|source| read_failed(path, source))?;
        return Ok(Box::new(BufReader::new(decoder)));
    }
    promised(".gz", "gzip")?;
    promised(".zst", "Zstandard")?;
    Ok(Box::new(packed))
}

fn refuse_utf16(path: &Path, first: &[u8]) -> Result<()> {
    if first.starts_with(&[0xff, 0xfe]) || first.starts_with(&[0xfe, 0xff]) {
        let reason = "it is UTF-16, save it as UTF-8".to_owned();
        return Err(FormatError::NotThatFormat { path: path.to_owned(), expected: "UTF-8 text", reason });
    }
    Ok(())
}

fn container_of(path: &Path, name: &str, first: &[u8]) -> Result<Container> {
    let stem = name.trim_end_matches(".gz").trim_end_matches(".zst");
    let suffix = stem.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    let first_char = first.iter().find(|byte| !byte.is_ascii_whitespace());
    let by_bytes = match first_char {
        _ if first.starts_with(PARQUET) => Some(Container::Parquet),
        Some(b'[') => Some(Container::JsonArray),
        Some(b'{') => Some(Container::JsonLines),
        _ => None,
    };
    match suffix {
        "jsonl" | "ndjson" => Ok(Container::JsonLines),
        "json" => Ok(by_bytes.filter(|found| *found != Container::Parquet).unwrap_or(Container::JsonLines)),
        "csv" => Ok(Container::Csv { delimiter: b',' }),
        "tsv" => Ok(Container::Csv { delimiter: b'\t' }),
        "parquet" => Ok(Container::Parquet),
        _ => by_bytes.ok_or_else(|| FormatError::UnknownFormat { path: path.to_owned(), expected: ACCEPTED }),
    }
}
