//! Large sets as several files, named as the Hugging Face Hub names them.

use std::mem;

use cambist_core::prompt::{Message, Role};
use cambist_io::{
    formats::{self, LineWriter, TableRow, TableWriter},
    store::{Artifact, Scratch},
};
use serde::Serialize;

use crate::{error::PipelineError, verbs::tables::read_table};

/// Bytes of text in one file, at most, before compression.
const BYTES: usize = 256_000_000;

/// A set that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataFiles {
    /// The set's name.
    pub name: String,
    /// Its Parquet files as one pattern.
    pub pattern: String,
    /// Its rows.
    pub n_rows: usize,
}

/// Into how many files a set is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    n_rows: usize,
    /// Rows of each file, the last one aside.
    per_file: usize,
    n_files: usize,
}

impl Cut {
    /// How far apart the rows are that are measured: a thousand are near enough to all.
    pub(super) fn step(n_rows: usize) -> usize {
        n_rows.div_ceil(1000).max(1)
    }

    /// Cuts rows into files of equal numbers of rows, each with at most `shard_rows` of them and about 256 MB of text;
    /// `measured` is the length of every [`Cut::step`]th row as a line of JSON, near enough to the text that is in it.
    pub(super) fn of(n_rows: usize, shard_rows: Option<usize>, measured: impl Iterator<Item = usize>) -> Self {
        let n_bytes = measured.sum::<usize>().saturating_mul(Self::step(n_rows));
        let by_rows = shard_rows.map_or(1, |n| n_rows.div_ceil(n.max(1)));
        let n_shards = by_rows.max(n_bytes.div_ceil(BYTES)).max(1);
        let per_file = n_rows.div_ceil(n_shards).max(1);
        Self { n_rows, per_file, n_files: n_rows.div_ceil(per_file) }
    }
}

/// Writes a set as its rows come: `STEM.parquet` and `.jsonl` while one file is enough, else
/// `data/NAME/train-00000-of-000NN.parquet`.
pub(super) struct SetWriter<'a, R: TableRow> {
    scratch: &'a Scratch,
    name: &'a str,
    pattern: String,
    cut: Cut,
    table: TableWriter<R>,
    lines: Option<LineWriter>,
    /// Files that are full.
    n_full: usize,
}

impl<'a, R: TableRow> SetWriter<'a, R> {
    /// Begins a set that will have the rows that `cut` was made for.
    pub(super) fn create(scratch: &'a Scratch, (name, stem): (&'a str, &str), cut: Cut) -> Result<Self, PipelineError> {
        let is_whole = cut.n_files <= 1;
        let pattern = if is_whole { format!("{stem}.parquet") } else { format!("data/{name}/train-*.parquet") };
        let first = if is_whole { pattern.clone() } else { shard(name, (0, cut.n_files)) };
        let lines =
            is_whole.then(|| Ok::<_, PipelineError>(LineWriter::create(&scratch.path(&format!("{stem}.jsonl"))?)?));
        let (table, lines) = (TableWriter::create(&scratch.path(&first)?)?, lines.transpose()?);
        Ok(Self { scratch, name, pattern, cut, table, lines, n_full: 0 })
    }

    /// Writes the next rows, which serde writes as it would an `R`.
    pub(super) fn push(&mut self, rows: &[impl Serialize + Sync]) -> Result<(), PipelineError> {
        let Self { table, lines: Some(lines), .. } = self else { return self.push_shards(rows) };
        let (tabled, lined) = rayon::join(
            || rows.iter().try_for_each(|row| table.push_as(row)),
            || rows.iter().try_for_each(|row| lines.push(row)),
        );
        Ok(tabled.and(lined)?)
    }

    fn push_shards(&mut self, rows: &[impl Serialize]) -> Result<(), PipelineError> {
        for row in rows {
            if self.table.n_rows() as usize == self.cut.per_file {
                self.n_full += 1;
                let next = self.scratch.path(&shard(self.name, (self.n_full, self.cut.n_files)))?;
                mem::replace(&mut self.table, TableWriter::create(&next)?).finish()?;
            }
            self.table.push_as(row)?;
        }
        Ok(())
    }

    /// Completes the set.
    pub(super) fn finish(self) -> Result<DataFiles, PipelineError> {
        self.table.finish()?;
        self.lines.map_or(Ok(()), LineWriter::finish)?;
        Ok(DataFiles { name: self.name.to_owned(), pattern: self.pattern, n_rows: self.cut.n_rows })
    }
}

fn shard(name: &str, (at, n_files): (usize, usize)) -> String {
    format!("data/{name}/train-{at:05}-of-{n_files:05}.parquet")
}

/// Returns the length of a text as JSON, without its quotes.
pub(super) fn text_bytes(text: &str) -> u32 {
    let width = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(width).sum()
}

/// Returns the length of the turns of a conversation as JSON, with the commas between them and without brackets.
pub(super) fn messages_bytes(messages: &[Message]) -> u32 {
    const FRAME: usize = r#"{"role":"","content":""}"#.len();
    let role = |role: Role| match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let message = |message: &Message| (FRAME + role(message.role).len()) as u32 + text_bytes(&message.content);
    messages.iter().map(message).sum::<u32>() + messages.len().saturating_sub(1) as u32
}

/// Reads a set back, however it was written.
pub(crate) fn read<R: TableRow>(artifact: &Artifact, (name, stem): (&str, &str)) -> Result<Vec<R>, PipelineError> {
    let folder = format!("data/{name}/");
    let shards: Vec<&String> = artifact.manifest().files.keys().filter(|file| file.starts_with(&folder)).collect();
    if shards.is_empty() {
        return read_table(artifact, &format!("{stem}.parquet"));
    }
    let mut rows = Vec::new();
    for shard in shards {
        rows.extend(formats::read_table::<R>(&artifact.checked_path(shard)?)?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_evenly_and_into_no_more_files_than_there_are_rows_for() {
        let cut = |n_rows, shard_rows, bytes| {
            let measured = (0..n_rows).step_by(Cut::step(n_rows)).map(|_| bytes);
            let Cut { per_file, n_files, .. } = Cut::of(n_rows, shard_rows, measured);
            (per_file, n_files)
        };
        assert_eq!((cut(10, None, 9), cut(10, Some(10), 9), cut(10, Some(4), 9)), ((10, 1), (10, 1), (4, 3)));
        assert_eq!((cut(10, Some(2), 9), cut(0, Some(3), 9)), ((2, 5), (1, 0)));
        // 4000 rows of 100 kB are 400 MB.
        assert_eq!((cut(4000, None, 100_000), cut(4000, None, 60_000)), ((2000, 2), (4000, 1)));
    }

    #[test]
    fn lengths_are_those_of_json() {
        let text: String = (0..0x100u32).filter_map(char::from_u32).chain("日本語 👍\u{2028}".chars()).collect();
        assert_eq!(text_bytes(&text) as usize + 2, serde_json::to_string(&text).unwrap().len());
        let turns = [Role::System, Role::User, Role::Assistant, Role::Tool]
            .map(|role| Message { role, content: "a \"b\"\n".into() });
        for n in 0..=turns.len() {
            let json = serde_json::to_string(&turns[..n]).unwrap();
            assert_eq!(messages_bytes(&turns[..n]) as usize + 2, json.len());
        }
    }
}
