//! What reading a prompt needs to know of each character, looked up once.
//!
//! The table holds what the Unicode libraries say of the Basic Multilingual Plane. What it cannot say in one number
//! (characters that normalisation changes, that marks combine with, or beyond the plane) is not plain: those few are
//! read by the libraries themselves.

use std::sync::LazyLock;

use icu::{
    casemap::CaseMapper,
    properties::{CodePointMapData, props::WordBreak},
};
use unicode_normalization::{IsNormalized, char::canonical_combining_class, is_nfkc_quick};

/// One character, what it is folded to, and its kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Character(u32);

/// Kinds of characters that cues count, each a bit from [`CUES_FROM`] on.
pub(super) const N_COUNTED: usize = 10;
const CUES_FROM: u32 = 22;

const PLAIN: u32 = 1 << 16;
const SPACE: u32 = 1 << 17;
const WORD: u32 = 1 << 18;
const PUNCTUATION: u32 = 1 << 19;

/// All of the Basic Multilingual Plane, in order.
static PLANE: LazyLock<Vec<Character>> = LazyLock::new(|| {
    let of = |code| char::from_u32(code).map_or(Character(0), Character::made);
    (0..0x1_0000).map(of).collect()
});

/// The table, for as long as a text is read.
pub(super) fn characters() -> Characters {
    Characters(&PLANE)
}

/// Every character by its code.
#[derive(Clone, Copy)]
pub(super) struct Characters(&'static [Character]);

impl Characters {
    pub(super) fn of(self, c: char) -> Character {
        self.0.get(c as usize).copied().unwrap_or_else(|| Character::made(c))
    }
}

impl Character {
    fn made(c: char) -> Self {
        let folded = CaseMapper::new().simple_fold(c);
        let is_plane = u32::from(c) < 0x1_0000 && u32::from(folded) < 0x1_0000;
        let is_stable = is_nfkc_quick(std::iter::once(c)) == IsNormalized::Yes && canonical_combining_class(c) == 0;
        let at_words = CodePointMapData::<WordBreak>::new().get(folded);
        let is_word = matches!(at_words, WordBreak::ALetter | WordBreak::Numeric) && folded.is_alphanumeric();
        let is_between = matches!(
            at_words,
            WordBreak::Other
                | WordBreak::MidLetter
                | WordBreak::MidNum
                | WordBreak::MidNumLet
                | WordBreak::SingleQuote
                | WordBreak::DoubleQuote
        );
        let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
        Self(
            bit(is_plane, u32::from(folded))
                | bit(is_plane && is_stable, PLAIN)
                | bit(folded.is_whitespace(), SPACE)
                | bit(is_word, WORD)
                | bit(is_between && !folded.is_alphanumeric(), PUNCTUATION)
                | counted(c) << CUES_FROM,
        )
    }

    /// What case folding makes of a plain character.
    pub(super) fn folded(self) -> u32 {
        self.0 & 0xffff
    }

    /// Whether normalisation (NFKC) leaves it alone, whatever stands before it.
    pub(super) fn is_plain(self) -> bool {
        self.0 & PLAIN != 0
    }

    /// Whether it is white space once folded.
    pub(super) fn is_space(self) -> bool {
        self.0 & SPACE != 0
    }

    /// Whether it is a letter or digit of which words are made without further rules.
    pub(super) fn is_of_word(self) -> bool {
        self.0 & WORD != 0
    }

    /// Whether words end before it, where a space or another one of its kind follows it.
    pub(super) fn is_punctuation(self) -> bool {
        self.0 & PUNCTUATION != 0
    }

    /// The kinds that cues count, a bit for each of [`N_COUNTED`].
    pub(super) fn counted(self) -> u32 {
        self.0 >> CUES_FROM
    }
}

/// Line feed, numeric, upper case, ASCII punctuation, beyond ASCII, white space, code, mathematics, question mark, quote.
fn counted(c: char) -> u32 {
    let kinds: [bool; N_COUNTED] = [
        c == '\n',
        c.is_numeric(),
        c.is_uppercase(),
        c.is_ascii_punctuation(),
        !c.is_ascii(),
        c.is_whitespace(),
        matches!(c, '{' | '}' | '(' | ')' | '[' | ']' | ';' | '=' | '<' | '>' | '_'),
        matches!(c, '+' | '=' | '^' | '%' | '$' | '×' | '÷' | '√' | '∑' | '≤' | '≥'),
        is_question(c),
        matches!(c, '"' | '“' | '”' | '„' | '«' | '»' | '「' | '」' | '『' | '』'),
    ];
    (0u32..).zip(kinds).map(|(place, is)| u32::from(is) << place).sum()
}

/// Question marks of the scripts that have their own.
pub(super) fn is_question(c: char) -> bool {
    matches!(c, '?' | '？' | '؟' | ';' | '՞' | '፧')
}

#[cfg(test)]
mod tests {
    use unicode_normalization::UnicodeNormalization;
    use unicode_segmentation::UnicodeSegmentation;

    use super::*;

    fn each() -> impl Iterator<Item = (char, Character)> {
        (0..0x2_0000).filter_map(char::from_u32).map(|c| (c, characters().of(c)))
    }

    #[test]
    fn plain_characters_are_left_alone_by_normalisation() {
        for (c, _) in each().filter(|(_, known)| known.is_plain()) {
            assert!(std::iter::once(c).nfkc().eq([c]), "{c:?}");
            assert!([c, c].into_iter().nfkc().eq([c, c]), "{c:?}");
        }
        assert!(each().filter(|(_, known)| known.is_plain()).count() > 40_000);
    }

    #[test]
    fn letters_make_one_word_and_punctuation_ends_it() {
        for (c, _) in each().filter(|(_, known)| known.is_of_word()) {
            let folded = CaseMapper::new().simple_fold(c);
            let word = format!("a{folded}1{folded}{folded}b");
            let text = format!("\u{2014}({word}),'");
            assert!(text.unicode_words().eq([word.as_str()]), "{c:?}");
        }
        for (c, _) in each().filter(|(_, known)| known.is_punctuation()) {
            let folded = CaseMapper::new().simple_fold(c);
            for text in [format!(" {folded}ab1{folded}{folded}"), format!(" ab1{folded}."), format!(" '{folded}ab1")] {
                assert!(text.unicode_words().eq(["ab1"]), "{c:?}: {text}");
            }
        }
    }

    #[test]
    fn kinds_are_those_of_the_standard_library() {
        for (c, known) in each() {
            assert_eq!(known.counted(), counted(c), "{c:?}");
        }
        assert_eq!(characters().of('?').counted(), 0b1_0000_1000);
    }
}
