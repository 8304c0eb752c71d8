//! Replies before they become bytes.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    asked::Asked,
    fault::{ErrorShape, RetryAfter},
    stream,
};

/// A reply whose body can still be changed member by member.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The `content-type`.
    pub(crate) content_type: &'static str,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body.
    pub(crate) content: Content,
    /// Tokens of the answer, for the latency model.
    pub(crate) n_tokens: usize,
}

/// A body that can still be changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// One value.
    Json(Value),
    /// A teacher's reply that is sent as events; with the usage at its end when asked for.
    Events {
        /// The reply as it would be sent whole.
        whole: Value,
        /// Whether the last event carries the usage.
        with_usage: bool,
    },
    /// Text.
    Text(String),
}

impl Reply {
    /// Returns 200 with JSON.
    pub(crate) fn json(body: Value) -> Self {
        Self {
            status: 200,
            content_type: "application/json",
            headers: Vec::new(),
            content: Content::Json(body),
            n_tokens: 0,
        }
    }

    /// Returns 200 with text.
    pub(crate) fn text(body: impl Into<String>) -> Self {
        let content = Content::Text(body.into());
        Self { status: 200, content_type: "text/plain; charset=utf-8", headers: Vec::new(), content, n_tokens: 0 }
    }

    /// Says how many tokens the answer has.
    pub(crate) fn with_tokens(mut self, n_tokens: usize) -> Self {
        self.n_tokens = n_tokens;
        self
    }

    /// Sends it as events when the request asks for that, with the usage at the end when it asks for that too.
    pub(crate) fn streamed_as(mut self, asked: &Asked) -> Self {
        if asked.flag("stream")
            && let Content::Json(whole) = &mut self.content
        {
            let with_usage = asked.body["stream_options"]["include_usage"].as_bool().unwrap_or(false);
            self.content = Content::Events { whole: whole.take(), with_usage };
            self.content_type = "text/event-stream; charset=utf-8";
        }
        self
    }

    /// Returns a refusal in one of the shapes that servers use.
    pub(crate) fn error(status: u16, problem: Problem<'_>, shape: ErrorShape) -> Self {
        let Problem { kind, message, param } = problem;
        let body = match shape {
            ErrorShape::Openai => json!({"error": {"message": message, "type": kind, "param": param, "code": kind}}),
            ErrorShape::Flat => {
                json!({"object": "error", "message": message, "type": kind, "param": param, "code": status})
            }
            ErrorShape::Tgi => json!({"error": message, "error_type": kind}),
            ErrorShape::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
            ErrorShape::Text => return Self { status, ..Self::text(message) },
        };
        Self { status, ..Self::json(body) }
    }

    /// Adds when to come back.
    pub(crate) fn with_wait(mut self, form: RetryAfter, wait: Duration) -> Self {
        if let (RetryAfter::Body, Some(body @ Value::Object(_))) = (form, self.value_mut()) {
            body["retry_after"] = json!(wait.as_secs_f64());
        }
        self.headers.extend(wait_header(form, wait));
        self
    }

    /// The JSON that a fault may change.
    pub(crate) fn value_mut(&mut self) -> Option<&mut Value> {
        match &mut self.content {
            Content::Json(value) | Content::Events { whole: value, .. } => Some(value),
            Content::Text(_) => None,
        }
    }

    /// Returns the body's bytes; the pieces of events lie apart, so that they can be sent one by one.
    pub(crate) fn pieces(&self) -> Vec<Bytes> {
        match &self.content {
            Content::Json(value) => vec![Bytes::from(value.to_string())],
            Content::Events { whole, with_usage } => stream::events(whole, *with_usage),
            Content::Text(text) => vec![Bytes::from(text.clone())],
        }
    }
}

/// What a refusal says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem<'a> {
    /// The machine's word.
    pub(crate) kind: &'a str,
    /// The human's words.
    pub(crate) message: &'a str,
    /// The member that is wrong.
    pub(crate) param: Option<&'a str>,
}

impl<'a> Problem<'a> {
    /// Returns a problem that no single member is to blame for.
    pub(crate) fn new(kind: &'a str, message: &'a str) -> Self {
        Self { kind, message, param: None }
    }
}

fn wait_header(form: RetryAfter, wait: Duration) -> Option<(&'static str, String)> {
    let date = |when: Option<SystemTime>| when.map(|when| ("retry-after", httpdate::fmt_http_date(when)));
    let seconds = Duration::from_secs(wait.as_millis().div_ceil(1000) as u64);
    match form {
        RetryAfter::Seconds => Some(("retry-after", seconds.as_secs().to_string())),
        RetryAfter::Date => date(SystemTime::now().checked_add(seconds)),
        RetryAfter::PastDate => date(SystemTime::now().checked_sub(Duration::from_secs(3600))),
        RetryAfter::Ms => Some(("retry-after-ms", wait.as_millis().to_string())),
        RetryAfter::Reset => {
            let (minutes, seconds) = (wait.as_secs() / 60, wait.as_secs_f64() % 60.0);
            Some(("x-ratelimit-reset-requests", format!("{minutes}m{seconds}s")))
        }
        RetryAfter::None | RetryAfter::Body => None,
        RetryAfter::Absurd => Some(("retry-after", "950400".to_owned())),
    }
}
