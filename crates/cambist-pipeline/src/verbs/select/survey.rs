//! The first walk along the prompts: every answer is judged and scored, and its text is let go again.

use std::ops::Range;

use cambist_core::{
    candidate::{Row, Scored},
    completion::{Completion, FinishReason, Origin},
    outline::{Line, Outline, Places},
    pairs::Likeness,
    prompt::Prompt,
    score::Score,
};
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    Making,
    inflow::{ANSWERS, Layers, RowAt, VALUES, WORDINGS},
    shards::{messages_bytes, text_bytes},
};
use crate::{
    error::PipelineError,
    recipe::params::SelectParams,
    verbs::{
        prompt_files::PromptFiles,
        tables::{COMPLETIONS, SCORES},
    },
};

/// Prompts that are in memory with their answers at once.
const CHUNK: usize = 1024;

/// Bytes of text after which a chunk is closed early.
const CHUNK_BYTES: usize = 8 << 20;

/// Answers to a step's prompts: where they lie, and what is known of them without their texts.
pub(super) struct Answers {
    files: Files,
    /// The answers, judged and scored.
    pub outline: Outline,
    /// Bytes of each prompt's messages as JSON.
    pub prompt_bytes: Vec<u32>,
    /// Bytes of each answer's text as JSON, without quotes.
    pub text_bytes: Vec<u32>,
    /// What pairs read of the texts; empty where no pairs are made.
    pub of_pairs: Vec<Likeness>,
    /// What labels read of the texts; empty where no answers are labelled.
    pub of_labels: Vec<Likeness>,
}

/// Where answers lie.
struct Files {
    prompts: PromptFiles,
    completions: Layers,
    scores: Layers,
    safety: Layers,
}

/// What is taken along from the texts of one row.
struct Judged {
    row: Row,
    prompt_bytes: u32,
    text_bytes: Vec<u32>,
    of_pairs: Vec<Likeness>,
    of_labels: Vec<Likeness>,
}

/// One prompt with everything that was said about it.
struct Asked {
    prompt: Prompt,
    answers: Vec<RowAt>,
    scores: Vec<RowAt>,
    safety: Vec<RowAt>,
}

/// An answer as it lies in its table.
#[derive(Deserialize)]
struct AnswerRow<'r> {
    teacher: &'r str,
    sample: u32,
    text: &'r str,
    finish_reason: FinishReason,
    #[serde(default)]
    failure: Option<String>,
    tokens_in: Option<u32>,
    tokens_out: Option<u32>,
    cost_usd: f64,
    #[serde(default)]
    origin: Option<Origin>,
}

impl AnswerRow<'_> {
    fn completion(self, prompt: &Prompt) -> Completion {
        Completion {
            prompt_id: prompt.id.clone(),
            source_id: prompt.source_id.clone(),
            language: prompt.language.clone(),
            teacher: self.teacher.to_owned(),
            sample: self.sample,
            text: self.text.to_owned(),
            finish_reason: self.finish_reason,
            failure: self.failure,
            tokens_in: self.tokens_in,
            tokens_out: self.tokens_out,
            cost_usd: self.cost_usd,
            origin: self.origin,
        }
    }
}

/// What a score must have.
#[derive(Deserialize)]
struct ScoreCell<'r> {
    teacher: &'r str,
    sample: u32,
}

/// Reads scores from their cells; one that does not fit is read as a row, which says why.
fn scores_of(rows: &[RowAt]) -> Result<Vec<Scored<'_>>, PipelineError> {
    let scored = |row| {
        let (teacher, sample) = match RowAt::cell(row) {
            Some(cell) => cell,
            None => row.read().map(|ScoreCell { teacher, sample }| (teacher, sample))?,
        };
        Ok(Scored { teacher, sample, value: row.value() })
    };
    rows.iter().map(scored).collect()
}

impl Answers {
    /// Judges and scores the answers under `role`; `with_preferences` where pairs and labels may be made of them.
    pub(super) fn read(making: &Making<'_>, role: &str, with_preferences: bool) -> Result<Self, PipelineError> {
        let mut answers = Self {
            files: Files::open(making, role)?,
            outline: Outline::default(),
            prompt_bytes: Vec::new(),
            text_bytes: Vec::new(),
            of_pairs: Vec::new(),
            of_labels: Vec::new(),
        };
        while !answers.survey(making, with_preferences)? {}
        Ok(answers)
    }

    /// Walks along the prompts once; false when a table was in another order, which is mended now.
    fn survey(&mut self, making: &Making<'_>, with_preferences: bool) -> Result<bool, PipelineError> {
        self.outline = Outline::default();
        self.prompt_bytes.clear();
        self.text_bytes.clear();
        self.of_pairs.clear();
        self.of_labels.clear();
        let Files { prompts, completions, scores, safety } = &self.files;
        let (mut answers, mut scores, mut safety) =
            (completions.open(ANSWERS)?, scores.open(VALUES)?, safety.open(VALUES)?);
        let mut asked = prompts.scan().map(|prompt| {
            let prompt = prompt?;
            let (answers, scores) = (answers.take(&prompt.id)?, scores.take(&prompt.id)?);
            Ok(Asked { answers, scores, safety: safety.take(&prompt.id)?, prompt })
        });
        loop {
            making.workshop.checkpoint()?;
            let chunk = chunk_of(&mut asked, |asked| asked.answers.iter().map(RowAt::n_bytes).sum())?;
            if chunk.is_empty() {
                break;
            }
            let judged: Vec<_> =
                chunk.into_par_iter().map(|asked| Judged::of(asked, making, with_preferences)).collect();
            for judged in judged {
                let Judged { row, prompt_bytes, text_bytes, of_pairs, of_labels } = judged?;
                self.outline.push(&row);
                self.prompt_bytes.push(prompt_bytes);
                self.text_bytes.extend(text_bytes);
                self.of_pairs.extend(of_pairs);
                self.of_labels.extend(of_labels);
            }
        }
        drop(asked);
        let places = Places::of(&self.outline).map_err(|error| making.misfit(&error))?;
        let is_spent = answers.is_spent() && scores.is_spent() && safety.is_spent();
        if !is_spent {
            self.files.scores.lay_out::<Score>(&scores, (&places, making))?;
            self.files.safety.lay_out::<Score>(&safety, (&places, making))?;
            self.files.completions.lay_out::<Completion>(&answers, (&places, making))?;
        }
        Ok(is_spent)
    }

