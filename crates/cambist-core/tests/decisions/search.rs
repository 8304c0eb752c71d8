//! Sequential search: what must hold for any rewards, and what memory is for.

use cambist_core::{
    candidate::{Candidate, Matrix},
    chance::Chance,
    outline::Outline,
    pool::{ExpectedCosts, Pool},
    prompt::Prompt,
    reward_table::RewardTable,
    router::{All, Budgeted, BudgetedOptions, Route, Router, replay, route},
    search::{Case, Correlation, Goal, Likeness, Memory, MemoryError, Policy, Seen, tune},
};
use proptest::prelude::*;
use serde::Deserialize;

use crate::made::{answer, pool, prompt, stopped};

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Answers of `n_teachers` with rewards by `reward(prompt, teacher)`; none is an invalid answer.
fn made(n_prompts: usize, n_teachers: usize, reward: impl Fn(usize, usize) -> Option<f64>) -> (Matrix, Pool) {
    let prompts: Vec<Prompt> = (0..n_prompts).map(|at| prompt(&format!("p{at:04}"), "tr")).collect();
    let mut answers: Vec<Candidate> = Vec::new();
    for (at, prompt) in prompts.iter().enumerate() {
        for (place, id) in IDS[..n_teachers].iter().enumerate() {
            let reward = reward(at, place);
            let candidate = answer(prompt, id, 0, Some(reward.unwrap_or(0.0)));
            answers.push(if reward.is_none() { stopped(candidate) } else { candidate });
        }
    }
    (Matrix::new(prompts, answers).unwrap(), pool(&IDS[..n_teachers]))
}

fn table(matrix: &Matrix, pool: &Pool) -> RewardTable {
    let outline = Outline::of(matrix);
    let mut pool = pool.clone();
    pool.costs = ExpectedCosts::fit(&outline);
    RewardTable::of(&outline, &pool)
}

fn noise(n_prompts: usize, n_teachers: usize, seed: u64) -> (Matrix, Pool) {
    made(n_prompts, n_teachers, |at, teacher| {
        let mut chance = Chance::new(seed, &[&at.to_string(), &teacher.to_string()]);
        (chance.unit() > 0.05).then(|| (4.0 * chance.unit()).floor())
    })
}

fn budgeted(matrix: &Matrix, pool: &Pool, goal: Goal, width: usize) -> Budgeted {
    let options = BudgetedOptions { width, audit_share: 0.0, ..BudgetedOptions::default() };
    Budgeted::fit(matrix, pool, (goal, options), 5).unwrap()
}

/// Everybody whom a policy opens about one prompt of a table, in their order, `width` at a time.
fn opened(policy: &Policy<'_>, lambda: f64, table: &RewardTable, at: usize, width: usize) -> Vec<usize> {
    let costs = vec![1.0; table.teachers().len()];
    let case = Case { language: Some(0), task: None, costs: &costs, lambda };
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        let next: Vec<usize> = policy.next(&case, &seen).into_iter().take(width).collect();
        if next.is_empty() {
            return seen.into_iter().map(|seen| seen.teacher).collect();
        }
        seen.extend(next.into_iter().map(|teacher| Seen { teacher, reward: table.row(at)[teacher].reward() }));
    }
}

fn best(table: &RewardTable, at: usize, opened: &[usize]) -> f64 {
    opened.iter().filter_map(|teacher| table.row(at)[*teacher].reward()).fold(f64::NEG_INFINITY, f64::max)
}

/// Written by `golden/budgeted.py`.
#[derive(Deserialize)]
struct Golden {
    rewards: Vec<Vec<serde_json::Value>>,
    cost: Vec<f64>,
    lang: Vec<String>,
    tag: Vec<String>,
    decisions: Vec<GoldenDecision>,
}

