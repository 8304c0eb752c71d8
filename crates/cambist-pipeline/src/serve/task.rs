//! A request under way, and the reply that grows.

use std::sync::Arc;

use cambist_io::serve::api::{AnswerSlot, ApiAnswer, EventSink};
use cambist_model::{AnswerRequest, Drawn, Tokenizer};
use serde_json::{Value, json};

use super::{
    prompts::Prompt,
    refusal::Refusal,
    reply::{Choice, Head, Told, chat_log_probs, completion_log_probs, finish_word, usage},
    request::{Ask, Kind},
};

/// Where a reply goes.
#[derive(Debug)]
pub(super) enum Outlet {
    /// As one.
    Whole(AnswerSlot),
    /// In events.
    Events(EventSink),
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Task {
    ask: Ask,
    outlet: Option<Outlet>,
    head: Head,
    choices: Vec<Choice>,
    n_unfinished: usize,
}

impl Task {
    pub(super) fn new(ask: Ask, outlet: Outlet, head: Head) -> Self {
        let n_choices = ask.prompts.len() * ask.n;
        Self { ask, outlet: Some(outlet), head, choices: vec![Choice::default(); n_choices], n_unfinished: n_choices }
    }

    /// The requests for its answers, numbered from `first_ticket`; those to one prompt stand together.
    pub(super) fn requests(&self, first_ticket: u64) -> Vec<AnswerRequest> {
        let request = |choice: usize| {
            let (prompt, sample) = (&self.prompt(choice).tokens, choice % self.ask.n);
            let how = (Arc::clone(&self.ask.sampling), sample.to_string());
            AnswerRequest {
                n_top: self.ask.n_top,
                // One of several answers to a prompt brings the prompt's log-probabilities for all of them.
                n_top_of_prompt: self.ask.n_top.filter(|_| self.ask.echo && sample == 0),
                streams: self.ask.stream.is_some(),
                ..AnswerRequest::new(first_ticket + choice as u64, Arc::clone(prompt), how)
            }
        };
        (0..self.choices.len()).map(request).collect()
    }

    /// How many answers it asks for.
    pub(super) fn n_choices(&self) -> u64 {
        self.choices.len() as u64
    }

