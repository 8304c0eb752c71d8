//! A small site on 127.0.0.1 for pages that one person reads on the machine that holds the files, and a server of answers
//! for programs ([`api`]).
//!
//! It listens on the loopback address alone and answers `GET` and `HEAD` alone. A request whose `Host` is not
//! `localhost`, `127.0.0.1` or `[::1]` is refused with 403, so that a page elsewhere whose name was made to lead here
//! (DNS rebinding) reads nothing. Every reply forbids the browser to fetch anything from anywhere else, to be shown in a
//! frame, and to be kept.

pub mod api;
mod listener;
mod query;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{Full, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName},
};
use tokio::task::spawn_blocking;

use listener::{Listener, Reply, is_local, put, put_caution};

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
pub struct Site(Listener);

/// What a page may do: run what is written in it and ask its own site.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Site {
    /// Starts a site at `port` of 127.0.0.1, 0 for any free one; it listens when this returns.
    ///
    /// # Errors
    /// When the port is taken or a thread cannot be started.
    pub fn start(port: u16, answer: Answer) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener =
            Listener::start(address, Arc::new(move |request| Box::pin(reply(Arc::clone(&answer), request))))?;
        Ok(Self(listener))
    }

    /// The address of the site's first page: `http://127.0.0.1:8080/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.0.address)
    }

    /// Returns when the site has stopped, which only its end or the end of its thread brings about.
    pub fn wait(&self) {
        self.0.wait();
    }
}

async fn reply(answer: Answer, request: Request<Incoming>) -> Reply {
    if !request.headers().get(header::HOST).is_some_and(is_local) {
        return response(text(403, "this site answers to `localhost` and `127.0.0.1` alone"));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return response(text(405, "this site is only read: ask with GET"));
    }
    let uri = request.uri();
    let asked = SiteRequest {
        path: query::unescaped(uri.path(), false),
        query: uri.query().map(query::pairs).unwrap_or_default(),
    };
    let made = spawn_blocking(move || answer(&asked)).await;
    response(made.unwrap_or_else(|_| text(500, "making the reply failed; please report this fault of cambist")))
}

fn text(status: u16, words: &str) -> SiteReply {
    SiteReply { status, content_type: "text/plain; charset=utf-8", body: words.as_bytes().to_vec() }
}

fn response(reply: SiteReply) -> Reply {
    let mut response = Response::new(BoxBody::new(Full::new(Bytes::from(reply.body))));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    put_caution(response.headers_mut());
    let mut put = |name: HeaderName, value: &'static str| put(response.headers_mut(), name, value);
    put(header::CONTENT_TYPE, reply.content_type);
    put(header::CONTENT_SECURITY_POLICY, POLICY);
    put(header::REFERRER_POLICY, "no-referrer");
    put(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    response
}

#[cfg(test)]
mod tests;
