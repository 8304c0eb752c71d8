//! Rule arbiters: chrF against sacreBLEU, and missing rewards that stay missing.

use cambist_core::{
    arbiter::{Arbiter, Chrf, ChrfArbiter, ExactChecker, ExactMatch, Missing, Recorded, RecordedError, score},
    check::Check,
    completion::{Completion, FinishReason},
    prompt::Prompt,
    score::Score,
};
use serde::Deserialize;

use crate::made::{answer, prompt};

/// Written by `golden/chrf.py`.
#[derive(Deserialize)]
struct Golden {
    pairs: Vec<(String, String)>,
    scores: std::collections::BTreeMap<String, Vec<f64>>,
}

#[test]
fn chrf_equals_sacrebleu() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/chrf.json")).unwrap();
    let settings = [
        ("chrf", Chrf::default()),
        ("chrf++", Chrf::plus_plus()),
        ("beta1", Chrf { beta: 1.0, char_order: 4, ..Chrf::default() }),
        ("lower-space", Chrf { lowercase: true, whitespace: true, word_order: 1, ..Chrf::default() }),
    ];
    for (name, chrf) in settings {
        for ((hypothesis, reference), expected) in golden.pairs.iter().zip(&golden.scores[name]) {
            let found = chrf.score(hypothesis, reference);
            assert!(
                (found - expected).abs() < 1e-9,
                "{name}: {hypothesis} | {reference}: {found}, expected {expected}"
            );
        }
    }
}

fn ask() -> Prompt {
    prompt("p", "de")
}

fn say(text: &str) -> Completion {
    Completion { text: text.into(), ..answer(&ask(), "t", 0, None).completion }
}

#[test]
fn rules_say_right_wrong_or_why_not() {
    let chrf = ChrfArbiter::default();
    let arbiters: [&dyn Arbiter; 3] = [&ExactChecker, &ExactMatch, &chrf];
    let blind = arbiters.map(|arbiter| arbiter.value(&ask(), &say("März")));
    assert_eq!(blind, [Err(Missing::NoCheck), Err(Missing::NoReference), Err(Missing::NoReference)]);

    let known = Prompt { reference: Some("März".into()), check: Some(Check::OneOf(vec!["März".into()])), ..ask() };
    assert_eq!(
        arbiters.map(|arbiter| arbiter.value(&known, &say(" Ma\u{308}rz "))).map(|v| v.map(f64::round)),
        [Ok(1.0), Ok(1.0), Ok(100.0)]
    );
    assert_eq!(arbiters.map(|arbiter| arbiter.value(&known, &say("Juli"))), [Ok(0.0), Ok(0.0), Ok(0.0)]);
}

#[test]
fn a_failed_call_has_no_reward() {
    let known = Prompt { check: Some(Check::OneOf(vec!["März".into()])), ..ask() };
    let failed = Completion { failure: Some("timed out".into()), finish_reason: FinishReason::Error, ..say("") };
    let missing = score(&ExactChecker, &known, &failed).unwrap();
    assert_eq!((missing.value, missing.missing.as_deref()), (None, Some("no_answer")));
    let wrong = score(&ExactChecker, &known, &say("Mai")).unwrap();
    assert_eq!((wrong.value, wrong.missing), (Some(0.0), None));
}

#[test]
fn recorded_scores_are_looked_up_and_checked() {
    let given = |value, sample| {
        let (prompt_id, teacher, arbiter) = ("p".into(), "t".into(), "judge".into());
        Score { prompt_id, teacher, sample, arbiter, value, missing: None }
    };
    let other = Score { arbiter: "other".into(), ..given(Some(f64::NAN), 0) };
    let recorded = Recorded::new("judge", &[given(Some(0.7), 0), given(None, 1), other.clone()]).unwrap();
    let value = |sample| recorded.value(&ask(), &Completion { sample, ..say("x") });
    assert_eq!([value(0), value(1), value(2)], [Ok(0.7), Err(Missing::RecordedAsMissing), Err(Missing::NotRecorded)]);
    assert!(matches!(Recorded::new("other", &[other]), Err(RecordedError::NotFinite(_))));
    let twice = [given(Some(0.7), 0), given(Some(0.8), 0)];
    assert!(matches!(Recorded::new("judge", &twice), Err(RecordedError::Duplicate { .. })));
}

/// An arbiter that is broken.
struct Broken;

impl Arbiter for Broken {
    fn id(&self) -> String {
        "broken".into()
    }

    fn value(&self, _: &Prompt, _: &Completion) -> Result<f64, Missing> {
        Ok(f64::NAN)
    }
}

#[test]
fn nan_is_an_error_and_no_reward() {
    assert_eq!(score(&Broken, &ask(), &say("x")).unwrap_err().arbiter, "broken");
}
