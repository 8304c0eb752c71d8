//! What a server's replies say of what it is and what it can do.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{answer::TeacherAnswer, body::read_json, teacher::ServerKind};
use crate::exchange::{Failure, HttpCall, HttpReply};

/// The paths to ask, in this order, to learn what a server is.
pub const INFO_PATHS: [&str; 5] = ["/v1/models", "/version", "/get_model_info", "/info", "/props"];

/// Returns the requests that learn what a server is; their replies, of any status, go to [`server_facts`].
pub fn info_calls() -> Vec<HttpCall> {
    INFO_PATHS.into_iter().map(HttpCall::get).collect()
}

/// What a server says of itself; nothing is known by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// What program it is.
    pub kind: ServerKind,
    /// Its version.
    pub version: Option<String>,
    /// Which weights it holds: a name at the Hub, or a path.
    pub root: Option<String>,
    /// Which revision of them.
    pub revision: Option<String>,
    /// The model that an adapter stands on.
    pub parent: Option<String>,
    /// Tokens of prompt and answer together, at most.
    pub max_model_len: Option<u64>,
    /// Requests that it works on at once, where it has a fixed number.
    pub max_concurrency: Option<u64>,
    /// Texts in one request to an arbiter, at most.
    pub max_batch: Option<u64>,
    /// The models that it serves, in its order.
    pub models: Vec<String>,
}

/// Returns what replies to [`info_calls`] say of the server of `model`; each reply comes with its path, and those that
/// failed say nothing.
pub fn server_facts(model: &str, replies: &[(&str, HttpReply)]) -> ServerFacts {
    let mut facts = ServerFacts::default();
    for (path, reply) in replies {
        let Ok(body) = read_json(reply) else { continue };
        match *path {
            "/v1/models" => facts.read_models(model, &body),
            "/version" => facts.read_version(&body),
            "/get_model_info" => facts.read_sglang(&body),
            "/info" => facts.read_tgi(&body),
            "/props" => facts.read_llamacpp(&body),
            _ => {}
        }
    }
    facts
}

impl ServerFacts {
    fn read_models(&mut self, model: &str, body: &Value) {
        let list = body.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let id = |entry: &Value| text(entry, "/id");
        self.models = list.iter().filter_map(id).collect();
        let own = list.iter().find(|entry| id(entry).as_deref() == Some(model));
        let Some(own) = own.or_else(|| list.first().filter(|_| list.len() == 1)) else { return };
        self.root = text(own, "/root");
        self.parent = text(own, "/parent");
        self.max_model_len = count(own, &["/max_model_len", "/meta/n_ctx", "/meta/n_ctx_train"]);
        self.kind = match text(own, "/owned_by").as_deref() {
            Some("vllm") => ServerKind::Vllm,
            Some("sglang") => ServerKind::Sglang,
            Some("llamacpp") => ServerKind::Llamacpp,
            _ => ServerKind::None,
        };
    }

    fn read_version(&mut self, body: &Value) {
        self.version = text(body, "/version");
        if self.kind == ServerKind::None && self.version.is_some() {
            self.kind = ServerKind::Vllm;
        }
    }

    fn read_sglang(&mut self, body: &Value) {
        let Some(path) = text(body, "/model_path") else { return };
        self.kind = ServerKind::Sglang;
        self.root = Some(path);
        self.revision = text(body, "/weight_version").or(self.revision.take());
    }

    fn read_tgi(&mut self, body: &Value) {
        let Some(model) = text(body, "/model_id") else { return };
        self.root = Some(model);
        self.revision = text(body, "/model_sha");
        self.version = text(body, "/version");
        self.max_concurrency = count(body, &["/max_concurrent_requests"]);
        self.max_model_len = count(body, &["/max_total_tokens", "/max_input_length"]).or(self.max_model_len);
        self.max_batch = count(body, &["/max_client_batch_size"]);
        // TEI answers the same path, for encoders.
        if body.get("max_total_tokens").is_some() || body.get("max_input_tokens").is_some() {
            self.kind = ServerKind::Tgi;
        }
    }

