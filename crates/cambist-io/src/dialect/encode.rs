//! Requests in the words of each dialect.

mod chat;
mod rendered;

use serde_json::Value;

use super::{
    request::{EncodeError, EncodeOptions, TeacherRequest},
    teacher::TeacherDialect,
};
use crate::exchange::HttpCall;

/// Returns the request in the words of `dialect`.
///
/// # Errors
/// When the dialect cannot say it: no rendered prompt, no response schema, several answers at once.
pub fn encode(
    dialect: TeacherDialect,
    request: &TeacherRequest,
    options: EncodeOptions,
) -> Result<HttpCall, EncodeError> {
    Ok(call(dialect, &encode_body(dialect, request, options)?))
}

/// Returns a request around a body from [`encode_body`].
pub fn call(dialect: TeacherDialect, body: &Value) -> HttpCall {
    let mut call = HttpCall::post_json(dialect.path(), body);
    if dialect == TeacherDialect::Anthropic {
        call.headers.push(("anthropic-version".to_owned(), "2023-06-01".to_owned()));
    }
    call
}

/// Returns the body of the request in the words of `dialect`: what the ledger's keys and batch files are made of.
///
/// # Errors
/// As [`encode`].
pub fn encode_body(
    dialect: TeacherDialect,
    request: &TeacherRequest,
    options: EncodeOptions,
) -> Result<Value, EncodeError> {
    if options.n != 1 && !dialect.takes_n() {
        return Err(EncodeError::OneAnswer { dialect: dialect.name(), n: options.n });
    }
    let mut body = match dialect {
        TeacherDialect::OpenAiChat => chat::openai(request, options)?,
        TeacherDialect::Anthropic => chat::anthropic(request)?,
        TeacherDialect::Cohere => chat::cohere(request)?,
        TeacherDialect::OpenAiCompletions => rendered::openai(request, options)?,
        TeacherDialect::SglangGenerate => rendered::sglang(request, options)?,
        TeacherDialect::TgiGenerate => rendered::tgi(request)?,
        TeacherDialect::LlamacppCompletion => rendered::llamacpp(request)?,
    };
    if let Some(extra) = &request.extra_body {
        merge(&mut body, extra);
    }
    Ok(body)
}

/// Puts a sampling seed into a body from [`encode_body`]; does nothing where the dialect takes none.
pub fn put_seed(dialect: TeacherDialect, body: &mut Value, seed: u32) {
    if !dialect.takes_seed() {
        return;
    }
    let within = if dialect == TeacherDialect::TgiGenerate { body.get_mut("parameters") } else { Some(body) };
    if let Some(Value::Object(members)) = within {
        members.insert("seed".to_owned(), seed.into());
    }
}

/// Asks for `n` answers with a body from [`encode_body`]; does nothing for one, and where the dialect takes none.
pub fn put_n(dialect: TeacherDialect, body: &mut Value, n: u32) {
    if n < 2 || !dialect.takes_n() {
        return;
    }
    let within = if dialect == TeacherDialect::SglangGenerate { body.get_mut("sampling_params") } else { Some(body) };
    if let Some(Value::Object(members)) = within {
        members.insert("n".to_owned(), n.into());
    }
}

/// Merges `patch` into `target` as a JSON Merge Patch (RFC 7396): objects member by member, null removes.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.shift_remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
