//! Preference pairs: never the wrong way round, never of one text, every prompt accounted for.

use cambist_core::{
    candidate::{Candidate, Matrix},
    pairs::{PairOptions, Pairs, Rule, make_pairs},
    pool::Pool,
    prompt::Prompt,
    reward::Scales,
};
use proptest::prelude::*;

use crate::made::{answer, language, matrices, pool, prompt, rewarded, stopped};

fn pairs(matrix: &Matrix, pool: &Pool, options: &PairOptions) -> Pairs {
    make_pairs(matrix, pool, &Scales::fit(matrix), options, 11)
}

fn options(rule: Rule) -> PairOptions {
    PairOptions { rule, ..PairOptions::default() }
}

/// The answers of one prompt: text and reward; teachers are `a`, `b` and so on.
fn one_prompt(texts: &[(&str, f64)]) -> (Matrix, Pool) {
    let prompt = prompt("p", "tr");
    let ids = &["a", "b", "c", "d", "e"][..texts.len()];
    (Matrix::new(vec![prompt.clone()], said(&prompt, texts)).unwrap(), pool(ids))
}

fn said(prompt: &Prompt, texts: &[(&str, f64)]) -> Vec<Candidate> {
    let ids = ["a", "b", "c", "d", "e"];
    let speak = |(id, (text, reward)): (&str, &(&str, f64))| {
        let mut candidate = answer(prompt, id, 0, Some(*reward));
        candidate.completion.text = (*text).into();
        candidate
    };
    ids.into_iter().zip(texts).map(speak).collect()
}

fn sides(pairs: &Pairs) -> Vec<(&str, &str)> {
    pairs.pairs.iter().map(|p| (p.chosen.teacher.as_str(), p.rejected.teacher.as_str())).collect()
}

fn reason(pairs: &Pairs) -> &str {
    &pairs.unpaired[0].reason
}

proptest! {
    #[test]
    fn pairs_keep_their_promises((matrix, pool) in matrices(), rule in 0..4usize) {
        let rule = [Rule::MaxMin, Rule::MaxRandom, Rule::MaxQuantile(0.5), Rule::AllOrdered][rule];
        let made = pairs(&matrix, &pool, &options(rule));
        prop_assert_eq!(made.tally.total(), matrix.rows().len());
        for row in matrix.rows() {
            let of_row: Vec<_> = made.pairs.iter().filter(|pair| pair.prompt_id == row.prompt.id).collect();
            let is_unpaired = made.unpaired.iter().any(|unpaired| unpaired.prompt_id == row.prompt.id);
            prop_assert_eq!(of_row.is_empty(), is_unpaired);
            let weight: f64 = of_row.iter().map(|pair| pair.weight).sum();
            prop_assert!(is_unpaired || (weight - 1.0).abs() < 1e-12);
            for pair in of_row {
                let [chosen, rejected] = [&pair.chosen, &pair.rejected].map(|s| row.candidate(&s.teacher, s.sample).unwrap());
                prop_assert!(chosen.passed() && rejected.passed());
                prop_assert!(pair.margin > 0.0 && pair.chosen.score > pair.rejected.score);
                prop_assert!(pair.margin >= made.floors[&pair.language]);
                prop_assert_ne!(&chosen.completion.text, &rejected.completion.text);
            }
        }
    }

    #[test]
    fn shifts_per_language_and_scales_change_no_pair((matrix, pool) in matrices(), factor in 1..9i32) {
        let picks = |matrix: &Matrix| {
            let made = pairs(matrix, &pool, &options(Rule::MaxMin));
            let sides = sides(&made).into_iter().map(|(c, r)| (c.to_owned(), r.to_owned())).collect::<Vec<_>>();
            (sides, made.unpaired)
        };
        // Powers of two keep every quantile exact, so that nothing hangs on the last bit of a floor.
        let scaled = rewarded(&matrix, |_, r| r * f64::from(1 << factor) + 8.0);
        prop_assert_eq!(picks(&matrix), picks(&scaled));
    }
}

const FOUR: [(&str, f64); 4] =
    [("birinci cevap", 1.0), ("ikinci bir cevap", 4.0), ("üçüncü söz", 2.0), ("dördüncüsü", 3.0)];

