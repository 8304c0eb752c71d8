//! Files that lie: each one is refused with a reason, in little time and memory, and none brings the process down.

#![cfg(test)]

use std::{fs, io::Write as _, path::Path};

use cambist_core::score::Score;
use cambist_io::{
    disk::DiskError,
    formats::{
        FormatError, Problem, PromptColumns, RecordedColumns, read_prompts, read_scores, read_table, to_parquet,
    },
};

fn refused(name: &str, bytes: &[u8]) -> FormatError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    read_prompts(&path, &PromptColumns::default()).map(|prompts| panic!("{name} was read: {prompts:?}")).unwrap_err()
}

fn problem(name: &str, bytes: &[u8]) -> Problem {
    match refused(name, bytes) {
        FormatError::Rows { mut faults, .. } => faults.remove(0).problem,
        error => panic!("{name}: {error:?}"),
    }
}

fn scores() -> Vec<u8> {
    let score = |n: u32| Score {
        prompt_id: format!("p{n}"),
        teacher: "t".into(),
        sample: n,
        arbiter: "exact".into(),
        value: (!n.is_multiple_of(3)).then(|| f64::from(n).sqrt()),
        missing: None,
    };
    to_parquet(&(0..500).map(score).collect::<Vec<_>>()).unwrap()
}

