//! One answer under way.

use std::sync::Arc;

use cambist_core::{chance::Chance, completion::FinishReason};

use super::{
    cache::{Keys, KvCache},
    draw::{Said, draw},
    sampling::Sampling,
    text::GrowingText,
};
use crate::{
    chat::EncodeError,
    log_prob::{LogProbs, TokenLogProb},
    model::LocalModel,
};

/// A request for one answer to a prompt that is tokens already.
#[derive(Clone, Debug)]
pub struct AnswerRequest {
    /// Names the answer in what [`Generation::step`](super::Generation::step) returns.
    pub ticket: u64,
    /// The prompt, at least one token. Requests with equal prompts that are under way together share its computation.
    pub prompt: Arc<[u32]>,
    /// How its tokens are drawn.
    pub sampling: Arc<Sampling>,
    /// Names its random numbers, together with [`Sampling::seed`].
    pub key: String,
    /// Whether each token comes with its log-probability, and with how many of the likeliest ones; without by default.
    pub n_top: Option<usize>,
    /// Whether the tokens of the prompt come with their log-probabilities, and with how many of the likeliest ones;
    /// such a prompt is computed for itself. Without by default.
    pub n_top_of_prompt: Option<usize>,
    /// Whether the text is told as it grows.
    pub streams: bool,
}

impl AnswerRequest {
    /// Returns a request that is told of its end alone, without log-probabilities.
    pub fn new(ticket: u64, prompt: Arc<[u32]>, (sampling, key): (Arc<Sampling>, String)) -> Self {
        Self { ticket, prompt, sampling, key, n_top: None, n_top_of_prompt: None, streams: false }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Its text without control tokens, untrimmed, cut before the first of the texts that end it.
    pub text: String,
    /// Tokens of the prompt, beginning and cue included.
    pub tokens_in: u32,
    /// Tokens drawn, those that ended the answer included.
    pub tokens_out: u32,
    /// Whether the model or a stop text ended it, or the limit did.
    pub finish_reason: FinishReason,
}

/// One more token of an answer, or its end.
#[derive(Debug)]
pub struct Drawn {
    /// The answer, by its request.
    pub ticket: u64,
    /// The prompt's tokens but the first, beside the first token of an answer, where they were asked for.
    pub prompt: Vec<TokenLogProb>,
    /// The token, where log-probabilities were asked for.
    pub token: Option<TokenLogProb>,
    /// Characters of the answer that the tokens before it make in any case: where in the text the token begins, or the
    /// first of the characters whose bytes it shares with its neighbours; 0 without log-probabilities.
    pub offset: usize,
    /// What the text grew by, where that was asked for; empty while a character, a row of byte tokens or a possible stop
    /// text is incomplete.
    pub text: String,
    /// The whole answer after its last token.
    pub finished: Option<Result<Generated, EncodeError>>,
}

/// What a prompt left behind: its keys and values, and the logits of the first token of an answer.
pub(super) struct Prefix {
    pub(super) keys: Arc<Keys>,
    pub(super) logits: Vec<f32>,
}

pub(super) struct Answer {
    pub(super) request: AnswerRequest,
    pub(super) prefix: Arc<Prefix>,
    pub(super) tokens: Vec<u32>,
    pub(super) cache: KvCache,
    pub(super) is_finished: bool,
    said: Said,
    text: Option<GrowingText>,
    chance: Chance,
}

impl Answer {
    pub(super) fn new(request: AnswerRequest, prefix: Arc<Prefix>) -> Self {
        let sampling = &request.sampling;
        let has_text = request.streams || request.n_top.is_some() || !sampling.stop.is_empty();
        Self {
            cache: KvCache { shared: Arc::clone(&prefix.keys), own: prefix.keys.none() },
            prefix,
            tokens: vec![],
            is_finished: false,
            said: if sampling.penalises() { Said::in_prompt(&request.prompt) } else { Said::default() },
            text: has_text.then(GrowingText::default),
            chance: Chance::new(sampling.seed, &["generate", &request.key]),
            request,
        }
    }

    /// How many tokens there are, prompt included.
    pub(super) fn length(&self) -> usize {
        self.request.prompt.len() + self.tokens.len()
    }

    /// Puts what `prefix` says of all tokens so far in the place of what was cached.
    pub(super) fn renew(&mut self, prefix: &Prefix) {
        self.cache = KvCache { shared: Arc::clone(&prefix.keys), own: prefix.keys.none() };
    }

    /// Draws the next token from its logits.
    pub(super) fn draw(&mut self, model: &LocalModel, logits: &mut [f32]) -> Drawn {
        let raw = self.request.n_top.map(|n_top| (logits.to_vec(), n_top));
        let token = draw(logits, (&self.request.sampling, &self.said), &mut self.chance);
        let token_log_prob = raw.map(|(logits, n_top)| LogProbs::new(&logits).token(token, n_top));
        self.tokens.push(token);
        if self.request.sampling.penalises() {
            self.said.push(token);
        }
        let offset = self.text.as_ref().map_or(0, GrowingText::n_chars);
        let reached = self.reached(model, token);
        let (ticket, text) = (self.request.ticket, String::new());
        let mut drawn = Drawn { ticket, prompt: vec![], token: token_log_prob, offset, text, finished: None };
        match reached {
            Ok(Some((reason, by_text))) => {
                self.is_finished = true;
                let answer = self.whole(model, (reason, by_text));
                if let (Ok(answer), Some(text), true) = (&answer, &self.text, self.request.streams) {
                    drawn.text = text.tell_rest(&answer.text);
                }
                drawn.finished = Some(answer);
            }
            Ok(None) => {
                if let (Some(text), true) = (&mut self.text, self.request.streams) {
                    drawn.text = text.tell(&self.request.sampling.stop);
                }
            }
            Err(error) => {
                self.is_finished = true;
                drawn.finished = Some(Err(error));
            }
        }
        drawn
    }

    /// Why the answer is over with `token`, if it is, and whether a stop text was the reason.
    fn reached(&mut self, model: &LocalModel, token: u32) -> Result<Option<(FinishReason, bool)>, EncodeError> {
        if model.chat.is_stop(token) {
            return Ok(Some((FinishReason::Stop, false)));
        }
        if let Some(text) = &mut self.text
            && text.grow(&model.chat.tokenizer, (&self.tokens, &self.request.sampling.stop))?
        {
            return Ok(Some((FinishReason::Stop, true)));
        }
        let room = model.max_positions() - self.request.prompt.len();
        let is_full = self.tokens.len() >= self.request.sampling.max_new_tokens.min(room);
        Ok(is_full.then_some((FinishReason::Length, false)))
    }

    fn whole(&self, model: &LocalModel, (reason, by_text): (FinishReason, bool)) -> Result<Generated, EncodeError> {
        let text = match &self.text {
            Some(text) if by_text => text.text().to_owned(),
            _ => {
                let ended = usize::from(reason == FinishReason::Stop);
                model.chat.tokenizer.decode(&self.tokens[..self.tokens.len() - ended])?
            }
        };
        let (tokens_in, tokens_out) = (self.request.prompt.len() as u32, self.tokens.len() as u32);
        Ok(Generated { text, tokens_in, tokens_out, finish_reason: reason })
    }
}
