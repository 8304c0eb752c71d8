//! Answers and scores of rows that are in memory anyway, through the ledger like all others.

use cambist_core::{
    completion::{Completion, FinishReason},
    digest::Digest,
    prompt::Prompt,
    score::Score,
};
use cambist_model::Sampling;

use super::{
    arbiters::Scorer,
    asking::{Asking, Cells},
    scoring::{Scoring, candidate_digest},
    tally::Tally,
    voices::Voice,
};
use crate::{error::PipelineError, plan::Job, run::Workshop};

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

/// Gets the answers to `cells`, in their order: from the ledger what was asked before, the rest from the voices.
pub(super) fn ask(
    workshop: &Workshop<'_>,
    job: &Job,
    voices: &[Voice],
    (cells, sampling): (&[Cell<'_>], &Sampling),
) -> Result<Vec<Completion>, PipelineError> {
    let key = |cell: &Cell<'_>| {
        let question = voices[cell.voice].question(cell.prompt, (sampling, cell.sample))?;
        Ok(question.map(|question| question.key))
    };
    let keys: Vec<Option<Digest>> = cells.iter().map(key).collect::<Result<_, PipelineError>>()?;
    let answered = workshop.ledger().settled_keys()?;
    let is_missing = |key: &Option<Digest>| key.as_ref().is_some_and(|key| !answered.contains(key));
    let missing: Vec<&Cell<'_>> = cells.iter().zip(&keys).filter(|(_, key)| is_missing(key)).map(|(c, _)| c).collect();
    let of = |voice: usize| missing.iter().filter(move |cell| cell.voice == voice);
    let wanted: Vec<u64> = (0..voices.len()).map(|voice| of(voice).count() as u64).collect();
    let asking = Asking { workshop, job, voices, sampling, scoring: None };
    let cells_of = |voice: usize| -> Result<Cells<'_>, PipelineError> {
        Ok(Box::new(of(voice).map(|cell| Ok((cell.prompt.clone(), cell.sample)))))
    };
    asking.ask(&cells_of, &Tally::new(&wanted, "answers"))?;
    let asked: Vec<Digest> = keys.iter().flatten().cloned().collect();
    let mut records = workshop.ledger().find_calls(&asked)?.into_iter();
    let lost = || PipelineError::Internal(format!("`{}`: an answer is not in the ledger", job.label));
    let read = |(cell, key): (&Cell<'_>, &Option<Digest>)| {
        let record = if key.is_some() { records.next().flatten() } else { None };
        voices[cell.voice].completion(cell.prompt, cell.sample, record).ok_or_else(lost)
    };
    cells.iter().zip(&keys).map(read).collect()
}

/// Scores answers, in their order; what the arbiter cannot say is missing.
pub(super) fn score(
    (workshop, job): (&Workshop<'_>, &Job),
    scorer: &Scorer,
    answers: &[(&Prompt, &Completion)],
) -> Result<Vec<Score>, PipelineError> {
    let Some(remote) = scorer.remote() else {
        return answers.iter().map(|(prompt, completion)| scorer.score(prompt, completion)).collect();
    };
    let is_answered = |completion: &Completion| completion.finish_reason != FinishReason::Error;
    Scoring::beside((workshop, job), Some(remote), |scoring| {
        let Some(scoring) = scoring else { return Ok(()) };
        for (prompt, completion) in answers.iter().filter(|(_, completion)| is_answered(completion)) {
            scoring.submit(prompt, &completion.teacher, completion.text.clone())?;
        }
        Ok(())
    })?;
    let digest =
        |(prompt, completion): &(&Prompt, &Completion)| remote.key(&candidate_digest(prompt, &completion.text));
    let keys: Vec<Digest> = answers.iter().map(digest).collect();
    let records = workshop.ledger().find_scores(&keys)?;
    let read = |((_, completion), record): (&(&Prompt, &Completion), Option<_>)| scorer.recorded(completion, record);
    Ok(answers.iter().zip(records).map(read).collect())
}
