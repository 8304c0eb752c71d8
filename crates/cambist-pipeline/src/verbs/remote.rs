//! A teacher behind a server: what it is asked, and what an answer means.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cambist_core::{
    prompt::{Message, Prompt, Role},
    teacher::Price,
};
use cambist_io::{
    dialect::{
        answer::TeacherAnswer,
        decode::decode,
        encode::{self, encode_body},
        failures::renamed_length_field,
        identity::{endpoint_identity, seed_for},
        probe::ServerFacts,
        request::{EncodeOptions, LengthField, RenderedPrompt, RequestSampling, TeacherRequest, Thinking},
        teacher::TeacherDialect,
    },
    endpoint::Endpoint,
    exchange::{Exchange, Failure, HttpCall, HttpReply, TokenEstimate},
    formats,
    money::{price::Price as ListedPrice, table::Lane},
};
use cambist_model::{ChatFormat, ModelFiles, Sampling};
use serde_json::Value;

use crate::{
    error::PipelineError,
    recipe::{Manner, PoolMember, Recipe},
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

/// What every question to one teacher shares.
struct Wire {
    dialect: TeacherDialect,
    thinking: Thinking,
    /// Whether the length limit is called `max_completion_tokens`; turned once when the server says so.
    is_completion_length: AtomicBool,
    listed: Option<ListedPrice>,
    price: Price,
    has_price: bool,
    keeps_raw: bool,
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
        let listed = |lane| recipe.prices.find(&endpoint.base_url, &endpoint.model, lane).cloned();
        let wire = |listed: Option<ListedPrice>| Wire {
            dialect,
            thinking: member.request.thinking,
            is_completion_length: AtomicBool::new(length_field == LengthField::MaxCompletionTokens),
            listed,
            price: member.price(),
            has_price: member.has_price(),
            keeps_raw: recipe.keep_raw,
        };
        let live = Arc::new(wire(listed(Lane::Live)));
        let batch_wire = Arc::new(wire(listed(Lane::Batch).or_else(|| listed(Lane::Live))));
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
        self.wire.listed.is_some()
    }

    /// Returns the body of the request as the ledger names it: without seed, with the length limit under its first
    /// name.
    pub(super) fn body(&self, prompt: &Prompt, sampling: &Sampling) -> Result<Value, PipelineError> {
        let mut messages = prompt.messages.clone();
        if let Some(system) = &self.manner.system {
            messages.insert(0, Message { role: Role::System, content: system.clone() });
        }
        let request = TeacherRequest {
            rendered: self.chat_format.as_ref().map(|format| self.render(format, &messages)).transpose()?,
            messages,
            model: self.endpoint.model.clone(),
            sampling: self.sampling(sampling),
            response_schema: self.manner.json_schema.clone(),
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
            max_tokens: u32::try_from(of_step.max_new_tokens).unwrap_or(u32::MAX),
            ..RequestSampling::default()
        })
    }

    /// Returns the exchange that asks for answer number `sample` with the body from [`Remote::body`].
    pub(super) fn exchange<T: Send + 'static>(&self, asked: (T, Value), seed_and_sample: (u64, u32)) -> Asked<T> {
        self.exchange_on(Lane::Live, asked, seed_and_sample)
    }

    /// As [`Remote::exchange`], at the price of a lane.
    pub(super) fn exchange_on<T: Send + 'static>(
        &self,
        lane: Lane,
        (ticket, body): (T, Value),
        (seed, sample): (u64, u32),
    ) -> Asked<T> {
        let seed = seed_for(seed, &body, sample);
        let wire = if lane == Lane::Batch { &self.batch_wire } else { &self.wire };
        Asked { ticket, body, seed, wire: wire.clone() }
    }
}

/// Reads a tokenizer and a chat template from a folder.
pub(super) fn chat_format(folder: &Path) -> Result<ChatFormat, PipelineError> {
    let files = ModelFiles(formats::read_model_folder(folder)?);
    let name = folder.display().to_string();
    ChatFormat::from_files(&files)
        .map_err(|error| PipelineError::input(&name, error.to_string(), "give a whole folder"))
}

/// One question on its way, with whatever its sender wants back beside the answer.
pub(super) struct Asked<T> {
    /// What the sender wants back.
    pub ticket: T,
    /// The body as the ledger names it.
    pub body: Value,
    seed: u32,
    wire: Arc<Wire>,
}

