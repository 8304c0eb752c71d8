//! A teacher behind a server: what it is asked, and what an answer means.

mod exchange;
mod shares;

use std::{path::Path, sync::Arc};

use cambist_core::prompt::{Message, Role};
use cambist_io::{
    dialect::{
        encode::encode_body,
        identity::endpoint_identity,
        probe::{ServerFacts, TRIAL_PROMPT, TRIAL_TOKENS},
        request::{EncodeOptions, LengthField, RenderedPrompt, RequestSampling, TeacherRequest},
        teacher::TeacherDialect,
    },
    endpoint::Endpoint,
    formats,
    money::table::Lane,
};
use cambist_model::{ChatFormat, ModelFiles, Sampling};
use serde_json::Value;

use self::exchange::Wire;
pub(super) use self::{
    exchange::{Answered, Asked, estimated_tokens},
    shares::Share,
};
use crate::{
    error::PipelineError,
    recipe::{Manner, ManyAnswers, PoolMember, Recipe},
};

/// A teacher behind a server.
pub(super) struct Remote {
    teacher: String,
    endpoint: Endpoint,
    dialect: TeacherDialect,
    manner: Manner,
    identity: String,
    chat_format: Option<ChatFormat>,
    wire: Arc<Wire>,
    batch_wire: Arc<Wire>,
}

impl Remote {
    /// Reads what the recipe says of the teacher.
    pub(super) fn open(recipe: &Recipe, folder: &Path, member: &PoolMember) -> Result<Self, PipelineError> {
        let Some(endpoint) = member.endpoint.clone() else {
            return Err(PipelineError::Internal(format!("`{}` has no endpoint", member.id)));
        };
        let unknown = || PipelineError::Internal(format!("`{}` passed the check and is no dialect", endpoint.dialect));
        let dialect = TeacherDialect::ALL.into_iter().find(|d| d.name() == endpoint.dialect).ok_or_else(unknown)?;
        let length_field = member.request.length_field.unwrap_or_else(|| LengthField::usual(&endpoint.base_url));
        let wire = |lane| {
            let listed = recipe.prices.find(&endpoint.base_url, &endpoint.model, lane).cloned();
            Wire::new(dialect, member, length_field).at_price(listed, recipe.keep_raw)
        };
        let streams = member.request.stream.unwrap_or_else(|| endpoint.timeouts.is_long());
        let live = Arc::new(wire(Lane::Live).in_events(streams && dialect.streams()));
        let is_listed = recipe.prices.find(&endpoint.base_url, &endpoint.model, Lane::Batch).is_some();
        let batch_wire = Arc::new(wire(if is_listed { Lane::Batch } else { Lane::Live }));
        Ok(Self {
            teacher: member.id.clone(),
            identity: endpoint_identity(&endpoint, dialect.name(), &ServerFacts::default()),
            chat_format: member.request.tokenizer.as_deref().map(|path| chat_format(&folder.join(path))).transpose()?,
            manner: member.request.clone(),
            endpoint,
            dialect,
            wire: live,
            batch_wire,
        })
    }

    /// What names it in the ledger.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How it is asked.
    pub(super) fn dialect(&self) -> TeacherDialect {
        self.dialect
    }

    /// Whether what a call costs is read from the reply by rules.
    pub(super) fn has_price_rules(&self) -> bool {
        self.wire.has_price_rules()
    }

    /// The folder of its tokenizer, as the recipe writes it.
    pub(super) fn tokenizer(&self) -> Option<&Path> {
        self.manner.tokenizer.as_deref()
    }

    /// Its tokenizer, where the recipe names one.
    pub(super) fn chat_format(&self) -> Option<&ChatFormat> {
        self.chat_format.as_ref()
    }

    /// The JSON schema that its answers must follow.
    pub(super) fn json_schema(&self) -> Option<&Value> {
        self.manner.json_schema.as_ref()
    }

    /// What the length limit is called, as far as it is known.
    pub(super) fn length_field(&self) -> LengthField {
        self.wire.length_field()
    }

    /// Takes the length limit's name from an earlier trial.
    pub(super) fn call_length(&self, field: LengthField) {
        self.wire.call_length(field);
    }

    /// Whether it is to be found out if one request may ask for several answers.
    pub(super) fn may_take_n(&self) -> bool {
        self.manner.n == ManyAnswers::Auto && self.dialect.takes_n() && !self.sets_n()
    }

    /// Asks for several answers in one request from now on.
    pub(super) fn take_n(&self) {
        self.wire.take_n(true);
    }

    /// Whether several answers are asked for in one request; turns false when the server does not give them.
    pub(super) fn takes_n(&self) -> bool {
        self.wire.takes_n()
    }

