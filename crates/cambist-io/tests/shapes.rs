//! Prompts, answers and scores in the shapes that people have.

#![cfg(test)]

use std::{fs, io::Write as _};

use cambist_core::{
    check::Check,
    language::Language,
    prompt::{Message, Role},
};
use cambist_io::formats::{
    FormatError, Place, Problem, PromptColumns, RawPrompt, RecordedColumns, read_answers, read_prompts, read_scores,
};
use serde_json::json;

fn read(name: &str, text: &str) -> Result<Vec<RawPrompt>, FormatError> {
    read_with(name, text, &PromptColumns::default())
}

fn read_with(name: &str, text: &str, columns: &PromptColumns) -> Result<Vec<RawPrompt>, FormatError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    read_prompts(&path, columns)
}

fn one(row: serde_json::Value) -> RawPrompt {
    read("p.jsonl", &format!("{row}\n")).unwrap().remove(0)
}

fn turns(prompt: &RawPrompt) -> Vec<(Role, &str)> {
    prompt.messages.iter().map(|turn| (turn.role, turn.content.as_str())).collect()
}

#[test]
fn every_usual_shape_gives_the_turns_before_the_answer_and_the_answer() {
    let openai = one(
        json!({"messages": [{"role": "system", "content": "Sé breve."}, {"role": "user", "content": "¿Qué hora es?"}, {"role": "assistant", "content": "Las dos."}]}),
    );
    assert_eq!(turns(&openai), [(Role::System, "Sé breve."), (Role::User, "¿Qué hora es?")]);
    assert_eq!(openai.reference.as_deref(), Some("Las dos."));

    let parts = one(
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "今日は"}, {"type": "text", "text": "何曜日"}]}]}),
    );
    assert_eq!(turns(&parts), [(Role::User, "今日は何曜日")]);

    let share = one(
        json!({"conversations": [{"from": "human", "value": "Merhaba"}, {"from": "gpt", "value": "Selam"}, {"from": "human", "value": "Nasılsın?"}]}),
    );
    assert_eq!(turns(&share), [(Role::User, "Merhaba"), (Role::Assistant, "Selam"), (Role::User, "Nasılsın?")]);
    assert_eq!(share.reference, None);

    let alpaca = one(
        json!({"instruction": "Übersetze.", "input": "cat", "output": "Katze", "system": "Du bist Lehrer.", "history": [["Hallo", "Hi"]]}),
    );
    assert_eq!(
        turns(&alpaca),
        [
            (Role::System, "Du bist Lehrer."),
            (Role::User, "Hallo"),
            (Role::Assistant, "Hi"),
            (Role::User, "Übersetze.\n\ncat")
        ]
    );
    assert_eq!(alpaca.reference.as_deref(), Some("Katze"));

    let ultra = one(
        json!({"source": "evol_instruct", "instruction": "Why?", "completions": [{"model": "a", "response": "b"}], "models": ["a"]}),
    );
    assert_eq!((turns(&ultra), ultra.source.as_deref()), (vec![(Role::User, "Why?")], Some("evol_instruct")));
    let binarized = one(
        json!({"prompt": "Why?", "chosen": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}], "rejected": [{"role": "user", "content": "Why?"}]}),
    );
    assert_eq!((turns(&binarized), binarized.reference.as_deref()), (vec![(Role::User, "Why?")], Some("So.")));
    let implicit = one(
        json!({"chosen": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}], "rejected": []}),
    );
    assert_eq!((turns(&implicit), implicit.reference.as_deref()), (vec![(Role::User, "Why?")], Some("So.")));

    let aya =
        one(json!({"inputs": "ما عاصمة مصر؟", "targets": "القاهرة", "language": "Arabic", "language_code": "arb"}));
    assert_eq!((aya.language.as_ref().map(Language::as_str), aya.reference.as_deref()), (Some("arb"), Some("القاهرة")));

    for field in ["prompt", "instruction", "question", "text"] {
        assert_eq!(turns(&one(json!({field: "Чому?", "id": 7, "category": "why"}))), [(Role::User, "Чому?")]);
    }
    let bench = one(json!({"question_id": 81, "turns": ["Erste", "Zweite"], "reference": null, "category": "writing"}));
    assert_eq!(
        (turns(&bench), bench.id.as_deref(), bench.task.as_deref()),
        (vec![(Role::User, "Erste")], Some("81"), Some("writing"))
    );

    let own = one(
        json!({"id": "a", "source_id": "s", "language": "zh_Hant", "answer_language": "en", "messages": [{"role": "user", "content": "x"}], "check": {"one-of": ["1", "一"]}}),
    );
    assert_eq!(own.check, Some(Check::OneOf(vec!["1".into(), "一".into()])));
    let prompt = own.into_prompt(Language::parse("fr").unwrap(), "unused");
    assert_eq!((prompt.id.as_str(), prompt.source_id.as_str(), prompt.language.as_str()), ("a", "s", "zh-hant"));
    let nameless = one(json!({"prompt": "x"})).into_prompt(Language::parse("fr").unwrap(), "row-1");
    assert_eq!(
        (nameless.id.as_str(), nameless.source_id.as_str(), nameless.language.as_str()),
        ("row-1", "row-1", "fr")
    );
}