    fn read_llamacpp(&mut self, body: &Value) {
        if body.get("default_generation_settings").is_none() {
            return;
        }
        self.kind = ServerKind::Llamacpp;
        self.root = text(body, "/model_path").or(self.root.take());
        self.version = text(body, "/build_info");
        self.max_concurrency = count(body, &["/total_slots"]);
        let length = count(body, &["/default_generation_settings/n_ctx", "/n_ctx"]);
        self.max_model_len = length.or(self.max_model_len);
    }
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn count(value: &Value, pointers: &[&str]) -> Option<u64> {
    pointers.iter().find_map(|pointer| value.pointer(pointer)?.as_u64())
}

/// Whether a trial showed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// It did.
    Yes,
    /// It showed the opposite.
    No,
    /// It failed, or shows neither.
    Unknown,
}

/// Returns whether the server gives several answers to one request, from a request for `n` answers.
pub fn gives_n(n: usize, answers: &Result<Vec<Result<TeacherAnswer, Failure>>, Failure>) -> Shown {
    match answers {
        Ok(answers) if answers.len() == n => Shown::Yes,
        Ok(_) => Shown::No,
        Err(failure) if matches!(failure.status, Some(400 | 422)) => Shown::No,
        Err(_) => Shown::Unknown,
    }
}

/// Returns whether a sampling seed decides the answer, from two answers at temperature 1 with one seed and one with
/// another. Three equal answers show nothing: the model may be certain.
pub fn keeps_seed(once: &TeacherAnswer, again: &TeacherAnswer, other_seed: &TeacherAnswer) -> Shown {
    match (once.text == again.text, once.text == other_seed.text) {
        (false, _) => Shown::No,
        (true, false) => Shown::Yes,
        (true, true) => Shown::Unknown,
    }
}

/// Why a server's echo cannot be used for log-likelihoods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EchoError {
    /// There are no log-probabilities.
    #[error("the reply has no log-probabilities: the server ignores `logprobs`")]
    NoLogProbs,
    /// The prompt's tokens are not in the reply.
    #[error(
        "found log-probabilities of {found} tokens, expected at least the prompt's {expected}: the server ignores `echo`"
    )]
    Ignored {
        /// How many there are.
        found: usize,
        /// How many tokens the prompt has.
        expected: usize,
    },
    /// The first token has a log-probability, so every one may belong to its neighbour.
    #[error("the first token of the prompt has a log-probability, expected none: values are shifted by one")]
    Shifted,
    /// A token of the prompt has no value, or all are 0.
    #[error("the log-probabilities of the prompt are missing, positive or all 0: they cannot be used")]
    Unusable,
}

/// Checks the reply to a completion with `echo` of a prompt of `n_ids` tokens.
///
/// # Errors
/// Why it cannot be used for log-likelihoods.
pub fn check_echo(n_ids: usize, answer: &TeacherAnswer) -> Result<(), EchoError> {
    let tokens = answer.logprobs.as_deref().ok_or(EchoError::NoLogProbs)?;
    let Some((first, rest)) = tokens.get(..n_ids).and_then(<[_]>::split_first) else {
        return Err(EchoError::Ignored { found: tokens.len(), expected: n_ids });
    };
    if first.logprob.is_some_and(|logprob| logprob != 0.0) {
        return Err(EchoError::Shifted);
    }
    let values: Option<Vec<f64>> = rest.iter().map(|token| token.logprob).collect();
    let values = values.ok_or(EchoError::Unusable)?;
    let is_usable = values.iter().all(|value| *value <= 0.0) && values.iter().any(|value| *value < 0.0);
    is_usable.then_some(()).ok_or(EchoError::Unusable)
}

/// Returns whether the server cuts a text into the same tokens as we do, from a reply to `/tokenize`.
pub fn same_tokens(ids: &[u32], reply: &HttpReply) -> Shown {
    let Ok(body) = read_json(reply) else { return Shown::Unknown };
    let Some(tokens) = body.get("tokens").and_then(Value::as_array) else { return Shown::Unknown };
    let id = |token: &Value| token.as_u64().or_else(|| token.get("id")?.as_u64());
    let theirs: Option<Vec<u64>> = tokens.iter().map(id).collect();
    match theirs {
        Some(theirs) if theirs.iter().copied().eq(ids.iter().map(|id| u64::from(*id))) => Shown::Yes,
        Some(_) => Shown::No,
        None => Shown::Unknown,
    }
}