    /// Whether the recipe merges a number of its own into every body.
    fn sets_n(&self) -> bool {
        self.endpoint.extra_body.as_ref().is_some_and(|extra| extra.get("n").is_some())
    }

    /// Returns the body of the request as the ledger names it: without seed, with the length limit under its first
    /// name.
    pub(super) fn body(&self, messages: &[Message], sampling: &Sampling) -> Result<Value, PipelineError> {
        self.encoded(messages.to_vec(), self.sampling(sampling), self.manner.json_schema.clone())
    }

    fn encoded(
        &self,
        mut messages: Vec<Message>,
        sampling: RequestSampling,
        response_schema: Option<Value>,
    ) -> Result<Value, PipelineError> {
        if let Some(system) = &self.manner.system {
            messages.insert(0, Message { role: Role::System, content: system.clone() });
        }
        let request = TeacherRequest {
            rendered: self.chat_format.as_ref().map(|format| self.render(format, &messages)).transpose()?,
            messages,
            model: self.endpoint.model.clone(),
            sampling,
            response_schema,
            chat_template_kwargs: self.manner.chat_template_kwargs.clone(),
            extra_body: self.endpoint.extra_body.clone(),
            thinking: self.manner.thinking,
            prefill: None,
        };
        let options = EncodeOptions { server: self.manner.server, ..EncodeOptions::default() };
        let remedy = "change `endpoint.dialect` or the teacher's `request`";
        encode_body(self.dialect, &request, options)
            .map_err(|error| PipelineError::input(&self.teacher, error.to_string(), remedy))
    }

    /// Returns a small question that shows what the server does: for `n` answers of a few tokens, with a seed, as JSON
    /// where `as_json` is set and the recipe has a schema.
    pub(super) fn trial(&self, n: u32, seed: u32, as_json: bool) -> Result<Asked<()>, PipelineError> {
        let usual = self.manner.sampling.clone().unwrap_or_default();
        let sampling = RequestSampling { temperature: 1.0, max_tokens: TRIAL_TOKENS, stop: Vec::new(), ..usual };
        let schema = self.manner.json_schema.clone().filter(|_| as_json);
        let body = self.encoded(vec![Message::user(TRIAL_PROMPT)], sampling, schema)?;
        Ok(Asked::new((), body, &self.wire).with_seed(seed).for_answers(n).for_trial())
    }

    fn render(&self, format: &ChatFormat, messages: &[Message]) -> Result<RenderedPrompt, PipelineError> {
        let refused = |error: cambist_model::EncodeError| {
            PipelineError::input(&self.teacher, error.to_string(), "mend the template in `request.tokenizer`")
        };
        let text = format.render(messages, true).map_err(refused)?;
        let ids = format.encode(&text).map_err(refused)?;
        Ok(RenderedPrompt { text, ids })
    }

    fn sampling(&self, of_step: &Sampling) -> RequestSampling {
        self.manner.sampling.clone().unwrap_or_else(|| RequestSampling {
            temperature: of_step.temperature,
            top_p: of_step.top_p,
            top_k: of_step.top_k.map(|k| u32::try_from(k).unwrap_or(u32::MAX)),
            min_p: of_step.min_p,
            repetition_penalty: of_step.repetition_penalty,
            presence_penalty: of_step.presence_penalty,
            frequency_penalty: of_step.frequency_penalty,
            stop: of_step.stop.clone(),
            max_tokens: u32::try_from(of_step.max_new_tokens).unwrap_or(u32::MAX),
            ..RequestSampling::default()
        })
    }

    /// Returns the exchange that asks for an answer and the `n` - 1 behind it, with the body from [`Remote::body`] and
    /// the seed of the first.
    pub(super) fn exchange<T: Send + 'static>(&self, (ticket, body): (T, Value), (seed, n): (u32, u32)) -> Asked<T> {
        Asked::new(ticket, body, &self.wire).with_seed(seed).for_answers(n)
    }

    /// As [`Remote::exchange`] for one answer, at the price of batches.
    pub(super) fn exchange_in_batch<T: Send + 'static>(&self, (ticket, body): (T, Value), seed: u32) -> Asked<T> {
        Asked::new(ticket, body, &self.batch_wire).with_seed(seed)
    }
}

/// Reads a tokenizer and a chat template from a folder.
pub(super) fn chat_format(folder: &Path) -> Result<ChatFormat, PipelineError> {
    let files = ModelFiles(formats::read_tokenizer_folder(folder)?);
    let name = folder.display().to_string();
    ChatFormat::from_files(&files)
        .map_err(|error| PipelineError::input(&name, error.to_string(), "give a whole folder"))
}
