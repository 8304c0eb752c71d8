//! The cells of servers, shown one by one with what asking them would send, for lanes that are not ours: batch files
//! and answers that others paid for.

use cambist_core::{completion::FinishReason, digest::Digest, prompt::Prompt};
use cambist_io::{
    exchange::{Exchange, Failure, FailureClass, HttpCall, HttpReply, Settled},
    ledger::{CallRecord, CallStatus},
};
use serde_json::Value;

use super::{Generating, survey::Seen, with};
use crate::{
    error::PipelineError,
    plan::Job,
    recipe::params::GenerateParams,
    run::Workshop,
    verbs::{
        asking::{Ticket, records},
        remote::{Asked, Remote},
        voices::{Question, Speaker},
    },
};

/// One answer that the router wants of a server before it has seen any.
pub(crate) struct WantedCell<'a> {
    /// The teacher's name in the pool.
    pub teacher: &'a str,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// Which of several answers.
    pub sample: u32,
    /// The call's name in the ledger.
    pub key: Digest,
    /// Whether the ledger has its answer.
    pub is_answered: bool,
    remote: &'a Remote,
    body: Value,
    seed: u32,
}

/// A text that a teacher is said to have answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ImportedText {
    /// The answer.
    pub text: String,
    /// Why it ended, where that is known.
    pub finish: Option<FinishReason>,
    /// Tokens of the request and of the answer, where they were counted.
    pub tokens: (Option<u32>, Option<u32>),
}

/// What a reply came to: a record to keep, and the class of its failure. What never reached a model has no record.
pub(crate) type Read = (Option<CallRecord>, Option<FailureClass>);

/// The mark of an answer whose request nobody saw.
const IMPORTED_TEXT: &str = "imported_text";

/// Shows every cell of a server, in the order of the prompts.
pub(crate) fn each_wanted(
    workshop: &Workshop<'_>,
    job: &Job,
    params: &GenerateParams,
    show: &mut dyn FnMut(WantedCell<'_>) -> Result<(), PipelineError>,
) -> Result<(), PipelineError> {
    with((workshop, job), params, |work| work.each_wanted(show))
}

impl Generating<'_> {
    fn each_wanted(
        &self,
        show: &mut dyn FnMut(WantedCell<'_>) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        self.look(|prompt, seen| {
            for Seen { cell, is_answered, .. } in seen {
                let voice = &self.voices[usize::from(cell.voice)];
                let Speaker::Remote(remote) = &voice.speaker else { continue };
                let asked = (&self.params.sampling, u32::from(cell.sample));
                let Some(Question { key, seed, request }) = voice.question(prompt, asked)? else { continue };
                show(WantedCell {
                    teacher: &voice.name,
                    prompt,
                    sample: u32::from(cell.sample),
                    key,
                    is_answered,
                    remote,
                    body: request,
                    seed,
                })?;
            }
            Ok(())
        })
    }
}

impl WantedCell<'_> {
    /// The model's name at its endpoint.
    pub(crate) fn model(&self) -> &str {
        &self.remote.endpoint().model
    }

    /// The body as the ledger names it, without seed.
    pub(crate) fn body(&self) -> &Value {
        &self.body
    }

    /// What a run would send.
    pub(crate) fn call(&self) -> HttpCall {
        self.asked().call(1)
    }

    /// Returns the record of a reply that came in a file, at the price of the batch lane.
    pub(crate) fn read(&self, reply: Result<HttpReply, Failure>, origin: String) -> Read {
        let mut asked = self.asked();
        let outcome = reply.and_then(|reply| asked.read(&reply));
        let class = outcome.as_ref().err().map(|failure| failure.class);
        let settled = Settled { exchange: asked, outcome, attempts: 1, seconds: 0.0, n_maybe_charged: 0 };
        let kept = records(self.remote, self.teacher, settled).calls.pop();
        (kept.map(|(_, record)| CallRecord { origin, ..record }), class)
    }

    /// Returns the record of a text whose request nobody saw; what was paid for it is not known.
    pub(crate) fn told(&self, answer: ImportedText, origin: String) -> Option<CallRecord> {
        let unseen = Err(Failure::new(FailureClass::Empty, String::new()));
        let settled =
            Settled { exchange: self.asked(), outcome: unseen, attempts: 1, seconds: 0.0, n_maybe_charged: 0 };
        let (_, blank) = records(self.remote, self.teacher, settled).calls.pop()?;
        Some(CallRecord {
            status: CallStatus::Answered,
            text: answer.text,
            finish_reason: answer.finish.unwrap_or(FinishReason::Stop),
            failure: None,
            failure_class: None,
            marks: vec![IMPORTED_TEXT.to_owned()],
            tokens_in: answer.tokens.0,
            tokens_out: answer.tokens.1,
            attempts: 0,
            origin,
            ..blank
        })
    }

    fn asked(&self) -> Asked<Vec<Ticket>> {
        let ticket = Ticket::new(self.prompt.clone(), self.sample, (self.key.clone(), self.seed));
        self.remote.exchange_in_batch((vec![ticket], self.body.clone()), self.seed)
    }
}
