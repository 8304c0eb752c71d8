//! Answers that never came, were withheld, or have nothing in them.

use super::{Reason, Stop};
use crate::completion::{Completion, FinishReason};

pub(super) fn stop(completion: &Completion) -> Option<Stop> {
    match (&completion.failure, completion.finish_reason) {
        (Some(failure), _) => Some(Stop::new(Reason::Error, failure.as_str())),
        (None, FinishReason::Error) => Some(Stop::new(Reason::Error, "the call failed and gave no reason")),
        (None, FinishReason::ContentFilter) => Some(Stop::new(Reason::Filtered, "the endpoint withheld the answer")),
        _ if is_blank(&completion.text) => Some(Stop::new(Reason::Empty, "no visible text")),
        _ => None,
    }
}

/// Zero-width characters count as nothing, as white space does.
fn is_blank(text: &str) -> bool {
    let is_invisible = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}');
    text.chars().all(|c| c.is_whitespace() || c.is_control() || is_invisible(c))
}