    /// Looks at some prompts side by side, in their order; `likeness` is that of all answers.
    pub(super) fn each_row<T: Send>(
        &self,
        places: Range<usize>,
        likeness: &[Likeness],
        look: impl Fn(Line<'_>, &Row, &[Likeness]) -> T + Sync,
    ) -> Vec<T> {
        let look = |at| {
            let line = self.outline.line(at)?;
            Some(look(line, &line.row(), likeness.get(line.range()).unwrap_or_default()))
        };
        places.into_par_iter().filter_map(look).collect()
    }

    /// Reads the prompts, in their order.
    pub(super) fn prompts(&self) -> impl Iterator<Item = Result<Prompt, PipelineError>> + use<'_> {
        self.files.prompts.scan()
    }

    /// Walks along the prompts once more and hands over the texts, chunk by chunk, with the place of the first prompt.
    pub(super) fn each_chunk(
        &self,
        making: &Making<'_>,
        mut take: impl FnMut(usize, &[(Prompt, Vec<RowAt>)]) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        let mut wordings = self.files.completions.open(WORDINGS)?;
        let mut worded = self.files.prompts.scan().map(|prompt| {
            let prompt = prompt?;
            let wordings = wordings.take(&prompt.id)?;
            Ok((prompt, wordings))
        });
        let mut at = 0;
        loop {
            making.workshop.checkpoint()?;
            let chunk = chunk_of(&mut worded, |(_, wordings)| wordings.iter().map(RowAt::n_bytes).sum())?;
            if chunk.is_empty() {
                return Ok(());
            }
            take(at, &chunk)?;
            at += chunk.len();
        }
    }
}

/// Takes the next items, `CHUNK` of them or as many as have `CHUNK_BYTES` of text.
fn chunk_of<T>(
    items: &mut impl Iterator<Item = Result<T, PipelineError>>,
    n_bytes: impl Fn(&T) -> usize,
) -> Result<Vec<T>, PipelineError> {
    let (mut chunk, mut n_bytes_in_all) = (Vec::new(), 0);
    while chunk.len() < CHUNK && n_bytes_in_all < CHUNK_BYTES {
        let Some(item) = items.next() else { break };
        let item = item?;
        n_bytes_in_all += n_bytes(&item);
        chunk.push(item);
    }
    Ok(chunk)
}

impl Files {
    fn open(making: &Making<'_>, role: &str) -> Result<Self, PipelineError> {
        let Making { workshop, job, .. } = making;
        let given = |word: &str| -> Result<Option<_>, PipelineError> {
            let Some(input) = job.inputs(&role.replacen("from", word, 1)).next().cloned() else { return Ok(None) };
            Ok(Some(workshop.artifact(&input.id)?.checked_path(SCORES)?))
        };
        let given_scores = given("scores")?;
        let (mut completions, mut scores) = (Vec::new(), Vec::new());
        for input in job.inputs(role) {
            let artifact = workshop.artifact(&input.id)?;
            completions.push(artifact.checked_path(COMPLETIONS)?);
            if given_scores.is_none() && artifact.manifest().files.contains_key(SCORES) {
                scores.push(artifact.checked_path(SCORES)?);
            }
        }
        scores.extend(given_scores);
        Ok(Self {
            prompts: PromptFiles::open(workshop, job.inputs("prompts"))?,
            completions: Layers::of(completions),
            scores: Layers::of(scores),
            safety: Layers::of(given("safety")?.into_iter().collect()),
        })
    }
}

impl Judged {
    fn of(asked: Asked, making: &Making<'_>, with_preferences: bool) -> Result<Self, PipelineError> {
        let Asked { prompt, answers, scores, safety } = asked;
        let completion = |row: &RowAt| Ok(row.read::<AnswerRow<'_>>()?.completion(&prompt));
        let completions = answers.iter().map(completion).collect::<Result<_, PipelineError>>()?;
        let scores = (scores_of(&scores)?, scores_of(&safety)?);
        let row = Row::judged(prompt, completions, scores, &making.params.gates);
        let row = row.map_err(|error| making.misfit(&error))?;
        let texts = row.candidates.iter().map(|candidate| candidate.completion.text.as_str());
        let SelectParams { pairs, labels, .. } = making.params;
        let likeness = |near_duplicate: Option<Option<f64>>| {
            near_duplicate.filter(|_| with_preferences).map_or_else(Vec::new, |most| Likeness::of(&row, most))
        };
        Ok(Self {
            prompt_bytes: messages_bytes(&row.prompt.messages),
            text_bytes: texts.map(text_bytes).collect(),
            of_pairs: likeness(pairs.as_ref().map(|options| options.near_duplicate)),
            of_labels: likeness(labels.as_ref().map(|options| options.near_duplicate)),
            row,
        })
    }
}
