//! Key material on its way to a client, and out of everything that is written.

use std::fmt;

use super::TransportError;
use crate::{dialect::teacher::KeyHeader, endpoint::Endpoint, exchange::Failure};

/// Headers that hold key material, and the variable that it was read from.
#[derive(Clone, Default)]
pub struct AuthHeaders {
    headers: Vec<(String, String)>,
    /// A key that goes into every JSON body, for services that read it there.
    member: Option<String>,
    variable: Option<String>,
    others: Vec<(String, String)>,
}

impl AuthHeaders {
    /// Returns no headers at all, for endpoints that want no key.
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns `authorization: Bearer KEY`.
    pub fn bearer(key: &str) -> Self {
        Self::none().with("authorization", format!("Bearer {key}"))
    }

    /// Returns the key that the endpoint wants, from the environment.
    ///
    /// The variable is the one that the endpoint names, else the usual one of a known host: the key of one service is
    /// never sent to another. Servers without a key get `Bearer none`, which they all take, and no member at all.
    ///
    /// # Errors
    /// When the endpoint names a variable that is not set.
    pub fn from_environment(endpoint: &Endpoint, header: KeyHeader) -> Result<Self, TransportError> {
        let name = match header {
            KeyHeader::Bearer => "authorization",
            KeyHeader::XApiKey => "x-api-key",
            KeyHeader::BodyMember => KEY_MEMBER,
        };
        let variable = endpoint.api_key_env.as_deref().or_else(|| usual_variable(&endpoint.base_url));
        let Some(variable) = variable else {
            return Ok(if header == KeyHeader::BodyMember { Self::none() } else { Self::bearer("none") });
        };
        match std::env::var(variable).ok().filter(|key| !key.trim().is_empty()) {
            Some(key) if header == KeyHeader::XApiKey => Ok(Self::none().with(name, key.trim()).looked_up(variable)),
            Some(key) if header == KeyHeader::BodyMember => {
                Ok(Self { member: Some(key.trim().to_owned()), ..Self::none() }.looked_up(variable))
            }
            Some(key) => Ok(Self::bearer(key.trim()).looked_up(variable)),
            None if endpoint.api_key_env.is_some() => {
                Err(TransportError::Variable { name: name.to_owned(), variable: variable.to_owned() })
            }
            None => Ok(Self::none().looked_up(variable)),
        }
    }

    /// Adds one header.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Says which environment variable was looked up, so that a refusal can name it.
    pub fn looked_up(mut self, variable: impl Into<String>) -> Self {
        self.variable = Some(variable.into());
        self
    }

    /// Adds the headers that the endpoint wants with every request; values `$NAME` are read from the environment.
    pub(super) fn with_those_of(mut self, endpoint: &Endpoint) -> Result<Self, TransportError> {
        for (name, text) in &endpoint.headers {
            self.others.push((name.clone(), from_environment(name, text)?));
        }
        Ok(self)
    }

    /// Names and values, as they are sent; of two of one name the later counts.
    pub(super) fn headers(&self) -> impl Iterator<Item = &(String, String)> {
        self.others.iter().chain(&self.headers)
    }

    /// Adds the key to a JSON body, where it belongs there.
    pub(super) fn put_into(&self, body: Vec<u8>) -> Vec<u8> {
        let Some(rest) = self.member.as_ref().and_then(|_| body.strip_prefix(b"{")) else { return body };
        let is_empty = rest.trim_ascii_start().starts_with(b"}");
        let member = serde_json::json!(self.member);
        let gap = if is_empty { "" } else { "," };
        [format!("{{\"{KEY_MEMBER}\":{member}{gap}").as_bytes(), rest].concat()
    }

    /// Adds to a refusal where the key came from, or that there was none.
    pub(super) fn explain(&self, failure: &mut Failure) {
        let hint = match (&self.variable, self.headers.is_empty() && self.member.is_none()) {
            (Some(variable), false) => format!("; the key is that of the environment variable `{variable}`"),
            (Some(variable), true) => format!("; no key was sent: set the environment variable `{variable}`"),
            (None, true) => "; no key was sent".to_owned(),
            (None, false) => return,
        };
        failure.reason.push_str(&hint);
    }

    /// Replaces key material that a server repeats.
    pub(super) fn scrub(&self, text: &mut String) {
        for value in self.headers().map(|(_, value)| value).chain(&self.member) {
            let key = value.rsplit(' ').next().unwrap_or(value);
            // What is this short is a word such as `none`, and no key.
            if key.len() >= 8 && text.contains(key) {
                *text = text.replace(key, "[key]");
            }
        }
    }
}

/// What a key in a body is called.
const KEY_MEMBER: &str = "api_key";

