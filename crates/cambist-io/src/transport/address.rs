//! Where a request goes: an endpoint's address, with or without `/v1`, and a path.

use reqwest::Url;

use super::TransportError;

/// An endpoint's address, ready to be joined with paths.
#[derive(Clone, Debug)]
pub(super) struct Address {
    base: String,
    version: String,
    is_loopback: bool,
}

impl Address {
    /// Reads an address.
    pub(super) fn parse(text: &str) -> Result<Self, TransportError> {
        let wrong = |found: &str, reason: String| TransportError::Address { found: found.to_owned(), reason };
        let trimmed = text.trim().trim_end_matches('/');
        // An address that cannot be read may hold a password wherever it likes, so nothing of it is repeated.
        let shown = if trimmed.contains('@') { "..." } else { trimmed };
        let url = Url::parse(trimmed).map_err(|error| wrong(shown, error.to_string()))?;
        let Some(host) = url.host_str() else { return Err(wrong(shown, "it names no host".to_owned())) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TransportError::KeyInAddress { host: host.to_owned() });
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(shown, format!("its scheme is `{}`", url.scheme())));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("...", "it has a query or a fragment".to_owned()));
        }
        let is_loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
        let (base, version) = split_version_at_end(trimmed);
        Ok(Self { base: base.to_owned(), version: version.to_owned(), is_loopback })
    }

    /// Whether it is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Joins a path that begins with a slash. A base that ends in `/v1` and one that does not are the same; a base
    /// with another version (`/api/paas/v4`) replaces the `/v1` of the path.
    pub(super) fn join(&self, path: &str) -> String {
        let (base, version) = (&self.base, &self.version);
        match path.strip_prefix("/v1/") {
            Some(rest) if !matches!(version.as_str(), "" | "/v1") => format!("{base}{version}/{rest}"),
            _ => format!("{base}{path}"),
        }
    }
}

/// Splits `http://host/v4` into `http://host` and `/v4`; the second is empty without a version.
fn split_version_at_end(base: &str) -> (&str, &str) {
    let Some(at) = base.rfind('/') else { return (base, "") };
    let is_version = base[at..].strip_prefix("/v").is_some_and(|digits| {
        let n_digits = digits.chars().take_while(char::is_ascii_digit).count();
        n_digits > 0 && matches!(&digits[n_digits..], "" | "beta" | "alpha")
    });
    if is_version && !base[..at].ends_with('/') { base.split_at(at) } else { (base, "") }
}

#[cfg(test)]
mod tests {
    use super::Address;
    use crate::transport::TransportError;

    fn join(base: &str, path: &str) -> String {
        Address::parse(base).unwrap().join(path)
    }

    #[test]
    fn a_version_stands_once() {
        for base in ["http://h:8000", "http://h:8000/", "http://h:8000/v1", "http://h:8000/v1/"] {
            assert_eq!(join(base, "/v1/chat/completions"), "http://h:8000/v1/chat/completions");
            assert_eq!(join(base, "/metrics"), "http://h:8000/metrics");
            assert_eq!(join(base, "/v2/chat"), "http://h:8000/v2/chat");
        }
        assert_eq!(join("https://h/openai/v1", "/v1/models"), "https://h/openai/v1/models");
        assert_eq!(join("https://h/api/paas/v4", "/v1/models"), "https://h/api/paas/v4/models");
        assert_eq!(join("https://h/v1beta", "/v1/models"), "https://h/v1beta/models");
        assert_eq!(join("http://v1", "/v1/models"), "http://v1/v1/models");
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let error = Address::parse("https://me:canary@host/v1").unwrap_err();
        assert!(matches!(error, TransportError::KeyInAddress { .. }));
        for text in ["https://me:canary@", "ftp://me:canary@host", "https://host/?key=canary", "me:canary@host"] {
            let error = Address::parse(text).unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
