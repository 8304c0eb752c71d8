//! Whoever answers: local models, recorded answers, servers.

use std::collections::HashMap;

use cambist_core::{
    completion::{Completion, FinishReason},
    digest::Digest,
    prompt::{Message, Prompt},
    teacher::Price,
};
use cambist_io::{
    batch_files::BATCH_ORIGIN,
    dialect::identity::seed_for,
    formats::{self, RecordedAnswer},
    ledger::{CallOutcome, call_key},
};
use cambist_model::{Dtype, Head, LocalModel, Sampling};
use serde_json::{Value, json};

use super::{forecast::BYTES_PER_TOKEN, remote::Remote};
use crate::{
    checkpoint::{Bases, Checkpoint, local_identity},
    error::PipelineError,
    plan::{Input, Job},
    recipe::{PoolMember, Replay},
    run::Workshop,
};

/// A teacher, or a student under test, that can be asked.
pub(super) struct Voice {
    /// Its name on completions.
    pub name: String,
    /// What it costs.
    pub price: Price,
    /// Who it is.
    pub speaker: Speaker,
}

/// Who answers.
pub(super) enum Speaker {
    /// A model in this process; `endpoint` names its weights in the ledger.
    Local { model: Box<LocalModel>, endpoint: String },
    /// Recorded answers by prompt and sample.
    Recorded(HashMap<(String, u32), RecordedAnswer>),
    /// A server.
    Remote(Box<Remote>),
}

/// A question with its name in the ledger.
pub(super) struct Question {
    /// [`call_key`] of it.
    pub key: Digest,
    /// The seed of its sampling, for servers that take one.
    pub seed: u32,
    /// What the key is made of: the request without what changes no answer.
    pub request: Value,
}

impl Voice {
    /// Opens a member of the pool.
    pub(super) fn open(workshop: &Workshop<'_>, job: &Job, member: &PoolMember) -> Result<Self, PipelineError> {
        let speaker = if let Some(replay) = &member.replay {
            recorded(workshop, &member.id, replay)?
        } else if let Some(folder) = &member.folder {
            let bases = Bases::of_recipe(&workshop.plan.folder);
            let checkpoint = Checkpoint::of_folder(&workshop.plan.folder.join(folder), bases)?;
            local(job, &checkpoint, (checkpoint.digest().as_str(), member.dtype))?
        } else if member.endpoint.is_some() {
            Speaker::Remote(Box::new(Remote::open(&workshop.plan.recipe, &workshop.plan.folder, member)?))
        } else {
            let input = job.input(&format!("teacher {}", member.id))?;
            trained(workshop, job, (input, member.dtype))?
        };
        Ok(Self { name: member.id.clone(), price: member.price(), speaker })
    }

    /// Opens a checkpoint that this recipe trained, under the name of its part, with weights in `dtype`.
    pub(super) fn of_checkpoint(
        workshop: &Workshop<'_>,
        job: &Job,
        input: &Input,
        dtype: Option<Dtype>,
    ) -> Result<Self, PipelineError> {
        let speaker = trained(workshop, job, (input, dtype))?;
        Ok(Self { name: input.part.clone(), price: Price::default(), speaker })
    }

    /// Returns what asking for answer `sample` to `prompt` means in the ledger; none for recorded answers, which
    /// nobody is asked for.
    pub(super) fn question(
        &self,
        prompt: &Prompt,
        (sampling, sample): (&Sampling, u32),
    ) -> Result<Option<Question>, PipelineError> {
        let request = self.request(&prompt.messages, sampling)?;
        let Some((endpoint, request)) = self.endpoint().zip(request) else { return Ok(None) };
        let key = call_key(endpoint, &request, sample);
        Ok(Some(Question { key, seed: seed_for(sampling.seed, &request, sample), request }))
    }

    /// Returns what its calls are named by beside the sample; none for recorded answers.
    pub(super) fn request(&self, messages: &[Message], sampling: &Sampling) -> Result<Option<Value>, PipelineError> {
        match &self.speaker {
            Speaker::Recorded(_) => Ok(None),
            Speaker::Local { .. } => Ok(Some(json!({ "messages": messages, "sampling": sampling }))),
            Speaker::Remote(remote) => remote.body(messages, sampling).map(Some),
        }
    }

    /// What names it in the ledger; none for recorded answers.
    pub(super) fn endpoint(&self) -> Option<&str> {
        match &self.speaker {
            Speaker::Recorded(_) => None,
            Speaker::Local { endpoint, .. } => Some(endpoint),
            Speaker::Remote(remote) => Some(remote.identity()),
        }
    }

