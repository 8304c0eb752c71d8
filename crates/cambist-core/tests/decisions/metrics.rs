//! Statistics against SciPy and NumPy, closed forms and brute force.

use cambist_core::{
    candidate::Matrix,
    metrics::{
        Bootstrap, ClusterSums, Game, GameResult, Graded, accuracy, agreement, best_of_random_pool, holm,
        leave_one_out, margin_histogram, play, pool_value, regret, shapley, shares, sign_flip, wilson, win_rates,
    },
    prompt::Prompt,
    reward::Scales,
    router::{All, Decision, Fallback, Random, Single, replay},
    statistics::quantile,
};
use proptest::prelude::*;
use serde::Deserialize;

use crate::made::{answer, language, matrices, pool, prompt};

/// Written by `golden/statistics.py`.
#[derive(Deserialize)]
struct Golden {
    wilson: Vec<(usize, usize, f64, f64)>,
    sign_flip: Vec<(Vec<f64>, f64)>,
    quantiles: Quantiles,
    kappa: (String, String, f64),
    entropy: (Vec<usize>, f64),
    cluster_bootstrap: ClusterBootstrap,
}

#[derive(Deserialize)]
struct Quantiles {
    values: Vec<f64>,
    at: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct ClusterBootstrap {
    sums: Vec<f64>,
    sizes: Vec<f64>,
    se_low_high: [f64; 3],
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/statistics.json")).unwrap()
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found}, expected {expected}");
}

const QUICK: Bootstrap = Bootstrap { draws: 2_000, seed: 1 };

#[test]
fn closed_forms_equal_scipy() {
    let golden = golden();
    for (k, n, low, high) in golden.wilson {
        let interval = wilson(k, n).unwrap();
        close(interval.low, low, 1e-12);
        close(interval.high, high, 1e-12);
    }
    for (differences, p) in golden.sign_flip {
        close(sign_flip(&differences, QUICK).unwrap(), p, 1e-12);
    }
    for (q, expected) in golden.quantiles.at {
        close(quantile(&golden.quantiles.values, q).unwrap(), expected, 1e-12);
    }
    assert_eq!((wilson(0, 0), sign_flip(&[], QUICK)), (None, None));
}

#[test]
fn the_bootstrap_agrees_with_numpys() {
    let golden = golden().cluster_bootstrap;
    let mut table = ClusterSums::new(2);
    for (at, (sum, size)) in golden.sums.iter().zip(&golden.sizes).enumerate() {
        table.add(&format!("source {at}"), 0, *sum);
        table.add(&format!("source {at}"), 1, *size);
    }
    let estimate = Bootstrap::default().resample(&table).estimate(|totals| Some(totals[0] / totals[1])).unwrap();
    let [se, low, high] = golden.se_low_high;
    // Two Monte Carlo estimates: 10,000 draws against 200,000.
    close(estimate.standard_error.unwrap(), se, 0.03 * se);
    close(estimate.interval.unwrap().low, low, 0.1 * se);
    close(estimate.interval.unwrap().high, high, 0.1 * se);
}

#[test]
fn holm_by_hand() {
    let corrected = holm(&[0.03, 0.001, 0.2, 0.01, 0.04, 0.02]);
    for (found, expected) in corrected.iter().zip([0.09, 0.006, 0.2, 0.05, 0.09, 0.08]) {
        close(*found, expected, 1e-12);
    }
    assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
}

#[test]
fn many_sources_flip_signs_by_lot() {
    let lean: Vec<f64> = (0..100).map(|at| if at % 5 == 0 { -1.0 } else { 1.0 }).collect();
    close(sign_flip(&lean, QUICK).unwrap(), 1.0 / 2001.0, 1e-12);
    let even: Vec<f64> = (0..100).map(|at| if at % 2 == 0 { -1.0 } else { 1.0 }).collect();
    assert_eq!(sign_flip(&even, QUICK), Some(1.0));
}

fn game(at: usize, tag: &str, result: GameResult) -> Game {
    let id = format!("{tag}{at}");
    Game { prompt_id: id.clone(), source_id: id, language: language(tag), seed: 1, result }
}

fn games(tag: &str, wins: usize, ties: usize, losses: usize) -> Vec<Game> {
    let result = |at: usize| match at {
        at if at < wins => GameResult::Win,
        at if at < wins + ties => GameResult::Tie,
        _ => GameResult::Loss,
    };
    (0..wins + ties + losses).map(|at| game(at, tag, result(at))).collect()
}

