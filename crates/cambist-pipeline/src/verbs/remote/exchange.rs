//! One question on its way, and what its reply is worth.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use cambist_core::teacher::Price;
use cambist_io::{
    dialect::{
        answer::TokenUsage,
        decode::decode_all,
        encode,
        failures::renamed_length_field,
        probe::as_probe,
        request::{LengthField, Thinking},
        stream::{assembled, put_stream},
        teacher::TeacherDialect,
    },
    exchange::{Exchange, Failure, FailureClass, HttpCall, HttpReply, TokenEstimate},
    money::price::Price as ListedPrice,
};
use serde_json::Value;

use super::shares::{Share, Whole, share, whole_usage};
use crate::recipe::{ManyAnswers, PoolMember};

/// What every question to one teacher shares.
pub(super) struct Wire {
    dialect: TeacherDialect,
    thinking: Thinking,
    /// Whether the length limit is called `max_completion_tokens`; turned once when the server says so.
    is_completion_length: AtomicBool,
    /// Whether replies come in events.
    streams: bool,
    /// Whether one request may ask for several answers; turned when the server does not give them.
    takes_n: AtomicBool,
    listed: Option<ListedPrice>,
    price: Price,
    has_price: bool,
    keeps_raw: bool,
}

impl Wire {
    /// At no price by rules.
    pub(super) fn new(dialect: TeacherDialect, member: &PoolMember, length_field: LengthField) -> Self {
        Self {
            dialect,
            thinking: member.request.thinking,
            is_completion_length: AtomicBool::new(length_field == LengthField::MaxCompletionTokens),
            streams: false,
            takes_n: AtomicBool::new(member.request.n == ManyAnswers::Native),
            listed: None,
            price: member.price(),
            has_price: member.has_price(),
            keeps_raw: true,
        }
    }

    /// With a price by rules, if there is one.
    pub(super) fn at_price(self, listed: Option<ListedPrice>, keeps_raw: bool) -> Self {
        Self { listed, keeps_raw, ..self }
    }

    /// With replies in events.
    pub(super) fn in_events(self, streams: bool) -> Self {
        Self { streams, ..self }
    }

    pub(super) fn has_price_rules(&self) -> bool {
        self.listed.is_some()
    }

    pub(super) fn length_field(&self) -> LengthField {
        let is_completion = self.is_completion_length.load(Ordering::Relaxed);
        if is_completion { LengthField::MaxCompletionTokens } else { LengthField::MaxTokens }
    }

    pub(super) fn call_length(&self, field: LengthField) {
        self.is_completion_length.store(field == LengthField::MaxCompletionTokens, Ordering::Relaxed);
    }

    pub(super) fn takes_n(&self) -> bool {
        self.takes_n.load(Ordering::Relaxed)
    }

    pub(super) fn take_n(&self, takes: bool) {
        self.takes_n.store(takes, Ordering::Relaxed);
    }

    /// USD of a whole reply; none when it cannot be told.
    fn cost_usd(&self, usage: &TokenUsage, reply: &HttpReply) -> Option<f64> {
        if let Some(listed) = &self.listed {
            let raw: Value = serde_json::from_slice(&reply.body).ok()?;
            return listed.cost(&raw, usage).map(|cost| cost.usd());
        }
        if !self.has_price {
            return Some(0.0);
        }
        let counted = usage.input.is_some() && usage.output.is_some();
        counted.then(|| self.price.of(usage.input, usage.output))
    }
}

/// One question on its way, with whatever its sender wants back beside the answers.
pub(in crate::verbs) struct Asked<T> {
    /// What the sender wants back.
    pub ticket: T,
    /// The body as the ledger names it.
    pub body: Value,
    seed: u32,
    n: u32,
    /// Whether it asks for its first answer alone, because the server refused it as a whole.
    is_alone: bool,
    is_trial: bool,
    wire: Arc<Wire>,
}

/// What a reply holds.
pub(in crate::verbs) struct Answered {
    /// One place for each answer that was asked for; empty where none came.
    pub shares: Vec<Option<Share>>,
    /// USD of all; none when nobody can tell.
    pub cost_usd: Option<f64>,
    /// Tokens of all answers, where they were counted.
    pub tokens_out: Option<u32>,
    /// The reply, not yet compressed.
    pub raw: Option<Vec<u8>>,
}