    /// Returns an answer as a completion: `record` is what the ledger knows, unused for recorded answers.
    pub(super) fn completion(&self, prompt: &Prompt, sample: u32, record: Option<CallOutcome>) -> Option<Completion> {
        if let Speaker::Recorded(answers) = &self.speaker {
            return Some(self.replayed(answers, prompt, sample));
        }
        let call = record?;
        let list_price = self.price.of(call.tokens_in, call.tokens_out);
        // A batch has a price of its own, which the ledger knows.
        let is_as_paid = self.has_price_rules() || call.origin.starts_with(BATCH_ORIGIN);
        let cost_usd = if is_as_paid { call.cost_usd } else { list_price };
        Some(Completion {
            text: call.text,
            finish_reason: call.finish_reason,
            failure: call.failure,
            tokens_in: call.tokens_in,
            tokens_out: call.tokens_out,
            cost_usd,
            ..self.blank(prompt, sample)
        })
    }

    fn has_price_rules(&self) -> bool {
        matches!(&self.speaker, Speaker::Remote(remote) if remote.has_price_rules())
    }

    /// A recorded answer is whole and has no token counts; it costs what its length comes to at the price that the recipe
    /// names, so that strategies can be compared in money. One that is not there is a failure.
    fn replayed(&self, answers: &HashMap<(String, u32), RecordedAnswer>, prompt: &Prompt, sample: u32) -> Completion {
        let found = answers.get(&(prompt.id.clone(), sample));
        let blank = self.blank(prompt, sample);
        match found.and_then(|answer| answer.text.clone()) {
            Some(text) => {
                let asked: usize = prompt.messages.iter().map(|turn| turn.content.len()).sum();
                let [tokens_in, tokens_out] = [asked, text.len()].map(|n| Some((n as f64 / BYTES_PER_TOKEN) as u32));
                Completion { text, cost_usd: self.price.of(tokens_in, tokens_out), ..blank }
            }
            None => Completion {
                finish_reason: FinishReason::Error,
                failure: Some("no recorded answer".to_owned()),
                ..blank
            },
        }
    }

    fn blank(&self, prompt: &Prompt, sample: u32) -> Completion {
        Completion {
            prompt_id: prompt.id.clone(),
            source_id: prompt.source_id.clone(),
            language: prompt.language.clone(),
            teacher: self.name.clone(),
            sample,
            text: String::new(),
            finish_reason: FinishReason::Stop,
            failure: None,
            tokens_in: None,
            tokens_out: None,
            cost_usd: 0.0,
            origin: None,
        }
    }
}

fn trained(
    workshop: &Workshop<'_>,
    job: &Job,
    (input, dtype): (&Input, Option<Dtype>),
) -> Result<Speaker, PipelineError> {
    let bases = Bases::of_recipe(&workshop.plan.folder);
    let checkpoint = Checkpoint::of_artifact(workshop.store, &workshop.artifact(&input.id)?, bases)?;
    local(job, &checkpoint, (input.id.digest.as_str(), dtype))
}

fn local(job: &Job, checkpoint: &Checkpoint, (digest, dtype): (&str, Option<Dtype>)) -> Result<Speaker, PipelineError> {
    let endpoint = local_identity(digest, dtype);
    let model = checkpoint.open_for_inference(dtype).map_err(|source| PipelineError::model(&job.label, source))?;
    if model.head() == Head::Reward {
        let what = "a teacher is a model with a reward head, which writes no answers";
        return Err(PipelineError::input(&job.label, what, "list it under `arbiters`"));
    }
    Ok(Speaker::Local { model: Box::new(model), endpoint })
}

fn recorded(workshop: &Workshop<'_>, teacher: &str, replay: &Replay) -> Result<Speaker, PipelineError> {
    let path = workshop.plan.folder.join(&replay.file);
    let model = replay.model.as_deref().unwrap_or(teacher);
    let answers = formats::read_answers_of(&path, &replay.columns, model)?;
    let by_cell: HashMap<_, _> =
        answers.into_iter().map(|answer| ((answer.prompt_id.clone(), answer.sample), answer)).collect();
    if by_cell.is_empty() {
        let what = format!("`{}` has no answer by `{model}`", path.display());
        return Err(PipelineError::input(teacher, what, "set `replay.model` to a model that the file names"));
    }
    Ok(Speaker::Recorded(by_cell))
}
