//! From a request on a connection to its reply.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Method, Request, Response,
    body::Incoming,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    arbiter,
    asked::Asked,
    batch::{self, BatchCall, Shelf},
    draw::Draw,
    fault::{ErrorShape, Fault, FaultRule},
    info::{self, Load},
    options::{Capacity, MockOptions},
    reply::{Problem, Reply},
    reply_body::ReplyBody,
    socket::Line,
    stats::Counter,
    teacher, translate, trouble,
    turn::Turn,
};
use crate::dialect::probe::PROBE_HEADER;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Mock {
    pub(crate) options: MockOptions,
    pub(crate) counter: Counter,
    places: Option<Semaphore>,
    shelf: Mutex<Shelf>,
}

impl Mock {
    /// Sets a server up.
    pub(crate) fn new(options: MockOptions) -> Self {
        let places = match options.capacity {
            Capacity::Queue { n } => Some(Semaphore::new(n.max(1))),
            _ => None,
        };
        Self { options, counter: Counter::default(), places, shelf: Mutex::default() }
    }

    fn load(&self) -> Load {
        let places = match self.options.capacity {
            Capacity::Unlimited => 256,
            Capacity::Queue { n } | Capacity::HardCap { n } => n as u64,
        };
        let in_flight = self.counter.in_flight();
        let running = if self.places.is_some() { in_flight.min(places) } else { in_flight };
        Load { running, waiting: in_flight - running, places }
    }

    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.places.as_ref()?.acquire().await.ok()
    }
}

/// Answers one request.
///
/// # Errors
/// Never; connections are broken by their sockets.
pub(crate) async fn serve(
    mock: Arc<Mock>,
    line: Line,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (head, body) = request.into_parts();
    let raw = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    let content_type = text_header(&head.headers, "content-type");
    let is_probe = head.headers.contains_key(PROBE_HEADER);
    if is_probe {
        mock.counter.probe(route(path));
    } else {
        mock.counter.call(route(path));
    }
    if path.starts_with("/__mock/") {
        return Ok(plain(own(&mock, path)));
    }
    let body = parse(&raw, content_type);
    if !is_let_in(&mock.options, &head.headers, body.as_ref()) {
        return Ok(plain(closed(path)));
    }
    let Some(body) = body else {
        return Ok(plain(Reply::error(400, NO_JSON, ErrorShape::Openai)));
    };
    let asked = Asked::new(path, query, raw, body).about_server(is_probe);
    let is_post = head.method == Method::POST;
    if batch::covers(path) {
        return Ok(plain(in_batch(&mock, (&asked, is_post, content_type))));
    }
    let informative = info::reply(&asked, &mock.options, mock.load());
    Ok(match informative {
        Some(reply) => inform(&mock, &asked, (reply, &line)).await,
        None if is_probe => probe(&mock, &asked, &line).await,
        None => work(&mock, &asked, &line).await,
    })
}

const NO_JSON: Problem<'_> = Problem { kind: "invalid_request_error", message: "the body is no JSON", param: None };

/// The name that a path is counted by.
fn route(path: &str) -> &str {
    match path {
        path if path.starts_with("/v1/messages/batches/") => "/v1/messages/batches/{id}",
        path if path.starts_with("/v1/batches/") => "/v1/batches/{id}",
        path if path.starts_with("/v1/files/") => "/v1/files/{id}",
        path if path.len() > 64 => "other",
        path => path,
    }
}

fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn own(mock: &Mock, path: &str) -> Reply {
    match path {
        "/__mock/stats" => Reply::json(serde_json::to_value(mock.counter.read()).unwrap_or_default()),
        "/__mock/reset" => {
            mock.counter.reset();
            Reply::json(Value::Bool(true))
        }
        _ => nowhere(path),
    }
}

fn nowhere(path: &str) -> Reply {
    let message = format!("there is no route `{path}`");
    Reply::error(404, Problem::new("not_found_error", &message), ErrorShape::Openai)
}

fn is_let_in(options: &MockOptions, headers: &HeaderMap, body: Option<&Value>) -> bool {
    options.auth.as_ref().is_none_or(|key| {
        let bearer = text_header(headers, "authorization").strip_prefix("Bearer ").unwrap_or_default();
        let member = body.and_then(|body| body["api_key"].as_str()).unwrap_or_default();
        key.opens(bearer) || key.opens(text_header(headers, "x-api-key")) || key.opens(member)
    })
}

