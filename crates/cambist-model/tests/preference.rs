//! Preference objectives in the trainer: what must hold whatever the numbers are.
#![cfg(test)]

use std::ops::ControlFlow;

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{
    ChosenNll, DroppedRow, HeldOutLog, IpoNormalization, LocalModel, NllReduction, Objective, Observer, Preference,
    PreferenceError, PreferenceLoss, ReferenceRow, ReferenceSource, Shape, StepLog, TrainConfig, TrainError, TrainRow,
    TrainSummary, Training, mean_loss, run, train_tokenizer,
};

const DIGITS: [&str; 10] = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"];
const RAKAMLAR: [&str; 10] = ["sıfır", "bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz"];

/// The digit's own name against the name of the next one in the other language, with more tokens.
fn rows() -> Vec<TrainRow> {
    let row = |language: &str, digit: usize, question: &str, answers: [String; 2]| {
        let prompt = vec![Message::user(format!("{question} {digit}"))];
        TrainRow::pair(format!("{language}-{digit}"), Language::parse(language).unwrap(), prompt, answers)
    };
    let wrong = |names: [&str; 10], digit: usize| format!("{} {}", names[(digit + 1) % 10], names[digit]);
    let de = (0..10).map(|d| row("de", d, "Schreibe die Ziffer", [DIGITS[d].into(), wrong(RAKAMLAR, d)]));
    let tr = (0..10).map(|d| row("tr", d, "Rakamı yazıyla yaz:", [RAKAMLAR[d].into(), wrong(DIGITS, d)]));
    de.chain(tr).collect()
}

fn model(seed: u64) -> LocalModel {
    let questions = ["Schreibe die Ziffer 1 2 3 4 5", "Rakamı yazıyla yaz: 6 7 8 9 0"];
    let texts: Vec<String> = questions.iter().chain(&DIGITS).chain(&RAKAMLAR).map(|text| (*text).to_owned()).collect();
    let shape = Shape { hidden_size: 32, n_heads: 4, n_kv_heads: 2, intermediate_size: 64, ..Shape::default() };
    LocalModel::new(&shape, &train_tokenizer(&texts, 300).unwrap(), seed).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig { steps: Some(30), batch_size: 6, lr: 3e-3, ..TrainConfig::default() }
}

const NLL: Option<ChosenNll> = Some(ChosenNll { weight: 1.0, reduction: NllReduction::Sequence });

fn sigmoid(nll: Option<ChosenNll>) -> Preference {
    Preference::new(PreferenceLoss::Sigmoid, 0.1, nll).unwrap()
}

/// Hears everything; stops after `until` steps, or after so many rows of the reference model.
#[derive(Default)]
struct Listener {
    until: Option<usize>,
    until_reference: Option<usize>,
    steps: Vec<StepLog>,
    measured: Vec<HeldOutLog>,
    dropped: Vec<DroppedRow>,
    reference: Vec<ReferenceRow>,
    state: Option<Vec<u8>>,
}

