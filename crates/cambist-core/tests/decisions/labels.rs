//! Labels of single answers: the better one is never the unwanted one, every answer is accounted for.

use std::collections::BTreeMap;

use cambist_core::{
    candidate::{Matrix, MatrixError},
    labels::{Label, LabelError, LabelOptions, LabelRule, Labels, make_labels},
    pool::Pool,
    reward::Scales,
};
use proptest::prelude::*;

use crate::made::{answer, language, matrices, pool, prompt, rewarded, stopped};

const RULES: [LabelRule; 6] = [
    LabelRule::PromptMean,
    LabelRule::PromptShare(0.25),
    LabelRule::LanguageQuantile(0.0),
    LabelRule::LanguageQuantile(0.5),
    LabelRule::LanguageShare(0.3),
    LabelRule::AtLeast(2.0),
];

fn with(rule: LabelRule) -> LabelOptions {
    LabelOptions { rule, ..LabelOptions::default() }
}

fn labels(matrix: &Matrix, pool: &Pool, options: &LabelOptions) -> Labels {
    make_labels(matrix, pool, &Scales::fit(matrix), options)
}

/// Labels one prompt's answers of different words: `+` wanted, `-` unwanted, `.` neither.
fn of_prompt(rewards: &[f64], options: &LabelOptions) -> String {
    of_prompts(&[rewards], options)
}

/// The same of several prompts in one language, one behind the other.
fn of_prompts(prompts: &[&[f64]], options: &LabelOptions) -> String {
    let ids: Vec<String> = (0..10).map(|at| format!("t{at}")).collect();
    let asked: Vec<_> = (0..prompts.len()).map(|at| prompt(&format!("p{at}"), "tr")).collect();
    let said = asked.iter().zip(prompts).flat_map(|(prompt, rewards)| {
        ids.iter().zip(*rewards).map(move |(id, reward)| answer(prompt, id, 0, Some(*reward)))
    });
    let matrix = Matrix::new(asked.clone(), said.collect()).unwrap();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    // Texts of one pattern are nearly equal.
    let made = labels(&matrix, &pool(&names), &LabelOptions { near_duplicate: None, ..options.clone() });
    let sign = |label: &Label| label.is_wanted().map_or('.', |wanted| if wanted { '+' } else { '-' });
    made.labels.iter().flatten().map(sign).collect()
}

proptest! {
    #[test]
    fn labels_keep_their_promises((matrix, pool) in matrices(), at in 0..RULES.len(), dead_zone in 0..3u8) {
        let options = LabelOptions { dead_zone: f64::from(dead_zone) / 3.0, near_duplicate: None, ..with(RULES[at]) };
        let made = labels(&matrix, &pool, &options);
        let n_answers: usize = matrix.rows().iter().map(|row| row.candidates.len()).sum();
        prop_assert_eq!(made.tally.total(), n_answers);
        for (row, labels) in matrix.rows().iter().zip(&made.labels) {
            prop_assert_eq!(row.candidates.len(), labels.len());
            let rewards = |wanted| {
                let labelled = row.candidates.iter().zip(labels).filter(move |(_, label)| label.is_wanted() == Some(wanted));
                labelled.map(|(candidate, _)| candidate.valid_reward().unwrap())
            };
            for (wanted, unwanted) in rewards(true).flat_map(|w| rewards(false).map(move |u| (w, u))) {
                prop_assert!(wanted > unwanted, "{wanted} over {unwanted}");
            }
            for (candidate, label) in row.candidates.iter().zip(labels) {
                let lacks = match (candidate.passed(), candidate.reward) {
                    (false, _) => Some(Label::Stopped),
                    (true, None) => Some(Label::Unscored),
                    _ => None,
                };
                prop_assert!(lacks.is_none_or(|lack| *label == lack), "{label:?}");
                prop_assert!(lacks.is_some() || !matches!(label, Label::Stopped | Label::Unscored));
            }
        }
    }

    #[test]
    fn both_kinds_are_there_wherever_rewards_that_are_compared_differ((matrix, pool) in matrices(), at in 0..RULES.len() - 1) {
        let made = labels(&matrix, &pool, &LabelOptions { near_duplicate: None, ..with(RULES[at]) });
        let is_of_prompt = matches!(RULES[at], LabelRule::PromptMean | LabelRule::PromptShare(_));
        let mut compared: BTreeMap<String, Vec<(f64, Label)>> = BTreeMap::new();
        for (row, labels) in matrix.rows().iter().zip(&made.labels) {
            let key = if is_of_prompt { row.prompt.id.clone() } else { row.prompt.language.to_string() };
            let valid = row.candidates.iter().zip(labels).filter_map(|(c, label)| Some((c.valid_reward()?, *label)));
            compared.entry(key).or_default().extend(valid);
        }
        for group in compared.values() {
            let differ = group.iter().any(|(reward, _)| *reward != group[0].0);
            for kind in [true, false] {
                prop_assert_eq!(group.iter().any(|(_, label)| label.is_wanted() == Some(kind)), differ, "{:?}", group);
            }
        }
    }

    #[test]
    fn shifts_and_scales_change_no_label((matrix, pool) in matrices(), factor in 1..9i32, at in 0..RULES.len() - 1) {
        let scaled = rewarded(&matrix, |_, r| r * f64::from(1 << factor) + 8.0);
        prop_assert_eq!(labels(&matrix, &pool, &with(RULES[at])), labels(&scaled, &pool, &with(RULES[at])));
    }
}

