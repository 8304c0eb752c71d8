//! Log-probabilities in each dialect's shape.

use serde_json::Value;

use crate::dialect::answer::TokenLogProb;

/// Reads a log-probability; some servers write -9999 where they have none.
fn logprob(value: &Value) -> Option<f64> {
    value.as_f64().filter(|logprob| *logprob > -9998.0)
}

/// Reads `[{token, logprob, top_logprobs: [{token, logprob}]}]`: chat completions and llama.cpp.
pub(super) fn entries(list: Option<&Value>) -> Option<Vec<TokenLogProb>> {
    let token = |entry: &Value| entry.get("token").or_else(|| entry.get("text")).map(spelled).unwrap_or_default();
    let one = |entry: &Value| (token(entry), entry.get("logprob").and_then(logprob));
    let read = |entry: &Value| {
        let (token, logprob) = one(entry);
        let top = entry.get("top_logprobs").and_then(Value::as_array);
        TokenLogProb { token, logprob, top: top.map(|top| top.iter().map(one).collect()).unwrap_or_default() }
    };
    Some(list?.as_array()?.iter().map(read).collect())
}

/// Reads `{tokens, token_logprobs, top_logprobs: [{token: logprob}]}`: completions.
pub(super) fn columns(logprobs: Option<&Value>) -> Option<Vec<TokenLogProb>> {
    let column = |name: &str| logprobs?.get(name)?.as_array();
    let tops = column("top_logprobs");
    let values = column("token_logprobs")?;
    let read = |(at, token): (usize, &Value)| {
        let top = tops.and_then(|tops| tops.get(at)).and_then(Value::as_object);
        let top = top.map(|top| top.iter().map(|(token, value)| (token.clone(), logprob(value))).collect());
        let logprob = values.get(at).and_then(logprob);
        TokenLogProb { token: spelled(token), logprob, top: top.unwrap_or_default() }
    };
    Some(column("tokens")?.iter().enumerate().map(read).collect())
}

/// Reads `[[logprob, id, text]]` and the likeliest beside it: SGLang.
pub(super) fn triples(list: Option<&Value>, tops: Option<&Value>) -> Option<Vec<TokenLogProb>> {
    let one = |entry: &Value| {
        let text = entry.get(2).filter(|text| !text.is_null()).or_else(|| entry.get(1));
        (text.map(spelled).unwrap_or_default(), entry.get(0).and_then(logprob))
    };
    let read = |(at, entry): (usize, &Value)| {
        let (token, logprob) = one(entry);
        let top = tops.and_then(|tops| tops.get(at)).and_then(Value::as_array);
        TokenLogProb { token, logprob, top: top.map(|top| top.iter().map(one).collect()).unwrap_or_default() }
    };
    Some(list?.as_array()?.iter().enumerate().map(read).collect())
}

fn spelled(token: &Value) -> String {
    token.as_str().map_or_else(|| token.to_string(), str::to_owned)
}
