//! How long a router takes to learn and to route, and Shapley values to be worked out, on made-up prompts of ten languages
//! and nine teachers.
//!
//! `cargo run --release --workspace --example routing_speed -- N_FIT N_ROUTE [FILE]`, `routing_speed.py` beside it reads
//! FILE, the prompts and rewards as JSON lines, and does the same with scikit-learn.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::{error::Error, fs::File, io::Write, time::Instant};

use cambist_core::{
    chance::Chance,
    features::{FeatureSource, Hashed},
    head::{Lesson, Lessons, TuneOptions, tune},
    language::Language,
    metrics::shapley,
    polyglot::{self, PolyglotSpec},
    prompt::{Message, Prompt},
    router::{FittedRouter, Learned},
};
use rayon::{ThreadPoolBuilder, prelude::*};
use serde_json::json;

const N_TEACHERS: usize = 9;
/// Prompts of the built-in task that make one long prompt.
const JOINED: usize = 3;
/// The pool whose Shapley values are worked out, and the prompts that they are worked out on.
const SHAPLEY: (usize, usize) = (20, 100_000);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let n_fit = arguments.first().map_or(Ok(10_000), |n| n.parse())?;
    let n_route: usize = arguments.get(1).map_or(Ok(100_000), |n| n.parse())?;
    let prompts = made(n_fit)?;
    let n_letters: usize = prompts.iter().map(|(prompt, _)| prompt.instruction().chars().count()).sum();
    println!("{} prompts of {} characters in the mean", prompts.len(), n_letters / prompts.len().max(1));
    if let Some(path) = arguments.get(2) {
        write(path, &prompts)?;
    }
    let begun = Instant::now();
    let source = Hashed::default();
    let lessons = lessons_of(&prompts, &source);
    println!("features: {:.2} s", begun.elapsed().as_secs_f64());
    let tuned = tune(&lessons, &TuneOptions::default());
    println!("fitted in {:.2} s: {:?}, {:?}", begun.elapsed().as_secs_f64(), tuned.chosen, tuned.overall);
    let fitted = FittedRouter::new(tuned, (lessons.teachers, source.name()), prompts.len());
    let router = Learned::new(fitted)?;
    let prompts: Vec<Prompt> = prompts.into_iter().map(|(prompt, _)| prompt).collect();
    for n_threads in [1, 2, 1, 2] {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build()?;
        let begun = Instant::now();
        let n_read = pool.install(|| read(&source, &prompts, n_route));
        let read = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let n_done = pool.install(|| route(&router, &prompts, n_route));
        let seconds = begun.elapsed().as_secs_f64();
        println!("{n_done} prompts routed in {seconds:.2} s by {n_threads} threads; {n_read} read in {read:.2} s");
    }
    value_pool(SHAPLEY);
    Ok(())
}

/// A prompt with the reward of each teacher.
type Rewarded = (Prompt, Vec<f64>);

/// Prompts with the rewards of each teacher: who is good depends on the task, on the language and on luck.
fn made(n: usize) -> Result<Vec<Rewarded>, Box<dyn Error>> {
    let spec = PolyglotSpec {
        languages: polyglot::languages(),
        tasks: Vec::new(),
        n_sources: n * JOINED / polyglot::languages().len() + JOINED,
        seed: 1,
    };
    let mut pieces = polyglot::generate(&spec)?;
    pieces.sort_by(|a, b| a.language.cmp(&b.language));
    let whole = pieces.chunks(JOINED).take(n).enumerate().map(|(at, pieces)| {
        let text = pieces.iter().map(|piece| piece.instruction()).collect::<Vec<_>>().join("\n");
        let prompt = Prompt { id: format!("p{at}"), messages: vec![Message::user(text)], ..pieces[0].clone() };
        let task = pieces[0].task.clone().unwrap_or_default();
        let skill = |teacher: usize, of: &str| Chance::new(teacher as u64, &["skill", of]).normal();
        let mut luck = Chance::new(2, &["luck", &prompt.id]);
        let rewards = (0..N_TEACHERS)
            .map(|teacher| skill(teacher, &task) + skill(teacher, prompt.language.as_str()) / 2.0 + luck.normal());
        let rewards: Vec<f64> = rewards.collect();
        (Prompt { task: None, ..prompt }, rewards)
    });
    Ok(whole.collect())
}