#[test]
fn rules_by_hand() {
    let four = [1.0, 4.0, 2.0, 3.0];
    assert_eq!(of_prompt(&four, &with(LabelRule::PromptMean)), "-+-+");
    assert_eq!(of_prompt(&four, &with(LabelRule::PromptShare(0.25))), "-+..");
    assert_eq!(of_prompt(&four, &with(LabelRule::PromptShare(0.5))), "-+-+");
    assert_eq!(of_prompt(&four, &with(LabelRule::AtLeast(2.0))), "-+++");
    // The mean of a prompt, whatever the other prompts of the language have.
    let two: [&[f64]; 2] = [&[1.0, 2.0], &[8.0, 9.0, 10.0]];
    assert_eq!(of_prompts(&two, &with(LabelRule::PromptMean)), "-+-++");
    assert_eq!(of_prompts(&two, &with(LabelRule::LanguageQuantile(0.5))), "--+++");
    assert_eq!(of_prompts(&two, &with(LabelRule::LanguageQuantile(0.75))), "---++");
    assert_eq!(of_prompts(&two, &with(LabelRule::LanguageShare(0.2))), "-...+");
    assert_eq!(of_prompts(&two, &with(LabelRule::LanguageShare(0.4))), "--.++");
}

#[test]
fn ties_stay_together_and_the_lowest_are_never_wanted() {
    // At the mean, which 0.1 + 0.2 + 0.3 is above but for rounding.
    assert_eq!(of_prompt(&[0.1, 0.2, 0.3], &with(LabelRule::PromptMean)), "-++");
    assert_eq!(of_prompt(&[3.0, 3.0, 2.0, 1.0], &with(LabelRule::PromptShare(0.25))), "++.-");
    assert_eq!(of_prompt(&[3.0, 3.0, 3.0, 1.0], &with(LabelRule::PromptShare(0.5))), "+++-");
    assert_eq!(of_prompt(&[3.0, 1.0, 1.0, 1.0], &with(LabelRule::PromptShare(0.5))), "+---");
    assert_eq!(of_prompt(&[3.0, 2.0, 2.0, 1.0], &with(LabelRule::PromptShare(0.5))), "+..-");
    // One right answer among wrong ones: a median of 0 makes no wrong answer wanted.
    let checked: [&[f64]; 3] = [&[0.0, 0.0], &[0.0, 1.0], &[0.0]];
    assert_eq!(of_prompts(&checked, &with(LabelRule::LanguageQuantile(0.5))), "---+-");
    assert_eq!(of_prompts(&checked, &with(LabelRule::LanguageShare(0.5))), "---+-");
}

#[test]
fn the_dead_zone_is_measured_on_the_scale_of_the_language() {
    // Median 5 and median deviation 2, so that a unit is 2.9652 wide: the dead zone reaches from 3.1 to 6.9.
    let nine: Vec<f64> = (1..10).map(f64::from).collect();
    let wide = |rule| LabelOptions { dead_zone: 1.9 / 2.9652, ..with(rule) };
    assert_eq!(of_prompt(&nine, &wide(LabelRule::PromptMean)), "---...+++");
    assert_eq!(of_prompt(&nine, &wide(LabelRule::AtLeast(5.0))), "---...+++");
    assert_eq!(of_prompt(&nine, &wide(LabelRule::LanguageQuantile(0.5))), "---...+++");
    assert_eq!(of_prompt(&nine, &wide(LabelRule::PromptShare(0.45))), "---...+++");
    assert_eq!(of_prompt(&nine, &LabelOptions { dead_zone: 9.0, ..with(LabelRule::PromptMean) }), ".........");
}

