//! Calls to the Hub and to the store behind it, asked again while the failure may pass.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::{PushError, PushTarget};

/// How often something is tried.
const ATTEMPTS: u32 = 5;

/// How the store for large files wants to be spoken to.
const LFS: &str = "application/vnd.git-lfs+json";

/// A connection to the Hub, for one push.
pub(super) struct Http {
    client: Client,
    runtime: Runtime,
    base: String,
    token: String,
    first_wait: Duration,
}

impl Http {
    pub(super) fn open(target: &PushTarget) -> Result<Self, PushError> {
        // An error says that one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |reason: String| PushError::Unreachable { what: "the connection".to_owned(), reason };
        let base = target.endpoint.trim_end_matches('/').to_owned();
        let builder = Client::builder()
            .user_agent(concat!("cambist/", env!("CARGO_PKG_VERSION")))
            // The token must not follow a redirect to somewhere else.
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(120));
        let is_loopback = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|at| base.starts_with(at));
        let builder = if is_loopback { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|error| failed(error.to_string()))?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        Ok(Self { client, runtime, base, token: target.token.clone(), first_wait: target.first_wait })
    }

    /// Posts JSON to a route of the Hub; statuses in `fine` count as success.
    pub(super) fn post(&self, route: &str, body: &Value, fine: &[u16]) -> Result<Value, PushError> {
        self.hub(route, ("application/json", Bytes::from(body.to_string())), fine)
    }

    /// Posts JSON lines to a route of the Hub.
    pub(super) fn post_lines(&self, route: &str, lines: String) -> Result<Value, PushError> {
        self.hub(route, ("application/x-ndjson", Bytes::from(lines)), &[])
    }

    /// Posts to the store for large files at the Hub.
    pub(super) fn post_lfs(&self, route: &str, body: &Value) -> Result<Value, PushError> {
        self.hub(route, (LFS, Bytes::from(body.to_string())), &[])
    }

    fn hub(&self, route: &str, (kind, body): (&str, Bytes), fine: &[u16]) -> Result<Value, PushError> {
        // A reply may name an address of the Hub as a whole.
        let url = if route.starts_with("http") { route.to_owned() } else { format!("{}{route}", self.base) };
        let is_own = url.starts_with(&format!("{}/", self.base));
        let request = || {
            let request = self.client.post(&url).header("content-type", kind).header("accept", accepted(kind));
            let request = if is_own { request.bearer_auth(&self.token) } else { request };
            request.body(body.clone())
        };
        let (_, text) = self.ask(route, &request, fine)?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Puts bytes at an address that the Hub signed, without the token; returns the `etag`.
    pub(super) fn put(&self, what: &str, url: &str, bytes: &Bytes) -> Result<String, PushError> {
        let (etag, _) = self.ask(what, &|| self.client.put(url).body(bytes.clone()), &[])?;
        Ok(etag)
    }

    fn ask(
        &self,
        what: &str,
        request: &dyn Fn() -> RequestBuilder,
        fine: &[u16],
    ) -> Result<(String, String), PushError> {
        // An address may be signed, and its query is a key then.
        let what = what.split('?').next().unwrap_or_default().to_owned();
        let mut wait = self.first_wait;
        let mut attempt = 1;
        loop {
            let reason = match self.once(request) {
                Ok((status, etag, text)) if (200..300).contains(&status) || fine.contains(&status) => {
                    return Ok((etag, text));
                }
                Ok((status, _, text)) => {
                    let reason = self.words(&text);
                    if !matches!(status, 408 | 425 | 429 | 500..) {
                        return Err(PushError::Refused { what, status, reason, remedy: remedy(status) });
                    }
                    format!("status {status}: {reason}")
                }
                Err(reason) => reason,
            };
            if attempt == ATTEMPTS {
                return Err(PushError::Unreachable { what, reason: self.words(&reason) });
            }
            std::thread::sleep(wait);
            (wait, attempt) = (wait * 2, attempt + 1);
        }
    }

    fn once(&self, request: &dyn Fn() -> RequestBuilder) -> Result<(u16, String, String), String> {
        let words = |error: reqwest::Error| {
            let error = error.without_url();
            let inner = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            format!("{error}{inner}")
        };
        self.runtime.block_on(async {
            let reply: Response = request().send().await.map_err(words)?;
            let etag = reply.headers().get("etag").and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
            Ok((reply.status().as_u16(), etag, reply.text().await.map_err(words)?))
        })
    }

    /// The Hub's own words, short and without the token.
    fn words(&self, text: &str) -> String {
        let of = |value: Value| value.get("error").or_else(|| value.get("message"))?.as_str().map(str::to_owned);
        let told = serde_json::from_str(text).ok().and_then(of).unwrap_or_else(|| text.to_owned());
        let told = told.replace(&self.token, "[key]");
        told.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
    }
}

fn accepted(kind: &str) -> &str {
    if kind == LFS { LFS } else { "application/json" }
}

fn remedy(status: u16) -> &'static str {
    match status {
        401 | 403 => "; give `HF_TOKEN` write access to this repository",
        404 => "; check the owner's name",
        _ => "",
    }
}