impl<T> Asked<T> {
    /// For one answer.
    pub(super) fn new(ticket: T, body: Value, wire: &Arc<Wire>) -> Self {
        Self { ticket, body, seed: 0, n: 1, is_alone: false, is_trial: false, wire: Arc::clone(wire) }
    }

    pub(super) fn with_seed(self, seed: u32) -> Self {
        Self { seed, ..self }
    }

    pub(super) fn for_answers(self, n: u32) -> Self {
        Self { n, ..self }
    }

    /// Whether the server refused to give its answers together.
    pub(in crate::verbs) fn is_alone(&self) -> bool {
        self.is_alone
    }

    pub(super) fn for_trial(self) -> Self {
        Self { is_trial: true, ..self }
    }

    fn max_tokens(&self) -> u32 {
        let of = |body: &Value| {
            let names = ["max_tokens", "max_new_tokens", "n_predict"];
            names.iter().find_map(|name| body.get(*name)?.as_u64())
        };
        let inner = || ["sampling_params", "parameters"].iter().find_map(|name| of(self.body.get(*name)?));
        u32::try_from(of(&self.body).or_else(inner).unwrap_or(0)).unwrap_or(u32::MAX).saturating_mul(self.n)
    }
}

impl<T: Send + 'static> Exchange for Asked<T> {
    type Answer = Answered;

    fn call(&self, attempt: u32) -> HttpCall {
        let mut body = self.body.clone();
        // An empty answer is asked for again with another seed: the same one would come back.
        let seed = self.seed.wrapping_add(attempt.saturating_sub(1)) & 0x7fff_ffff;
        encode::put_seed(self.wire.dialect, &mut body, seed);
        if self.is_trial || (self.wire.takes_n() && !self.is_alone) {
            encode::put_n(self.wire.dialect, &mut body, self.n);
        }
        if self.wire.streams {
            put_stream(self.wire.dialect, &mut body);
        }
        if self.wire.length_field() == LengthField::MaxCompletionTokens
            && let Some(members) = body.as_object_mut()
            && let Some(limit) = members.shift_remove(LengthField::MaxTokens.name())
        {
            members.insert(LengthField::MaxCompletionTokens.name().to_owned(), limit);
        }
        let call = encode::call(self.wire.dialect, &body);
        if self.is_trial { as_probe(call) } else { call }
    }

    fn read(&mut self, reply: &HttpReply) -> Result<Answered, Failure> {
        let reply = &*assembled(self.wire.dialect, reply)?;
        let answers = decode_all(self.wire.dialect, self.wire.thinking, reply)?;
        // It was refused together and is answered alone, or nobody cares how many were asked for.
        if answers.len() == 1 && self.n > 1 {
            self.wire.take_n(false);
        }
        let usage = whole_usage(self.wire.dialect, &answers);
        let cost_usd = self.wire.cost_usd(&usage, reply);
        Ok(Answered {
            shares: share((self.wire.dialect, self.n), answers, &Whole { usage, cost_usd, price: self.wire.price })?,
            cost_usd,
            tokens_out: usage.output,
            raw: self.wire.keeps_raw.then(|| reply.body.clone()),
        })
    }

    /// Takes the other name of the length limit when the server asks for it, and asks for one answer where several were
    /// refused.
    fn mend(&mut self, failure: &Failure) -> bool {
        let sent = self.wire.length_field();
        if let Some(wanted) = renamed_length_field(failure, sent) {
            self.wire.call_length(wanted);
            return true;
        }
        let may_be_n = failure.class == FailureClass::Request && self.n > 1;
        let asks_alone = may_be_n && !self.is_alone && !self.is_trial;
        self.is_alone |= asks_alone;
        asks_alone
    }

    fn tokens(&self) -> TokenEstimate {
        TokenEstimate { input: estimated_tokens(&self.body), output_max: self.max_tokens() }
    }

    fn tokens_done(&self, answered: &Answered) -> u32 {
        answered.tokens_out.unwrap_or(1)
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

/// At most how many tokens a request has: a token is rarely shorter than two bytes of text, whatever the script.
pub(in crate::verbs) fn estimated_tokens(body: &Value) -> u32 {
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
