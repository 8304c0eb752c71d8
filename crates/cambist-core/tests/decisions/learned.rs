//! The learned router: what it refuses, what it falls back to, and what it chooses.

use std::collections::BTreeMap;

use cambist_core::{
    candidate::{Candidate, Matrix},
    features::{FeatureSource, Hashed},
    head::{HeadKind, Lessons, LessonsError, TuneOptions, tune},
    pool::Pool,
    prompt::{Message, Prompt},
    router::{All, FittedRouter, Learned, LearnedError, Outcome, Router, replay},
    teacher::Coverage,
};

use crate::made::{answer, language, pool, prompt, stopped, teacher};

/// Teacher `a` answers questions, `b` orders, `c` is middling at both; the words are random otherwise.
fn made(n: usize) -> (Matrix, Pool) {
    let words = ["river", "stone", "window", "garden", "letter", "winter", "market", "bridge"];
    let mut prompts = Vec::new();
    let mut candidates = Vec::new();
    for at in 0..n {
        let pick = |salt: usize| words[(at * 31 + salt * 17 + at / 8) % words.len()];
        let is_question = (at * 2_654_435_761) >> 9 & 1 == 1;
        let text = if is_question {
            format!("Why is the {} near the {} {at}?", pick(1), pick(2))
        } else {
            format!("Write down the {} of a {} {at}.", pick(1), pick(2))
        };
        let tag = ["tr", "uk"][at % 2];
        let prompt = Prompt { messages: vec![Message::user(text)], ..prompt(&format!("p{at}"), tag) };
        let rewards = [f64::from(is_question), f64::from(!is_question), 0.4];
        for (id, reward) in ["a", "b", "c"].iter().zip(rewards) {
            candidates.push(answer(&prompt, id, 0, Some(reward + (at % 7) as f64 / 50.0)));
        }
        prompts.push(prompt);
    }
    (Matrix::new(prompts, candidates).unwrap(), pool(&["a", "b", "c"]))
}

fn fitted(matrix: &Matrix, pool: &Pool) -> FittedRouter {
    let source = Hashed::default();
    let lessons = Lessons::of(matrix, pool, &source).unwrap();
    let options = TuneOptions { penalties: vec![64.0, 4.0], ..TuneOptions::default() };
    let tuned = tune(&lessons, &options);
    FittedRouter::new(tuned, (lessons.teachers, source.name()), lessons.lessons.len())
}

fn changed(matrix: &Matrix, change: impl Fn(usize, &Candidate) -> Option<Candidate>) -> Matrix {
    let prompts = matrix.rows().iter().map(|row| row.prompt.clone()).collect();
    let rows = matrix.rows().iter().enumerate();
    let candidates = rows.flat_map(|(at, row)| row.candidates.iter().map(move |c| (at, c)));
    Matrix::new(prompts, candidates.filter_map(|(at, c)| change(at, c)).collect()).unwrap()
}

fn refusal(matrix: &Matrix, pool: &Pool) -> LessonsError {
    Lessons::of(matrix, pool, &Hashed::default()).unwrap_err()
}

#[test]
fn it_asks_one_teacher_and_mostly_the_right_one() {
    let (matrix, pool) = made(200);
    let fitted = fitted(&matrix, &pool);
    assert_ne!(fitted.tuned.chosen.head, HeadKind::Table);
    let router = Learned::new(fitted).unwrap();
    router.check_pool(&pool).unwrap();
    let learned = replay(&router, &matrix, &pool).unwrap();
    let best = replay(&All, &matrix, &pool).unwrap();
    let agree = learned.decisions.iter().zip(&best.decisions).filter(|(a, b)| a.teacher == b.teacher).count();
    assert!(agree > 190, "{agree}");
    assert_eq!((learned.cost.run.generations, learned.cost.run.arbiter_scores), (200, 0));
    assert!(learned.decisions.iter().all(|d| d.asked.len() == 1 && d.propensity == 1.0));
}

