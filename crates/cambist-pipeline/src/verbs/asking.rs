//! Gets answers into the ledger: every voice is asked at its own pace, and what is answered is kept at once.
//!
//! The ledger is the only memory: nothing here holds answers, so that a million cells take no more than a thousand.

mod groups;
mod records;

use std::sync::Mutex;

use cambist_core::{digest::Digest, prompt::Prompt};
use cambist_io::{
    exchange::{Failure, FailureClass},
    ledger::{CallRecord, CallStatus},
    transport::{LaneOptions, Outcomes, Submit},
};
use cambist_model::Sampling;
use rayon::prelude::*;

pub(super) use self::records::{Kept, records};
use self::{
    groups::{Group, Groups},
    records::{Earlier, Left},
};
use super::{
    local::{self, CHUNK, Local},
    naming::{Names, Naming},
    probing::Wish,
    remote::{Asked, Remote},
    scoring::Scoring,
    tally::Tally,
    voices::{Speaker, Voice},
};
use crate::{error::PipelineError, plan::Job, run::Workshop};

/// Questions that wait to be sent to one teacher.
const QUEUE: usize = 1024;

/// Prompts whose cells are named together before they are sent.
const NAMED: usize = 32;

/// Outcomes that are kept in one transaction, at most.
const COMMIT: usize = 1024;

/// Answers that one request asks for, at most.
const MOST_ANSWERS: usize = 64;

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
    pub scoring: Option<&'a Scoring<'a>>,
    /// Whether several answers to one prompt are wanted of each voice, in their order.
    pub several: Vec<bool>,
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
    /// The seed of its sampling, for servers that take one.
    pub seed: u32,
    /// What asking for it together with others has cost already.
    pub earlier: Earlier,
}

impl Ticket {
    /// Of a cell that was not asked for yet.
    pub(super) fn new(prompt: Prompt, sample: u32, (key, seed): (Digest, u32)) -> Self {
        Self { prompt, sample, key, seed, earlier: Earlier::default() }
    }
}

/// Whether several answers to one prompt are wanted, from the prompts of a voice's cells in their order.
pub(super) fn wants_several<P: PartialEq>(mut prompts: impl Iterator<Item = P>) -> bool {
    let Some(mut before) = prompts.next() else { return false };
    prompts.any(|prompt| std::mem::replace(&mut before, prompt) == before)
}

