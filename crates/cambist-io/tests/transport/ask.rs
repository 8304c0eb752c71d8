//! The simplest exchange: a question that the server repeats.

use std::sync::Arc;

use cambist_io::{
    endpoint::{Endpoint, Limits, Retries},
    exchange::{Exchange, Failure, FailureClass, HttpCall, HttpReply, Settled, TokenEstimate},
    money::purse::{Listener, Reservation},
    transport::{AuthHeaders, Client, LaneClosed, LaneOptions, Tempo, Transport, TransportOptions},
};
use serde_json::{Value, json};

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    pub(crate) question: String,
    /// What a 400 makes of it, once.
    pub(crate) mended: Option<String>,
    /// What it costs at most; it costs half.
    pub(crate) usd: Option<f64>,
}

impl Ask {
    pub(crate) fn new(question: impl ToString) -> Self {
        Self { question: question.to_string(), mended: None, usd: None }
    }
}

impl Exchange for Ask {
    type Answer = String;

    fn call(&self, attempt: u32) -> HttpCall {
        let question = match attempt {
            1 => json!(self.question),
            _ => json!(format!("{} sample {attempt}", self.question)),
        };
        HttpCall::post_json("/v1/ask", &question)
    }

    fn read(&mut self, reply: &HttpReply) -> Result<String, Failure> {
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let class = match reply.status {
            200 => return read_answer(&text, reply.header("content-type")),
            401 => FailureClass::Auth,
            429 if text.contains("insufficient_quota") => FailureClass::Quota,
            429 => FailureClass::Capacity,
            400 => FailureClass::Request,
            _ => FailureClass::Server,
        };
        Err(Failure::new(class, format!("{}: {text}", reply.status)))
    }

    fn mend(&mut self, _failure: &Failure) -> bool {
        self.mended.take().map(|mended| self.question = mended).is_some()
    }

    fn tokens(&self) -> TokenEstimate {
        TokenEstimate { input: 10, output_max: 10 }
    }

    fn tokens_done(&self, _answer: &String) -> u32 {
        5
    }

    fn worst_cost_usd(&self) -> Option<f64> {
        self.usd
    }

    fn cost_usd(&self, _answer: &String) -> Option<f64> {
        self.usd.map(|usd| usd / 2.0)
    }
}

fn read_answer(text: &str, content_type: Option<&str>) -> Result<String, Failure> {
    if content_type.is_some_and(|kind| kind.starts_with("text/html")) {
        return Err(Failure::new(FailureClass::ContentType, "a page"));
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| Failure::new(FailureClass::TransportMid, error.to_string()))?;
    match value.get("answer").and_then(Value::as_str) {
        None => Err(Failure::new(FailureClass::Shape, "no answer")),
        Some("") => Err(Failure::new(FailureClass::Empty, "nothing")),
        Some(answer) => Ok(answer.to_owned()),
    }
}

/// Waits that tests can afford.
pub(crate) fn quick() -> Tempo {
    Tempo {
        backoff: 0.002,
        backoff_max: 0.02,
        breaker_open: 0.05,
        cool_down: 0.02,
        cuts_apart: 0.01,
        ..Tempo::default()
    }
}

/// An endpoint with eight requests in flight and no budget for retries but their number.
pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        dialect: "openai-chat".to_owned(),
        base_url: url.to_owned(),
        model: "mock".to_owned(),
        api_key_env: None,
        headers: Default::default(),
        extra_body: None,
        identity: Default::default(),
        limits: Limits { concurrency: Some(8), ..Limits::default() },
        timeouts: Default::default(),
        retries: Retries { max: 6, budget_ratio: 1e9 },
    }
}

/// A client whose keep-alive, limits and retries are those of `endpoint`.
pub(crate) fn client(endpoint: &Endpoint, tempo: Tempo) -> Client {
    client_with(endpoint, AuthHeaders::none(), tempo)
}

pub(crate) fn client_with(endpoint: &Endpoint, keys: AuthHeaders, tempo: Tempo) -> Client {
    let transport = Transport::start(TransportOptions { tempo, ..TransportOptions::default() }).unwrap();
    transport.client(endpoint, keys).unwrap()
}

/// Everything that came out of a lane, by question, and what was not accepted.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) settled: Vec<Settled<Ask>>,
    pub(crate) refused: Vec<LaneClosed<Ask>>,
}

impl Run {
    /// The settled exchange of a question.
    pub(crate) fn of(&self, question: &str) -> &Settled<Ask> {
        self.settled.iter().find(|settled| settled.exchange.question == question).unwrap()
    }

    /// The classes of all failures.
    pub(crate) fn classes(&self) -> Vec<FailureClass> {
        self.settled.iter().filter_map(|settled| settled.outcome.as_ref().err()).map(|failure| failure.class).collect()
    }

    pub(crate) fn n_answered(&self) -> usize {
        self.settled.iter().filter(|settled| settled.outcome.is_ok()).count()
    }
}

/// Sends all and reads all, from two threads.
pub(crate) fn run(client: &Client, options: LaneOptions, asks: Vec<Ask>) -> Run {
    let (submit, outcomes) = client.lane(options);
    let sender = std::thread::spawn(move || asks.into_iter().filter_map(|ask| submit.send(ask).err()).collect());
    let settled = outcomes.collect();
    Run { settled, refused: sender.join().unwrap() }
}

/// A cap that keeps books.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) cap: f64,
    pub(crate) state: std::sync::Mutex<(f64, f64)>,
    listeners: std::sync::Mutex<Vec<Listener>>,
}

impl Books {
    pub(crate) fn new(cap: f64) -> Arc<Self> {
        Arc::new(Self { cap, ..Self::default() })
    }

    /// What was spent, and what is still reserved.
    pub(crate) fn totals(&self) -> (f64, f64) {
        *self.state.lock().unwrap()
    }
}

impl cambist_io::transport::SpendingCap for Books {
    fn reserve(&self, usd: f64) -> Reservation {
        let (spent, reserved) = &mut *self.state.lock().unwrap();
        if *spent + usd > self.cap + 1e-9 {
            return Reservation::Never;
        }
        if *spent + *reserved + usd > self.cap + 1e-9 {
            return Reservation::Later;
        }
        *reserved += usd;
        Reservation::Made
    }

    fn settle(&self, reserved_usd: f64, spent_usd: f64) {
        {
            let (spent, reserved) = &mut *self.state.lock().unwrap();
            *reserved -= reserved_usd;
            *spent += spent_usd;
        }
        self.listeners.lock().unwrap().retain(|listener| listener());
    }

    fn follow(&self, listener: Listener) {
        self.listeners.lock().unwrap().push(listener);
    }
}