#[derive(Deserialize)]
struct GoldenDecision {
    lang: String,
    tag: String,
    eligible: Vec<usize>,
    lam: f64,
    width: usize,
    chosen: Option<usize>,
    asked: Vec<usize>,
    /// On the scale of the language; none fails.
    rewards: Vec<Option<f64>>,
    plans: Vec<Vec<usize>>,
}

impl Golden {
    fn table(&self) -> RewardTable {
        let (mut prompts, mut answers) = (Vec::new(), Vec::new());
        for (at, row) in self.rewards.iter().enumerate() {
            let mut prompt = prompt(&format!("p{at}"), &self.lang[at]);
            prompt.task = Some(self.tag[at].clone());
            for (id, cell) in IDS.iter().zip(row).filter(|(_, cell)| !cell.is_null()) {
                let candidate = answer(&prompt, id, 0, cell.as_f64());
                answers.push(if cell.is_string() { stopped(candidate) } else { candidate });
            }
            prompts.push(prompt);
        }
        table(&Matrix::new(prompts, answers).unwrap(), &pool(&IDS[..self.cost.len()]))
    }
}

#[test]
fn every_round_is_that_of_the_reference() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/budgeted.json")).unwrap();
    let table = golden.table();
    let every: Vec<usize> = (0..table.prompts().len()).collect();
    let memory = Memory::of(&table, &every).unwrap();
    let policy = Policy { memory: &memory, likeness: Likeness::START };
    for (number, decision) in golden.decisions.iter().enumerate() {
        let language = table.languages().iter().position(|language| language.as_str() == decision.lang);
        let task = table.tasks().iter().position(|task| *task == decision.tag);
        let is_open = |at: usize| decision.eligible.contains(&at);
        let costs: Vec<f64> = (0..4).map(|at| if is_open(at) { golden.cost[at] } else { f64::INFINITY }).collect();
        let case = Case { language, task, costs: &costs, lambda: decision.lam };
        let mut seen: Vec<Seen> = Vec::new();
        for plan in &decision.plans {
            let next = policy.next(&case, &seen);
            assert_eq!(&next, plan, "decision {number} after {seen:?}");
            let asked = next.into_iter().take(decision.width);
            seen.extend(asked.map(|teacher| Seen { teacher, reward: decision.rewards[teacher] }));
        }
        assert_eq!(seen.iter().map(|seen| seen.teacher).collect::<Vec<_>>(), decision.asked);
        let better = |a: Option<Seen>, b: Seen| match a {
            Some(a) if a.reward >= b.reward => Some(a),
            _ => b.reward.map(|_| b),
        };
        let best = seen.iter().copied().filter(|seen| seen.reward.is_some()).fold(None, better);
        assert_eq!(best.and_then(|best| best.reward), decision.chosen.and_then(|chosen| decision.rewards[chosen]));
    }
    assert_eq!(golden.decisions.len(), 50);
}

#[test]
fn free_calls_open_everybody_and_dear_ones_a_single_one() {
    let (matrix, pool) = noise(60, 4, 1);
    let all = replay(&All, &matrix, &pool).unwrap();
    let everybody = replay(&budgeted(&matrix, &pool, Goal::RewardPerUsd(0.0), 1), &matrix, &pool).unwrap();
    let scores = |decisions: &[cambist_core::router::Decision]| decisions.iter().map(|d| d.score).collect::<Vec<_>>();
    assert_eq!(scores(&all.decisions), scores(&everybody.decisions));
    let dear = replay(&budgeted(&matrix, &pool, Goal::RewardPerUsd(1e9), 1), &matrix, &pool).unwrap();
    // Nobody stops before a valid answer is there.
    let is_single = |decision: &cambist_core::router::Decision| {
        let row = matrix.rows().iter().find(|row| row.prompt.id == decision.prompt_id).unwrap();
        let first = row.candidate(&decision.asked[0], 0).unwrap();
        decision.asked.len() == 1 || first.valid_reward().is_none()
    };
    assert!(dear.decisions.iter().all(is_single));
}

