//! What a server says about its limits, in the headers of its replies.

use std::time::Duration;

use crate::exchange::HttpReply;

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

/// Returns how long the server asks to wait before the next try.
pub(super) fn asked_wait(reply: &HttpReply) -> Option<Duration> {
    let milliseconds = reply.header("retry-after-ms").and_then(number).map(|ms| ms / 1e3);
    let seconds = || reply.header("retry-after").and_then(|text| number(text).or_else(|| until(text, reply)));
    let seconds = milliseconds.or_else(seconds).or_else(|| hints(reply).reset_seconds)?;
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// Reads the limits that a reply states.
pub(super) fn hints(reply: &HttpReply) -> Hints {
    let mut hints = Hints::default();
    let mut wait = |left: &str, reset: Option<&str>| {
        if number(left) == Some(0.0) {
            let longer = |seconds: f64| hints.reset_seconds.map_or(seconds, |other| seconds.max(other));
            hints.reset_seconds = reset.and_then(span).map(longer).or(hints.reset_seconds);
        }
    };
    for (name, value) in reply.headers.iter().filter(|(name, _)| name.starts_with("x-ratelimit-")) {
        match name.as_str() {
            "x-ratelimit-remaining-requests" => wait(value, reply.header("x-ratelimit-reset-requests")),
            "x-ratelimit-remaining-tokens" => wait(value, reply.header("x-ratelimit-reset-tokens")),
            _ => {}
        }
    }
    hints.rpm = reply.header("x-ratelimit-limit-requests").and_then(number).filter(|limit| *limit > 0.0);
    hints.tpm = reply.header("x-ratelimit-limit-tokens").and_then(number).filter(|limit| *limit > 0.0);
    hints
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Seconds until a date, by the server's own clock; 0 when it is past.
fn until(text: &str, reply: &HttpReply) -> Option<f64> {
    let at = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(reply.header("date")?).ok()?;
    Some(at.duration_since(now).map_or(0.0, |wait| wait.as_secs_f64()))
}

/// Seconds of `6m0s`, `1.5s`, `20ms` or a plain number.
fn span(text: &str) -> Option<f64> {
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    let (mut seconds, mut rest) = (0.0, text.trim());
    while !rest.is_empty() {
        let n_digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let count = number(&rest[..n_digits])?;
        let n_unit = rest[n_digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - n_digits);
        let unit = match &rest[n_digits..n_digits + n_unit] {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        seconds += count * unit;
        rest = &rest[n_digits + n_unit..];
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Hints, asked_wait, hints};
    use crate::exchange::HttpReply;

    fn reply(headers: &[(&str, &str)]) -> HttpReply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        HttpReply { status: 429, headers, ..HttpReply::default() }
    }

    #[test]
    fn every_form_of_waiting_is_read() {
        let wait = |headers: &[(&str, &str)]| asked_wait(&reply(headers)).map(|wait| wait.as_secs_f64());
        assert_eq!(wait(&[("retry-after-ms", "250"), ("retry-after", "9")]), Some(0.25));
        assert_eq!(wait(&[("retry-after", "7")]), Some(7.0));
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(wait(&[date, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), Some(30.0));
        assert_eq!(wait(&[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(0.0));
        let spent = ("x-ratelimit-remaining-tokens", "0");
        assert_eq!(wait(&[spent, ("x-ratelimit-reset-tokens", "6m1.5s")]), Some(361.5));
        assert_eq!(wait(&[("retry-after", "soon")]), None);
        assert_eq!(asked_wait(&reply(&[("retry-after", "-5")])), Some(Duration::ZERO));
        assert_eq!(wait(&[("retry-after", "1e300")]), None);
    }

    #[test]
    fn stated_limits_are_read_and_room_that_is_left_asks_for_no_wait() {
        let found = hints(&reply(&[
            ("x-ratelimit-limit-requests", "600"),
            ("x-ratelimit-limit-tokens", "90000"),
            ("x-ratelimit-remaining-requests", "12"),
            ("x-ratelimit-reset-requests", "80ms"),
        ]));
        assert_eq!(found, Hints { rpm: Some(600.0), tpm: Some(90000.0), reset_seconds: None });
    }
}
