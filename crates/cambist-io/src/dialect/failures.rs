//! What kind of failure a reply is, by what it means and not by its status alone.

use serde_json::Value;

use super::request::LengthField;
use crate::exchange::{Failure, FailureClass, HttpReply};

mod redact;

pub use redact::redacted;

/// Characters of a server's message that are kept.
const KEPT_CHARS: usize = 300;

/// A class with what was found.
pub(super) struct Refusal {
    /// What kind of failure it is.
    pub(super) class: FailureClass,
    /// What was found, in words.
    pub(super) found: String,
}

/// Returns the failure of `reply`, with the reason redacted and cut.
pub(super) fn failure(reply: &HttpReply, refusal: Refusal) -> Failure {
    Failure {
        class: refusal.class,
        reason: kept(&refusal.found),
        status: Some(reply.status),
        retry_after: super::waits::wait(reply, None).filter(|_| !reply.is_success()),
    }
}

fn kept(text: &str) -> String {
    redacted(text).chars().take(KEPT_CHARS).collect()
}

/// Returns what kind of failure a reply is whose status is no success (endpoints specification, section 9).
///
/// Read in this order: no room (429, 529, overload at 503 or by its type), an empty account (402, `insufficient_quota`,
/// low credit in a 400), a refused key (401, 403), a prompt that is too long, no such model or path (404, 405), any other wrong request (400s), and the
/// rest is the server's.
pub fn classify(reply: &HttpReply) -> Failure {
    let error = ErrorBody::read(&reply.body);
    let class = class_of(reply.status, &error);
    let found = if error.message.is_empty() { format!("status {}", reply.status) } else { error.message.clone() };
    failure(reply, Refusal { class, found })
}

fn class_of(status: u16, error: &ErrorBody) -> FailureClass {
    match status {
        400 | 402 | 403 | 429 if error.says_quota(status) => FailureClass::Quota,
        429 | 529 => FailureClass::Capacity,
        503 if error.says_overload() => FailureClass::Capacity,
        _ if status >= 400 && error.is_overload_type() => FailureClass::Capacity,
        401 | 403 => FailureClass::Auth,
        400 | 413 | 422 if error.says_overlong() => FailureClass::Overlong,
        404 | 405 => FailureClass::NotFound,
        408 | 409 | 425 => FailureClass::Server,
        300..500 => FailureClass::Request,
        _ => FailureClass::Server,
    }
}

/// Returns the other name for the length limit when that is what a refused request asks for: encode it once more with
/// that, and remember it for the endpoint.
pub fn renamed_length_field(failure: &Failure, sent: LengthField) -> Option<LengthField> {
    let complains = failure.class == FailureClass::Request && matches!(failure.status, Some(400 | 422));
    let names_sent = |reason: &str| match sent {
        LengthField::MaxCompletionTokens => reason.contains("max_completion_tokens"),
        LengthField::MaxTokens => reason.contains("max_tokens"),
    };
    (complains && names_sent(&failure.reason)).then(|| sent.other())
}

/// What a server says of a failure, whatever the shape: OpenAI's `{"error": {..}}`, the flat `{"object": "error"}`,
/// TGI's `{"error": "..", "error_type": ".."}`, Anthropic's `{"type": "error", "error": {..}}`, FastAPI's
/// `{"detail": ..}`, Cohere's `{"message": ".."}`, plain text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ErrorBody {
    message: String,
    /// Types and codes in lower case, each with a space behind.
    kind: String,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        match serde_json::from_str::<Value>(text) {
            Ok(value @ Value::Object(_)) => Self::of(&value, text),
            Ok(Value::String(message)) => Self { message, kind: String::new() },
            _ => Self { message: text.to_owned(), kind: String::new() },
        }
    }

    fn of(value: &Value, text: &str) -> Self {
        let inner = value.get("error").filter(|error| error.is_object()).unwrap_or(value);
        let message = ["message", "error", "detail", "msg"].iter().find_map(|name| inner.get(name));
        let message = match message {
            Some(Value::String(message)) => message.clone(),
            Some(other) => other.to_string(),
            None => text.to_owned(),
        };
        let kinds = ["type", "code", "error_type", "status"].iter().filter_map(|name| inner.get(name));
        let outer = ["error_type", "type"].iter().filter_map(|name| value.get(name));
        let mut kind = String::new();
        for word in kinds.chain(outer).filter_map(Value::as_str) {
            kind.push_str(&word.to_ascii_lowercase());
            kind.push(' ');
        }
        Self { message, kind }
    }

    fn says_quota(&self, status: u16) -> bool {
        const PHRASES: [&str; 10] = [
            "insufficient_quota",
            "insufficient quota",
            "exceeded your current quota",
            "credit balance",
            "insufficient credit",
            "out of credits",
            "insufficient balance",
            "insufficient funds",
            "billing",
            "payment required",
        ];
        let by_kind = ["insufficient_quota", "billing", "credit"].iter().any(|word| self.kind.contains(word));
        status == 402 || by_kind || self.says(&PHRASES)
    }

    fn is_overload_type(&self) -> bool {
        self.kind.contains("overloaded")
    }

    fn says_overload(&self) -> bool {
        const PHRASES: [&str; 8] = [
            "overload",
            "over capacity",
            "at capacity",
            "no slot",
            "slot unavailable",
            "too many requests",
            "queue is full",
            "server busy",
        ];
        self.is_overload_type() || self.kind.contains("unavailable_error slot") || self.says(&PHRASES)
    }

    fn says_overlong(&self) -> bool {
        const PHRASES: [&str; 13] = [
            "context length",
            "context_length",
            "context window",
            "context size",
            "maximum context",
            "prompt is too long",
            "prompt too long",
            "input is too long",
            "too many tokens",
            "must have less than",
            "maximum model length",
            "max_model_len",
            "max_total_tokens",
        ];
        let by_kind = ["context_length_exceeded", "exceed_context_size"].iter().any(|word| self.kind.contains(word));
        by_kind || self.says(&PHRASES)
    }

    fn says(&self, phrases: &[&str]) -> bool {
        let message = self.message.to_ascii_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }
}