#[test]
fn the_two_forms_of_improvement() {
    // The example of the paper's style: W .57, L .364 is 20.6 points and 56.6 percent.
    let table = win_rates(&games("tr", 570, 66, 364), QUICK);
    let rate = &table.languages[&language("tr")];
    close(rate.wins + rate.ties + rate.losses, 1.0, 1e-12);
    close(rate.difference_points.value, 20.6, 1e-9);
    close(rate.half_credit_points.value, 60.3, 1e-9);
    close(rate.relative_percent.unwrap().value, 56.593_406, 1e-5);
    let unbeaten = win_rates(&games("tr", 5, 3, 0), QUICK);
    assert_eq!(unbeaten.languages[&language("tr")].relative_percent, None);
}

#[test]
fn one_cluster_per_prompt_matches_the_analytic_error() {
    let table = win_rates(&games("tr", 100, 20, 80), Bootstrap::default());
    let rate = table.macro_mean.unwrap();
    let analytic = 100.0 * ((0.5 + 0.4 - 0.01) / 200f64).sqrt();
    close(rate.difference_points.standard_error.unwrap(), analytic, 0.03 * analytic);
    close(rate.detectable_points.unwrap(), 18.7, 0.6);
    assert_eq!((rate.n_prompts, rate.n_clusters, rate.n_seeds, rate.seed_sd_points), (200, 200, 1, None));
}

#[test]
fn languages_weigh_the_same_and_seeds_stay_with_their_source() {
    let mut all = games("tr", 10, 0, 0);
    all.extend(games("uk", 0, 0, 1000));
    let once = win_rates(&all, QUICK).macro_mean.unwrap();
    close(once.difference_points.value, 0.0, 1e-9);
    let again: Vec<Game> =
        [1, 2, 3].iter().flat_map(|seed| all.iter().map(move |g| Game { seed: *seed, ..g.clone() })).collect();
    let thrice = win_rates(&again, QUICK).macro_mean.unwrap();
    assert_eq!((thrice.n_seeds, thrice.n_clusters, thrice.seed_sd_points), (3, 1010, Some(0.0)));
    assert_eq!(thrice.difference_points.standard_error, once.difference_points.standard_error);
}

#[test]
fn games_come_from_grades_of_the_same_prompts() {
    let grade = |id: &str, value| Graded {
        prompt_id: id.into(),
        source_id: id.into(),
        language: language("tr"),
        seed: 1,
        value,
    };
    let ours = [grade("a", 1.0), grade("b", 0.0), grade("c", 1.0)];
    let theirs = [grade("c", 1.0), grade("a", 0.0), grade("b", 1.0)];
    let results: Vec<_> = play(&ours, &theirs).unwrap().into_iter().map(|game| game.result).collect();
    assert_eq!(results, [GameResult::Win, GameResult::Loss, GameResult::Tie]);
    let error = play(&ours, &theirs[..2]).unwrap_err();
    assert_eq!((error.prompt_id.as_str(), error.n_candidate, error.n_baseline), ("b", 1, 0));
}

#[test]
fn accuracy_has_its_intervals_and_the_spread_of_its_seeds() {
    let grade = |at: usize, tag: &str, seed, is_right| Graded {
        prompt_id: format!("{tag}{at}"),
        source_id: format!("{at}"),
        language: language(tag),
        seed,
        value: f64::from(is_right),
    };
    let one: Vec<Graded> =
        (0..200).flat_map(|at| [grade(at, "tr", 1, at < 137), grade(at, "uk", 1, at < 60)]).collect();
    let table = accuracy(&one, Bootstrap::default());
    let turkish = &table.languages[&language("tr")];
    close(turkish.mean.value, 0.685, 1e-12);
    let (boot, score) = (turkish.mean.interval.unwrap(), turkish.wilson.unwrap());
    close(boot.low, score.low, 0.01);
    close(boot.high, score.high, 0.01);
    let both = table.macro_mean.unwrap();
    assert_eq!((both.n_prompts, both.n_clusters, both.n_seeds, both.seed_sd), (400, 200, 1, None));
    close(both.mean.value, (0.685 + 0.3) / 2.0, 1e-12);

    let second = (0..200).map(|at| grade(at, "tr", 2, at < 117));
    let two: Vec<Graded> = one.into_iter().filter(|g| g.language == language("tr")).chain(second).collect();
    let turkish = &accuracy(&two, QUICK).languages[&language("tr")];
    close(turkish.mean.value, 0.635, 1e-12);
    close(turkish.seed_sd.unwrap(), 0.1 / 2f64.sqrt(), 1e-12);
    assert_eq!((turkish.n_seeds, turkish.wilson), (2, None));
    assert!(accuracy(&[], QUICK).macro_mean.is_none());
}

