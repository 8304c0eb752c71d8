//! One question over HTTP and what came of it, in the words that dialects and the transport share.
//!
//! A dialect encodes and decodes; it never waits, retries or logs. The transport waits, retries and paces; it never
//! looks into a body. Between them stand the types of this module.

use std::time::Duration;

use crate::canonical::json_text;

/// What is sent, without the endpoint's address and without any key material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// `GET` or `POST`.
    pub method: Method,
    /// The path after the endpoint's base, with its leading slash: `/v1/chat/completions`.
    pub path: String,
    /// Headers beyond those of the endpoint, such as `anthropic-version`.
    pub headers: Vec<(String, String)>,
    /// The body; empty for `GET`.
    pub body: Vec<u8>,
    /// The body's `content-type`.
    pub content_type: &'static str,
}

impl HttpCall {
    /// Returns a `POST` of a JSON body.
    pub fn post_json(path: impl Into<String>, body: &serde_json::Value) -> Self {
        Self {
            method: Method::Post,
            path: path.into(),
            headers: Vec::new(),
            body: json_text(body).into_bytes(),
            content_type: "application/json",
        }
    }

    /// Returns a `GET`.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::Get, path: path.into(), headers: Vec::new(), body: Vec::new(), content_type: "" }
    }
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Asks.
    Post,
}

/// What came back, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpReply {
    /// The status.
    pub status: u16,
    /// Names in lower case and values, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Seconds from sending to the first byte.
    pub first_byte_seconds: f64,
    /// Seconds from sending to the last byte.
    pub seconds: f64,
}

impl HttpReply {
    /// Returns the first header called `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether the status is one of the 200s.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What kind of failure it was, and so what is done about it (endpoints specification, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureClass {
    /// No byte came: refused, no such host, reset, TLS. Asked again.
    Transport,
    /// The reply broke off in its middle. Asked again; it may have been charged.
    TransportMid,
    /// The server failed: 500, 502, 503, 504, 408, 409, or the answer was aborted. Asked again.
    Server,
    /// The server has no room: 429, 503 with overload. Back to the queue, no retry is spent; pacing reacts.
    Capacity,
    /// The account is empty. The endpoint pauses.
    Quota,
    /// The key is refused. The endpoint stops.
    Auth,
    /// There is no such model or path: 404, 405. The endpoint stops, since every other call would fail as well.
    NotFound,
    /// The request is wrong: 400, 413, 422. Never asked again.
    Request,
    /// The prompt is longer than the model reads. Never asked again.
    Overlong,
    /// A success that is no JSON: a proxy's page, say. Asked again.
    ContentType,
    /// JSON without the members that it must have. Asked again twice; it was charged.
    Shape,
    /// An empty answer. Asked again once; it was charged.
    Empty,
    /// An answer that cannot be read as what was asked for: schema, verdict. It was charged.
    Content,
    /// A timeout. Asked again twice; it may have been charged.
    Timeout,
    /// The run stopped before it was asked: interrupted, or no money left.
    Stopped,
}

impl FailureClass {
    /// Every class, in the order of the specification.
    pub const ALL: [Self; 15] = [
        Self::Transport,
        Self::TransportMid,
        Self::Server,
        Self::Capacity,
        Self::Quota,
        Self::Auth,
        Self::NotFound,
        Self::Request,
        Self::Overlong,
        Self::ContentType,
        Self::Shape,
        Self::Empty,
        Self::Content,
        Self::Timeout,
        Self::Stopped,
    ];

    /// The word for files and screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::TransportMid => "transport_mid",
            Self::Server => "server",
            Self::Capacity => "capacity",
            Self::Quota => "quota",
            Self::Auth => "auth",
            Self::NotFound => "not_found",
            Self::Request => "request",
            Self::Overlong => "overlong",
            Self::ContentType => "content_type",
            Self::Shape => "shape",
            Self::Empty => "empty",
            Self::Content => "content",
            Self::Timeout => "timeout",
            Self::Stopped => "stopped",
        }
    }

    /// The class that `name` means.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Whether the same request may succeed later, so that another run asks again; the others failed for good.
    pub fn may_pass(self) -> bool {
        !matches!(self, Self::Request | Self::Overlong | Self::Shape | Self::Empty | Self::Content)
    }

    /// Whether the endpoint charges for it.
    pub fn charged(self) -> Charged {
        match self {
            Self::Shape | Self::Empty | Self::Content => Charged::Yes,
            Self::TransportMid | Self::Timeout => Charged::Maybe,
            _ => Charged::No,
        }
    }
}

/// Whether a failed attempt is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    /// It is not.
    No,
    /// Nobody knows; it counts as exposure.
    Maybe,
    /// It is.
    Yes,
}

/// Why an exchange has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {reason}", class.name())]
pub struct Failure {
    /// What kind it was.
    pub class: FailureClass,
    /// What was found, in words, without key material.
    pub reason: String,
    /// The status, where one came.
    pub status: Option<u16>,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Returns a failure without status.
    pub fn new(class: FailureClass, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into(), status: None, retry_after: None }
    }
}

/// One unit of paid work: encodes its request, reads its reply.
pub trait Exchange: Send + 'static {
    /// What a good reply becomes.
    type Answer: Send + 'static;

    /// Returns the request of attempt number `attempt`, from 1; attempts may differ in their sampling seed. Only
    /// answers that came and were of no use ([`FailureClass::Shape`], [`FailureClass::Empty`],
    /// [`FailureClass::Content`]) are counted: after a broken line the same is asked again.
    fn call(&self, attempt: u32) -> HttpCall;

    /// Reads a reply of any status.
    ///
    /// # Errors
    /// What kind of failure the reply is.
    fn read(&mut self, reply: &HttpReply) -> Result<Self::Answer, Failure>;

    /// Changes the request so that it may succeed where it failed for what it says: another name for a field after
    /// [`FailureClass::Request`], a correction after [`FailureClass::Content`]. Returns whether it did and is to be
    /// sent again, which happens once for the former and twice for the latter; never, by default.
    fn mend(&mut self, failure: &Failure) -> bool {
        let _ = failure;
        false
    }

    /// Tokens of the request, and at most how many of the answer: what the tokens-per-minute limit counts with.
    fn tokens(&self) -> TokenEstimate;

    /// Tokens of the answer that came, for pacing; for arbiters those of the request.
    fn tokens_done(&self, answer: &Self::Answer) -> u32;

    /// USD at most, reserved under a cap while it is in flight; none when the price is unknown.
    fn worst_cost_usd(&self) -> Option<f64>;

    /// USD that an answer cost; none when it cannot be told.
    fn cost_usd(&self, answer: &Self::Answer) -> Option<f64>;
}

/// How many tokens an exchange is expected to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenEstimate {
    /// Of the request.
    pub input: u32,
    /// Of the answer, at most.
    pub output_max: u32,
}

/// How an exchange ended, after all its attempts.
#[derive(Debug)]
pub struct Settled<E: Exchange> {
    /// The exchange.
    pub exchange: E,
    /// Its answer, or the last failure.
    pub outcome: Result<E::Answer, Failure>,
    /// How often it was sent.
    pub attempts: u32,
    /// Seconds in flight, all attempts together, waiting apart.
    pub seconds: f64,
    /// Attempts that failed and may have been charged ([`Charged::Maybe`]) or were ([`Charged::Yes`]).
    pub n_maybe_charged: u32,
}
