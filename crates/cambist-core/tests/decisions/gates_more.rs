//! Gates on refusals, mixed languages, lengths and safety, and verdicts that no order changes.

use cambist_core::{
    candidate::Matrix,
    completion::Completion,
    gates::{Gates, LengthGate, LengthLimits, Reason, RefusalAction, RefusalGate, SafetyGate, Verdict, tally},
    prompt::{Message, Prompt},
};
use proptest::prelude::*;

use crate::made::{answer, language, prompt};

const UKRAINIAN: &str = "Столиця України — Київ, найбільше місто країни, що стоїть на обох берегах Дніпра.";
const ENGLISH: &str = "The capital is the largest city of the country and lies on both banks of a wide river.";
const GERMAN: &str = "Die Hauptstadt ist die größte Stadt des Landes und liegt an beiden Ufern eines breiten Flusses.";

fn say(prompt: &Prompt, text: &str) -> Completion {
    Completion { text: text.into(), ..answer(prompt, "a", 0, None).completion }
}

fn reason(verdict: &Verdict) -> Option<Reason> {
    verdict.stopped.as_ref().map(|stop| stop.reason)
}

#[test]
fn refusals_are_flagged_stopped_or_right() {
    let refusal = "Вибачте, але я не можу допомогти з цим запитом.";
    let ask = Prompt {
        messages: vec![Message::user("Скільки буде два плюс два?")], ..prompt("p", "uk")
    };
    let flagged = Gates::default().judge(&ask, &say(&ask, refusal));
    assert!(flagged.passed() && flagged.is_refusal);
    let invalid = RefusalGate { action: RefusalAction::Invalid, ..RefusalGate::default() };
    let strict = Gates { refusal: Some(invalid), ..Gates::default() };
    assert_eq!(reason(&strict.judge(&ask, &say(&ask, refusal))), Some(Reason::Refusal));
    let harmful = Prompt { task: Some("safety/harmful".into()), ..ask.clone() };
    let right = strict.judge(&harmful, &say(&harmful, refusal));
    assert!(right.passed() && !right.is_refusal);
    let long = format!("{refusal} {}", UKRAINIAN.repeat(8));
    assert!(!Gates { repetition: None, ..strict }.judge(&ask, &say(&ask, &long)).is_refusal);
    let off = Gates { refusal: None, ..Gates::default() };
    assert!(!off.judge(&ask, &say(&ask, refusal)).is_refusal);
}

#[test]
fn flagged_refusals_are_counted() {
    let ask = prompt("p", "en");
    let gates = Gates::default();
    let completion = say(&ask, "I'm sorry, but I can't help with that.");
    let verdict = gates.judge(&ask, &completion);
    let judged = [cambist_core::candidate::Candidate { verdict, completion, reward: None }];
    assert_eq!(tally(&judged)["a"].count(&language("en"), "flagged_refusal"), 1);
}

#[test]
fn sentences_in_another_language_are_counted() {
    let cases = [
        ("uk", format!("{UKRAINIAN} {UKRAINIAN} {ENGLISH}"), Some(Reason::Mixed)),
        ("uk", format!("{UKRAINIAN} {UKRAINIAN} {UKRAINIAN} {ENGLISH}"), None),
        ("de", format!("{GERMAN} {GERMAN}\n{ENGLISH}"), Some(Reason::Mixed)),
        ("de", format!("{GERMAN} {GERMAN} {GERMAN}\n```\n{ENGLISH}\n{ENGLISH}\n```"), None),
        ("uk", UKRAINIAN.to_owned(), None),
    ];
    for (tag, text, expected) in cases {
        let ask = prompt("p", tag);
        let verdict = Gates { repetition: None, ..Gates::default() }.judge(&ask, &say(&ask, &text));
        assert_eq!(reason(&verdict), expected, "{tag}: {text} {verdict:?}");
    }
    let ask = prompt("p", "uk");
    let off = Gates { mixed: None, repetition: None, ..Gates::default() };
    assert!(off.judge(&ask, &say(&ask, &format!("{UKRAINIAN} {UKRAINIAN} {ENGLISH}"))).passed());
}