#[test]
fn one_teacher_is_asked_and_that_is_all() {
    let (matrix, pool) = noise(40, 1, 2);
    let decisions = replay(&budgeted(&matrix, &pool, Goal::Target(0.95), 1), &matrix, &pool).unwrap().decisions;
    assert!(decisions.iter().all(|decision| decision.asked == ["a"]));
}

#[test]
fn what_a_prompt_has_shown_says_whom_to_ask_next() {
    // Of those that `a` fails, `b` is right where the prompt is even and `c` where it is odd; a failing `b` says which.
    let (matrix, pool) = made(200, 3, |at, teacher| {
        let is_first = at.is_multiple_of(3);
        let is_right = [is_first, !is_first && at.is_multiple_of(2), !is_first && !at.is_multiple_of(2)][teacher];
        Some(f64::from(u8::from(is_right)))
    });
    let table = table(&matrix, &pool);
    let rows: Vec<usize> = (0..200).collect();
    let memory = Memory::of(&table, &rows).unwrap();
    let likeness = Likeness { bandwidth: 0.2, prior: 0.0, elsewhere: 0.0, other_task: 1.0 };
    let policy = Policy { memory: &memory, likeness };
    for at in 0..20 {
        let opened = opened(&policy, 0.05, &table, at, 1);
        assert!(best(&table, at, &opened) == table.best(at), "{at}: {opened:?}");
    }
    // Where everything was right at once, nothing else is asked.
    let case = Case { language: Some(0), task: None, costs: &[1.0; 3], lambda: 0.05 };
    assert!(policy.next(&case, &[Seen { teacher: 0, reward: table.row(0)[0].reward() }]).is_empty());
}

#[test]
fn a_target_is_kept_for_less() {
    let hard = |at: usize| at.is_multiple_of(5);
    let reward = |at: usize, teacher: usize| {
        let skill = [0.8, 0.5, 0.4, 0.3, 0.2][teacher];
        let luck = Chance::new(9, &["luck", &at.to_string(), &teacher.to_string()]).unit();
        Some(f64::from(u8::from(!hard(at) && luck < skill)))
    };
    let (matrix, pool) = made(600, 5, reward);
    let table = table(&matrix, &pool);
    let rows: Vec<usize> = (0..300).collect();
    let tuned = tune(&table, &rows, (Goal::Target(0.9), Correlation::Shared)).unwrap();
    let promise = tuned.promise.unwrap();
    assert!(promise.gain.unwrap() >= 0.9 && promise.cost_share < 0.6, "{promise:?}");
    let (mut value, mut full, mut single, mut calls) = (0.0, 0.0, 0.0, 0.0);
    for at in 300..table.prompts().len() {
        let play = tuned.play(&table, at, &[tuned.lambda])[0];
        value += play.value;
        calls += play.calls;
        full += table.best(at);
        single += table.row(at)[0].reward().unwrap();
    }
    let n = (table.prompts().len() - 300) as f64;
    let (gain, share) = ((value - single) / (full - single), calls / n / 5.0);
    assert!(gain > 0.8 && share < 0.6, "{gain} at {share}");
}

#[test]
fn too_few_calibration_prompts_say_how_many_it_takes() {
    let (matrix, pool) = noise(6, 2, 3);
    let fitted = Budgeted::fit(&matrix, &pool, (Goal::Target(0.95), BudgetedOptions::default()), 1);
    assert_eq!(fitted.unwrap_err(), MemoryError::TooFew { found: 6, needed: 10 });
}

