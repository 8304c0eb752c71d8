//! Parts of a text that no translation may touch, put away behind marks and put back afterwards.
//!
//! Code, formulas, addresses, placeholders and tags become `⟦0⟧`, `⟦1⟧` and so on in the order of the text; what comes
//! back is looked through for marks that are lost, doubled or invented.

mod find;
mod mark;

use self::{find::span_at, mark::mark_at};

/// A text whose untranslatable parts stand behind marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shielded {
    /// The text with marks.
    pub text: String,
    /// What the marks stand for, from mark 0 on.
    pub kept: Vec<String>,
}

/// A text with its marks put back, and what happened to them on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The text; lost parts are missing in it, doubled ones stand twice, invented marks stay as they are.
    pub text: String,
    /// Marks that did not come back, ascending.
    pub lost: Vec<usize>,
    /// Marks that came back more than once, ascending.
    pub doubled: Vec<usize>,
    /// How many marks came back that nobody gave out.
    pub n_invented: usize,
    /// Whether marks came back in another order, as other languages put their words in another order.
    pub is_reordered: bool,
}

/// Puts fenced and inline code, formulas (`$…$`, `$$…$$`, `\(…\)`, `\[…\]`), addresses of pages and mailboxes,
/// placeholders (`{name}`, `%s`), HTML tags and entities behind marks; marks that the text has already are parts too.
///
/// A fence without an end reaches to the end of the text.
pub fn shield(text: &str) -> Shielded {
    let mut shielded = Shielded { text: String::with_capacity(text.len()), kept: Vec::new() };
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match span_at(text, at) {
            0 => {
                shielded.text.push(c);
                at += c.len_utf8();
            }
            n_bytes => {
                shielded.text.push_str(&format!("⟦{}⟧", shielded.kept.len()));
                shielded.kept.push(text[at..at + n_bytes].to_owned());
                at += n_bytes;
            }
        }
    }
    shielded
}

impl Shielded {
    /// Whether anything is left to translate: a letter outside of the marks.
    pub fn has_words(&self) -> bool {
        self.text.chars().any(char::is_alphabetic)
    }

    /// Puts the parts back where their marks stand in `translated`.
    ///
    /// Marks are known with spaces inside and in the digits of other scripts too (`⟦ ٣ ⟧`).
    pub fn restore(&self, translated: &str) -> Restored {
        let mut restored = Restored::default();
        let mut seen = vec![0usize; self.kept.len()];
        let mut last = 0;
        let mut at = 0;
        while let Some(c) = translated[at..].chars().next() {
            let Some(mark) = mark_at(&translated[at..]) else {
                restored.text.push(c);
                at += c.len_utf8();
                continue;
            };
            match self.kept.get(mark.number) {
                Some(part) => {
                    restored.text.push_str(part);
                    restored.is_reordered |= mark.number < last;
                    last = mark.number;
                    seen[mark.number] += 1;
                }
                None => {
                    restored.text.push_str(&translated[at..at + mark.n_bytes]);
                    restored.n_invented += 1;
                }
            }
            at += mark.n_bytes;
        }
        restored.lost = places(&seen, |n| n == 0);
        restored.doubled = places(&seen, |n| n > 1);
        restored
    }
}

impl Restored {
    /// Whether every mark came back once and no other did; the order may differ.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.n_invented == 0
    }
}

fn places(seen: &[usize], is_meant: impl Fn(usize) -> bool) -> Vec<usize> {
    seen.iter().enumerate().filter(|(_, n)| is_meant(**n)).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_put_away() {
        let cases = [
            ("Run `ls -l` now.", "Run ⟦0⟧ now."),
            ("Use ``a ` b`` here", "Use ⟦0⟧ here"),
            ("Read:\n```rust\nlet x = 1;\n```\nWhy?", "Read:\n⟦0⟧\nWhy?"),
            ("Read:\n~~~\nlet x", "Read:\n⟦0⟧"),
            ("Let $x^2$ and $$\\sum_i i$$ be.", "Let ⟦0⟧ and ⟦1⟧ be."),
            ("It costs $5 and $7, says Ann.", "It costs $5 and $7, says Ann."),
            ("So \\(a+b\\) or \\[c\nd\\].", "So ⟦0⟧ or ⟦1⟧."),
            ("See https://a.example/b?c=(d), ok.", "See ⟦0⟧, ok."),
            ("(see www.example.org)", "(see ⟦0⟧)"),
            ("看https://a.example/页。好", "看⟦0⟧页。好"),
            ("Write to ann.lee@mail.example.org.", "Write to ⟦0⟧."),
            ("Dear {first_name}, %s and %2$d of %(n)s", "Dear ⟦0⟧, ⟦1⟧ and ⟦2⟧ of ⟦3⟧"),
            ("Sets {1, 2} and 100% sure", "Sets {1, 2} and 100% sure"),
            ("<b class=\"x\">bold</b> a < b > c &nbsp; A&B", "⟦0⟧bold⟦1⟧ a < b > c ⟦2⟧ A&B"),
            ("Old ⟦0⟧ and ⟦ ٣ ⟧", "Old ⟦0⟧ and ⟦1⟧"),
        ];
        for (text, expected) in cases {
            assert_eq!(shield(text).text, expected, "{text}");
        }
    }

    #[test]
    fn what_happened_to_the_marks_is_told() {
        let shielded = shield("Open `a`, `b` and `c`.");
        let restored = shielded.restore("c: ⟦ 2 ⟧, a: ⟦٠⟧ ⟦0⟧ ⟦9⟧");
        assert_eq!(restored.text, "c: `c`, a: `a` `a` ⟦9⟧");
        assert_eq!((restored.lost.as_slice(), restored.doubled.as_slice()), ([1].as_slice(), [0].as_slice()));
        assert_eq!((restored.n_invented, restored.is_reordered, restored.is_whole()), (1, true, false));
        let reordered = shielded.restore("⟦1⟧⟦0⟧⟦2⟧");
        assert!(reordered.is_reordered && reordered.is_whole());
    }

    #[test]
    fn a_text_of_code_has_no_words() {
        assert!(!shield("`f(x)` = 12").has_words());
        assert!(shield("`f(x)` ist 12").has_words());
    }

    fn pieces() -> impl Strategy<Value = String> {
        let tricky = prop::sample::select(vec![
            "⟦0⟧",
            "⟦",
            "⟧",
            "⟦ 1 ⟧",
            "⟦٢",
            "`",
            "```",
            "~~~\n",
            "$",
            "$$",
            "\\(",
            "\\)",
            "\\[",
            "{a}",
            "%s",
            "<b>",
            "<",
            "https://x.example/",
            "www.",
            "a@b.example",
            "&amp;",
            "\n",
            " ",
            "0",
            "函数",
            "עברית",
            "हिन्दी",
            "ไทย",
            "🙂",
        ]);
        let any = prop_oneof![3 => tricky.prop_map(str::to_owned), 1 => any::<String>()];
        prop::collection::vec(any, 0..24).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn restoring_undoes_shielding(text in pieces()) {
            let shielded = shield(&text);
            let restored = shielded.restore(&shielded.text);
            prop_assert!(restored.is_whole() && !restored.is_reordered, "{:?}", shielded);
            prop_assert_eq!(restored.text, text);
        }

        #[test]
        fn every_text_can_come_back(text in pieces(), answer in pieces()) {
            let shielded = shield(&text);
            let restored = shielded.restore(&answer);
            let n_marks = shielded.kept.len();
            prop_assert!(restored.lost.len() + restored.doubled.len() <= n_marks);
        }
    }
}
