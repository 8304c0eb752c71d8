//! Gets answers into the ledger: every voice is asked at its own pace, and what is answered is kept at once.
//!
//! The ledger is the only memory: nothing here holds answers, so that a million cells take no more than a thousand.

use std::sync::Mutex;

use cambist_core::{completion::FinishReason, digest::Digest, prompt::Prompt};
use cambist_io::{
    clock,
    exchange::{Failure, FailureClass, Settled},
    ledger::{CallRecord, CallStatus},
    transport::{LaneOptions, Outcomes, Submit},
};
use cambist_model::Sampling;
use rayon::prelude::*;

use super::{
    local::{self, CHUNK, Local},
    remote::{Answered, Asked, Remote},
    scoring::Scoring,
    tally::Tally,
    voices::{Speaker, Voice},
};
use crate::{error::PipelineError, plan::Job, run::Workshop};

/// Questions that wait to be sent to one teacher.
const QUEUE: usize = 1024;

/// Outcomes that are kept in one transaction, at most.
const COMMIT: usize = 512;

/// Local chunks that are in memory at once.
const LOCAL_WINDOW: usize = 256;

/// Whom to ask, for whom.
pub(super) struct Asking<'a> {
    /// The run.
    pub workshop: &'a Workshop<'a>,
    /// The job.
    pub job: &'a Job,
    /// Whom.
    pub voices: &'a [Voice],
    /// How answers are drawn.
    pub sampling: &'a Sampling,
    /// Scores answers as they come, where a server scores.
    pub scoring: Option<&'a Scoring>,
}

/// Cells to ask one voice for: the prompt and which of several answers.
pub(super) type Cells<'c> = Box<dyn Iterator<Item = Result<(Prompt, u32), PipelineError>> + 'c>;

/// Gives the cells of the voice with this index, as often as asked.
pub(super) type CellsOf<'c> = dyn Fn(usize) -> Result<Cells<'c>, PipelineError> + Sync + 'c;

/// What goes with a question and comes back with its answer.
pub(super) struct Ticket {
    /// The prompt.
    pub prompt: Prompt,
    /// Which of several answers.
    pub sample: u32,
    /// The call's name.
    pub key: Digest,
}

