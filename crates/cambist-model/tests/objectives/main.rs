//! Against PyTorch and TRL: the numbers of `golden/objectives.py`.
#![cfg(test)]

mod kto;

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::PathBuf};

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{
    ChosenNll, HeldOutLog, IpoNormalization, LocalModel, ModelFiles, NllReduction, Observer, Preference,
    PreferenceLoss, ReferenceRow, ReferenceSource, StepLog, TrainConfig, TrainRow, Training,
    objective::preference::{Answer, AnswerPair},
    run,
};
use safetensors::SafeTensors;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    pairs: Vec<[String; 4]>,
    weights: Vec<f64>,
    optimizer: TrainConfig,
    every: usize,
    /// Of the chosen and the rejected answers: log-probabilities, and how many tokens they are.
    policy: [[Vec<f64>; 2]; 2],
    reference: [[Vec<f64>; 2]; 2],
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    loss: Loss,
    losses: Vec<f64>,
    grad_norms: Vec<f64>,
    gradients: BTreeMap<String, Vec<f32>>,
    weights: BTreeMap<String, Vec<f32>>,
    trl_losses: Option<Vec<f64>>,
    #[serde(default)]
    trl_metrics: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Loss {
    kind: Option<String>,
    beta: f64,
    #[serde(default)]
    label_smoothing: f64,
    normalize: Option<IpoNormalization>,
    #[serde(default)]
    gamma: f64,
    nll: Option<Nll>,
    #[serde(default)]
    weighted: bool,
}

#[derive(Deserialize)]
struct Nll {
    weight: f64,
    reduce: NllReduction,
}

impl Case {
    fn objective(&self, name: &str) -> Preference {
        let Loss { beta, label_smoothing, normalize, gamma, .. } = self.loss;
        let loss = match self.loss.kind.as_deref().unwrap_or(name) {
            "sigmoid" => PreferenceLoss::Sigmoid,
            "cdpo" => PreferenceLoss::Cdpo { label_smoothing },
            "robust" => PreferenceLoss::Robust { label_smoothing },
            "sigmoid-norm" => PreferenceLoss::SigmoidNorm,
            "ipo" => PreferenceLoss::Ipo { normalize: normalize.unwrap() },
            "hinge" => PreferenceLoss::Hinge,
            "simpo" => PreferenceLoss::Simpo { gamma },
            "orpo" => PreferenceLoss::Orpo,
            other => panic!("{other}"),
        };
        let nll = self.loss.nll.as_ref().map(|nll| ChosenNll { weight: nll.weight, reduction: nll.reduce });
        Preference::new(loss, beta, nll).unwrap()
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(folder().join("objectives.json")).unwrap()).unwrap()
}

fn stored(name: &str) -> LocalModel {
    let entries = fs::read_dir(folder().join(name)).unwrap().map(Result::unwrap);
    let file = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    LocalModel::from_files(&ModelFiles(entries.map(file).filter(|(name, _)| !name.starts_with("expected")).collect()))
        .unwrap()
}

fn rows(golden: &Golden, case: &Case) -> Vec<TrainRow> {
    let row = |([language, prompt, chosen, rejected], weight): (&[String; 4], &f64)| TrainRow {
        weight: if case.loss.weighted { *weight } else { 1.0 },
        ..TrainRow::pair(
            prompt.as_str(),
            Language::parse(language).unwrap(),
            vec![Message::user(prompt)],
            [chosen.clone(), rejected.clone()],
        )
    };
    golden.pairs.iter().zip(&golden.weights).map(row).collect()
}

#[derive(Default)]
struct Heard {
    steps: Vec<StepLog>,
    reference: Vec<ReferenceRow>,
    held_out: Vec<HeldOutLog>,
}

impl Observer for Heard {
    fn step(&mut self, log: &StepLog) -> ControlFlow<()> {
        self.steps.push(log.clone());
        ControlFlow::Continue(())
    }

    fn held_out(&mut self, log: &HeldOutLog) {
        self.held_out.push(log.clone());
    }

    fn reference(&mut self, rows: &[ReferenceRow], _done: (usize, usize)) -> ControlFlow<()> {
        self.reference.extend_from_slice(rows);
        ControlFlow::Continue(())
    }
}

/// Trains `tied` against `untied`.
fn trained(golden: &Golden, (name, case): (&str, &Case), config: &TrainConfig) -> (LocalModel, Heard) {
    let (rows, objective, reference) = (rows(golden, case), case.objective(name), stored("untied"));
    let (mut model, mut heard) = (stored("tied"), Heard::default());
    let reference = ReferenceSource { model: Some(&reference), known: &[] };
    run(&mut model, &Training { reference, ..Training::new(&rows, &objective) }, config, &mut heard).unwrap();
    (model, heard)
}

fn is_near(ours: f64, theirs: f64, relative: f64) -> bool {
    (ours - theirs).abs() <= relative * theirs.abs().max(0.1)
}

