//! `translate`: lets a teacher or a translation engine translate prompts, or the answers to other members of their
//! sources.
//!
//! Every text goes through the ledger like any other question, with code, formulas and addresses behind marks; what
//! does not come back as a translation is counted by reason and never kept.

mod answers;
mod machine;
mod prompts;
mod wording;

use std::collections::{BTreeMap, HashMap, HashSet};

use cambist_core::{
    completion::{Completion, FinishReason},
    digest::Digest,
    language::Language,
    prompt::{Message, Prompt},
    shield::{Shielded, shield},
};
use cambist_io::{ledger::KeySet, store::Artifact};

use self::machine::Machine;
use super::{
    Work,
    answering::{self, Cell},
    failed::Failed,
    forecast::Forecast,
    generate::Count,
    voices::Voice,
};
use crate::{
    error::PipelineError,
    plan::Job,
    recipe::{Action, PoolMember, params::TranslateParams},
    run::Workshop,
};

/// Texts that are translated together.
const CHUNK: usize = 4096;

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &TranslateParams) -> Result<Artifact, PipelineError> {
    let member = workshop.plan.recipe.pool.iter().find(|member| member.id == params.teacher);
    let unknown = || PipelineError::Internal(format!("`{}` passed the check and is no teacher", params.teacher));
    let engine = Engine::open(workshop, job, member.ok_or_else(unknown)?)?;
    let translator = Translator { workshop, job, params, engine };
    if params.answers.is_some() { answers::make(&translator, scratch) } else { prompts::make(&translator, scratch) }
}

/// Counts the calls that the step will make to its translator, where that is a server and all that is translated is
/// there; with what it translates measured in characters where it is an engine.
pub(crate) fn count_translations(workshop: &Workshop<'_>, job: &Job) -> Result<Option<Forecast>, PipelineError> {
    let Action::Translate(params) = &workshop.plan.step_of(job).action else { return Ok(None) };
    let member = workshop.plan.recipe.pool.iter().find(|member| member.id == params.teacher);
    let Some(member) = member.filter(|member| member.endpoint.is_some()) else { return Ok(None) };
    for input in &job.inputs {
        if workshop.store.find(&input.id)?.is_none() {
            return Ok(None);
        }
    }
    let translator = Translator { workshop, job, params, engine: Engine::open(workshop, job, member)? };
    let mut counting =
        Counting { settled: workshop.ledger().settled_keys()?, seen: HashSet::new(), counts: BTreeMap::new() };
    let mut count = |piece: &Piece<'_>| counting.add(&translator, piece);
    match params.answers {
        Some(_) => answers::each_piece(&translator, &mut count)?,
        None => prompts::each_piece(&translator, &mut count)?,
    }
    let (name, counts) = (member.id.clone(), counting.counts);
    Ok(Some(Forecast { name, identity: String::new(), counts, is_at_most: false }))
}

/// What is counted of a step's texts.
struct Counting {
    settled: KeySet,
    seen: HashSet<Digest>,
    counts: BTreeMap<Language, Count>,
}

impl Counting {
    fn add(&mut self, translator: &Translator<'_>, piece: &Piece<'_>) -> Result<(), PipelineError> {
        let shielded = shield(piece.text);
        if !shielded.has_words() {
            return Ok(());
        }
        let text = shielded.text.as_str();
        let (key, size) = match &translator.engine {
            Engine::Machine(machine) => (Some(machine.question(text, (piece.from, piece.to)).0), text.chars().count()),
            Engine::Teacher(voices) => {
                let prompt = translator.question(piece, text);
                let asked = |voice: &Voice| voice.question(&prompt, (&translator.params.sampling, 0));
                let question = voices.first().map(asked).transpose()?.flatten();
                (question.map(|question| question.key), prompt.instruction().len())
            }
        };
        let Some(key) = key.filter(|key| self.seen.insert(key.clone())) else { return Ok(()) };
        let count = self.counts.entry(piece.to.clone()).or_default();
        let is_left = !self.settled.contains(&key);
        count.total += 1;
        count.left += u64::from(is_left);
        count.bytes_left += if is_left { size as u64 } else { 0 };
        Ok(())
    }
}

/// Whoever translates, for one step.
struct Translator<'a> {
    workshop: &'a Workshop<'a>,
    job: &'a Job,
    params: &'a TranslateParams,
    engine: Engine,
}

/// What translates.
enum Engine {
    /// A teacher, alone in the list, that is told what to do in words.
    Teacher(Vec<Voice>),
    /// A translation engine.
    Machine(Box<Machine>),
}

