//! How long a router takes to learn and to route, on made-up prompts of ten languages and nine teachers.
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
    polyglot::{self, PolyglotSpec},
    prompt::{Message, Prompt},
    router::{FittedRouter, Learned},
};
use serde_json::json;

const N_TEACHERS: usize = 9;
/// Prompts of the built-in task that make one long prompt.
const JOINED: usize = 3;

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
    for n_threads in [1, 2] {
        let begun = Instant::now();
        let n_done = route(&router, &prompts, (n_route, n_threads));
        let seconds = begun.elapsed().as_secs_f64();
        println!("{n_done} prompts routed in {seconds:.2} s by {n_threads} threads");
    }
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

/// Routes `n` prompts, the made ones again and again.
fn route(router: &Learned, prompts: &[(Prompt, Vec<f64>)], (n, n_threads): (usize, usize)) -> usize {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n_threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mine = (thread..n).step_by(n_threads).map(|at| &prompts[at % prompts.len()].0);
                    mine.filter(|prompt| !router.ranking(prompt).is_empty()).count()
                })
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).sum()
    })
}

fn write(path: &str, prompts: &[(Prompt, Vec<f64>)]) -> Result<(), Box<dyn Error>> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for (prompt, rewards) in prompts {
        let line = json!({"language": prompt.language, "prompt": prompt.instruction(), "rewards": rewards});
        writeln!(file, "{line}")?;
    }
    Ok(())
}
