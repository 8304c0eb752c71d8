//! What `datasets` reads of what is written here, and what is read here of what `datasets` writes.

#![cfg(test)]

use std::{fs, path::PathBuf};

use cambist_core::{
    language::Language,
    prompt::{Message, Role},
};
use cambist_io::formats::{PreferenceRow, PromptColumns, SftRow, read_prompts, read_table, to_jsonl, to_parquet};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn pairs() -> Vec<PreferenceRow> {
    let pair = |id: &str, tag: &str, asked: &str, good: &str, bad: &str| PreferenceRow {
        id: format!("{id}-{tag}"),
        source_id: id.into(),
        language: Language::parse(tag).unwrap(),
        source: "polyglot".into(),
        prompt: vec![Message { role: Role::System, content: String::new() }, Message::user(asked)],
        chosen: vec![Message::assistant(good)],
        rejected: vec![Message::assistant(bad)],
        chosen_model: "tiny-ar".into(),
        rejected_model: "tiny-all".into(),
        chosen_score: 0.1 + 0.2,
        rejected_score: 1.0 / 3.0 - 1.0,
        margin: (0.1 + 0.2) - (1.0 / 3.0 - 1.0),
    };
    vec![
        pair("day-1", "ar", "ما اليوم بعد الثلاثاء؟", "الأربعاء", "\u{202e}أمس"),
        pair("day-1", "zh-hant", "星期二之後是哪一天？", "星期三", "星期\u{2028}二\n\t\"?\""),
        pair("day-2", "tr", "Salıdan sonra? 👩‍👩‍👧", "çarşamba", ""),
    ]
}

fn sft() -> Vec<SftRow> {
    let row = |pair: PreferenceRow| SftRow {
        messages: [pair.prompt, pair.chosen].concat(),
        task: (pair.id == "day-2-tr").then(|| "next-day".into()),
        score: (pair.id != "day-2-tr").then_some(pair.chosen_score),
        id: pair.id,
        source_id: pair.source_id,
        language: pair.language,
        source: pair.source,
        teacher: pair.chosen_model,
        license: "apache-2.0".into(),
    };
    pairs().into_iter().map(row).collect()
}

#[test]
fn datasets_saw_the_rows_and_the_column_types_that_trl_expects() {
    let files = [
        ("pairs.parquet", to_parquet(&pairs()).unwrap()),
        ("pairs.jsonl", to_jsonl(&pairs()).unwrap()),
        ("sft.parquet", to_parquet(&sft()).unwrap()),
        ("sft.jsonl", to_jsonl(&sft()).unwrap()),
    ];
    if std::env::var_os("CAMBIST_WRITE_GOLDEN").is_some() {
        for (name, bytes) in &files {
            fs::write(golden(name), bytes).unwrap();
        }
    }
    // The very files that `datasets` read are those that are written today.
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".jsonl")) {
        assert_eq!(&fs::read(golden(name)).unwrap(), bytes, "{name}");
    }
    assert_eq!(read_table::<PreferenceRow>(&golden("pairs.parquet")).unwrap(), pairs());
    assert_eq!(read_table::<SftRow>(&golden("sft.parquet")).unwrap(), sft());

    let seen: Value = serde_json::from_slice(&fs::read(golden("hf_shapes.json")).unwrap()).unwrap();
    assert_eq!(seen["pairs"]["rows"], serde_json::to_value(pairs()).unwrap());
    assert_eq!(seen["sft"]["rows"], serde_json::to_value(sft()).unwrap());
    assert_eq!(seen["pairs"]["columns"]["margin"], "Value('float64')");
}

#[test]
fn what_datasets_writes_is_read_with_its_nested_lists() {
    let prompts = read_prompts(&golden("hf_written.parquet"), &PromptColumns::default()).unwrap();
    let read: Vec<_> = prompts
        .iter()
        .map(|prompt| (prompt.id.as_deref(), prompt.messages[0].content.as_str(), prompt.reference.as_deref()))
        .collect();
    let expected = [(Some("1"), "ما اليوم؟", Some("الأربعاء")), (Some("2"), "何曜日？\u{2028}", Some("水曜日 🗓"))];
    assert_eq!(read, expected);
}
