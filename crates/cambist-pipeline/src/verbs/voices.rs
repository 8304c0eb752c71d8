//! Whoever answers: local models through the ledger, recorded answers from a file.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering},
};

use cambist_core::{
    completion::{Completion, FinishReason},
    prompt::Prompt,
    teacher::Price,
};
use cambist_io::{
    clock,
    formats::{self, RecordedAnswer},
    ledger::{CallRecord, CallStatus, call_key},
};
use cambist_model::{EncodeError, GenerateRequest, Generated, LocalModel, ModelFiles, Sampling};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::train::read_checkpoint;
use crate::{
    error::PipelineError,
    plan::{Input, Job, model_digest},
    progress::Advance,
    recipe::{PoolMember, Replay},
    run::Workshop,
};

/// Answers that are generated together; also what is lost at most when a run is killed.
const CHUNK: usize = 64;

/// One answer to get: of which teacher, to which prompt, which of several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// Index of the voice that answers.
    pub voice: usize,
    /// Which of several answers, from 0.
    pub sample: u32,
}

/// A teacher, or a student under test, that can be asked.
pub(super) struct Voice {
    /// Its name on completions.
    pub name: String,
    /// What it costs.
    pub price: Price,
    speaker: Speaker,
}

enum Speaker {
    /// A model in this process; `endpoint` names its weights in the ledger.
    Local { model: Box<LocalModel>, endpoint: String },
    /// Recorded answers by prompt and sample.
    Recorded(HashMap<(String, u32), RecordedAnswer>),
}

impl Voice {
    /// Opens a member of the pool.
    pub(super) fn open(workshop: &Workshop<'_>, job: &Job, member: &PoolMember) -> Result<Self, PipelineError> {
        let speaker = if let Some(replay) = &member.replay {
            recorded(workshop, &member.id, replay)?
        } else if let Some(folder) = &member.folder {
            let files = formats::read_model_folder(&workshop.plan.folder.join(folder))?;
            let endpoint = format!("local:{}", model_digest(&files));
            local(job, &ModelFiles(files), endpoint)?
        } else {
            let input = job.input(&format!("teacher {}", member.id))?;
            trained(workshop, job, input)?
        };
        Ok(Self { name: member.id.clone(), price: member.price, speaker })
    }

    /// Opens a checkpoint that this recipe trained, under the name `name`.
    pub(super) fn of_checkpoint(
        workshop: &Workshop<'_>,
        job: &Job,
        input: &Input,
        name: &str,
    ) -> Result<Self, PipelineError> {
        Ok(Self { name: name.to_owned(), price: Price::default(), speaker: trained(workshop, job, input)? })
    }
}

fn trained(workshop: &Workshop<'_>, job: &Job, input: &Input) -> Result<Speaker, PipelineError> {
    let files = read_checkpoint(&workshop.artifact(&input.id)?)?;
    local(job, &files, format!("local:{}", input.id.digest))
}

fn local(job: &Job, files: &ModelFiles, endpoint: String) -> Result<Speaker, PipelineError> {
    let model = LocalModel::from_files(files).map_err(|source| PipelineError::model(&job.label, source))?;
    Ok(Speaker::Local { model: Box::new(model), endpoint })
}

fn recorded(workshop: &Workshop<'_>, teacher: &str, replay: &Replay) -> Result<Speaker, PipelineError> {
    let path = workshop.plan.folder.join(&replay.file);
    let model = replay.model.as_deref().unwrap_or(teacher);
    let answers = formats::read_answers(&path, &replay.columns)?;
    let of_model = answers.into_iter().filter(|answer| answer.teacher == model);
    let by_cell: HashMap<_, _> = of_model.map(|answer| ((answer.prompt_id.clone(), answer.sample), answer)).collect();
    if by_cell.is_empty() {
        let what = format!("`{}` has no answer by `{model}`", path.display());
        return Err(PipelineError::input(teacher, what, "set `replay.model` to a model that the file names"));
    }
    Ok(Speaker::Recorded(by_cell))
}

/// Gets the answers to `cells`, in their order: from the ledger what was asked before, the rest from the voices.
///
/// Several voices answer at once, each in chunks; a chunk is in the ledger before the next begins.
pub(super) fn ask(
    workshop: &Workshop<'_>,
    job: &Job,
    voices: &[Voice],
    (cells, sampling): (&[Cell<'_>], &Sampling),
) -> Result<Vec<Completion>, PipelineError> {
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|&at| cells[at].voice);
    let chunks: Vec<&[usize]> =
        order.chunk_by(|&a, &b| cells[a].voice == cells[b].voice).flat_map(|of_voice| of_voice.chunks(CHUNK)).collect();
    let done = AtomicU64::new(0);
    let answered: Vec<Vec<Completion>> = chunks
        .par_iter()
        .map(|chunk| {
            workshop.checkpoint()?;
            let of_chunk: Vec<Cell<'_>> = chunk.iter().map(|&at| cells[at]).collect();
            let voice = &voices[of_chunk[0].voice];
            let completions = match &voice.speaker {
                Speaker::Recorded(answers) => of_chunk.iter().map(|cell| replayed(voice, answers, cell)).collect(),
                Speaker::Local { model, endpoint } => {
                    local_chunk(workshop, job, &Local { voice, model, endpoint, sampling }, &of_chunk)?
                }
            };
            let n_done = done.fetch_add(chunk.len() as u64, Ordering::Relaxed) + chunk.len() as u64;
            let at = Advance { done: n_done, total: cells.len() as u64, unit: "answers", note: "" };
            workshop.runtime.progress.advance(&job.label, at);
            Ok(completions)
        })
        .collect::<Result<_, PipelineError>>()?;
    let mut placed: Vec<(usize, Completion)> = order.into_iter().zip(answered.into_iter().flatten()).collect();
    placed.sort_by_key(|(at, _)| *at);
    Ok(placed.into_iter().map(|(_, completion)| completion).collect())
}

/// A recorded answer is whole, costs nothing now, and has no token counts; one that is not there is a failure.
fn replayed(voice: &Voice, answers: &HashMap<(String, u32), RecordedAnswer>, cell: &Cell<'_>) -> Completion {
    let found = answers.get(&(cell.prompt.id.clone(), cell.sample));
    let text = found.and_then(|answer| answer.text.clone());
    let (finish_reason, failure) = match text {
        Some(_) => (FinishReason::Stop, None),
        None => (FinishReason::Error, Some("no recorded answer".to_owned())),
    };
    completion((voice, cell), (text.unwrap_or_default(), finish_reason, failure), (None, None))
}

struct Local<'a> {
    voice: &'a Voice,
    model: &'a LocalModel,
    endpoint: &'a str,
    sampling: &'a Sampling,
}

