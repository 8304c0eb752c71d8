//! Requests that cannot be answered, in OpenAI's words and shape.

use cambist_io::serve::api::ApiAnswer;
use cambist_model::{EncodeError, Head};
use serde_json::json;

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    /// The member of the body that is to blame.
    param: Option<String>,
    message: String,
}

impl Refusal {
    /// A member of the body has a wrong value.
    pub(super) fn wrong(param: &str, message: impl Into<String>) -> Self {
        let param = (!param.is_empty()).then(|| param.to_owned());
        Self { status: 400, kind: "invalid_request_error", code: None, param, message: message.into() }
    }

    /// A member asks for what is not done here.
    pub(super) fn unsupported(param: &str) -> Self {
        let message = format!("`{param}` is not supported by this server; leave it out");
        Self { code: Some("unsupported_parameter"), ..Self::wrong(param, message) }
    }

    /// There is no such model.
    pub(super) fn model(asked: &str, served: &str) -> Self {
        let message = format!("the model `{asked}` does not exist; this server has `{served}`");
        Self { status: 404, code: Some("model_not_found"), ..Self::wrong("model", message) }
    }

    /// Prompt and answer do not fit the model.
    pub(super) fn overflow((n_prompt, n_answer, max_positions): (usize, usize, usize), param: &str) -> Self {
        let message = format!(
            "this model's maximum context length is {max_positions} tokens, but {} were requested ({n_prompt} in the \
             prompt, {n_answer} in the answer); shorten either",
            n_prompt + n_answer
        );
        Self { code: Some("context_length_exceeded"), ..Self::wrong(param, message) }
    }

    /// A text to be classified does not fit the model.
    pub(super) fn too_long((n_tokens, max_positions): (usize, usize), param: &str) -> Self {
        let message = format!(
            "this model's maximum context length is {max_positions} tokens, but this input has {n_tokens}; shorten it: \
             nothing is cut"
        );
        Self { code: Some("context_length_exceeded"), ..Self::wrong(param, message) }
    }

    /// The model has another head than the path asks for.
    pub(super) fn head(model: &str, has: Head, path: &str) -> Self {
        let message = match has {
            Head::Reward => format!(
                "`{model}` has a reward head and writes no answers, so that `{path}` has none; ask `/classify` for rewards"
            ),
            Head::Language => format!(
                "`{model}` is a language model without a reward head, so that `{path}` has no reward; ask \
                 `/v1/chat/completions`, or serve a `...ForSequenceClassification` folder"
            ),
        };
        Self::wrong("model", message)
    }

    /// The prompt cannot become tokens.
    pub(super) fn prompt(error: &EncodeError, param: &str) -> Self {
        Self::wrong(param, error.to_string())
    }

    /// There is nothing at this path.
    pub(super) fn nowhere(path: &str) -> Self {
        let message = format!(
            "there is nothing at `{path}`; ask `/v1/chat/completions`, `/v1/completions`, `/classify`, `/v1/models` or \
             `/health`"
        );
        Self { status: 404, ..Self::wrong("", message) }
    }

    /// The path takes another method.
    pub(super) fn method(found: &str, path: &str, expected: &str) -> Self {
        Self { status: 405, ..Self::wrong("", format!("`{path}` was asked with {found}; expected {expected}")) }
    }

    /// What goes wrong here is nobody else's fault.
    pub(super) fn ours(message: impl Into<String>) -> Self {
        Self { status: 500, kind: "server_error", code: None, param: None, message: message.into() }
    }

    /// The reply.
    pub(super) fn answer(&self) -> ApiAnswer {
        let error = json!({"message": self.message, "type": self.kind, "param": self.param, "code": self.code});
        ApiAnswer { status: self.status, body: json!({ "error": error }) }
    }
}
