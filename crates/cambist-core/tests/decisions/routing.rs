//! Strategies against their definitions.

use std::collections::BTreeMap;

use cambist_core::{
    candidate::{Candidate, Matrix, MatrixError, Row},
    completion::Origin,
    language::Language,
    pool::{Eligibility, ExpectedCosts, Pool},
    prompt::Prompt,
    router::{
        All, Ask, Decision, Fallback, Fixed, FixedTable, Outcome, Random, Rank, Route, Router, Single, SingleBestOfN,
        Spend, best_single, replay, route,
    },
    teacher::Coverage,
};
use proptest::prelude::*;

use crate::made::{LANGUAGES, answer, language, matrices, pool, prompt, rewarded, stopped, teacher};

fn picks(decisions: &[Decision]) -> Vec<Option<(String, u32)>> {
    decisions.iter().map(|d| d.teacher.clone().zip(d.sample)).collect()
}

fn decide(router: &dyn Router, matrix: &Matrix, pool: &Pool) -> Vec<Decision> {
    replay(router, matrix, pool).unwrap().decisions
}

fn random(seed: u64) -> Random {
    Random { seed, fallback: Fallback::None }
}

/// By the definition: the first in order of id among those no other beats. Costs are equal in made matrices.
fn brute_force(row: &Row) -> Option<(String, u32)> {
    let valid = || row.candidates.iter().filter(|c| c.passed() && c.reward.is_some());
    let is_top = |c: &&Candidate| valid().all(|other| other.reward <= c.reward);
    valid().filter(is_top).map(|c| (c.completion.teacher.clone(), c.completion.sample)).min()
}

proptest! {
    #[test]
    fn all_is_the_brute_force_argmax((matrix, pool) in matrices()) {
        let expected: Vec<_> = matrix.rows().iter().map(brute_force).collect();
        prop_assert_eq!(picks(&decide(&All, &matrix, &pool)), expected);
    }

    #[test]
    fn monotone_changes_and_order_of_arrival_change_no_choice((matrix, pool) in matrices(), up in -9i32..9, factor in 1..5i32) {
        let expected = picks(&decide(&All, &matrix, &pool));
        let shifted = rewarded(&matrix, |prompt, r| r + f64::from(up) * prompt.id.len() as f64);
        prop_assert_eq!(&picks(&decide(&All, &shifted, &pool)), &expected);
        let scaled = rewarded(&matrix, |prompt, r| f64::from(factor) * prompt.language.as_str().len() as f64 * r + 3.0);
        prop_assert_eq!(&picks(&decide(&All, &scaled, &pool)), &expected);
        let same = rewarded(&matrix, |_, r| r);
        prop_assert_eq!(same, matrix);
    }

    #[test]
    fn every_strategy_gives_at_most_one_valid_answer((matrix, pool) in matrices(), seed in 0..99u64) {
        let single = Single { teacher: "a".into() };
        let strategies: [&dyn Router; 3] = [&All, &single, &random(seed)];
        for router in strategies {
            let decisions = decide(router, &matrix, &pool);
            prop_assert_eq!(decisions.len(), matrix.rows().len());
            for (row, decision) in matrix.rows().iter().zip(&decisions) {
                prop_assert_eq!(&row.prompt.id, &decision.prompt_id);
                prop_assert_eq!(decision.outcome == Outcome::Chosen, decision.teacher.is_some());
                if let (Some(teacher), Some(sample)) = (&decision.teacher, decision.sample) {
                    let taken = row.candidate(teacher, sample).unwrap();
                    prop_assert!(taken.passed());
                    prop_assert!(!router.reads_rewards() || taken.reward.is_some());
                    prop_assert!(decision.asked.contains(teacher));
                }
            }
        }
    }

    #[test]
    fn fixed_with_a_constant_table_is_single((matrix, pool) in matrices()) {
        let table = constant_table("a");
        let fixed = Fixed { table, calibration: Spend::default(), fallback: Fallback::None };
        let single = Single { teacher: "a".into() };
        let (fixed, single) = (decide(&fixed, &matrix, &pool), decide(&single, &matrix, &pool));
        prop_assert_eq!(picks(&fixed), picks(&single));
        let costs = |all: &[Decision]| all.iter().map(|d| d.cost_usd).collect::<Vec<_>>();
        prop_assert_eq!(costs(&fixed), costs(&single));
    }

    #[test]
    fn live_rounds_end_where_the_replay_does((matrix, pool) in matrices(), seed in 0..99u64) {
        let again = Random { seed, fallback: Fallback::Next(2) };
        for router in [&All as &dyn Router, &again] {
            let live: Vec<Decision> = matrix.rows().iter().map(|row| ask_live(router, row, &pool)).collect();
            prop_assert_eq!(live, decide(router, &matrix, &pool));
        }
    }
}

