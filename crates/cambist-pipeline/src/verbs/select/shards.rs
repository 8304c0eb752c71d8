//! Large sets as several files, named as the Hugging Face Hub names them.

use cambist_io::{
    formats::{self, TableRow, to_jsonl},
    store::{Artifact, Scratch},
};

use crate::{
    error::PipelineError,
    verbs::tables::{read_table, write_table},
};

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

/// Writes a set: `STEM.parquet` and `.jsonl` while one file is enough, else `data/NAME/train-00000-of-000NN.parquet`,
/// each with at most `shard_rows` rows and about 256 MB of text.
pub(super) fn write<R: TableRow>(
    scratch: &Scratch,
    (name, stem): (&str, &str),
    (rows, shard_rows): (&[R], Option<usize>),
) -> Result<DataFiles, PipelineError> {
    let shards = cut(rows, shard_rows)?;
    let n_rows = rows.len();
    if let [_] | [] = shards.as_slice() {
        let pattern = format!("{stem}.parquet");
        write_table(scratch, &pattern, rows)?;
        scratch.write(&format!("{stem}.jsonl"), &to_jsonl(rows)?)?;
        return Ok(DataFiles { name: name.to_owned(), pattern, n_rows });
    }
    for (at, shard) in shards.iter().enumerate() {
        write_table(scratch, &format!("data/{name}/train-{at:05}-of-{:05}.parquet", shards.len()), *shard)?;
    }
    Ok(DataFiles { name: name.to_owned(), pattern: format!("data/{name}/train-*.parquet"), n_rows })
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

/// Cuts rows into files of equal numbers of rows.
fn cut<R: TableRow>(rows: &[R], shard_rows: Option<usize>) -> Result<Vec<&[R]>, PipelineError> {
    // JSON is near enough to the text that is in a row, and a thousand rows are near enough to all.
    let step = rows.len().div_ceil(1000).max(1);
    let some: Vec<&R> = rows.iter().step_by(step).collect();
    let n_bytes = to_jsonl(some.iter().copied())?.len().saturating_mul(step);
    let by_rows = shard_rows.map_or(1, |n| rows.len().div_ceil(n.max(1)));
    let n_shards = by_rows.max(n_bytes.div_ceil(BYTES)).max(1);
    Ok(rows.chunks(rows.len().div_ceil(n_shards).max(1)).collect())
}

#[cfg(test)]
mod tests {
    use cambist_core::language::Language;
    use cambist_io::formats::SftRow;

    use super::*;

    fn rows(n: usize) -> Vec<SftRow> {
        let row = |n: usize| SftRow {
            id: n.to_string(),
            source_id: n.to_string(),
            language: Language::parse("tr").unwrap(),
            source: "s".into(),
            task: None,
            messages: Vec::new(),
            teacher: "t".into(),
            license: "mit".into(),
            score: None,
        };
        (0..n).map(row).collect()
    }

    #[test]
    fn rows_are_cut_evenly_and_keep_their_order() {
        let all = rows(10);
        let sizes = |shard_rows| cut(&all, shard_rows).unwrap().iter().map(|shard| shard.len()).collect::<Vec<_>>();
        assert_eq!((sizes(None), sizes(Some(10)), sizes(Some(4))), (vec![10], vec![10], vec![4, 4, 2]));
        assert_eq!(cut(&all, Some(3)).unwrap().concat(), all);
        assert!(cut(&rows(0), Some(3)).unwrap().is_empty());
    }
}
