//! The closed forms, tables and identities of optimal search.

use cambist_core::{
    chance::Chance,
    reservation::{Normal, ReservationError, empirical, psi, psi_inverse},
};
use proptest::prelude::*;

/// Computed with mpmath at 50 digits: cost, threshold.
const INVERSE: [(f64, f64); 10] = [
    (1e-12, 6.757159460425),
    (1e-6, 4.424892300506),
    (1e-3, 2.717805515232),
    (0.01, 1.938356307290),
    (0.05, 1.255581715302),
    (0.1, 0.902346347510),
    (0.2, 0.492887327207),
    (0.5, -0.188049259988),
    (1.0, -0.899471561254),
    (5.0, -4.999999946538),
];

const EXAMPLE: [(Normal, f64); 3] = [
    (Normal { mean: 0.60, sd: 0.30, failure: 0.0 }, 0.010),
    (Normal { mean: 0.50, sd: 0.20, failure: 0.0 }, 0.002),
    (Normal { mean: 0.30, sd: 0.50, failure: 0.0 }, 0.004),
];

#[test]
fn the_inverse_has_its_known_values() {
    for (cost, u) in INVERSE {
        assert!((psi_inverse(cost) - u).abs() < 1e-11, "{cost}: {}", psi_inverse(cost));
    }
    assert!(psi_inverse(psi(0.0)).abs() < 1e-15);
    assert_eq!(psi_inverse(9.0), -9.0);
}

proptest! {
    #[test]
    fn there_and_back(exponent in -12.0..2.0) {
        let cost = 10f64.powf(exponent);
        prop_assert!((psi(psi_inverse(cost)) / cost - 1.0).abs() < 1e-12);
    }

    #[test]
    fn z_falls_with_cost_and_rises_with_mean_and_spread(mean in -2.0..2.0, sd in 0.01..3.0, kappa in 1e-6..2.0) {
        let z = |mean, sd, kappa| Normal { mean, sd, failure: 0.0 }.reservation(kappa).unwrap();
        prop_assert!(z(mean, sd, kappa * 1.1) < z(mean, sd, kappa));
        prop_assert!((z(mean + 1.0, sd, kappa) - z(mean, sd, kappa) - 1.0).abs() < 1e-9);
        prop_assert!(z(mean, sd * 1.1, kappa) > z(mean, sd, kappa) - 1e-12);
    }

    #[test]
    fn an_empirical_value_satisfies_its_equation(
        rewards in prop::collection::vec(-1.0..1.0f64, 1..40),
        kappa in 1e-3..2.0,
    ) {
        let z = empirical(&rewards, kappa);
        let gain: f64 = rewards.iter().map(|x| (x - z).max(0.0)).sum::<f64>() / rewards.len() as f64;
        prop_assert!((gain - kappa).abs() < 1e-12 * kappa.max(1.0));
    }
}

#[test]
fn the_worked_example() {
    let table = [
        (0.5, [1.121357, 0.938391, 1.434843]),
        (5.0, [0.782204, 0.751116, 0.980118]),
        (10.0, [0.641671, 0.680469, 0.810619]),
        (20.0, [0.463666, 0.598577, 0.616125]),
    ];
    for (lambda, expected) in table {
        let z = EXAMPLE.map(|(reward, cost)| reward.reservation(lambda * cost).unwrap());
        assert!(z.iter().zip(expected).all(|(z, e)| (z - e).abs() < 5e-7), "{lambda}: {z:?}");
    }
}

#[test]
fn edges() {
    let box_of = |sd, failure| Normal { mean: 0.4, sd, failure };
    assert_eq!(box_of(0.2, 0.0).reservation(0.0), Ok(f64::INFINITY));
    assert_eq!(box_of(0.0, 0.0).reservation(0.1), Ok(0.4 - 0.1));
    assert_eq!(box_of(0.2, 1.0).reservation(0.1), Ok(f64::NEG_INFINITY));
    let failing = box_of(0.2, 0.5).reservation(0.1).unwrap();
    assert_eq!(failing, box_of(0.2, 0.0).reservation(0.2).unwrap());
    for (reward, kappa, name) in
        [(box_of(0.2, 0.0), -1.0, "kappa"), (box_of(-0.2, 0.0), 1.0, "sd"), (box_of(0.2, f64::NAN), 1.0, "failure")]
    {
        let Err(ReservationError::OutOfRange { name: found, .. }) = reward.reservation(kappa) else { panic!("{name}") };
        assert_eq!(found, name);
    }
    assert_eq!(empirical(&[], 0.1), f64::NEG_INFINITY);
}

#[test]
fn empirical_values_by_hand() {
    for (kappa, z) in [(0.01, 0.86), (0.05, 0.70), (0.1, 0.60), (0.2, 0.40), (1.0, -0.475)] {
        assert!((empirical(&[0.4, 0.9, 0.1, 0.7], kappa) - z).abs() < 1e-12, "{kappa}");
    }
}

#[test]
fn many_normal_draws_come_close_to_the_closed_form() {
    let mut chance = Chance::new(3, &["reservation"]);
    let draws: Vec<f64> = (0..200_000).map(|_| chance.normal()).collect();
    for kappa in [0.01, 0.1, 1.0, 5.0] {
        let gap = empirical(&draws, kappa) - psi_inverse(kappa);
        assert!(gap.abs() < 0.02, "{kappa}: {gap}");
    }
}

/// The policy's payoff is the mean of max over boxes of min(X, z), and its net payoff as simulated (Weitzman 1979).
#[test]
fn the_payoff_of_the_rule_is_its_closed_form() {
    const LAMBDA: f64 = 5.0;
    let boxes = EXAMPLE.map(|(reward, cost)| (reward, LAMBDA * cost, reward.reservation(LAMBDA * cost).unwrap()));
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| boxes[b].2.total_cmp(&boxes[a].2));
    let mut chance = Chance::new(4, &["search"]);
    let n = 100_000;
    let (mut payoff, mut identity, mut squares, mut asks) = (0.0, 0.0, 0.0, 0usize);
    for _ in 0..n {
        let drawn = boxes.map(|(reward, _, _)| reward.mean + reward.sd * chance.normal());
        let (mut best, mut paid) = (f64::NEG_INFINITY, 0.0);
        for &at in &order {
            if best >= boxes[at].2 {
                break;
            }
            best = best.max(drawn[at]);
            paid += boxes[at].1;
            asks += 1;
        }
        payoff += best - paid;
        squares += (best - paid).powi(2);
        identity += drawn.iter().zip(boxes).map(|(x, (_, _, z))| x.min(z)).fold(f64::NEG_INFINITY, f64::max);
    }
    let n = f64::from(n);
    let (payoff, identity) = (payoff / n, identity / n);
    let se = ((squares / n - payoff * payoff) / n).sqrt();
    assert!((payoff - 0.70219).abs() < 4.0 * se, "{payoff} {se}");
    assert!((payoff - identity).abs() < 4.0 * se, "{payoff} {identity}");
    assert!((asks as f64 / n - 2.40).abs() < 0.01);
}
