//! Thinking that stands inside the answer.

use crate::dialect::{answer::Mark, request::Thinking};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Parts inline thinking from the answer: answer, thinking, and a mark when nobody knows where one ends.
///
/// Only thinking at the start counts. Some chat templates write the opening tag into the prompt, so a closing tag
/// without an opening one before it ends thinking too. A tag that is never closed leaves the text as it is, marked.
pub(super) fn parted(content: String, thinking: Thinking) -> (String, Option<String>, Option<Mark>) {
    if thinking == Thinking::Keep {
        return (content, None, None);
    }
    let begun = content.trim_start();
    let inside = begun.strip_prefix(OPEN);
    match inside.unwrap_or(begun).split_once(CLOSE) {
        Some((thought, answer)) if inside.is_some() || !thought.contains(OPEN) => {
            let thought = Some(thought.trim()).filter(|thought| !thought.is_empty()).map(str::to_owned);
            (answer.trim_start().to_owned(), thought, None)
        }
        _ if inside.is_some() => (content, None, Some(Mark::ThinkingUnclosed)),
        _ => (content, None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_at_the_start_is_parted_and_tags_elsewhere_stay() {
        let strip = |content: &str| parted(content.to_owned(), Thinking::Strip);
        let expected = ("Salut.".to_owned(), Some("hm".to_owned()), None);
        assert_eq!(strip("<think>hm</think>Salut."), expected);
        assert_eq!(strip("\n<think>\nhm\n</think>\n\nSalut."), expected);
        assert_eq!(strip("hm</think>\nSalut."), expected);
        assert_eq!(strip("<think>\n\n</think>\n\nSalut."), ("Salut.".to_owned(), None, None));
        assert_eq!(strip("<think>hm"), ("<think>hm".to_owned(), None, Some(Mark::ThinkingUnclosed)));
        let about = "The tags `<think>` and `</think>` surround it.";
        assert_eq!(strip(about), (about.to_owned(), None, None));
        assert_eq!(parted("<think>hm</think>Salut.".into(), Thinking::Keep).0, "<think>hm</think>Salut.");
    }
}
