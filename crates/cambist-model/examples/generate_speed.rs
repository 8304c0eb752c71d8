//! How fast models answer and score, beside `transformers` and lm-evaluation-harness (`generate_speed.py` in this folder
//! does the same work on the same files, `generate_speed_llama.py` generates with llama.cpp).
//!
//! Run each in turn, several times, on an otherwise idle machine; ratios count, single times do not:
//! ```text
//! cargo build --release --workspace --example generate_speed
//! target/release/examples/generate_speed make /tmp/m                 # a random Llama of 100 million parameters, f32
//! target/release/examples/generate_speed generate /tmp/m && python crates/cambist-model/examples/generate_speed.py generate /tmp/m
//! target/release/examples/generate_speed choices /tmp/m && python crates/cambist-model/examples/generate_speed.py choices /tmp/m
//! ```
//! A third argument (`f32`, `bf16` or `f16`) says in which numbers weights are kept in memory, here and there.
//!
//! `generate`: prompts of 64 tokens, 64 new ones, greedy, at batch 1 and 16, and how much of the memory's speed the
//! steps of batch 1 reach. `choices`: 40 questions of about 130 tokens with four answers of about 8.
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

use std::{
    collections::BTreeMap,
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use cambist_core::chance::Chance;
use cambist_model::{
    AnswerRequest, ChoiceQuestion, Dtype, Generation, LocalModel, ModelFiles, Sampling, Shape, choices, train_tokenizer,
};
use rayon::prelude::*;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const VOCABULARY: usize = 16_000;
const N_PROMPT: usize = 64;
const N_NEW: usize = 64;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", folder] => make(Path::new(folder)),
        ["generate", folder, ..] => time_generation(&read(Path::new(folder), dtype(&args)?)?, dtype(&args)?),
        ["choices", folder, ..] => time_choices(&read(Path::new(folder), dtype(&args)?)?, Path::new(folder)),
        _ => Err("give `make`, `generate` or `choices` and a folder".into()),
    }
}

fn dtype(args: &[String]) -> Outcome<Dtype> {
    match args.get(2).map(String::as_str) {
        None | Some("f32") => Ok(Dtype::F32),
        Some("bf16") => Ok(Dtype::Bf16),
        Some("f16") => Ok(Dtype::F16),
        Some(other) => Err(format!("`{other}` is no type of numbers; give f32, bf16 or f16").into()),
    }
}

fn word(chance: &mut Chance) -> String {
    (0..2).filter_map(|_| char::from_u32(0x4e00 + chance.below(4000) as u32)).collect()
}

/// Writes the model and the questions.
fn make(folder: &Path) -> Outcome {
    let mut chance = Chance::new(5, &["words"]);
    let words: Vec<String> = (0..VOCABULARY).map(|_| word(&mut chance)).collect();
    let texts: Vec<String> = words.iter().map(|word| format!("{word} {word} {word}")).collect();
    let shape = Shape {
        hidden_size: 768,
        n_layers: 12,
        n_heads: 12,
        n_kv_heads: 4,
        intermediate_size: 2048,
        max_positions: 1024,
        tie_embeddings: false,
        ..Shape::default()
    };
    let model = LocalModel::new(&shape, &train_tokenizer(&texts, VOCABULARY)?, 1)?;
    std::fs::create_dir_all(folder)?;
    let ModelFiles(files) = model.to_files()?;
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes)?;
    }
    let mut text = |n: usize| (0..n).map(|_| words[chance.below(words.len())].as_str()).collect::<Vec<_>>().join(" ");
    let questions: Vec<_> =
        (0..40).map(|_| (text(60), (0..4).map(|_| format!(" {}", text(4))).collect::<Vec<_>>())).collect();
    std::fs::write(folder.join("questions.json"), serde_json::to_vec(&questions)?)?;
    println!("{} parameters", model.n_parameters());
    Ok(())
}

fn read(folder: &Path, dtype: Dtype) -> Outcome<LocalModel> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name != "questions.json" {
            files.insert(name, std::fs::read(&path)?);
        }
    }
    Ok(LocalModel::for_inference(&ModelFiles(files), Some(dtype))?)
}

/// Bytes a second that all threads together read from memory.
fn memory_speed() -> f64 {
    let numbers: Vec<u64> = vec![1; 64 << 20];
    let time = |_| {
        let start = Instant::now();
        let sum: u64 = numbers.par_chunks(1 << 16).map(|chunk| chunk.iter().sum::<u64>()).sum();
        assert_eq!(sum, numbers.len() as u64);
        start.elapsed().as_secs_f64()
    };
    (numbers.len() * 8) as f64 / (0..3).map(time).fold(f64::INFINITY, f64::min)
}

fn time_generation(model: &LocalModel, dtype: Dtype) -> Outcome {
    let memory = memory_speed();
    let embeddings = VOCABULARY * 768;
    let width = if dtype == Dtype::F32 { 4 } else { 2 };
    for batch_size in [1, 16] {
        let (mut whole, mut steps) = (Duration::MAX, Duration::MAX);
        for _ in 0..3 {
            let (all, decode) = generation(model, batch_size)?;
            (whole, steps) = (whole.min(all), steps.min(decode));
        }
        let n_tokens = (batch_size * N_NEW) as f64;
        let read = ((model.n_parameters() - embeddings) * width * (N_NEW - 1)) as f64 / steps.as_secs_f64();
        println!(
            "cambist: batch {batch_size}, {:.1} tokens/s with the prompts, {:.1} without (best of 3); steps read {:.1} GB/s \
             of weights, {:.0} % of the {:.1} that memory gives",
            n_tokens / whole.as_secs_f64(),
            (batch_size * (N_NEW - 1)) as f64 / steps.as_secs_f64(),
            read / 1e9,
            100.0 * read / memory,
            memory / 1e9
        );
    }
    Ok(())
}

/// Times one batch: as a whole, and from the first tokens on.
fn generation(model: &LocalModel, batch_size: usize) -> Outcome<(Duration, Duration)> {
    let sampling = Arc::new(Sampling { max_new_tokens: N_NEW, ..Sampling::default() });
    let mut generation = Generation::new(model, batch_size);
    let start = Instant::now();
    for i in 0..batch_size {
        let mut chance = Chance::new(1, &["prompt", &i.to_string()]);
        let prompt = (0..N_PROMPT).map(|_| 300 + chance.below(VOCABULARY - 300) as u32).collect();
        generation.ask(AnswerRequest::new(i as u64, prompt, (Arc::clone(&sampling), String::new())))?;
    }
    let (mut first, mut n_drawn) = (None, 0);
    while !generation.is_idle() {
        n_drawn += generation.step()?.len();
        first.get_or_insert_with(Instant::now);
    }
    if n_drawn < batch_size * N_NEW {
        println!("an answer ended early: {n_drawn} tokens");
    }
    Ok((start.elapsed(), first.unwrap_or(start).elapsed()))
}

fn time_choices(model: &LocalModel, folder: &Path) -> Outcome {
    let questions: Vec<(String, Vec<String>)> = serde_json::from_slice(&std::fs::read(folder.join("questions.json"))?)?;
    let question = |(context, continuations)| ChoiceQuestion { context, continuations };
    let questions: Vec<ChoiceQuestion> = questions.into_iter().map(question).collect();
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        let scores = choices(model, &questions)?;
        best = best.min(start.elapsed().as_secs_f64());
        assert!(scores.iter().flatten().all(Result::is_ok));
    }
    println!("cambist: {:.1} questions/s (best of 3)", questions.len() as f64 / best);
    Ok(())
}
