//! Scores of servers: each answer is scored as it arrives, in batches, through the ledger.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::ScopedJoinHandle,
};

use cambist_core::{digest::Digest, prompt::Prompt};
use cambist_io::{
    clock,
    exchange::{Failure, FailureClass, Settled},
    ledger::ScoreRecord,
    transport::{Client, LaneOptions, Outcomes, Submit},
};

use super::{
    arbiters::LedgerArbiter,
    asking::why_closed,
    contest::{Contest, Showing},
    remote_arbiter::{RemoteArbiter, ScoreBatch},
};
use crate::{error::PipelineError, plan::Job, progress::Advance, run::Workshop};

/// Answers that wait to be scored.
const QUEUE: usize = 4096;

/// Outcomes that are kept in one transaction, at most.
const COMMIT: usize = 256;

/// Names an answer to a prompt by what an arbiter sees of it; the same text by two teachers is scored once.
pub(super) fn candidate_digest(prompt: &Prompt, text: &str) -> Digest {
    let turns = prompt.messages.iter().flat_map(|turn| [role(turn).as_bytes(), turn.content.as_bytes()]);
    Digest::of_parts(["cambist candidate".as_bytes()].into_iter().chain(turns).chain([text.as_bytes()]))
}

fn role(turn: &cambist_core::prompt::Message) -> &'static str {
    match turn.role {
        cambist_core::prompt::Role::System => "system",
        cambist_core::prompt::Role::User => "user",
        cambist_core::prompt::Role::Assistant => "assistant",
        cambist_core::prompt::Role::Tool => "tool",
    }
}

/// An answer to be scored, or several to be compared.
#[derive(Clone)]
pub(super) struct Candidate {
    /// The prompt.
    pub prompt: Prompt,
    /// Who answered; everybody, where several are compared.
    pub teacher: String,
    /// The answer, or the one that is shown first.
    pub text: String,
    /// The answers that are shown behind it, where several are compared.
    pub rivals: Vec<String>,
    /// [`candidate_digest`] of it, or the digest of the comparison.
    pub digest: Digest,
}

impl Candidate {
    /// Bytes of the answers.
    pub(super) fn n_bytes(&self) -> u64 {
        (self.text.len() + self.rivals.iter().map(String::len).sum::<usize>()) as u64
    }
}

/// Takes answers to be scored.
pub(super) struct Scoring<'a> {
    senders: Vec<(LedgerArbiter<'a>, SyncSender<Candidate>)>,
}

