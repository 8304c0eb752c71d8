//! What heads are worth on recorded answers, and how long they take to fit: four fifths of each set are learned from, the
//! last fifth is held out.
//!
//! `cargo run --release --workspace --example routing_sets -- FOLDER...`, folders as `scripts/recorded_sets.py` makes them.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    error::Error,
    fs,
    path::Path,
    time::Instant,
};

use cambist_core::{
    features::{FeatureSource, Hashed},
    head::{
        BradleyTerry, HeadKind, KlSoftmax, Lesson, Lessons, LinearHead, Loss, SquaredError, TuneOptions, fit_table,
        fold_of, tune,
    },
    language::Language,
    prompt::{Message, Prompt},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

#[derive(Deserialize)]
struct RecordedPrompt {
    id: String,
    language: Language,
    prompt: String,
}

#[derive(Deserialize)]
struct RecordedScore {
    prompt_id: String,
    model: String,
    judge: String,
    score: Value,
}

fn main() -> Result<(), Box<dyn Error>> {
    for folder in std::env::args().skip(1) {
        let lessons = lessons_of(Path::new(&folder))?;
        let folds = fold_of(&lessons, 0);
        let part = |is_held_out: bool| {
            let meant = lessons.lessons.iter().zip(&folds).filter(|(_, fold)| (**fold == 0) == is_held_out);
            Lessons { lessons: meant.map(|(lesson, _)| lesson.clone()).collect(), ..lessons.clone() }
        };
        let (learned, held_out) = (part(false), part(true));
        let n_teachers = lessons.teachers.len();
        println!(
            "{folder}: {} prompts and {} held out, {n_teachers} teachers",
            learned.lessons.len(),
            held_out.lessons.len()
        );
        println!("  features {:016x}", digest(&lessons));
        println!("  table: regret {:.5}", regret(&fit_table(&learned), &held_out));
        for kind in [HeadKind::KlSoftmax, HeadKind::BradleyTerry, HeadKind::Ridge] {
            judge(kind, &learned, &held_out);
        }
    }
    Ok(())
}

/// Fits one kind of head, its penalty chosen as always, and tells what it does on prompts that were held out.
fn judge(kind: HeadKind, learned: &Lessons, held_out: &Lessons) {
    let begun = Instant::now();
    let tuned = tune(learned, &TuneOptions { heads: vec![kind], may_take_table: false, ..TuneOptions::default() });
    let seconds = begun.elapsed().as_secs_f64();
    let loss: Box<dyn Loss> = match kind {
        HeadKind::KlSoftmax => Box::new(KlSoftmax { tau: tuned.chosen.tau.unwrap_or(1.0) }),
        HeadKind::BradleyTerry => Box::new(BradleyTerry),
        HeadKind::Ridge | HeadKind::Table => Box::new(SquaredError),
    };
    let mut slope = vec![0.0; learned.teachers.len()];
    let losses = held_out.lessons.iter().map(|lesson| {
        let scores = tuned.head.scores(&lesson.features, &held_out.languages[lesson.language]);
        loss.blame(&scores, &lesson.rewards, &mut slope)
    });
    let mean_loss = losses.sum::<f64>() / held_out.lessons.len() as f64;
    println!(
        "  {}: penalty {:?}, regret {:.5}, loss {mean_loss:.5}, {seconds:.2} s",
        kind.name(),
        tuned.chosen.penalty.unwrap_or(0.0),
        regret(&tuned.head, held_out),
    );
}

/// The best reward minus that of the teacher with the highest score, in the mean.
fn regret(head: &LinearHead, lessons: &Lessons) -> f64 {
    let of = |lesson: &Lesson| {
        let scores = head.scores(&lesson.features, &lessons.languages[lesson.language]);
        let open = scores.into_iter().zip(&lesson.rewards).filter_map(|(score, reward)| Some((score, (*reward)?)));
        let chosen = open.fold((f64::NEG_INFINITY, 0.0), |best, one| if one.0 > best.0 { one } else { best });
        lesson.rewards.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max) - chosen.1
    };
    lessons.lessons.iter().map(of).sum::<f64>() / lessons.lessons.len() as f64
}

/// A hash (FNV-1a) of all features, bit by bit: what two versions that read prompts alike agree on.
fn digest(lessons: &Lessons) -> u64 {
    let features = lessons.lessons.iter().flat_map(|lesson| lesson.features.iter());
    let words = features.flat_map(|(index, value)| [index, value.to_bits()]);
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| (hash ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3))
}

/// The prompts of a folder with the scores of the first judge.
fn lessons_of(folder: &Path) -> Result<Lessons, Box<dyn Error>> {
    let prompts: Vec<RecordedPrompt> = rows(&folder.join("prompts.jsonl"))?;
    let scores: Vec<RecordedScore> = rows(&folder.join("scores.jsonl"))?;
    let judge = scores.first().map(|score| score.judge.clone()).unwrap_or_default();
    let mut by_prompt: HashMap<&str, BTreeMap<&str, f64>> = HashMap::new();
    for score in scores.iter().filter(|score| score.judge == judge) {
        let value =
            score.score.as_f64().or_else(|| score.score.as_bool().map(|is_right| f64::from(u8::from(is_right))));
        if let Some(value) = value {
            by_prompt.entry(&score.prompt_id).or_default().insert(&score.model, value);
        }
    }
    let teachers: BTreeSet<&str> = by_prompt.values().flat_map(|own| own.keys().copied()).collect();
    let languages: BTreeSet<&Language> = prompts.iter().map(|prompt| &prompt.language).collect();
    let languages: Vec<Language> = languages.into_iter().cloned().collect();
    let source = Hashed::default();
    let judged = prompts.iter().filter_map(|prompt| Some((prompt, by_prompt.get(prompt.id.as_str())?)));
    let lesson = |(at, (prompt, own)): (usize, (&RecordedPrompt, &BTreeMap<&str, f64>))| Lesson {
        features: source.features(&asked(prompt)),
        language: languages.binary_search(&prompt.language).unwrap_or(0),
        source: at,
        rewards: teachers.iter().map(|teacher| own.get(teacher).copied()).collect(),
    };
    Ok(Lessons {
        teachers: teachers.iter().map(|teacher| (*teacher).to_owned()).collect(),
        width: source.width(),
        sources: judged.clone().map(|(prompt, _)| prompt.id.clone()).collect(),
        lessons: judged.enumerate().map(lesson).collect(),
        languages: languages.clone(),
    })
}

fn asked(prompt: &RecordedPrompt) -> Prompt {
    Prompt {
        id: prompt.id.clone(),
        source_id: prompt.id.clone(),
        language: prompt.language.clone(),
        answer_language: None,
        messages: vec![Message::user(prompt.prompt.clone())],
        task: None,
        reference: None,
        check: None,
        source: String::new(),
        origin: None,
        mt_engine: None,
    }
}

fn rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}
