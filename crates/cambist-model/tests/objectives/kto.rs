//! KTO against PyTorch and TRL: the numbers of `golden/kto.py`.

use std::{collections::BTreeMap, fs};

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{Kto, LocalModel, ReferenceSource, Sft, TrainConfig, TrainError, TrainRow, Training, run};
use serde::Deserialize;

use crate::{Heard, compare, folder, is_near, sampled, stored};

#[derive(Deserialize)]
struct Golden {
    /// Language, prompt, answer, whether it is wanted.
    rows: Vec<(String, String, String, bool)>,
    weights: Vec<f64>,
    optimizer: TrainConfig,
    every: usize,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    loss: Loss,
    losses: Vec<f64>,
    grad_norms: Vec<f64>,
    baselines: Vec<f64>,
    gradients: BTreeMap<String, Vec<f32>>,
    weights: BTreeMap<String, Vec<f32>>,
    trl_losses: Option<Vec<f64>>,
    #[serde(default)]
    trl_metrics: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Loss {
    beta: f64,
    desirable_weight: Option<f64>,
    undesirable_weight: Option<f64>,
    start: Option<String>,
    reference: Option<String>,
    #[serde(default)]
    weighted: bool,
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(folder().join("kto.json")).unwrap()).unwrap()
}

fn rows(golden: &Golden, weighted: bool) -> Vec<TrainRow> {
    let row = |((language, prompt, answer, desirable), weight): (&(String, String, String, bool), &f64)| TrainRow {
        weight: if weighted { *weight } else { 1.0 },
        ..TrainRow::unpaired(
            prompt.as_str(),
            Language::parse(language).unwrap(),
            vec![Message::user(prompt)],
            (answer.clone(), *desirable),
        )
    };
    golden.rows.iter().zip(&golden.weights).map(row).collect()
}

fn trained(golden: &Golden, case: &Case, config: &TrainConfig) -> (LocalModel, Heard) {
    let Loss { beta, desirable_weight, undesirable_weight, .. } = case.loss;
    let objective = Kto::new(beta, (desirable_weight.unwrap_or(1.0), undesirable_weight.unwrap_or(1.0))).unwrap();
    let rows = rows(golden, case.loss.weighted);
    let reference = stored(case.loss.reference.as_deref().unwrap_or("untied"));
    let (mut model, mut heard) = (stored(case.loss.start.as_deref().unwrap_or("tied")), Heard::default());
    let reference = ReferenceSource { model: Some(&reference), known: &[] };
    run(&mut model, &Training { reference, ..Training::new(&rows, &objective) }, config, &mut heard).unwrap();
    (model, heard)
}

#[test]
fn three_steps_equal_a_pytorch_program_and_trl() {
    let golden = golden();
    assert_eq!(golden.cases.len(), 4);
    let mut n_compared = 0;
    for (name, case) in &golden.cases {
        let (model, heard) = trained(&golden, case, &golden.optimizer);
        for (i, log) in heard.steps.iter().enumerate() {
            let (loss, norm, baseline) = (case.losses[i], case.grad_norms[i], case.baselines[i]);
            assert!(is_near(log.loss, loss, 1e-5), "{name}, step {i}: loss {} {loss}", log.loss);
            assert!(is_near(log.grad_norm, norm, 1e-4), "{name}, step {i}: norm {} {norm}", log.grad_norm);
            assert!(is_near(log.metrics["kl"], baseline, 1e-4), "{name}, step {i}: {} {baseline}", log.metrics["kl"]);
        }
        compare(&format!("{name}: weights"), &sampled(&model, golden.every), &case.weights);
        let Some(theirs) = &case.trl_losses else { continue };
        for (log, theirs) in heard.steps.iter().zip(theirs) {
            assert!(is_near(log.loss, *theirs, 2e-5), "{name}: {} {theirs}", log.loss);
        }
        // The difference of the two means is not one of ours: each is a mean over other rows.
        for (metric, theirs) in case.trl_metrics.iter().filter(|(metric, _)| *metric != "rewards/margins") {
            let ours = heard.steps[0].metrics[metric];
            assert!(is_near(ours, *theirs, 1e-4), "{name}, {metric}: {ours} {theirs}");
            n_compared += 1;
        }
    }
    assert_eq!(n_compared, 3 * 5);
}