/// Starts with no answer and brings in, in reverse order, what the router asks for.
fn ask_live(router: &dyn Router, recorded: &Row, pool: &Pool) -> Decision {
    let mut row = Row { prompt: recorded.prompt.clone(), candidates: Vec::new() };
    loop {
        match route(router, &pool.query(&recorded.prompt), &row) {
            Route::Decided(decision) => return decision,
            Route::Ask(asks) => {
                let cells =
                    asks.iter().flat_map(|Ask { teacher, n_samples }| (0..*n_samples).map(move |s| (teacher, s)));
                let came: Vec<_> = cells.map(|(teacher, s)| recorded.candidate(teacher, s).unwrap().clone()).collect();
                row.candidates.extend(came.into_iter().rev());
                row.candidates.sort_by(|a, b| a.cell().cmp(&b.cell()));
            }
        }
    }
}

fn constant_table(teacher: &str) -> FixedTable {
    let rank = Rank { teacher: teacher.into(), mean: 1.0, se: None, n: 30, weak: false };
    let rows = LANGUAGES.map(|tag| (language(tag), vec![rank.clone()]));
    FixedTable { languages: BTreeMap::from(rows), pooled: vec![rank] }
}

/// A matrix in which everybody answers everything with reward 1.
fn full(n_prompts: usize, ids: &[&str], n_samples: u32) -> (Matrix, Pool) {
    let prompts: Vec<Prompt> = (0..n_prompts).map(|at| prompt(&format!("p{at}"), "tr")).collect();
    let cells = prompts.iter().flat_map(|p| ids.iter().flat_map(move |id| (0..n_samples).map(move |s| (p, *id, s))));
    let candidates = cells.map(|(prompt, id, s)| answer(prompt, id, s, Some(1.0 + f64::from(s)))).collect();
    (Matrix::new(prompts, candidates).unwrap(), pool(ids))
}

