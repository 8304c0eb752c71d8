//! One request over HTTP and its whole reply, or how it broke.

use std::{
    collections::HashMap,
    error::Error,
    pin::{Pin, pin},
    sync::Mutex,
    time::Duration,
};

use reqwest::{
    Request, Response, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use tokio::time::{Instant, Sleep};

use super::{AuthHeaders, TransportError, address::Address, alarm::within, lock::hold};
use crate::{
    endpoint::{Endpoint, Timeouts},
    exchange::{Failure, FailureClass, HttpCall, HttpReply, Method},
};

/// A reply longer than this is no answer.
const N_BYTES_MAX: usize = 256 << 20;

/// Idle connections are closed sooner than servers do it (uvicorn: 5 s), so that no request runs into a closing door.
const IDLE: Duration = Duration::from_secs(4);

/// Connections to one endpoint.
#[derive(Debug)]
pub(super) struct Wire {
    http: reqwest::Client,
    address: Address,
    urls: Mutex<HashMap<String, Url>>,
    timeouts: Timeouts,
    keys: AuthHeaders,
}

impl Wire {
    /// Prepares connections; none is made yet.
    pub(super) fn new(endpoint: &Endpoint, keys: &AuthHeaders) -> Result<Self, TransportError> {
        // Fails when another client was first, and then there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = Address::parse(&endpoint.base_url)?;
        let n_connections = endpoint.limits.concurrency.unwrap_or(endpoint.limits.max_concurrency);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("cambist/", env!("CARGO_PKG_VERSION")))
            .default_headers(default_headers(keys)?)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(span(endpoint.timeouts.connect))
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(n_connections)
            .tcp_nodelay(true);
        if address.is_loopback() {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| TransportError::Setup { reason: words(error) })?;
        Ok(Self { http, address, urls: Mutex::default(), timeouts: endpoint.timeouts, keys: keys.clone() })
    }

    /// Sends a request and reads its reply to the end.
    pub(super) async fn send(&self, call: HttpCall, alarm: &mut Pin<&mut Sleep>) -> Result<HttpReply, Failure> {
        let began = Instant::now();
        let end = began + span(self.timeouts.total_seconds());
        let request = self.request(call)?;
        let first_byte = self.timeouts.first_byte;
        let response = within(pin!(self.http.execute(request)), alarm, || end.min(began + span(first_byte)))
            .await
            .map_err(|_late| late("first byte", first_byte.min(self.timeouts.total_seconds())))?
            .map_err(not_sent)?;
        let mut reply = head(&response);
        reply.first_byte_seconds = began.elapsed().as_secs_f64();
        self.body(response, &mut reply, (alarm, end)).await?;
        reply.seconds = began.elapsed().as_secs_f64();
        Ok(reply)
    }

    async fn body(
        &self,
        mut response: Response,
        reply: &mut HttpReply,
        (alarm, end): (&mut Pin<&mut Sleep>, Instant),
    ) -> Result<(), Failure> {
        let status = Some(reply.status);
        let broken = |failure: Failure| Failure { status, ..failure };
        let n_announced = response.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        reply.body.reserve(n_announced.min(1 << 20));
        loop {
            let idle = || end.min(Instant::now() + span(self.timeouts.idle));
            let chunk = within(pin!(response.chunk()), alarm, idle).await;
            match chunk.map_err(|_late| broken(late("next byte", self.timeouts.idle)))? {
                Ok(Some(bytes)) if reply.body.len() + bytes.len() > N_BYTES_MAX => {
                    return Err(broken(Failure::new(FailureClass::Shape, "the reply is longer than 256 MiB")));
                }
                Ok(Some(bytes)) => reply.body.extend_from_slice(&bytes),
                Ok(None) => return Ok(()),
                Err(error) => {
                    let reason = format!("the reply broke off after {} bytes: {}", reply.body.len(), words(error));
                    return Err(broken(Failure::new(FailureClass::TransportMid, reason)));
                }
            }
        }
    }

    fn request(&self, call: HttpCall) -> Result<Request, Failure> {
        let wrong = |what: &str| Failure::new(FailureClass::Request, format!("{what} cannot be sent"));
        let method = match call.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut request = Request::new(method, self.url(&call.path)?);
        let headers = request.headers_mut();
        for (name, value) in &call.headers {
            let name = HeaderName::try_from(name.as_str()).map_err(|_invalid| wrong("a header's name"))?;
            let value = HeaderValue::try_from(value.as_str()).map_err(|_invalid| wrong("a header's value"))?;
            headers.insert(name, value);
        }
        if call.method == Method::Post {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
            *request.body_mut() = Some(self.keys.put_into(call.body).into());
        }
        Ok(request)
    }

    /// Paths are few; parsing one costs as much as a tenth of a request.
    fn url(&self, path: &str) -> Result<Url, Failure> {
        let mut urls = hold(&self.urls);
        if let Some(url) = urls.get(path) {
            return Ok(url.clone());
        }
        let wrong = |error| Failure::new(FailureClass::Request, format!("the path `{path}` is none: {error}"));
        let url = Url::parse(&self.address.join(path)).map_err(wrong)?;
        if urls.len() >= 64 {
            urls.clear();
        }
        urls.insert(path.to_owned(), url.clone());
        Ok(url)
    }
}

/// A duration of seconds; what is none lasts a year.
fn span(seconds: f64) -> Duration {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    Duration::try_from_secs_f64(seconds).map_or(YEAR, |span| span.min(YEAR))
}

fn head(response: &Response) -> HttpReply {
    let value = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, text)| (name.as_str().to_owned(), value(text))).collect();
    HttpReply { status: response.status().as_u16(), headers, ..HttpReply::default() }
}

fn late(what: &str, seconds: f64) -> Failure {
    Failure::new(FailureClass::Timeout, format!("no {what} within {seconds} s"))
}

fn not_sent(error: reqwest::Error) -> Failure {
    let reason = words(error);
    Failure::new(FailureClass::Transport, reason)
}

/// An error and its causes in one line, without the address: it may hold what nobody should read.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn default_headers(keys: &AuthHeaders) -> Result<HeaderMap, TransportError> {
    let mut headers = HeaderMap::new();
    for (name, text) in keys.headers() {
        add(&mut headers, name, text)?;
    }
    Ok(headers)
}

fn add(headers: &mut HeaderMap, name: &str, text: &str) -> Result<(), TransportError> {
    let wrong = || TransportError::Header { name: name.to_owned() };
    let key = HeaderName::try_from(name).map_err(|_invalid| wrong())?;
    let mut value = HeaderValue::try_from(text).map_err(|_invalid| wrong())?;
    value.set_sensitive(true);
    headers.insert(key, value);
    Ok(())
}