fn closed(path: &str) -> Reply {
    let shape = if path.starts_with("/v1/messages") { ErrorShape::Anthropic } else { ErrorShape::Openai };
    Reply::error(401, Problem::new("invalid_api_key", "incorrect API key provided"), shape)
}

fn parse(raw: &Bytes, content_type: &str) -> Option<Value> {
    if raw.is_empty() || content_type.starts_with("multipart/") {
        return Some(Value::Null);
    }
    serde_json::from_slice(raw).ok()
}

/// The first rule that fires, among those that are about this kind of request.
fn struck<'a>(
    mock: &'a Mock,
    asked: &Asked,
    attempt: u32,
    is_meant: impl Fn(&FaultRule) -> bool,
) -> Option<&'a FaultRule> {
    let rules = mock.options.faults.iter().enumerate();
    let mut covering = rules.filter(|(_, rule)| is_meant(rule) && rule.matching.covers(asked));
    let found = covering.find(|(number, rule)| {
        let attempt =
            if rule.across_seeds { mock.counter.attempt_without_seed(asked.cell_without_seed) } else { attempt };
        rule.fires(asked, attempt, mock.counter.covered(*number))
    });
    found.map(|(_, rule)| rule)
}

/// Notes that a rule has done something.
fn note(mock: &Mock, rule: Option<&FaultRule>) {
    if let Some(rule) = rule {
        mock.counter.fault(&String::from(rule.fault));
    }
}

fn is_batch(fault: Fault) -> bool {
    matches!(fault, Fault::BatchExpire | Fault::BatchPartial | Fault::BatchDupLine)
}

fn in_batch(mock: &Mock, (asked, is_post, content_type): (&Asked, bool, &str)) -> Reply {
    let is_new = is_post && asked.path.ends_with("/batches");
    let rule = is_new.then(|| struck(mock, asked, 1, |rule| is_batch(rule.fault))).flatten();
    note(mock, rule);
    let call =
        BatchCall { asked, is_post, content_type, polls: mock.options.batch_polls, fault: rule.map(|rule| rule.fault) };
    let answer = |asked: Asked| line_of_batch(mock, &asked);
    mock.shelf.lock().unwrap_or_else(PoisonError::into_inner).reply(&call, &answer)
}

fn line_of_batch(mock: &Mock, asked: &Asked) -> Reply {
    mock.counter.call("batch");
    let attempt = mock.counter.attempt(asked.cell);
    let rule = struck(mock, asked, attempt, |rule| !is_batch(rule.fault));
    note(mock, rule);
    let (reply, is_spoiled) = reply_to(mock, asked, (attempt, rule, 0));
    if reply.status == 200 && !is_spoiled {
        mock.counter.answered(asked.cell);
    }
    reply
}

/// Returns the reply and whether a fault has made it useless.
fn reply_to(mock: &Mock, asked: &Asked, (attempt, rule, in_flight): (u32, Option<&FaultRule>, u64)) -> (Reply, bool) {
    let turn = Turn { options: &mock.options, asked, attempt, fault: rule.map(|rule| rule.fault) };
    if let Some(refusal) = rule.and_then(|rule| trouble::refusal(rule, &turn, in_flight)) {
        return (refusal, true);
    }
    let mut reply = answer(&turn);
    if let Some(fault) = turn.fault {
        trouble::change(fault, &turn, &mut reply);
    }
    (reply, turn.fault.is_some_and(spoils))
}

/// Whether a fault, once it strikes, leaves nothing that a client can keep.
fn spoils(fault: Fault) -> bool {
    use Fault as F;
    !matches!(
        fault,
        F::Queue
            | F::HardCap
            | F::Slots
            | F::Slow
            | F::SlowFirstByte
            | F::StallMid
            | F::RenameTokens
            | F::DupId
            | F::FinishLength
            | F::FinishFilter
            | F::ThinkInline
            | F::ThinkField
            | F::ThinkUnclosed
            | F::ShuffleIndex
            | F::ModelSwap
            | F::MangleMarks
            | F::IgnoreEcho
            | F::EchoShift
            | F::DupIndex
            | F::FewerN
    )
}

fn answer(turn: &Turn<'_>) -> Reply {
    let known = &turn.options.models;
    let model = turn.asked.model();
    if !known.is_empty() && !model.is_empty() && !known.iter().any(|name| name == model) {
        let message = format!("the model `{model}` does not exist");
        return Reply::error(404, Problem::new("model_not_found", &message), ErrorShape::Openai);
    }
    let engine = || translate::reply(turn);
    teacher::reply(turn).or_else(|| arbiter::reply(turn)).or_else(engine).unwrap_or_else(|| nowhere(&turn.asked.path))
}

