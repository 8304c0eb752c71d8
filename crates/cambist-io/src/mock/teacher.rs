//! The dialects that teachers and judges are asked in.

mod anthropic;
mod chat;
mod cohere;
mod completions;
mod generate;
mod llamacpp;

use super::{reply::Reply, turn::Turn};

/// Returns the reply of a teacher's route; none for other paths.
pub(crate) fn reply(turn: &Turn<'_>) -> Option<Reply> {
    Some(match turn.asked.path.as_str() {
        "/v1/chat/completions" => chat::reply(turn),
        "/v1/completions" => completions::reply(turn),
        "/v1/messages" => anthropic::reply(turn),
        "/v2/chat" => cohere::reply(turn),
        "/generate" if turn.asked.body.get("inputs").is_some() => generate::tgi(turn),
        "/generate" => generate::sglang(turn),
        "/completion" => llamacpp::reply(turn),
        _ => return None,
    })
}
