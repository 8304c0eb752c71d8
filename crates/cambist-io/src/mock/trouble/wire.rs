//! What faults do to a reply's bytes and to its connection.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::rows;
use crate::mock::{
    fault::{Fault, FaultRule},
    reply::{Content, Reply},
    reply_body::ReplyBody,
    socket::{Cut, Line},
};

/// How many pieces a slow body goes in.
const SLOW_PIECES: usize = 8;

/// Returns a reply's bytes, spoiled as the rule says; events wait `per_event` each.
pub(crate) fn body_of(reply: &Reply, rule: Option<&FaultRule>, per_event: Duration) -> ReplyBody {
    let is_stream = matches!(reply.content, Content::Events { .. });
    let pieces = reply.pieces();
    let Some(rule) = rule else {
        return match is_stream {
            true => ReplyBody::timed(pieces.into_iter().map(|piece| (per_event, piece)), false),
            false => ReplyBody::whole(pieces.concat().into()),
        };
    };
    let bytes = spoil(rule, pieces.concat());
    let at = rule.params.after_bytes.unwrap_or(bytes.len() / 2).min(bytes.len());
    let delay = Duration::from_millis(rule.params.delay_ms);
    match rule.fault {
        Fault::StallMid => {
            let drip = rule.params.drip_bytes.unwrap_or(bytes.len()).max(1);
            ReplyBody::timed(paused(&bytes, at, (drip, delay)), !is_stream)
        }
        Fault::Slow => {
            let drip = bytes.len().div_ceil(SLOW_PIECES).max(1);
            ReplyBody::timed(paused(&bytes, 0, (drip, delay / SLOW_PIECES as u32)), !is_stream)
        }
        _ => ReplyBody::timed([(Duration::ZERO, Bytes::from(bytes))], !is_stream),
    }
}

fn paused(bytes: &[u8], at: usize, (drip, delay): (usize, Duration)) -> Vec<(Duration, Bytes)> {
    let first = (Duration::ZERO, Bytes::copy_from_slice(&bytes[..at]));
    let later = bytes[at..].chunks(drip).map(|piece| (delay, Bytes::copy_from_slice(piece)));
    [first].into_iter().chain(later).collect()
}

fn spoil(rule: &FaultRule, mut bytes: Vec<u8>) -> Vec<u8> {
    match rule.fault {
        Fault::TruncatedJson => {
            let at = rule.params.after_bytes.unwrap_or(bytes.len() / 2);
            bytes.truncate(at);
            bytes
        }
        Fault::BadUtf8 => {
            // After a quotation mark, so that it stands in a text and not between members.
            let quote = bytes.iter().rposition(|byte| *byte == b'"').unwrap_or(0);
            bytes.splice(quote..quote, [0xff, 0xfe]);
            bytes
        }
        Fault::Bom => [&[0xef, 0xbb, 0xbf], bytes.as_slice()].concat(),
        Fault::NanNumber | Fault::NanScore => {
            let text = String::from_utf8_lossy(&bytes);
            text.replace(&Value::from(rows::NAN).to_string(), "NaN").into_bytes()
        }
        _ => bytes,
    }
}

/// Tells the socket where to cut a reply of `n_bytes` bytes.
pub(crate) fn cut(rule: &FaultRule, line: &Line, n_bytes: usize) {
    let at = rule.params.after_bytes.unwrap_or(n_bytes / 2);
    match rule.fault {
        Fault::ResetBefore => line.cut_before(),
        Fault::ResetMid => line.cut_after(at, Cut::Reset),
        Fault::HalfClose => line.cut_after(at, Cut::HalfClose),
        _ => {}
    }
}
