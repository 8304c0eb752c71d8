//! Routing heads against scikit-learn and PyTorch and their definitions.

use cambist_core::{
    chance::Chance,
    features::FeatureVector,
    head::{
        BradleyTerry, FitOptions, HeadKind, KlSoftmax, Lesson, Lessons, LinearHead, Loss, N_FOLDS, SquaredError,
        TuneOptions, expected_rewards, fit, fit_table, fold_of, tune,
    },
};
use proptest::prelude::*;
use serde::Deserialize;

use crate::made::language;

/// Weights are kept in single precision, and the minimum is found to 1e-9 of the gradient.
const TOLERANCE: f64 = 2e-5;

#[derive(Deserialize)]
struct Golden {
    rows: Vec<GoldenRow>,
    rewards: Vec<Vec<Option<f64>>>,
    masked: Vec<Vec<Option<f64>>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct GoldenRow {
    features: Vec<u32>,
    values: Vec<f32>,
    language: usize,
}

#[derive(Deserialize)]
struct Case {
    loss: String,
    tau: Option<f64>,
    penalty: f64,
    masked: bool,
    scores: Vec<Vec<f64>>,
}

fn golden_lessons(golden: &Golden, case: &Case) -> Lessons {
    let n_teachers = if case.loss == "bt-two" { 2 } else { 4 };
    let rewards = if case.masked { &golden.masked } else { &golden.rewards };
    let lesson = |(at, row): (usize, &GoldenRow)| Lesson {
        features: FeatureVector { indices: row.features.clone(), values: row.values.clone() },
        language: row.language,
        source: at,
        rewards: rewards[at][..n_teachers].to_vec(),
    };
    Lessons {
        teachers: ["a", "b", "c", "d"][..n_teachers].iter().map(|id| (*id).to_owned()).collect(),
        languages: ["tr", "uk", "zh"].map(language).to_vec(),
        width: 40,
        sources: (0..golden.rows.len()).map(|at| format!("s{at}")).collect(),
        lessons: golden.rows.iter().enumerate().map(lesson).collect(),
    }
}

fn scores_of(head: &LinearHead, lessons: &Lessons, at: usize) -> Vec<f64> {
    let lesson = &lessons.lessons[at];
    head.scores(&lesson.features, &lessons.languages[lesson.language])
}

#[test]
fn heads_are_those_of_scikit_learn_and_pytorch() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/heads.json")).unwrap();
    assert_eq!(golden.cases.len(), 6);
    for case in &golden.cases {
        let lessons = golden_lessons(&golden, case);
        let loss: Box<dyn Loss> = match case.loss.as_str() {
            "ridge" => Box::new(SquaredError),
            "kl" => Box::new(KlSoftmax { tau: case.tau.unwrap() }),
            _ => Box::new(BradleyTerry),
        };
        let options = FitOptions { penalty: case.penalty, tolerance: 1e-9, max_steps: 5_000, ..FitOptions::default() };
        let head = fit(&lessons, loss.as_ref(), options);
        for (at, expected) in case.scores.iter().enumerate() {
            let mut scores = scores_of(&head, &lessons, at);
            if case.loss != "ridge" {
                let mean = scores.iter().sum::<f64>() / scores.len() as f64;
                scores.iter_mut().for_each(|score| *score -= mean);
            }
            for (score, expected) in scores.iter().zip(expected) {
                let gap = (score - expected).abs();
                assert!(gap < TOLERANCE, "{} {at}: {scores:?}, expected {expected}", case.loss);
            }
        }
    }
}

#[test]
fn targets_of_the_spec() {
    let targets = KlSoftmax { tau: 0.3 }.targets(&[Some(0.2), Some(0.5), Some(0.9)]);
    for (target, expected) in targets.iter().zip([0.0713, 0.1937, 0.7350]) {
        assert!((target - expected).abs() < 5e-5, "{targets:?}");
    }
}

fn rewards() -> impl Strategy<Value = Vec<Option<f64>>> {
    prop::collection::vec(prop_oneof![1 => Just(None), 4 => (-6..6i32).prop_map(|r| Some(f64::from(r) / 4.0))], 2..7)
}

fn losses(tau: f64) -> [Box<dyn Loss>; 3] {
    [Box::new(KlSoftmax { tau }), Box::new(BradleyTerry), Box::new(SquaredError)]
}

