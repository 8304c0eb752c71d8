//! A server of answers for programs: JSON in, JSON or events out.
//!
//! At the loopback address a request whose `Host` or `Origin` is another machine's name is refused with 403, so that no
//! page in a browser can ask through a name that was made to lead here (DNS rebinding) or across sites.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header,
};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use super::listener::{Listener, Reply, is_local, put, put_caution};

/// What is asked of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiRequest {
    /// `GET`, `POST` or another method.
    pub method: String,
    /// The path, as it was sent.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A status with a JSON body.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiAnswer {
    /// The status, such as 200.
    pub status: u16,
    /// The body.
    pub body: Value,
}

/// What a server replies.
#[derive(Debug)]
pub enum ApiReply {
    /// An answer that is there.
    Now(ApiAnswer),
    /// An answer that is being made; [`later`] makes it.
    Later(Awaited),
    /// Server-sent events that come one by one; [`events`] makes them.
    Events(Streamed),
}

/// An answer that is being made.
#[derive(Debug)]
pub struct Awaited(oneshot::Receiver<ApiAnswer>);

/// Events that come one by one.
#[derive(Debug)]
pub struct Streamed(mpsc::UnboundedReceiver<Bytes>);

/// Where an answer is handed over; dropping it unused tells the client that making the answer failed.
#[derive(Debug)]
pub struct AnswerSlot(oneshot::Sender<ApiAnswer>);

/// Where events are handed over; dropping it ends the reply.
#[derive(Debug)]
pub struct EventSink(mpsc::UnboundedSender<Bytes>);

/// Returns a reply that waits for an answer, and where the answer is handed over.
pub fn later() -> (AnswerSlot, ApiReply) {
    let (slot, awaited) = oneshot::channel();
    (AnswerSlot(slot), ApiReply::Later(Awaited(awaited)))
}

/// Returns a reply of events, and where the events are handed over.
pub fn events() -> (EventSink, ApiReply) {
    let (sink, streamed) = mpsc::unbounded_channel();
    (EventSink(sink), ApiReply::Events(Streamed(streamed)))
}

impl AnswerSlot {
    /// Hands the answer over; nothing happens where the client has left.
    pub fn fill(self, answer: ApiAnswer) {
        let _ = self.0.send(answer);
    }

    /// Whether the client has left.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

impl EventSink {
    /// Hands one event over, as its data; nothing happens where the client has left.
    pub fn send(&self, data: &str) {
        let _ = self.0.send(Bytes::from(format!("data: {data}\n\n")));
    }

    /// Whether the client has left.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

/// Replies to requests; called from several threads at once, and must not wait for answers that take long.
pub type Respond = Arc<dyn Fn(&ApiRequest) -> ApiReply + Send + Sync>;

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct ApiServer(Listener);

/// Longest body of a request, in bytes.
const BODY_LIMIT: usize = 64 << 20;

impl ApiServer {
    /// Starts a server at `address`, port 0 for any free one; it listens when this returns.
    ///
    /// # Errors
    /// When the address is taken or a thread cannot be started.
    pub fn start(address: SocketAddr, respond: Respond) -> io::Result<Self> {
        let is_guarded = address.ip().is_loopback();
        let listener = Listener::start(
            address,
            Arc::new(move |request| Box::pin(reply(Arc::clone(&respond), request, is_guarded))),
        )?;
        Ok(Self(listener))
    }

    /// Where it listens, such as `http://127.0.0.1:8000`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Returns when the server has stopped.
    pub fn wait(&self) {
        self.0.wait();
    }
}

async fn reply(respond: Respond, request: Request<Incoming>, is_guarded: bool) -> Reply {
    let headers = request.headers();
    let is_from_here =
        headers.get(header::HOST).is_some_and(is_local) && headers.get(header::ORIGIN).is_none_or(is_local);
    if is_guarded && !is_from_here {
        return whole(refused(403, "this server answers to `localhost` and `127.0.0.1` alone"));
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return whole(refused(413, &format!("the body is broken off or longer than {BODY_LIMIT} bytes")));
    };
    let asked = ApiRequest {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        body: body.to_bytes().to_vec(),
    };
    let failed = || refused(500, "making the reply failed; please report this fault of cambist");
    match spawn_blocking(move || respond(&asked)).await {
        Ok(ApiReply::Now(answer)) => whole(answer),
        Ok(ApiReply::Later(Awaited(awaited))) => whole(awaited.await.unwrap_or_else(|_| failed())),
        Ok(ApiReply::Events(Streamed(events))) => stream(events),
        Err(_) => whole(failed()),
    }
}

/// An error in the shape of OpenAI.
fn refused(status: u16, message: &str) -> ApiAnswer {
    let kind = if status < 500 { "invalid_request_error" } else { "server_error" };
    ApiAnswer { status, body: json!({"error": {"message": message, "type": kind, "param": null, "code": null}}) }
}

fn whole(answer: ApiAnswer) -> Reply {
    let mut response = Response::new(BoxBody::new(Full::new(Bytes::from(answer.body.to_string()))));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    put(response.headers_mut(), header::CONTENT_TYPE, "application/json");
    put_caution(response.headers_mut());
    response
}

fn stream(events: mpsc::UnboundedReceiver<Bytes>) -> Reply {
    let mut response = Response::new(BoxBody::new(EventBody(events)));
    put(response.headers_mut(), header::CONTENT_TYPE, "text/event-stream; charset=utf-8");
    put_caution(response.headers_mut());
    response
}

/// The bytes of events as they come.
struct EventBody(mpsc::UnboundedReceiver<Bytes>);

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