impl fmt::Debug for AuthHeaders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        formatter.debug_struct("AuthHeaders").field("names", &names).field("variable", &self.variable).finish()
    }
}

/// The variable that usually holds the key of the service at this address.
fn usual_variable(base_url: &str) -> Option<&'static str> {
    const USUAL: [(&str, &str); 10] = [
        ("api.openai.com", "OPENAI_API_KEY"),
        ("api.anthropic.com", "ANTHROPIC_API_KEY"),
        ("api.cohere.com", "CO_API_KEY"),
        ("generativelanguage.googleapis.com", "GEMINI_API_KEY"),
        ("api.mistral.ai", "MISTRAL_API_KEY"),
        ("api.together.xyz", "TOGETHER_API_KEY"),
        ("openrouter.ai", "OPENROUTER_API_KEY"),
        ("integrate.api.nvidia.com", "NVIDIA_API_KEY"),
        ("api.deepseek.com", "DEEPSEEK_API_KEY"),
        ("router.huggingface.co", "HF_TOKEN"),
    ];
    let host = base_url.split("://").nth(1)?.split(['/', ':']).next()?;
    USUAL.iter().find(|(known, _)| *known == host).map(|(_, variable)| *variable)
}

/// The value of a header, or of the variable that it names with `$`.
fn from_environment(name: &str, text: &str) -> Result<String, TransportError> {
    let Some(variable) = text.strip_prefix('$') else { return Ok(text.to_owned()) };
    std::env::var(variable)
        .map_err(|_unset| TransportError::Variable { name: name.to_owned(), variable: variable.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{AuthHeaders, usual_variable};
    use crate::{
        dialect::teacher::KeyHeader,
        endpoint::Endpoint,
        exchange::{Failure, FailureClass},
        transport::TransportError,
    };

    fn endpoint(base_url: &str, variable: Option<&str>) -> Endpoint {
        let written = serde_json::json!({ "base_url": base_url, "api_key_env": variable });
        serde_json::from_value(written).unwrap()
    }

    #[test]
    fn the_key_of_one_service_is_not_sent_to_another() {
        assert_eq!(usual_variable("https://api.openai.com/v1"), Some("OPENAI_API_KEY"));
        assert_eq!(usual_variable("https://api.openai.com.example.org/v1"), None);
        assert_eq!(usual_variable("http://gpu1:8000/v1"), None);
        let own = AuthHeaders::from_environment(&endpoint("http://gpu1:8000", None), KeyHeader::Bearer).unwrap();
        assert_eq!(own.headers().next().unwrap().1, "Bearer none");
    }

    #[test]
    fn a_variable_that_is_named_and_not_set_is_told() {
        let endpoint = endpoint("http://gpu1:8000", Some("CAMBIST_TEST_NOT_SET"));
        let error = AuthHeaders::from_environment(&endpoint, KeyHeader::XApiKey).unwrap_err();
        assert!(matches!(&error, TransportError::Variable { variable, .. } if variable == "CAMBIST_TEST_NOT_SET"));
    }

    #[test]
    fn nothing_that_is_written_holds_the_key() {
        let keys = AuthHeaders::bearer("canary-0123456789").looked_up("QWEN_KEY");
        assert!(!format!("{keys:?}").contains("canary"));
        let mut text = "Incorrect API key provided: canary-0123456789.".to_owned();
        keys.scrub(&mut text);
        assert_eq!(text, "Incorrect API key provided: [key].");
    }

    #[test]
    fn a_key_in_the_body_is_a_member_of_it_and_scrubbed_like_others() {
        let keys = AuthHeaders { member: Some("canary-\"0123".to_owned()), ..AuthHeaders::none() };
        let put = |body: &str| String::from_utf8(keys.put_into(body.as_bytes().to_vec())).unwrap();
        assert_eq!(put("{\"q\":1}"), "{\"api_key\":\"canary-\\\"0123\",\"q\":1}");
        assert_eq!(put("{}"), "{\"api_key\":\"canary-\\\"0123\"}");
        assert_eq!(put("[1]"), "[1]");
        assert_eq!(AuthHeaders::bearer("canary-0123").put_into(b"{}".to_vec()), b"{}");
        let mut text = "no such key: canary-\"0123".to_owned();
        keys.scrub(&mut text);
        assert_eq!(text, "no such key: [key]");
        assert!(!format!("{keys:?}").contains("canary"));
    }

    #[test]
    fn a_refusal_names_the_variable() {
        let mut failure = Failure::new(FailureClass::Auth, "401");
        AuthHeaders::none().looked_up("QWEN_KEY").explain(&mut failure);
        assert_eq!(failure.reason, "401; no key was sent: set the environment variable `QWEN_KEY`");
    }
}