proptest! {
    #[test]
    fn targets_are_shares_of_the_eligible(rewards in rewards(), shift in -9.0..9.0f64, tau in 0.05..5.0f64) {
        let open = rewards.iter().flatten().count();
        prop_assume!(open > 0);
        let targets = KlSoftmax { tau }.targets(&rewards);
        prop_assert!((targets.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(targets.iter().zip(&rewards).all(|(target, reward)| reward.is_some() || *target == 0.0));
        let shifted: Vec<_> = rewards.iter().map(|reward| reward.map(|r| r + shift)).collect();
        for (a, b) in targets.iter().zip(KlSoftmax { tau }.targets(&shifted)) {
            prop_assert!((a - b).abs() < 1e-9);
        }
        let best = rewards.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let n_best = rewards.iter().filter(|reward| **reward == Some(best)).count() as f64;
        for cold in [KlSoftmax { tau: 0.0 }, KlSoftmax { tau: 1e-3 }] {
            for (target, reward) in cold.targets(&rewards).iter().zip(&rewards) {
                let share = if *reward == Some(best) { 1.0 / n_best } else { 0.0 };
                prop_assert!((target - share).abs() < 1e-9);
            }
        }
        for (target, reward) in (KlSoftmax { tau: 1e9 }).targets(&rewards).iter().zip(&rewards) {
            prop_assert!(reward.is_none() || (target - 1.0 / open as f64).abs() < 1e-6);
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences(rewards in rewards(), seed in 0..999u32, tau in 0.1..3.0f64) {
        let scores: Vec<f64> = (0..rewards.len()).map(|at| f64::from((seed * 31 + at as u32 * 17) % 23) / 7.0 - 1.5).collect();
        for (place, loss) in losses(tau).iter().enumerate() {
            let mut gradient = vec![f64::NAN; scores.len()];
            let value = loss.blame(&scores, &rewards, &mut gradient);
            prop_assert!(value >= -1e-12);
            if place < 2 {
                prop_assert!(gradient.iter().sum::<f64>().abs() < 1e-12);
            }
            let mut unused = vec![0.0; scores.len()];
            for (at, expected) in gradient.iter().enumerate() {
                let mut moved = |by: f64| {
                    let mut moved = scores.clone();
                    moved[at] += by;
                    loss.blame(&moved, &rewards, &mut unused)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                prop_assert!((slope - expected).abs() < 1e-6, "{place} {at}: {slope} {gradient:?}");
            }
        }
    }

    #[test]
    fn pairs_forget_a_constant_and_swapped_rewards_flip_the_slope(a in -3.0..3.0f64, b in -3.0..3.0f64, shift in -9.0..9.0f64) {
        let blame = |scores: [f64; 2], rewards: [f64; 2]| {
            let mut slope = [0.0; 2];
            let loss = BradleyTerry.blame(&scores, &rewards.map(Some), &mut slope);
            (loss, slope)
        };
        let (loss, _) = blame([a, b], [1.0, 0.0]);
        prop_assert!((loss - blame([a + shift, b + shift], [1.0, 0.0]).0).abs() < 1e-9);
        let (_, one) = blame([a, a], [1.0, 0.0]);
        let (_, other) = blame([a, a], [0.0, 1.0]);
        prop_assert!((one[0] + other[0]).abs() < 1e-12 && one[0] < 0.0);
        prop_assert_eq!(blame([a, b], [0.5, 0.5]).0, 0.0);
    }
}

/// Lessons in which teacher `b` is right where feature 0 is on and `a` where it is off, in both languages; with
/// `is_telling` false the feature is on by lot.
fn made_lessons(n: usize, is_telling: bool) -> Lessons {
    let lesson = |at: usize| {
        let mut chance = Chance::new(1, &["lesson", &at.to_string()]);
        let is_b = chance.below(2) == 1;
        let is_on = if is_telling { is_b } else { chance.below(2) == 1 };
        let noise = chance.unit() / 2.0;
        let (indices, values) = if is_on { (vec![0, 2], vec![1.0, 0.5]) } else { (vec![1, 2], vec![1.0, 0.5]) };
        Lesson {
            features: FeatureVector { indices, values },
            language: at % 2,
            source: at,
            rewards: vec![
                Some(f64::from(!is_b) + noise),
                Some(f64::from(is_b)),
                (!at.is_multiple_of(3)).then_some(0.4),
            ],
        }
    };
    Lessons {
        teachers: ["a", "b", "c"].map(str::to_owned).to_vec(),
        languages: ["tr", "uk"].map(language).to_vec(),
        width: 4,
        sources: (0..n).map(|at| format!("s{at}")).collect(),
        lessons: (0..n).map(lesson).collect(),
    }
}

#[test]
fn what_the_prompt_tells_is_learned() {
    let lessons = made_lessons(400, true);
    let tuned = tune(&lessons, &TuneOptions::default());
    assert_ne!(tuned.chosen.head, HeadKind::Table);
    assert!(tuned.overall.gain > 0.3 && tuned.overall.regret < 0.05, "{:?}", tuned.overall);
    assert_eq!(tuned.trials.len(), 1 + 3 * TuneOptions::default().penalties.len());
    for at in 0..50 {
        let scores = scores_of(&tuned.head, &lessons, at);
        let is_b = lessons.lessons[at].rewards[1] == Some(1.0);
        assert_eq!(scores[1] > scores[0], is_b, "{at}: {scores:?}");
    }
    assert_eq!(tune(&lessons, &TuneOptions::default()), tuned);
}

#[test]
fn where_the_prompt_tells_nothing_the_table_stays() {
    let lessons = made_lessons(300, false);
    let tuned = tune(&lessons, &TuneOptions::default());
    assert_eq!(tuned.chosen.head, HeadKind::Table, "{:?}", tuned.overall);
    assert_eq!(tuned.head, fit_table(&lessons));
    assert!(!tuned.head.reads_features());
    let forced = tune(&lessons, &TuneOptions { may_take_table: false, ..TuneOptions::default() });
    assert_ne!(forced.chosen.head, HeadKind::Table);
}

#[test]
fn expectations_are_those_of_others_out_of_fold() {
    let lessons = made_lessons(400, true);
    let expected = expected_rewards(&lessons, &TuneOptions::default());
    assert!(expected.penalty.is_finite());
    assert_eq!(expected.out_of_fold.len(), 400);
    for (lesson, means) in lessons.lessons.iter().zip(&expected.out_of_fold) {
        let is_b = lesson.rewards[1] == Some(1.0);
        assert!((means[1] - f64::from(is_b)).abs() < 0.1, "{means:?}");
    }
    let folds = fold_of(&lessons, 0);
    let sizes: Vec<usize> = (0..N_FOLDS).map(|fold| folds.iter().filter(|own| **own == fold).count()).collect();
    assert_eq!(sizes, [80; N_FOLDS]);
}

/// Made lessons with a feature for each of their last digits beside, so that few features tell and many are there.
fn many_lessons(n: usize) -> Lessons {
    let mut lessons = made_lessons(n, true);
    lessons.width = 64;
    for (at, lesson) in lessons.lessons.iter_mut().enumerate() {
        lesson.features.indices.extend([4 + (at % 20) as u32, 24 + (at % 40) as u32]);
        lesson.features.values.extend([0.5, -0.25]);
        lesson.rewards[1] = lesson.rewards[1].map(|reward| reward + (at % 7) as f64 / 10.0);
    }
    lessons
}

fn in_pool<T: Send>(n_threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap().install(work)
}

#[test]
fn many_lessons_lead_to_the_minimum_of_few_whatever_the_threads() {
    let few = many_lessons(800);
    let mut many = few.clone();
    // Each lesson 4 times: the minimum is that of each once, under a quarter of the penalties.
    (1..4).for_each(|_| many.lessons.extend(few.lessons.iter().cloned()));
    let exact = FitOptions { penalty: 0.2, tolerance: 1e-6, max_steps: 2_000, ..FitOptions::default() };
    let of_few = fit(&few, &SquaredError, exact);
    let heavier = FitOptions { penalty: 4.0 * exact.penalty, language_penalty: 4.0, ..exact };
    let of_many = fit(&many, &SquaredError, heavier);
    for at in 0..100 {
        let (a, b) = (scores_of(&of_few, &few, at), scores_of(&of_many, &few, at));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3), "{at}: {a:?}, {b:?}");
    }
    let short = FitOptions { max_steps: 2, ..heavier };
    let [side_by_side, alone] = [3, 1].map(|n_threads| in_pool(n_threads, || fit(&many, &SquaredError, short)));
    assert_eq!(side_by_side, alone);
}

#[test]
fn an_unknown_language_gets_what_all_have_in_common() {
    let lessons = made_lessons(400, true);
    let head = fit(&lessons, &SquaredError, FitOptions::default());
    let features = &lessons.lessons[0].features;
    let scores = ["tr", "tr-cyrl", "uk", "sw"].map(|tag| head.scores(features, &language(tag)));
    assert_eq!(scores[0], scores[1]);
    assert_ne!(scores[0], scores[3]);
    assert!(head.knows(&language("tr-cyrl")) && !head.knows(&language("sw")));
}

#[test]
fn heads_come_back_as_they_were_written() {
    let lessons = made_lessons(100, true);
    for head in [fit(&lessons, &SquaredError, FitOptions::default()), fit_table(&lessons)] {
        let text = serde_json::to_string(&head).unwrap();
        assert_eq!(serde_json::from_str::<LinearHead>(&text).unwrap(), head);
    }
    let bad = [
        r#"{"intercepts":[],"languages":{},"width":0,"features":[],"weights":[]}"#,
        r#"{"intercepts":[1.0],"languages":{"tr":[1.0,2.0]},"width":0,"features":[],"weights":[]}"#,
        r#"{"intercepts":[1.0],"languages":{},"width":2,"features":[2],"weights":[[1.0]]}"#,
        r#"{"intercepts":[1.0],"languages":{},"width":2,"features":[1],"weights":[[1.0,2.0]]}"#,
        r#"{"intercepts":[1.0],"languages":{},"width":99999999999,"features":[],"weights":[]}"#,
        r#"{"intercepts":[1e999],"languages":{},"width":2,"features":[],"weights":[]}"#,
    ];
    for text in bad {
        assert!(serde_json::from_str::<LinearHead>(text).is_err(), "{text}");
    }
}
