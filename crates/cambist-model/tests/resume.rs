//! A run that is cut off goes on to the same weights; held-out rows decide which step is kept.
#![cfg(test)]

use std::ops::ControlFlow;

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{
    HeldOutLog, Keep, LocalModel, LoraConfig, Observer, Sft, Shape, StepLog, TrainConfig, TrainError, TrainRow,
    TrainSummary, Training, mean_loss, run, train_tokenizer,
};

/// Sums in three languages, each an own row.
fn rows(numbers: std::ops::Range<u32>) -> Vec<TrainRow> {
    let asked = [("de", "Was ist {a} plus {b}?"), ("hi", "{a} और {b} मिलकर?"), ("ja", "{a}足す{b}は?")];
    let row = |n: u32| {
        let (language, question) = asked[n as usize % 3];
        let (a, b) = (n % 7, n % 5);
        let question = question.replace("{a}", &a.to_string()).replace("{b}", &b.to_string());
        let messages = vec![Message::user(question), Message::assistant((a + b).to_string())];
        TrainRow::chat(format!("{language}-{n}"), Language::parse(language).unwrap(), messages)
    };
    numbers.map(row).collect()
}

fn model() -> LocalModel {
    let texts: Vec<String> = (0..10).map(|n| format!("Was ist {n} plus? और मिलकर 足すは")).collect();
    let shape = Shape { hidden_size: 32, n_heads: 2, n_kv_heads: 2, intermediate_size: 64, ..Shape::default() };
    LocalModel::new(&shape, &train_tokenizer(&texts, 320).unwrap(), 4).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig { steps: Some(12), batch_size: 5, lr: 1e-2, eval_every: Some(3), ..TrainConfig::default() }
}

/// Stops after `until` steps and keeps the state, and all that it hears.
#[derive(Default)]
struct Listener {
    until: Option<usize>,
    losses: Vec<f64>,
    measured: Vec<HeldOutLog>,
    state: Option<Vec<u8>>,
}

impl Observer for Listener {
    fn step(&mut self, log: &StepLog) -> ControlFlow<()> {
        self.losses.push(log.loss);
        if self.until == Some(log.step + 1) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn held_out(&mut self, log: &HeldOutLog) {
        self.measured.push(log.clone());
    }

    fn wants_state(&mut self, is_stopping: bool) -> bool {
        is_stopping
    }

    fn keep(&mut self, state: Vec<u8>) {
        self.state = Some(state);
    }
}

type Trained = (LocalModel, Listener, Result<TrainSummary, TrainError>);

fn trained(config: &TrainConfig, resume: Option<&[u8]>, until: Option<usize>) -> Trained {
    trained_from(model(), config, (resume, until))
}

fn trained_from(
    mut model: LocalModel,
    config: &TrainConfig,
    (resume, until): (Option<&[u8]>, Option<usize>),
) -> Trained {
    let (rows, held_out) = (rows(0..31), rows(31..40));
    let mut listener = Listener { until, ..Listener::default() };
    let training = Training { held_out: &held_out, resume, ..Training::new(&rows, &Sft) };
    let summary = run(&mut model, &training, config, &mut listener);
    (model, listener, summary)
}

#[test]
fn a_run_cut_off_after_any_step_ends_with_the_same_weights() {
    let config = TrainConfig { keep: Keep::Best, ..config() };
    let (whole, heard, summary) = trained(&config, None, None);
    for until in 1..12 {
        let (_, before, stopped) = trained(&config, None, Some(until));
        assert!(stopped.unwrap().stopped);
        let (resumed, after, resumed_summary) = trained(&config, before.state.as_deref(), None);
        assert_eq!(resumed.to_files().unwrap(), whole.to_files().unwrap(), "after step {until}");
        assert_eq!(resumed_summary.unwrap(), *summary.as_ref().unwrap());
        assert_eq!([before.losses, after.losses].concat(), heard.losses);
        assert_eq!([before.measured, after.measured].concat(), heard.measured);
    }
}

#[test]
fn a_cut_off_adapter_ends_with_the_same_numbers_and_its_state_holds_nothing_else() {
    let config = TrainConfig { keep: Keep::Best, ..config() };
    let adapted = || {
        let mut model = model();
        model.add_adapter(&LoraConfig { r: 4, ..LoraConfig::default() }, 5).unwrap();
        model
    };
    let (whole, _, _) = trained_from(adapted(), &config, (None, None));
    let (cut, before, _) = trained_from(adapted(), &config, (None, Some(5)));
    let state = before.state.unwrap();
    assert!(state.len() < 18 * cut.n_trained() + 20_000, "{} bytes for {} numbers", state.len(), cut.n_trained());
    let (resumed, _, _) = trained_from(adapted(), &config, (Some(&state), None));
    assert_eq!(resumed.adapter_files("base").unwrap(), whole.adapter_files("base").unwrap());
    assert_ne!(cut.adapter_files("base").unwrap(), whole.adapter_files("base").unwrap());
    assert!(matches!(trained_from(model(), &config, (Some(&state), None)).2, Err(TrainError::State(_))));
}

#[test]
fn the_best_step_on_held_out_rows_is_kept_and_a_rising_loss_ends_the_run() {
    // With so high a rate the rows are soon learned by heart, and the others suffer.
    let wild = TrainConfig { lr: 5e-2, steps: Some(60), keep: Keep::Best, patience: Some(2), ..config() };
    let (model, heard, summary) = trained(&wild, None, None);
    let summary = summary.unwrap();
    assert!(summary.ended_early && summary.n_steps < 60, "{summary:?}");
    let best = heard.measured.iter().min_by(|a, b| a.all.loss.total_cmp(&b.all.loss)).unwrap();
    assert_eq!(summary.kept_step, best.step);
    assert_eq!(heard.measured.iter().rev().take(2).filter(|log| log.is_best).count(), 0);
    let now = mean_loss(&model, &rows(31..40), &Sft).unwrap();
    for (language, measured) in &best.per_language {
        assert!((now[language].loss - measured.loss).abs() < 1e-6, "{language}");
    }
}

#[test]
fn a_state_of_another_run_or_a_broken_one_is_refused() {
    let (_, heard, _) = trained(&config(), None, Some(4));
    let state = heard.state.unwrap();
    let message = |config: &TrainConfig, state: &[u8]| trained(config, Some(state), None).2.unwrap_err().to_string();
    let other = TrainConfig { lr: 2e-2, ..config() };
    assert!(message(&other, &state).contains("is of another run"));
    for cut in [0, 7, 100, state.len() / 2, state.len() - 1] {
        assert!(message(&config(), &state[..cut]).contains("cannot be read"), "cut at {cut}");
    }
}

#[test]
fn what_needs_held_out_rows_says_so() {
    let message = |config: TrainConfig| trained(&config, None, None).2.unwrap_err().to_string();
    assert!(message(TrainConfig { keep: Keep::Best, eval_every: None, ..config() }).contains("`keep: best`"));
    assert!(message(TrainConfig { patience: Some(1), eval_every: None, ..config() }).contains("`patience`"));
    assert!(message(TrainConfig { eval_every: Some(0), ..config() }).contains("`eval_every` is 0"));
}

#[test]
fn a_diverging_run_names_the_step_and_its_rows() {
    let config = TrainConfig { lr: 1e30, max_grad_norm: None, ..config() };
    let message = trained(&config, None, None).2.unwrap_err().to_string();
    assert!(message.contains("at step ") && message.contains("`de-"), "{message}");
}
