//! Replies that continue a rendered prompt.

use serde_json::Value;

use super::{RawAnswer, TeacherAnswerParts, chat::choices, logprobs, text_at, usage};
use crate::dialect::answer::{Mark, TokenUsage, UsageSource};

/// Reads `choices[].text`.
pub(super) fn openai(body: &Value) -> Result<Vec<RawAnswer>, String> {
    let read = |(choice, marks): (&Value, Vec<Mark>)| {
        Ok(RawAnswer {
            content: Some(required_text(choice, "text")?),
            finish: text_at(choice, "/finish_reason"),
            answer: TeacherAnswerParts {
                usage: usage::openai(body),
                logprobs: logprobs::columns(choice.get("logprobs")),
                model_reported: text_at(body, "/model"),
                request_id: text_at(body, "/id"),
                marks,
                ..TeacherAnswerParts::default()
            },
            ..RawAnswer::default()
        })
    };
    choices(body)?.into_iter().map(read).collect()
}

/// Reads `{text, meta_info}` of SGLang, or a list of them.
pub(super) fn sglang(body: &Value) -> Result<Vec<RawAnswer>, String> {
    let list = body.as_array().map_or(std::slice::from_ref(body), Vec::as_slice);
    if list.is_empty() {
        return Err("the list of answers is empty".to_owned());
    }
    let read = |one: &Value| {
        let meta = one.get("meta_info").unwrap_or(&Value::Null);
        let finish = text_at(meta, "/finish_reason/type").or_else(|| text_at(meta, "/finish_reason"));
        Ok(RawAnswer {
            content: Some(required_text(one, "text")?),
            finish,
            answer: TeacherAnswerParts {
                usage: usage::sourced(TokenUsage {
                    input: usage::count(meta, &["/prompt_tokens"]),
                    output: usage::count(meta, &["/completion_tokens"]),
                    cached_in: usage::count(meta, &["/cached_tokens"]),
                    reasoning_out: usage::count(meta, &["/reasoning_tokens"]),
                    source: UsageSource::Unknown,
                }),
                logprobs: logprobs::triples(meta.get("output_token_logprobs"), meta.get("output_top_logprobs")),
                request_id: text_at(meta, "/id"),
                ..TeacherAnswerParts::default()
            },
            ..RawAnswer::default()
        })
    };
    list.iter().map(read).collect()
}

/// Reads `{generated_text, details}` of TGI, or a list of one.
pub(super) fn tgi(body: &Value) -> Result<Vec<RawAnswer>, String> {
    let one = body.get(0).unwrap_or(body);
    let details = one.get("details").unwrap_or(&Value::Null);
    let prefill = details.get("prefill").and_then(Value::as_array).filter(|prefill| !prefill.is_empty());
    Ok(vec![RawAnswer {
        content: Some(required_text(one, "generated_text")?),
        finish: text_at(details, "/finish_reason"),
        answer: TeacherAnswerParts {
            usage: usage::sourced(TokenUsage {
                input: prefill.and_then(|prefill| u32::try_from(prefill.len()).ok()),
                output: usage::count(details, &["/generated_tokens"]),
                ..TokenUsage::default()
            }),
            logprobs: logprobs::entries(details.get("tokens")),
            ..TeacherAnswerParts::default()
        },
        ..RawAnswer::default()
    }])
}

/// Reads `{content, stop_type, ..}` of llama.cpp; old releases say why by one member for each reason.
pub(super) fn llamacpp(body: &Value) -> Result<Vec<RawAnswer>, String> {
    let is_set = |name: &str| body.get(name).and_then(Value::as_bool) == Some(true);
    let old = [("stopped_eos", "eos"), ("stopped_word", "word"), ("stopped_limit", "limit")];
    let old_finish = || old.iter().find(|(member, _)| is_set(member)).map(|(_, word)| (*word).to_owned());
    Ok(vec![RawAnswer {
        content: Some(required_text(body, "content")?),
        finish: text_at(body, "/stop_type").or_else(old_finish),
        answer: TeacherAnswerParts {
            usage: usage::sourced(TokenUsage {
                input: usage::count(body, &["/tokens_evaluated"]),
                output: usage::count(body, &["/tokens_predicted"]),
                ..TokenUsage::default()
            }),
            logprobs: logprobs::entries(body.get("completion_probabilities")),
            model_reported: text_at(body, "/model"),
            marks: if is_set("truncated") { vec![Mark::TruncatedPrompt] } else { Vec::new() },
            ..TeacherAnswerParts::default()
        },
        ..RawAnswer::default()
    }])
}

fn required_text(value: &Value, name: &str) -> Result<String, String> {
    match value.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Null) => Ok(String::new()),
        Some(other) => Err(format!("expected `{name}` to be text, found {other}")),
        None => Err(format!("expected `{name}`")),
    }
}
