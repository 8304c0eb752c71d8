//! How each fault is done to a reply.

mod rows;
mod wire;

pub(crate) use wire::{body_of, cut};

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    fault::{ErrorShape, Fault, FaultRule, LengthField, RetryAfter},
    reply::{Problem, Reply},
    turn::Turn,
};

/// Returns the refusal that a fault sends in place of an answer.
pub(crate) fn refusal(rule: &FaultRule, turn: &Turn<'_>, in_flight: u64) -> Option<Reply> {
    let params = &rule.params;
    let wait = Duration::from_millis(params.wait_ms);
    let is_full = in_flight > params.above as u64;
    let (status, problem, shape, form) = match rule.fault {
        Fault::Burst429 => (429, RATE, params.shape, params.retry_after),
        Fault::Quota429 => (429, QUOTA, params.shape, RetryAfter::None),
        Fault::HardCap if is_full => (429, OVERLOADED, ErrorShape::Tgi, RetryAfter::None),
        Fault::Slots if is_full => (503, NO_SLOT, ErrorShape::Openai, RetryAfter::None),
        Fault::Status(code) => (code, status_problem(code), params.shape, RetryAfter::None),
        Fault::RenameTokens => return rename(params.accepts, turn),
        Fault::WrongType if !params.mislabel => return Some(page()),
        _ => return None,
    };
    Some(Reply::error(status, problem, shape).with_wait(form, wait))
}

const RATE: Problem<'_> =
    Problem { kind: "rate_limit_exceeded", message: "too many requests, come back later", param: None };
const QUOTA: Problem<'_> =
    Problem { kind: "insufficient_quota", message: "you exceeded your current quota, check your billing", param: None };
/// What a server says that takes no more.
pub(crate) const OVERLOADED: Problem<'_> = Problem { kind: "overloaded", message: "model is overloaded", param: None };
const NO_SLOT: Problem<'_> = Problem { kind: "unavailable_error", message: "no slot available", param: None };

fn status_problem(code: u16) -> Problem<'static> {
    let (kind, message) = match code {
        401 => ("invalid_api_key", "incorrect API key provided"),
        403 => ("permission_denied", "this key may not do that"),
        400 | 413 | 422 => ("invalid_request_error", "the request is wrong"),
        404 => ("not_found_error", "there is nothing here"),
        429 => ("rate_limit_exceeded", "too many requests"),
        _ => ("server_error", "something went wrong in the server"),
    };
    Problem::new(kind, message)
}

fn rename(accepts: LengthField, turn: &Turn<'_>) -> Option<Reply> {
    let (right, wrong) = match accepts {
        LengthField::MaxCompletionTokens => ("max_completion_tokens", "max_tokens"),
        LengthField::MaxTokens => ("max_tokens", "max_completion_tokens"),
    };
    let message = format!("Unsupported parameter: '{wrong}' is not supported with this model. Use '{right}' instead.");
    turn.asked.body.get(wrong).map(|_| turn.refuse(&message, wrong))
}

fn page() -> Reply {
    let text = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>";
    Reply { content_type: "text/html; charset=utf-8", ..Reply::text(text) }
}

/// Returns how long a fault makes the head wait.
pub(crate) fn wait(rule: &FaultRule, in_flight: u64) -> Duration {
    let delay = Duration::from_millis(rule.params.delay_ms);
    match rule.fault {
        Fault::SlowFirstByte => delay,
        Fault::Queue => {
            let over = in_flight.saturating_sub(rule.params.above as u64);
            delay.saturating_mul(u32::try_from(over).unwrap_or(u32::MAX))
        }
        _ => Duration::ZERO,
    }
}

/// Changes a reply's members.
pub(crate) fn change(fault: Fault, turn: &Turn<'_>, reply: &mut Reply) {
    if fault == Fault::WrongType {
        reply.content_type = "text/plain; charset=utf-8";
    }
    let Some(value) = reply.value_mut() else { return };
    match fault {
        Fault::EmptyChoices => rows::empty(value),
        Fault::NullContent => rows::each_text(value, |text| *text = Value::Null),
        Fault::FewerN => rows::drop_last(value, "choices"),
        Fault::DupIndex => rows::same_index(value),
        Fault::DupId => value["id"] = json!("the-same-id"),
        Fault::FinishLength => rows::finish(value, ["length", "max_tokens", "MAX_TOKENS"]),
        Fault::FinishFilter => rows::finish(value, ["content_filter", "refusal", "ERROR_TOXIC"]),
        Fault::Abort => rows::finish(value, ["abort", "abort", "ERROR"]),
        Fault::ThinkInline => prefix(value, "<think>\nThis asks for care.\n</think>\n\n"),
        Fault::ThinkUnclosed => prefix(value, "<think>\nThis asks for care, and so on, and so on. "),
        Fault::ThinkField => rows::thinking(value, "This asks for care."),
        Fault::MangleMarks => rows::mangle_marks(value),
        Fault::NoBrackets => rows::drop_brackets(value),
        Fault::ShuffleIndex => rows::shuffle(value, turn.draw()),
        Fault::ShortBatch => rows::drop_last(value, "data"),
        Fault::NanScore => rows::nan_score(value),
        Fault::NanNumber => rows::nan_last(value),
        Fault::ModelSwap if value.get("model").is_some() => value["model"] = json!("another-model"),
        _ => {}
    }
}

fn prefix(value: &mut Value, before: &str) {
    rows::each_text(value, |text| {
        if let Value::String(text) = text {
            text.insert_str(0, before);
        }
    });
}