#[test]
fn exploring_draws_by_stored_propensities() {
    let (matrix, pool) = made(200);
    let mut router = Learned::new(fitted(&matrix, &pool)).unwrap();
    router.explore = 0.5;
    router.seed = 3;
    let decisions = replay(&router, &matrix, &pool).unwrap().decisions;
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    let mut drawn: BTreeMap<String, f64> = BTreeMap::new();
    for (decision, row) in decisions.iter().zip(matrix.rows()) {
        let ranked = router.ranking(&row.prompt);
        assert!((ranked.iter().map(|one| one.propensity).sum::<f64>() - 1.0).abs() < 1e-9);
        ranked.iter().for_each(|one| *expected.entry(one.teacher.to_owned()).or_default() += one.propensity);
        let chosen = decision.teacher.clone().unwrap();
        let own = ranked.iter().find(|one| one.teacher == chosen).unwrap();
        assert_eq!(own.propensity, decision.propensity);
        *drawn.entry(chosen).or_default() += 1.0;
    }
    for (teacher, expected) in &expected {
        let n = drawn.get(teacher).copied().unwrap_or(0.0);
        assert!((n - expected).powi(2) / expected < 10.8, "{teacher}: {n} of {expected}");
    }
    assert_eq!(replay(&router, &matrix, &pool).unwrap().decisions, decisions);
}

#[test]
fn equal_scores_go_to_the_cheaper_and_invalid_answers_are_none_valid() {
    let (matrix, pool) = made(60);
    let constant = changed(&matrix, |at, c| {
        let reward = if at.is_multiple_of(2) { c.completion.teacher == "a" } else { c.completion.teacher == "b" };
        Some(Candidate { reward: Some(f64::from(reward)), ..c.clone() })
    });
    let mut fitted = fitted(&constant, &pool);
    // A head without any opinion.
    let text = r#"{"intercepts":[0.0,0.0,0.0],"languages":{},"width":0,"features":[],"weights":[]}"#;
    fitted.tuned.head = serde_json::from_str(text).unwrap();
    let router = Learned::new(fitted).unwrap();
    let cheap = |id: &str| {
        let mut one = teacher(id, Coverage::All);
        one.price.output = if id == "c" { 0.5 } else { 2.0 };
        one
    };
    let priced = Pool::new(["a", "b", "c"].map(cheap).to_vec(), pool.eligibility.clone()).unwrap();
    let decisions = replay(&router, &constant, &priced).unwrap().decisions;
    assert!(decisions.iter().all(|decision| decision.teacher.as_deref() == Some("c")));
    let broken =
        changed(&constant, |_, c| Some(if c.completion.teacher == "c" { stopped(c.clone()) } else { c.clone() }));
    let decisions = replay(&router, &broken, &priced).unwrap().decisions;
    assert!(decisions.iter().all(|decision| decision.outcome == Outcome::NoneValid));
}

#[test]
fn calibrations_that_teach_nothing_are_refused() {
    let (matrix, three) = made(60);
    assert_eq!(refusal(&matrix, &pool(&["a"])), LessonsError::TooFewTeachers { found: 1 });
    let equal = changed(&matrix, |_, c| Some(Candidate { reward: Some(0.5), ..c.clone() }));
    assert_eq!(refusal(&equal, &three), LessonsError::AllEqual { n_prompts: 60 });
    let never = changed(&matrix, |_, c| Some(if c.completion.teacher == "b" { stopped(c.clone()) } else { c.clone() }));
    assert_eq!(refusal(&never, &three), LessonsError::NeverValid { teacher: "b".into(), n_prompts: 60 });
    let (few, _) = made(49);
    assert_eq!(refusal(&few, &three), LessonsError::TooFewPrompts { found: 49, needed: 50 });
    let unscored = changed(&matrix, |_, c| Some(Candidate { reward: None, ..c.clone() }));
    assert!(matches!(refusal(&unscored, &three), LessonsError::Calibration(_)));
}