#[test]
fn random_is_uniform_by_chi_square_and_the_same_on_any_thread() {
    let (matrix, pool) = full(10_000, &["a", "b", "c", "d"], 1);
    let decisions = decide(&random(7), &matrix, &pool);
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    decisions.iter().for_each(|d| *counts.entry(d.teacher.as_deref().unwrap()).or_default() += 1.0);
    let chi: f64 = counts.values().map(|n| (n - 2500.0).powi(2) / 2500.0).sum();
    assert!(counts.len() == 4 && chi < 16.27, "3 degrees of freedom, p = 0.001: {chi}");
    assert!(decisions.iter().all(|d| d.propensity == 0.25 && d.asked.len() == 1));

    let parts: Vec<Vec<Decision>> = std::thread::scope(|scope| {
        let (pool, router) = (&pool, random(7));
        let route_all = move |rows: &[Row]| rows.iter().map(|row| ask_live(&router, row, pool)).collect::<Vec<_>>();
        let threads: Vec<_> = matrix.rows().chunks(625).map(|rows| scope.spawn(move || route_all(rows))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(parts.len(), 16);
    assert_eq!(parts.concat(), decisions);
    assert_ne!(picks(&decide(&random(8), &matrix, &pool)), picks(&decisions));
}

#[test]
fn costs_follow_the_table_call_for_call() {
    let (matrix, mut pool) = full(40, &["a", "b", "c"], 2);
    pool.score_usd = 0.25;
    let calls = |router: &dyn Router| {
        let cost = replay(router, &matrix, &pool).unwrap().cost;
        assert_eq!((cost.n_prompts, cost.n_chosen), (40, 40));
        (cost.run.generations, cost.run.arbiter_scores, cost.run.total_usd())
    };
    assert_eq!(calls(&Single { teacher: "b".into() }), (40, 0, 20.0));
    assert_eq!(calls(&SingleBestOfN { teacher: "b".into(), n_samples: 2 }), (80, 80, 60.0));
    assert_eq!(calls(&random(1)), (40, 0, 20.0));
    assert_eq!(calls(&All), (120, 120, 90.0));
    let fixed = Fixed::fit(&matrix, &pool).unwrap();
    assert_eq!(calls(&fixed), (40, 0, 20.0));
    let calibration = fixed.calibration();
    assert_eq!((calibration.generations, calibration.arbiter_scores), (240, 240));
    let run = replay(&All, &matrix, &pool).unwrap().cost.run;
    assert_eq!((run.tokens_in, run.tokens_out), (1200, 2400));
}

#[test]
fn best_of_n_takes_the_best_sample_and_keeps_the_margin() {
    let (matrix, pool) = full(1, &["a"], 3);
    let decision = &decide(&SingleBestOfN { teacher: "a".into(), n_samples: 3 }, &matrix, &pool)[0];
    assert_eq!((decision.sample, decision.score, decision.margin), (Some(2), Some(3.0), Some(1.0)));
    assert_eq!(decision.asked, ["a", "a", "a"]);
    assert_eq!(decision.strategy, "single_bon:a,3");
}

#[test]
fn nobody_eligible_costs_nothing_and_invalid_answers_are_paid() {
    let monoglot = teacher("mono", Coverage::Only([language("tr")].into()));
    let pool = Pool::new(vec![monoglot], Eligibility::default()).unwrap();
    let prompts = vec![prompt("covered", "tr"), prompt("foreign", "uk")];
    let stopped = stopped(answer(&prompts[0], "mono", 0, Some(9.0)));
    let matrix = Matrix::new(prompts, vec![stopped]).unwrap();
    for router in [&All as &dyn Router, &random(1), &Single { teacher: "mono".into() }] {
        let decisions = decide(router, &matrix, &pool);
        assert_eq!((decisions[0].outcome, decisions[0].cost_usd), (Outcome::NoneValid, 0.5));
        assert_eq!((decisions[1].outcome, decisions[1].cost_usd), (Outcome::NoneEligible, 0.0));
        assert!(decisions[1].asked.is_empty());
    }
}

#[test]
fn fallback_asks_the_next_and_pays_both() {
    let (matrix, pool) = full(200, &["a", "b", "c"], 1);
    let candidates = matrix.rows().iter().flat_map(|row| row.candidates.clone());
    let mute_a = candidates.map(|c| if c.completion.teacher == "a" { stopped(c) } else { c }).collect();
    let matrix = Matrix::new(matrix.rows().iter().map(|row| row.prompt.clone()).collect(), mute_a).unwrap();
    let strict = decide(&random(3), &matrix, &pool);
    let again = decide(&Random { seed: 3, fallback: Fallback::Next(2) }, &matrix, &pool);
    assert!(strict.iter().any(|d| d.outcome == Outcome::NoneValid));
    for (strict, again) in strict.iter().zip(&again) {
        assert_eq!(again.outcome, Outcome::Chosen);
        assert_eq!(strict.asked[0], again.asked[0], "the first lot is the same");
        let (n_asked, propensity) = if strict.teacher.is_some() { (1, 1.0 / 3.0) } else { (2, 1.0 / 6.0) };
        assert_eq!((again.asked.len(), again.cost_usd), (n_asked, 0.5 * n_asked as f64));
        assert!((again.propensity - propensity).abs() < 1e-12);
    }
}

#[test]
fn ties_go_to_the_cheaper_then_to_the_smaller_id() {
    let prompts = vec![prompt("p", "tr")];
    let candidates = ["a", "b"].map(|id| answer(&prompts[0], id, 0, Some(1.0))).to_vec();
    let matrix = Matrix::new(prompts, candidates).unwrap();
    assert_eq!(picks(&decide(&All, &matrix, &pool(&["b", "a"]))), [Some(("a".into(), 0))]);
    let mut dear = teacher("a", Coverage::All);
    dear.price.output = 9.0;
    let pool = Pool::new(vec![dear, teacher("b", Coverage::All)], Eligibility::default()).unwrap();
    assert_eq!(picks(&decide(&All, &matrix, &pool)), [Some(("b".into(), 0))]);
}

#[test]
fn a_replay_without_the_answers_says_which_are_missing() {
    let (matrix, _) = full(1, &["a"], 1);
    let error = replay(&All, &matrix, &pool(&["a", "b"])).unwrap_err();
    assert_eq!((error.teacher.as_str(), error.prompt_id.as_str()), ("b", "p0"));
}

#[test]
fn what_is_no_matrix_is_refused() {
    let p = prompt("p", "tr");
    let twice = vec![answer(&p, "a", 0, None), answer(&p, "a", 0, None)];
    assert!(matches!(Matrix::new(vec![p.clone()], twice), Err(MatrixError::DuplicateAnswer { .. })));
    let nan = vec![answer(&p, "a", 0, Some(f64::NAN))];
    assert!(matches!(Matrix::new(vec![p.clone()], nan), Err(MatrixError::NotFinite { .. })));
    let stranger = vec![answer(&prompt("q", "tr"), "a", 0, None)];
    assert!(matches!(Matrix::new(vec![p.clone()], stranger), Err(MatrixError::UnknownPrompt { .. })));
    assert!(matches!(Matrix::new(vec![p.clone(), p], vec![]), Err(MatrixError::DuplicatePrompt { .. })));
    assert!(Pool::new(vec![teacher("a", Coverage::All), teacher("a", Coverage::All)], Eligibility::default()).is_err());
}

/// Teacher `a` is good at Turkish, `b` at Ukrainian; `b` fails every fourth time; Chinese has only five prompts.
fn calibration() -> (Matrix, Pool) {
    let sizes = [("tr", 40), ("uk", 40), ("zh", 5)];
    let prompts: Vec<Prompt> =
        sizes.iter().flat_map(|(tag, n)| (0..*n).map(move |at| prompt(&format!("{tag}{at}"), tag))).collect();
    let mut candidates = Vec::new();
    for (at, prompt) in prompts.iter().enumerate() {
        let noise = (at % 5) as f64 / 10.0;
        let is_turkish = prompt.language == language("tr");
        candidates.push(answer(prompt, "a", 0, Some(noise + if is_turkish { 2.0 } else { 0.0 })));
        let b = answer(prompt, "b", 0, Some(noise + if is_turkish { 0.0 } else { 2.0 }));
        candidates.push(if at % 4 == 0 { stopped(b) } else { b });
    }
    (Matrix::new(prompts, candidates).unwrap(), pool(&["a", "b"]))
}

#[test]
fn fixed_learns_who_is_good_at_what() {
    let (matrix, pool) = calibration();
    let table = FixedTable::fit(&matrix, &pool).unwrap();
    let first = |tag: &str| table.ranking(&language(tag))[0].clone();
    assert_eq!((first("tr").teacher.as_str(), first("tr").n, first("tr").weak), ("a", 40, false));
    assert_eq!(first("uk").teacher, "b");
    assert!(!table.languages.contains_key(&language("zh")), "five prompts make no ranking");
    assert_eq!(table.ranking(&language("zh")), table.pooled);
    assert_eq!(table.pooled[0].n, 85);
    let json = serde_json::to_value(&table).unwrap();
    assert_eq!(json["uk"][0]["teacher"], "b");
    assert_eq!(serde_json::from_value::<FixedTable>(json).unwrap(), table);
}

#[test]
fn a_lead_within_the_noise_is_marked_weak() {
    let prompts: Vec<Prompt> = (0..40).map(|at| prompt(&format!("p{at}"), "tr")).collect();
    let reward = |at: usize, id: &str| if id == "a" { (at % 7) as f64 } else { (at * 3 % 7) as f64 };
    let cells =
        prompts.iter().enumerate().flat_map(|(at, p)| ["a", "b"].map(|id| answer(p, id, 0, Some(reward(at, id)))));
    let matrix = Matrix::new(prompts.clone(), cells.collect()).unwrap();
    assert!(FixedTable::fit(&matrix, &pool(&["a", "b"])).unwrap().ranking(&language("tr"))[0].weak);
}

#[test]
fn the_best_single_teacher_pays_for_what_it_does_not_cover() {
    let (matrix, everyone) = calibration();
    let standings = best_single(&matrix, &everyone).unwrap();
    assert_eq!((standings[0].teacher.as_str(), standings[0].n_prompts), ("b", 85));
    let only_uk: Language = language("uk");
    let teachers = vec![teacher("a", Coverage::All), teacher("b", Coverage::Only([only_uk].into()))];
    let narrow = Pool::new(teachers, Eligibility::default()).unwrap();
    let standings = best_single(&matrix, &narrow).unwrap();
    assert_eq!(standings[0].teacher, "a");
    assert_eq!((standings[1].n_prompts, standings[1].n_valid), (85, 30));
    assert!(best_single(&Matrix::default(), &narrow).is_err());
}

#[test]
fn expected_costs_are_measured_per_language_and_else_per_teacher() {
    let (matrix, _) = calibration();
    let priced = |candidate: &Candidate| {
        let mut candidate = candidate.clone();
        candidate.completion.cost_usd = if candidate.completion.language == language("tr") { 1.0 } else { 4.0 };
        candidate
    };
    let candidates = matrix.rows().iter().flat_map(|row| row.candidates.iter().map(priced)).collect();
    let prompts = matrix.rows().iter().map(|row| row.prompt.clone()).collect();
    let costs = ExpectedCosts::fit(&cambist_core::outline::Outline::of(&Matrix::new(prompts, candidates).unwrap()));
    let cost = |tag: &str| costs.of(&teacher("a", Coverage::All), &language(tag));
    assert_eq!((cost("tr"), cost("uk")), (1.0, 4.0));
    assert!((cost("fr") - (40.0 + 4.0 * 45.0) / 85.0).abs() < 1e-12);
}

#[test]
fn an_invalid_answer_counts_as_the_low_quantile_of_its_language() {
    let prompts: Vec<Prompt> = (0..40).map(|at| prompt(&format!("p{at:02}"), "tr")).collect();
    let valid = prompts.iter().enumerate().map(|(at, p)| answer(p, "a", 0, Some(at as f64)));
    let invalid = prompts.iter().map(|p| stopped(answer(p, "b", 0, Some(99.0))));
    let matrix = Matrix::new(prompts.clone(), valid.chain(invalid).collect()).unwrap();
    let pool = pool(&["a", "b"]);
    // Rewards 0 to 39: median 19.5, median deviation 10, 5 % quantile 1.95.
    let floor = (1.95 - 19.5) / 14.826;
    let of_b = FixedTable::fit(&matrix, &pool).unwrap().ranking(&language("tr"))[1].clone();
    assert!(of_b.teacher == "b" && (of_b.mean - floor).abs() < 1e-12, "{of_b:?}, expected {floor}");
    let standing = best_single(&matrix, &pool).unwrap()[1].clone();
    assert!((standing.mean - floor).abs() < 1e-12 && standing.n_valid == 0, "{standing:?}");
}

#[test]
fn translated_answers_share_one_generation_and_none_is_eligible_without_a_source() {
    let in_language =
        |source: &str, tag: &str| Prompt { source_id: source.into(), ..prompt(&format!("{source}-{tag}"), tag) };
    let prompts: Vec<Prompt> =
        ["s1", "s2", "s3"].iter().flat_map(|source| ["de", "en", "tr"].map(|tag| in_language(source, tag))).collect();
    let translated = |prompt: &Prompt| {
        let mut answer = answer(prompt, "translation", 0, Some(1.0));
        let mt_engine = (prompt.language != language("en")).then(|| "mt".to_owned());
        let prompt_id = format!("{}-en", prompt.source_id);
        let origin = Origin { prompt_id, teacher: "strong".into(), mt_engine, fusion: None };
        answer.completion.origin = Some(origin);
        answer.completion.cost_usd = 0.25;
        answer
    };
    let answered: Vec<Candidate> = prompts.iter().filter(|prompt| prompt.source_id != "s3").map(translated).collect();
    let matrix = Matrix::new(prompts.clone(), answered).unwrap();
    let mut pool = pool(&["translation"]);
    let reached = matrix.rows().iter().filter(|row| !row.candidates.is_empty()).map(|row| row.prompt.id.clone());
    pool.reach.insert("translation".to_owned(), reached.collect());
    let replayed = replay(&Single { teacher: "translation".into() }, &matrix, &pool).unwrap();
    let n_of = |outcome| replayed.decisions.iter().filter(|decision| decision.outcome == outcome).count();
    assert_eq!((n_of(Outcome::Chosen), n_of(Outcome::NoneEligible)), (6, 3));
    let Spend { generations, translations, generation_usd, .. } = replayed.cost.run;
    assert_eq!((generations, translations), (2, 4), "N sources, and L - 1 translations of each");
    assert!((generation_usd - 1.5).abs() < 1e-12);
}
