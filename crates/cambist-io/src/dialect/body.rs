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

/// Returns the failure of JSON without what it must have.
pub(super) fn misshapen(reply: &HttpReply, found: impl Into<String>) -> Failure {
    failure(reply, Refusal { class: FailureClass::Shape, found: found.into() })
}
