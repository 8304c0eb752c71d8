//! Scores of servers: each answer is scored as it arrives, in batches, through the ledger.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::ScopedJoinHandle,
};

use cambist_core::{digest::Digest, prompt::Prompt};
use cambist_io::{
    clock,
    exchange::{Failure, FailureClass, Settled},
    ledger::{ScoreRecord, score_key},
    transport::{Client, LaneOptions, Outcomes, Submit},
};

use super::asking::why_closed;
use super::remote_arbiter::{RemoteArbiter, ScoreBatch};
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

/// An answer to be scored.
#[derive(Clone)]
pub(super) struct Candidate {
    /// The prompt.
    pub prompt: Prompt,
    /// Who answered.
    pub teacher: String,
    /// The answer.
    pub text: String,
    /// [`candidate_digest`] of it.
    pub digest: Digest,
}

/// Takes answers to be scored.
pub(super) struct Scoring {
    senders: Vec<SyncSender<Candidate>>,
}

impl Scoring {
    /// Runs `work` with arbiters at its side, and returns when everything that was submitted is scored by each of them.
    ///
    /// # Errors
    /// What `work` fails with, else what scoring fails with; one arbiter that fails stops no other.
    pub(super) fn beside(
        (workshop, job): (&Workshop<'_>, &Job),
        arbiters: &[&RemoteArbiter],
        work: impl FnOnce(Option<&Self>) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        if arbiters.is_empty() {
            return work(None);
        }
        let n_scored = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let (mut senders, mut scorers) = (Vec::new(), Vec::new());
            for arbiter in arbiters {
                let (sender, receiver) = sync_channel(QUEUE);
                senders.push(sender);
                let n_scored = &n_scored;
                scorers.push(scope.spawn(move || score_all((workshop, job, n_scored), arbiter, receiver)));
            }
            let scoring = Self { senders };
            let worked = work(Some(&scoring));
            drop(scoring);
            // All are waited for before the first failure is told.
            let scored: Vec<_> = scorers.into_iter().map(join).collect();
            worked.and(scored.into_iter().collect())
        })
    }

    /// Hands an answer over to every arbiter; waits while too many are waiting.
    pub(super) fn submit(&self, prompt: &Prompt, teacher: &str, text: String) -> Result<(), PipelineError> {
        let digest = candidate_digest(prompt, &text);
        let candidate = Candidate { prompt: prompt.clone(), teacher: teacher.to_owned(), text, digest };
        for sender in &self.senders {
            // An arbiter that takes no more has said why; answers are kept all the same.
            let _ = sender.send(candidate.clone());
        }
        Ok(())
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
    let closed = std::thread::scope(|scope| {
        let collector = scope.spawn(|| collect((workshop, job, n_scored), arbiter, outcomes));
        let fed = feed((workshop, &client), arbiter, (receiver, submit));
        let collected =
            collector.join().unwrap_or_else(|_| Err(PipelineError::Internal("a collector panicked".to_owned())));
        Ok::<_, PipelineError>(fed?.or(collected?))
    })?;
    why_closed(workshop, arbiter.name(), closed)
}

/// Makes batches of whatever waits, leaves out what is scored already, and sends them; a server that has nothing to
/// score is not even asked what its rewards are.
fn feed(
    (workshop, client): (&Workshop<'_>, &Client),
    arbiter: &RemoteArbiter,
    (receiver, submit): (Receiver<Candidate>, Submit<ScoreBatch>),
) -> Result<Option<Failure>, PipelineError> {
    let mut is_probed = false;
    while let Ok(first) = receiver.recv() {
        let mut waiting = vec![first];
        waiting.extend(receiver.try_iter().take(QUEUE));
        let keys: Vec<Digest> = waiting.iter().map(|candidate| arbiter.key(&candidate.digest)).collect();
        let known = workshop.ledger().find_scores(&keys)?;
        let is_scored = |record: &Option<ScoreRecord>| record.as_ref().is_some_and(|record| record.value.is_some());
        let mut unscored: Vec<Candidate> = waiting
            .into_iter()
            .zip(&known)
            .filter(|(_, record)| !is_scored(record))
            .map(|(candidate, _)| candidate)
            .collect();
        unscored.sort_by(|a, b| a.digest.cmp(&b.digest));
        unscored.dedup_by(|a, b| a.digest == b.digest);
        if !is_probed && !unscored.is_empty() {
            arbiter.probe(workshop, client)?;
            is_probed = true;
        }
        for batch in arbiter.batches(unscored)? {
            match batch {
                Ok(batch) => {
                    if let Err(closed) = submit.send(batch) {
                        return Ok(Some(closed.failure));
                    }
                }
                Err((candidate, reason)) => {
                    let record = missing(arbiter, &candidate, reason);
                    workshop.ledger().put_scores(&[record])?;
                }
            }
        }
    }
    Ok(None)
}

fn collect(
    (workshop, job, n_scored): (&Workshop<'_>, &Job, &AtomicU64),
    arbiter: &RemoteArbiter,
    mut outcomes: Outcomes<ScoreBatch>,
) -> Result<Option<Failure>, PipelineError> {
    let mut batch = Vec::new();
    while let Some(settled) = outcomes.next() {
        batch.push(settled);
        while batch.len() < COMMIT
            && let Some(settled) = outcomes.next_of_batch()
        {
            batch.push(settled);
        }
        let records: Vec<ScoreRecord> = batch.drain(..).flat_map(|settled| records(arbiter, settled)).collect();
        workshop.ledger().put_scores(&records)?;
        let n_new = records.len() as u64;
        let at =
            Advance { done: n_scored.fetch_add(n_new, Ordering::Relaxed) + n_new, total: 0, unit: "scores", note: "" };
        workshop.runtime.progress.scores(&job.label, at);
    }
    Ok(outcomes.closed())
}

/// Returns the outcome of a batch as the ledger keeps it; nothing for what was never sent.
fn records(arbiter: &RemoteArbiter, settled: Settled<ScoreBatch>) -> Vec<ScoreRecord> {
    let Settled { exchange, outcome, attempts, seconds, .. } = settled;
    let n = exchange.candidates.len().max(1) as f64;
    let of = |candidate: &Candidate| ScoreRecord {
        seconds: seconds / n,
        attempts,
        ..missing(arbiter, candidate, String::new())
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
            let record = |(candidate, value): (&Candidate, Result<f64, String>)| ScoreRecord {
                value: value.as_ref().ok().copied(),
                missing: value.err(),
                cost_usd: cost.unwrap_or(0.0),
                costs_unknown: u32::from(cost.is_none()),
                ..of(candidate)
            };
            exchange.candidates.iter().zip(scored.values).map(record).collect()
        }
    }
}

fn missing(arbiter: &RemoteArbiter, candidate: &Candidate, reason: String) -> ScoreRecord {
    ScoreRecord {
        key: score_key(&candidate.digest, arbiter.identity()),
        candidate: candidate.digest.clone(),
        arbiter: arbiter.identity().to_owned(),
        prompt_id: candidate.prompt.id.clone(),
        teacher: candidate.teacher.clone(),
        language: candidate.prompt.language.to_string(),
        value: None,
        missing: Some(reason).filter(|reason| !reason.is_empty()),
        failure_class: None,
        cost_usd: 0.0,
        costs_unknown: 0,
        seconds: 0.0,
        attempts: 0,
        created_at_unix_ms: clock::now_unix_ms(),
    }
}