fn lessons_of(prompts: &[(Prompt, Vec<f64>)], source: &Hashed) -> Lessons {
    let languages: Vec<Language> = polyglot::languages();
    let mut sorted = languages.clone();
    sorted.sort();
    let lesson = |(at, (prompt, rewards)): (usize, &(Prompt, Vec<f64>))| Lesson {
        features: source.features(prompt),
        language: sorted.binary_search(&prompt.language).unwrap_or(0),
        source: at,
        rewards: rewards.iter().copied().map(Some).collect(),
    };
    Lessons {
        teachers: (0..N_TEACHERS).map(|teacher| format!("t{teacher}")).collect(),
        width: source.width(),
        sources: prompts.iter().map(|(prompt, _)| prompt.id.clone()).collect(),
        lessons: prompts.iter().enumerate().map(lesson).collect(),
        languages: sorted,
    }
}

/// Parts of `n` prompts, the made ones again and again.
fn again(prompts: &[Prompt], n: usize) -> impl Iterator<Item = &[Prompt]> {
    (0..n).step_by(prompts.len().max(1)).map(move |from| &prompts[..prompts.len().min(n - from)])
}

/// Reads features alone.
fn read(source: &Hashed, prompts: &[Prompt], n: usize) -> usize {
    let read = |part: &[Prompt]| {
        let read = part
            .par_iter()
            .with_min_len(256)
            .map_init(|| source.reader(), |reader, prompt| usize::from(!reader.read(prompt).is_empty()));
        read.sum::<usize>()
    };
    again(prompts, n).map(read).sum()
}

/// Routes all prompts.
fn route(router: &Learned, prompts: &[Prompt], n: usize) -> usize {
    again(prompts, n).map(|part| router.rankings(part).iter().filter(|ranking| !ranking.is_empty()).count()).sum()
}

/// Works out the Shapley value of each teacher of a made-up pool, and compares a small pool's with their definition.
fn value_pool((n_teachers, n_prompts): (usize, usize)) {
    let mut chance = Chance::new(3, &["shapley"]);
    let rows: Vec<Vec<f64>> = (0..n_prompts).map(|_| (0..n_teachers).map(|_| chance.normal()).collect()).collect();
    let begun = Instant::now();
    let mut sums = vec![0.0; n_teachers];
    for row in &rows {
        let floor = row.iter().copied().fold(f64::INFINITY, f64::min);
        sums.iter_mut().zip(shapley(row, floor)).for_each(|(sum, value)| *sum += value);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "Shapley values of {n_teachers} teachers and {n_prompts} prompts: {seconds:.3} s, sum {:.3}",
        sums.iter().sum::<f64>()
    );
    let few = &rows[0][..8];
    let gaps = shapley(few, -9.0).into_iter().zip(by_definition(few, -9.0)).map(|(a, b)| (a - b).abs());
    println!("furthest from the definition with 8 teachers: {:.1e}", gaps.fold(0.0, f64::max));
}

/// What each teacher adds to every set of the others, weighted by how many orders begin with that set.
fn by_definition(rewards: &[f64], floor: f64) -> Vec<f64> {
    let n = rewards.len();
    let worth = |set: usize| (0..n).filter(|at| set >> at & 1 == 1).map(|at| rewards[at]).fold(floor, f64::max);
    let factorial = |k: usize| (1..=k).map(|k| k as f64).product::<f64>();
    let adds = |own: usize| {
        let others = (0..1usize << n).filter(move |set| set >> own & 1 == 0);
        let term = |set: usize| {
            let size = set.count_ones() as usize;
            factorial(size) * factorial(n - size - 1) / factorial(n) * (worth(set | 1 << own) - worth(set))
        };
        others.map(term).sum::<f64>()
    };
    (0..n).map(adds).collect()
}

fn write(path: &str, prompts: &[(Prompt, Vec<f64>)]) -> Result<(), Box<dyn Error>> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for (prompt, rewards) in prompts {
        let line = json!({"language": prompt.language, "prompt": prompt.instruction(), "rewards": rewards});
        writeln!(file, "{line}")?;
    }
    Ok(())
}
