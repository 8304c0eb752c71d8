//! The house rules that a machine can keep: arrows between crates, the room of the tensor library, sizes of files.

#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn crates_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The dependencies of each crate, development ones apart.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(crates_folder()).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        let name = text.lines().find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"').to_owned();
        let section = text.split("\n[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
        let of = |line: &str| line.split(['.', '=', ' ']).next().unwrap_or_default().to_owned();
        let names = section.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).map(of);
        all.insert(name, names.collect());
    }
    all
}

#[test]
fn arrows_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("cambist-core", [].as_slice()),
        ("cambist-io", &["cambist-core"]),
        ("cambist-model", &["cambist-core"]),
        ("cambist-pipeline", &["cambist-core", "cambist-io", "cambist-model"]),
        ("cambist", &["cambist-core", "cambist-io", "cambist-pipeline"]),
    ]);
    let found = dependencies();
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), allowed.keys().copied().collect::<Vec<_>>());
    for (name, needs) in &found {
        let inside: Vec<&str> = needs.iter().map(String::as_str).filter(|need| need.starts_with("cambist")).collect();
        for need in inside {
            assert!(allowed[name.as_str()].contains(&need), "`{name}` must not depend on `{need}`");
        }
    }
}

#[test]
fn each_dependency_has_its_room() {
    let rooms = [
        ("cambist-model", ["candle-core", "gemm", "tokenizers", "safetensors", "minijinja"].as_slice()),
        ("cambist-io", &["rusqlite", "parquet", "arrow-array", "csv", "flate2", "zstd", "reqwest", "hyper", "tokio"]),
        ("cambist", &["clap", "indicatif", "ctrlc"]),
    ];
    let found = dependencies();
    for (room, libraries) in rooms {
        for library in libraries {
            let named: Vec<&String> =
                found.iter().filter(|(_, needs)| needs.contains(*library)).map(|(n, _)| n).collect();
            assert_eq!(named, [room], "`{library}` belongs to `{room}` alone");
        }
    }
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn files_are_small_and_say_what_they_are() {
    let mut files = Vec::new();
    rust_files(&crates_folder(), &mut files);
    assert!(files.len() > 50, "the test looks in the wrong place: {} files", files.len());
    let empty_names = ["utils", "util", "helpers", "common", "base", "misc", "manager", "handler", "processor"];
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(code.lines().count() <= 800, "{} has more than 800 lines", path.display());
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap();
        assert!(!empty_names.contains(&stem), "{}: the name says nothing", path.display());
        assert!(text.starts_with("//!"), "{} does not begin by saying what it is", path.display());
    }
}

#[test]
fn core_names_neither_files_nor_clocks() {
    let mut files = Vec::new();
    rust_files(&crates_folder().join("cambist-core/src"), &mut files);
    rust_files(&crates_folder().join("cambist-model/src"), &mut files);
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for forbidden in ["std::fs", "std::net", "std::env", "std::process", "Instant", "SystemTime"] {
            let names = code.lines().filter(|line| !line.trim_start().starts_with("//")).any(|l| l.contains(forbidden));
            assert!(!names, "{} names `{forbidden}`", path.display());
        }
    }
}
