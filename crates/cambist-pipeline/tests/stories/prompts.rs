//! Prompts from files: what is kept, what is left out and why, at any number of files.

use std::{collections::BTreeSet, fmt::Write, fs};

use cambist_core::{chance::Chance, prompt::Prompt, resemblance::Shingles, split::fold_conversation};
use cambist_io::formats::{FormatError, Problem, PromptColumns, read_prompts, read_table};
use cambist_pipeline::PipelineError;
use serde_json::{Value, json};

use crate::house::{House, Ran, recipe};

/// A recipe of one step.
fn text(params: &str) -> String {
    format!("name: made\nseed: 3\nsteps:\n  - id: prompts\n    prompts: {params}\n")
}

fn run(house: &House, params: &str) -> Result<Ran, PipelineError> {
    house.run(recipe(&text(params), &[]), 2)
}

fn made(ran: &Ran, set: &str) -> Vec<Prompt> {
    read_table(&ran.artifact("prompts").path(&format!("{set}.parquet")).unwrap()).unwrap()
}

fn ids(prompts: &[Prompt]) -> Vec<&str> {
    prompts.iter().map(|prompt| prompt.id.as_str()).collect()
}

fn listed(ran: &Ran, file: &str) -> Vec<Value> {
    let bytes = ran.artifact("prompts").read(file).unwrap();
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn row(id: &str, language: &str, text: &str) -> String {
    format!("{}\n", json!({ "id": id, "language": language, "prompt": text }))
}

/// Texts in several scripts: some new, some an earlier one with a few letters or words changed.
fn synthetic(n_texts: usize) -> Vec<(&'static str, String)> {
    let scripts: [(&str, &str, &str); 5] = [
        (
            "en",
            "the river runs under old stone bridges while small boats carry letters toward distant harbour towns",
            " ",
        ),
        ("uk", "річка тече під старими мостами а малі човни везуть листи до далеких портових міст і сіл країни", " "),
        ("zh", "河流在古老的石桥下流过小船把信件运往遥远的港口城市人们在那里等待消息和春天的到来", ""),
        ("th", "แม่น้ำไหลผ่านใต้สะพานหินเก่าเรือเล็กนำจดหมายไปยังเมืองท่าที่ห่างไกล", ""),
        ("ar", "يجري النهر تحت الجسور الحجرية القديمة وتحمل القوارب الصغيرة الرسائل إلى مدن الموانئ البعيدة", " "),
    ];
    let mut chance = Chance::new(5, &["synthetic"]);
    let mut made: Vec<(&str, String)> = Vec::new();
    for at in 0..n_texts {
        let (language, words, space) = scripts[at % scripts.len()];
        let parts: Vec<String> = if space.is_empty() {
            words.chars().map(String::from).collect()
        } else {
            words.split(' ').map(str::to_owned).collect()
        };
        let earlier: Vec<&String> = made.iter().filter(|(other, _)| *other == language).map(|(_, text)| text).collect();
        let text = if earlier.len() > 3 && chance.below(2) == 0 {
            let mut letters: Vec<char> = earlier[chance.below(earlier.len())].chars().collect();
            for _ in 0..=chance.below(4) {
                let place = chance.below(letters.len());
                letters[place] = char::from(b'a' + chance.below(26) as u8);
            }
            letters.into_iter().collect()
        } else {
            let n_parts = if space.is_empty() { 90 } else { 25 };
            (0..n_parts).map(|_| parts[chance.below(parts.len())].clone()).collect::<Vec<_>>().join(space)
        };
        made.push((language, text));
    }
    made
}

#[test]
fn near_duplicates_are_those_of_exact_jaccard() {
    let texts = synthetic(600);
    let house = House::new();
    let rows: String =
        texts.iter().enumerate().map(|(at, (language, text))| row(&at.to_string(), language, text)).collect();
    fs::write(house.folder().join("made.jsonl"), rows).unwrap();
    let plain = run(&house, "{file: made.jsonl}").unwrap();
    let all = made(&plain, "prompts");
    let shingles: Vec<Shingles> = all.iter().map(|prompt| Shingles::of(&fold_conversation(prompt))).collect();
    for threshold in [0.8, 0.5] {
        let mut expected: Vec<usize> = Vec::new();
        for at in 0..all.len() {
            let is_near = |other: &usize| {
                all[*other].language == all[at].language && shingles[*other].jaccard(&shingles[at]) >= threshold
            };
            if !expected.iter().any(is_near) {
                expected.push(at);
            }
        }
        let ran = run(&house, &format!("{{file: made.jsonl, near_duplicates: {{threshold: {threshold}}}}}")).unwrap();
        let kept = made(&ran, "prompts");
        let wanted: Vec<&str> = expected.iter().map(|&at| all[at].id.as_str()).collect();
        assert!(wanted.len() + 50 < all.len(), "{} of {}", wanted.len(), all.len());
        assert_eq!(ids(&kept), wanted, "{threshold}");
        let n_near = listed(&ran, "dropped.jsonl").iter().filter(|line| line["reason"] == "near_duplicate").count();
        assert_eq!(n_near, all.len() - kept.len());
        assert_eq!(ran.artifact("prompts").manifest().failures["near_duplicate"], n_near as u64);
    }
}

#[test]
fn a_folder_and_a_pattern_are_one_source() {
    let house = House::new();
    fs::create_dir(house.folder().join("data")).unwrap();
    for shard in 0..3 {
        let rows: String = (0..40).fold(String::new(), |mut all, at| {
            let _ = writeln!(all, "{}", json!({ "prompt": format!("Question {shard} {at}?"), "language": "en" }));
            all
        });
        fs::write(house.folder().join(format!("data/train-{shard}.jsonl")), rows).unwrap();
    }
    fs::write(house.folder().join("data/README.md"), "no rows").unwrap();
    let [folder, pattern] = ["data", "data/train-*.jsonl"]
        .map(|source| run(&house, &format!("{{file: {source}, per_language: 50}}")).unwrap());
    let kept = made(&folder, "prompts");
    assert_eq!(kept, made(&pattern, "prompts"));
    assert_eq!(kept.len(), 50);
    assert_eq!(folder.artifact("prompts").manifest().failures["over_per_language"], 70);
    assert_eq!(kept.iter().map(|prompt| &prompt.source).collect::<BTreeSet<_>>().len(), 3);
    fs::write(house.folder().join("data/train-0.jsonl"), "{\"prompt\": \"Other?\", \"language\": \"en\"}\n").unwrap();
    let changed = run(&house, "{file: data, per_language: 50}").unwrap();
    assert_eq!(changed.made, ["prompts"], "another file makes another artifact");
}

const BAD: &str = "{\"id\": \"a\", \"language\": \"en\", \"prompt\": \"What is this?\"}
{\"id\": \"b\", \"language\": \"en\", \"prompt\": \"\"}
{\"id\": \"a\", \"language\": \"en\", \"prompt\": \"What is that?\"}
no json
{\"id\": \"c\", \"language\": \"en\", \"prompt\": \"This question is longer than anybody wants to read.\"}
{\"id\": \"d\", \"prompt\": \"12 + 34\"}
{\"id\": \"e\", \"prompt\": \"Столиця України стоїть на берегах Дніпра, чи не так?\"}
{\"id\": \"f\", \"language\": \"en\", \"prompt\": \"日本の首都は東京で、人口が最も多い都市でもありますか。\"}
";

#[test]
fn bad_rows_are_refused_or_listed() {
    let house = House::new();
    let mut bytes = BAD.as_bytes().to_vec();
    bytes.extend(b"{\"id\": \"g\", \"prompt\": \"caf\xe9\"}\n");
    fs::write(house.folder().join("bad.jsonl"), bytes).unwrap();
    fs::write(house.folder().join("next.jsonl"), row("e", "en", "What else?")).unwrap();
    let refused = run(&house, "{file: bad.jsonl, max_chars: 40}").map(|_| ()).unwrap_err();
    let PipelineError::Format(FormatError::Rows { faults, n_faults, .. }) = refused else { panic!("{refused}") };
    let codes: Vec<&str> = faults.iter().map(|fault| fault.problem.code()).collect();
    let all = ["wrong_field", "duplicate_id", "not_json", "too_long", "too_long", "invalid_utf8"];
    assert_eq!((codes.as_slice(), n_faults), (all.as_slice(), 6));
    assert!(
        matches!(&faults[1].problem, Problem::DuplicateId { id, first } if id == "a" && first.to_string() == "line 1")
    );

    let ran = run(&house, "{file: '*.jsonl', max_chars: 65, bad_rows: drop}").unwrap();
    assert_eq!(ids(&made(&ran, "prompts")), ["a", "c", "e", "f"]);
    let rejected = listed(&ran, "rejected.jsonl");
    let reasons: Vec<_> = rejected
        .iter()
        .map(|line| (line["file"].as_str().unwrap(), line["place"].as_str().unwrap(), line["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        reasons,
        [
            ("bad.jsonl", "line 2", "wrong_field"),
            ("bad.jsonl", "line 3", "duplicate_id"),
            ("bad.jsonl", "line 4", "not_json"),
            ("bad.jsonl", "line 9", "invalid_utf8"),
            ("next.jsonl", "line 1", "duplicate_id"),
        ]
    );
    assert!(rejected[4]["problem"].as_str().unwrap().contains("line 7 of `"), "{}", rejected[4]);
    let manifest = ran.artifact("prompts").manifest();
    assert_eq!((manifest.failures["no_language"], manifest.counts["language_mismatch"]), (1, 1));
}

#[test]
fn identified_languages_carry_their_confidence() {
    let house = House::new();
    fs::write(house.folder().join("bad.jsonl"), BAD).unwrap();
    let params = "{file: bad.jsonl, bad_rows: drop}";
    let ran = run(&house, params).unwrap();
    let path = ran.artifact("prompts").path("prompts.parquet").unwrap();
    let told: Vec<Option<f64>> = cambist_io::formats::rows::open_rows(&path)
        .unwrap()
        .map(|row| row.unwrap().fields["language_confidence"].as_f64())
        .collect();
    let sure = told[2].unwrap();
    assert!(told[0].is_none() && told[1].is_none() && sure > 0.5 && told[3].is_none(), "{told:?}");
    assert_eq!(made(&ran, "prompts")[2].language.as_str(), "uk");
    let narrow =
        format!("{{file: bad.jsonl, bad_rows: drop, min_language_confidence: {}}}", if sure < 1.0 { 1.0 } else { 0.5 });
    let ran = run(&house, &narrow).unwrap();
    assert_eq!(ran.artifact("prompts").manifest().failures.contains_key("uncertain_language"), sure < 1.0);
    let read_again = read_prompts(&path, &PromptColumns::default()).unwrap();
    assert_eq!(read_again.len(), 4);
}

#[test]
fn what_gives_a_test_prompt_away_is_refused_or_left_out() {
    let house = House::new();
    let long = |from: usize, n: usize| (from..from + n).map(|at| format!("word{at}")).collect::<Vec<_>>().join(" ");
    let mut rows: String =
        (0..30).map(|at| row(&format!("p{at}"), "en", &format!("{} only {at}", long(0, 60)))).collect();
    rows += &(0..30).map(|at| row(&format!("q{at}"), "en", &format!("Short question {at}?"))).collect::<String>();
    fs::write(house.folder().join("alike.jsonl"), rows).unwrap();
    let splits = "splits: {test: 20, train: 40}";
    let refused = run(&house, &format!("{{file: alike.jsonl, {splits}}}")).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("% of its 13-grams with `p") && refused.contains("overlap: {action: drop}"), "{refused}");
    let ran = run(&house, &format!("{{file: alike.jsonl, {splits}, overlap: {{action: drop}}}}")).unwrap();
    let (test, train) = (made(&ran, "test"), made(&ran, "train"));
    assert_eq!(test.len(), 20);
    assert!(test.iter().any(|prompt| prompt.id.starts_with('p')));
    assert!(!train.is_empty() && train.iter().all(|prompt| prompt.id.starts_with('q')), "{:?}", ids(&train));
    let n_left_out = ran.artifact("prompts").manifest().failures["overlaps_held_out"];
    assert_eq!(train.len() as u64 + n_left_out, 40);
    let ignored = run(&house, &format!("{{file: alike.jsonl, {splits}, overlap: {{action: ignore}}}}")).unwrap();
    assert_eq!(made(&ignored, "train").len(), 40);
    let unknown = run(&house, &format!("{{file: alike.jsonl, {splits}, overlap: {{held_out: [exam]}}}}"))
        .map(|_| ())
        .unwrap_err();
    assert!(unknown.to_string().contains("`exam`, which is no split"), "{unknown}");
}
