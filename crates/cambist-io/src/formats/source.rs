//! One source of rows in several files: a file, a folder, or a pattern such as `data/*.parquet`.

use std::path::{Component, Path, PathBuf};

use cambist_core::digest::Digest;

use crate::{
    disk::{self, DiskError},
    store::FileDigests,
};

/// What a folder of rows may hold beside other files.
const READABLE: [&str; 6] = [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"];

/// Returns the files of a source in the order in which they are read: a file is itself, a folder stands for the files
/// of rows right inside it, and a pattern for the files that it fits, both by name. In a pattern `*` and `?` stand for
/// any characters but `/`, and `**` for any folders.
///
/// # Errors
/// When nothing is there, or the disk refuses.
pub fn files_of(source: &Path) -> disk::Result<Vec<PathBuf>> {
    let files = if source.is_dir() {
        disk::entries(source)?.into_iter().filter(|path| path.is_file() && is_readable(path)).collect()
    } else if is_pattern(source) && !source.exists() {
        fitting(source)?
    } else {
        return Ok(vec![source.to_owned()]);
    };
    if files.is_empty() { Err(DiskError::Missing { path: source.to_owned() }) } else { Ok(files) }
}

/// Returns the digest of a source's bytes: for one file that of [`disk::digest_file`], for several one of their names
/// and contents. Files that `digests` remembers are not read.
///
/// # Errors
/// As [`files_of`], and when a file cannot be read.
pub fn digest_source(source: &Path, digests: &FileDigests) -> disk::Result<Digest> {
    let files = files_of(source)?;
    if let [only] = files.as_slice()
        && only == source
    {
        return digests.digest(only);
    }
    let mut parts = Vec::new();
    for file in &files {
        parts.push(name_of(file).into_bytes());
        parts.push(digests.digest(file)?.as_str().as_bytes().to_vec());
    }
    Ok(Digest::of_parts(parts.iter().map(Vec::as_slice)))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_readable(path: &Path) -> bool {
    is_readable_name(&name_of(path))
}

/// Whether a file of this name is read when it lies in a folder of rows.
pub(crate) fn is_readable_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let stem = name.trim_end_matches(".gz").trim_end_matches(".zst");
    !name.starts_with(['.', '_']) && READABLE.iter().any(|suffix| stem.ends_with(suffix))
}

fn is_pattern(source: &Path) -> bool {
    source.to_string_lossy().contains(['*', '?'])
}

/// Walks down from the part of the path that is no pattern.
fn fitting(pattern: &Path) -> disk::Result<Vec<PathBuf>> {
    let parts: Vec<Component<'_>> = pattern.components().collect();
    let plain = parts.iter().take_while(|part| !is_pattern(Path::new(part.as_os_str()))).count();
    let start: PathBuf = parts[..plain].iter().collect();
    let below: Vec<String> =
        parts[plain..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let mut found = Vec::new();
    walk(&start, &below, &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn walk(folder: &Path, below: &[String], found: &mut Vec<PathBuf>) -> disk::Result<()> {
    let Some((first, rest)) = below.split_first() else { return Ok(()) };
    if first == "**" {
        walk(folder, rest, found)?;
    }
    for path in disk::entries(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })? {
        if path.is_dir() {
            if first == "**" {
                walk(&path, below, found)?;
            } else if fits(first, &name_of(&path)) {
                walk(&path, rest, found)?;
            }
        } else if rest.is_empty() && fits(first, &name_of(&path)) {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a path fits a pattern, part by part.
pub(crate) fn path_fits(pattern: &str, path: &str) -> bool {
    fn parts_fit(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), Some((_, below))) => parts_fit(rest, path) || parts_fit(pattern, below),
            (Some((first, rest)), Some((name, below))) => fits(first, name) && parts_fit(rest, below),
            _ => false,
        }
    }
    parts_fit(&pattern.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>())
}

/// Whether a name fits a pattern of `*` and `?`.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for wanted in &pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            let is_step = at > 0 && reached[at - 1] && (*wanted == '?' || *wanted == name[at - 1]);
            next[at] = if *wanted == '*' { reached[at] || (at > 0 && next[at - 1]) } else { is_step };
        }
        reached = next;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_and_patterns() {
        for (pattern, name, expected) in [
            ("*.parquet", "train-00000.parquet", true),
            ("*.parquet", "train.parquet.md", false),
            ("train-?.*", "train-1.csv", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_fit_part_by_part() {
        for (pattern, path, expected) in [
            ("data/*.parquet", "data/a.parquet", true),
            ("data/*.parquet", "data/de/a.parquet", false),
            ("**/*.parquet", "a.parquet", true),
            ("data/**/a.*", "data/x/y/a.csv", true),
            ("data/**", "data/x", false),
        ] {
            assert_eq!(path_fits(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_source_is_a_file_a_folder_or_a_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("de/data")).unwrap();
        for name in ["b.parquet", "a.parquet", "README.md", "de/data/c.jsonl.gz", "de/data/d.txt"] {
            fs::write(at(name), name).unwrap();
        }
        let found = |pattern: &str| files_of(&at(pattern)).unwrap();
        assert_eq!(files_of(folder.path()).unwrap(), [at("a.parquet"), at("b.parquet")]);
        assert_eq!(found("?.parquet"), [at("a.parquet"), at("b.parquet")]);
        assert_eq!(found("**/*.gz"), [at("de/data/c.jsonl.gz")]);
        assert_eq!(found("*/data/*"), [at("de/data/c.jsonl.gz"), at("de/data/d.txt")]);
        assert_eq!(found("none.csv"), [at("none.csv")], "whether it is there is found out on reading");
        assert!(matches!(files_of(&at("*.csv")), Err(DiskError::Missing { .. })));
    }

    #[test]
    fn digests_follow_names_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.csv"), "1").unwrap();
        let digests = FileDigests::default();
        assert_eq!(digest_source(&at("a.csv"), &digests).unwrap(), disk::digest_file(&at("a.csv")).unwrap());
        let one = digest_source(&at("*.csv"), &digests).unwrap();
        fs::write(at("b.csv"), "2").unwrap();
        let two = digest_source(&at("*.csv"), &digests).unwrap();
        assert_ne!(one, two);
        assert_eq!(two, digest_source(folder.path(), &digests).unwrap());
    }
}
