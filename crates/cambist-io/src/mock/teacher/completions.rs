//! `POST /v1/completions`.

use serde_json::{Value, json};

use crate::mock::{
    answer::Answer,
    fault::Fault,
    reply::Reply,
    template, tokens,
    turn::{CREATED, Turn, usage},
};

/// What the real servers take for `max_tokens` when it is not sent.
const MAX_TOKENS: u64 = 16;

/// A prompt as text or as ids.
enum Prompt {
    Text(String),
    Ids(Vec<u64>),
}

pub(super) fn reply(turn: &Turn<'_>) -> Reply {
    let prompts = prompts(&turn.asked.body["prompt"]);
    if prompts.is_empty() {
        return turn.refuse("`prompt` is missing, or neither text nor ids", "prompt");
    }
    let n = turn.asked.number("n").unwrap_or(1).clamp(1, 128) as usize;
    let most = turn.asked.number("max_tokens").unwrap_or(MAX_TOKENS);
    let (mut choices, mut n_in, mut n_out) = (Vec::new(), 0, 0);
    for (place, prompt) in prompts.iter().enumerate() {
        let mut question = turn.question(prompt.question(), Some(most));
        if prompts.len() > 1 {
            question.draw = question.draw.with(1000 + place as u64);
        }
        n_in += prompt.pieces().len();
        for answer in turn.answers(&question, n) {
            n_out += answer.n_tokens;
            choices.push(choice(turn, (choices.len(), prompt), answer));
        }
    }
    let body = json!({
        "id": turn.id("cmpl"), "object": "text_completion", "created": CREATED, "model": turn.asked.model(),
        "choices": choices, "usage": usage(n_in, n_out),
    });
    Reply::json(body).with_tokens(n_out).streamed_as(turn.asked)
}

fn prompts(prompt: &Value) -> Vec<Prompt> {
    let ids = |value: &Value| value.as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>();
    match prompt {
        Value::String(text) => vec![Prompt::Text(text.clone())],
        Value::Array(items) => match ids(prompt) {
            Some(ids) => vec![Prompt::Ids(ids)],
            None => {
                let one = |item: &Value| match item {
                    Value::String(text) => Some(Prompt::Text(text.clone())),
                    other => ids(other).map(Prompt::Ids),
                };
                items.iter().filter_map(one).collect()
            }
        },
        _ => Vec::new(),
    }
}

impl Prompt {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Ids(ids) => tokens::text_of(ids).unwrap_or_default(),
        }
    }

    fn question(&self) -> String {
        template::taken_apart(&self.text()).0.to_owned()
    }

    /// One token for each id; ids are named, because nobody knows their text.
    fn pieces(&self) -> Vec<String> {
        match self {
            Self::Text(text) => tokens::pieces(text).map(str::to_owned).collect(),
            Self::Ids(ids) => ids.iter().map(|id| format!("token_id:{id}")).collect(),
        }
    }
}

fn choice(turn: &Turn<'_>, (index, prompt): (usize, &Prompt), answer: Answer) -> Value {
    let is_echo = turn.asked.flag("echo") && turn.fault != Some(Fault::IgnoreEcho);
    let before = if is_echo { prompt.pieces() } else { Vec::new() };
    let logprobs = turn.asked.number("logprobs").map(|n_top| logprobs(turn, (before, n_top), &answer.text));
    let text = if is_echo { prompt.text() + &answer.text } else { answer.text };
    let finish = if answer.is_cut { "length" } else { "stop" };
    json!({"index": index, "text": text, "finish_reason": finish, "logprobs": logprobs})
}

fn logprobs(turn: &Turn<'_>, (before, n_top): (Vec<String>, u64), text: &str) -> Value {
    let is_echo = !before.is_empty();
    let all: Vec<String> = before.into_iter().chain(tokens::pieces(text).map(str::to_owned)).collect();
    let (mut values, mut tops, mut offsets, mut offset) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (place, piece) in all.iter().enumerate() {
        let last = place.checked_sub(1).map_or("", |last| all[last].as_str());
        let own = tokens::log_prob(last, piece);
        let is_first = is_echo && place == 0;
        values.push(if is_first { Value::Null } else { json!(own) });
        let others = (1..n_top.max(1)).map(|rank| (format!("~{rank}"), json!(own - rank as f64)));
        let top: serde_json::Map<String, Value> = others.chain([(piece.clone(), json!(own))]).collect();
        tops.push(if is_first || n_top == 0 { Value::Null } else { Value::Object(top) });
        offsets.push(offset);
        offset += piece.chars().count();
    }
    if turn.fault == Some(Fault::EchoShift) && !values.is_empty() {
        values.rotate_left(1);
    }
    json!({"tokens": all, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets})
}
