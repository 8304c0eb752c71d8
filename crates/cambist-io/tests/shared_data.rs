//! Real recorded answers and scores of many models, where they lie beside the repository.

#![cfg(test)]

use std::path::{Path, PathBuf};

use cambist_core::language::Language;
use cambist_io::formats::{PromptColumns, RecordedColumns, read_answers, read_prompts, read_scores};

fn folder(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

#[test]
fn programmatic_verdicts_of_seventeen_models() {
    let Some(folder) = folder("routing-m-ifeval") else { return };
    for (language, n_prompts) in [("es", 81), ("ja", 110), ("en", 356)] {
        let folder = folder.join(language);
        let prompts = read_prompts(&folder.join("prompts.jsonl.zst"), &PromptColumns::default()).unwrap();
        assert_eq!(prompts.len(), n_prompts, "{language}");
        assert!(prompts.iter().all(|prompt| prompt.language.as_ref().is_some_and(|l| l.as_str() == language)));
        let answers = read_answers(&folder.join("completions.jsonl.zst"), &RecordedColumns::default()).unwrap();
        let columns = RecordedColumns { score: Some("strict_all".into()), ..RecordedColumns::default() };
        let scores = read_scores(&folder.join("scores.jsonl.zst"), &columns, "strict").unwrap();
        assert_eq!(answers.len(), scores.len(), "{language}");
        assert!(scores.iter().all(|score| matches!(score.value, Some(0.0 | 1.0)) && score.arbiter == "strict"));
    }
}

#[test]
fn graded_answers_to_arena_prompts() {
    let Some(folder) = folder("routing-arena-bench-v1") else { return };
    let columns = PromptColumns { reference: Some("reference_gpt4".into()), ..PromptColumns::default() };
    let prompts = read_prompts(&folder.join("prompts.jsonl.zst"), &columns).unwrap();
    assert_eq!(prompts.len(), 207);
    let answers = read_answers(&folder.join("completions.jsonl.zst"), &RecordedColumns::default()).unwrap();
    assert!(answers.iter().all(|answer| answer.text.is_some()));
    let scores = read_scores(&folder.join("scores.jsonl.zst"), &RecordedColumns::default(), "unknown").unwrap();
    assert!(scores.iter().all(|score| score.arbiter == "gpt-4"));
    assert!(scores.iter().all(|score| score.value.is_none_or(|value| (1.0..=10.0).contains(&value))));
    let n_missing = scores.iter().filter(|score| score.value.is_none()).count();
    assert_eq!((answers.len(), scores.len(), n_missing), (2070, 2070, 18), "answers, scores, missing");
}

#[test]
fn first_turns_of_translated_questions() {
    let Some(folder) = folder("routing-mt-bench-multilingual") else { return };
    for language in ["de", "ja", "zh", "en"] {
        let folder = folder.join(language);
        let prompts = read_prompts(&folder.join("questions.jsonl.zst"), &PromptColumns::default()).unwrap();
        assert_eq!(prompts.len(), 80, "{language}");
        assert!(prompts.iter().all(|prompt| prompt.messages.len() == 1 && prompt.id.is_some()));
        let answers = read_answers(&folder.join("completions.jsonl.zst"), &RecordedColumns::default()).unwrap();
        assert!(answers.len() >= 80 * 3, "{language}: {}", answers.len());
        let scores = read_scores(&folder.join("scores.jsonl.zst"), &RecordedColumns::default(), "unknown");
        let scores = scores.unwrap_or_else(|error| panic!("{language}: {error}"));
        assert!(scores.len() >= 80 * 3, "{language}: {}", scores.len());
    }
}

#[test]
fn one_column_per_language() {
    let Some(folder) = folder("prompts-ultrafeedback-multilingual") else { return };
    let tags = ["en", "de", "es", "fr", "ru", "zh", "bn", "sw", "th"];
    let columns = tags.map(|tag| (Language::parse(tag).unwrap(), tag.to_owned()));
    let columns = PromptColumns { translations: columns.into(), ..PromptColumns::default() };
    let prompts = read_prompts(&folder.join("prompts.jsonl.zst"), &columns).unwrap();
    assert_eq!(prompts.len(), 9000);
    assert!(prompts.chunks(9).all(|row| row.iter().all(|prompt| prompt.source_id == row[0].source_id)));
}
