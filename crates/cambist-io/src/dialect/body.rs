//! The JSON of a reply.

use serde_json::Value;

use super::failures::{Refusal, failure};
use crate::exchange::{Failure, FailureClass, HttpReply};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns the JSON of a successful reply; the label on it does not matter, a byte order mark is skipped.
///
/// # Errors
/// Of a status that is no success: what [`failures::classify`](super::failures::classify) says. Of a success: text
/// that is no JSON at all is [`ContentType`](FailureClass::ContentType); JSON that ends too early, in the middle of a
/// character too, is [`TransportMid`](FailureClass::TransportMid); bytes that are no UTF-8, `NaN` and other faults
/// inside JSON are [`Shape`](FailureClass::Shape), since the answer was made and charged.
pub fn read_json(reply: &HttpReply) -> Result<Value, Failure> {
    if !reply.is_success() {
        return Err(super::failures::classify(reply));
    }
    let bytes = reply.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&reply.body);
    let refuse = |class, found: String| failure(reply, Refusal { class, found });
    let looks_like_json = bytes.trim_ascii_start().first().is_none_or(|first| matches!(first, b'{' | b'['));
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if !looks_like_json => {
            return Err(refuse(FailureClass::ContentType, format!("expected JSON, found no text: {error}")));
        }
        Err(error) if error.error_len().is_none() => {
            return Err(refuse(FailureClass::TransportMid, "the reply ends inside a character".to_owned()));
        }
        Err(error) => return Err(refuse(FailureClass::Shape, format!("the reply is no UTF-8: {error}"))),
    };
    serde_json::from_str(text).map_err(|error| {
        let class = match () {
            () if !looks_like_json => FailureClass::ContentType,
            () if error.is_eof() => FailureClass::TransportMid,
            () => FailureClass::Shape,
        };
        let found = match class {
            FailureClass::ContentType => format!("expected JSON, found `{}`", text.trim_start()),
            _ => format!("the reply is broken JSON: {error}"),
        };
        refuse(class, found)
    })
}

/// Returns the JSON of a successful reply with `NaN`, `Infinity` and `-Infinity`, which Python's servers write into it,
/// read as null.
///
/// # Errors
/// As [`read_json`].
pub fn read_json_with_nan(reply: &HttpReply) -> Result<Value, Failure> {
    match read_json(reply) {
        Err(failure) if failure.class == FailureClass::Shape => {
            let cleaned = HttpReply { body: without_nan(&reply.body), ..reply.clone() };
            read_json(&cleaned).map_err(|_| failure)
        }
        other => other,
    }
}

/// Writes null for `NaN` and infinities that stand outside of strings.
fn without_nan(body: &[u8]) -> Vec<u8> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let (mut cleaned, mut rest) = (Vec::with_capacity(body.len()), body);
    let (mut in_string, mut escaped) = (false, false);
    while let Some((&byte, after)) = rest.split_first() {
        let word = WORDS.iter().find(|word| !in_string && rest.starts_with(word));
        if let Some(word) = word {
            cleaned.extend_from_slice(b"null");
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        in_string ^= byte == b'"' && !escaped;
        escaped = in_string && byte == b'\\' && !escaped;
        cleaned.push(byte);
        rest = after;
    }
    cleaned
}

/// Returns the failure of JSON without what it must have.
pub(super) fn misshapen(reply: &HttpReply, found: impl Into<String>) -> Failure {
    failure(reply, Refusal { class: FailureClass::Shape, found: found.into() })
}
