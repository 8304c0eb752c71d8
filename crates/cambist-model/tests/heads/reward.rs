//! Training a reward head on pairs, against PyTorch and TRL: the numbers of `golden/reward.py`.

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::PathBuf};

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{
    BradleyTerry, DroppedRow, LocalModel, Observer, RewardModel, StepLog, TrainConfig, TrainError, TrainRow, Training,
    run,
};
use serde::Deserialize;

use super::{Tensors, files_of, rewards, tensors, with_head};

#[derive(Deserialize)]
struct Golden {
    score: Vec<f32>,
    margins: Vec<f64>,
    chosen: Vec<f64>,
    rejected: Vec<f64>,
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
    #[serde(default)]
    margin_scale: f64,
    center_rewards_coefficient: Option<f64>,
    #[serde(default)]
    weighted: bool,
}

/// What this golden shares with that of the preference objectives.
#[derive(Deserialize)]
struct Shared {
    pairs: Vec<[String; 4]>,
    weights: Vec<f64>,
    optimizer: TrainConfig,
    every: usize,
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn start(golden: &Golden) -> LocalModel {
    let files = files_of("tied");
    let config: serde_json::Value = serde_json::from_slice(&files.0["config.json"]).unwrap();
    let pad = config["pad_token_id"].as_u64().unwrap() as u32;
    LocalModel::from_files(&with_head(files, ("LlamaForSequenceClassification", &golden.score), pad)).unwrap()
}

fn rows(golden: &Golden, shared: &Shared, is_weighted: bool) -> Vec<TrainRow> {
    let row = |(i, [language, prompt, chosen, rejected]): (usize, &[String; 4])| TrainRow {
        weight: if is_weighted { shared.weights[i] } else { 1.0 },
        margin: Some(golden.margins[i]),
        ..TrainRow::pair(
            prompt.as_str(),
            Language::parse(language).unwrap(),
            vec![Message::user(prompt)],
            [chosen.clone(), rejected.clone()],
        )
    };
    shared.pairs.iter().enumerate().map(row).collect()
}

#[derive(Default)]
struct Heard {
    steps: Vec<StepLog>,
    dropped: Vec<DroppedRow>,
}

impl Observer for Heard {
    fn step(&mut self, log: &StepLog) -> ControlFlow<()> {
        self.steps.push(log.clone());
        ControlFlow::Continue(())
    }

