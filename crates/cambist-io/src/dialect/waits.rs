//! How long a server asks to wait, and which limits it tells.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::exchange::HttpReply;

/// A wait that no server means.
const LONGEST_SECONDS: f64 = 1e9;

/// Returns how long the server asks to wait before the next request; none when it does not say.
///
/// In this order: `retry-after-ms`; `retry-after` in seconds or as a date, counted from the reply's own `date` and else
/// from `now_unix_ms`; `x-ratelimit-reset-requests` and `-tokens` of a refusal (429), the longer one of those used up;
/// `retry_after` in the body. Dates that are past give zero.
pub fn asked_wait(reply: &HttpReply, now_unix_ms: u64) -> Option<Duration> {
    wait(reply, Some(now_unix_ms))
}

/// As [`asked_wait`] where nobody knows the time: a date without the reply's own gives none.
pub(super) fn wait(reply: &HttpReply, now_unix_ms: Option<u64>) -> Option<Duration> {
    let ms = reply.header("retry-after-ms").and_then(|text| seconds(text.trim().parse::<f64>().ok()? / 1000.0));
    ms.or_else(|| retry_after(reply, now_unix_ms)).or_else(|| refused_until(reply)).or_else(|| in_body(reply))
}

fn retry_after(reply: &HttpReply, now_unix_ms: Option<u64>) -> Option<Duration> {
    let text = reply.header("retry-after")?.trim();
    if let Ok(number) = text.parse::<f64>() {
        return seconds(number);
    }
    let until = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let date = reply.header("date").and_then(|date| httpdate::parse_http_date(date).ok());
    let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    Some(until.saturating_sub(date.or_else(|| now_unix_ms.map(Duration::from_millis))?))
}

fn refused_until(reply: &HttpReply) -> Option<Duration> {
    if reply.status != 429 {
        return None;
    }
    let hints = rate_hints(reply);
    let used_up = |remaining: Option<f64>| remaining.is_none_or(|remaining| remaining <= 0.0);
    let requests = hints.reset_requests.filter(|_| used_up(hints.remaining_requests));
    let tokens = hints.reset_tokens.filter(|_| used_up(hints.remaining_tokens));
    requests.max(tokens).or_else(|| hints.reset_requests.max(hints.reset_tokens))
}

fn in_body(reply: &HttpReply) -> Option<Duration> {
    if reply.is_success() {
        return None;
    }
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    let asked = ["/retry_after", "/error/retry_after", "/error/metadata/retry_after"];
    let asked = asked.iter().find_map(|pointer| body.pointer(pointer))?;
    asked.as_f64().or_else(|| asked.as_str()?.trim().parse().ok()).and_then(seconds)
}

fn seconds(number: f64) -> Option<Duration> {
    number.is_finite().then(|| Duration::from_secs_f64(number.clamp(0.0, LONGEST_SECONDS)))
}

/// The limits that a server tells with a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RateHints {
    /// Requests allowed in the server's window, a minute with most.
    pub limit_requests: Option<f64>,
    /// Tokens allowed in it.
    pub limit_tokens: Option<f64>,
    /// Requests left.
    pub remaining_requests: Option<f64>,
    /// Tokens left.
    pub remaining_tokens: Option<f64>,
    /// Until the requests are whole again.
    pub reset_requests: Option<Duration>,
    /// Until the tokens are whole again.
    pub reset_tokens: Option<Duration>,
}