#[test]
fn rules_by_hand() {
    let (matrix, pool) = one_prompt(&FOUR);
    let with = |rule| PairOptions { margin_quantile: 0.0, ..options(rule) };
    let made = |rule| pairs(&matrix, &pool, &with(rule));
    assert_eq!(sides(&made(Rule::MaxMin)), [("b", "a")]);
    assert_eq!(sides(&made(Rule::MaxQuantile(0.0))), [("b", "a")]);
    assert_eq!(sides(&made(Rule::MaxQuantile(0.5))), [("b", "c")]);
    assert_eq!(sides(&made(Rule::MaxQuantile(1.0))), [("b", "d")]);
    let all = made(Rule::AllOrdered);
    assert_eq!(sides(&all), [("b", "a"), ("b", "c"), ("d", "a"), ("b", "d"), ("d", "c"), ("c", "a")]);
    assert!(all.pairs.iter().all(|pair| (pair.weight - 1.0 / 6.0).abs() < 1e-12));
    let by_lot = made(Rule::MaxRandom);
    assert_eq!(by_lot, made(Rule::MaxRandom));
    assert_eq!(by_lot.pairs[0].chosen.teacher, "b");
}

#[test]
fn max_random_reaches_every_other_answer() {
    let prompts: Vec<Prompt> = (0..60).map(|at| prompt(&format!("p{at}"), "tr")).collect();
    let candidates = prompts.iter().flat_map(|prompt| said(prompt, &FOUR)).collect();
    let matrix = Matrix::new(prompts, candidates).unwrap();
    let with = PairOptions { margin_quantile: 0.0, ..options(Rule::MaxRandom) };
    let made = pairs(&matrix, &pool(&["a", "b", "c", "d"]), &with);
    for rejected in ["a", "c", "d"] {
        let n = sides(&made).iter().filter(|pair| **pair == ("b", rejected)).count();
        assert!(n > 8, "{rejected} was drawn {n} times of 60");
    }
}

#[test]
fn each_guard_has_its_reason() {
    let made = |texts: &[(&str, f64)]| {
        let (matrix, pool) = one_prompt(texts);
        pairs(&matrix, &pool, &PairOptions::default())
    };
    assert_eq!(reason(&made(&[("tek", 1.0)])), "one_valid");
    assert_eq!(reason(&made(&[("aynı cevap", 1.0), ("aynı  cevap ", 0.0)])), "duplicates");
    assert_eq!(reason(&made(&[("bir cevap", 1.0), ("başka cevap", 1.0)])), "no_gap");
    assert_eq!(reason(&made(&[("kısa", 1.0), ("çok ama çok uzun bir cevap", 0.0)])), "length_ratio");
    assert_eq!(reason(&made(&[("çok ama çok uzun bir cevap", 1.0), ("kısa", 0.0)])), "length_ratio");
    let prompt = prompt("p", "tr");
    let matrix = Matrix::new(vec![prompt.clone()], vec![stopped(answer(&prompt, "a", 0, Some(1.0)))]).unwrap();
    assert_eq!(reason(&pairs(&matrix, &pool(&["a"]), &PairOptions::default())), "none_passed");
    let matrix = Matrix::new(vec![prompt.clone()], vec![answer(&prompt, "a", 0, None)]).unwrap();
    assert_eq!(reason(&pairs(&matrix, &pool(&["a"]), &PairOptions::default())), "none_scored");
}

#[test]
fn the_smallest_margins_of_a_language_are_dropped() {
    let prompts: Vec<Prompt> = (0..10).map(|at| prompt(&format!("p{at}"), "tr")).collect();
    let texts = |gap: usize| [("bir cevap", 5.0 + gap as f64), ("başka cevap", 5.0)];
    let candidates = prompts.iter().enumerate().flat_map(|(at, prompt)| said(prompt, &texts(at + 1))).collect();
    let matrix = Matrix::new(prompts, candidates).unwrap();
    let made = pairs(&matrix, &pool(&["a", "b"]), &PairOptions::default());
    // Gaps 1 to 10: the 20 % quantile is 2.8.
    assert_eq!(made.tally.count(&language("tr"), "small_margin"), 2);
    assert_eq!(made.tally.count(&language("tr"), "paired"), 8);
    let most = PairOptions { min_margin: f64::INFINITY, ..PairOptions::default() };
    assert!(pairs(&matrix, &pool(&["a", "b"]), &most).pairs.is_empty());
}

#[test]
fn a_clone_does_not_stand_for_the_other_side() {
    let long = "Ankara Türkiye'nin başkentidir ve ülkenin ikinci büyük kentidir, nüfusu beş milyondan fazladır";
    let clone = format!("{long}.");
    let (matrix, pool) =
        one_prompt(&[(long, 3.0), (&clone, 1.0), ("İstanbul, bence, en kalabalık kent ve bir liman", 2.0)]);
    let made = pairs(&matrix, &pool, &PairOptions::default());
    assert_eq!(sides(&made), [("a", "c")]);
}
