//! What the mock server takes for tokens.
//!
//! Answers are counted, cut and given log-probabilities in pieces of up to six characters that begin at spaces, each
//! dense character a piece of its own. `/tokenize` gives one id for each byte of UTF-8 instead, so that ids can be read
//! back: byte `b` is id `b + 3`, and 1 is the id that begins a text.

use super::draw::Draw;

/// The id that begins a text.
pub(crate) const FIRST: u64 = 1;
const OFFSET: u64 = 3;

/// Characters of a piece at most.
const LONGEST: usize = 6;

/// Returns the pieces of a text; together they are the text.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = first_end(rest)?;
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// Returns how many pieces a text has.
pub(crate) fn count(text: &str) -> usize {
    pieces(text).count()
}

/// Returns the first `most` pieces of a text, how many they are, and whether they are all.
pub(crate) fn first(text: &str, most: usize) -> (&str, usize, bool) {
    let mut end = 0;
    let mut n = 0;
    for piece in pieces(text) {
        if n == most {
            return (&text[..end], n, false);
        }
        end += piece.len();
        n += 1;
    }
    (text, n, true)
}

fn first_end(text: &str) -> Option<usize> {
    let mut chars = text.char_indices();
    let mut is_dense = dense(chars.next()?.1);
    for (length, (at, c)) in (1..).zip(chars) {
        if c.is_whitespace() || is_dense || dense(c) || length >= LONGEST {
            return Some(at);
        }
        is_dense = dense(c);
    }
    Some(text.len())
}

fn dense(c: char) -> bool {
    c >= '\u{2e80}'
}

/// Returns the ids of a text.
pub(crate) fn ids(text: &str) -> Vec<u64> {
    text.bytes().map(|byte| u64::from(byte) + OFFSET).collect()
}

/// Returns the text of ids; none when one of them is of another tokenizer or they are no UTF-8.
pub(crate) fn text_of(ids: &[u64]) -> Option<String> {
    let bytes = ids.iter().skip_while(|id| **id == FIRST).map(|id| u8::try_from(id.checked_sub(OFFSET)?).ok());
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

/// Returns the log-probability of a piece in nats, from -6 to 0: a function of the piece and the one before it.
pub(crate) fn log_prob(before: &str, piece: &str) -> f64 {
    let draw = Draw::new(77).with_text(before).with_text(piece);
    -(draw.unit() * draw.with(1).unit() * 6.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_and_ids_are_the_text(text in "\\PC{0,40}") {
            prop_assert_eq!(pieces(&text).collect::<String>(), text.clone());
            prop_assert_eq!(text_of(&ids(&text)), Some(text.clone()));
            let (cut, n, is_all) = first(&text, 3);
            prop_assert!(n <= 3 && text.starts_with(cut) && is_all == (cut.len() == text.len()));
        }
    }

    #[test]
    fn words_and_dense_characters() {
        assert_eq!(
            pieces("What a pleasure 你好").collect::<Vec<_>>(),
            ["What", " a", " pleas", "ure", " ", "你", "好"]
        );
    }
}
