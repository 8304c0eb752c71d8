//! Foreign text in markup: escaped once, by one function, and isolated in its own direction.

use std::fmt::Write as _;

use cambist_core::language::Language;
use serde::Serialize;

/// A piece of text and the language it is in, so that a browser picks the right glyphs and the right direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Words {
    /// The text as it is; it is escaped when it is written.
    pub text: String,
    /// The language that the text is in, or was asked for; none for names and identifiers.
    pub language: Option<Language>,
}

impl Words {
    /// Text in a known language.
    pub fn new(text: impl Into<String>, language: &Language) -> Self {
        Self { text: text.into(), language: Some(language.clone()) }
    }

    /// Returns `lang` and `dir` for an element that holds this text.
    ///
    /// With a known language the direction is that of the language; without one the browser decides by the first
    /// letter that has a direction.
    pub(crate) fn attributes(&self) -> String {
        match &self.language {
            Some(language) => format!(r#" lang="{language}" dir="{}""#, direction(language)),
            None => r#" dir="auto""#.to_owned(),
        }
    }

    /// Returns `dir` alone, for an element around this text that holds words of other languages too.
    pub(crate) fn direction(&self) -> String {
        self.language.as_ref().map(|language| format!(r#" dir="{}""#, direction(language))).unwrap_or_default()
    }

    /// Returns `lang` and `dir` for an answer, which may be in another language than it was asked for.
    ///
    /// The letters of the text decide; a text without letters (a number, a price) runs as its language does.
    pub(crate) fn answer_attributes(&self) -> String {
        match &self.language {
            Some(language) if self.text.chars().any(char::is_alphabetic) => {
                format!(r#" lang="{language}" dir="auto""#)
            }
            _ => self.attributes(),
        }
    }

    /// Returns the text escaped inside a `<bdi>` with its language and direction.
    pub(crate) fn isolated(&self) -> String {
        format!("<bdi{}>{}</bdi>", self.attributes(), escape(&self.text))
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), language: None }
    }
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Self { text, language: None }
    }
}

fn direction(language: &Language) -> &'static str {
    if language.is_right_to_left() { "rtl" } else { "ltr" }
}

/// Returns the text so that it is only text, between tags and inside quoted attributes alike.
///
/// The five characters of HTML become references. Characters that act without being seen become visible: control
/// characters as their pictures (`␀`), direction overrides, embeddings and isolates as `⟨U+202E⟩`. The plain direction
/// marks (U+200E, U+200F, U+061C) stay: number formats of right-to-left locales need them, and an isolated element
/// holds their effect.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\0'..='\u{1f}' => out.extend(char::from_u32(0x2400 + u32::from(c))),
            '\u{7f}' => out.push('\u{2421}'),
            _ if acts_unseen(c) => push_code_point(&mut out, c),
            _ => out.push(c),
        }
    }
    out
}

/// Whether `c` reorders its surroundings, or is a control or a noncharacter that markup must not hold.
fn acts_unseen(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe
}

fn push_code_point(out: &mut String, c: char) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\u{27e8}U+{:04X}\u{27e9}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, tag: &str) -> Words {
        Words::new(text, &Language::parse(tag).unwrap())
    }

    #[test]
    fn markup_becomes_text_between_tags_and_in_attributes() {
        assert_eq!(escape("<script>alert('x')</script>"), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
        assert_eq!(escape(r#"" onload="x"#), "&quot; onload=&quot;x");
        assert_eq!(escape("]]> &amp;"), "]]&gt; &amp;amp;");
    }

    #[test]
    fn unseen_characters_are_seen() {
        assert_eq!(escape("a\u{202e}b\u{2066}c"), "a\u{27e8}U+202E\u{27e9}b\u{27e8}U+2066\u{27e9}c");
        assert_eq!(escape("\0\u{7}\u{7f}\r"), "\u{2400}\u{2407}\u{2421}\u{240d}");
        assert_eq!(
            escape("\u{85}\u{ffff}\u{1fffe}"),
            "\u{27e8}U+0085\u{27e9}\u{27e8}U+FFFF\u{27e9}\u{27e8}U+1FFFE\u{27e9}"
        );
        assert_eq!(escape("line\n\ttab \u{200f}1\u{a0}234"), "line\n\ttab \u{200f}1\u{a0}234");
    }

    #[test]
    fn other_scripts_pass_unchanged() {
        for text in ["\u{627}\u{644}\u{639}\u{631}\u{628}\u{64a}\u{629}", "日本語", "हिन्दी", "👩‍👩‍👧"]
        {
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn direction_comes_from_the_language_and_for_answers_from_the_letters() {
        assert_eq!(words("JSON", "ar").attributes(), r#" lang="ar" dir="rtl""#);
        assert_eq!(words("JSON", "ar").answer_attributes(), r#" lang="ar" dir="auto""#);
        assert_eq!(words("12:30", "he").answer_attributes(), r#" lang="he" dir="rtl""#);
        assert_eq!(words("3", "ja").answer_attributes(), r#" lang="ja" dir="ltr""#);
        assert_eq!(Words::from("x").answer_attributes(), r#" dir="auto""#);
    }
}