/// As for pairs: without moments and with a large `eps`, one step is as long as the gradient.
#[test]
fn gradients_of_every_tensor_equal_those_of_pytorch() {
    const EPS: f64 = 1e6;
    let golden = golden();
    let config = TrainConfig {
        steps: Some(1),
        lr: EPS,
        eps: EPS,
        betas: (0.0, 0.0),
        max_grad_norm: None,
        ..golden.optimizer.clone()
    };
    for (name, case) in &golden.cases {
        let before = sampled(&stored(case.loss.start.as_deref().unwrap_or("tied")), golden.every);
        let mut gradients = sampled(&trained(&golden, case, &config).0, golden.every);
        for (tensor, numbers) in &mut gradients {
            numbers.iter_mut().zip(&before[tensor]).for_each(|(after, before)| *after = before - *after);
        }
        compare(&format!("{name}: gradients"), &gradients, &case.gradients);
    }
}

#[test]
fn micro_batches_share_the_baseline_of_their_step() {
    let golden = golden();
    for (name, case) in &golden.cases {
        let (_, whole) = trained(&golden, case, &golden.optimizer);
        for micro_batch_size in [1, 3] {
            let config = TrainConfig { micro_batch_size: Some(micro_batch_size), ..golden.optimizer.clone() };
            let (_, parts) = trained(&golden, case, &config);
            for (whole, parts) in whole.steps.iter().zip(&parts.steps) {
                assert!(is_near(parts.loss, whole.loss, 1e-6), "{name}: {} {}", parts.loss, whole.loss);
                assert!(is_near(parts.grad_norm, whole.grad_norm, 1e-5), "{name}");
            }
        }
    }
}

#[test]
fn held_out_answers_are_measured_against_one_another_and_kinds_apart() {
    let golden = golden();
    let (rows, objective) = (rows(&golden, false), Kto::new(0.3, (1.0, 1.0)).unwrap());
    let reference = stored("untied");
    let training = Training {
        held_out: &rows,
        reference: ReferenceSource { model: Some(&reference), known: &[] },
        ..Training::new(&rows, &objective)
    };
    let config = TrainConfig { steps: Some(2), eval_every: Some(1), ..golden.optimizer.clone() };
    let (mut model, mut heard) = (stored("tied"), Heard::default());
    run(&mut model, &training, &config, &mut heard).unwrap();
    // What is measured after the first step is what the second one begins with.
    let (after, next) = (&heard.held_out[0].all, &heard.steps[1]);
    assert!(is_near(after.loss, next.loss, 1e-6) && is_near(after.metrics["kl"], next.metrics["kl"], 1e-5));
    let russian = &heard.held_out[0].per_language[&Language::parse("ru").unwrap()];
    assert!(russian.metrics.contains_key("rewards/chosen") && !russian.metrics.contains_key("rewards/rejected"));
    assert!(!russian.standard_errors.contains_key("rewards/rejected"));
    let (last, first) = (heard.held_out[1].all.metrics.clone(), &heard.steps[0].metrics);
    assert!(last["rewards/chosen"] > first["rewards/chosen"] && last["rewards/rejected"] < first["rewards/rejected"]);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let golden = golden();
    let (rows, objective) = (rows(&golden, false), Kto::new(0.1, (1.0, 1.0)).unwrap());
    let refused = |rows: &[TrainRow], config: &TrainConfig| {
        run(&mut stored("tied"), &Training::new(rows, &objective), config, &mut Heard::default()).unwrap_err()
    };
    let lone = refused(&rows, &TrainConfig { batch_size: 1, ..golden.optimizer.clone() });
    assert!(matches!(lone, TrainError::LoneRow("kto")), "{lone}");
    let chat = vec![Message::user("?"), Message::assistant("!")];
    let chat = refused(&[TrainRow::chat("a", Language::parse("de").unwrap(), chat)], &golden.optimizer);
    let expected = "row `a`: the `kto` objective needs an answer with a label, the row holds a conversation";
    assert_eq!(chat.to_string(), expected);
    let short = refused(&rows[..2], &TrainConfig { max_length: Some(4), ..golden.optimizer.clone() });
    assert!(short.to_string().contains("the prompt leaves no room for the answer"), "{short}");
    let sft = run(&mut stored("tied"), &Training::new(&rows, &Sft), &golden.optimizer, &mut Heard::default());
    assert!(sft.unwrap_err().to_string().contains("the row holds an answer with a label"));
}