#[test]
fn a_bootstrap_takes_sources_whole() {
    let languages = ["ar", "de", "en", "es", "fr", "ja", "ru", "tr", "uk", "zh"];
    let translated = |at: usize, tag: &str| Game { source_id: format!("{at}"), ..game(at, tag, GameResult::Win) };
    let all: Vec<Game> = (0..1000).flat_map(|at| languages.map(|tag| translated(at, tag))).collect();
    let table = win_rates(&all, QUICK);
    assert_eq!(table.macro_mean.unwrap().n_clusters, 1000);
}

/// Decisions with the teachers named by the letters.
fn chosen(letters: &str) -> Vec<Decision> {
    let ids: Vec<String> = letters.chars().map(String::from).collect();
    let prompts: Vec<Prompt> = (0..ids.len()).map(|at| prompt(&format!("p{at}"), "tr")).collect();
    let candidates = prompts.iter().zip(&ids).map(|(p, id)| answer(p, id, 0, Some(1.0))).collect();
    let matrix = Matrix::new(prompts.clone(), candidates).unwrap();
    let decide = |(at, id): (usize, &String)| {
        let row = Matrix::new(vec![prompts[at].clone()], matrix.rows()[at].candidates.clone()).unwrap();
        replay(&Single { teacher: id.clone() }, &row, &pool(&[id])).unwrap().decisions.remove(0)
    };
    ids.iter().enumerate().map(decide).collect()
}

#[test]
fn shares_entropy_and_kappa() {
    let (a, b, kappa) = golden().kappa;
    let found = agreement(&chosen(&a), &chosen(&b)).unwrap();
    close(found.kappa.unwrap(), kappa, 1e-12);
    assert_eq!(agreement(&chosen("aaa"), &chosen("aaa")).unwrap().kappa, None);
    assert_eq!(agreement(&[], &[]), None);

    let (counts, entropy) = golden().entropy;
    let letters: String = ["a", "b", "c"].iter().zip(&counts).map(|(letter, n)| letter.repeat(*n)).collect();
    let table = shares(&chosen(&letters));
    let row = &table[&language("tr")];
    close(row.entropy, entropy, 1e-12);
    close(row.effective_teachers.unwrap(), entropy.exp(), 1e-12);
    close(row.shares["a"], 0.6, 1e-12);
    assert_eq!(shares(&chosen("aa"))[&language("tr")].effective_teachers, Some(1.0));
}

#[test]
fn shapley_and_pools_by_hand() {
    let near = |found: &[f64], expected: &[f64]| found.iter().zip(expected).for_each(|(f, e)| close(*f, *e, 1e-12));
    near(&shapley(&[0.2, 0.5, 0.9], 0.2), &[0.0, 0.15, 0.55]);
    near(&shapley(&[0.4, 0.1, 0.4], 0.1), &[0.15, 0.0, 0.15]);
    near(&leave_one_out(&[0.4, 0.1, 0.4], 0.1), &[0.0, 0.0, 0.0]);
    near(&leave_one_out(&[0.2, 0.5, 0.9], 0.2), &[0.0, 0.0, 0.4]);
    let curve: Vec<f64> = (1..=3).filter_map(|size| best_of_random_pool(&[0.9, 0.2, 0.5], size)).collect();
    near(&curve, &[1.6 / 3.0, 2.3 / 3.0, 0.9]);
    assert_eq!((best_of_random_pool(&[1.0], 0), best_of_random_pool(&[1.0], 2)), (None, None));
}

/// The mean of what each teacher adds, over all orders in which the pool could have been built.
fn shapley_by_permutations(rewards: &[f64], floor: f64) -> Vec<f64> {
    let mut sums = vec![0.0; rewards.len()];
    let mut order: Vec<usize> = (0..rewards.len()).collect();
    let n = permute(&mut order, 0, &mut |order| {
        let mut best = floor;
        for &at in order {
            sums[at] += (rewards[at] - best).max(0.0);
            best = best.max(rewards[at]);
        }
    });
    sums.into_iter().map(|sum| sum / n as f64).collect()
}