#[test]
fn containers_and_compressions_give_the_same_rows() {
    let jsonl = "{\"id\": \"1\", \"prompt\": \"a\u{2028}b\", \"lang\": \"uk\"}\r\n\n{\"id\": \"2\", \"prompt\": \"c, \\\"d\\\"\", \"lang\": \"ja\"}";
    let array = format!("\u{feff}[{}]", jsonl.replace("\r\n\n", ","));
    let csv = "id,prompt,lang\n1,a\u{2028}b,uk\n2,\"c, \"\"d\"\"\",ja\n";
    let folder = tempfile::tempdir().unwrap();
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 3).unwrap();
    let two_members = [gzip(&jsonl[..20]), gzip(&jsonl[20..])].concat();
    let files = [
        ("a.jsonl", jsonl.as_bytes().to_vec()),
        ("bom.jsonl", format!("\u{feff}{jsonl}").into_bytes()),
        ("a.jsonl.gz", two_members),
        ("a.jsonl.zst", zstd(jsonl)),
        ("a.json", array.clone().into_bytes()),
        ("lines.json", jsonl.as_bytes().to_vec()),
        ("a.json.gz", gzip(&array)),
        ("a.csv", csv.as_bytes().to_vec()),
        ("bom.csv.zst", zstd(&format!("\u{feff}{}", csv.replace('\n', "\r\n")))),
        (
            "a.tsv",
            csv.replacen("id,prompt,lang", "id\tprompt\tlang", 1)
                .replace("1,a", "1\ta")
                .replace("b,uk", "b\tuk")
                .replace("2,", "2\t")
                .replace(",ja", "\tja")
                .into_bytes(),
        ),
        ("no-suffix", zstd(jsonl)),
        ("array.txt", array.into_bytes()),
    ];
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let prompts = read_prompts(&path, &PromptColumns::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let texts: Vec<_> = prompts.iter().map(|prompt| prompt.messages[0].content.as_str()).collect();
        assert_eq!(texts, ["a\u{2028}b", "c, \"d\""], "{name}");
        assert_eq!(prompts[1].language.as_ref().map(Language::as_str), Some("ja"), "{name}");
    }
}

#[test]
fn a_chat_in_a_csv_cell_is_json_and_other_brackets_are_text() {
    let csv = "messages\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"hi\"\"}]\"\n[1] is a citation\n";
    let prompts = read("a.csv", csv).unwrap();
    assert_eq!(turns(&prompts[0]), [(Role::User, "hi")]);
    assert_eq!(prompts[1].messages, [Message::user("[1] is a citation")]);
}

#[test]
fn named_columns_win_and_unknown_ones_are_refused_with_what_is_there() {
    let rows = "{\"qid\": 1, \"q\": \"x\", \"prompt\": \"no\", \"l\": \"de\", \"gold\": 4, \"kind\": \"math\"}\n";
    let name = |name: &str| Some(name.to_owned());
    let columns = PromptColumns {
        id: name("qid"),
        prompt: name("q"),
        language: name("l"),
        reference: name("gold"),
        task: name("kind"),
        ..PromptColumns::default()
    };
    let prompt = read_with("a.jsonl", rows, &columns).unwrap().remove(0);
    assert_eq!((prompt.id.as_deref(), turns(&prompt)), (Some("1"), vec![(Role::User, "x")]));
    assert_eq!((prompt.reference.as_deref(), prompt.task.as_deref()), (Some("4"), Some("math")));

    let error = read_with("a.jsonl", rows, &PromptColumns { prompt: name("question"), ..columns }).unwrap_err();
    assert!(
        error.to_string().ends_with(
            "has no column `question`, found `qid`, `q`, `prompt`, `l`, `gold`, `kind`: change the column mapping"
        ),
        "{error}"
    );
}

#[test]
fn parallel_columns_give_translations_of_one_source() {
    let columns =
        [("de", "German"), ("uk", "Ukrainian")].map(|(tag, column)| (Language::parse(tag).unwrap(), column.to_owned()));
    let columns = PromptColumns { translations: columns.into(), ..PromptColumns::default() };
    let prompts = read_with("a.csv", "id,German,Ukrainian\n5,Warum?,Чому?\n", &columns).unwrap();
    let names: Vec<_> = prompts.iter().map(|prompt| (prompt.id.as_deref(), prompt.source_id.as_deref())).collect();
    assert_eq!(names, [(Some("5-de"), Some("5")), (Some("5-uk"), Some("5"))]);
    let error = read_with("a.csv", "id,German,Ukrainian\n5,Warum?,\n", &columns).unwrap_err();
    assert!(error.to_string().contains("line 2: field `Ukrainian` is missing, found `id`, `German`"), "{error}");
}

