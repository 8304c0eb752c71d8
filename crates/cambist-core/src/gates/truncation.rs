//! Answers that the limit on new tokens cut.

use super::{Reason, Stop};
use crate::completion::{Completion, FinishReason};

pub(super) fn stop(completion: &Completion) -> Option<Stop> {
    (completion.finish_reason == FinishReason::Length).then(|| {
        let n_tokens = completion.tokens_out.map_or(String::new(), |n| format!(" after {n} tokens"));
        Stop::new(Reason::Truncated, format!("cut by the limit on new tokens{n_tokens}"))
    })
}
