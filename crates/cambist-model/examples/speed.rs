//! How fast this room is, beside PyTorch and `transformers` (`speed.py` in this folder does the same work).
//!
//! Run each in turn, several times, on an otherwise idle machine; ratios count, single times do not:
//! ```text
//! cargo run --release -p cambist-model --example speed -- train    && python crates/cambist-model/examples/speed.py train
//! cargo run --release -p cambist-model --example speed -- tiny     && python crates/cambist-model/examples/speed.py tiny
//! cargo run --release -p cambist-model --example speed -- generate /tmp/m && python crates/cambist-model/examples/speed.py generate /tmp/m
//! ```
//! `train`: 8.8 million parameters, 16 rows of 256 tokens, all threads. `tiny`: 121 thousand parameters, 16 rows of 30
//! to 70 tokens of which a third counts, one thread. `generate`: 8.8 million parameters, prompts of 64 tokens, 64 new
//! ones, at batch 1 and 16.
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

use std::{
    error::Error,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use cambist_core::{chance::Chance, language::Language, prompt::Message};
use cambist_model::{
    EncodeError, GenerateRequest, LocalModel, ModelFiles, Objective, RowContent, Sampling, Sequence, Shape,
    TrainConfig, TrainRow, generate,
    objective::{Encoder, RowLoss, ScoredRow},
    train, train_tokenizer,
};

type Outcome = Result<(), Box<dyn Error>>;

/// Rows that are token numbers already: `first` tokens without and the rest with loss.
struct Tokens {
    vocabulary: usize,
    prompt_share: f64,
}

impl Objective for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn encode(&self, row: &RowContent, _encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError> {
        let RowContent::Text(text) = row else { return Err(EncodeError::EmptyMask("the bench makes texts")) };
        let mut chance = Chance::new(1, &[text]);
        let n_tokens = text.parse().unwrap_or(1);
        let tokens = (0..n_tokens).map(|_| chance.below(self.vocabulary) as u32).collect();
        let first = (n_tokens as f64 * self.prompt_share) as usize;
        let weights = (0..n_tokens).map(|i| f32::from(i >= first)).collect();
        Ok(vec![Sequence::new(tokens, weights, n_tokens)])
    }

    fn denominators(&self, sequences: &[Sequence]) -> Vec<f64> {
        vec![sequences.iter().map(|s| s.n_loss_tokens() as f64).sum()]
    }

    fn loss(&self, row: ScoredRow<'_>) -> RowLoss {
        let gradients = row.log_probs.iter().map(|log_probs| vec![-1.0; log_probs.len()]).collect();
        RowLoss::of_one_term(row.log_probs.iter().flatten().map(|x| -f64::from(*x)).sum(), gradients)
    }
}

fn main() -> Outcome {
    match std::env::args().nth(1).as_deref() {
        Some("train") => train_reference(),
        Some("tiny") => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
            Ok(pool.install(|| train_tiny().map_err(|error| error.to_string()))?)
        }
        Some("generate") => generate_reference(),
        _ => Err("give `train`, `tiny` or `generate`".into()),
    }
}

fn reference_shape() -> Shape {
    Shape {
        hidden_size: 256,
        n_layers: 6,
        n_heads: 8,
        n_kv_heads: 4,
        intermediate_size: 768,
        tie_embeddings: false,
        ..Shape::default()
    }
}

/// A model whose vocabulary has the given size, with a tokenizer for some of it.
fn model(shape: &Shape, vocabulary: usize) -> Result<LocalModel, Box<dyn Error>> {
    let mut chance = Chance::new(5, &["words"]);
    let mut word = || (0..2).filter_map(|_| char::from_u32(0x4e00 + chance.below(4000) as u32)).collect::<String>();
    let words: Vec<String> = (0..vocabulary).map(|_| word()).collect();
    let texts: Vec<String> = words.iter().map(|word| format!("{word} {word} {word}")).collect();
    Ok(LocalModel::new(shape, &train_tokenizer(&texts, vocabulary)?, 1)?)
}

fn train_reference() -> Outcome {
    let rows = vec!["257".to_owned(); 16];
    let mut model = model(&reference_shape(), 8000)?;
    let config = TrainConfig { steps: Some(9), lr: 3e-4, ..TrainConfig::default() };
    time_steps(&mut model, &rows, &config, 0.0)
}

fn train_tiny() -> Outcome {
    let rows: Vec<String> = (0..160).map(|i| (30 + i * 7 % 41).to_string()).collect();
    let mut model = model(&Shape::default(), 320)?;
    let config = TrainConfig { steps: Some(300), ..TrainConfig::default() };
    time_steps(&mut model, &rows, &config, 2.0 / 3.0)
}

fn time_steps(model: &mut LocalModel, rows: &[String], config: &TrainConfig, prompt_share: f64) -> Outcome {
    let objective = Tokens { vocabulary: model.tokenizer().vocab_size(), prompt_share };
    let english = Language::parse("en")?;
    let rows: Vec<_> = rows.iter().map(|n| TrainRow::text(n.clone(), english.clone(), n.clone())).collect();
    let (mut times, mut n_tokens, mut last) = (vec![], 0, Instant::now());
    let mut clock = |log: &cambist_model::StepLog| {
        if log.step > 0 {
            times.push(last.elapsed());
            n_tokens += log.n_tokens;
        }
        last = Instant::now();
        ControlFlow::Continue(())
    };
    let summary = train(model, (&rows, &objective), config, &mut clock)?;
    let per_step = n_tokens as f64 / times.len() as f64;
    let median = median(times);
    println!(
        "cambist: {} parameters, {:.2} ms a step (median), {:.0} tokens/s, last loss {:.3}, {:.0} MB at most",
        model.n_parameters(),
        median.as_secs_f64() * 1e3,
        per_step / median.as_secs_f64(),
        summary.last_loss,
        peak_megabytes(),
    );
    Ok(())
}

/// The largest memory of this process; 0 where the system does not say.
fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(0.0) / 1e3
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Writes the model to a folder for the peer when one is given as the second argument.
fn generate_reference() -> Outcome {
    let model = model(&reference_shape(), 8000)?;
    if let Some(folder) = std::env::args().nth(2) {
        let ModelFiles(files) = model.to_files()?;
        for (name, bytes) in files {
            std::fs::write(std::path::Path::new(&folder).join(name), bytes)?;
        }
    }
    let model = model.into_inference(None)?;
    for batch_size in [1, 16] {
        let request = |i: usize| GenerateRequest {
            messages: vec![Message::user(format!("{i:02}").repeat(30))],
            sampling_key: i.to_string(),
        };
        let requests: Vec<_> = (0..batch_size).map(request).collect();
        let mut best = f64::INFINITY;
        let mut n_out = 0;
        for _ in 0..3 {
            let start = Instant::now();
            n_out = 0;
            generate(
                &model,
                &requests,
                (&Sampling { max_new_tokens: 64, ..Sampling::default() }, batch_size),
                &mut |_, a| {
                    n_out += a.map_or(0, |answer| answer.tokens_out);
                    ControlFlow::Continue(())
                },
            )?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("cambist: batch {batch_size}, {n_out} tokens, {:.0} tokens/s (best of 3)", f64::from(n_out) / best);
    }
    Ok(())
}