#[test]
fn live_rounds_and_replays_decide_alike() {
    let (matrix, pool) = noise(80, 4, 6);
    let router = budgeted(&matrix, &pool, Goal::RewardPerUsd(0.5), 1);
    let replayed = replay(&router, &matrix, &pool).unwrap().decisions;
    for (row, decided) in matrix.rows().iter().zip(replayed) {
        // Live, a row holds what was asked for and nothing else.
        let mut live = cambist_core::candidate::Row { prompt: row.prompt.clone(), candidates: Vec::new() };
        let decision = loop {
            match route(&router, &pool.query(&row.prompt), &live) {
                Route::Decided(decision) => break decision,
                Route::Ask(asks) => {
                    let new = asks.iter().filter_map(|ask| row.candidate(&ask.teacher, 0).cloned());
                    live.candidates.extend(new);
                    live.candidates.sort_by(|a, b| a.cell().cmp(&b.cell()));
                }
            }
        };
        assert_eq!(decision, decided);
    }
}

#[test]
fn audited_prompts_ask_everybody_and_say_so() {
    let (matrix, pool) = noise(400, 3, 8);
    let options = BudgetedOptions { audit_share: 0.1, ..BudgetedOptions::default() };
    let router = Budgeted::fit(&matrix, &pool, (Goal::RewardPerUsd(1e9), options), 5).unwrap();
    let decisions = replay(&router, &matrix, &pool).unwrap().decisions;
    let audited: Vec<_> = decisions.iter().filter(|decision| decision.asked.len() == 3).collect();
    assert!((20..=60).contains(&audited.len()), "{}", audited.len());
    assert!(audited.iter().filter(|d| d.teacher.is_some()).all(|decision| decision.propensity == 0.1));
    assert!(router.reads_rewards());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// For boxes taken as independent, a wider round opens all that a narrow one opens, at most `width - 1` more, and
    /// never ends with less.
    #[test]
    fn wider_rounds_open_more(seed in 0..1000u64, width in 2..4usize, kappa in 0.01..2.0) {
        let (matrix, pool) = noise(30, 5, seed);
        let table = table(&matrix, &pool);
        let rows: Vec<usize> = (0..table.prompts().len()).collect();
        let memory = Memory::of(&table, &rows).unwrap();
        let policy = Policy { memory: &memory, likeness: Likeness::NONE };
        for at in 0..table.prompts().len() {
            let narrow = opened(&policy, kappa, &table, at, 1);
            let wide = opened(&policy, kappa, &table, at, width);
            prop_assert!(narrow.iter().all(|teacher| wide.contains(teacher)));
            prop_assert!(wide.len() < narrow.len() + width);
            prop_assert!(best(&table, at, &wide) >= best(&table, at, &narrow));
        }
    }

    /// The unit of money plays no part.
    #[test]
    fn scaling_prices_and_their_worth_leaves_decisions(seed in 0..1000u64, scale in 0.1..10.0, reward_per_usd in 0.1..10.0) {
        let (matrix, pool) = noise(30, 3, seed);
        let dearer = {
            let prompts = matrix.rows().iter().map(|row| row.prompt.clone()).collect();
            let answers = matrix.rows().iter().flat_map(|row| row.candidates.clone()).map(|mut candidate| {
                candidate.completion.cost_usd *= scale;
                candidate
            });
            Matrix::new(prompts, answers.collect()).unwrap()
        };
        let asked = |matrix: &Matrix, goal| {
            let router = budgeted(matrix, &pool, Goal::RewardPerUsd(goal), 1);
            replay(&router, matrix, &pool).unwrap().decisions.into_iter().map(|d| d.asked).collect::<Vec<_>>()
        };
        prop_assert_eq!(asked(&matrix, reward_per_usd), asked(&dearer, reward_per_usd / scale));
    }
}

