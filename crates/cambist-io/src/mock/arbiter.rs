//! The dialects that reward models are asked in.

mod head;
mod texts;

use serde_json::{Value, json};

use super::{
    reply::Reply,
    tokens,
    turn::{Turn, usage},
};
use head::Head;
use texts::Text;

/// Returns the reply of a reward model's route; none for other paths.
pub(crate) fn reply(turn: &Turn<'_>) -> Option<Reply> {
    let body = &turn.asked.body;
    Some(match turn.asked.path.as_str() {
        "/classify" | "/judge" if is_sglang(body) => bare(turn),
        "/classify" => listed(turn, "classify"),
        "/pooling" => listed(turn, "pooling"),
        "/v1/embeddings" => listed(turn, "embeddings"),
        "/score" | "/v1/score" if body.get("items").is_some() => items(turn),
        "/score" | "/v1/score" => pairs(turn),
        "/get_reward" => openrlhf(turn),
        "/predict" => predict(turn),
        "/rerank" | "/v1/rerank" => rerank(turn),
        _ => return None,
    })
}

fn is_sglang(body: &Value) -> bool {
    body.get("text").is_some() || body.get("input_ids").is_some()
}

fn no_input(turn: &Turn<'_>) -> Reply {
    turn.refuse("no text, ids or messages to score", "input")
}

/// vLLM's shapes: a `data` list with an index.
fn listed(turn: &Turn<'_>, route: &str) -> Reply {
    let texts = texts::of_body(&turn.asked.body);
    if texts.is_empty() {
        return no_input(turn);
    }
    // Pooling without a task gives the states before the head.
    let head = match route {
        "pooling" if turn.asked.text("task") != "classify" => Head::Hidden,
        _ => Head::of(turn.asked),
    };
    let one = |(index, text): (usize, &Text)| {
        let values = head.values(text, turn.options.seed);
        match route {
            "classify" => {
                json!({"index": index, "label": "LABEL_0", "probs": values, "num_classes": values.len()})
            }
            "pooling" => json!({"index": index, "object": "pooling", "data": values}),
            _ => json!({"index": index, "object": "embedding", "embedding": values}),
        }
    };
    let rows: Vec<Value> = texts.iter().enumerate().map(one).collect();
    let n_in = texts.iter().map(Text::n_tokens).sum();
    let reply = json!({"id": turn.id(route), "object": "list", "model": turn.asked.model(), "data": rows, "usage": usage(n_in, 0)});
    Reply::json(reply).with_tokens(texts.len())
}

/// SGLang's shape: a bare list.
fn bare(turn: &Turn<'_>) -> Reply {
    let texts = texts::of_body(&turn.asked.body);
    if texts.is_empty() {
        return no_input(turn);
    }
    let head = Head::of(turn.asked);
    let one = |text: &Text| json!({"embedding": head.values(text, turn.options.seed), "meta_info": {"prompt_tokens": text.n_tokens()}});
    Reply::json(texts.iter().map(one).collect()).with_tokens(texts.len())
}

fn pairs(turn: &Turn<'_>) -> Reply {
    let texts = texts::of_pairs(&turn.asked.body);
    if texts.is_empty() {
        return no_input(turn);
    }
    let head = Head::of(turn.asked);
    let one = |(index, text): (usize, &Text)| json!({"index": index, "object": "score", "score": head.values(text, turn.options.seed)[0]});
    let rows: Vec<Value> = texts.iter().enumerate().map(one).collect();
    let n_in = texts.iter().map(Text::n_tokens).sum();
    let reply = json!({"id": turn.id("score"), "object": "list", "model": turn.asked.model(), "data": rows, "usage": usage(n_in, 0)});
    Reply::json(reply).with_tokens(texts.len())
}

/// SGLang's `/v1/score`: the values of each item, one for each label when labels are given.
fn items(turn: &Turn<'_>) -> Reply {
    let body = &turn.asked.body;
    let query = body["query"].as_str().unwrap_or_default();
    let n_labels = body["label_token_ids"].as_array().map_or(1, Vec::len);
    let head = Head::of(turn.asked);
    let one = |item: &Value| {
        let text = Text::Pair(query.to_owned(), item.as_str().unwrap_or_default().to_owned());
        let value = head.values(&text, turn.options.seed)[0];
        match n_labels {
            2 => {
                let share = 1.0 / (1.0 + (-value).exp());
                vec![share, 1.0 - share]
            }
            _ => vec![value; n_labels.max(1)],
        }
    };
    let scores: Vec<Vec<f64>> =
        body["items"].as_array().map(|items| items.iter().map(one).collect()).unwrap_or_default();
    let n = scores.len();
    Reply::json(json!({"scores": scores, "model": turn.asked.model(), "object": "scoring"})).with_tokens(n)
}

fn openrlhf(turn: &Turn<'_>) -> Reply {
    let texts = texts::strings(&turn.asked.body["query"]);
    if texts.is_empty() {
        return turn.refuse("`query` is missing", "query");
    }
    let head = Head::of(turn.asked);
    let rewards: Vec<f64> = texts.iter().map(|text| head.values(text, turn.options.seed)[0]).collect();
    Reply::json(json!({"rewards": rewards, "scores": rewards, "extra_logs": {}})).with_tokens(texts.len())
}

/// TEI's `/predict`: one text, or a pair, gives a list; a list of texts gives a list of lists.
fn predict(turn: &Turn<'_>) -> Reply {
    let inputs = &turn.asked.body["inputs"];
    let texts = texts::of_predict(inputs);
    if texts.is_empty() {
        return turn.refuse("`inputs` is missing", "inputs");
    }
    let is_raw = turn.asked.flag("raw_scores");
    let head = Head::of(turn.asked);
    let one = |text: &Text| {
        let value = head.values(text, turn.options.seed)[0];
        json!([{"label": "LABEL_0", "score": if is_raw { value } else { 1.0 / (1.0 + (-value).exp()) }}])
    };
    let mut rows: Vec<Value> = texts.iter().map(one).collect();
    let whole = if inputs.is_string() { rows.pop().unwrap_or(Value::Null) } else { Value::Array(rows) };
    Reply::json(whole).with_tokens(texts.len())
}

/// Best first, as the real servers send it.
fn rerank(turn: &Turn<'_>) -> Reply {
    let body = &turn.asked.body;
    let query = body["query"].as_str().unwrap_or_default();
    let texts = body["texts"].as_array().or_else(|| body["documents"].as_array());
    let Some(texts) = texts else { return turn.refuse("`texts` is missing", "texts") };
    let head = Head::of(turn.asked);
    let is_raw = turn.asked.flag("raw_scores");
    let score = |text: &Value| {
        let text = Text::Pair(query.to_owned(), text.as_str().unwrap_or_default().to_owned());
        let value = head.values(&text, turn.options.seed)[0];
        if is_raw { value } else { 1.0 / (1.0 + (-value).exp()) }
    };
    let mut scored: Vec<(usize, f64)> = texts.iter().map(score).enumerate().collect();
    scored.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let rows: Vec<Value> = scored.iter().map(|(index, score)| json!({"index": index, "score": score})).collect();
    Reply::json(Value::Array(rows)).with_tokens(tokens::count(query))
}
