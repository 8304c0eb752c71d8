//! One request in the hands of the server that answers it.

use serde_json::{Value, json};

use super::{
    answer::{self, Answer, Question},
    asked::Asked,
    draw::Draw,
    fault::{ErrorShape, Fault},
    options::MockOptions,
    reply::{Problem, Reply},
};

/// The moment that every reply claims to be made at, so that equal requests have equal replies.
pub(crate) const CREATED: u64 = 1_760_000_000;

/// A request, its attempt and what goes wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<'a> {
    /// How the server behaves.
    pub(crate) options: &'a MockOptions,
    /// The request.
    pub(crate) asked: &'a Asked,
    /// How often its cell has been asked, from 1.
    pub(crate) attempt: u32,
    /// The fault that strikes.
    pub(crate) fault: Option<Fault>,
}

impl<'a> Turn<'a> {
    /// Chance of this cell.
    pub(crate) fn draw(&self) -> Draw {
        Draw::new(self.options.seed).with(self.asked.cell)
    }

    /// The reply's name: another one at every attempt.
    pub(crate) fn id(&self, prefix: &str) -> String {
        format!("{prefix}-{:016x}-{}", self.asked.cell, self.attempt)
    }

    /// Returns a question of this cell.
    pub(crate) fn question(&self, prompt: String, max_tokens: Option<u64>) -> Question<'a> {
        Question {
            model: self.asked.model(),
            context: String::new(),
            prompt,
            max_tokens: max_tokens.and_then(|most| usize::try_from(most).ok()),
            schema: None,
            draw: self.draw(),
        }
    }

    /// Returns `n` answers to a question.
    pub(crate) fn answers(&self, question: &Question<'_>, n: usize) -> Vec<Answer> {
        (0..n).map(|index| answer::answer(question, index, self.options)).collect()
    }

    /// Returns a refusal of the request itself.
    pub(crate) fn refuse(&self, message: &str, param: &str) -> Reply {
        let shape =
            if self.asked.path.starts_with("/v1/messages") { ErrorShape::Anthropic } else { ErrorShape::Openai };
        Reply::error(400, Problem { kind: "invalid_request_error", message, param: Some(param) }, shape)
    }
}

/// Returns what was said in a chat before the user's last turn, and that turn.
pub(crate) fn said(messages: &Value) -> (String, String) {
    let turns: Vec<&Value> = messages.as_array().map(|turns| turns.iter().collect()).unwrap_or_default();
    let last = turns.iter().rposition(|turn| turn["role"] == "user").unwrap_or(turns.len().saturating_sub(1));
    let mut context = String::new();
    for turn in turns.iter().take(last) {
        context.push_str(&text_of(&turn["content"]));
        context.push('\n');
    }
    (context, turns.get(last).map(|turn| text_of(&turn["content"])).unwrap_or_default())
}

/// Returns the text of a content that is a string or a list of parts.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// Returns the usage member of OpenAI's shape.
pub(crate) fn usage(n_in: usize, n_out: usize) -> Value {
    json!({
        "prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out,
        "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
    })
}
