//! `POST /v1/messages`.

use serde_json::json;

use crate::mock::{
    answer::Question,
    reply::Reply,
    tokens,
    turn::{Turn, said, text_of},
};

pub(super) fn reply(turn: &Turn<'_>) -> Reply {
    let asked = turn.asked;
    let Some(most) = asked.number("max_tokens") else {
        return turn.refuse("max_tokens: field required", "max_tokens");
    };
    if asked.body["messages"].as_array().is_none_or(|turns| turns.iter().any(|turn| turn["role"] == "system")) {
        return turn
            .refuse("messages: expected turns of `user` and `assistant`; `system` stands beside them", "messages");
    }
    let (context, prompt) = said(&asked.body["messages"]);
    let context = format!("{}\n{context}", text_of(&asked.body["system"]));
    let question = Question { context, ..turn.question(prompt, Some(most)) };
    let Some(answer) = turn.answers(&question, 1).pop() else { return turn.refuse("nothing to say", "messages") };
    let n_in = tokens::count(&question.context) + tokens::count(&question.prompt);
    let n_out = answer.n_tokens;
    let body = json!({
        "id": turn.id("msg"), "type": "message", "role": "assistant", "model": asked.model(),
        "content": [{"type": "text", "text": answer.text}],
        "stop_reason": if answer.is_cut { "max_tokens" } else { "end_turn" }, "stop_sequence": null,
        "usage": {"input_tokens": n_in, "output_tokens": n_out,
                  "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    });
    Reply::json(body).with_tokens(n_out).streamed_as(asked)
}
