//! A small site on 127.0.0.1 for pages that one person reads on the machine that holds the files.
//!
//! It listens on the loopback address alone and answers `GET` and `HEAD` alone. A request whose `Host` is not
//! `localhost`, `127.0.0.1` or `[::1]` is refused with 403, so that a page elsewhere whose name was made to lead here
//! (DNS rebinding) reads nothing. Every reply forbids the browser to fetch anything from anywhere else, to be shown in a
//! frame, and to be kept.

mod query;

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime, sync::oneshot, task::spawn_blocking};

/// What is asked of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteRequest {
    /// The path, its escapes resolved: `/api/prompts`.
    pub path: String,
    /// The names and values of the query, in their order, their escapes resolved.
    pub query: Vec<(String, String)>,
}

/// What a site answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteReply {
    /// The status, such as 200.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Answers requests; called from several threads at once.
pub type Answer = Arc<dyn Fn(&SiteRequest) -> SiteReply + Send + Sync>;

/// A running site; it stops when dropped.
#[derive(Debug)]
pub struct Site {
    address: SocketAddr,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a page may do: run what is written in it and ask its own site.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Site {
    /// Starts a site at `port` of 127.0.0.1, 0 for any free one; it listens when this returns.
    ///
    /// # Errors
    /// When the port is taken or a thread cannot be started.
    pub fn start(port: u16, answer: Answer) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // One thread for the sockets; answers, which may read files, are made on others.
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, told) = oneshot::channel();
        let serve = move || {
            runtime.block_on(serve_until(listener, answer, told));
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("site".to_owned()).spawn(serve)?;
        Ok(Self { address, stop: Mutex::new(Some(stop)), thread: Mutex::new(Some(thread)) })
    }

    /// The address of the site's first page: `http://127.0.0.1:8080/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Returns when the site has stopped, which only its end or the end of its thread brings about.
    pub fn wait(&self) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It may have ended by itself, and then nobody listens.
            let _ = stop.send(());
        }
        self.wait();
    }
}

async fn serve_until(listener: std::net::TcpListener, answer: Answer, told: oneshot::Receiver<()>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let accepting = tokio::spawn(accept(listener, answer));
    // An error means that the site was dropped, which stops it just as well.
    let _ = told.await;
    accepting.abort();
}

async fn accept(listener: TcpListener, answer: Answer) {
    loop {
        // What goes wrong with one connection is no reason to refuse the next.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let answer = Arc::clone(&answer);
        let reply = service_fn(move |request| reply(Arc::clone(&answer), request));
        tokio::spawn(async move {
            // A connection that the browser broke off has said all it has to say.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), reply).await;
        });
    }
}

async fn reply(answer: Answer, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if !request.headers().get(header::HOST).is_some_and(is_local) {
        return Ok(response(text(403, "this site answers to `localhost` and `127.0.0.1` alone")));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Ok(response(text(405, "this site is only read: ask with GET")));
    }
    let uri = request.uri();
    let asked = SiteRequest {
        path: query::unescaped(uri.path(), false),
        query: uri.query().map(query::pairs).unwrap_or_default(),
    };
    let made = spawn_blocking(move || answer(&asked)).await;
    Ok(response(made.unwrap_or_else(|_| text(500, "making the reply failed; please report this fault of cambist"))))
}

/// Whether a `Host` header names this machine to itself, with any port.
fn is_local(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]"
}

fn text(status: u16, words: &str) -> SiteReply {
    SiteReply { status, content_type: "text/plain; charset=utf-8", body: words.as_bytes().to_vec() }
}

fn response(reply: SiteReply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut put = |name: HeaderName, value: &'static str| put(response.headers_mut(), name, value);
    put(header::CONTENT_TYPE, reply.content_type);
    put(header::CONTENT_SECURITY_POLICY, POLICY);
    put(header::CACHE_CONTROL, "no-store");
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(header::REFERRER_POLICY, "no-referrer");
    put(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests;
