//! How fast pairs are learned from, beside TRL (`preference.py` in this folder does the same work).
//!
//! ```text
//! cargo run --release -p cambist-model --example preference -- /tmp/preference      # writes model and pairs, then trains
//! python crates/cambist-model/examples/preference.py /tmp/preference                # reads them, trains the same way
//! ```
//! 8.8 million parameters, 16 pairs a step, prompts of about 60 tokens, answers of 40 to 200, DPO with the likelihood of
//! the chosen answers; the reference model is asked before the first step, and timed apart. `large` behind the folder, in
//! both, makes that 100 million parameters, 4 pairs a step and 16 pairs in all. Run each in turn, several times, on an
//! otherwise idle machine: ratios count, single times do not.
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

use std::{
    error::Error,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use cambist_core::{chance::Chance, language::Language, prompt::Message};
use cambist_model::{
    ChosenNll, LocalModel, NllReduction, Observer, Preference, PreferenceLoss, ReferenceRow, Shape, StepLog,
    TrainConfig, TrainRow, Training, run, train_tokenizer,
};
use serde_json::json;

const VOCABULARY: usize = 8000;

/// How much work there is.
struct Size {
    hidden_size: usize,
    n_layers: usize,
    n_heads: usize,
    intermediate_size: usize,
    batch_size: usize,
    steps: usize,
}

const SMALL: Size =
    Size { hidden_size: 256, n_layers: 6, n_heads: 8, intermediate_size: 768, batch_size: 16, steps: 9 };
const LARGE: Size =
    Size { hidden_size: 768, n_layers: 13, n_heads: 12, intermediate_size: 2048, batch_size: 4, steps: 5 };

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("give a folder for the model and the pairs")?);
    let size = if std::env::args().nth(2).as_deref() == Some("large") { &LARGE } else { &SMALL };
    let words = words();
    let mut model = model(&words, size)?;
    let rows = rows(&words, size)?;
    write(&folder, (&model, &rows))?;
    let nll = Some(ChosenNll { weight: 0.2, reduction: NllReduction::Token });
    let objective = Preference::new(PreferenceLoss::Sigmoid, 0.1, nll)?;
    let config = TrainConfig {
        steps: Some(size.steps),
        batch_size: size.batch_size,
        lr: 3e-4,
        warmup_steps: Some(0),
        ..TrainConfig::default()
    };
    let mut clock = Clock { since: Instant::now(), reference_s: 0.0, steps: vec![] };
    run(&mut model, &Training::new(&rows, &objective), &config, &mut clock)?;
    clock.steps.remove(0);
    let seconds: f64 = clock.steps.iter().map(|(seconds, _)| seconds).sum();
    let n_tokens: usize = clock.steps.iter().map(|(_, n_tokens)| n_tokens).sum();
    let rate = n_tokens as f64 / seconds;
    println!(
        "cambist: {} parameters, {rate:.0} tokens/s in training, {:.2} s for the reference of {} pairs",
        model.n_parameters(),
        clock.reference_s,
        rows.len()
    );
    Ok(())
}

/// Words of two letters.
fn words() -> Vec<String> {
    let mut chance = Chance::new(5, &["words"]);
    let mut word = || (0..2).filter_map(|_| char::from_u32(0x4e00 + chance.below(4000) as u32)).collect::<String>();
    (0..VOCABULARY).map(|_| word()).collect()
}

fn model(words: &[String], size: &Size) -> Result<LocalModel, Box<dyn Error>> {
    let texts: Vec<String> = words.iter().map(|word| format!("{word} {word} {word}")).collect();
    let shape = Shape {
        hidden_size: size.hidden_size,
        n_layers: size.n_layers,
        n_heads: size.n_heads,
        n_kv_heads: 4,
        intermediate_size: size.intermediate_size,
        tie_embeddings: false,
        ..Shape::default()
    };
    Ok(LocalModel::new(&shape, &train_tokenizer(&texts, VOCABULARY)?, 1)?)
}

fn rows(words: &[String], size: &Size) -> Result<Vec<TrainRow>, Box<dyn Error>> {
    let chinese = Language::parse("zh")?;
    let text = |chance: &mut Chance, n: usize| {
        let drawn: Vec<&str> = (0..n).map(|_| words[chance.below(words.len())].as_str()).collect();
        drawn.join(" ")
    };
    let row = |i: usize| {
        let mut chance = Chance::new(7, &[&i.to_string()]);
        let prompt = vec![Message::user(text(&mut chance, 20))];
        let mut answer = || {
            let n = 12 + chance.below(48);
            text(&mut chance, n)
        };
        TrainRow::pair(i.to_string(), chinese.clone(), prompt, [answer(), answer()])
    };
    Ok((0..4 * size.batch_size).map(row).collect())
}

fn write(folder: &Path, (model, rows): (&LocalModel, &[TrainRow])) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    for (name, bytes) in model.to_files()?.0 {
        std::fs::write(folder.join(name), bytes)?;
    }
    let mut lines = String::new();
    for row in rows {
        let cambist_model::RowContent::Pair { prompt, chosen, rejected } = &row.content else { continue };
        let answer = |text: &String| json!([{"role": "assistant", "content": text}]);
        let line = json!({"prompt": prompt, "chosen": answer(chosen), "rejected": answer(rejected)});
        lines += &format!("{line}\n");
    }
    Ok(std::fs::write(folder.join("pairs.jsonl"), lines)?)
}

struct Clock {
    since: Instant,
    reference_s: f64,
    /// Seconds and tokens of each step.
    steps: Vec<(f64, usize)>,
}

impl Observer for Clock {
    fn step(&mut self, log: &StepLog) -> ControlFlow<()> {
        self.steps.push((self.since.elapsed().as_secs_f64(), log.n_tokens));
        self.since = Instant::now();
        ControlFlow::Continue(())
    }

    fn reference(&mut self, _rows: &[ReferenceRow], _done: (usize, usize)) -> ControlFlow<()> {
        self.reference_s += self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        ControlFlow::Continue(())
    }
}