#[test]
fn safety_has_a_threshold_for_each_language() {
    let safety = SafetyGate { min_score: 0.5, languages: [(language("de"), 0.9)].into(), allow_missing: false };
    let gates = Gates { safety: Some(safety.clone()), ..Gates::default() };
    let judge = |tag: &str, text: &str, score| {
        let ask = prompt("p", tag);
        reason(&gates.judge_scored((&ask, &say(&ask, text)), score))
    };
    assert_eq!([judge("uk", UKRAINIAN, Some(0.5)), judge("de", GERMAN, Some(0.9))], [None, None]);
    assert_eq!(judge("de", GERMAN, Some(0.6)), Some(Reason::Unsafe));
    assert_eq!(judge("uk", UKRAINIAN, None), Some(Reason::Unsafe), "silence makes nothing safe");
    assert_eq!(judge("uk", UKRAINIAN, Some(f64::NAN)), Some(Reason::Unsafe));
    let lenient = Gates { safety: Some(SafetyGate { allow_missing: true, ..safety }), ..Gates::default() };
    let ask = prompt("p", "uk");
    assert!(lenient.judge(&ask, &say(&ask, UKRAINIAN)).passed());
}

fn by_length(limits: LengthLimits) -> Gates {
    let length = Some(LengthGate { limits, ..LengthGate::default() });
    Gates { length, language: None, mixed: None, repetition: None, echo: None, ..Gates::default() }
}

#[test]
fn lengths_are_judged_alone_and_beside_others() {
    let ask = prompt("p", "en");
    let alone = by_length(LengthLimits { min_chars: Some(3), max_chars: Some(5), ..LengthLimits::default() });
    let found = ["ab", "abc", "abcdef"].map(|text| reason(&alone.judge(&ask, &say(&ask, text))));
    assert_eq!(found, [Some(Reason::TooShort), None, Some(Reason::TooLong)]);
    let beside =
        by_length(LengthLimits { min_of_median: Some(0.5), max_of_median: Some(2.0), ..LengthLimits::default() });
    let of = |lengths: &[usize]| {
        let completions =
            lengths.iter().enumerate().map(|(at, n)| Completion { sample: at as u32, ..say(&ask, &"x".repeat(*n)) });
        let matrix = Matrix::judged(vec![ask.clone()], completions.collect(), &[], &beside).unwrap();
        matrix.rows()[0].candidates.iter().map(|c| reason(&c.verdict)).collect::<Vec<_>>()
    };
    assert_eq!(of(&[10, 4, 12, 30]), [None, Some(Reason::TooShort), None, Some(Reason::TooLong)]);
    assert_eq!(of(&[10, 400]), [None, None], "the median of two says nothing");
}

proptest! {
    #[test]
    fn verdicts_are_the_same_in_any_order_of_arrival(
        lengths in prop::collection::vec(0..60usize, 1..9).prop_shuffle(),
        rotation in 0..9usize,
    ) {
        let ask = prompt("p", "en");
        let limits = LengthLimits { min_chars: Some(5), min_of_median: Some(0.6), max_of_median: Some(1.5), max_chars: Some(50) };
        let gates = by_length(limits);
        let mut completions: Vec<Completion> =
            lengths.iter().enumerate().map(|(at, n)| Completion { sample: at as u32, ..say(&ask, &"x".repeat(*n)) }).collect();
        let first = Matrix::judged(vec![ask.clone()], completions.clone(), &[], &gates).unwrap();
        completions.reverse();
        let by = rotation % completions.len();
        completions.rotate_left(by);
        prop_assert_eq!(first, Matrix::judged(vec![ask], completions, &[], &gates).unwrap());
    }
}
