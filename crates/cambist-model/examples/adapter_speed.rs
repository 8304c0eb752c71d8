//! What SFT of a 100-million-parameter model takes, whole or as an adapter, beside PEFT and TRL (`adapter_speed.py`).
//!
//! The model, the rows and the settings are the same files for both; run each in turn on an otherwise idle machine:
//! ```text
//! python crates/cambist-model/examples/adapter_speed.py make /tmp/m
//! cargo run --release -p cambist-model --example adapter_speed -- /tmp/m lora 6
//! python crates/cambist-model/examples/adapter_speed.py lora /tmp/m 6
//! ```
//! The second word is `lora` or `full`; `checkpointing` at the end keeps only what goes into each layer. Told are the
//! median of all steps but the first, tokens a second, processor time a step, the largest memory, what was estimated of
//! it before, and the losses.
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

use std::{collections::BTreeMap, error::Error, fs, ops::ControlFlow, path::Path, time::Instant};

use cambist_core::language::Language;
use cambist_model::{
    EncodeError, LocalModel, LoraConfig, MemoryNeed, ModelFiles, Objective, Observer, RowContent, Schedule, Sequence,
    StepLog, TrainConfig, TrainRow, Training,
    objective::{Encoder, RowLoss, ScoredRow},
    run,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A row's text is how many tokens do not count, and then its tokens.
struct Tokens;

impl Objective for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn encode(&self, row: &RowContent, _encoder: Encoder<'_>) -> Result<Vec<Sequence>, EncodeError> {
        let RowContent::Text(text) = row else { return Err(EncodeError::EmptyMask("rows are texts here")) };
        let mut numbers = text.split(' ').filter_map(|number| number.parse::<u32>().ok());
        let first = numbers.next().unwrap_or(0) as usize;
        let tokens: Vec<u32> = numbers.collect();
        let weights = (0..tokens.len()).map(|i| f32::from(i >= first)).collect();
        let n_tokens = tokens.len();
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

/// Looks at the clock after each step.
struct Clock {
    need: MemoryNeed,
    at: Instant,
    seconds: Vec<f64>,
    losses: Vec<f64>,
    n_tokens: usize,
}

impl Observer for Clock {
    fn begin(&mut self, need: &MemoryNeed) -> ControlFlow<()> {
        self.need = *need;
        self.at = Instant::now();
        ControlFlow::Continue(())
    }

    fn step(&mut self, log: &StepLog) -> ControlFlow<()> {
        self.seconds.push(self.at.elapsed().as_secs_f64());
        self.losses.push(log.loss);
        self.n_tokens = log.n_tokens;
        self.at = Instant::now();
        ControlFlow::Continue(())
    }
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, mode, steps, rest @ ..] = args.as_slice() else {
        return Err("give a folder, `lora` or `full`, a number of steps, and `checkpointing` if wanted".into());
    };
    let folder = Path::new(folder);
    let mut model = LocalModel::from_files(&model_files(folder)?)?;
    if mode == "lora" {
        model.add_adapter(&LoraConfig::default(), 1)?;
    }
    let rows = rows(&fs::read_to_string(folder.join("rows.txt"))?)?;
    let config = TrainConfig {
        steps: Some(steps.parse()?),
        batch_size: rows.len(),
        lr: 2e-4,
        schedule: Schedule::Constant,
        warmup_steps: Some(0),
        weight_decay: 0.0,
        gradient_checkpointing: rest.iter().any(|word| word == "checkpointing"),
        ..TrainConfig::default()
    };
    let training = Training::new(&rows, &Tokens);
    let mut clock =
        Clock { need: MemoryNeed::default(), at: Instant::now(), seconds: vec![], losses: vec![], n_tokens: 0 };
    let before = processor_seconds();
    run(&mut model, &training, &config, &mut clock)?;
    let processor = (processor_seconds() - before) / clock.seconds.len() as f64;
    let mut steady = clock.seconds.split_off(usize::from(clock.seconds.len() > 1));
    steady.sort_by(f64::total_cmp);
    let median = steady[steady.len() / 2];
    let (beyond, weights) = (clock.need.beyond_weights() as f64 / 1e6, clock.need.weights as f64 / 1e6);
    println!(
        "{mode}: {:.0} ms a step, {:.0} tokens/s, {:.2} s of processor time a step; memory {:.0} MB at most, \
         estimated {beyond:.0} MB beyond {weights:.0} MB of weights; losses {:?}",
        median * 1e3,
        clock.n_tokens as f64 / median,
        processor,
        peak_megabytes(),
        clock.losses.iter().map(|loss| format!("{loss:.4}")).collect::<Vec<_>>(),
    );
    Ok(())
}

fn model_files(folder: &Path) -> Outcome<ModelFiles> {
    let names =
        ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let read = names.map(|name| Ok((name.to_owned(), fs::read(folder.join(name))?)));
    Ok(ModelFiles(read.into_iter().collect::<Outcome<BTreeMap<_, _>>>()?))
}

fn rows(text: &str) -> Outcome<Vec<TrainRow>> {
    let english = Language::parse("en")?;
    Ok(text.lines().enumerate().map(|(i, line)| TrainRow::text(i.to_string(), english.clone(), line)).collect())
}

/// User and system time of this process; 0 where the system does not say.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The largest memory of this process; 0 where the system does not say.
fn peak_megabytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(0.0) / 1e3
}
