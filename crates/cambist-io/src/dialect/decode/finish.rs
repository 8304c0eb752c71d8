//! From what stands in a reply to an answer or a failure.

use cambist_core::completion::FinishReason;

use super::{RawAnswer, thinking::parted};
use crate::{
    dialect::{
        answer::{Mark, TeacherAnswer},
        failures::{Refusal, failure},
        request::Thinking,
    },
    exchange::{Failure, FailureClass, HttpReply},
};

/// What a server's word for an answer's end means.
enum Ended {
    /// It is an answer.
    With(FinishReason, Option<Mark>),
    /// The server gave up.
    Aborted,
}

/// One table for all dialects: no word means two things.
fn ended(raw_finish: &str) -> Ended {
    let (reason, mark) = match raw_finish {
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "COMPLETE" | "STOP_SEQUENCE" | "word" => {
            (FinishReason::Stop, None)
        }
        "length" | "max_tokens" | "MAX_TOKENS" | "limit" | "model_context_window_exceeded" | "ERROR_LIMIT" => {
            (FinishReason::Length, None)
        }
        "tool_calls" | "function_call" | "tool_use" | "TOOL_CALL" => (FinishReason::Stop, Some(Mark::ToolCalls)),
        "content_filter" | "refusal" | "ERROR_TOXIC" => (FinishReason::ContentFilter, None),
        "abort" | "error" | "ERROR" | "TIMEOUT" => return Ended::Aborted,
        _ => (FinishReason::Stop, Some(Mark::UnknownFinish)),
    };
    Ended::With(reason, mark)
}

/// Returns the answer, or why it is none.
pub(super) fn settle(raw: RawAnswer, thinking: Thinking, reply: &HttpReply) -> Result<TeacherAnswer, Failure> {
    let raw_finish = raw.finish.unwrap_or_default();
    let Ended::With(finish, finish_mark) = ended(&raw_finish) else {
        let found = format!("the server gave the answer up: finish `{raw_finish}`");
        return Err(failure(reply, Refusal { class: FailureClass::Server, found }));
    };
    let finish = if raw.is_refusal { FinishReason::ContentFilter } else { finish };
    let (text, inline, thinking_mark) = parted(raw.content.unwrap_or_default(), thinking);
    let has_tool_calls = raw.answer.tool_calls.is_some();
    if text.is_empty() && finish == FinishReason::Stop && !has_tool_calls {
        let found = format!("the answer is empty, finish `{raw_finish}`");
        return Err(failure(reply, Refusal { class: FailureClass::Empty, found }));
    }
    let mut marks = raw.answer.marks;
    marks.extend(finish_mark);
    marks.extend(thinking_mark);
    marks.extend(has_tool_calls.then_some(Mark::ToolCalls));
    marks.sort();
    marks.dedup();
    let request_id = ["x-request-id", "request-id"].iter().find_map(|name| reply.header(name)).map(str::to_owned);
    Ok(TeacherAnswer {
        text,
        reasoning: raw.reasoning.or(inline),
        finish,
        raw_finish,
        tool_calls: raw.answer.tool_calls,
        usage: raw.answer.usage,
        logprobs: raw.answer.logprobs,
        model_reported: raw.answer.model_reported,
        request_id: request_id.or(raw.answer.request_id),
        marks,
    })
}