fn local_chunk(
    workshop: &Workshop<'_>,
    job: &Job,
    local: &Local<'_>,
    cells: &[Cell<'_>],
) -> Result<Vec<Completion>, PipelineError> {
    let requests: Vec<Value> =
        cells.iter().map(|cell| json!({ "messages": cell.prompt.messages, "sampling": local.sampling })).collect();
    let keys: Vec<_> =
        cells.iter().zip(&requests).map(|(cell, request)| call_key(local.endpoint, request, cell.sample)).collect();
    let known = workshop.ledger().find_calls(&keys)?;
    let missing: Vec<usize> = (0..cells.len()).filter(|&at| known[at].is_none()).collect();
    let ask_of = |&at: &usize| GenerateRequest {
        messages: cells[at].prompt.messages.clone(),
        sampling_key: keys[at].to_string(),
    };
    let asked: Vec<GenerateRequest> = missing.iter().map(ask_of).collect();
    let mut answers: Vec<Option<Result<Generated, EncodeError>>> = asked.iter().map(|_| None).collect();
    let started = clock::now_unix_ms();
    let mut on_done = |at: usize, answer| {
        answers[at] = Some(answer);
        ControlFlow::Continue(())
    };
    cambist_model::generate(local.model, &asked, (local.sampling, CHUNK), &mut on_done)
        .map_err(|error| PipelineError::model(&job.label, error))?;
    let seconds = clock::now_unix_ms().saturating_sub(started) as f64 / 1e3 / asked.len().max(1) as f64;
    let record = |(&at, answer): (&usize, Option<Result<Generated, EncodeError>>)| {
        let (answer, failure) = match answer {
            Some(Ok(answer)) => (Some(answer), None),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, Some("the model gave no answer".to_owned())),
        };
        let tokens_in = answer.as_ref().map(|answer| answer.tokens_in);
        let tokens_out = answer.as_ref().map(|answer| answer.tokens_out);
        CallRecord {
            key: keys[at].clone(),
            endpoint: local.endpoint.to_owned(),
            teacher: local.voice.name.clone(),
            prompt_id: cells[at].prompt.id.clone(),
            language: cells[at].prompt.language.to_string(),
            sample: cells[at].sample,
            request: requests[at].to_string(),
            status: if failure.is_none() { CallStatus::Answered } else { CallStatus::Failed },
            finish_reason: answer.as_ref().map_or(FinishReason::Error, |answer| answer.finish_reason),
            text: answer.map(|answer| answer.text).unwrap_or_default(),
            failure,
            failure_class: None,
            reasoning: None,
            marks: Vec::new(),
            reply: None,
            origin: String::new(),
            tokens_in,
            tokens_out,
            cost_usd: local.voice.price.of(tokens_in, tokens_out),
            costs_unknown: 0,
            n_maybe_charged: 0,
            seconds,
            attempts: 1,
            created_at_unix_ms: started,
        }
    };
    let fresh: Vec<CallRecord> = missing.iter().zip(answers).map(record).collect();
    workshop.ledger().put_calls(&fresh)?;
    let mut fresh = fresh.into_iter();
    let records = known.into_iter().map(|found| found.or_else(|| fresh.next()));
    let answer = |cell: &Cell<'_>, call: CallRecord| {
        let reply = (call.text, call.finish_reason, call.failure);
        completion((local.voice, cell), reply, (call.tokens_in, call.tokens_out))
    };
    Ok(cells.iter().zip(records).filter_map(|(cell, record)| Some(answer(cell, record?))).collect())
}

fn completion(
    (voice, cell): (&Voice, &Cell<'_>),
    (text, finish_reason, failure): (String, FinishReason, Option<String>),
    (tokens_in, tokens_out): (Option<u32>, Option<u32>),
) -> Completion {
    Completion {
        prompt_id: cell.prompt.id.clone(),
        source_id: cell.prompt.source_id.clone(),
        language: cell.prompt.language.clone(),
        teacher: voice.name.clone(),
        sample: cell.sample,
        cost_usd: voice.price.of(tokens_in, tokens_out),
        text,
        finish_reason,
        failure,
        tokens_in,
        tokens_out,
    }
}
