//! Exact checkers: rewards that are true.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Decides exactly whether an answer is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Right when the answer equals one of these after [`fold_answer`].
    OneOf(Vec<String>),
}

impl Check {
    /// Whether `answer` is right.
    pub fn accepts(&self, answer: &str) -> bool {
        let Self::OneOf(accepted) = self;
        let folded = fold_answer(answer);
        !folded.is_empty() && accepted.iter().any(|right| fold_answer(right) == folded)
    }
}

/// Returns the text as checkers compare it: NFC, without invisible direction marks and soft hyphens, every run of
/// white space (the no-break spaces of number formats included) one plain space, ends trimmed.
///
/// Case, digits and punctuation count: a wrong decimal sign is a wrong answer.
pub fn fold_answer(text: &str) -> String {
    let is_mark = |c: &char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{00ad}' | '\u{feff}' | '\u{2060}');
    let composed: String = text.nfc().filter(|c| !is_mark(c)).collect();
    composed.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_differences_do_not_count_and_visible_ones_do() {
        let check = Check::OneOf(vec!["1\u{202f}234,5".into()]);
        assert!(check.accepts(" 1 234,5\n"));
        assert!(check.accepts("1\u{a0}234,5"));
        assert!(!check.accepts("1 234.5"));
        assert!(!check.accepts("1234,5"));
        assert!(!Check::OneOf(vec![String::new()]).accepts(""));
    }

    #[test]
    fn decomposed_letters_are_composed() {
        assert!(Check::OneOf(vec!["f\u{e9}vrier".into()]).accepts("fe\u{301}vrier"));
    }
}
