//! The language gate on real news in 31 languages: how often it stops right answers, and lets wrong ones through.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use cambist_core::gates::{Gates, LanguageVerdict};

use crate::made::{answer, prompt};

/// Sentences by language, in the same order in each; none when the data is not there.
fn sentences() -> Option<BTreeMap<String, Vec<String>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/text-ntrex/ntrex.jsonl.zst");
    let mut lines = String::new();
    zstd::Decoder::new(File::open(path).ok()?).ok()?.read_to_string(&mut lines).ok()?;
    let mut languages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines.split('\n').filter(|line| !line.is_empty()) {
        let row: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).ok()?;
        for (tag, text) in row.into_iter().filter(|(tag, _)| tag != "i" && tag != "doc") {
            languages.entry(tag).or_default().push(text.as_str()?.to_owned());
        }
    }
    Some(languages)
}

/// Returns the share of the texts that the gate stops.
fn stopped_share(expected: &str, texts: &[String]) -> f64 {
    let prompt = prompt("p", expected);
    let gates = Gates::default();
    let is_stopped = |text: &&String| {
        let mut said = answer(&prompt, "a", 0, None).completion;
        said.text.clone_from(text);
        gates.judge(&prompt, &said).language == LanguageVerdict::WrongLang
    };
    // Every fifth sentence is enough for these bounds.
    let sample: Vec<&String> = texts.iter().step_by(5).collect();
    sample.iter().filter(|text| is_stopped(text)).count() as f64 / sample.len() as f64
}

#[test]
fn news_in_many_languages() {
    let Some(languages) = sentences() else {
        println!("skipped: ../shared/data/text-ntrex is not there");
        return;
    };
    for (tag, texts) in &languages {
        let share = stopped_share(tag, texts);
        assert!(share < 0.025, "{share} of right answers in {tag} are stopped");
    }
    let wrong = [
        ("uk", "ru"),
        ("ru", "uk"),
        ("de", "en"),
        ("es", "pt"),
        ("tr", "en"),
        ("ja", "zh"),
        ("zh", "ja"),
        ("en", "nl"),
        ("zh-TW", "zh"),
        ("ar", "fa"),
    ];
    for (expected, given) in wrong {
        let share = stopped_share(expected, &languages[given]);
        assert!(share > 0.6, "only {share} of answers in {given} are stopped where {expected} is expected");
    }
}