impl Asking<'_> {
    /// Asks every voice for its cells, all voices at once, and returns when each is answered or given up.
    ///
    /// # Errors
    /// When the run was stopped, an endpoint closed itself, or the ledger cannot be written; what was answered is kept.
    pub(super) fn ask(&self, cells: &CellsOf<'_>, tally: &Tally) -> Result<(), PipelineError> {
        let first: Mutex<Option<PipelineError>> = Mutex::new(None);
        let note = |outcome: Result<(), PipelineError>| {
            if let (Err(error), Ok(mut first)) = (outcome, first.lock()) {
                first.get_or_insert(error);
            }
        };
        std::thread::scope(|scope| {
            for (at, voice) in self.voices.iter().enumerate() {
                if let Speaker::Remote(remote) = &voice.speaker
                    && tally.wanted(at) > 0
                {
                    let note = &note;
                    scope.spawn(move || note(self.ask_remote((at, remote), cells, tally)));
                }
            }
            note(self.ask_locals(cells, tally));
        });
        match first.into_inner() {
            Ok(Some(error)) => Err(error),
            Ok(None) => self.workshop.checkpoint(),
            Err(_) => Err(PipelineError::Internal("a voice panicked".to_owned())),
        }
    }

    /// Local models answer in chunks, several chunks at once.
    fn ask_locals(&self, cells: &CellsOf<'_>, tally: &Tally) -> Result<(), PipelineError> {
        let mut chunks: Vec<(Local<'_>, usize, Vec<local::Asked>)> = Vec::new();
        for (at, voice) in self.voices.iter().enumerate() {
            let Speaker::Local { model, endpoint } = &voice.speaker else { continue };
            if tally.wanted(at) == 0 {
                continue;
            }
            let local = || Local { voice, model, endpoint, sampling: self.sampling };
            let mut chunk = Vec::with_capacity(CHUNK);
            for cell in cells(at)? {
                let (prompt, sample) = cell?;
                if let Some(question) = voice.question(&prompt, (self.sampling, sample))? {
                    chunk.push((prompt, sample, question));
                }
                if chunk.len() == CHUNK {
                    chunks.push((local(), at, std::mem::take(&mut chunk)));
                }
                if chunks.len() == LOCAL_WINDOW {
                    self.answer_locally(&std::mem::take(&mut chunks), tally)?;
                }
            }
            if !chunk.is_empty() {
                chunks.push((local(), at, chunk));
            }
        }
        self.answer_locally(&chunks, tally)
    }

    fn answer_locally(
        &self,
        chunks: &[(Local<'_>, usize, Vec<local::Asked>)],
        tally: &Tally,
    ) -> Result<(), PipelineError> {
        chunks.par_iter().try_for_each(|(local, at, asked)| {
            self.workshop.checkpoint()?;
            let records = local.answer(self.workshop, self.job, asked)?;
            for ((prompt, _, _), record) in asked.iter().zip(&records) {
                tally.settle(*at, record);
                self.score(prompt, record)?;
            }
            tally.show(self.workshop, self.job, self.voices);
            Ok(())
        })
    }

    fn ask_remote(
        &self,
        (at, remote): (usize, &Remote),
        cells: &CellsOf<'_>,
        tally: &Tally,
    ) -> Result<(), PipelineError> {
        let client = self.workshop.client(remote.endpoint(), remote.dialect().key_header())?;
        tally.watch(at, client.clone());
        let options = LaneOptions {
            queue: QUEUE,
            cap: self.workshop.purse(&self.voices[at].name),
            stop: self.workshop.runtime.calls.clone(),
        };
        let (submit, outcomes) = client.lane::<Asked<Ticket>>(options);
        let closed = std::thread::scope(|scope| {
            let collector = scope.spawn(|| self.collect((at, remote), outcomes, tally));
            let fed = self.feed((at, remote), cells(at)?, submit);
            let collected =
                collector.join().unwrap_or_else(|_| Err(PipelineError::Internal("a collector panicked".to_owned())));
            // What closes a lane may come after the last question was handed over.
            Ok::<_, PipelineError>(fed?.or(collected?))
        })?;
        why_closed(self.workshop, &self.voices[at].name, closed)
    }

    /// Sends questions until there are no more, or the endpoint takes none; then says why.
    fn feed(
        &self,
        (at, remote): (usize, &Remote),
        cells: Cells<'_>,
        submit: Submit<Asked<Ticket>>,
    ) -> Result<Option<Failure>, PipelineError> {
        let voice = &self.voices[at];
        for cell in cells {
            let (prompt, sample) = cell?;
            let Some(question) = voice.question(&prompt, (self.sampling, sample))? else { continue };
            let ticket = Ticket { prompt, sample, key: question.key };
            let asked = remote.exchange((ticket, question.request), (self.sampling.seed, sample));
            if let Err(closed) = submit.send(asked) {
                return Ok(Some(closed.failure));
            }
        }
        Ok(None)
    }

    /// Keeps outcomes as they come: whatever has arrived by the time the last batch is on the disk is the next batch.
    /// Says why the lane closed before its time, if so.
    fn collect(
        &self,
        (at, remote): (usize, &Remote),
        mut outcomes: Outcomes<Asked<Ticket>>,
        tally: &Tally,
    ) -> Result<Option<Failure>, PipelineError> {
        let mut batch = Vec::with_capacity(COMMIT);
        while let Some(settled) = outcomes.next() {
            batch.push(settled);
            while batch.len() < COMMIT
                && let Some(settled) = outcomes.next_of_batch()
            {
                batch.push(settled);
            }
            let kept = batch.drain(..).filter_map(|settled| record(remote, &self.voices[at].name, settled));
            let (tickets, records): (Vec<Ticket>, Vec<CallRecord>) = kept.unzip();
            self.workshop.ledger().put_calls(&records)?;
            for (ticket, record) in tickets.into_iter().zip(&records) {
                tally.settle(at, record);
                self.score(&ticket.prompt, record)?;
            }
            tally.show(self.workshop, self.job, self.voices);
        }
        Ok(outcomes.closed())
    }

    fn score(&self, prompt: &Prompt, record: &CallRecord) -> Result<(), PipelineError> {
        match self.scoring {
            Some(scoring) if record.status == CallStatus::Answered => {
                scoring.submit(prompt, &record.teacher, record.text.clone())
            }
            _ => Ok(()),
        }
    }
}

/// Says why an endpoint took no more: the run was stopped, the budget is spent, or something is wrong with it.
pub(super) fn why_closed(workshop: &Workshop<'_>, name: &str, closed: Option<Failure>) -> Result<(), PipelineError> {
    match closed {
        None => Ok(()),
        Some(_) if workshop.runtime.calls.is_given() => Ok(()),
        Some(failure) if failure.class == FailureClass::Stopped && failure.reason.contains("spending cap") => {
            Err(PipelineError::Budget)
        }
        Some(failure) => Err(PipelineError::Endpoint { teacher: name.to_owned(), failure: Box::new(failure) }),
    }
}

/// Returns an outcome as the ledger keeps it; none for what was never sent.
pub(super) fn record(remote: &Remote, teacher: &str, settled: Settled<Asked<Ticket>>) -> Option<(Ticket, CallRecord)> {
    let Settled { exchange, outcome, attempts, seconds, n_maybe_charged } = settled;
    if let Err(failure) = &outcome
        && (failure.class == FailureClass::Stopped || attempts == 0)
    {
        return None;
    }
    let Asked { ticket, body, .. } = exchange;
    let blank = CallRecord {
        key: ticket.key.clone(),
        endpoint: remote.identity().to_owned(),
        teacher: teacher.to_owned(),
        prompt_id: ticket.prompt.id.clone(),
        language: ticket.prompt.language.to_string(),
        sample: ticket.sample,
        request: body.to_string(),
        status: CallStatus::Failed,
        text: String::new(),
        finish_reason: FinishReason::Error,
        failure: None,
        failure_class: None,
        reasoning: None,
        marks: Vec::new(),
        reply: None,
        origin: String::new(),
        tokens_in: None,
        tokens_out: None,
        cost_usd: 0.0,
        costs_unknown: 0,
        n_maybe_charged,
        seconds,
        attempts,
        created_at_unix_ms: clock::now_unix_ms(),
    };
    let record = match outcome {
        Ok(answered) => answered_record(blank, answered),
        Err(failure) => {
            let reason = format!("{}: {}", failure.class.name(), failure.reason);
            CallRecord { failure: Some(reason), failure_class: Some(failure.class), ..blank }
        }
    };
    Some((ticket, record))
}

fn answered_record(blank: CallRecord, Answered { answer, cost_usd, raw }: Answered) -> CallRecord {
    let mut marks: Vec<String> = answer.marks.iter().map(|mark| mark.name().to_owned()).collect();
    if !answer.raw_finish.is_empty() {
        marks.push(format!("finish:{}", answer.raw_finish.replace(char::is_whitespace, "_")));
    }
    CallRecord {
        status: CallStatus::Answered,
        text: answer.text,
        finish_reason: answer.finish,
        reasoning: answer.reasoning,
        marks,
        reply: raw,
        tokens_in: answer.usage.input,
        tokens_out: answer.usage.output,
        cost_usd: cost_usd.unwrap_or(0.0),
        costs_unknown: u32::from(cost_usd.is_none()),
        ..blank
    }
}
