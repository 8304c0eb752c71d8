//! ROUGE against `rouge-score`, and rules about numbers and contained references.

use cambist_core::{
    arbiter::{Arbiter, Contains, FoldedMatch, Missing, NumericAnswer, Rouge, RougeArbiter},
    completion::Completion,
    prompt::Prompt,
};
use proptest::prelude::*;
use serde::Deserialize;

use crate::made::{answer, prompt};

/// Written by `golden/rouge.py`.
#[derive(Deserialize)]
struct Golden {
    pairs: Vec<(String, String)>,
    scores: std::collections::BTreeMap<String, Vec<[f64; 3]>>,
}

#[test]
fn rouge_equals_rouge_score() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/rouge.json")).unwrap();
    for (name, rouge) in [("rouge1", Rouge::One), ("rouge2", Rouge::Two), ("rougeL", Rouge::L)] {
        for ((hypothesis, reference), expected) in golden.pairs.iter().zip(&golden.scores[name]) {
            let found = rouge.score(hypothesis, reference);
            for (found, expected) in [found.precision, found.recall, found.f1].iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{name}: {hypothesis} | {reference}: {found} {expected}");
            }
        }
    }
}

fn ask(tag: &str, reference: &str) -> Prompt {
    Prompt { reference: Some(reference.into()), ..prompt("p", tag) }
}

fn value(arbiter: &dyn Arbiter, prompt: &Prompt, text: &str) -> Result<f64, Missing> {
    arbiter.value(prompt, &Completion { text: text.into(), ..answer(prompt, "t", 0, None).completion })
}

#[test]
fn numbers_are_compared_with_a_tolerance() {
    let numeric = NumericAnswer::default();
    assert_eq!(value(&numeric, &ask("de", "1234.5"), "Es sind 1.234,5 Euro."), Ok(1.0));
    assert_eq!(value(&numeric, &ask("de", "1.234,5 €"), "Es sind 1234,5 Euro."), Ok(1.0));
    assert_eq!(value(&numeric, &ask("ar", "42"), "الجواب هو ٤٢"), Ok(1.0));
    assert_eq!(value(&numeric, &ask("en", "42"), "43"), Ok(0.0));
    assert_eq!(value(&numeric, &ask("en", "42"), "I do not know"), Ok(0.0));
    assert_eq!(value(&numeric, &ask("en", "blue"), "42"), Err(Missing::NoReference));
    assert_eq!(value(&NumericAnswer { tolerance: 0.01 }, &ask("en", "3.14159"), "3.14"), Ok(1.0));
}

#[test]
fn contained_references_are_whole_words() {
    for (tag, reference, text, expected) in [
        ("en", "Paris", "The capital is PARIS.", 1.0),
        ("en", "art", "The party begins.", 0.0),
        ("ja", "東京", "首都は東京です。", 1.0),
        ("en", "New York City", "New York, city of cities", 1.0),
    ] {
        assert_eq!(value(&Contains, &ask(tag, reference), text), Ok(expected), "{reference} | {text}");
    }
    assert_eq!(value(&Contains, &prompt("p", "en"), "x"), Err(Missing::NoReference));
    assert_eq!(value(&FoldedMatch, &ask("en", "New York"), " new york! "), Ok(1.0));
    assert_eq!(value(&FoldedMatch, &ask("en", "New York"), "York"), Ok(0.0));
}

#[test]
fn rouge_reads_other_scripts() {
    let rouge = RougeArbiter(Rouge::L);
    assert!(value(&rouge, &ask("zh", "河流向北流"), "河流向南流").unwrap() > 0.75);
    assert_eq!(value(&rouge, &ask("hi", "नई दिल्ली"), "नई दिल्ली"), Ok(1.0));
    assert_eq!(value(&rouge, &ask("hi", "…"), "नई"), Err(Missing::NoReference));
}

proptest! {
    #[test]
    fn rouge_is_symmetric_in_f1_and_bounded(a in "[ab ]{0,20}", b in "[ab ]{0,20}") {
        for rouge in [Rouge::One, Rouge::Two, Rouge::L] {
            let (there, back) = (rouge.score(&a, &b), rouge.score(&b, &a));
            prop_assert!((there.f1 - back.f1).abs() < 1e-12 && (0.0..=1.0).contains(&there.f1));
            prop_assert_eq!(there.precision, back.recall);
        }
    }

    #[test]
    fn whole_numbers_come_back_in_any_digits(number in -1_000_000i64..1_000_000, zero in prop::sample::select(vec!['0', '٠', '۰', '०', '০', '๐', '０'])) {
        let digits: String = number.to_string().chars().map(|c| {
            c.to_digit(10).and_then(|digit| char::from_u32(u32::from(zero) + digit)).unwrap_or(c)
        }).collect();
        prop_assert_eq!(value(&NumericAnswer::default(), &ask("en", &number.to_string()), &format!("= {digits}!")), Ok(1.0));
    }
}