/// Returns the limits that a reply tells, in the headers of OpenAI or Anthropic.
pub fn rate_hints(reply: &HttpReply) -> RateHints {
    // Most servers tell nothing, and this is asked of every reply.
    if !reply.headers.iter().any(|(name, _)| name.contains("-ratelimit-")) {
        return RateHints::default();
    }
    let header = |kind: &str, of: &str| {
        let openai = reply.header(&format!("x-ratelimit-{kind}-{of}"));
        openai.or_else(|| reply.header(&format!("anthropic-ratelimit-{of}-{kind}")))
    };
    let number = |kind, of| header(kind, of).and_then(|text| text.trim().parse::<f64>().ok()).filter(|n| n.is_finite());
    let reset = |of| header("reset", of).and_then(span);
    RateHints {
        limit_requests: number("limit", "requests"),
        limit_tokens: number("limit", "tokens"),
        remaining_requests: number("remaining", "requests"),
        remaining_tokens: number("remaining", "tokens"),
        reset_requests: reset("requests"),
        reset_tokens: reset("tokens"),
    }
}

/// Reads `6m0s`, `1h2m3.5s`, `20ms`, or plain seconds. Anthropic's dates are not read: they need the time.
fn span(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(number) = rest.parse::<f64>() {
        return seconds(number);
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        sum += number
            * match rest.get(..unit)? {
                "d" => 86_400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                _ => return None,
            };
        rest = rest.get(unit..)?;
    }
    seconds(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, headers: &[(&str, &str)]) -> HttpReply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        HttpReply { status, headers, ..HttpReply::default() }
    }

    fn asked(headers: &[(&str, &str)]) -> Option<f64> {
        asked_wait(&reply(429, headers), 784_111_777_000).map(|wait| wait.as_secs_f64())
    }

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn every_form_of_a_wait_is_read() {
        assert_eq!(asked(&[("retry-after-ms", "250"), ("retry-after", "9")]), Some(0.25));
        assert_eq!(asked(&[("retry-after", " 2.5 "), ("x-ratelimit-reset-tokens", "9s")]), Some(2.5));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), ("date", DATE)]), Some(30.0));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")]), Some(10.0));
        assert_eq!(asked(&[("x-ratelimit-reset-requests", "6m0s")]), Some(360.0));
        assert_eq!(asked(&[("x-ratelimit-reset-requests", "1s"), ("x-ratelimit-reset-tokens", "20ms")]), Some(1.0));
        let left = [("x-ratelimit-remaining-requests", "7"), ("x-ratelimit-reset-requests", "1m")];
        let used = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "12ms")];
        assert_eq!(asked(&[left, used].concat()), Some(0.012));
        assert_eq!(asked(&[]), None);
        let body = br#"{"error":{"message":"slow down","retry_after":3}}"#.to_vec();
        let in_body = HttpReply { status: 429, body, ..HttpReply::default() };
        assert_eq!(asked_wait(&in_body, 0), Some(Duration::from_secs(3)));
    }

    #[test]
    fn past_dates_and_negative_numbers_are_zero_and_absurd_ones_stay_long() {
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"), ("date", DATE)]), Some(0.0));
        assert_eq!(asked(&[("retry-after", "-5")]), Some(0.0));
        assert_eq!(asked(&[("retry-after", "1e300")]), Some(LONGEST_SECONDS));
        for nonsense in ["soon", "NaN", "inf", ""] {
            assert_eq!(asked(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }

    #[test]
    fn nobody_waits_after_a_success() {
        let used = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s")];
        assert_eq!(asked_wait(&reply(200, &used), 0), None);
    }

    #[test]
    fn limits_of_both_services_are_read() {
        let openai = reply(200, &[("x-ratelimit-limit-requests", "60"), ("x-ratelimit-reset-tokens", "1h2m3.5s")]);
        let expected = Duration::from_secs_f64(3723.5);
        let hints = RateHints { limit_requests: Some(60.0), reset_tokens: Some(expected), ..RateHints::default() };
        assert_eq!(rate_hints(&openai), hints);
        let anthropic = reply(200, &[("anthropic-ratelimit-tokens-remaining", "0")]);
        assert_eq!(rate_hints(&anthropic).remaining_tokens, Some(0.0));
        assert_eq!(rate_hints(&reply(200, &[("x-ratelimit-reset-tokens", "6x")])), RateHints::default());
    }
}
