//! The marks themselves.

/// A mark at the beginning of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its number.
    pub(super) number: usize,
    /// Its length.
    pub(super) n_bytes: usize,
}

/// A number of more digits is none of ours.
const MOST_DIGITS: usize = 6;

/// Returns the mark that `text` begins with: `⟦`, digits of one of the scripts of models, `⟧`, spaces between them.
pub(super) fn mark_at(text: &str) -> Option<Mark> {
    let inside = text.strip_prefix('⟦')?;
    let digits = inside.trim_start_matches(is_space);
    let rest = digits.trim_start_matches(|c| digit(c).is_some());
    let written = &digits[..digits.len() - rest.len()];
    let end = rest.trim_start_matches(is_space).strip_prefix('⟧')?;
    if written.is_empty() || written.chars().count() > MOST_DIGITS {
        return None;
    }
    let number = written.chars().filter_map(digit).fold(0, |number, digit| number * 10 + digit);
    Some(Mark { number, n_bytes: text.len() - end.len() })
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{200e}' | '\u{200f}')
}

/// The value of a digit: ASCII, Arabic, Persian, Devanagari, Bengali, Thai, full width.
fn digit(c: char) -> Option<usize> {
    let zero = ['0', '\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '\u{e50}', '\u{ff10}'];
    zero.into_iter().map(|zero| (c as usize).wrapping_sub(zero as usize)).find(|value| *value < 10)
}
