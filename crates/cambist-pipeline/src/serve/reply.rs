//! Replies in OpenAI's shapes: whole ones, and the chunks of those that come in events.

use cambist_core::completion::FinishReason;
use cambist_model::{TokenLogProb, Tokenizer};
use serde_json::{Value, json};

use super::request::Kind;

/// What every part of a reply says.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) model: String,
}

/// One answer so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    pub(super) text: String,
    /// The tokens that are told of; the first of a prompt has no log-probability.
    pub(super) tokens: Vec<Told>,
    pub(super) tokens_out: u32,
    pub(super) finish: Option<FinishReason>,
}

impl Choice {
    /// Whether there is anything to tell.
    pub(super) fn tells(&self) -> bool {
        !self.text.is_empty() || !self.tokens.is_empty() || self.finish.is_some()
    }
}

/// A token with its log-probability, if it has one.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) token: u32,
    /// The character of the reply's text in which it begins, as far as the tokens before it tell.
    pub(super) offset: usize,
    pub(super) log_prob: Option<TokenLogProb>,
}

impl Head {
    /// A whole reply.
    pub(super) fn whole(&self, kind: Kind, (choices, usage): (Vec<Value>, Value)) -> Value {
        let object = if kind == Kind::Chat { "chat.completion" } else { "text_completion" };
        self.with(object, choices, usage)
    }

    /// A part of a reply in events.
    pub(super) fn chunk(&self, kind: Kind, (choices, usage): (Vec<Value>, Value)) -> Value {
        let object = if kind == Kind::Chat { "chat.completion.chunk" } else { "text_completion" };
        self.with(object, choices, usage)
    }

    fn with(&self, object: &str, choices: Vec<Value>, usage: Value) -> Value {
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
            "usage": usage,
        })
    }
}

/// What was read and written.
pub(super) fn usage(n_prompt: usize, n_answer: u32) -> Value {
    let total = n_prompt + n_answer as usize;
    json!({"prompt_tokens": n_prompt, "completion_tokens": n_answer, "total_tokens": total})
}

/// OpenAI's word for why an answer ended.
pub(super) fn finish_word(finish: Option<FinishReason>) -> Value {
    match finish {
        None => Value::Null,
        Some(FinishReason::Length) => json!("length"),
        Some(_) => json!("stop"),
    }
}

/// The log-probabilities of tokens of a chat.
pub(super) fn chat_log_probs(tokenizer: &Tokenizer, tokens: &[Told]) -> Value {
    let named = |token: u32, log_prob: f64| {
        let (text, bytes) = spelled(tokenizer, token);
        json!({"token": text, "logprob": finite(log_prob), "bytes": bytes})
    };
    let entry = |told: &Told| {
        let known = told.log_prob.as_ref();
        let mut entry = named(told.token, known.map_or(f64::NEG_INFINITY, |known| known.log_prob));
        entry["top_logprobs"] = known.into_iter().flat_map(|known| &known.top).map(|(t, l)| named(*t, *l)).collect();
        entry
    };
    json!({"content": tokens.iter().map(entry).collect::<Vec<_>>()})
}

/// The log-probabilities of tokens of a completion.
pub(super) fn completion_log_probs(tokenizer: &Tokenizer, tokens: &[Told]) -> Value {
    let (mut names, mut values, mut tops) = (vec![], vec![], vec![]);
    for told in tokens {
        let (text, _) = spelled(tokenizer, told.token);
        values.push(told.log_prob.as_ref().map(|known| finite(known.log_prob)));
        tops.push(told.log_prob.as_ref().map(|known| top(tokenizer, known, &text)));
        names.push(text);
    }
    let offsets: Vec<usize> = tokens.iter().map(|told| told.offset).collect();
    json!({"tokens": names, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets})
}

/// The likeliest tokens by their texts, the token itself among them; of two with one text the likelier.
fn top(tokenizer: &Tokenizer, known: &TokenLogProb, own: &str) -> Value {
    let mut top = serde_json::Map::new();
    top.insert(own.to_owned(), json!(finite(known.log_prob)));
    for (token, log_prob) in &known.top {
        let text = spelled(tokenizer, *token).0;
        if *token != known.token {
            top.entry(text).or_insert(json!(finite(*log_prob)));
        }
    }
    Value::Object(top)
}

/// A token's text and bytes; its name in the vocabulary, without bytes, where it is no whole text.
fn spelled(tokenizer: &Tokenizer, token: u32) -> (String, Value) {
    match tokenizer.token_text(token) {
        Some(text) => {
            let bytes = json!(text.as_bytes());
            (text, bytes)
        }
        None => (tokenizer.token_name(token).unwrap_or_else(|| token.to_string()), Value::Null),
    }
}

/// JSON has no infinity: a token that cannot be has -9999, as other servers write it.
fn finite(log_prob: f64) -> f64 {
    log_prob.max(-9999.0)
}