    /// Whether the client has left.
    pub(super) fn is_abandoned(&self) -> bool {
        match &self.outlet {
            Some(Outlet::Whole(slot)) => slot.is_abandoned(),
            Some(Outlet::Events(sink)) => sink.is_abandoned(),
            None => true,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.n_unfinished == 0 || self.outlet.is_none()
    }

    /// Says what every reply in events begins with.
    pub(super) fn open(&mut self) {
        let (is_chat, n) = (self.ask.kind == Kind::Chat, self.choices.len());
        if let (Some(Outlet::Events(sink)), true) = (&self.outlet, is_chat) {
            for index in 0..n {
                let delta = json!({"role": "assistant", "content": ""});
                let choice = json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": null});
                sink.send(&self.head.chunk(Kind::Chat, (vec![choice], Value::Null)).to_string());
            }
        }
    }

    /// Takes one more token, or the end, of one of its answers.
    pub(super) fn take(&mut self, tokenizer: &Tokenizer, (index, drawn): (usize, Drawn)) {
        if self.outlet.is_none() {
            return;
        }
        let is_first = self.choices[index].tokens_out == 0 && self.choices[index].tokens.is_empty();
        let mut news = Choice::default();
        if is_first && self.ask.echo {
            news = self.echoed(index, &drawn);
        }
        news.tokens_out += u32::from(drawn.finished.is_none());
        let offset = self.n_echoed_chars(index) + drawn.offset;
        news.tokens.extend(drawn.token.map(|known| Told { token: known.token, offset, log_prob: Some(known) }));
        match drawn.finished {
            None => news.text.push_str(&drawn.text),
            Some(Ok(answer)) => {
                let text = if self.ask.stream.is_some() { drawn.text } else { answer.text };
                news.text.push_str(&text);
                news.finish = Some(answer.finish_reason);
                self.choices[index].tokens_out = answer.tokens_out;
                self.n_unfinished -= 1;
            }
            Some(Err(error)) => return self.fail(&Refusal::ours(error.to_string())),
        }
        if let (Some(Outlet::Events(sink)), true) = (&self.outlet, news.tells()) {
            let chunk = self.part(tokenizer, (index, &news), true);
            sink.send(&self.head.chunk(self.ask.kind, (vec![chunk], Value::Null)).to_string());
        }
        let choice = &mut self.choices[index];
        choice.text.push_str(&news.text);
        choice.tokens.extend(news.tokens);
        choice.finish = news.finish;
        if choice.finish.is_none() {
            choice.tokens_out += news.tokens_out;
        }
        if self.n_unfinished == 0 {
            self.close(tokenizer);
        }
    }

    fn prompt(&self, index: usize) -> &Prompt {
        &self.ask.prompts[index / self.ask.n]
    }

    /// How many characters stand before an answer.
    fn n_echoed_chars(&self, index: usize) -> usize {
        if self.ask.echo && self.ask.n_top.is_some() { self.prompt(index).text.chars().count() } else { 0 }
    }

    /// The prompt of an answer as the beginning of its text. The answers to one prompt after the first have its
    /// log-probabilities from there.
    fn echoed(&self, index: usize, drawn: &Drawn) -> Choice {
        let Prompt { tokens, text, offsets } = self.prompt(index);
        let mut echoed = Choice { text: text.clone(), ..Choice::default() };
        if self.ask.n_top.is_some() {
            let first = &self.choices[index / self.ask.n * self.ask.n].tokens;
            echoed.tokens = match drawn.prompt.is_empty() && first.len() >= tokens.len() {
                true => first[..tokens.len()].to_vec(),
                false => {
                    let known = drawn.prompt.iter().cloned().map(Some);
                    let told = tokens.iter().zip(offsets).zip(std::iter::once(None).chain(known));
                    told.map(|((token, offset), log_prob)| Told { token: *token, offset: *offset, log_prob }).collect()
                }
            };
        }
        echoed
    }

    /// One answer, or what is new of it, in the shape of its kind.
    fn part(&self, tokenizer: &Tokenizer, (index, choice): (usize, &Choice), is_chunk: bool) -> Value {
        let tells = self.ask.n_top.is_some() && !choice.tokens.is_empty();
        let finish = finish_word(choice.finish);
        if self.ask.kind == Kind::Completion {
            let log_probs = tells.then(|| completion_log_probs(tokenizer, &choice.tokens));
            return json!({"index": index, "text": choice.text, "logprobs": log_probs, "finish_reason": finish});
        }
        let log_probs = tells.then(|| chat_log_probs(tokenizer, &choice.tokens));
        let (name, message) = match is_chunk {
            true if choice.text.is_empty() => ("delta", json!({})),
            true => ("delta", json!({"content": choice.text})),
            false => ("message", json!({"role": "assistant", "content": choice.text})),
        };
        json!({"index": index, name: message, "logprobs": log_probs, "finish_reason": finish})
    }

    fn close(&mut self, tokenizer: &Tokenizer) {
        let n_prompt = self.ask.prompts.iter().map(|prompt| prompt.tokens.len()).sum();
        let usage = usage(n_prompt, self.choices.iter().map(|choice| choice.tokens_out).sum());
        match self.outlet.take() {
            Some(Outlet::Whole(slot)) => {
                let choices = self.choices.iter().enumerate();
                let choices = choices.map(|choice| self.part(tokenizer, choice, false)).collect();
                slot.fill(ApiAnswer { status: 200, body: self.head.whole(self.ask.kind, (choices, usage)) });
            }
            Some(Outlet::Events(sink)) => {
                if self.ask.stream == Some(true) {
                    sink.send(&self.head.chunk(self.ask.kind, (vec![], usage)).to_string());
                }
                sink.send("[DONE]");
            }
            None => (),
        }
    }

    /// Ends the reply with what went wrong.
    pub(super) fn fail(&mut self, refusal: &Refusal) {
        match self.outlet.take() {
            Some(Outlet::Whole(slot)) => slot.fill(refusal.answer()),
            Some(Outlet::Events(sink)) => sink.send(&refusal.answer().body.to_string()),
            None => (),
        }
    }
}