impl<'a> Scoring<'a> {
    /// Runs `work` with arbiters at its side, and returns when everything that was submitted is scored by each of them.
    ///
    /// # Errors
    /// What `work` fails with, else what scoring fails with; one arbiter that fails stops no other.
    pub(super) fn beside(
        (workshop, job): (&Workshop<'_>, &Job),
        arbiters: &[LedgerArbiter<'a>],
        work: impl FnOnce(Option<&Self>) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        if arbiters.is_empty() {
            return work(None);
        }
        let n_scored = AtomicU64::new(0);
        let threads = rayon::current_num_threads();
        std::thread::scope(|scope| {
            let (mut senders, mut scorers) = (Vec::new(), Vec::new());
            for &arbiter in arbiters {
                let (sender, receiver) = sync_channel(QUEUE);
                senders.push((arbiter, sender));
                let n_scored = &n_scored;
                let of_job = (workshop, job, n_scored);
                scorers.push(scope.spawn(move || match arbiter {
                    LedgerArbiter::Remote(remote) => score_all(of_job, remote, receiver),
                    LedgerArbiter::Local(local) => local.score_all(of_job, (receiver, threads)),
                }));
            }
            let scoring = Self { senders };
            let worked = work(Some(&scoring));
            drop(scoring);
            // All are waited for before the first failure is told.
            let scored: Vec<_> = scorers.into_iter().map(join).collect();
            worked.and(scored.into_iter().collect())
        })
    }

    /// Hands an answer over to every arbiter of single answers; waits while too many are waiting.
    pub(super) fn submit(&self, prompt: &Prompt, teacher: &str, text: String) -> Result<(), PipelineError> {
        let digest = candidate_digest(prompt, &text);
        let candidate =
            Candidate { prompt: prompt.clone(), teacher: teacher.to_owned(), text, rivals: Vec::new(), digest };
        for (_, sender) in self.senders.iter().filter(|(arbiter, _)| arbiter.judge().is_none()) {
            // An arbiter that takes no more has said why; answers are kept all the same.
            let _ = sender.send(candidate.clone());
        }
        Ok(())
    }

    /// Hands what is to be compared over to every judge that compares; `contest` says what each is shown.
    pub(super) fn compare<'c>(&self, contest: impl Fn(&Showing) -> Contest<'c>) {
        for (arbiter, sender) in &self.senders {
            let Some((judge, showing)) = arbiter.judge() else { continue };
            for question in contest(showing).questions(judge) {
                let _ = sender.send(question);
            }
        }
    }
}

fn join(scorer: ScopedJoinHandle<'_, Result<(), PipelineError>>) -> Result<(), PipelineError> {
    scorer.join().unwrap_or_else(|_| Err(PipelineError::Internal("an arbiter panicked".to_owned())))
}

fn score_all(
    (workshop, job, n_scored): (&Workshop<'_>, &Job, &AtomicU64),
    arbiter: &RemoteArbiter,
    receiver: Receiver<Candidate>,
) -> Result<(), PipelineError> {
    let client = workshop.client(arbiter.endpoint(), arbiter.key_header())?;
    let purse = workshop.purse(arbiter.name());
    let options = LaneOptions { queue: 64, cap: purse, stop: workshop.runtime.calls.clone() };
    let (submit, outcomes) = client.lane::<ScoreBatch>(options);
    let asked = Asked { workshop, job, n_scored, arbiter, in_flight: Mutex::default() };
    let closed = std::thread::scope(|scope| {
        let collector = scope.spawn(|| asked.collect(outcomes));
        let fed = asked.feed(&client, receiver, submit);
        let collected =
            collector.join().unwrap_or_else(|_| Err(PipelineError::Internal("a collector panicked".to_owned())));
        Ok::<_, PipelineError>(fed?.or(collected?))
    })?;
    why_closed(workshop, arbiter.name(), closed)
}

/// One arbiter that is asked.
struct Asked<'a> {
    workshop: &'a Workshop<'a>,
    job: &'a Job,
    n_scored: &'a AtomicU64,
    arbiter: &'a RemoteArbiter,
    /// What was sent and is not in the ledger yet: the same text by another teacher waits for no second score.
    in_flight: Mutex<HashSet<Digest>>,
}

impl Asked<'_> {
    /// Makes batches of whatever waits, leaves out what is scored already, and sends them; a server that has nothing to
    /// score is not even asked what its rewards are.
    fn feed(
        &self,
        client: &Client,
        receiver: Receiver<Candidate>,
        submit: Submit<ScoreBatch>,
    ) -> Result<Option<Failure>, PipelineError> {
        let Self { workshop, arbiter, .. } = self;
        let mut is_probed = false;
        while let Ok(first) = receiver.recv() {
            let unscored = self.unscored([first].into_iter().chain(receiver.try_iter().take(QUEUE)).collect())?;
            if !is_probed && !unscored.is_empty() {
                arbiter.probe(workshop, client)?;
                is_probed = true;
            }
            for batch in arbiter.batches(unscored)? {
                match batch {
                    Ok(batch) => {
                        self.in_flight().extend(batch.candidates.iter().map(|candidate| candidate.digest.clone()));
                        if let Err(closed) = submit.send(batch) {
                            return Ok(Some(closed.failure));
                        }
                    }
                    Err((candidate, reason)) => {
                        let record = missing(LedgerArbiter::Remote(arbiter), &candidate, reason);
                        workshop.ledger().put_scores(&[record])?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Those of the waiting that are neither on their way nor in the ledger, each once.
    fn unscored(&self, mut waiting: Vec<Candidate>) -> Result<Vec<Candidate>, PipelineError> {
        // What is on its way is looked at first: it is in the ledger before it is off this list.
        let in_flight = self.in_flight();
        waiting.retain(|candidate| !in_flight.contains(&candidate.digest));
        drop(in_flight);
        unsettled(self.workshop, LedgerArbiter::Remote(self.arbiter), waiting)
    }

    fn collect(&self, mut outcomes: Outcomes<ScoreBatch>) -> Result<Option<Failure>, PipelineError> {
        let Self { workshop, job, n_scored, arbiter, .. } = self;
        let mut batch = Vec::new();
        while let Some(settled) = outcomes.next() {
            batch.push(settled);
            while batch.len() < COMMIT
                && let Some(settled) = outcomes.next_of_batch()
            {
                batch.push(settled);
            }
            let candidates = batch.iter().flat_map(|settled| &settled.exchange.candidates);
            let digests: HashSet<Digest> = candidates.map(|candidate| candidate.digest.clone()).collect();
            let records: Vec<ScoreRecord> = batch.drain(..).flat_map(|settled| records(arbiter, settled)).collect();
            workshop.ledger().put_scores(&records)?;
            self.in_flight().retain(|digest| !digests.contains(digest));
            let n_new = records.len() as u64;
            let done = n_scored.fetch_add(n_new, Ordering::Relaxed) + n_new;
            workshop.runtime.progress.scores(&job.label, Advance { done, total: 0, unit: "scores", note: "" });
        }
        Ok(outcomes.closed())
    }

    fn in_flight(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of the waiting that the ledger has no lasting score of, each once.
pub(super) fn unsettled(
    workshop: &Workshop<'_>,
    arbiter: LedgerArbiter<'_>,
    waiting: Vec<Candidate>,
) -> Result<Vec<Candidate>, PipelineError> {
    let keys: Vec<Digest> = waiting.iter().map(|candidate| arbiter.key(&candidate.digest)).collect();
    let known = workshop.ledger().find_scores(&keys)?;
    let is_open = |record: &Option<ScoreRecord>| !record.as_ref().is_some_and(|r| arbiter.is_settled(r));
    let open = waiting.into_iter().zip(&known).filter(|(_, record)| is_open(record));
    let mut unsettled: Vec<Candidate> = open.map(|(candidate, _)| candidate).collect();
    unsettled.sort_by(|a, b| a.digest.cmp(&b.digest));
    unsettled.dedup_by(|a, b| a.digest == b.digest);
    Ok(unsettled)
}

/// Returns the outcome of a batch as the ledger keeps it; nothing for what was never sent.
fn records(arbiter: &RemoteArbiter, settled: Settled<ScoreBatch>) -> Vec<ScoreRecord> {
    let Settled { exchange, outcome, attempts, seconds, .. } = settled;
    let n = exchange.candidates.len().max(1) as f64;
    let of = |candidate: &Candidate| ScoreRecord {
        seconds: seconds / n,
        attempts,
        ..missing(LedgerArbiter::Remote(arbiter), candidate, String::new())
    };
    match outcome {
        Err(failure) if failure.class == FailureClass::Stopped || attempts == 0 => Vec::new(),
        Err(failure) => {
            let failed = |candidate: &Candidate| ScoreRecord {
                missing: Some(format!("{}: {}", failure.class.name(), failure.reason)),
                failure_class: Some(failure.class),
                ..of(candidate)
            };
            exchange.candidates.iter().map(failed).collect()
        }
        Ok(scored) => {
            let cost = scored.cost_usd.map(|cost| cost / n);
            let share = |tokens: Option<u32>| tokens.map(|tokens| (f64::from(tokens) / n).round() as u32);
            let (tokens_in, tokens_out) = (share(scored.tokens.0), share(scored.tokens.1));
            let record = |(candidate, value): (&Candidate, Result<f64, String>)| ScoreRecord {
                value: value.as_ref().ok().copied(),
                missing: value.err(),
                tokens_in,
                tokens_out,
                cost_usd: cost.unwrap_or(0.0),
                costs_unknown: u32::from(cost.is_none()),
                ..of(candidate)
            };
            exchange.candidates.iter().zip(scored.values).map(record).collect()
        }
    }
}

/// A record without a value, for a reason where there is one.
pub(super) fn missing(arbiter: LedgerArbiter<'_>, candidate: &Candidate, reason: String) -> ScoreRecord {
    ScoreRecord {
        key: arbiter.key(&candidate.digest),
        candidate: candidate.digest.clone(),
        arbiter: arbiter.identity().to_owned(),
        prompt_id: candidate.prompt.id.clone(),
        teacher: candidate.teacher.clone(),
        language: candidate.prompt.language.to_string(),
        value: None,
        missing: Some(reason).filter(|reason| !reason.is_empty()),
        failure_class: None,
        tokens_in: None,
        tokens_out: None,
        cost_usd: 0.0,
        costs_unknown: 0,
        seconds: 0.0,
        attempts: 0,
        created_at_unix_ms: clock::now_unix_ms(),
    }
}
