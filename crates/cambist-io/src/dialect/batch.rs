//! Files of batch jobs: requests out, results in.

use serde_json::{Value, json};

use super::failures::redacted;
use crate::exchange::{Failure, FailureClass, HttpReply};

/// Returns one line of a batch file, without its line break, as OpenAI and vLLM read it.
pub fn batch_line(custom_id: &str, url: &str, body: &Value) -> String {
    json!({"custom_id": custom_id, "method": "POST", "url": url, "body": body}).to_string()
}

/// Returns the body that makes a batch job of Anthropic from names and bodies.
pub fn anthropic_batch<'a>(requests: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Value {
    let one = |(custom_id, params): (&str, &Value)| json!({"custom_id": custom_id, "params": params});
    json!({"requests": requests.into_iter().map(one).collect::<Vec<_>>()})
}

/// One result of a batch job.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchResult {
    /// The name that the request was given.
    pub custom_id: String,
    /// The reply as if it had come over HTTP, of any status, to be decoded as any other; or why none came.
    pub reply: Result<HttpReply, Failure>,
}

/// A line of a result file that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no line of a batch result: {found}; expected `custom_id` with `response`, `error` or `result`")]
pub struct BatchLineError {
    /// What was found.
    pub found: String,
}

/// Reads one line of a result file or an error file, of OpenAI's form or Anthropic's.
///
/// # Errors
/// When the line is no result.
pub fn read_batch_line(line: &str) -> Result<BatchResult, BatchLineError> {
    let refused = |found: String| BatchLineError { found };
    let line = line.trim_start_matches('\u{feff}').trim();
    let value: Value = serde_json::from_str(line).map_err(|error| refused(format!("broken JSON, {error}")))?;
    let custom_id = value.get("custom_id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let custom_id = custom_id.ok_or_else(|| refused("no `custom_id`".to_owned()))?.to_owned();
    let present = |name: &str| value.get(name).filter(|member| !member.is_null());
    let reply = match (present("response"), present("error"), present("result")) {
        (Some(response), _, _) => openai_reply(response).map_err(refused)?,
        (None, Some(error), _) => Err(job_failure(error)),
        (None, None, Some(result)) => anthropic_reply(result).map_err(refused)?,
        (None, None, None) => return Err(refused("neither `response` nor `error` nor `result`".to_owned())),
    };
    Ok(BatchResult { custom_id, reply })
}

fn openai_reply(response: &Value) -> Result<Result<HttpReply, Failure>, String> {
    let status = response.get("status_code").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let status = status.ok_or("no `status_code` in `response`")?;
    let body = response.get("body").unwrap_or(&Value::Null);
    let mut reply = reply(status, body);
    if let Some(id) = response.get("request_id").and_then(Value::as_str).filter(|id| !id.is_empty()) {
        reply.headers.push(("x-request-id".to_owned(), id.to_owned()));
    }
    Ok(Ok(reply))
}

/// A request that the job never sent is free to be sent again.
fn job_failure(error: &Value) -> Failure {
    let code = error.get("code").and_then(Value::as_str).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or("no message");
    let class = match code {
        "batch_expired" | "batch_cancelled" => FailureClass::Stopped,
        _ => FailureClass::Server,
    };
    let reason = redacted(&format!("{code}: {message}")).chars().take(300).collect::<String>();
    Failure::new(class, reason.trim_start_matches(": "))
}

fn anthropic_reply(result: &Value) -> Result<Result<HttpReply, Failure>, String> {
    let kind = result.get("type").and_then(Value::as_str).unwrap_or_default();
    Ok(match kind {
        "succeeded" => Ok(reply(200, result.get("message").ok_or("no `message` in a result that succeeded")?)),
        "errored" => {
            let error = result.get("error").ok_or("no `error` in a result that failed")?;
            let kind = error.pointer("/error/type").or_else(|| error.get("type")).and_then(Value::as_str);
            Ok(reply(anthropic_status(kind.unwrap_or_default()), error))
        }
        "canceled" | "expired" => Err(Failure::new(FailureClass::Stopped, format!("the batch job ended: {kind}"))),
        other => return Err(format!("the result type `{other}`")),
    })
}

/// The status that Anthropic gives an error of this type outside of batches.
fn anthropic_status(kind: &str) -> u16 {
    match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    }
}

fn reply(status: u16, body: &Value) -> HttpReply {
    HttpReply { status, body: body.to_string().into_bytes(), ..HttpReply::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{decode::decode, request::Thinking, teacher::TeacherDialect};

    #[test]
    fn lines_out_are_what_batch_runners_read() {
        let line = batch_line("ab12", "/v1/chat/completions", &json!({"model": "m"}));
        let expected = r#"{"custom_id":"ab12","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}"#;
        assert_eq!(line, expected);
        let body = json!({"max_tokens": 1});
        assert_eq!(
            anthropic_batch([("a", &body)]),
            json!({"requests": [{"custom_id": "a", "params": {"max_tokens": 1}}]})
        );
    }

    #[test]
    fn results_decode_as_live_replies_do() {
        let line = r#"{"id":"r","custom_id":"c1","response":{"status_code":200,"request_id":"q1","body":
            {"choices":[{"index":0,"finish_reason":"stop","message":{"content":"Merhaba"}}]}},"error":null}"#;
        let result = read_batch_line(line).unwrap();
        let answer = decode(TeacherDialect::OpenAiChat, Thinking::Strip, &result.reply.unwrap()).unwrap();
        assert_eq!((answer.text.as_str(), answer.request_id.as_deref()), ("Merhaba", Some("q1")));
        let line = r#"{"custom_id":"c2","result":{"type":"succeeded","message":
            {"content":[{"type":"text","text":"Привіт"}],"stop_reason":"end_turn"}}}"#;
        let result = read_batch_line(line).unwrap();
        let answer = decode(TeacherDialect::Anthropic, Thinking::Strip, &result.reply.unwrap()).unwrap();
        assert_eq!(answer.text, "Привіт");
    }

    #[test]
    fn failed_lines_are_classed_as_live_failures_are() {
        let class = |line: &str| match read_batch_line(line).unwrap().reply {
            Ok(reply) => decode(TeacherDialect::Anthropic, Thinking::Strip, &reply).unwrap_err().class,
            Err(failure) => failure.class,
        };
        let errored = |kind: &str| {
            let error = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}}}}"#);
            format!(r#"{{"custom_id":"c","result":{{"type":"errored","error":{error}}}}}"#)
        };
        assert_eq!(class(&errored("invalid_request_error")), FailureClass::Request);
        assert_eq!(class(&errored("overloaded_error")), FailureClass::Capacity);
        assert_eq!(class(&errored("api_error")), FailureClass::Server);
        assert_eq!(class(r#"{"custom_id":"c","result":{"type":"expired"}}"#), FailureClass::Stopped);
        let expired = r#"{"custom_id":"c","response":null,"error":{"code":"batch_expired","message":"late"}}"#;
        assert_eq!(class(expired), FailureClass::Stopped);
        let status =
            r#"{"custom_id":"c","response":{"status_code":429,"body":{"error":{"message":"slow"}}},"error":null}"#;
        assert_eq!(class(status), FailureClass::Capacity);
    }

    #[test]
    fn lines_without_a_name_are_refused() {
        for line in
            ["", "{}", "[1]", r#"{"custom_id":""}"#, r#"{"custom_id":"c"}"#, r#"{"custom_id":"c","response":{}}"#]
        {
            assert!(read_batch_line(line).is_err(), "{line}");
        }
    }
}
