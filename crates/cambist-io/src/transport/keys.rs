//! Key material on its way to a client, and out of everything that is written.

use std::fmt;

use super::TransportError;
use crate::{endpoint::Endpoint, exchange::Failure};

/// Headers that hold key material, and the variable that it was read from.
#[derive(Clone, Default)]
pub struct AuthHeaders {
    headers: Vec<(String, String)>,
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

    /// Adds to a refusal where the key came from, or that there was none.
    pub(super) fn explain(&self, failure: &mut Failure) {
        let hint = match (&self.variable, self.headers.is_empty()) {
            (Some(variable), false) => format!("; the key is that of the environment variable `{variable}`"),
            (Some(variable), true) => format!("; no key was sent: set the environment variable `{variable}`"),
            (None, true) => "; no key was sent".to_owned(),
            (None, false) => return,
        };
        failure.reason.push_str(&hint);
    }

    /// Replaces key material that a server repeats.
    pub(super) fn scrub(&self, text: &mut String) {
        for (_, value) in self.headers() {
            let key = value.rsplit(' ').next().unwrap_or(value);
            // What is this short is a word such as `none`, and no key.
            if key.len() >= 8 && text.contains(key) {
                *text = text.replace(key, "[key]");
            }
        }
    }
}

impl fmt::Debug for AuthHeaders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        formatter.debug_struct("AuthHeaders").field("names", &names).field("variable", &self.variable).finish()
    }
}

/// The value of a header, or of the variable that it names with `$`.
fn from_environment(name: &str, text: &str) -> Result<String, TransportError> {
    let Some(variable) = text.strip_prefix('$') else { return Ok(text.to_owned()) };
    std::env::var(variable)
        .map_err(|_unset| TransportError::Variable { name: name.to_owned(), variable: variable.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::AuthHeaders;
    use crate::exchange::{Failure, FailureClass};

    #[test]
    fn nothing_that_is_written_holds_the_key() {
        let keys = AuthHeaders::bearer("canary-0123456789").looked_up("QWEN_KEY");
        assert!(!format!("{keys:?}").contains("canary"));
        let mut text = "Incorrect API key provided: canary-0123456789.".to_owned();
        keys.scrub(&mut text);
        assert_eq!(text, "Incorrect API key provided: [key].");
    }

    #[test]
    fn a_refusal_names_the_variable() {
        let mut failure = Failure::new(FailureClass::Auth, "401");
        AuthHeaders::none().looked_up("QWEN_KEY").explain(&mut failure);
        assert_eq!(failure.reason, "401; no key was sent: set the environment variable `QWEN_KEY`");
    }
}