#[test]
fn compressed_files_that_are_cut_or_are_none() {
    let rows = "{\"prompt\": \"слово 言葉\"}\n".repeat(2000);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(rows.as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    let zstd = zstd::encode_all(rows.as_bytes(), 1).unwrap();
    for cut in [gzip.len() / 2, gzip.len() - 1, 12] {
        let error = refused("a.jsonl.gz", &gzip[..cut]);
        assert!(matches!(error, FormatError::Truncated { .. }), "{cut}: {error:?}");
    }
    for cut in [zstd.len() / 2, zstd.len() - 1, 6] {
        let error = refused("a.jsonl.zst", &zstd[..cut]);
        assert!(matches!(error, FormatError::Truncated { .. }), "{cut}: {error:?}");
    }
    let mut broken = gzip.clone();
    let end = broken.len() - 6;
    broken[end] ^= 0xff;
    assert!(matches!(refused("a.jsonl.gz", &broken), FormatError::NotThatFormat { .. }), "wrong checksum");
    for name in ["a.jsonl.gz", "a.csv.zst"] {
        assert!(matches!(refused(name, b"{\"prompt\": \"x\"}"), FormatError::NotThatFormat { .. }), "{name}");
    }
}

#[test]
fn parquet_that_is_cut_garbled_or_none() {
    let whole = scores();
    for cut in [4, 8, whole.len() / 2, whole.len() - 1] {
        assert!(matches!(refused("a.parquet", &whole[..cut]), FormatError::NotThatFormat { .. }), "{cut}");
    }
    let garbage: Vec<u8> = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for bytes in [[b"PAR1", &garbage[..]].concat(), [b"PAR1", &garbage[..], b"\xff\xff\xff\x7fPAR1"].concat(), garbage]
    {
        assert!(matches!(refused("a.parquet", &bytes), FormatError::NotThatFormat { .. }));
    }
    assert!(matches!(refused("a.parquet", b"{\"prompt\": \"x\"}\n"), FormatError::NotThatFormat { .. }));
}

#[test]
fn parquet_with_any_byte_changed_is_read_or_refused_and_never_ends_the_process() {
    let whole = scores();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let mut n_refused = 0;
    for at in (0..whole.len()).step_by(whole.len().div_ceil(1500)) {
        let mut bytes = whole.clone();
        bytes[at] ^= [0x01, 0x80, 0xff][at % 3];
        fs::write(&path, bytes).unwrap();
        n_refused += usize::from(read_table::<Score>(&path).is_err());
    }
    assert!(n_refused > 300, "{n_refused}");
}

#[test]
fn json_that_is_too_deep_too_long_or_ambiguous() {
    let bomb = format!("{{\"prompt\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(
        matches!(problem("a.jsonl", bomb.as_bytes()), Problem::Json { reason, .. } if reason.contains("recursion"))
    );
    assert!(matches!(refused("a.json", format!("[{bomb}]").as_bytes()), FormatError::NotThatFormat { .. }));

    let long = [b"{\"prompt\": \"".as_slice(), &vec![b'x'; 65 << 20], b"\"}\n{\"prompt\": 1}\n"].concat();
    let error = refused("a.jsonl", &long);
    let FormatError::Rows { faults, .. } = &error else { panic!("{error}") };
    assert!(matches!(faults[0].problem, Problem::TooLong { .. }));
    assert!(matches!(faults[1].problem, Problem::Wrong { .. }), "the next line is read on: {error}");

    let twice = problem("a.jsonl", b"{\"prompt\": \"x\", \"prompt\": \"y\"}\n");
    assert!(
        matches!(&twice, Problem::Json { reason, .. } if reason == "field `prompt` stands twice in one row"),
        "{twice}"
    );
    for line in [
        "{\"prompt\": \"\\ud800\"}",
        "{\"prompt\": \"\\udc00x\"}",
        "{\"prompt\": \"a\tb\"}",
        "[1, 2]",
        "nul",
        "{\"prompt\": \"x\"} {}",
        "{\"prompt\": \"x\"",
    ] {
        assert!(matches!(problem("a.jsonl", line.as_bytes()), Problem::Json { .. }), "{line}");
    }
    assert!(matches!(problem("a.jsonl", b"{\"prompt\": \"x\"}\n\x00\n"), Problem::Json { .. }));
}

#[test]
fn bytes_that_are_no_text_are_named_with_line_and_byte() {
    let error = refused("a.jsonl", b"{\"prompt\": \"x\"}\n{\"prompt\": \"caf\xe9\"}\n");
    assert!(error.to_string().contains("line 2: byte 16 is not UTF-8"), "{error}");
    let error = refused("a.csv", b"id,prompt\n1,caf\xe9\n");
    assert!(error.to_string().contains("line 2: byte 4 is not UTF-8"), "{error}");
    let error = refused("a.json", b"[{\"prompt\": \"x\"},\n{\"prompt\": \"\xff\"}]");
    assert!(error.to_string().contains("line 2, byte 31 of the file is not UTF-8"), "{error}");
    let utf16: Vec<u8> = "\u{feff}{\"prompt\": \"x\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(refused("a.jsonl", &utf16).to_string().contains("it is UTF-16, save it as UTF-8"));
}

#[test]
fn tables_that_are_ragged_empty_or_ambiguous() {
    let error = refused("a.csv", b"id,prompt\n1,a\n2\n3,b,c\n");
    let FormatError::Rows { faults, n_faults: 2, .. } = &error else { panic!("{error}") };
    assert_eq!(faults[0].problem, Problem::Ragged { found: 1, expected: 2 });
    assert_eq!(faults[1].to_string(), "line 4: found 3 cells, expected 2 as in the header");
    assert_eq!(problem("a.csv", b"id,prompt\n1,\"a\n2,b\n3,c"), Problem::Unclosed);
    assert!(
        matches!(refused("a.csv", b"id,prompt,id\n1,a,2\n"), FormatError::DuplicateColumn { column, .. } if column == "id")
    );
    for (name, bytes) in
        [("a.csv", "id,prompt\n"), ("a.jsonl", ""), ("b.jsonl", "\n \n\r\n"), ("a.json", "[]"), ("a.parquet", "")]
    {
        assert!(matches!(refused(name, bytes.as_bytes()), FormatError::Empty { .. }), "{name}");
    }
    assert!(matches!(refused("notes.txt", b"once upon a time"), FormatError::UnknownFormat { .. }));
}

#[test]
fn numbers_that_python_writes_and_json_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.jsonl");
    for word in ["NaN", "Infinity", "-Infinity"] {
        fs::write(&path, format!("{{\"prompt_id\": 1, \"model\": \"a\", \"score\": {word}}}\n")).unwrap();
        let error = read_scores(&path, &RecordedColumns::default(), "x").unwrap_err();
        assert!(error.to_string().contains("write null where a number is missing"), "{error}");
    }
}

#[test]
fn what_is_no_file_or_may_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &Path| read_prompts(path, &PromptColumns::default()).unwrap_err();
    assert!(matches!(read(folder.path()), FormatError::Disk(DiskError::IsFolder { .. })));
    let missing = read(&folder.path().join("none.jsonl"));
    assert!(matches!(missing, FormatError::Disk(DiskError::Missing { .. })) && missing.fault().exit_code() == 2);
    let path = folder.path().join("secret.jsonl");
    fs::write(&path, "{\"prompt\": \"x\"}\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        match read_prompts(&path, &PromptColumns::default()) {
            Ok(_) => eprintln!("skipped: this user may read everything"),
            Err(error) => assert!(matches!(error, FormatError::Disk(DiskError::Forbidden { .. })), "{error}"),
        }
    }
}
