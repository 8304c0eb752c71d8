//! `polyglot` beside the ICU of C: `golden/polyglot_icu.py` recomputes the answers from the parameters alone.

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::{
    check::{Check, fold_answer},
    polyglot::{PolyglotSpec, generate, languages},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    id: String,
    answers: BTreeMap<String, String>,
}

/// Where references differ, task and language, and why. Nothing else may, and each has to occur.
const DIFFERENCES: [(&str, &str, &str); 4] = [
    // CLDR has the ISO code as the symbol of many foreign currencies in these languages; ICU4X 2.4 goes on to the
    // root's symbol there.
    ("currency-format", "es", "GBP is £"),
    ("currency-format", "fr", "JPY is JP¥"),
    ("currency-format", "uk", "EUR is €"),
    // ICU4X has no spelled-out numbers. CLDR's 2, 11 and 12 are not what Arabic grammars teach.
    ("number-words", "ar", "اثنان, not إثنان; أحد عشر, not إحدى عشر"),
];

/// Seed and number of sources as in the script's header.
#[test]
fn references_are_those_of_icu_and_its_answers_are_accepted() {
    let golden: Vec<Golden> = serde_json::from_str(include_str!("golden/polyglot_icu.json")).unwrap();
    let spec = PolyglotSpec { languages: languages(), tasks: Vec::new(), n_sources: golden.len(), seed: 9 };
    let prompts = generate(&spec).unwrap();
    assert_eq!(golden.len(), 160);
    let mut differences = BTreeSet::new();
    for (row, asked) in golden.iter().zip(prompts.chunks(languages().len())) {
        for prompt in asked {
            let expected = &row.answers[prompt.language.as_str()];
            assert_eq!(prompt.source_id, row.id);
            assert!(prompt.check.as_ref().is_some_and(|check| check.accepts(expected)), "{}: {expected}", prompt.id);
            if fold_answer(prompt.reference.as_deref().unwrap()) != fold_answer(expected) {
                differences.insert((prompt.task.as_deref().unwrap(), prompt.language.as_str()));
            }
        }
    }
    assert_eq!(differences, DIFFERENCES.iter().map(|(task, language, _)| (*task, *language)).collect());
}

/// A check that took everything would pass the test above.
#[test]
fn answers_to_other_sources_are_refused() {
    let golden: Vec<Golden> = serde_json::from_str(include_str!("golden/polyglot_icu.json")).unwrap();
    let spec = PolyglotSpec { languages: languages(), tasks: Vec::new(), n_sources: 160, seed: 9 };
    for prompt in generate(&spec).unwrap() {
        let Some(check @ Check::OneOf(accepted)) = &prompt.check else { panic!("{} has no check", prompt.id) };
        let right = golden.iter().filter(|row| check.accepts(&row.answers[prompt.language.as_str()])).count();
        // Months, weekdays and small numbers come up again.
        assert!((1..=6).contains(&right), "{}: {right} of 160 answers are right: {accepted:?}", prompt.id);
    }
}
