//! Replies that come as events: asked for, and put together again when all of them are there.
//!
//! The transport hands over the whole body; what comes out is the reply that a plain request would have had, so that
//! nobody else needs to know how it came.

mod anthropic;
mod events;
mod openai;

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{
    body::misshapen,
    failures::{Refusal, classify, failure},
    teacher::TeacherDialect,
};
use crate::exchange::{Failure, FailureClass, HttpReply};
use events::Event;

/// Asks for the reply in events; does nothing where the dialect has none.
pub fn put_stream(dialect: TeacherDialect, body: &mut Value) {
    if !dialect.streams() {
        return;
    }
    if let Some(members) = body.as_object_mut() {
        members.insert("stream".to_owned(), json!(true));
        if dialect != TeacherDialect::Anthropic {
            // Else nobody says what it cost.
            members.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
    }
}

/// Returns a reply that came in events as the reply that it adds up to; any other as it is.
///
/// # Errors
/// [`FailureClass::TransportMid`] when the events break off before the last one, the failure that an event tells of,
/// and [`FailureClass::Shape`] when an event is none.
pub fn assembled(dialect: TeacherDialect, reply: &HttpReply) -> Result<Cow<'_, HttpReply>, Failure> {
    if !dialect.streams() || !reply.is_success() || !is_events(reply) {
        return Ok(Cow::Borrowed(reply));
    }
    let events = events::read(&reply.body);
    let whole = match dialect {
        TeacherDialect::Anthropic => anthropic::whole(&events),
        _ => openai::whole(&events),
    };
    match whole {
        Ok(body) => {
            let headers = reply.headers.iter().filter(|(name, _)| name != "content-type").cloned();
            let json = ("content-type".to_owned(), "application/json".to_owned());
            let headers = headers.chain([json]).collect();
            Ok(Cow::Owned(HttpReply { headers, body: body.to_string().into_bytes(), ..reply.clone() }))
        }
        Err(Broken::Off) => {
            let found = format!("the events broke off after {} of them", events.len());
            Err(failure(reply, Refusal { class: FailureClass::TransportMid, found }))
        }
        Err(Broken::Event(found)) => Err(misshapen(reply, found)),
        Err(Broken::Error(status, body)) => {
            Err(classify(&HttpReply { status, body: body.to_string().into_bytes(), ..reply.clone() }))
        }
    }
}

/// Some proxies forget the type: the first letters tell it as well.
fn is_events(reply: &HttpReply) -> bool {
    let is_named = reply.header("content-type").is_some_and(|kind| kind.contains("text/event-stream"));
    is_named || ["data:", "event:"].iter().any(|start| reply.body.starts_with(start.as_bytes()))
}

/// Why events do not add up to a reply.
enum Broken {
    /// There is no end.
    Off,
    /// An event is not what it should be; in words.
    Event(String),
    /// An event tells of an error that would have had this status.
    Error(u16, Value),
}

/// Reads an event's data; what is cut off in the last one is an end before its time.
fn data(event: &Event<'_>, is_last: bool) -> Result<Value, Broken> {
    let text = match std::str::from_utf8(&event.data) {
        Ok(text) => text,
        Err(error) if is_last && error.error_len().is_none() => return Err(Broken::Off),
        Err(error) => return Err(Broken::Event(format!("an event is no UTF-8: {error}"))),
    };
    serde_json::from_str(text).map_err(|error| match is_last && error.is_eof() {
        true => Broken::Off,
        false => Broken::Event(format!("an event is broken JSON: {error}")),
    })
}

/// The status that an error in an event would have had by itself.
fn status_of(error: &Value) -> u16 {
    let code = ["code", "status"].iter().find_map(|name| error.get(*name)?.as_u64());
    let known = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    let by_kind = match error.get("type").and_then(Value::as_str) {
        Some("rate_limit_error") => 429,
        Some("overloaded_error") => 529,
        Some("authentication_error") => 401,
        Some("invalid_request_error") => 400,
        _ => 500,
    };
    known.unwrap_or(by_kind)
}
