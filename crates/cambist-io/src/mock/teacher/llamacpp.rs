//! `POST /completion` of llama.cpp: log-probabilities of generated tokens only.

use serde_json::{Value, json};

use crate::mock::{reply::Reply, template, tokens, turn::Turn};

pub(super) fn reply(turn: &Turn<'_>) -> Reply {
    let asked = turn.asked;
    let prompt = match &asked.body["prompt"] {
        Value::String(text) => text.clone(),
        Value::Array(ids) => {
            let ids: Option<Vec<u64>> = ids.iter().map(Value::as_u64).collect();
            ids.and_then(|ids| tokens::text_of(&ids)).unwrap_or_default()
        }
        _ => return turn.refuse("`prompt` is missing", "prompt"),
    };
    let question = turn.question(template::taken_apart(&prompt).0.to_owned(), asked.number("n_predict"));
    let Some(answer) = turn.answers(&question, 1).pop() else { return turn.refuse("nothing to say", "prompt") };
    let n_out = answer.n_tokens;
    let mut body = json!({
        "index": 0, "content": answer.text, "tokens": [], "id_slot": 0, "stop": true, "model": asked.model(),
        "tokens_predicted": n_out, "tokens_evaluated": tokens::count(&prompt), "tokens_cached": 0, "truncated": false,
        "stop_type": if answer.is_cut { "limit" } else { "eos" }, "stopping_word": "",
    });
    if asked.number("n_probs").is_some_and(|n| n > 0) {
        let one = |piece: &str| json!({"token": piece, "logprob": tokens::log_prob("", piece), "top_logprobs": []});
        body["completion_probabilities"] = tokens::pieces(&answer.text).map(one).collect();
    }
    Reply::json(body).with_tokens(n_out)
}