/// Much Turkish, where any second teacher may mend what the first one fails, and a little Ukrainian, where it takes the
/// right one of four.
fn two_languages(n: usize, seed: u64) -> (Matrix, Pool) {
    let (mut prompts, mut answers) = (Vec::new(), Vec::new());
    for at in 0..n {
        let tag = if at.is_multiple_of(7) { "uk" } else { "tr" };
        let prompt = prompt(&format!("p{at:04}"), tag);
        let mut chance = Chance::new(seed, &["two", &at.to_string()]);
        let mender = chance.below(IDS.len() - 1) + 1;
        for (place, id) in IDS.iter().enumerate() {
            let is_right = match (tag, place) {
                (_, 0) => chance.unit() < 0.6,
                ("tr", _) => chance.unit() < 0.5,
                (_, place) => place == mender,
            };
            answers.push(answer(&prompt, id, 0, Some(f64::from(u8::from(is_right)))));
        }
        prompts.push(prompt);
    }
    (Matrix::new(prompts, answers).unwrap(), pool(&IDS))
}

#[test]
fn each_language_has_the_price_that_its_target_takes() {
    let (matrix, pool) = two_languages(700, 3);
    let table = table(&matrix, &pool);
    let place = |tag: &str| table.languages().iter().position(|own| own.as_str() == tag).unwrap();
    let (turkish, ukrainian) = (place("tr"), place("uk"));
    let rows: Vec<usize> = (0..350).collect();
    let tuned = tune(&table, &rows, (Goal::Target(0.75), Correlation::None)).unwrap();
    let promised = |at: usize| tuned.languages[at].promise.unwrap().gain.unwrap();
    assert!(promised(turkish) > 0.7 && promised(ukrainian) > 0.7, "{:?}", tuned.languages);
    let [own, other] = [ukrainian, turkish].map(|at| tuned.languages[at].lambda);
    assert!(own < tuned.lambda && tuned.lambda <= other, "{own} {} {other}", tuned.lambda);
    assert_eq!(tuned.languages.iter().map(|own| own.promise.unwrap().n).sum::<usize>(), tuned.promise.unwrap().n);
    // On prompts that it has not seen: the price of all languages together falls short of the target in one.
    let gain = |lambda: f64| {
        let held_out = (350..table.prompts().len()).filter(|at| table.prompts()[*at].language == ukrainian);
        let (mut value, mut alone, mut full) = (0.0, 0.0, 0.0);
        for at in held_out {
            value += tuned.play(&table, at, &[lambda])[0].value;
            alone += table.row(at)[0].reward().unwrap();
            full += table.best(at);
        }
        (value - alone) / (full - alone)
    };
    let (own, pooled) = (gain(own), gain(tuned.lambda));
    assert!(own > 0.7 && own > pooled + 0.1, "{own} {pooled}");
    // A language without calibration pays what all together do, and so does everybody under a budget.
    assert_eq!(tuned.lambda_in(None), tuned.lambda);
    let budget = tune(&table, &rows, (Goal::UsdPerPrompt(1.0), Correlation::None)).unwrap();
    assert!(budget.languages.iter().all(|own| own.lambda == budget.lambda));
    assert!(budget.promise.unwrap().cost <= 1.0 + 1e-9, "{:?}", budget.promise);
    let given = tune(&table, &rows, (Goal::RewardPerUsd(0.3), Correlation::None)).unwrap();
    assert!(given.languages.iter().all(|own| own.lambda == 0.3 && own.promise.is_some()));
}

#[test]
fn a_language_with_few_prompts_pays_nearly_what_all_do() {
    let (matrix, pool) = two_languages(420, 4);
    let table = table(&matrix, &pool);
    let ukrainian = table.languages().iter().position(|own| own.as_str() == "uk").unwrap();
    let of = |language: usize, n: usize| {
        let own = (0..table.prompts().len()).filter(|at| table.prompts()[*at].language == language);
        own.take(n).collect::<Vec<_>>()
    };
    let with = |n: usize| {
        let rows = [of(1 - ukrainian, 340), of(ukrainian, n)].concat();
        let tuned = tune(&table, &rows, (Goal::Target(0.75), Correlation::None)).unwrap();
        (tuned.languages[ukrainian].lambda / tuned.lambda).ln().abs()
    };
    let (few, many) = (with(4), with(60));
    assert!(few < 0.5 * many, "{few} {many}");
}
