//! Minimum Bayes risk against a plain program over sacreBLEU, and what must hold whatever the answers are.

use cambist_core::arbiter::{Contender, Evidence, mean_utilities, utility};
use proptest::prelude::*;
use serde::Deserialize;

/// Written by `golden/mbr.py`.
#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    answers: Vec<(String, bool)>,
    evidence: Vec<String>,
    weight: f64,
    scores: Vec<f64>,
}

fn voters(texts: &[String]) -> Vec<Contender<'_>> {
    texts.iter().map(|text| Contender { text, has_vote: true }).collect()
}

fn alone(texts: &[String]) -> Vec<f64> {
    mean_utilities(&voters(texts), Evidence::NONE)
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn mean_utilities_equal_a_plain_program() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/mbr.json")).unwrap();
    assert!(golden.cases.len() >= 10);
    for case in golden.cases {
        let answers: Vec<Contender<'_>> =
            case.answers.iter().map(|(text, has_vote)| Contender { text, has_vote: *has_vote }).collect();
        let texts: Vec<&str> = case.evidence.iter().map(String::as_str).collect();
        let found = mean_utilities(&answers, Evidence { texts: &texts, weight: case.weight });
        for (found, expected) in found.iter().zip(&case.scores) {
            assert!((found - expected).abs() < 1e-12, "{:?}: {found}, expected {expected}", case.answers);
        }
        assert_eq!(found.len(), case.scores.len());
    }
}

#[test]
fn copies_do_not_vote_for_each_other() {
    let right = "Rivers bend because the water on the outer side runs faster and takes more soil away with it.";
    let wrong = "Rivers bend because giants pulled them out of their straight beds a very long time ago, they say.";
    let near = format!("{wrong}.");
    let also = "Rivers bend since the water at the outer side is faster and takes away more of the soil.";
    let scores = alone(&owned(&[right, also, wrong, &near, wrong]));
    assert!(scores[0] > scores[2] && scores[1] > scores[2], "{scores:?}");
    assert_eq!((scores[2], scores[2]), (scores[3], scores[4]));
}

#[test]
fn an_answer_without_others_agrees_with_all_that_there_is() {
    assert_eq!(alone(&owned(&["yes"])), [1.0]);
    assert_eq!(alone(&owned(&["yes", "yes", "yes"])), [1.0; 3]);
    assert!(alone(&[]).is_empty());
    let two = alone(&owned(&["Ja, gewiss.", "Nein, nie."]));
    assert_eq!(two[0], two[1]);
    // One answer without a vote is measured against the other, which is measured against nobody.
    let answers = [Contender { text: "left", has_vote: true }, Contender { text: "lift", has_vote: false }];
    let scores = mean_utilities(&answers, Evidence::NONE);
    assert_eq!(scores, [1.0, utility("left", "lift")]);
}

#[test]
fn evidence_breaks_the_tie_of_two() {
    let answers = owned(&["Київ", "Львів"]);
    let evidence = Evidence { texts: &["столиця — Київ"], weight: 1.0 };
    let scores = mean_utilities(&voters(&answers), evidence);
    assert!(scores.len() == 2 && scores[0] > scores[1], "{scores:?}");
    // Two copies of it are one piece.
    let twice = Evidence { texts: &["столиця — Київ", "столиця —  Київ"], weight: 1.0 };
    assert_eq!(mean_utilities(&voters(&answers), twice), scores);
}

proptest! {
    #[test]
    fn scores_do_not_depend_on_the_order_of_the_answers(
        (texts, order) in prop::collection::vec("[ab日]{0,12}", 1..6).prop_flat_map(|texts| {
            let places = (0..texts.len()).collect::<Vec<_>>();
            (Just(texts), Just(places).prop_shuffle())
        }),
    ) {
        let scores = alone(&texts);
        let moved: Vec<String> = order.iter().map(|&at| texts[at].clone()).collect();
        let expected: Vec<f64> = order.iter().map(|&at| scores[at]).collect();
        prop_assert_eq!(alone(&moved), expected);
        prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{:?}", scores);
    }

    #[test]
    fn a_copy_changes_nothing(texts in prop::collection::vec("[ab]{1,9}", 1..5), at in 0usize..5) {
        let scores = alone(&texts);
        let mut more = texts.clone();
        more.push(texts[at % texts.len()].clone());
        prop_assert_eq!(&alone(&more)[..texts.len()], &scores[..]);
    }

    #[test]
    fn utility_is_symmetric_to_the_last_bit(a in ".{0,20}", b in ".{0,20}") {
        prop_assert_eq!(utility(&a, &b), utility(&b, &a));
        prop_assert!((0.0..=1.0).contains(&utility(&a, &b)));
    }
}
