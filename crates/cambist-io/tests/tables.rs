//! Every kind of row through Parquet and JSONL and back.

#![cfg(test)]

use std::fs;

use cambist_core::{
    check::Check,
    completion::{Completion, FinishReason, Origin},
    language::Language,
    prompt::{Message, Prompt, Role},
    score::Score,
};
use cambist_io::formats::{
    Cell, FormatError, LabelledRow, PreferenceRow, RecordedColumns, SftRow, TableRow, TableWriter, read_scores,
    read_table, scan_batches, to_jsonl, to_parquet,
};
use proptest::prelude::*;
use serde_json::json;

/// Text that breaks careless writers: right-to-left marks, CJK, emoji of several scalars, line separators, NUL.
fn text() -> impl Strategy<Value = String> {
    let nasty = [
        "\u{202e}שלום\u{200f}",
        "العربية ١٢٣",
        "日本語、漢字",
        "👩‍👩‍👧🇹🇷",
        "\u{2028}\u{2029}\u{85}",
        "\0\u{1}\u{7f}",
        "\"\\/\r\n\t,",
        "",
        "\u{feff}",
    ];
    prop_oneof![any::<String>(), proptest::sample::select(nasty.to_vec()).prop_map(str::to_owned), ".{0,40}"]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |x| x.is_finite()),
        Just(0.1 + 0.2),
        Just(-0.0),
        Just(f64::MIN_POSITIVE),
        Just(f64::MAX)
    ]
}

fn language() -> impl Strategy<Value = Language> {
    proptest::sample::select(vec!["ar", "zh-hant", "uk", "tr"]).prop_map(|tag| Language::parse(tag).unwrap())
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let role = proptest::sample::select(vec![Role::System, Role::User, Role::Assistant, Role::Tool]);
    proptest::collection::vec((role, text()).prop_map(|(role, content)| Message { role, content }), 0..4)
}

prop_compose! {
    fn prompt()(id in text(), source_id in text(), language in language(), answer in proptest::option::of(language()),
                messages in messages(), task in proptest::option::of(text()), reference in proptest::option::of(text()),
                check in proptest::option::of(proptest::collection::vec(text(), 0..3)), source in text(), mt_engine in proptest::option::of(text())) -> Prompt {
        Prompt { id, source_id, language, answer_language: answer, messages, task, reference, check: check.map(Check::OneOf), source,
            origin: mt_engine.clone().map(|_| "translated".to_owned()), mt_engine }
    }
}

prop_compose! {
    fn completion()(prompt_id in text(), language in language(), sample in any::<u32>(), text in text(),
                    failure in proptest::option::of(text()), tokens in proptest::option::of(any::<u32>()),
                    cost_usd in number(), mt_engine in proptest::option::of(text())) -> Completion {
        let finish_reason = if failure.is_some() { FinishReason::Error } else { FinishReason::ContentFilter };
        let origin = failure.clone().map(|teacher| Origin { prompt_id: text.clone(), teacher, mt_engine, fusion: None });
        Completion { source_id: prompt_id.clone(), prompt_id, language, teacher: "t".into(), sample, text, finish_reason,
                     failure, tokens_in: tokens, tokens_out: None, cost_usd, origin }
    }
}

prop_compose! {
    fn score()(prompt_id in text(), arbiter in text(), value in proptest::option::of(number()),
               missing in proptest::option::of(text())) -> Score {
        Score { prompt_id, teacher: "t".into(), sample: 0, arbiter, value, missing }
    }
}

prop_compose! {
    fn sft()(id in text(), language in language(), messages in messages(), score in proptest::option::of(number()),
             task in proptest::option::of(text())) -> SftRow {
        SftRow { source_id: id.clone(), id, language, source: "s".into(), task, messages, teacher: "t".into(),
                 license: "apache-2.0".into(), score }
    }
}

prop_compose! {
    fn pair()(id in text(), language in language(), prompt in messages(), chosen in messages(), rejected in messages(),
              chosen_score in number(), rejected_score in number()) -> PreferenceRow {
        PreferenceRow { source_id: id.clone(), id, language, source: "s".into(), prompt, chosen, rejected,
                        chosen_model: "a".into(), rejected_model: "b".into(), chosen_score, rejected_score, margin: 0.5 }
    }
}

