//! What a request gives to score.

use serde_json::Value;

use crate::mock::{
    template, tokens,
    turn::{said, text_of},
};

/// One thing to score.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text {
    /// A prompt, empty when nobody knows it, and an answer.
    Pair(String, String),
    /// Ids of a tokenizer that nobody knows.
    Ids(Vec<u64>),
}

impl Text {
    pub(super) fn n_tokens(&self) -> usize {
        match self {
            Self::Pair(prompt, answer) => tokens::count(prompt) + tokens::count(answer),
            Self::Ids(ids) => ids.len(),
        }
    }

    /// Takes a rendered chat apart; a text of no known template is all answer.
    fn rendered(text: &str) -> Self {
        match template::taken_apart(text) {
            (prompt, Some(answer)) => Self::Pair(prompt.to_owned(), answer.to_owned()),
            (answer, None) => Self::Pair(String::new(), answer.to_owned()),
        }
    }
}

/// Returns what `messages`, `input`, `text` or `input_ids` hold.
pub(super) fn of_body(body: &Value) -> Vec<Text> {
    if body["messages"].is_array() {
        return conversation(&body["messages"]).into_iter().collect();
    }
    ["input", "text", "input_ids"]
        .iter()
        .map(|name| &body[*name])
        .find(|found| !found.is_null())
        .map(strings)
        .unwrap_or_default()
}

fn conversation(messages: &Value) -> Option<Text> {
    let last = messages.as_array()?.last()?;
    let answer = if last["role"] == "assistant" { text_of(&last["content"]) } else { String::new() };
    Some(Text::Pair(said(messages).1, answer))
}

/// Returns one text, one list of ids, or several of either.
pub(super) fn strings(value: &Value) -> Vec<Text> {
    let ids = |value: &Value| value.as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>();
    match value {
        Value::String(text) => vec![Text::rendered(text)],
        Value::Array(items) if items.is_empty() => Vec::new(),
        Value::Array(items) => match ids(value) {
            Some(ids) => vec![Text::Ids(ids)],
            None => items.iter().flat_map(strings).collect(),
        },
        _ => Vec::new(),
    }
}

/// Returns the pairs of `queries` and `documents`, or of `text_1` and `text_2`; one of the first goes with all of the
/// second.
pub(super) fn of_pairs(body: &Value) -> Vec<Text> {
    let many = |names: [&str; 2]| -> Vec<String> {
        let found = names.iter().map(|name| &body[*name]).find(|found| !found.is_null()).unwrap_or(&Value::Null);
        match found {
            Value::Array(items) => items.iter().map(text_of).collect(),
            one => one.as_str().map(str::to_owned).into_iter().collect(),
        }
    };
    let (prompts, answers) = (many(["queries", "text_1"]), many(["documents", "text_2"]));
    let prompt = |i: usize| prompts.get(if prompts.len() == 1 { 0 } else { i }).cloned().unwrap_or_default();
    answers.into_iter().enumerate().map(|(i, answer)| Text::Pair(prompt(i), answer)).collect()
}

/// Returns TEI's inputs: a text, a list of texts, or a list of lists of one text or two.
pub(super) fn of_predict(inputs: &Value) -> Vec<Text> {
    let one = |item: &Value| match item {
        Value::Array(pair) if pair.len() == 2 => Text::Pair(text_of(&pair[0]), text_of(&pair[1])),
        Value::Array(single) => Text::rendered(single.first().and_then(Value::as_str).unwrap_or_default()),
        text => Text::rendered(text.as_str().unwrap_or_default()),
    };
    match inputs {
        Value::String(_) => vec![one(inputs)],
        Value::Array(items) => items.iter().map(one).collect(),
        _ => Vec::new(),
    }
}