#[test]
fn a_source_id_column_that_is_named_is_no_id() {
    let rows = "{\"id\": 1, \"lang\": \"en\", \"prompt\": \"x\"}\n{\"id\": 1, \"lang\": \"de\", \"prompt\": \"y\"}\n";
    let error = read("a.jsonl", rows).unwrap_err();
    assert!(error.to_string().contains("line 2: `1` is already the name of line 1"), "{error}");
    let columns = PromptColumns { source_id: Some("id".into()), ..PromptColumns::default() };
    let prompts = read_with("a.jsonl", rows, &columns).unwrap();
    assert!(prompts.iter().all(|prompt| prompt.id.is_none() && prompt.source_id.as_deref() == Some("1")));
}

#[test]
fn every_faulty_row_is_told_up_to_a_limit_and_all_are_counted() {
    let rows: String = (0..100)
        .map(|n| {
            if n % 2 == 0 {
                format!("{{\"prompt\": \"x\", \"lang\": \"l{n}\"}}\n")
            } else {
                "{\"prompt\": \"y\"}\n".to_owned()
            }
        })
        .collect();
    let error = read("a.jsonl", &rows).unwrap_err();
    let FormatError::Rows { faults, n_faults: 50, .. } = &error else { panic!("{error}") };
    assert_eq!(faults.len(), 20);
    assert_eq!(faults[1].place, Place::Line(3));
    assert!(
        matches!(&faults[1].problem, Problem::Wrong { field, found, .. } if field == "lang" && found == "`\"l2\"`")
    );
    assert!(error.to_string().ends_with("and 30 more") && error.fault().exit_code() == 2);

    let error = read("a.jsonl", "{\"foo\": 1, \"bar\": null}\n{\"foo\": 2}\n").unwrap_err();
    assert!(
        error.to_string().contains("line 1: no known shape has the fields `foo`: expected `messages` (OpenAI)"),
        "{error}"
    );
    let wrong_turns = [
        json!({"messages": [{"role": "assistant", "content": "x"}]}),
        json!({"messages": []}),
        json!({"messages": 3}),
        json!({"messages": [{"role": "narrator", "content": "x"}]}),
        json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        json!({"prompt": "   "}),
        json!({"messages": [{"role": "user"}]}),
        json!({"prompt": {"text": "x"}}),
    ];
    for row in wrong_turns {
        let error = read("a.jsonl", &row.to_string()).unwrap_err();
        assert!(
            matches!(&error, FormatError::Rows { faults, .. } if matches!(faults[0].problem, Problem::Wrong { .. })),
            "{error}"
        );
    }
}

#[test]
fn recorded_scores_keep_missing_missing_and_truth_a_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.csv");
    fs::write(
        &path,
        "question_id,model,judge,turn,score\n1,a,gpt,1,8.5\n1,a,gpt,2,1\n1,b,gpt,1,\n1,c,,1,True\n1,d,gpt,1,false\n",
    )
    .unwrap();
    let scores = read_scores(&path, &RecordedColumns::default(), "exact").unwrap();
    let values: Vec<_> =
        scores.iter().map(|score| (score.teacher.as_str(), score.arbiter.as_str(), score.value)).collect();
    assert_eq!(
        values,
        [("a", "gpt", Some(8.5)), ("b", "gpt", None), ("c", "exact", Some(1.0)), ("d", "gpt", Some(0.0))]
    );
    assert!(scores.iter().all(|score| score.missing.is_some() == score.value.is_none()));

    for score in ["nan", "inf", "-Infinity", "1e999", "good"] {
        fs::write(&path, format!("prompt_id,teacher,score\n1,a,{score}\n")).unwrap();
        let error = read_scores(&path, &RecordedColumns::default(), "x").unwrap_err();
        assert!(
            error.to_string().contains("line 2: field `score`")
                && error.to_string().contains("expected a finite number"),
            "{error}"
        );
    }
    fs::write(&path, "prompt_id,teacher,sample,score\n1,a,0,1\n1,a,1,1\n1,a,0,0\n").unwrap();
    let error = read_scores(&path, &RecordedColumns::default(), "x").unwrap_err();
    assert!(
        error.to_string().contains("line 4: `1 by a, sample 0, scored by x` is already the name of line 2"),
        "{error}"
    );
}

#[test]
fn recorded_answers_tell_an_empty_answer_from_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let rows = [
        json!({"prompt_id": "p", "model": "a", "text": ""}),
        json!({"prompt_id": "p", "model": "b", "text": null}),
        json!({"prompt_id": "p", "model": "c", "turns": ["one", "two"]}),
        json!({"prompt_id": "p", "model": "c", "sample": 1, "response": " kept "}),
    ];
    fs::write(&path, rows.map(|row| row.to_string()).join("\n")).unwrap();
    let answers = read_answers(&path, &RecordedColumns::default()).unwrap();
    let texts: Vec<_> = answers.iter().map(|answer| (answer.sample, answer.text.as_deref())).collect();
    assert_eq!(texts, [(0, Some("")), (0, None), (0, Some("one")), (1, Some(" kept "))]);
    fs::write(&path, "{\"prompt_id\": \"p\", \"model\": \"a\"}\n").unwrap();
    let error = read_answers(&path, &RecordedColumns::default()).unwrap_err();
    assert!(error.to_string().contains("field `text` is missing, found `prompt_id`, `model`"), "{error}");
}
