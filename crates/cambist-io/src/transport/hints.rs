//! What a server says about its limits, as pacing takes it.

use crate::{dialect::waits::rate_hints, exchange::HttpReply};

/// Limits that a server states.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Hints {
    /// Requests per minute.
    pub(super) rpm: Option<f64>,
    /// Tokens per minute.
    pub(super) tpm: Option<f64>,
    /// Seconds until the next request, where none is left.
    pub(super) reset_seconds: Option<f64>,
}

impl Hints {
    /// Reads the limits that a reply states; of two that are used up the longer wait counts.
    pub(super) fn of(reply: &HttpReply) -> Self {
        let told = rate_hints(reply);
        let is_limit = |limit: &f64| *limit > 0.0;
        let requests = told.reset_requests.filter(|_| told.remaining_requests == Some(0.0));
        let tokens = told.reset_tokens.filter(|_| told.remaining_tokens == Some(0.0));
        Self {
            rpm: told.limit_requests.filter(is_limit),
            tpm: told.limit_tokens.filter(is_limit),
            reset_seconds: requests.max(tokens).map(|wait| wait.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Hints;
    use crate::exchange::HttpReply;

    fn reply(headers: &[(&str, &str)]) -> HttpReply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        HttpReply { headers, ..HttpReply::default() }
    }

    #[test]
    fn limits_are_read_and_used_up_ones_say_how_long() {
        let found = Hints::of(&reply(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "90000"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m30s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "250ms"),
        ]));
        assert_eq!(found, Hints { rpm: Some(60.0), tpm: Some(90000.0), reset_seconds: Some(90.0) });
        let left = reply(&[("x-ratelimit-remaining-requests", "3"), ("x-ratelimit-reset-requests", "9s")]);
        assert_eq!(Hints::of(&left), Hints::default());
    }
}
