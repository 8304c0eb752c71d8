//! Drift: what moved is told, what did not is not.

use cambist_core::{
    candidate::{Candidate, Matrix},
    chance::Chance,
    drift::{Drift, DriftWatch, Level, Quantity, Shift, Watched, WatchedPrompt},
    metrics::Bootstrap,
    pool::Pool,
    router::{Budgeted, BudgetedOptions, Route, Router, route},
    search::Goal,
};

use crate::made::{answer, language, pool, prompt, stopped};

const IDS: [&str; 3] = ["a", "b", "c"];
const DRAWS: Bootstrap = Bootstrap { draws: 400, seed: 1 };

/// Answers of three teachers, of which `a` is best by half a spread, changed as they are made.
fn made(n: usize, seed: u64, change: impl Fn(Candidate) -> Candidate) -> Matrix {
    let (mut prompts, mut answers) = (Vec::new(), Vec::new());
    for at in 0..n {
        let prompt = prompt(&format!("p{seed}-{at}"), ["tr", "uk"][at % 2]);
        for (place, id) in IDS.iter().enumerate() {
            let mut chance = Chance::new(seed, &[id, &at.to_string()]);
            let reward = chance.normal() + [0.5, 0.0, 0.0][place];
            let mut candidate = answer(&prompt, id, 0, Some(reward));
            candidate.completion.tokens_out = Some((60.0 * (0.4 * chance.normal()).exp()) as u32);
            let candidate = if chance.unit() < 0.03 { stopped(candidate) } else { candidate };
            answers.push(change(candidate));
        }
        prompts.push(prompt);
    }
    Matrix::new(prompts, answers).unwrap()
}

fn router(pool: &Pool) -> Budgeted {
    let options = BudgetedOptions { audit_share: 0.1, ..BudgetedOptions::default() };
    Budgeted::fit(&made(400, 1, |candidate| candidate), pool, (Goal::Target(0.8), options), 5).unwrap()
}

/// What a run over answers comes to, each prompt searched as it would be live.
fn watched(router: &Budgeted, pool: &Pool, matrix: &Matrix) -> Drift {
    let mut watched = Watched::new(router.drift_watch().unwrap());
    for row in matrix.rows() {
        let query = pool.query(&row.prompt);
        let Route::Decided(decision) = route(router, &query, row) else { panic!("everything was recorded") };
        let observed: Vec<&Candidate> = decision.asked.iter().map(|id| row.candidate(id, 0).unwrap()).collect();
        watched.add(&router.watched(&query, &observed).unwrap());
    }
    watched.finish(DRAWS)
}

fn alarming(drift: &Drift) -> Vec<(&str, &str, Quantity)> {
    let alarms = drift.shifts.iter().filter(|shift| shift.is_alarming);
    alarms.map(|Shift { teacher, language, quantity, .. }| (teacher.as_str(), language.as_str(), *quantity)).collect()
}

#[test]
fn what_stays_as_it_was_raises_no_alarm() {
    let pool = pool(&IDS);
    let router = router(&pool);
    let mut n_alarms = 0;
    for seed in 10..30 {
        let drift = watched(&router, &pool, &made(600, seed, |candidate| candidate));
        assert_eq!(drift.n_prompts, 600);
        assert!((30..95).contains(&drift.n_audits), "{}", drift.n_audits);
        // Three teachers, two languages, three quantities, but for those that hang on a few audits.
        assert!((6..=18).contains(&drift.shifts.len()), "{}", drift.shifts.len());
        n_alarms += usize::from(!drift.warnings().is_empty());
    }
    assert!(n_alarms <= 1, "{n_alarms} of 20 runs without a change raised an alarm");
}