impl Engine {
    fn open(workshop: &Workshop<'_>, job: &Job, member: &PoolMember) -> Result<Self, PipelineError> {
        Ok(match Machine::open(member) {
            Some(machine) => Self::Machine(Box::new(machine)),
            None => Self::Teacher(vec![Voice::open(workshop, job, member)?]),
        })
    }
}

/// A text to translate.
struct Piece<'a> {
    /// What names it in the ledger.
    id: String,
    source_id: &'a str,
    text: &'a str,
    from: &'a Language,
    to: &'a Language,
}

/// What became of a text.
struct Translation {
    /// The translation, or why there is none.
    text: Result<String, Failed>,
    /// Whether the translator was asked at all; nobody is for a text without words.
    is_asked: bool,
    is_cut: bool,
    tokens_in: Option<u32>,
    tokens_out: Option<u32>,
    cost_usd: f64,
}

impl Translator<'_> {
    /// Who translates.
    fn engine(&self) -> &str {
        &self.params.teacher
    }

    /// Translates texts, in their order.
    fn translate(&self, pieces: &[Piece<'_>]) -> Result<Vec<Translation>, PipelineError> {
        let shielded: Vec<Shielded> = pieces.iter().map(|piece| shield(piece.text)).collect();
        let worded: Vec<(&Piece<'_>, &str)> = pieces
            .iter()
            .zip(&shielded)
            .filter(|(_, shielded)| shielded.has_words())
            .map(|(piece, shielded)| (piece, shielded.text.as_str()))
            .collect();
        let answers = match &self.engine {
            Engine::Teacher(voices) => self.ask(voices, &worded)?,
            Engine::Machine(machine) => machine.translate((self.workshop, self.job), &worded)?,
        };
        let mut answers = answers.into_iter();
        let lost = || PipelineError::Internal(format!("`{}`: a translation is lost", self.job.label));
        let became = |(piece, shielded): (&Piece<'_>, &Shielded)| match shielded.has_words() {
            true => Ok(translation(shielded, answers.next().ok_or_else(lost)?)),
            false => Ok(Translation::copied(piece.text)),
        };
        pieces.iter().zip(&shielded).map(became).collect()
    }

    /// Asks a teacher each question once: many prompts share a system turn.
    fn ask(&self, voices: &[Voice], texts: &[(&Piece<'_>, &str)]) -> Result<Vec<Completion>, PipelineError> {
        let questions: Vec<Prompt> = texts.iter().map(|(piece, text)| self.question(piece, text)).collect();
        let mut seen = HashSet::new();
        let different: Vec<&Prompt> = questions.iter().filter(|question| seen.insert(question.instruction())).collect();
        let cells: Vec<Cell<'_>> = different.iter().map(|prompt| Cell { prompt, voice: 0, sample: 0 }).collect();
        let answers = answering::ask(self.workshop, self.job, voices, (&cells, &self.params.sampling))?;
        let answers: HashMap<&str, Completion> = different.into_iter().map(Prompt::instruction).zip(answers).collect();
        Ok(questions.iter().filter_map(|question| answers.get(question.instruction()).cloned()).collect())
    }

    fn question(&self, piece: &Piece<'_>, text: &str) -> Prompt {
        let asked = wording::fill(self.params.template.as_deref(), (piece.from, piece.to), text);
        Prompt {
            id: piece.id.clone(),
            source_id: piece.source_id.to_owned(),
            language: piece.to.clone(),
            answer_language: None,
            messages: vec![Message::user(asked)],
            task: Some("translation".to_owned()),
            reference: None,
            check: None,
            source: String::new(),
            origin: None,
            mt_engine: None,
        }
    }
}

impl Translation {
    fn copied(text: &str) -> Self {
        let text = Ok(text.to_owned());
        Self { text, is_asked: false, is_cut: false, tokens_in: None, tokens_out: None, cost_usd: 0.0 }
    }
}

/// What an answer of the translator is worth.
fn translation(shielded: &Shielded, answer: Completion) -> Translation {
    Translation {
        is_asked: true,
        is_cut: answer.finish_reason == FinishReason::Length,
        tokens_in: answer.tokens_in,
        tokens_out: answer.tokens_out,
        cost_usd: answer.cost_usd,
        text: translated(shielded, answer),
    }
}

fn translated(shielded: &Shielded, answer: Completion) -> Result<String, Failed> {
    if matches!(answer.finish_reason, FinishReason::Error | FinishReason::ContentFilter) {
        return Err(Failed::unanswered(answer.failure.as_deref().unwrap_or("content_filter: withheld")));
    }
    let restored = shielded.restore(answer.text.trim());
    if restored.text.is_empty() {
        return Err(Failed::new("empty", "no visible text"));
    }
    if !restored.is_whole() {
        return Err(Failed::lost_marks(&restored));
    }
    Ok(restored.text)
}
