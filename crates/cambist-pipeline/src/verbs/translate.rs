//! `translate`: lets a teacher translate prompts, or the answers to other members of their sources.
//!
//! Every text goes through the ledger like any other question, with code, formulas and addresses behind marks; what
//! does not come back as a translation is counted by reason and never kept.

mod answers;
mod failed;
mod prompts;
mod wording;

use std::collections::{HashMap, HashSet};

use cambist_core::{
    completion::{Completion, FinishReason},
    language::Language,
    prompt::{Message, Prompt},
    shield::{Shielded, shield},
};
use cambist_io::store::Artifact;

use self::failed::Failed;
use super::{
    Work,
    answering::{self, Cell},
    voices::Voice,
};
use crate::{error::PipelineError, plan::Job, recipe::params::TranslateParams, run::Workshop};

/// Texts that are translated together.
const CHUNK: usize = 4096;

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &TranslateParams) -> Result<Artifact, PipelineError> {
    let member = workshop.plan.recipe.pool.iter().find(|member| member.id == params.teacher);
    let unknown = || PipelineError::Internal(format!("`{}` passed the check and is no teacher", params.teacher));
    let voice = Voice::open(workshop, job, member.ok_or_else(unknown)?)?;
    let translator = Translator { workshop, job, params, voices: vec![voice] };
    if params.answers.is_some() { answers::make(&translator, scratch) } else { prompts::make(&translator, scratch) }
}

/// Whoever translates, for one step.
struct Translator<'a> {
    workshop: &'a Workshop<'a>,
    job: &'a Job,
    params: &'a TranslateParams,
    voices: Vec<Voice>,
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
        let question =
            |(piece, shielded): (&Piece<'_>, &Shielded)| shielded.has_words().then(|| self.question(piece, shielded));
        let questions: Vec<Option<Prompt>> = pieces.iter().zip(&shielded).map(question).collect();
        let answers = self.ask(&questions)?;
        let lost = || PipelineError::Internal(format!("`{}`: a translation is lost", self.job.label));
        let became = |((piece, shielded), question): ((&Piece<'_>, &Shielded), &Option<Prompt>)| match question {
            Some(question) => {
                let answer = answers.get(question.instruction()).ok_or_else(lost)?;
                Ok(translation(shielded, answer.clone()))
            }
            None => Ok(Translation::copied(piece.text)),
        };
        pieces.iter().zip(&shielded).zip(&questions).map(became).collect()
    }

    /// Asks each question once: many prompts share a system turn.
    fn ask<'q>(&self, questions: &'q [Option<Prompt>]) -> Result<HashMap<&'q str, Completion>, PipelineError> {
        let mut seen = HashSet::new();
        let different: Vec<&Prompt> =
            questions.iter().flatten().filter(|question| seen.insert(question.instruction())).collect();
        let cells: Vec<Cell<'_>> = different.iter().map(|prompt| Cell { prompt, voice: 0, sample: 0 }).collect();
        let answers = answering::ask(self.workshop, self.job, &self.voices, (&cells, &self.params.sampling))?;
        Ok(different.into_iter().map(Prompt::instruction).zip(answers).collect())
    }

    fn question(&self, piece: &Piece<'_>, shielded: &Shielded) -> Prompt {
        let asked = wording::fill(self.params.template.as_deref(), (piece.from, piece.to), &shielded.text);
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
