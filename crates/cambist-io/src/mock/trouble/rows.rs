//! Changes to the members of replies, whatever the dialect.

use serde_json::{Value, json};

use crate::mock::draw::Draw;

/// Stands in a JSON text where `NaN`, which JSON does not know, is to stand.
pub(crate) const NAN: &str = "\u{1}NaN\u{1}";

/// Empties every list of choices, contents or rows.
pub(super) fn empty(value: &mut Value) {
    for list in ["choices", "data", "rewards", "scores"] {
        if value[list].is_array() {
            value[list] = json!([]);
        }
    }
    if let Value::Array(rows) = value {
        rows.clear();
    }
    for place in ["/content", "/message/content"] {
        if let Some(content) = value.pointer_mut(place).filter(|content| content.is_array()) {
            *content = json!([]);
        }
    }
}

/// Changes each text that a model said.
pub(super) fn each_text(value: &mut Value, mut change: impl FnMut(&mut Value)) {
    if let Value::Array(rows) = value {
        rows.iter_mut().filter_map(|row| row.get_mut("text")).for_each(change);
        return;
    }
    if let Some(choices) = value.get_mut("choices").and_then(Value::as_array_mut) {
        for choice in choices {
            let text = if choice.get("message").is_some() {
                choice.pointer_mut("/message/content")
            } else {
                choice.get_mut("text")
            };
            text.into_iter().for_each(&mut change);
        }
        return;
    }
    for place in ["/content/0/text", "/message/content/0/text", "/text", "/generated_text", "/content"] {
        if let Some(text) = value.pointer_mut(place).filter(|text| text.is_string()) {
            change(text);
            return;
        }
    }
}

/// Writes the marks in translations as a careless engine does.
pub(super) fn mangle_marks(value: &mut Value) {
    let careless = |text: &mut Value| {
        if let Value::String(text) = text {
            *text = text.replace('⟦', "[").replace('⟧', "]");
        }
    };
    match value.get_mut("translatedText") {
        Some(Value::Array(texts)) => texts.iter_mut().for_each(careless),
        Some(text) => careless(text),
        None => each_text(value, careless),
    }
}

/// Takes double square brackets out, as a fusor does that forgot its instructions.
pub(super) fn drop_brackets(value: &mut Value) {
    each_text(value, |text| {
        if let Value::String(text) = text {
            *text = text.replace("[[", "").replace("]]", "");
        }
    });
}

/// Drops the last of a list, or of a bare list.
pub(super) fn drop_last(value: &mut Value, list: &str) {
    let rows = ["rewards", "scores"].into_iter().filter(|_| list == "data");
    for name in [list].into_iter().chain(rows) {
        if let Some(rows) = value.get_mut(name).and_then(Value::as_array_mut) {
            rows.pop();
        }
    }
    if let Value::Array(rows) = value {
        rows.pop();
    }
}

/// Gives every choice and row the index 0.
pub(super) fn same_index(value: &mut Value) {
    for row in lists(value).into_iter().flatten().filter(|row| row.get("index").is_some()) {
        row["index"] = json!(0);
    }
}

/// Puts rows that have an index into another order; two rows change places at least.
pub(super) fn shuffle(value: &mut Value, draw: Draw) {
    for rows in lists(value) {
        if rows.iter().all(|row| row.get("index").is_some()) && rows.len() > 1 {
            let by = 1 + draw.below(rows.len() - 1);
            rows.rotate_left(by);
        }
    }
}

fn lists(value: &mut Value) -> Vec<&mut Vec<Value>> {
    match value {
        Value::Array(rows) => vec![rows],
        Value::Object(members) => {
            let named = members.iter_mut().filter(|(name, _)| matches!(name.as_str(), "choices" | "data"));
            named.filter_map(|(_, rows)| rows.as_array_mut()).collect()
        }
        _ => Vec::new(),
    }
}

/// Writes a reason to finish: OpenAI's word, Anthropic's, Cohere's.
pub(super) fn finish(value: &mut Value, [openai, anthropic, cohere]: [&str; 3]) {
    let mut rows: Vec<&mut Value> = match value {
        Value::Array(rows) => rows.iter_mut().collect(),
        whole if whole.get("choices").is_some() => lists(whole).into_iter().flatten().collect(),
        whole => vec![whole],
    };
    for row in &mut rows {
        for (place, word) in [
            ("/stop_reason", anthropic),
            ("/meta_info/finish_reason/type", openai),
            ("/details/finish_reason", openai),
            ("/stop_type", if openai == "length" { "limit" } else { openai }),
        ] {
            if let Some(found) = row.pointer_mut(place) {
                *found = json!(word);
            }
        }
        let is_cohere = row.get("message").is_some() && row.get("index").is_none();
        if let Some(found) = row.get_mut("finish_reason") {
            *found = json!(if is_cohere { cohere } else { openai });
        }
    }
}

/// Puts thinking into a member, or a block, of its own.
pub(super) fn thinking(value: &mut Value, thoughts: &str) {
    if let Some(choices) = value.get_mut("choices").and_then(Value::as_array_mut) {
        for message in choices.iter_mut().filter_map(|choice| choice.get_mut("message")) {
            message["reasoning"] = json!(thoughts);
            message["reasoning_content"] = json!(thoughts);
        }
    }
    for place in ["/content", "/message/content"] {
        if let Some(blocks) = value.pointer_mut(place).and_then(Value::as_array_mut) {
            blocks.insert(0, json!({"type": "thinking", "thinking": thoughts}));
        }
    }
}

/// Makes the first row's score no number.
pub(super) fn nan_score(value: &mut Value) {
    let places = [
        "/data/0/probs/0",
        "/data/0/data/0",
        "/data/0/embedding/0",
        "/data/0/score",
        "/0/embedding/0",
        "/0/0/score",
        "/0/score",
        "/rewards/0",
        "/scores/0/0",
        "/scores/0",
        "/choices/0/logprobs/content/0/logprob",
    ];
    for place in places {
        if let Some(found) = value.pointer_mut(place).filter(|found| found.is_number()) {
            *found = json!(NAN);
        }
    }
}

/// Makes the last number no number.
pub(super) fn nan_last(value: &mut Value) {
    if let Some(last) = last_number(value) {
        *last = json!(NAN);
    }
}

fn last_number(value: &mut Value) -> Option<&mut Value> {
    match value {
        Value::Number(_) => Some(value),
        Value::Array(items) => items.iter_mut().rev().find_map(last_number),
        Value::Object(members) => {
            let mut all: Vec<&mut Value> = members.values_mut().collect();
            all.reverse();
            all.into_iter().find_map(last_number)
        }
        _ => None,
    }
}