#[test]
fn each_answer_without_a_label_has_its_reason() {
    let prompt = prompt("p", "tr");
    let made = |rewards: &[Option<f64>], rule| {
        let ids = &["a", "b", "c"][..rewards.len()];
        let said = ids.iter().zip(rewards).map(|(id, reward)| answer(&prompt, id, 0, *reward)).collect();
        let matrix = Matrix::new(vec![prompt.clone()], said).unwrap();
        let made = labels(&matrix, &pool(&["a", "b", "c"]), &LabelOptions { near_duplicate: None, ..with(rule) });
        made.labels[0].iter().map(|label| label.code()).collect::<Vec<_>>()
    };
    let (mean, least) = (LabelRule::PromptMean, LabelRule::AtLeast(1.0));
    assert_eq!(made(&[Some(1.0)], mean), ["one_valid"]);
    assert_eq!(made(&[Some(1.0), None], mean), ["one_valid", "unscored"]);
    assert_eq!(made(&[Some(1.0)], least), ["wanted"]);
    assert_eq!(made(&[Some(0.5), None], least), ["unwanted", "unscored"]);
    assert_eq!(made(&[Some(1.0), Some(1.0)], mean), ["no_gap", "no_gap"]);
    assert_eq!(made(&[Some(1.0), Some(1.0)], least), ["wanted", "wanted"]);
    assert_eq!(made(&[Some(1.0), Some(1.0)], LabelRule::LanguageQuantile(0.5)), ["no_gap", "no_gap"]);
    assert_eq!(
        made(&[Some(1.0), Some(2.0), Some(3.0)], LabelRule::PromptShare(0.3)),
        ["unwanted", "undecided", "wanted"]
    );
    assert_eq!(made(&[], mean), Vec::<&str>::new());

    let candidates = vec![stopped(answer(&prompt, "a", 0, Some(9.0))), answer(&prompt, "b", 0, Some(1.0))];
    let matrix = Matrix::new(vec![prompt.clone()], candidates).unwrap();
    let made = labels(&matrix, &pool(&["a", "b"]), &with(least));
    assert_eq!(made.labels, [[Label::Stopped, Label::Wanted]]);
    assert_eq!((made.tally.count(&language("tr"), "stopped"), made.tally.count(&language("tr"), "wanted")), (1, 1));

    let unknown = Matrix::new(vec![prompt.clone()], vec![answer(&prompt, "a", 0, Some(f64::NAN))]).unwrap_err();
    assert!(matches!(unknown, MatrixError::NotFinite { .. }), "{unknown}");
}

#[test]
fn a_text_is_never_wanted_and_unwanted() {
    let prompt = prompt("p", "tr");
    let said = [("a", "aynı cevap", 1.0), ("b", "aynı cevap ", 3.0), ("c", "çok başka sözler", 2.5)].map(
        |(id, text, reward)| {
            let mut candidate = answer(&prompt, id, 0, Some(reward));
            candidate.completion.text = text.into();
            candidate
        },
    );
    let matrix = Matrix::new(vec![prompt], said.to_vec()).unwrap();
    let made = labels(&matrix, &pool(&["a", "b", "c"]), &with(LabelRule::PromptMean));
    assert_eq!(made.labels, [[Label::Duplicate, Label::Wanted, Label::Unwanted]]);
}

#[test]
fn languages_may_have_rules_of_their_own() {
    let prompts = ["tr", "uk"].map(|tag| prompt(tag, tag));
    let said = prompts.iter().flat_map(|prompt| [("a", 4.0), ("b", 6.0)].map(|(id, r)| answer(prompt, id, 0, Some(r))));
    let matrix = Matrix::new(prompts.to_vec(), said.collect()).unwrap();
    let languages = BTreeMap::from([(language("uk"), LabelRule::AtLeast(3.0))]);
    let options = LabelOptions { languages, near_duplicate: None, ..with(LabelRule::AtLeast(5.0)) };
    let made = labels(&matrix, &pool(&["a", "b"]), &options);
    assert_eq!(made.labels, [[Label::Unwanted, Label::Wanted], [Label::Wanted; 2]]);
    assert_eq!(made.tally.count(&language("uk"), "unwanted"), 0);
}

#[test]
fn numbers_outside_their_range_are_named() {
    let fault = |options: LabelOptions| options.check().unwrap_err().to_string();
    for share in [0.0, -0.1, 0.51, f64::NAN] {
        let expected = format!("`prompt-share` is {share}, expected a number above 0 to 0.5");
        assert_eq!(fault(with(LabelRule::PromptShare(share))), expected);
    }
    assert!(fault(with(LabelRule::LanguageShare(2.0))).starts_with("`language-share` is 2"));
    assert!(fault(with(LabelRule::LanguageQuantile(1.1))).contains("expected a number from 0 to 1"));
    assert!(fault(with(LabelRule::AtLeast(f64::INFINITY))).contains("expected a finite number"));
    let dead = LabelOptions { dead_zone: -1.0, ..LabelOptions::default() };
    assert_eq!(fault(dead), "`dead_zone` is -1, expected a number from 0");
    let languages = BTreeMap::from([(language("uk"), LabelRule::PromptShare(0.9))]);
    let LabelError { key, found, .. } = LabelOptions { languages, ..LabelOptions::default() }.check().unwrap_err();
    assert_eq!((key, found), ("prompt-share", 0.9));
    assert!(RULES.into_iter().all(|rule| with(rule).check().is_ok()));
}