/// Sends an informative reply; only rules that name its path are about it.
async fn inform(mock: &Mock, asked: &Asked, (reply, line): (Reply, &Line)) -> Response<ReplyBody> {
    let is_meant = |rule: &FaultRule| rule.matching.path.is_some();
    let attempt =
        if mock.options.faults.iter().any(is_meant) { mock.counter.attempt_without_seed(asked.cell) } else { 1 };
    let rule = struck(mock, asked, attempt, is_meant);
    note(mock, rule);
    let turn = Turn { options: &mock.options, asked, attempt, fault: rule.map(|rule| rule.fault) };
    let refusal = rule.and_then(|rule| trouble::refusal(rule, &turn, 0));
    let reply = refusal.unwrap_or(reply);
    pause(rule.map_or(Duration::ZERO, |rule| trouble::wait(rule, 0))).await;
    let body = trouble::body_of(&reply, rule, Duration::ZERO);
    if let Some(rule) = rule {
        trouble::cut(rule, line, body.len());
    }
    response(&reply, body)
}

/// Answers a request that only asks what the server can do: no cell is asked and none is answered by it.
async fn probe(mock: &Mock, asked: &Asked, line: &Line) -> Response<ReplyBody> {
    let rule = struck(mock, asked, 1, |rule| !is_batch(rule.fault));
    note(mock, rule);
    let (reply, _) = reply_to(mock, asked, (1, rule, 0));
    pause(rule.map_or(Duration::ZERO, |rule| trouble::wait(rule, 0))).await;
    let body = trouble::body_of(&reply, rule, Duration::ZERO);
    if let Some(rule) = rule {
        trouble::cut(rule, line, body.len());
    }
    response(&reply, body)
}

/// Answers a teacher's or an arbiter's request: counted, paced, spoiled.
async fn work(mock: &Mock, asked: &Asked, line: &Line) -> Response<ReplyBody> {
    let attempt = mock.counter.attempt(asked.cell);
    let in_flight = mock.counter.enter(asked.cell);
    let rule = struck(mock, asked, attempt, |rule| !is_batch(rule.fault));
    note(mock, rule);
    let n_in_flight = mock.counter.in_flight();
    if let Capacity::HardCap { n } = mock.options.capacity
        && n_in_flight > n as u64
    {
        mock.counter.status(429);
        return plain(Reply::error(429, trouble::OVERLOADED, ErrorShape::Tgi));
    }
    let (reply, is_spoiled) = reply_to(mock, asked, (attempt, rule, n_in_flight));
    let place = mock.place().await;
    let (before, per_event) = latency(mock, asked, &reply);
    pause(before + rule.map_or(Duration::ZERO, |rule| trouble::wait(rule, n_in_flight))).await;
    drop(place);
    let body = trouble::body_of(&reply, rule, per_event);
    if let Some(rule) = rule {
        trouble::cut(rule, line, body.len());
    }
    if rule.is_none_or(|rule| rule.fault != Fault::ResetBefore) {
        mock.counter.status(reply.status);
    }
    let in_flight = in_flight.answering(reply.status == 200 && !is_spoiled);
    response(&reply, body.holding(in_flight))
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// How long the head waits, and each event of a stream.
fn latency(mock: &Mock, asked: &Asked, reply: &Reply) -> (Duration, Duration) {
    let model = &mock.options.latency;
    if reply.status != 200 || (model.fixed_ms <= 0.0 && model.per_token_ms <= 0.0) {
        return (Duration::ZERO, Duration::ZERO);
    }
    let draw = Draw::new(mock.options.seed).with(asked.cell).with(80);
    let factor = (model.jitter * draw.normal()).exp();
    let seconds = |ms: f64| Duration::try_from_secs_f64((ms * factor / 1000.0).max(0.0)).unwrap_or(Duration::MAX / 4);
    match &reply.content {
        super::reply::Content::Events { .. } => {
            (seconds(model.fixed_ms), seconds(model.per_token_ms * super::stream::TOKENS_PER_EVENT as f64))
        }
        _ => (seconds(model.fixed_ms + model.per_token_ms * reply.n_tokens as f64), Duration::ZERO),
    }
}

fn plain(reply: Reply) -> Response<ReplyBody> {
    let body = trouble::body_of(&reply, None, Duration::ZERO);
    response(&reply, body)
}

fn response(reply: &Reply, body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    if let Ok(status) = hyper::StatusCode::from_u16(reply.status) {
        *response.status_mut() = status;
    }
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    for (name, value) in &reply.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}
