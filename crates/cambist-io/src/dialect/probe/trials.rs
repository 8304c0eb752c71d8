//! What small trials show of a server.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    dialect::{answer::TeacherAnswer, body::read_json, teacher::ServerKind},
    exchange::{Failure, HttpCall, HttpReply},
};

/// What trials ask; about a dozen tokens.
pub const TRIAL_PROMPT: &str = "Name a river, a mountain and a town, please.";

/// Longest answer of a trial in tokens.
pub const TRIAL_TOKENS: u32 = 4;

/// Texts by which two tokenizers are compared.
pub const TOKENIZED: [&str; 5] = [
    "Guten Morgen, wie geht es Ihnen heute?",
    "今日はいい天気ですね。",
    "مرحبا بالعالم، كيف حالك؟",
    "नमस्ते दुनिया, १२३",
    "Bugün 3,14 TL'ye üç şişe su aldım.",
];

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

/// Returns whether the server gives several answers to one request, from how many came of the `n` that were asked for.
pub fn gives_n(n: usize, came: Result<usize, &Failure>) -> Shown {
    match came {
        Ok(found) if found == n => Shown::Yes,
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

/// Returns whether an answer to a request for JSON of `schema` begins as such; one that was all thinking shows nothing.
pub fn follows_schema(schema: &Value, answer: Result<&TeacherAnswer, &Failure>) -> Shown {
    let openings = match schema.get("type").and_then(Value::as_str) {
        Some("object") | None => "{",
        Some("array") => "[",
        Some(_) => "\"-0123456789tfn",
    };
    match answer {
        Ok(answer) => match answer.text.trim_start().chars().next() {
            None => Shown::Unknown,
            Some(first) if openings.contains(first) => Shown::Yes,
            Some(_) => Shown::No,
        },
        Err(failure) if matches!(failure.status, Some(400 | 422)) => Shown::No,
        Err(_) => Shown::Unknown,
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

/// Returns the request that asks a server for the tokens of `text`, without any that begin a text.
pub fn tokenize_call(kind: ServerKind, model: &str, text: &str) -> HttpCall {
    let body = match kind {
        ServerKind::Llamacpp => json!({"content": text, "add_special": false}),
        ServerKind::Tgi => json!({"inputs": text, "add_special_tokens": false}),
        _ => json!({"model": model, "prompt": text, "add_special_tokens": false}),
    };
    super::as_probe(HttpCall::post_json("/tokenize", &body))
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