/// An answer, what it cost, and the raw reply where it is kept.
pub(super) struct Answered {
    /// The answer.
    pub answer: TeacherAnswer,
    /// USD; none when nobody can tell.
    pub cost_usd: Option<f64>,
    /// The reply, not yet compressed.
    pub raw: Option<Vec<u8>>,
}

impl<T: Send + 'static> Exchange for Asked<T> {
    type Answer = Answered;

    fn call(&self, attempt: u32) -> HttpCall {
        let mut body = self.body.clone();
        // An empty answer is asked for again with another seed: the same one would come back.
        let seed = self.seed.wrapping_add(attempt.saturating_sub(1)) & 0x7fff_ffff;
        encode::put_seed(self.wire.dialect, &mut body, seed);
        if self.wire.is_completion_length.load(Ordering::Relaxed)
            && let Some(members) = body.as_object_mut()
            && let Some(limit) = members.shift_remove(LengthField::MaxTokens.name())
        {
            members.insert(LengthField::MaxCompletionTokens.name().to_owned(), limit);
        }
        encode::call(self.wire.dialect, &body)
    }

    fn read(&mut self, reply: &HttpReply) -> Result<Answered, Failure> {
        let answer = decode(self.wire.dialect, self.wire.thinking, reply)?;
        Ok(Answered {
            cost_usd: self.wire.cost_usd(&answer, reply),
            raw: self.wire.keeps_raw.then(|| reply.body.clone()),
            answer,
        })
    }

    /// Takes the other name of the length limit when the server asks for it.
    fn mend(&mut self, failure: &Failure) -> bool {
        let is_completion = self.wire.is_completion_length.load(Ordering::Relaxed);
        let sent = if is_completion { LengthField::MaxCompletionTokens } else { LengthField::MaxTokens };
        let Some(wanted) = renamed_length_field(failure, sent) else { return false };
        self.wire.is_completion_length.store(wanted == LengthField::MaxCompletionTokens, Ordering::Relaxed);
        true
    }

    fn tokens(&self) -> TokenEstimate {
        TokenEstimate { input: estimated_tokens(&self.body), output_max: self.max_tokens() }
    }

    fn tokens_done(&self, answered: &Answered) -> u32 {
        answered.answer.usage.output.unwrap_or(1)
    }

    fn worst_cost_usd(&self) -> Option<f64> {
        let TokenEstimate { input, output_max } = self.tokens();
        if let Some(listed) = &self.wire.listed {
            return Some(listed.worst(u64::from(input), u64::from(output_max)).usd());
        }
        self.wire.has_price.then(|| self.wire.price.of(Some(input), Some(output_max)))
    }

    fn cost_usd(&self, answered: &Answered) -> Option<f64> {
        answered.cost_usd
    }
}

impl<T> Asked<T> {
    fn max_tokens(&self) -> u32 {
        let of = |body: &Value| {
            let names = ["max_tokens", "max_new_tokens", "n_predict"];
            names.iter().find_map(|name| body.get(*name)?.as_u64())
        };
        let inner = || ["sampling_params", "parameters"].iter().find_map(|name| of(self.body.get(*name)?));
        u32::try_from(of(&self.body).or_else(inner).unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

impl Wire {
    fn cost_usd(&self, answer: &TeacherAnswer, reply: &HttpReply) -> Option<f64> {
        if let Some(listed) = &self.listed {
            let raw: Value = serde_json::from_slice(&reply.body).ok()?;
            return listed.cost(&raw, &answer.usage).map(|cost| cost.usd());
        }
        let counted = answer.usage.input.is_some() && answer.usage.output.is_some();
        if !self.has_price {
            return Some(0.0);
        }
        counted.then(|| self.price.of(answer.usage.input, answer.usage.output))
    }
}

/// At most how many tokens a request has: a token is rarely shorter than two bytes of text, whatever the script.
pub(super) fn estimated_tokens(body: &Value) -> u32 {
    fn n_bytes(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(n_bytes).sum(),
            Value::Object(members) => members.values().map(n_bytes).sum(),
            _ => 2,
        }
    }
    u32::try_from(n_bytes(body).div_ceil(2)).unwrap_or(u32::MAX)
}
