//! The whole room at once: a tokenizer, a model, training, answers.
#![cfg(test)]

use std::ops::ControlFlow;

use cambist_core::{completion::FinishReason, language::Language, prompt::Message};
use cambist_model::{
    EncodeError, GenerateRequest, Generated, LocalModel, ModelFiles, Objective, OnEmptyMask, RowContent, Sampling,
    Sequence, Sft, Shape, TrainConfig, TrainRow, generate, mean_loss,
    objective::{Encoder, RowLoss, ScoredRow},
    train, train_tokenizer,
};

/// Instructions that a tiny model learns in seconds: name the digit in German or Turkish.
fn rows() -> Vec<TrainRow> {
    let german = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"];
    let turkish = ["sıfır", "bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz"];
    let row = |language: &str, digit: usize, question: &str, answer: &str| {
        let messages = vec![Message::user(format!("{question} {digit}")), Message::assistant(answer)];
        TrainRow::chat(format!("{language}-{digit}"), Language::parse(language).unwrap(), messages)
    };
    let de = (0..10).map(|digit| row("de", digit, "Schreibe die Ziffer", german[digit]));
    let tr = (0..10).map(|digit| row("tr", digit, "Rakamı yazıyla yaz:", turkish[digit]));
    de.chain(tr).collect()
}

fn conversation(row: &TrainRow) -> &[Message] {
    match &row.content {
        RowContent::Chat(messages) => messages,
        _ => &[],
    }
}

fn model(seed: u64) -> LocalModel {
    let texts: Vec<String> = rows().iter().flat_map(|r| conversation(r).iter().map(|m| m.content.clone())).collect();
    let shape = Shape { hidden_size: 32, n_heads: 4, n_kv_heads: 2, intermediate_size: 64, ..Shape::default() };
    LocalModel::new(&shape, &train_tokenizer(&texts, 330).unwrap(), seed).unwrap()
}

fn trained(config: &TrainConfig) -> LocalModel {
    let mut model = model(1);
    train(&mut model, (&rows(), &Sft), config, &mut |_| ControlFlow::Continue(())).unwrap();
    model
}

fn config() -> TrainConfig {
    TrainConfig { steps: Some(150), batch_size: 10, lr: 1e-2, ..TrainConfig::default() }
}

fn answers(model: &LocalModel, sampling: &Sampling, batch_size: usize) -> Vec<Generated> {
    let request =
        |row: &TrainRow| GenerateRequest { messages: conversation(row)[..1].to_vec(), sampling_key: row.id.clone() };
    let requests: Vec<_> = rows().iter().map(request).collect();
    let mut answers = vec![None; requests.len()];
    let mut keep = |i: usize, answer: Result<Generated, _>| {
        assert!(answers[i].replace(answer.unwrap()).is_none(), "answer {i} came twice");
        ControlFlow::Continue(())
    };
    generate(model, &requests, (sampling, batch_size), &mut keep).unwrap();
    answers.into_iter().map(Option::unwrap).collect()
}

#[test]
fn a_tiny_model_learns_to_answer_and_survives_its_folder() {
    let model = trained(&config());
    let copy = LocalModel::from_files(&model.to_files().unwrap()).unwrap();
    assert_eq!(copy.to_files().unwrap(), model.to_files().unwrap());
    let answers = answers(&copy, &Sampling::default(), 7);
    for (row, answer) in rows().iter().zip(&answers) {
        assert_eq!(answer.text, conversation(row)[1].content, "{}", row.id);
        assert_eq!(answer.finish_reason, FinishReason::Stop);
    }
    let losses = mean_loss(&copy, &rows(), &Sft).unwrap();
    assert_eq!(losses.len(), 2);
    assert!(losses.values().all(|l| l.loss < 0.05 && l.n_rows == 10), "{losses:?}");
}

#[test]
fn answers_do_not_depend_on_the_batch() {
    let model = trained(&TrainConfig { steps: Some(20), ..config() });
    for temperature in [0.0, 1.0] {
        let sampling = Sampling { temperature, max_new_tokens: 24, seed: 3, ..Sampling::default() };
        let alone = answers(&model, &sampling, 1);
        for batch_size in [2, 3, 20] {
            assert_eq!(answers(&model, &sampling, batch_size), alone, "batch size {batch_size}");
        }
    }
}

