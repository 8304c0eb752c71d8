//! Where a model answers and how it wants to be asked, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use crate::dialect::{identity::endpoint_identity, probe::ServerFacts};

/// An endpoint as a recipe writes it. Key material never stands in it: only the name of an environment variable.
///
/// It is serialised as what decides an answer: its identity and the members that go into every body.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// What the server speaks: `openai-chat` by default.
    #[serde(default = "openai_chat")]
    pub dialect: String,
    /// The address, with or without `/v1`.
    pub base_url: String,
    /// The model's name at the endpoint.
    #[serde(default)]
    pub model: String,
    /// Names the environment variable that holds the key; the dialect's usual one when absent, and no key where that
    /// is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Headers to add to every request; a value `$NAME` is read from the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Members to merge into every JSON body last (RFC 7396).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_body: Option<Value>,
    /// What names the endpoint in the ledger.
    #[serde(default)]
    pub identity: EndpointIdentity,
    /// What must not be exceeded; changes no result.
    #[serde(default)]
    pub limits: Limits,
    /// How long to wait; changes no result.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How often to ask again; changes no result.
    #[serde(default)]
    pub retries: Retries,
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let identity = endpoint_identity(self, &self.dialect, &ServerFacts::default());
        let mut members = serializer.serialize_map(Some(2))?;
        members.serialize_entry("identity", &identity)?;
        members.serialize_entry("extra_body", &self.extra_body)?;
        members.end()
    }
}

/// What names an endpoint: two endpoints of one name share their paid answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointIdentity {
    /// `host` for public addresses, `model` for private ones and loopback.
    #[default]
    Auto,
    /// Scheme, host, port and path.
    Host,
    /// The model's name alone: the server may move.
    Model,
    /// This text.
    Explicit(String),
}

/// What must not be exceeded at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A fixed number of requests in flight; adapts to the server when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// At most this many requests in flight, 512 by default.
    pub max_concurrency: usize,
    /// Requests per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<f64>,
    /// Tokens per minute, of requests and answers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<f64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: None, max_concurrency: 512, rpm: None, tpm: None }
    }
}

/// How long to wait, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// For the connection with TLS, 10 by default.
    pub connect: f64,
    /// For the first byte, 600 by default: it covers the server's queue and the whole answer.
    pub first_byte: f64,
    /// Between two bytes of the body, 120 by default.
    pub idle: f64,
    /// In all, 3,600 by default; where more than 600 are given, replies come in events, so that no waiting is as long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
}

impl Timeouts {
    /// Returns how long a request may take in all, in seconds.
    pub fn total_seconds(&self) -> f64 {
        self.total.unwrap_or(3600.0)
    }

    /// Whether answers may take so long that their replies had better come in events.
    pub fn is_long(&self) -> bool {
        self.total.is_some_and(|total| total > LONG)
    }
}

/// What takes longer than this in all is long, in seconds: the usual patience for a first byte.
const LONG: f64 = 600.0;

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: 10.0, first_byte: 600.0, idle: 120.0, total: None }
    }
}

/// How often to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// At most this many times for one request, 6 by default.
    pub max: u32,
    /// Retries in any minute, as a share of the requests that succeeded in it, 0.2 by default.
    pub budget_ratio: f64,
}

impl Default for Retries {
    fn default() -> Self {
        Self { max: 6, budget_ratio: 0.2 }
    }
}

fn openai_chat() -> String {
    "openai-chat".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Endpoint;

    fn named(written: Value) -> Value {
        serde_json::to_value(serde_json::from_value::<Endpoint>(written).unwrap()).unwrap()
    }

    #[test]
    fn limits_and_keys_are_no_part_of_what_an_endpoint_is() {
        let plain = json!({ "base_url": "http://10.0.0.1:8000", "model": "m" });
        let limited = json!({
            "base_url": "http://10.0.0.2:9000/v1", "model": "m", "api_key_env": "K", "limits": {"rpm": 9.0},
            "timeouts": {"total": 9.0}, "retries": {"max": 1}, "headers": {"x": "y"},
        });
        assert_eq!(named(plain.clone()), named(limited));
        let merged = json!({ "base_url": "http://10.0.0.1:8000", "model": "m", "extra_body": {"top_k": 1} });
        assert_ne!(named(plain.clone()), named(merged));
        let hosted = |host: &str| named(json!({ "base_url": format!("https://{host}/v1"), "model": "m" }));
        assert_ne!(hosted("api.one.com"), hosted("api.two.com"));
        let other = json!({ "base_url": "http://10.0.0.1:8000", "model": "m", "dialect": "cohere" });
        assert_ne!(named(plain), named(other));
    }
}