impl Observer for Listener {
    fn step(&mut self, log: &StepLog) -> ControlFlow<()> {
        self.steps.push(log.clone());
        if self.until == Some(log.step + 1) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn held_out(&mut self, log: &HeldOutLog) {
        self.measured.push(log.clone());
    }

    fn dropped(&mut self, rows: &[DroppedRow]) {
        self.dropped = rows.to_vec();
    }

    fn reference(&mut self, rows: &[ReferenceRow], _done: (usize, usize)) -> ControlFlow<()> {
        self.reference.extend_from_slice(rows);
        let stops = self.until_reference.is_some_and(|n| self.reference.len() >= n);
        if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn wants_state(&mut self, is_stopping: bool) -> bool {
        is_stopping
    }

    fn keep(&mut self, state: Vec<u8>) {
        self.state = Some(state);
    }
}

type Ran = (LocalModel, Listener, Result<TrainSummary, TrainError>);

fn ran(training: &Training<'_>, config: &TrainConfig, mut listener: Listener) -> Ran {
    let mut model = model(1);
    let summary = run(&mut model, training, config, &mut listener);
    (model, listener, summary)
}

fn trained(rows: &[TrainRow], objective: &dyn Objective, config: &TrainConfig) -> (LocalModel, Listener) {
    let (model, listener, summary) = ran(&Training::new(rows, objective), config, Listener::default());
    summary.unwrap();
    (model, listener)
}

#[test]
fn margins_rise_in_every_language_and_the_first_step_knows_nothing() {
    let (_, heard) = trained(&rows(), &sigmoid(NLL), &config());
    let (first, last) = (&heard.steps[0].metrics, &heard.steps[29].metrics);
    assert_eq!((first["rewards/accuracies"], first["rewards/accuracies_half"], first["rewards/ties"]), (0.0, 0.5, 1.0));
    assert!((first["loss/pref"] - 2f64.ln()).abs() < 1e-12, "{first:?}");
    assert!(last["rewards/margins"] > 0.1 && last["rewards/accuracies"] == 1.0, "{last:?}");
    for (language, means) in &heard.steps[29].per_language {
        assert!(means.metrics["rewards/margins"] > 0.1, "{language}: {means:?}");
    }
    assert!(last["loss/nll"] < first["loss/nll"] && last["logps/chosen"] > first["logps/chosen"]);
    let log = &heard.steps[29];
    assert!((log.loss - log.metrics["loss/pref"] - log.metrics["loss/nll"]).abs() < 1e-12);
}

#[test]
fn means_over_languages_make_up_the_whole() {
    let rows = rows();
    let held_out = &rows[14..];
    let objective = sigmoid(None);
    let training = Training { held_out, ..Training::new(&rows[..14], &objective) };
    let (_, heard, _) = ran(&training, &TrainConfig { eval_every: Some(10), ..config() }, Listener::default());
    assert_eq!(heard.measured.len(), 3);
    for log in &heard.measured {
        assert_eq!((log.all.n_rows, log.per_language.len()), (6, 1));
        for (name, value) in &log.all.metrics {
            assert!((log.per_language.values().next().unwrap().metrics[name] - value).abs() < 1e-12, "{name}");
        }
    }
    for log in &heard.steps {
        for (name, value) in &log.metrics {
            let sum: f64 = log.per_language.values().map(|means| means.n_rows as f64 * means.metrics[name]).sum();
            assert!((sum / 6.0 - value).abs() < 1e-9, "{name}: {log:?}");
        }
    }
}

#[test]
fn micro_batches_change_nothing_beyond_rounding() {
    let losses = [
        (PreferenceLoss::Sigmoid, NllReduction::Sequence),
        (PreferenceLoss::SigmoidNorm, NllReduction::Token),
        (PreferenceLoss::Orpo, NllReduction::Token),
    ];
    for (loss, reduction) in losses {
        let objective = Preference::new(loss, 0.5, Some(ChosenNll { weight: 0.7, reduction })).unwrap();
        let mut rows = rows();
        rows.iter_mut().enumerate().for_each(|(i, row)| row.weight = 0.5 + i as f64 / 7.0);
        let config = TrainConfig { steps: Some(3), batch_size: 16, max_grad_norm: None, ..config() };
        let log = |micro_batch_size| {
            let (_, heard) = trained(&rows, &objective, &TrainConfig { micro_batch_size, ..config.clone() });
            heard.steps.iter().map(|step| (step.loss, step.grad_norm)).collect::<Vec<_>>()
        };
        let whole = log(None);
        for micro_batch_size in [1, 4, 16] {
            for ((loss, norm), (whole_loss, whole_norm)) in log(Some(micro_batch_size)).iter().zip(&whole) {
                assert!((loss / whole_loss - 1.0).abs() < 1e-5, "{objective:?}: {loss} {whole_loss}");
                assert!((norm / whole_norm - 1.0).abs() < 1e-5, "{objective:?}: {norm} {whole_norm}");
            }
        }
    }
}

/// The gradient's norm and the loss of one step over all rows.
fn one_step(rows: &[TrainRow], objective: &dyn Objective) -> (f64, f64) {
    let config = TrainConfig { steps: Some(1), batch_size: rows.len(), ..config() };
    let (_, heard) = trained(rows, objective, &config);
    (heard.steps[0].loss, heard.steps[0].grad_norm)
}

#[test]
fn a_weight_of_two_is_a_row_that_stands_twice() {
    let objective = Preference::new(PreferenceLoss::Orpo, 0.3, NLL).unwrap();
    let (mut weighted, mut doubled) = (rows(), rows());
    weighted[3].weight = 2.0;
    doubled.push(TrainRow { id: "again".into(), ..doubled[3].clone() });
    let ((loss, norm), (other_loss, other_norm)) = (one_step(&weighted, &objective), one_step(&doubled, &objective));
    assert!((loss / other_loss - 1.0).abs() < 1e-6 && (norm / other_norm - 1.0).abs() < 1e-5);
    let twice: Vec<TrainRow> = rows().into_iter().chain(rows()).collect();
    let ((loss, norm), (other_loss, other_norm)) = (one_step(&rows(), &objective), one_step(&twice, &objective));
    assert!((loss / other_loss - 1.0).abs() < 1e-6 && (norm / other_norm - 1.0).abs() < 1e-5);
}

#[test]
fn likelihood_over_tokens_and_over_sequences_differ_where_lengths_do() {
    let nll = |reduction| sigmoid(Some(ChosenNll { weight: 1.0, reduction }));
    let both = |rows: &[TrainRow]| [NllReduction::Sequence, NllReduction::Token].map(|by| one_step(rows, &nll(by)).0);
    let [by_sequence, by_token] = both(&rows());
    assert!((by_sequence - by_token).abs() > 1e-4, "{by_sequence} {by_token}");
    let [by_sequence, by_token] = both(&rows()[..1]);
    assert!((by_sequence - by_token).abs() < 1e-12);
    let [without, with_nothing] = [None, Some(ChosenNll { weight: 0.0, reduction: NllReduction::Token })]
        .map(|nll| one_step(&rows(), &sigmoid(nll)));
    assert_eq!(without, with_nothing);
}

#[test]
fn a_run_cut_off_anywhere_ends_with_the_same_weights() {
    let (rows, objective) = (rows(), sigmoid(NLL));
    let config = TrainConfig { steps: Some(8), ..config() };
    let (whole, heard) = trained(&rows, &objective, &config);
    for until in [1, 3, 7] {
        let listener = Listener { until: Some(until), ..Listener::default() };
        let (_, before, stopped) = ran(&Training::new(&rows, &objective), &config, listener);
        assert!(stopped.unwrap().stopped);
        let reference = ReferenceSource { model: None, known: &before.reference };
        let training = Training { resume: before.state.as_deref(), reference, ..Training::new(&rows, &objective) };
        let (resumed, after, _) = ran(&training, &config, Listener::default());
        assert_eq!(resumed.to_files().unwrap(), whole.to_files().unwrap(), "after step {until}");
        assert_eq!([before.steps, after.steps].concat(), heard.steps);
        assert!(after.reference.is_empty(), "the reference model was asked again");
    }
}

#[test]
fn the_reference_is_asked_once_for_each_row_whatever_their_order() {
    let (mut rows, objective) = (rows(), sigmoid(None));
    rows.push(TrainRow { id: "again".into(), ..rows[0].clone() });
    let (first, heard) = trained(&rows, &objective, &config());
    assert_eq!(heard.reference.len(), 20, "rows that are equal share what the reference says");
    rows.reverse();
    let known = |known: &[ReferenceRow], rows: &[TrainRow]| {
        let reference = ReferenceSource { model: None, known };
        ran(&Training { reference, ..Training::new(rows, &objective) }, &config(), Listener::default())
    };
    assert!(known(&heard.reference, &rows).1.reference.is_empty());
    rows[0].content = TrainRow::pair("", rows[0].language.clone(), vec![], ["a".into(), "b".into()]).content;
    let (_, missed, summary) = known(&heard.reference, &rows);
    summary.unwrap();
    assert!(missed.reference.iter().any(|row| heard.reference.iter().all(|kept| kept.key != row.key)));
    drop(first);
}

#[test]
fn log_probs_of_another_reference_are_refused() {
    let (rows, objective) = (rows(), sigmoid(None));
    let (_, heard) = trained(&rows, &objective, &config());
    let mut known = heard.reference;
    known.iter_mut().for_each(|row| row.log_probs[1] -= 0.5);
    let training =
        Training { reference: ReferenceSource { model: None, known: &known }, ..Training::new(&rows, &objective) };
    let error = ran(&training, &config(), Listener::default()).2.unwrap_err().to_string();
    assert!(error.contains("the kept reference log-probabilities are ["), "{error}");
    let other = model(2);
    let fixed =
        Training { reference: ReferenceSource { model: Some(&other), known: &[] }, ..Training::new(&rows, &objective) };
    let (_, heard, summary) = ran(&fixed, &config(), Listener::default());
    summary.unwrap();
    assert!(heard.steps[0].metrics["rewards/ties"] < 1.0, "another reference is another start");
}

#[test]
fn rows_that_cannot_be_learned_from_are_left_out_and_counted() {
    let german = Language::parse("de").unwrap();
    let row = |id: &str, answers: [&str; 2]| {
        TrainRow::pair(id, german.clone(), vec![Message::user("Ziffer 1?")], answers.map(str::to_owned))
    };
    let long = "eins ".repeat(60);
    let mut rows = rows();
    rows.extend([
        row("empty", [" ", "zwei"]),
        row("same", ["eins", "eins"]),
        row("long", [&long, &format!("{long}!")]),
    ]);
    rows.push(row("cut", ["eins", &long]));
    let config = TrainConfig { max_length: Some(60), ..config() };
    let (_, heard, summary) = ran(&Training::new(&rows, &sigmoid(NLL)), &config, Listener::default());
    let reasons: Vec<(&str, &str)> = heard.dropped.iter().map(|row| (row.id.as_str(), row.reason)).collect();
    assert_eq!(reasons, [("empty", "empty"), ("same", "identical"), ("long", "too-long")]);
    assert_eq!(summary.unwrap().n_dropped, 3);
    let error = ran(&Training::new(&rows[20..23], &sigmoid(NLL)), &config, Listener::default()).2.unwrap_err();
    assert!(error.to_string().starts_with("all 3 rows were left out, `empty` first"), "{error}");
}

#[test]
fn rows_that_are_no_pairs_and_weights_that_are_none_are_refused() {
    let chat =
        [TrainRow::chat("chat", Language::parse("de").unwrap(), vec![Message::user("?"), Message::assistant("!")])];
    let error = ran(&Training::new(&chat, &sigmoid(None)), &config(), Listener::default()).2.unwrap_err();
    assert!(error.to_string().contains("the `dpo` objective needs a pair of answers, the row holds a conversation"));
    for weight in [0.0, -1.0, f64::NAN] {
        let mut rows = rows();
        rows[2].weight = weight;
        let error = ran(&Training::new(&rows, &sigmoid(None)), &config(), Listener::default()).2.unwrap_err();
        assert!(error.to_string().starts_with("row `de-2` has the weight"), "{error}");
    }
    assert!(mean_loss(&model(1), &rows(), &sigmoid(None)).unwrap_err().to_string().contains("`dpo`"));
    let simpo = Preference::new(PreferenceLoss::Simpo { gamma: 1.0 }, 2.0, None).unwrap();
    assert_eq!(mean_loss(&model(1), &rows(), &simpo).unwrap().len(), 2);
}

#[test]
fn numbers_outside_their_range_are_refused() {
    let cdpo = |label_smoothing| PreferenceLoss::Cdpo { label_smoothing };
    let nll = |weight| Some(ChosenNll { weight, reduction: NllReduction::Token });
    let found = [
        Preference::new(PreferenceLoss::Sigmoid, 0.0, None),
        Preference::new(cdpo(0.5), 0.1, None),
        Preference::new(PreferenceLoss::Simpo { gamma: -1.0 }, 2.0, None),
        Preference::new(PreferenceLoss::Hinge, 0.1, nll(-0.1)),
    ];
    let expected = [
        PreferenceError::Beta(0.0),
        PreferenceError::LabelSmoothing(0.5),
        PreferenceError::Gamma(-1.0),
        PreferenceError::NllWeight(-0.1),
    ];
    assert_eq!(found.map(Result::unwrap_err), expected);
    let ipo = Preference::new(PreferenceLoss::Ipo { normalize: IpoNormalization::Sum }, 0.1, NLL).unwrap();
    assert!(
        ipo.formula().starts_with("mean over pairs of (Δ - 1/(2 * 0.1))^2 + 1 * mean over pairs of -S_w/T_w; Δ = ")
    );
}