impl Asking<'_> {
    /// Asks every voice for its cells, all voices at once, and returns when each is answered or given up. Servers are
    /// asked first what they can do.
    ///
    /// # Errors
    /// When a server is not there or has no such model: then nobody is asked.
    /// When the run was stopped, an endpoint closed itself, or the ledger cannot be written; what was answered is kept.
    pub(super) fn ask(&self, cells: &CellsOf<'_>, tally: &Tally) -> Result<(), PipelineError> {
        self.meet(tally)?;
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

    /// Finds out what the servers can do, all at once, before any of them is paid.
    fn meet(&self, tally: &Tally) -> Result<(), PipelineError> {
        let meet = |(at, voice): (usize, &Voice)| {
            let Speaker::Remote(remote) = &voice.speaker else { return Ok(()) };
            if tally.wanted(at) == 0 {
                return Ok(());
            }
            let wish = Wish { several: self.several.get(at).copied().unwrap_or(false), everything: false };
            self.workshop.probes.meet(self.workshop, (&voice.name, remote), wish).map(drop)
        };
        let met: Vec<Result<(), PipelineError>> = std::thread::scope(|scope| {
            let meet = &meet;
            let asked: Vec<_> = self.voices.iter().enumerate().map(|voice| scope.spawn(move || meet(voice))).collect();
            let panicked = || Err(PipelineError::Internal("a probe panicked".to_owned()));
            asked.into_iter().map(|probe| probe.join().unwrap_or_else(|_| panicked())).collect()
        });
        met.into_iter().collect()
    }

    /// Asks a server for its cells, and then one by one for what it left out of requests for several answers.
    fn ask_remote(
        &self,
        (at, remote): (usize, &Remote),
        cells: &CellsOf<'_>,
        tally: &Tally,
    ) -> Result<(), PipelineError> {
        let cells = cells(at)?;
        let mut left = self.pass((at, remote), tally, |submit| self.feed((at, remote), cells, submit))?;
        while !left.is_empty() {
            left = self.pass((at, remote), tally, |submit| Ok(feed_left(remote, left, &submit)))?;
        }
        Ok(())
    }

    /// Opens a lane, lets `feed` send into it, keeps what comes, and returns what has to be asked for by itself.
    fn pass(
        &self,
        (at, remote): (usize, &Remote),
        tally: &Tally,
        feed: impl FnOnce(Submit<Asked<Vec<Ticket>>>) -> Result<Option<Failure>, PipelineError>,
    ) -> Result<Vec<Left>, PipelineError> {
        let client = self.workshop.client(remote.endpoint(), remote.dialect().key_header())?;
        tally.watch(at, client.clone());
        let options = LaneOptions {
            queue: QUEUE,
            cap: self.workshop.purse(&self.voices[at].name),
            stop: self.workshop.runtime.calls.clone(),
        };
        let (submit, outcomes) = client.lane::<Asked<Vec<Ticket>>>(options);
        let (closed, left) = std::thread::scope(|scope| {
            let collector = scope.spawn(|| self.collect((at, remote), outcomes, tally));
            let fed = feed(submit);
            let collected =
                collector.join().unwrap_or_else(|_| Err(PipelineError::Internal("a collector panicked".to_owned())));
            let (closed, left) = collected?;
            // What closes a lane may come after the last question was handed over.
            Ok::<_, PipelineError>((fed?.or(closed), left))
        })?;
        why_closed(self.workshop, &self.voices[at].name, closed)?;
        self.workshop.checkpoint()?;
        Ok(left)
    }

    /// Sends questions until there are no more, or the endpoint takes none; then says why.
    fn feed(
        &self,
        (at, remote): (usize, &Remote),
        cells: Cells<'_>,
        submit: Submit<Asked<Vec<Ticket>>>,
    ) -> Result<Option<Failure>, PipelineError> {
        let naming = Naming::new(&self.voices[at], self.sampling);
        let mut groups = Groups::of(cells);
        loop {
            let most = if remote.takes_n() { MOST_ANSWERS } else { 1 };
            let named: Vec<Group> =
                std::iter::from_fn(|| groups.next(most)).take(NAMED).collect::<Result<_, PipelineError>>()?;
            if named.is_empty() {
                return Ok(None);
            }
            for tickets in tickets(&naming, named)? {
                let Some(Ticket { prompt, seed, .. }) = tickets.first() else { continue };
                let (body, seed) = (remote.body(&prompt.messages, self.sampling)?, *seed);
                let n = u32::try_from(tickets.len()).unwrap_or(u32::MAX);
                if let Err(closed) = submit.send(remote.exchange((tickets, body), (seed, n))) {
                    return Ok(Some(closed.failure));
                }
            }
        }
    }

    /// Keeps outcomes as they come: whatever has arrived by the time the last batch is on the disk is the next batch.
    /// Says why the lane closed before its time, if so, and what has to be asked for by itself.
    fn collect(
        &self,
        (at, remote): (usize, &Remote),
        mut outcomes: Outcomes<Asked<Vec<Ticket>>>,
        tally: &Tally,
    ) -> Result<(Option<Failure>, Vec<Left>), PipelineError> {
        let mut batch = Vec::with_capacity(COMMIT);
        let mut all_left = Vec::new();
        while let Some(settled) = outcomes.next() {
            batch.push(settled);
            while batch.len() < COMMIT
                && let Some(settled) = outcomes.next_of_batch()
            {
                batch.push(settled);
            }
            let (mut tickets, mut kept): (Vec<Ticket>, Vec<CallRecord>) = (Vec::new(), Vec::new());
            for settled in batch.drain(..) {
                // All answers of one reply are kept in one transaction: they were asked for together, and would be again.
                let Kept { calls, left } = records(remote, &self.voices[at].name, settled);
                all_left.extend(left);
                for (ticket, record) in calls {
                    tickets.push(ticket);
                    kept.push(record);
                }
            }
            self.workshop.ledger().put_calls(&kept)?;
            for (ticket, record) in tickets.into_iter().zip(&kept) {
                tally.settle(at, record);
                self.score(&ticket.prompt, record)?;
            }
            tally.show(self.workshop, self.job, self.voices);
        }
        Ok((outcomes.closed(), all_left))
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

/// Names the cells of some prompts, all together.
fn tickets(naming: &Naming<'_>, groups: Vec<Group>) -> Result<Vec<Vec<Ticket>>, PipelineError> {
    let mut names = Names::default();
    for (prompt, samples) in &groups {
        for &sample in samples {
            names.push(naming, (prompt, sample))?;
            names.push_seed(naming, (prompt, sample))?;
        }
    }
    let mut named = names.keys_and_seeds();
    let mut ticket = |prompt: &Prompt, sample| Some(Ticket::new(prompt.clone(), sample, named.next()??));
    let mut of_prompt = |(prompt, samples): &(Prompt, Vec<u32>)| {
        samples.iter().filter_map(|&sample| ticket(prompt, sample)).collect::<Vec<_>>()
    };
    Ok(groups.iter().map(&mut of_prompt).collect())
}

/// Sends what was left out, each by itself.
fn feed_left(remote: &Remote, left: Vec<Left>, submit: &Submit<Asked<Vec<Ticket>>>) -> Option<Failure> {
    for Left { ticket, body } in left {
        let seed = ticket.seed;
        if let Err(closed) = submit.send(remote.exchange((vec![ticket], body), (seed, 1))) {
            return Some(closed.failure);
        }
    }
    None
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
