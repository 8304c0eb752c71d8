//! `POST /v2/chat`: the reply names no model.

use serde_json::json;

use crate::mock::{
    answer::Question,
    reply::Reply,
    tokens,
    turn::{Turn, said},
};

pub(super) fn reply(turn: &Turn<'_>) -> Reply {
    let asked = turn.asked;
    if !asked.body["messages"].is_array() {
        return turn.refuse("`messages` is missing", "messages");
    }
    let (context, prompt) = said(&asked.body["messages"]);
    let question = Question { context, ..turn.question(prompt, asked.number("max_tokens")) };
    let Some(answer) = turn.answers(&question, 1).pop() else { return turn.refuse("nothing to say", "messages") };
    let n_in = tokens::count(&question.context) + tokens::count(&question.prompt);
    let n_out = answer.n_tokens;
    let body = json!({
        "id": turn.id("cohere"), "finish_reason": if answer.is_cut { "MAX_TOKENS" } else { "COMPLETE" },
        "message": {"role": "assistant", "content": [{"type": "text", "text": answer.text}]},
        "usage": {"billed_units": {"input_tokens": n_in, "output_tokens": n_out},
                  "tokens": {"input_tokens": n_in + 3, "output_tokens": n_out}, "cached_tokens": 0},
    });
    Reply::json(body).with_tokens(n_out)
}