#[test]
fn three_steps_of_every_loss_equal_a_pytorch_program() {
    let golden = golden();
    assert_eq!(golden.cases.len(), 12);
    for (name, case) in &golden.cases {
        let (model, heard) = trained(&golden, (name, case), &golden.optimizer);
        for (i, log) in heard.steps.iter().enumerate() {
            let (loss, norm) = (case.losses[i], case.grad_norms[i]);
            assert!(is_near(log.loss, loss, 1e-5), "{name}, step {i}: loss {} {loss}", log.loss);
            assert!(is_near(log.grad_norm, norm, 1e-4), "{name}, step {i}: norm {} {norm}", log.grad_norm);
        }
        compare(&format!("{name}: weights"), &sampled(&model, golden.every), &case.weights);
    }
}

#[test]
fn losses_and_metrics_equal_those_of_trl() {
    let golden = golden();
    let mut n_compared = 0;
    for (name, case) in golden.cases.iter().filter(|(_, case)| case.trl_losses.is_some()) {
        let (_, heard) = trained(&golden, (name, case), &golden.optimizer);
        for (log, theirs) in heard.steps.iter().zip(case.trl_losses.as_ref().unwrap()) {
            assert!(is_near(log.loss, *theirs, 2e-5), "{name}: {} {theirs}", log.loss);
        }
        for (metric, theirs) in &case.trl_metrics {
            let ours = heard.steps[0].metrics[metric];
            assert!(is_near(ours, *theirs, 1e-4), "{name}, {metric}: {ours} {theirs}");
        }
        n_compared += 1;
    }
    assert_eq!(n_compared, 6);
}

/// One step of plain descent reveals the gradients: with `beta1 = beta2 = 0`, a large `eps` makes AdamW linear in them.
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
    let before = sampled(&stored("tied"), golden.every);
    for (name, case) in &golden.cases {
        let (model, _) = trained(&golden, (name, case), &config);
        let mut gradients = sampled(&model, golden.every);
        for (tensor, numbers) in &mut gradients {
            numbers.iter_mut().zip(&before[tensor]).for_each(|(after, before)| *after = before - *after);
        }
        compare(&format!("{name}: gradients"), &gradients, &case.gradients);
    }
}

#[test]
fn sums_of_both_models_equal_those_of_transformers() {
    let golden = golden();
    let case = &golden.cases["sigmoid"];
    let (_, heard) = trained(&golden, ("sigmoid", case), &TrainConfig { steps: Some(1), ..golden.optimizer.clone() });
    for (i, row) in heard.reference.iter().enumerate() {
        for side in [0, 1] {
            let [sums, n_tokens] = &golden.reference[side];
            assert!(is_near(row.log_probs[side], sums[i], 1e-5), "{row:?}");
            assert_eq!(f64::from(row.n_tokens[side]), n_tokens[i]);
        }
    }
    let mean = |side: usize| golden.policy[side][0].iter().sum::<f64>() / golden.pairs.len() as f64;
    assert!(is_near(heard.steps[0].metrics["logps/chosen"], mean(0), 1e-5));
    assert!(is_near(heard.steps[0].metrics["logps/rejected"], mean(1), 1e-5));
}

#[test]
fn a_loss_can_be_asked_for_without_a_model() {
    let side = |log_prob, reference, n_tokens| Answer { log_prob, reference, n_tokens };
    let pair = AnswerPair { chosen: side(-10.0, -12.0, 5.0), rejected: side(-20.0, -19.0, 10.0) };
    let dpo = Preference::new(PreferenceLoss::Sigmoid, 0.1, None).unwrap();
    let loss = dpo.pair_loss(&pair);
    assert!((loss.value - 0.554_355_244_468_527_1).abs() < 1e-12);
    assert!((loss.by_chosen + 0.1 / (1.0 + 0.3f64.exp())).abs() < 1e-12);
}

/// Compares every tensor: 1e-4 of its largest number.
fn compare(what: &str, ours: &BTreeMap<String, Vec<f32>>, theirs: &BTreeMap<String, Vec<f32>>) {
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (tensor, theirs) in theirs {
        let largest = theirs.iter().fold(1e-6f32, |top, x| top.max(x.abs()));
        let gap = ours[tensor].iter().zip(theirs).fold(0f32, |top, (a, b)| top.max((a - b).abs())) / largest;
        assert_eq!(ours[tensor].len(), theirs.len(), "{what}: {tensor}");
        assert!(gap < 1e-4, "{what}: {tensor} is {gap} of its largest number apart");
    }
}

/// One in `every` numbers of each tensor.
fn sampled(model: &LocalModel, every: usize) -> BTreeMap<String, Vec<f32>> {
    let files = model.to_files().unwrap();
    let read = SafeTensors::deserialize(&files.0["model.safetensors"]).unwrap();
    let floats =
        |data: &[u8]| data.chunks_exact(4).step_by(every).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    read.iter().map(|(name, view)| (name.to_owned(), floats(view.data()))).collect()
}
