//! `polyglot`, the task that ships with Cambist: instructions with exactly checkable answers in many languages.
//!
//! A *source* is a question without words (a date, a sum, three countries); every language asks it in one of its own
//! phrasings, and CLDR, through ICU4X, says what the right answers are. Nothing is judged by taste, nothing is
//! downloaded, and a parallel corpus comes for free.
//!
//! **The odd decision: instructions never inflect what they insert.** They put names, dates and counts after colons,
//! question marks and signs, where the nominative stands in every language. *Why*: a template that declines Russian
//! months or Arabic duals is wrong somewhere. *The price*: some sentences are terser than a person's.
//!
//! Sources are drawn by name ([`Chance`](crate::chance::Chance)): the n-th source of a task depends on the seed alone,
//! so a larger set extends a smaller one, and adding a language or a task leaves all other prompts as they were. Within
//! a task all sources differ, and every instruction shows all of its parameters: no two prompts of one language read
//! the same.
//!
//! *Digits.* References use the digits that CLDR has for the language as such; in Arabic these are 0 to 9, and
//! Arabic-Indic digits are accepted too.

mod task;

mod name;
mod parameters;
mod period;
mod unit;
mod unit_data;

mod draw;
mod source;

mod answer;
mod cldr;
mod slot;

mod phrases;
mod speaker;

use std::collections::BTreeSet;

pub use cldr::CldrError;
pub use name::Name;
pub use parameters::{Day, Money, Parameters, Quantity, Shift};
pub use period::Period;
pub use source::Source;
pub use task::{Task, TaskError};
pub use unit::{Conversion, Unit};

use self::{
    phrases::Phrases,
    source::Sources,
    speaker::{Question, Speaker},
};
use crate::{
    check::Check,
    language::Language,
    prompt::{Message, Prompt},
};

/// What to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolyglotSpec {
    /// The languages that every source is asked in, in this order.
    pub languages: Vec<Language>,
    /// The kinds of task; all of them when empty. A task named twice counts once.
    pub tasks: Vec<Task>,
    /// How many sources, shared out among the tasks in turn.
    pub n_sources: usize,
    /// Same seed, same prompts, on any machine.
    pub seed: u64,
}

/// Why there are no prompts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolyglotError {
    /// Nothing to ask in.
    #[error("polyglot needs at least one language: expected some of {expected}", expected = all_tags())]
    NoLanguages,
    /// Nobody wrote phrases for it.
    #[error("polyglot does not speak `{language}`: expected some of {expected}", expected = all_tags())]
    UnknownLanguage {
        /// What was asked for.
        language: Language,
    },
    /// It would make two prompts with one id.
    #[error("`{language}` is listed twice among the languages of polyglot: remove one")]
    RepeatedLanguage {
        /// What was asked for twice.
        language: Language,
    },
    /// All tasks together have fewer different sources.
    #[error("{n_sources} sources were asked for and these tasks have only {n_available}: lower it or add tasks")]
    TooManySources {
        /// What was asked for.
        n_sources: usize,
        /// What there is.
        n_available: usize,
    },
    /// The locale data lack something.
    #[error(transparent)]
    Cldr(#[from] CldrError),
}

/// Returns every source in every language, ordered by source, then by language as listed.
///
/// The id of a prompt is that of its source with `-<language>` at the end; the reference is the first of the accepted
/// answers.
///
/// # Errors
/// When a language is unknown, repeated or missing, when the tasks have fewer different sources than asked for, or
/// when the compiled locale data lack something.
pub fn generate(spec: &PolyglotSpec) -> Result<Vec<Prompt>, PolyglotError> {
    let speakers = load_speakers(&spec.languages)?;
    let mut prompts = Vec::with_capacity(spec.n_sources * speakers.len());
    for source in sources(&spec.tasks, spec.n_sources, spec.seed)? {
        for (language, speaker) in &speakers {
            prompts.push(to_prompt(&source, language, speaker.ask(&source, spec.seed)?));
        }
    }
    Ok(prompts)
}

/// Returns what is asked, before any language; `tasks` empty means all.
///
/// The tasks take turns in the order given. A task whose different sources are exhausted (after 1,000 draws in a row
/// that were all seen before) leaves its turns to the others; the smallest are `relative-time`, `month-shift` and
/// `weekday-shift` with some 1,170, 2,340 and 5,080 sources.
///
/// # Errors
/// [`PolyglotError::TooManySources`] when all tasks are exhausted.
pub fn sources(tasks: &[Task], n_sources: usize, seed: u64) -> Result<Vec<Source>, PolyglotError> {
    let mut seen = BTreeSet::new();
    let tasks = if tasks.is_empty() { &Task::ALL[..] } else { tasks };
    let mut open: Vec<Sources> =
        tasks.iter().filter(|task| seen.insert(**task)).map(|task| Sources::new(seed, *task)).collect();
    let mut drawn = Vec::with_capacity(n_sources);
    while drawn.len() < n_sources && !open.is_empty() {
        open.retain_mut(|of_task| of_task.next().map(|source| drawn.push(source)).is_some());
    }
    if drawn.len() < n_sources {
        return Err(PolyglotError::TooManySources { n_sources, n_available: drawn.len() });
    }
    drawn.truncate(n_sources);
    Ok(drawn)
}

/// Returns the languages that polyglot speaks, by tag.
pub fn languages() -> Vec<Language> {
    phrases::ALL.iter().filter_map(|phrases| Language::parse(phrases.tag).ok()).collect()
}

fn load_speakers(languages: &[Language]) -> Result<Vec<(Language, Speaker)>, PolyglotError> {
    if languages.is_empty() {
        return Err(PolyglotError::NoLanguages);
    }
    let mut speakers: Vec<(Language, Speaker)> = Vec::with_capacity(languages.len());
    for language in languages {
        if speakers.iter().any(|(listed, _)| listed == language) {
            return Err(PolyglotError::RepeatedLanguage { language: language.clone() });
        }
        speakers.push((language.clone(), Speaker::load(find_phrases(language)?)?));
    }
    Ok(speakers)
}

fn find_phrases(language: &Language) -> Result<&'static Phrases, PolyglotError> {
    let found = phrases::ALL.into_iter().find(|phrases| phrases.tag == language.as_str());
    found.ok_or_else(|| PolyglotError::UnknownLanguage { language: language.clone() })
}

fn to_prompt(source: &Source, language: &Language, question: Question) -> Prompt {
    Prompt {
        id: format!("{}-{language}", source.id),
        source_id: source.id.clone(),
        language: language.clone(),
        answer_language: None,
        messages: vec![Message::user(question.instruction)],
        task: Some(source.parameters.task().name().to_owned()),
        reference: question.accepted.first().cloned(),
        check: Some(Check::OneOf(question.accepted)),
        source: "polyglot".to_owned(),
        origin: None,
        mt_engine: None,
    }
}

fn all_tags() -> String {
    phrases::ALL.map(|phrases| format!("`{}`", phrases.tag)).join(", ")
}

#[cfg(test)]
mod tests;
