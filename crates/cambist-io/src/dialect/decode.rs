//! Replies in the words of each dialect.

mod chat;
mod finish;
mod logprobs;
mod rendered;
mod thinking;
mod usage;

use serde_json::Value;

use super::{
    answer::TeacherAnswer,
    body::{misshapen, read_json},
    request::Thinking,
    teacher::TeacherDialect,
};
use crate::exchange::{Failure, HttpReply};

/// Returns the answer of a reply of any status; of several, the first.
///
/// A length limit that cut the answer and a filter that withheld it are answers, kept and marked.
///
/// # Errors
/// What kind of failure the reply is; an empty answer is one, unless it was cut or withheld.
pub fn decode(dialect: TeacherDialect, thinking: Thinking, reply: &HttpReply) -> Result<TeacherAnswer, Failure> {
    let answers = decode_all(dialect, thinking, reply)?;
    answers.into_iter().next().unwrap_or_else(|| Err(misshapen(reply, "the reply holds no answer")))
}

/// Returns every answer of a reply, by index where all indices differ and else in the order of arrival; each may be a
/// failure of its own. There may be fewer than were asked for.
///
/// # Errors
/// When the reply as a whole is a failure.
pub fn decode_all(
    dialect: TeacherDialect,
    thinking: Thinking,
    reply: &HttpReply,
) -> Result<Vec<Result<TeacherAnswer, Failure>>, Failure> {
    let body = read_json(reply)?;
    let read = match dialect {
        TeacherDialect::OpenAiChat => chat::openai(&body),
        TeacherDialect::Anthropic => chat::anthropic(&body),
        TeacherDialect::Cohere => chat::cohere(&body),
        TeacherDialect::OpenAiCompletions => rendered::openai(&body),
        TeacherDialect::SglangGenerate => rendered::sglang(&body),
        TeacherDialect::TgiGenerate => rendered::tgi(&body),
        TeacherDialect::LlamacppCompletion => rendered::llamacpp(&body),
    };
    let read = read.map_err(|found| misshapen(reply, format!("{found}{}", said(&body))))?;
    Ok(read.into_iter().map(|raw| finish::settle(raw, thinking, reply)).collect())
}

/// What a success without an answer says instead.
fn said(body: &Value) -> String {
    let error = body.get("error").or_else(|| body.get("message"));
    error.map_or(String::new(), |error| format!(": the server says {error}"))
}

/// An answer as it stands in a reply.
#[derive(Debug, Default)]
struct RawAnswer {
    answer: TeacherAnswerParts,
    /// The text; none where the member is null or absent.
    content: Option<String>,
    /// Thinking in a member of its own.
    reasoning: Option<String>,
    /// The server's word for why it ended.
    finish: Option<String>,
    /// Whether the answer holds a refusal in place of its content.
    is_refusal: bool,
}

/// What goes into an answer as it is.
#[derive(Debug, Default)]
struct TeacherAnswerParts {
    tool_calls: Option<Value>,
    usage: super::answer::TokenUsage,
    logprobs: Option<Vec<super::answer::TokenLogProb>>,
    model_reported: Option<String>,
    request_id: Option<String>,
    marks: Vec<super::answer::Mark>,
}

/// What stands at a pointer without escapes. [`Value::pointer`] looks for escapes in every part of it, and replies are
/// asked for a dozen of members.
pub(in crate::dialect) fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    let inside = |value: &'v Value, part: &str| match value {
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => value.get(part),
    };
    pointer.split('/').skip(1).try_fold(value, inside)
}

/// The text of a member that is text and not empty.
fn text_at(value: &Value, pointer: &str) -> Option<String> {
    at(value, pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}