#[test]
fn what_moves_is_told_with_its_teacher_and_language() {
    let pool = pool(&IDS);
    let router = router(&pool);
    let is_meant = |c: &Candidate| c.completion.teacher == "a" && c.completion.language == language("uk");
    let worse =
        made(
            900,
            40,
            |c| {
                if is_meant(&c) { Candidate { reward: c.reward.map(|reward| reward - 1.5), ..c } } else { c }
            },
        );
    let drift = watched(&router, &pool, &worse);
    assert_eq!(alarming(&drift), [("a", "uk", Quantity::Reward)]);
    assert!(drift.warnings()[0].contains("the mean reward of `a` in uk went from"), "{:?}", drift.warnings());
    let longer = made(900, 41, |mut c| {
        let factor = if is_meant(&c) { 3 } else { 1 };
        c.completion.tokens_out = c.completion.tokens_out.map(|n| factor * n);
        c
    });
    assert_eq!(alarming(&watched(&router, &pool, &longer)), [("a", "uk", Quantity::Tokens)]);
    let failing = made(900, 42, |c| {
        let fails = is_meant(&c) && Chance::new(3, &[&c.completion.prompt_id]).unit() < 0.5;
        if fails { stopped(c) } else { c }
    });
    assert_eq!(alarming(&watched(&router, &pool, &failing)), [("a", "uk", Quantity::Failures)]);
}

#[test]
fn regret_on_audits_is_what_the_search_gives_up() {
    let pool = pool(&IDS);
    let router = router(&pool);
    // `b` and `c` answer far better than they did, and the search, which is content with `a`, does not ask them.
    let better = made(900, 50, |c| {
        let gain = if c.completion.teacher == "a" { 0.0 } else { 4.0 };
        Candidate { reward: c.reward.map(|reward| reward + gain), ..c }
    });
    let drift = watched(&router, &pool, &better);
    let audit = drift.audit.unwrap();
    assert!(audit.is_alarming && audit.regret.value > 2.0 * audit.promised, "{audit:?}");
    assert!(drift.warnings()[0].starts_with(&format!("on {} audited prompts the search gives up", drift.n_audits)));
    let calm = watched(&router, &pool, &made(900, 51, |candidate| candidate)).audit.unwrap();
    assert!(!calm.is_alarming && calm.regret.value < 2.0 * calm.promised, "{calm:?}");
}

/// A prompt with one answer of `a`.
fn seen(at: usize, weight: f64, reward: f64, audited_regret: Option<f64>) -> WatchedPrompt {
    let level = Level { reward: Some(reward), tokens: Some(9), failed: false };
    let answers = vec![("a".to_owned(), weight, level)];
    WatchedPrompt { source_id: format!("s{at}"), language: language("tr"), answers, audited_regret }
}

#[test]
fn means_are_weighed_and_those_that_hang_on_a_few_are_left_out() {
    let watch = DriftWatch::new((0..100).map(|at| seen(at, 1.0, (at % 2) as f64, None)), 0.2);
    let run = |heavy: f64| {
        let mut watched = Watched::new(&watch);
        (0..40).for_each(|at| watched.add(&seen(at, 1.0, 1.0, None)));
        (40..80).for_each(|at| watched.add(&seen(at, heavy, 0.0, Some(0.3))));
        watched.finish(DRAWS)
    };
    let drift = run(3.0);
    let reward = drift.shifts.iter().find(|shift| shift.quantity == Quantity::Reward).unwrap();
    assert_eq!((reward.before, reward.now, reward.n_before, reward.n_now), (0.5, 0.25, 100, 80));
    assert!((reward.effective - 160.0 * 160.0 / (40.0 + 9.0 * 40.0)).abs() < 1e-9);
    let tokens = drift.shifts.iter().find(|shift| shift.quantity == Quantity::Tokens).unwrap();
    assert!((tokens.before - 10.0).abs() < 1e-9 && !tokens.is_alarming);
    let audit = drift.audit.unwrap();
    assert!((audit.regret.value - 0.3).abs() < 1e-12 && !audit.is_alarming && audit.promised == 0.2);
    // One answer that stands for most of the prompts says nothing.
    let mut watched = Watched::new(&watch);
    (0..40).for_each(|at| watched.add(&seen(at, 1.0, 1.0, None)));
    watched.add(&seen(40, 50.0, 0.0, Some(0.9)));
    let drift = watched.finish(DRAWS);
    assert_eq!((drift.shifts.len(), drift.n_audits, drift.audit), (0, 1, None));
}
