//! Local models answer, in chunks, through the ledger.

use std::ops::ControlFlow;

use cambist_core::{completion::FinishReason, prompt::Prompt};
use cambist_io::{
    clock,
    ledger::{CallRecord, CallStatus},
};
use cambist_model::{EncodeError, GenerateRequest, Generated, LocalModel, Sampling};

use super::voices::{Question, Voice};
use crate::{error::PipelineError, plan::Job, run::Workshop};

/// Answers that are generated together; also what is lost at most when a run is killed.
pub(super) const CHUNK: usize = 64;

/// A local model and how its answers are drawn.
pub(super) struct Local<'a> {
    /// The voice that it speaks with.
    pub voice: &'a Voice,
    /// The model.
    pub model: &'a LocalModel,
    /// Its name in the ledger.
    pub endpoint: &'a str,
    /// How answers are drawn.
    pub sampling: &'a Sampling,
}

/// A prompt, which of several answers, and the question in the ledger.
pub(super) type Asked = (Prompt, u32, Question);

impl Local<'_> {
    /// Answers a chunk of questions and keeps the answers in the ledger; returns what was kept, in the same order.
    pub(super) fn answer(
        &self,
        workshop: &Workshop<'_>,
        job: &Job,
        asked: &[Asked],
    ) -> Result<Vec<CallRecord>, PipelineError> {
        let request = |(prompt, _, question): &Asked| GenerateRequest {
            messages: prompt.messages.clone(),
            sampling_key: question.key.to_string(),
        };
        let requests: Vec<GenerateRequest> = asked.iter().map(request).collect();
        let mut answers: Vec<Option<Result<Generated, EncodeError>>> = requests.iter().map(|_| None).collect();
        let started = clock::now_unix_ms();
        let mut on_done = |at: usize, answer| {
            answers[at] = Some(answer);
            ControlFlow::Continue(())
        };
        cambist_model::generate(self.model, &requests, (self.sampling, CHUNK), &mut on_done)
            .map_err(|error| PipelineError::model(&job.label, error))?;
        let seconds = clock::now_unix_ms().saturating_sub(started) as f64 / 1e3 / asked.len().max(1) as f64;
        let records: Vec<CallRecord> =
            asked.iter().zip(answers).map(|(asked, answer)| self.record(asked, answer, (started, seconds))).collect();
        workshop.ledger().put_calls(&records)?;
        Ok(records)
    }

    fn record(
        &self,
        (prompt, sample, question): &Asked,
        answer: Option<Result<Generated, EncodeError>>,
        (started, seconds): (u64, f64),
    ) -> CallRecord {
        let (answer, failure) = match answer {
            Some(Ok(answer)) => (Some(answer), None),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, Some("the model gave no answer".to_owned())),
        };
        let tokens_in = answer.as_ref().map(|answer| answer.tokens_in);
        let tokens_out = answer.as_ref().map(|answer| answer.tokens_out);
        CallRecord {
            key: question.key.clone(),
            endpoint: self.endpoint.to_owned(),
            teacher: self.voice.name.clone(),
            prompt_id: prompt.id.clone(),
            language: prompt.language.to_string(),
            sample: *sample,
            request: question.request.to_string(),
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
            cost_usd: self.voice.price.of(tokens_in, tokens_out),
            costs_unknown: 0,
            n_maybe_charged: 0,
            seconds,
            attempts: 1,
            created_at_unix_ms: started,
        }
    }
}
