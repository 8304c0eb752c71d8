//! Several arbiters as one: by hand, against SciPy, and laws.

use cambist_core::{
    ensemble::{Absent, Combine, Ensemble, EnsembleError, Normalize, Panel, PanelScales, Weight, disagreement},
    language::Language,
    statistics::kendall_tau,
};
use proptest::prelude::*;
use serde::Deserialize;

use crate::made::language;

/// Written by `golden/kendall.py`.
#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    a: Vec<f64>,
    b: Vec<f64>,
    tau: f64,
}

#[test]
fn tau_equals_scipy() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/kendall.json")).unwrap();
    for Case { a, b, tau } in golden.cases {
        let found = kendall_tau(&a, &b).unwrap();
        assert!((found - tau).abs() < 1e-12, "{found}, expected {tau}: {a:?} {b:?}");
    }
    assert_eq!(kendall_tau(&[1.0, 1.0], &[1.0, 2.0]), None);
}

fn panel(values: &[(&str, &[Option<f64>])]) -> Panel {
    Panel { values: values.iter().map(|(arbiter, values)| ((*arbiter).to_owned(), values.to_vec())).collect() }
}

const A: &[Option<f64>] = &[Some(0.0), Some(2.0), Some(4.0)];
const B: &[Option<f64>] = &[Some(30.0), Some(10.0), Some(10.0)];

fn rewards(ensemble: &Ensemble, panel: &Panel) -> Vec<Option<f64>> {
    let tag = language("tr");
    let scales = PanelScales::fit([(&tag, panel)]);
    ensemble.rewards((&tag, panel), &scales).unwrap()
}

fn rounded(values: Vec<Option<f64>>) -> Vec<Option<f64>> {
    values.into_iter().map(|value| value.map(|value| (value * 1e4).round() / 1e4)).collect()
}

#[test]
fn forms_by_hand() {
    // A: median 2, MAD 2; B: median 10, MAD 0, so the standard deviation 11.547.
    let both = panel(&[("a", A), ("b", B)]);
    let of = |combine| rounded(rewards(&Ensemble { combine, ..Ensemble::default() }, &both));
    let z_a = 2.0 / (1.4826 * 2.0);
    let z_b = 20.0 / 11.547_005_383_792_516;
    let round = |value: f64| Some((value * 1e4).round() / 1e4);
    assert_eq!(of(Combine::Mean), [round((z_b - z_a) / 2.0), Some(0.0), round(z_a / 2.0)]);
    assert_eq!(of(Combine::Min), [round(-z_a), Some(0.0), Some(0.0)]);
    let sd = (z_b + z_a) / 2f64.sqrt();
    assert_eq!(of(Combine::Lcb(0.5))[0], round((z_b - z_a) / 2.0 - 0.5 * sd));
    assert_eq!(of(Combine::Borda), [Some(0.5), Some(0.375), Some(0.625)]);
    assert_eq!(of(Combine::RankMean), [Some(2.0), Some(1.75), Some(2.25)]);
    assert_eq!(of(Combine::Vote), [Some(0.5), Some(0.0), Some(0.5)]);
    let within = Ensemble { normalize: Normalize::Prompt, ..Ensemble::default() };
    assert_eq!(rounded(rewards(&within, &both)), [Some(0.0774), Some(-0.2887), Some(0.2113)]);
}

#[test]
fn absent_arbiters_leave_the_prompt_or_the_candidate() {
    let partly: &[Option<f64>] = &[Some(1.0), None, Some(3.0)];
    let given = panel(&[("a", A), ("b", B), ("c", partly)]);
    let whole = rewards(&Ensemble::default(), &given);
    assert_eq!(whole, rewards(&Ensemble::default(), &panel(&[("a", A), ("b", B)])), "two of three are a majority");
    let strict = Ensemble { min_arbiters: Some(3), ..Ensemble::default() };
    assert_eq!(rewards(&strict, &given), [None, None, None]);
    let each = Ensemble { absent: Absent::LeavesCandidate, ..strict };
    let found = rewards(&each, &given);
    assert_eq!([found[0].is_some(), found[1].is_some(), found[2].is_some()], [true, false, true]);
}

