//! What dialects write and read, byte for byte.

#![cfg(test)]

mod answers;
mod failures;
mod laws;
mod probes;
mod requests;
mod rewards;
mod translations;

use cambist_io::exchange::HttpReply;
use serde_json::Value;

/// A reply with a JSON body.
fn reply(status: u16, body: &Value) -> HttpReply {
    raw(status, body.to_string())
}

/// A reply with these bytes.
fn raw(status: u16, body: impl Into<Vec<u8>>) -> HttpReply {
    HttpReply { status, body: body.into(), ..HttpReply::default() }
}
