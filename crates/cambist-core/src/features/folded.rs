//! One pass over a text: its characters folded, its words hashed, its kinds of characters counted.

use icu::casemap::CaseMapper;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use super::{
    characters::{Character, Characters, characters},
    cues::Counts,
};

/// FNV-1a (Fowler, Noll and Vo) over code points.
pub(super) const BASIS: u32 = 0x811c_9dc5;
pub(super) const PRIME: u32 = 0x0100_0193;

pub(super) fn hash_word(word: &str) -> u32 {
    word.chars().fold(BASIS, |hash, c| hash_on(hash, c as u32))
}

#[inline(always)]
pub(super) fn hash_on(hash: u32, letter: u32) -> u32 {
    (hash ^ letter).wrapping_mul(PRIME)
}

/// A space, as a letter.
const SPACE: u32 = ' ' as u32;

/// A text in NFKC with case folded and white space collapsed, a space at both ends; kept and used again for the next.
#[derive(Default)]
pub(super) struct Folded {
    /// Code points.
    pub(super) letters: Vec<u32>,
    /// Hashes of the words, as Unicode separates them (UAX 29).
    pub(super) words: Vec<u32>,
    /// Of the text before it was folded.
    pub(super) counts: Counts,
    between: Between,
    /// Where what stands between two spaces is written out for the rules of Unicode.
    spelled: String,
}

/// What stands since the last space.
#[derive(Default)]
struct Between {
    /// Where it starts among the letters.
    start: usize,
    shape: Shape,
    /// The hash of the word in it.
    word: u32,
}

/// Nearly all that stands between spaces is one word with punctuation around it: no rule is needed to find that.
#[derive(Clone, Copy, Default, PartialEq)]
enum Shape {
    /// Punctuation, or nothing.
    #[default]
    Before,
    /// Punctuation, then a word.
    Word,
    /// Punctuation after that.
    After,
    /// Anything else.
    Other,
}

impl Folded {
    /// Reads a text of at most 4,095 characters in place of the one before.
    pub(super) fn read(&mut self, text: &str) {
        self.letters.clear();
        self.words.clear();
        self.counts = Counts::default();
        self.letters.push(SPACE);
        self.start_after_space();
        let known = characters();
        // A plain character waits for the next one: marks that follow it are normalised together with it.
        let mut waiting: Option<(usize, Character)> = None;
        let mut changing: Option<usize> = None;
        for (at, c) in text.char_indices() {
            let own = known.of(c);
            self.counts.add(own);
            if own.is_plain() {
                if let Some(start) = changing.take() {
                    self.normalise(&text[start..at], known);
                } else if let Some((_, before)) = waiting {
                    self.push(before.folded(), before);
                }
                waiting = Some((at, own));
            } else if changing.is_none() {
                changing = Some(waiting.take().map_or(at, |(start, _)| start));
            }
        }
        match (changing, waiting) {
            (Some(start), _) => self.normalise(&text[start..], known),
            (None, Some((_, last))) => self.push(last.folded(), last),
            (None, None) => (),
        }
        if self.letters.last() != Some(&SPACE) {
            self.end_at_space();
        }
    }

    /// Folds a part of the text that normalisation may change.
    fn normalise(&mut self, part: &str, known: Characters) {
        let mapper = CaseMapper::new();
        for c in part.nfkc() {
            let folded = mapper.simple_fold(c);
            self.push(folded as u32, known.of(folded));
        }
    }

    /// Takes in a letter of the folded text.
    #[inline(always)]
    fn push(&mut self, letter: u32, known: Character) {
        if known.is_space() {
            if self.letters.last() != Some(&SPACE) {
                self.end_at_space();
            }
            return;
        }
        self.letters.push(letter);
        let between = &mut self.between;
        between.shape = match between.shape {
            Shape::Before | Shape::Word if known.is_of_word() => {
                between.word = hash_on(between.word, letter);
                Shape::Word
            }
            Shape::Before if known.is_punctuation() => Shape::Before,
            Shape::Word | Shape::After if known.is_punctuation() => Shape::After,
            _ => Shape::Other,
        };
    }

    fn end_at_space(&mut self) {
        match self.between.shape {
            Shape::Before => (),
            Shape::Word | Shape::After => self.words.push(self.between.word),
            Shape::Other => self.separate(),
        }
        self.letters.push(SPACE);
        self.start_after_space();
    }

    fn start_after_space(&mut self) {
        self.between = Between { start: self.letters.len(), shape: Shape::Before, word: BASIS };
    }

    /// Separates words by all of Unicode's rules. Marks at the beginning belong to the space before them, so it is shown
    /// too; words never reach over a space otherwise.
    fn separate(&mut self) {
        self.spelled.clear();
        let own = &self.letters[self.between.start - 1..];
        self.spelled.extend(own.iter().filter_map(|letter| char::from_u32(*letter)));
        self.words.extend(self.spelled.unicode_words().map(hash_word));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same in so many words, by the libraries alone.
    fn expected(text: &str) -> (Vec<u32>, Vec<u32>) {
        let mapper = CaseMapper::new();
        let mut folded = " ".to_owned();
        for c in text.nfkc().map(|c| mapper.simple_fold(c)) {
            if !c.is_whitespace() {
                folded.push(c);
            } else if !folded.ends_with(' ') {
                folded.push(' ');
            }
        }
        if !folded.ends_with(' ') {
            folded.push(' ');
        }
        (folded.chars().map(u32::from).collect(), folded.unicode_words().map(hash_word).collect())
    }

    fn check(folded: &mut Folded, text: &str) {
        folded.read(text);
        let (letters, words) = expected(text);
        assert_eq!(folded.letters, letters, "{text:?}");
        assert_eq!(folded.words, words, "{text:?}");
    }

    #[test]
    fn texts_of_many_scripts_are_folded_and_separated_as_the_libraries_do() {
        let mut folded = Folded::default();
        for text in [
            "",
            " ",
            "Don't stop: 3.14, 1,000 and foo_bar (e.g. U.S.A.)!",
            "Größe und ＧＲÖＳＳＥ\n\tim Süden",
            "cafe\u{301} E\u{301}te\u{301} \u{301}a a \u{301}\u{302}b",
            "हिन्दी में नमस्ते दुनिया। ि क्",
            "สวัสดีชาวโลก ๑๒๓",
            "كَتَبَ الوَلَدُ ١٢، ثم؟ ‎2008-11-05‎",
            "שָׁלוֹם צה\"ל ג'ירפה",
            "東京の天気は？ カタカナﾊﾝｶｸ 한국어 각 a\u{11a8}",
            "👩‍👩‍👧 🇹🇷🇺🇦 ok😀ok ½ ﬁ Ⅻ ªº ǅ \u{1e9e}",
            "a\u{200d}b x\u{feff}y \u{85}z\u{2028}w \u{37e} \u{3000}。",
        ] {
            check(&mut folded, text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_text_is_folded_and_separated_as_the_libraries_do(text in "\\PC{0,40}", more in "[ -~\\n\u{300}\u{301}éßÀ-ÿα-ωА-я\u{610}-\u{6ff}\u{900}-\u{97f}\u{1100}-\u{1200}가-힣ぁ-ヿ一-龥\u{200c}\u{200d}🇦🇧😀]{0,60}") {
            let mut folded = Folded::default();
            check(&mut folded, &text);
            check(&mut folded, &more);
            check(&mut folded, &format!("{more}{text}"));
        }
    }
}