#[test]
fn weights_are_by_language() {
    let both = panel(&[("a", A), ("b", B)]);
    let only_a = Weight { all: 1.0, languages: [(language("tr"), 0.0)].into() };
    let ensemble = Ensemble { weights: [("b".to_owned(), only_a)].into(), ..Ensemble::default() };
    assert_eq!(rewards(&ensemble, &both), rewards(&Ensemble::default(), &panel(&[("a", A)])));
    let negative = Weight { all: -1.0, ..Weight::default() };
    let wrong = Ensemble { weights: [("a".to_owned(), negative)].into(), ..Ensemble::default() };
    let tag = language("tr");
    let error = wrong.rewards((&tag, &both), &PanelScales::default()).unwrap_err();
    assert!(matches!(error, EnsembleError::Weight { .. }), "{error}");
}

#[test]
fn uneven_and_infinite_values_are_refused() {
    let tag = language("tr");
    let refuse = |panel: &Panel| Ensemble::default().rewards((&tag, panel), &PanelScales::default()).unwrap_err();
    assert!(matches!(refuse(&panel(&[("a", A), ("b", &B[1..])])), EnsembleError::Uneven { found: 2, expected: 3, .. }));
    assert!(matches!(refuse(&panel(&[("a", &[Some(f64::NAN)])])), EnsembleError::NotFinite { .. }));
}

#[test]
fn disagreement_by_hand() {
    let tag = language("uk");
    let panels =
        [panel(&[("a", A), ("b", B)]), panel(&[("a", A), ("b", A)]), panel(&[("a", A), ("b", &[None, None, None])])];
    let pairs: Vec<(&Language, &Panel)> = panels.iter().map(|panel| (&tag, panel)).collect();
    let found = &disagreement(pairs.clone(), &PanelScales::fit(pairs))[&tag];
    assert_eq!((found.n_prompts, found.other_winner), (2, Some(0.5)));
    // tau of (0, 2, 4) and (30, 10, 10) is -2 / sqrt(3 * 2); of equal series 1.
    let tau = (1.0 - 2.0 / 6f64.sqrt()) / 2.0;
    assert!((found.tau[0].mean - tau).abs() < 1e-12 && found.tau[0].n_prompts == 2, "{found:?}");
    assert!(found.mean_sd.unwrap() > 0.0);
}

fn panels() -> impl Strategy<Value = Vec<Panel>> {
    let value = prop_oneof![1 => Just(None), 8 => (-50..50i32).prop_map(|value| Some(f64::from(value) / 4.0))];
    let one = (1..5usize).prop_flat_map(move |n| {
        prop::collection::vec(prop::collection::vec(value.clone(), n), 3)
            .prop_map(|of| Panel { values: ["a", "b", "c"].map(str::to_owned).into_iter().zip(of).collect() })
    });
    prop::collection::vec(one, 1..8)
}

proptest! {
    #[test]
    fn an_affine_change_of_one_arbiter_changes_nothing(
        panels in panels(), slope in 0.25..8.0f64, shift in -100.0..100.0f64,
        combine in prop::sample::select(vec![Combine::Mean, Combine::Lcb(0.5), Combine::Min, Combine::Borda, Combine::RankMean, Combine::Vote]),
    ) {
        let tag = language("zh");
        let mut changed = panels.clone();
        for values in changed.iter_mut().filter_map(|panel| panel.values.get_mut("b")) {
            values.iter_mut().flatten().for_each(|value| *value = slope * *value + shift);
        }
        let ensemble = Ensemble { combine, ..Ensemble::default() };
        let fit = |panels: &[Panel]| PanelScales::fit(panels.iter().map(|panel| (&tag, panel)));
        let (before, after) = (fit(&panels), fit(&changed));
        for (panel, other) in panels.iter().zip(&changed) {
            let a = ensemble.rewards((&tag, panel), &before).unwrap();
            let b = ensemble.rewards((&tag, other), &after).unwrap();
            for (a, b) in a.iter().zip(&b) {
                prop_assert_eq!(a.is_some(), b.is_some());
                let (a, b) = (a.unwrap_or(0.0), b.unwrap_or(0.0));
                prop_assert!((a - b).abs() < 1e-6 * (1.0 + a.abs()), "{} {}", a, b);
            }
        }
    }
}
