//! A reward model that runs here: answers are scored as they come, in chunks, through the ledger.

use std::sync::{
    atomic::{AtomicU64, Ordering},
    mpsc::Receiver,
};

use cambist_core::{digest::Digest, prompt::Message};
use cambist_io::{clock, ledger::ScoreRecord};
use cambist_model::{EncodeError, NoReward, RewardModel};

use super::{
    arbiters::LedgerArbiter,
    scoring::{Candidate, missing, unsettled},
};
use crate::{
    checkpoint::{Bases, Checkpoint, local_identity},
    error::PipelineError,
    plan::Job,
    progress::Advance,
    recipe,
    run::Workshop,
};

/// Answers that are scored together; also what is lost at most when a run is killed.
const CHUNK: usize = 64;

/// A reward model in this process.
pub(super) struct LocalArbiter {
    name: String,
    identity: String,
    model: RewardModel,
}

impl LocalArbiter {
    /// Reads the model that the recipe names; none when it names none.
    pub(super) fn open(
        (workshop, job): (&Workshop<'_>, &Job),
        declared: &recipe::Arbiter,
    ) -> Result<Option<Self>, PipelineError> {
        let bases = Bases::of_recipe(&workshop.plan.folder);
        let (checkpoint, digest) = if let Some(folder) = &declared.folder {
            let checkpoint = Checkpoint::of_folder(&workshop.plan.folder.join(folder), bases)?;
            let digest = checkpoint.digest();
            (checkpoint, digest)
        } else if declared.local.is_some() {
            let input = job.input(&format!("arbiter {}", declared.id))?;
            let checkpoint = Checkpoint::of_artifact(workshop.store, &workshop.artifact(&input.id)?, bases)?;
            (checkpoint, input.id.digest.clone())
        } else {
            return Ok(None);
        };
        let model =
            checkpoint.open_for_inference(declared.dtype).map_err(|error| PipelineError::model(&declared.id, error))?;
        let remedy = "name a model with a reward head, or say under `tokens` whose logit is the reward";
        let refused =
            |error: cambist_model::RewardModelError| PipelineError::input(&declared.id, error.to_string(), remedy);
        let model = RewardModel::new(model, declared.tokens.as_ref()).map_err(refused)?;
        let tokens = declared.tokens.as_ref().map(|tokens| format!(" {}", serde_json::json!(tokens)));
        let identity = format!("{}{}", local_identity(digest.as_str(), declared.dtype), tokens.unwrap_or_default());
        Ok(Some(Self { name: declared.id.clone(), identity, model }))
    }

    /// What names it in the ledger: its weights, and whose logit it gives.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Scores what comes, on as many threads as the job has, until nobody sends any more.
    pub(super) fn score_all(
        &self,
        (workshop, job, n_scored): (&Workshop<'_>, &Job, &AtomicU64),
        (receiver, threads): (Receiver<Candidate>, usize),
    ) -> Result<(), PipelineError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| PipelineError::Internal(format!("no threads: {error}")))?;
        while let Ok(first) = receiver.recv() {
            workshop.checkpoint()?;
            let waiting = [first].into_iter().chain(receiver.try_iter().take(CHUNK - 1)).collect();
            let candidates = unsettled(workshop, LedgerArbiter::Local(self), waiting)?;
            let records = pool.install(|| self.score(&candidates))?;
            workshop.ledger().put_scores(&records)?;
            let n_new = records.len() as u64;
            let done = n_scored.fetch_add(n_new, Ordering::Relaxed) + n_new;
            workshop.runtime.progress.scores(&job.label, Advance { done, total: 0, unit: "scores", note: "" });
        }
        Ok(())
    }

    fn score(&self, candidates: &[Candidate]) -> Result<Vec<ScoreRecord>, PipelineError> {
        let conversation = |candidate: &Candidate| {
            let mut messages = candidate.prompt.messages.clone();
            messages.push(Message::assistant(candidate.text.clone()));
            messages
        };
        let conversations: Vec<Vec<Message>> = candidates.iter().map(conversation).collect();
        let started = clock::now_unix_ms();
        let rewards = self.model.rewards(&conversations).map_err(|error| PipelineError::model(&self.name, error))?;
        let seconds = clock::now_unix_ms().saturating_sub(started) as f64 / 1e3 / candidates.len().max(1) as f64;
        let record = |(candidate, reward): (&Candidate, Result<f64, NoReward>)| {
            let (value, reason) = match reward {
                Ok(value) => (Some(value), String::new()),
                Err(error) => (None, why(error)),
            };
            let blank = missing(LedgerArbiter::Local(self), candidate, reason);
            ScoreRecord { value, seconds, attempts: 1, ..blank }
        };
        Ok(candidates.iter().zip(rewards).map(record).collect())
    }

    /// The name of a candidate's score in the ledger.
    pub(super) fn key(&self, candidate: &Digest) -> Digest {
        cambist_io::ledger::score_key(candidate, &self.identity)
    }
}

/// Why there is no score, in the words of servers where they have the same reason.
fn why(error: NoReward) -> String {
    match error {
        NoReward::Encode(EncodeError::TooLong { n_tokens, max_positions }) => {
            format!("overlong: {n_tokens} tokens, the arbiter reads {max_positions}")
        }
        NoReward::Encode(error) => format!("refused: {error}"),
        NoReward::NotFinite(found) => format!("not a number: {found}"),
    }
}