    fn dropped(&mut self, rows: &[DroppedRow]) {
        self.dropped = rows.to_vec();
    }
}

fn trained(
    golden: &Golden,
    (rows, objective): (&[TrainRow], &BradleyTerry),
    config: &TrainConfig,
) -> Result<(LocalModel, Heard), TrainError> {
    let (mut model, mut heard) = (start(golden), Heard::default());
    run(&mut model, &Training::new(rows, objective), config, &mut heard)?;
    Ok((model, heard))
}

fn objective(loss: &Loss) -> BradleyTerry {
    BradleyTerry::new(loss.margin_scale, loss.center_rewards_coefficient).unwrap()
}

fn is_near(ours: f64, theirs: f64, relative: f64) -> bool {
    (ours - theirs).abs() <= relative * theirs.abs().max(0.1)
}

#[test]
fn rewards_before_training_are_those_of_transformers() {
    let (golden, shared): (Golden, Shared) = (read("reward.json"), read("objectives.json"));
    let model = RewardModel::new(start(&golden), None).unwrap();
    for (side, theirs) in [(2, &golden.chosen), (3, &golden.rejected)] {
        let conversation = |pair: &[String; 4]| vec![Message::user(&pair[1]), Message::assistant(&pair[side])];
        let ours = rewards(&model, &shared.pairs.iter().map(conversation).collect::<Vec<_>>());
        assert!(ours.iter().zip(theirs).all(|(a, b)| is_near(*a, *b, 1e-5)), "{ours:?} {theirs:?}");
    }
}

#[test]
fn three_steps_of_every_loss_equal_a_pytorch_program() {
    let (golden, shared): (Golden, Shared) = (read("reward.json"), read("objectives.json"));
    assert_eq!(golden.cases.len(), 5);
    for (name, case) in &golden.cases {
        let rows = rows(&golden, &shared, case.loss.weighted);
        let (model, heard) = trained(&golden, (&rows, &objective(&case.loss)), &shared.optimizer).unwrap();
        for (i, log) in heard.steps.iter().enumerate() {
            let (loss, norm) = (case.losses[i], case.grad_norms[i]);
            assert!(is_near(log.loss, loss, 1e-5), "{name}, step {i}: loss {} {loss}", log.loss);
            assert!(is_near(log.grad_norm, norm, 1e-4), "{name}, step {i}: norm {} {norm}", log.grad_norm);
        }
        compare(name, &sampled(&model, shared.every), &case.weights);
    }
}

#[test]
fn losses_and_metrics_equal_those_of_trl() {
    let (golden, shared): (Golden, Shared) = (read("reward.json"), read("objectives.json"));
    let in_trl: Vec<(&String, &Case)> = golden.cases.iter().filter(|(_, case)| case.trl_losses.is_some()).collect();
    assert_eq!(in_trl.len(), 3);
    for (name, case) in in_trl {
        let rows = rows(&golden, &shared, false);
        let (_, heard) = trained(&golden, (&rows, &objective(&case.loss)), &shared.optimizer).unwrap();
        for (log, theirs) in heard.steps.iter().zip(case.trl_losses.as_ref().unwrap()) {
            assert!(is_near(log.loss, *theirs, 2e-5), "{name}: {} {theirs}", log.loss);
        }
        let (first, theirs) = (&heard.steps[0].metrics, &case.trl_metrics);
        let mean = (first["rewards/chosen"] + first["rewards/rejected"]) / 2.0;
        let pairs =
            [("accuracy", first["rewards/accuracies"]), ("margin", first["rewards/margins"]), ("mean_reward", mean)];
        for (metric, ours) in pairs {
            assert!(is_near(ours, theirs[metric], 1e-4), "{name}, {metric}: {ours} {}", theirs[metric]);
        }
        let russian = &heard.steps[0].per_language[&Language::parse("ru").unwrap()];
        assert_eq!(russian.n_rows, 2);
        assert!(russian.metrics.contains_key("rewards/accuracies") && russian.loss.is_finite());
    }
}

/// One step of plain descent reveals the gradients: with `beta1 = beta2 = 0`, a large `eps` makes AdamW linear in them.
#[test]
fn gradients_of_every_tensor_equal_those_of_pytorch() {
    const EPS: f64 = 1e6;
    let (golden, shared): (Golden, Shared) = (read("reward.json"), read("objectives.json"));
    let config = TrainConfig {
        steps: Some(1),
        lr: EPS,
        eps: EPS,
        betas: (0.0, 0.0),
        max_grad_norm: None,
        ..shared.optimizer.clone()
    };
    let before = sampled(&start(&golden), shared.every);
    for (name, case) in &golden.cases {
        let rows = rows(&golden, &shared, case.loss.weighted);
        let (model, _) = trained(&golden, (&rows, &objective(&case.loss)), &config).unwrap();
        let mut gradients = sampled(&model, shared.every);
        for (tensor, numbers) in &mut gradients {
            numbers.iter_mut().zip(&before[tensor]).for_each(|(after, before)| *after = before - *after);
        }
        compare(name, &gradients, &case.gradients);
    }
}

#[test]
fn pairs_that_say_nothing_or_would_be_cut_are_left_out_and_margins_must_be_there() {
    let (golden, shared): (Golden, Shared) = (read("reward.json"), read("objectives.json"));
    let german = Language::parse("de").unwrap();
    let row = |id: &str, answers: [&str; 2]| {
        TrainRow::pair(id, german.clone(), vec![Message::user("Ziffer 1?")], answers.map(str::to_owned))
    };
    let mut all = rows(&golden, &shared, false);
    all.extend([
        row("empty", ["eins", " "]),
        row("same", ["eins", "eins"]),
        row("long", ["eins", &"eins ".repeat(80)]),
    ]);
    let config = TrainConfig { steps: Some(1), ..shared.optimizer.clone() };
    let (_, heard) = trained(&golden, (&all, &BradleyTerry::default()), &config).unwrap();
    let reasons: Vec<(&str, &str)> = heard.dropped.iter().map(|row| (row.id.as_str(), row.reason)).collect();
    assert_eq!(reasons, [("empty", "empty"), ("same", "identical"), ("long", "too-long")]);
    assert!(heard.dropped[2].detail.contains("more than the 128 of `max_length`"), "{}", heard.dropped[2].detail);
    let with_margins = BradleyTerry::new(1.0, None).unwrap();
    let error = trained(&golden, (&all, &with_margins), &config).err().unwrap().to_string();
    assert!(error.starts_with("row `empty` has no margin, and the loss looks at margins"), "{error}");
    all[2].margin = Some(f64::NAN);
    let error = trained(&golden, (&all, &with_margins), &config).err().unwrap().to_string();
    assert!(error.contains("has the margin NaN"), "{error}");
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
    let all: Tensors = tensors(&model.to_files().unwrap().0["model.safetensors"]);
    all.into_iter().map(|(name, (_, numbers))| (name, numbers.into_iter().step_by(every).collect())).collect()
}