#[test]
fn invalid_answers_count_as_the_floor_of_their_language_and_ineligible_ones_as_nothing() {
    let (matrix, _) = made(100);
    let broken = changed(&matrix, |at, c| {
        Some(if c.completion.teacher == "a" && at == 4 { stopped(c.clone()) } else { c.clone() })
    });
    let mut teachers = vec![teacher("a", Coverage::All), teacher("b", Coverage::All)];
    teachers.push(teacher("c", Coverage::Only([language("tr")].into())));
    let pool = Pool::new(teachers, Default::default()).unwrap();
    let lessons = Lessons::of(&broken, &pool, &Hashed::default()).unwrap();
    let lesson = &lessons.lessons[4];
    let least =
        lessons.lessons.iter().filter(|l| l.language == lesson.language).flat_map(|l| l.rewards.iter().flatten());
    let least = least.copied().fold(f64::INFINITY, f64::min);
    assert!(lesson.rewards[0].unwrap() >= least && lesson.rewards[0].unwrap() < lesson.rewards[1].unwrap());
    assert!(lessons.lessons.iter().enumerate().all(|(at, l)| l.rewards[2].is_some() == at.is_multiple_of(2)));
}

#[test]
fn another_pool_is_refused_by_name() {
    let (matrix, three) = made(60);
    let fitted = fitted(&matrix, &three);
    let router = Learned::new(fitted.clone()).unwrap();
    let error = router.check_pool(&pool(&["a", "b", "d"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the router was fitted for another pool: it does not know `d`, and the pool does not have `c`: \
         fit it on this pool's answers"
    );
    let newer = FittedRouter { schema_version: 2, ..fitted.clone() };
    assert!(matches!(Learned::new(newer), Err(LearnedError::Version { found: 2 })));
    let other = FittedRouter { features: "hidden-states-v1".into(), ..fitted.clone() };
    assert!(matches!(Learned::new(other), Err(LearnedError::Features { .. })));
    let fewer = FittedRouter { teachers: vec!["a".into()], ..fitted };
    assert!(matches!(Learned::new(fewer), Err(LearnedError::Misshapen { n_scored: 3, n_named: 1 })));
}

#[test]
fn who_is_excluded_is_neither_learned_nor_missed() {
    let (matrix, three) = made(60);
    let mut without = three.clone();
    without.eligibility.exclude = ["c".to_owned()].into();
    let router = Learned::new(fitted(&matrix, &without)).unwrap();
    assert_eq!(router.fitted().teachers, ["a", "b"]);
    router.check_pool(&without).unwrap();
    assert!(router.check_pool(&three).unwrap_err().to_string().contains("does not know `c`"));
}

#[test]
fn a_language_that_nobody_calibrated_is_routed_and_known_as_such() {
    let (matrix, pool) = made(200);
    let router = Learned::new(fitted(&matrix, &pool)).unwrap();
    assert!(router.is_calibrated_for(&language("tr")) && !router.is_calibrated_for(&language("sw")));
    let question = Prompt { messages: vec![Message::user("Why is the river near the bridge?")], ..prompt("q", "sw") };
    assert_eq!(router.ranking(&question)[0].teacher, "a");
}

#[test]
fn many_prompts_are_routed_as_each_alone_whatever_the_threads() {
    let (matrix, pool) = made(200);
    let mut router = Learned::new(fitted(&matrix, &pool)).unwrap();
    router.explore = 0.25;
    let prompts: Vec<Prompt> = matrix.rows().iter().cycle().take(900).map(|row| row.prompt.clone()).collect();
    let alone: Vec<_> = prompts.iter().map(|prompt| router.ranking(prompt)).collect();
    for n_threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        assert_eq!(pool.install(|| router.rankings(&prompts)), alone);
    }
}

#[test]
fn routers_come_back_as_they_were_written() {
    let (matrix, pool) = made(120);
    let fitted = fitted(&matrix, &pool);
    let text = serde_json::to_string(&fitted).unwrap();
    assert_eq!(serde_json::from_str::<FittedRouter>(&text).unwrap(), fitted);
}