fn permute(order: &mut [usize], from: usize, visit: &mut impl FnMut(&[usize])) -> usize {
    if from == order.len() {
        visit(order);
        return 1;
    }
    let mut n = 0;
    for at in from..order.len() {
        order.swap(from, at);
        n += permute(order, from + 1, visit);
        order.swap(from, at);
    }
    n
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shapley_is_the_permutation_average(rewards in prop::collection::vec(-3.0..3.0f64, 1..7), below in 0.0..2.0f64, twin in any::<bool>()) {
        let mut rewards = rewards;
        if twin { rewards[0] = rewards[rewards.len() - 1]; }
        let floor = rewards.iter().copied().fold(f64::INFINITY, f64::min) - below;
        let top = rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let values = shapley(&rewards, floor);
        for (found, expected) in values.iter().zip(shapley_by_permutations(&rewards, floor)) {
            prop_assert!((found - expected).abs() < 1e-12);
        }
        prop_assert!((values.iter().sum::<f64>() - (top - floor)).abs() < 1e-12);
        prop_assert!(leave_one_out(&rewards, floor).iter().all(|loss| *loss >= 0.0));
        let curve: Vec<f64> = (1..=rewards.len()).filter_map(|size| best_of_random_pool(&rewards, size)).collect();
        prop_assert!((curve[0] - rewards.iter().sum::<f64>() / rewards.len() as f64).abs() < 1e-12);
        prop_assert!((curve[curve.len() - 1] - top).abs() < 1e-12);
        let steps: Vec<f64> = curve.windows(2).map(|pair| pair[1] - pair[0]).collect();
        prop_assert!(steps.iter().all(|step| *step >= -1e-12));
        prop_assert!(steps.windows(2).all(|pair| pair[1] <= pair[0] + 1e-12));
    }

    #[test]
    fn the_oracle_has_no_regret_and_the_pool_shares_all_value((matrix, pool) in matrices(), seed in 0..9u64) {
        let all = regret(&matrix, &replay(&All, &matrix, &pool).unwrap().decisions);
        prop_assert!(all.languages.values().all(|row| row.regret == 0.0 && row.hit == 1.0 && row.n_without == 0));
        let random = Random { seed, fallback: Fallback::None };
        let lot = regret(&matrix, &replay(&random, &matrix, &pool).unwrap().decisions);
        for (language, row) in &lot.languages {
            prop_assert!(row.regret >= 0.0 && (0.0..=1.0).contains(&row.hit));
            prop_assert_eq!(row.n + row.n_without, all.languages[language].n);
        }
        for values in pool_value(&matrix, &pool, &Scales::fit(&matrix)).languages.values() {
            let wins: f64 = values.iter().map(|value| value.win_share).sum();
            prop_assert!((wins - 1.0).abs() < 1e-9);
            prop_assert!(values.iter().all(|value| value.shapley >= 0.0 && value.leave_one_out >= 0.0));
        }
    }
}

#[test]
fn regret_by_hand() {
    let prompts = vec![prompt("p", "tr"), prompt("q", "tr"), prompt("r", "tr")];
    let rewards = [("p", [1.0, 4.0, 4.0]), ("q", [3.0, 1.0, 2.0]), ("r", [5.0, 5.0, 5.0])];
    let cells = prompts.iter().zip(rewards).flat_map(|(p, (_, each))| {
        ["a", "b", "c"].into_iter().zip(each).map(move |(id, reward)| answer(p, id, 0, Some(reward)))
    });
    let matrix = Matrix::new(prompts.clone(), cells.collect()).unwrap();
    let pool = pool(&["a", "b", "c"]);
    let table = regret(&matrix, &replay(&Single { teacher: "b".into() }, &matrix, &pool).unwrap().decisions);
    let row = &table.languages[&language("tr")];
    close(row.regret, 2.0 / 3.0, 1e-12);
    close(row.relative.unwrap(), 1.0, 1e-12);
    close(row.hit, 2.0 / 3.0, 1e-12);
    close(row.chance_hit, (2.0 / 3.0 + 1.0 / 3.0 + 1.0) / 3.0, 1e-12);
    let histogram = margin_histogram(&matrix, 2);
    assert_eq!((histogram.n_ties, histogram.ends, histogram.counts), (2, vec![0.5, 1.0], vec![0, 1]));
}