fn weights(config: &TrainConfig, n_threads: usize) -> ModelFiles {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
    pool.install(|| trained(config).to_files().unwrap())
}

#[test]
fn training_gives_the_same_bytes_under_any_number_of_threads() {
    let config = TrainConfig { steps: Some(8), ..config() };
    let one = weights(&config, 1);
    assert_eq!(weights(&config, 1), one);
    assert_eq!(weights(&config, 2), one);
    assert_eq!(weights(&config, 5), one);
    assert_ne!(weights(&TrainConfig { seed: 9, ..config }, 1), one);
}

#[test]
fn micro_batches_do_not_change_the_result_beyond_rounding() {
    let log = |micro_batch_size| {
        let config = TrainConfig { steps: Some(3), micro_batch_size, ..config() };
        let mut logs = vec![];
        let mut keep = |log: &cambist_model::StepLog| {
            logs.push((log.loss, log.grad_norm));
            ControlFlow::Continue(())
        };
        train(&mut model(1), (&rows(), &Sft), &config, &mut keep).unwrap();
        logs
    };
    for ((loss, norm), (whole_loss, whole_norm)) in log(Some(3)).into_iter().zip(log(None)) {
        assert!((loss - whole_loss).abs() < 1e-5 * whole_loss, "{loss} {whole_loss}");
        assert!((norm - whole_norm).abs() < 1e-4 * whole_norm, "{norm} {whole_norm}");
    }
}

#[test]
fn the_observer_stops_the_run_after_a_whole_step() {
    let mut n_seen = 0;
    let mut stop = |log: &cambist_model::StepLog| {
        n_seen += 1;
        if log.step == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let summary = train(&mut model(1), (&rows(), &Sft), &config(), &mut stop).unwrap();
    assert_eq!((summary.n_steps, summary.stopped, n_seen), (3, true, 3));
}

/// An objective made of what is public: answers become as unlikely as chance would have them.
struct Forget;

impl Objective for Forget {
    fn name(&self) -> &'static str {
        "forget"
    }

    fn encode(&self, row: &RowContent, encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError> {
        Sft.encode(row, encoder)
    }

    fn denominators(&self, _sequences: &[Sequence]) -> Vec<f64> {
        vec![1.0]
    }

    fn loss(&self, row: ScoredRow<'_>) -> RowLoss {
        let log_probs = &row.log_probs[0];
        RowLoss::of_one_term(log_probs.iter().map(|x| f64::from(*x)).sum(), vec![vec![1.0; log_probs.len()]])
    }
}

#[test]
fn an_objective_needs_nothing_but_its_own_file() {
    let mut model = model(1);
    let before = mean_loss(&model, &rows(), &Forget).unwrap();
    let config = TrainConfig { steps: Some(5), ..config() };
    train(&mut model, (&rows(), &Forget), &config, &mut |_| ControlFlow::Continue(())).unwrap();
    let after = mean_loss(&model, &rows(), &Forget).unwrap();
    assert!(after.iter().all(|(language, loss)| loss.loss < before[language].loss - 1.0), "{before:?} {after:?}");
}

#[test]
fn a_row_without_an_answer_stops_the_run_before_it_begins() {
    let mut rows = rows();
    rows[4].content = RowContent::Chat(vec![Message::user("?")]);
    let error = train(&mut model(1), (&rows, &Sft), &config(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.to_string().split(':').next(), Some("row `de-4`"), "{error}");
    assert!(error.to_string().ends_with("leave such rows out, counted, with `on_empty_mask: drop`"), "{error}");
    let config = TrainConfig { steps: Some(1), on_empty_mask: OnEmptyMask::Drop, ..config() };
    let summary = train(&mut model(1), (&rows, &Sft), &config, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(summary.n_dropped, 1);
    let empty = [rows[4].clone()];
    let error = train(&mut model(1), (&empty, &Sft), &config, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().starts_with("all 1 rows were left out, `de-4` first: no token of the row"), "{error}");
    assert_eq!(Sft.name(), "sft");
}
