//! `POST /generate`, as SGLang and as TGI speak it.

use serde_json::{Value, json};

use crate::mock::{
    answer::Answer,
    reply::Reply,
    template, tokens,
    turn::{Turn, text_of},
};

/// Answers a body with `text` or `input_ids` and `sampling_params`.
pub(super) fn sglang(turn: &Turn<'_>) -> Reply {
    let body = &turn.asked.body;
    let prompts = sglang_prompts(body);
    if prompts.is_empty() {
        return turn.refuse("either `text` or `input_ids` is needed", "text");
    }
    let sampling = &body["sampling_params"];
    let n = sampling["n"].as_u64().unwrap_or(1).clamp(1, 128) as usize;
    let most = sampling["max_new_tokens"].as_u64().or(Some(128));
    let (mut replies, mut n_out) = (Vec::new(), 0);
    for (place, (prompt, n_in)) in prompts.iter().enumerate() {
        let mut question = turn.question(template::taken_apart(prompt).0.to_owned(), most);
        if prompts.len() > 1 {
            question.draw = question.draw.with(1000 + place as u64);
        }
        for answer in turn.answers(&question, n) {
            n_out += answer.n_tokens;
            replies.push(sglang_one(turn, *n_in, answer));
        }
    }
    let is_list = replies.len() > 1 || body["text"].is_array() || body["input_ids"][0].is_array();
    let whole = if is_list { Value::Array(replies) } else { replies.pop().unwrap_or(Value::Null) };
    Reply::json(whole).with_tokens(n_out)
}

fn sglang_prompts(body: &Value) -> Vec<(String, usize)> {
    let ids = |value: &Value| {
        let ids: Option<Vec<u64>> = value.as_array()?.iter().map(Value::as_u64).collect();
        ids.map(|ids| (tokens::text_of(&ids).unwrap_or_default(), ids.len()))
    };
    let text = |value: &Value| value.as_str().map(|text| (text.to_owned(), tokens::count(text)));
    match (&body["text"], &body["input_ids"]) {
        (Value::Array(texts), _) => texts.iter().filter_map(text).collect(),
        (Value::String(one), _) => vec![(one.clone(), tokens::count(one))],
        (_, Value::Array(items)) => {
            ids(&body["input_ids"]).map(|one| vec![one]).unwrap_or_else(|| items.iter().filter_map(ids).collect())
        }
        _ => Vec::new(),
    }
}

fn sglang_one(turn: &Turn<'_>, n_in: usize, answer: Answer) -> Value {
    let finish =
        if answer.is_cut { json!({"type": "length", "length": answer.n_tokens}) } else { json!({"type": "stop"}) };
    let mut meta = json!({
        "id": turn.id("sgl"), "finish_reason": finish, "prompt_tokens": n_in, "completion_tokens": answer.n_tokens,
        "cached_tokens": 0, "weight_version": "default",
    });
    if turn.asked.flag("return_logprob") {
        meta["output_token_logprobs"] = token_rows(&answer.text, |piece, value| json!([value, 0, piece]));
    }
    json!({"text": answer.text, "output_ids": tokens::ids(&answer.text), "meta_info": meta})
}

fn token_rows(text: &str, row: impl Fn(&str, f64) -> Value) -> Value {
    let mut before = "";
    let one = |piece| {
        let value = tokens::log_prob(before, piece);
        before = piece;
        row(piece, value)
    };
    tokens::pieces(text).map(one).collect()
}

/// Answers a body with `inputs` and `parameters`.
pub(super) fn tgi(turn: &Turn<'_>) -> Reply {
    let body = &turn.asked.body;
    let parameters = &body["parameters"];
    let n = parameters["best_of"].as_u64().unwrap_or(1).clamp(1, 128) as usize;
    let prompt = text_of(&body["inputs"]);
    let most = parameters["max_new_tokens"].as_u64().or(Some(1024));
    let question = turn.question(template::taken_apart(&prompt).0.to_owned(), most);
    let answers = turn.answers(&question, n);
    let n_out = answers.iter().map(|answer| answer.n_tokens).sum();
    let mut all: Vec<Value> = answers.iter().map(|answer| tgi_details(parameters, answer)).collect();
    let mut reply = json!({"generated_text": answers.first().map(|answer| answer.text.as_str())});
    if parameters["details"] == true {
        let others = all.split_off(1);
        reply["details"] = all.pop().unwrap_or(Value::Null);
        if !others.is_empty() {
            reply["details"]["best_of_sequences"] = Value::Array(others);
        }
    }
    Reply::json(reply).with_tokens(n_out)
}

fn tgi_details(parameters: &Value, answer: &Answer) -> Value {
    json!({
        "generated_text": answer.text, "finish_reason": if answer.is_cut { "length" } else { "eos_token" },
        "generated_tokens": answer.n_tokens, "seed": parameters["seed"], "prefill": [],
        "tokens": token_rows(&answer.text, |piece, value| {
            json!({"id": 0, "text": piece, "logprob": value, "special": false})
        }),
    })
}