prop_compose! {
    fn labelled()(id in text(), language in language(), prompt in messages(), completion in messages(), label in any::<bool>(),
                  task in proptest::option::of(text()), score in number()) -> LabelledRow {
        LabelledRow { source_id: id.clone(), id, language, source: "s".into(), task, prompt, completion, label, teacher: "t".into(),
                      license: "apache-2.0".into(), score }
    }
}

fn comes_back<R: TableRow + PartialEq + std::fmt::Debug>(rows: &[R]) {
    let folder = tempfile::tempdir().unwrap();
    let [parquet, jsonl] = ["rows.parquet", "rows.jsonl"].map(|name| folder.path().join(name));
    let bytes = to_parquet(rows).unwrap();
    assert_eq!(bytes, to_parquet(rows).unwrap(), "same rows, same bytes");
    fs::write(&parquet, bytes).unwrap();
    fs::write(&jsonl, to_jsonl(rows).unwrap()).unwrap();
    assert_eq!(read_table::<R>(&parquet).unwrap(), rows);
    assert_eq!(read_table::<R>(&jsonl).unwrap(), rows);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prompts_come_back(rows in proptest::collection::vec(prompt(), 0..6)) { comes_back(&rows); }

    #[test]
    fn completions_come_back(rows in proptest::collection::vec(completion(), 0..6)) { comes_back(&rows); }

    #[test]
    fn scores_come_back(rows in proptest::collection::vec(score(), 0..6)) { comes_back(&rows); }

    #[test]
    fn supervised_rows_come_back(rows in proptest::collection::vec(sft(), 0..6)) { comes_back(&rows); }

    #[test]
    fn preference_pairs_come_back(rows in proptest::collection::vec(pair(), 0..6)) { comes_back(&rows); }

    #[test]
    fn labelled_answers_come_back(rows in proptest::collection::vec(labelled(), 0..6)) { comes_back(&rows); }
}

#[test]
fn more_rows_than_one_batch_keep_their_order_and_exact_numbers() {
    let score = |n: u32| Score {
        prompt_id: format!("p{n}"),
        teacher: "t".into(),
        sample: n,
        arbiter: "exact".into(),
        value: (!n.is_multiple_of(3)).then(|| 1.0 / f64::from(n)),
        missing: None,
    };
    let rows: Vec<Score> = (0..10_000).map(score).collect();
    comes_back(&rows);
    let zero = Score { value: Some(-0.0), ..score(1) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zero.parquet");
    fs::write(&path, to_parquet([&zero]).unwrap()).unwrap();
    assert!(read_table::<Score>(&path).unwrap()[0].value.unwrap().is_sign_negative());
}

#[test]
fn own_tables_are_also_recorded_scores_with_missing_ones_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.parquet");
    let score = |teacher: &str, value: Option<f64>| Score {
        prompt_id: "p".into(),
        teacher: teacher.into(),
        sample: 0,
        arbiter: "exact".into(),
        value,
        missing: None,
    };
    fs::write(&path, to_parquet(&[score("a", None), score("b", Some(0.25))]).unwrap()).unwrap();
    let read = read_scores(&path, &RecordedColumns::default(), "unknown").unwrap();
    assert_eq!(read.iter().map(|score| score.value).collect::<Vec<_>>(), [None, Some(0.25)]);
    assert!(read[0].missing.is_some());
}

/// A row of whatever fields, for columns of every kind.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Loose(serde_json::Map<String, serde_json::Value>);

impl TableRow for Loose {
    const TABLE: &'static str = "loose";
    const COLUMNS: &'static [(&'static str, Cell)] = &[
        ("text", Cell::Text),
        ("integer", Cell::Integer),
        ("number", Cell::Number),
        ("flag", Cell::Flag),
        ("texts", Cell::TextList),
        ("turns", Cell::Messages),
        ("json", Cell::Json),
    ];
}

fn loose(fields: serde_json::Value) -> Loose {
    serde_json::from_value(fields).unwrap()
}

#[test]
fn every_kind_of_column_comes_back_and_missing_cells_are_left_out() {
    let whole = loose(json!({
        "text": "Çarşamba", "integer": -7, "number": 0.5, "flag": true, "texts": ["a", "", "水"],
        "turns": [{"role": "user", "content": "?"}], "json": {"one_of": ["a"], "n": [1, 2.5]},
    }));
    comes_back(&[whole.clone(), loose(json!({})), loose(json!({"flag": false, "texts": []})), whole]);
}

#[test]
fn what_fits_no_column_is_refused_by_name_and_spoils_the_table() {
    let unfit = [
        ("other", json!({"other": 1})),
        ("text", json!({"text": 1})),
        ("text", json!({"text": {"a": 1}})),
        ("integer", json!({"integer": "1"})),
        ("integer", json!({"integer": u64::MAX})),
        ("integer", json!({"integer": 1.5})),
        ("number", json!({"number": "1"})),
        ("flag", json!({"flag": 1})),
        ("texts", json!({"texts": "a"})),
        ("texts", json!({"texts": ["a", 1]})),
        ("texts", json!({"texts": ["a", null]})),
        ("turns", json!({"turns": ["a"]})),
        ("turns", json!({"turns": [{"role": "user", "content": "a", "name": "b"}]})),
    ];
    let folder = tempfile::tempdir().unwrap();
    let sound = loose(json!({"text": "a", "integer": 1}));
    for (column, fields) in unfit {
        let row = loose(fields);
        let error = to_parquet([&sound, &row]).unwrap_err();
        assert!(matches!(error, FormatError::Encode { table: "loose", .. }), "{error}");
        assert!(error.to_string().contains(&format!("`{column}`")), "{column}: {error}");
        // A row half of which was taken in must not lend its cells to the next one.
        let mut table = TableWriter::create(&folder.path().join("loose.parquet")).unwrap();
        assert!(table.push(&row).is_err() && table.push(&sound).is_err(), "{column}");
        assert!(table.n_rows() == 0 && table.finish().is_err(), "{column}");
    }
}

/// A part of a score, its texts where they lie.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Part<'r> {
    prompt_id: &'r str,
    value: Option<f64>,
}

#[test]
fn batches_show_the_columns_that_were_asked_for() {
    let score = |n: u32| Score {
        prompt_id: format!("日本 {n}"),
        teacher: "t".into(),
        sample: n,
        arbiter: "exact".into(),
        value: (!n.is_multiple_of(3)).then_some(f64::from(n)),
        missing: None,
    };
    let rows: Vec<Score> = (0..2_500).map(score).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.parquet");
    fs::write(&path, to_parquet(&rows).unwrap()).unwrap();
    let mut n_seen = 0;
    for batch in scan_batches(&path, &[("prompt_id", Cell::Text), ("value", Cell::Number)]).unwrap() {
        let batch = batch.unwrap();
        for at in 0..batch.n_rows() {
            let Score { prompt_id, value, .. } = &rows[n_seen];
            assert_eq!(batch.row::<Part<'_>>(at).unwrap(), Part { prompt_id, value: *value });
            assert_eq!((batch.text("prompt_id", at), batch.text("teacher", at)), (Some(prompt_id.as_str()), None));
            n_seen += 1;
        }
    }
    assert_eq!(n_seen, rows.len());
}

#[test]
fn batches_of_other_types_and_rows_that_do_not_fit_are_refused() {
    let score = Score {
        prompt_id: "p".into(),
        teacher: "t".into(),
        sample: 0,
        arbiter: "a".into(),
        value: None,
        missing: None,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.parquet");
    fs::write(&path, to_parquet([&score]).unwrap()).unwrap();
    let refused = scan_batches(&path, &[("prompt_id", Cell::Integer)]).err().unwrap().to_string();
    assert!(refused.contains("other types") && refused.contains("scores.parquet"), "{refused}");
    let batch = scan_batches(&path, &[("value", Cell::Number)]).unwrap().next().unwrap().unwrap();
    let unfit = batch.row::<Part<'_>>(0).unwrap_err().to_string();
    assert!(unfit.contains("row 1") && unfit.contains("prompt_id"), "{unfit}");
    assert!(scan_batches(&folder.path().join("none.parquet"), &[]).is_err());
}
