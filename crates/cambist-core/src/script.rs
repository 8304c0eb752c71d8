//! Writing systems: which ones a language is written in, and how much of a text is in them.

use icu::{
    locale::{LocaleExpander, subtags},
    properties::{CodePointMapData, PropertyParser},
};

pub use icu::properties::props::Script;

use crate::language::Language;

/// Languages in everyday use in two scripts: a text in either is right unless the tag names one.
const TWO_SCRIPTS: [(&str, [Script; 2]); 10] = [
    ("az", [Script::Latin, Script::Cyrillic]),
    ("bs", [Script::Latin, Script::Cyrillic]),
    ("crh", [Script::Latin, Script::Cyrillic]),
    ("kk", [Script::Cyrillic, Script::Latin]),
    ("ku", [Script::Latin, Script::Arabic]),
    ("mn", [Script::Cyrillic, Script::Mongolian]),
    ("pa", [Script::Gurmukhi, Script::Arabic]),
    ("sd", [Script::Arabic, Script::Devanagari]),
    ("sr", [Script::Cyrillic, Script::Latin]),
    ("uz", [Script::Latin, Script::Cyrillic]),
];

/// Returns the scripts that text in `language` is written in, by the script in the tag, else by CLDR's likely subtags;
/// several for Japanese and Korean and for languages with two alphabets. None when CLDR does not know the language.
pub fn scripts_of(language: &Language) -> Option<Vec<Script>> {
    let two = TWO_SCRIPTS.iter().find(|(tag, _)| *tag == language.as_str());
    if let Some((_, scripts)) = two {
        return Some(scripts.to_vec());
    }
    let mut locale = icu::locale::LanguageIdentifier::try_from_str(language.as_str()).ok()?;
    LocaleExpander::new_extended().maximize(&mut locale);
    members(locale.script?)
}

/// Resolves the codes of ISO 15924 that stand for several scripts of Unicode.
fn members(script: subtags::Script) -> Option<Vec<Script>> {
    Some(match script.as_str() {
        "Jpan" => vec![Script::Han, Script::Hiragana, Script::Katakana],
        "Kore" => vec![Script::Hangul, Script::Han],
        "Hans" | "Hant" | "Hani" => vec![Script::Han, Script::Bopomofo],
        code => vec![PropertyParser::<Script>::new().get_strict(code)?],
    })
}

/// The letters of a text, by their script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letters {
    counts: Vec<(Script, usize)>,
}

impl Letters {
    /// Counts the letters of `text`; digits, signs and marks that belong to no script are none.
    pub fn of(text: &str) -> Self {
        let scripts = CodePointMapData::<Script>::new();
        let mut letters = Self::default();
        for c in text.chars().filter(|c| c.is_alphabetic()) {
            let script = scripts.get(c);
            match letters.counts.iter_mut().find(|(known, _)| *known == script) {
                Some((_, count)) => *count += 1,
                None if script != Script::Common && script != Script::Inherited => letters.counts.push((script, 1)),
                None => {}
            }
        }
        letters
    }

    /// How many letters there are.
    pub fn total(&self) -> usize {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// Returns the share of the letters that are in `scripts`, 0 to 1; none of no letters.
    ///
    /// A Han, kana or Hangul letter counts as three, about what it says in an alphabet: a Chinese answer full of Latin
    /// names is still Chinese.
    pub fn share(&self, scripts: &[Script]) -> Option<f64> {
        let weigh = |(script, count): &(Script, usize)| {
            let is_dense = [Script::Han, Script::Hiragana, Script::Katakana, Script::Hangul].contains(script);
            (if is_dense { 3 * count } else { *count }) as f64
        };
        let all: f64 = self.counts.iter().map(weigh).sum();
        let inside: f64 = self.counts.iter().filter(|(script, _)| scripts.contains(script)).map(weigh).sum();
        (all > 0.0).then(|| inside / all)
    }
}

/// Returns the text with a space in place of every letter of `script`.
pub fn without_script(text: &str, script: Script) -> String {
    let scripts = CodePointMapData::<Script>::new();
    text.chars().map(|c| if scripts.get(c) == script { ' ' } else { c }).collect()
}

/// Characters that only simplified Chinese has, and what traditional Chinese writes for them, in the same order: the most
/// frequent ones whose two forms are two characters.
const SIMPLIFIED: &str = "这来们说国时过为对会学还发经种现动机长开问关样头员进实体无东车书见话给边听让间觉论气师爱电当应该议难变数请认识务总结网约报达场处区华产业单决书";
const TRADITIONAL: &str = "這來們說國時過為對會學還發經種現動機長開問關樣頭員進實體無東車書見話給邊聽讓間覺論氣師愛電當應該議難變數請認識務總結網約報達場處區華產業單決書";

/// Returns how many letters of `text` are written in simplified and in traditional Chinese alone.
pub fn han_forms(text: &str) -> (usize, usize) {
    let is_only = |c: &char, own: &str, other: &str| own.contains(*c) && !other.contains(*c);
    let simplified = text.chars().filter(|c| is_only(c, SIMPLIFIED, TRADITIONAL)).count();
    let traditional = text.chars().filter(|c| is_only(c, TRADITIONAL, SIMPLIFIED)).count();
    (simplified, traditional)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts(tag: &str) -> Vec<Script> {
        scripts_of(&Language::parse(tag).unwrap()).unwrap()
    }

    #[test]
    fn languages_and_their_scripts() {
        assert_eq!(scripts("uk"), [Script::Cyrillic]);
        assert_eq!(scripts("tr"), [Script::Latin]);
        assert_eq!(scripts("fa"), [Script::Arabic]);
        assert_eq!(scripts("am"), [Script::Ethiopic]);
        assert_eq!(scripts("ja"), [Script::Han, Script::Hiragana, Script::Katakana]);
        assert_eq!(scripts("zh"), scripts("zh-hant"));
        assert_eq!(scripts("sr"), [Script::Cyrillic, Script::Latin]);
        assert_eq!(scripts("sr-latn"), [Script::Latin]);
        assert_eq!(scripts_of(&Language::parse("qqx").unwrap()), None);
    }

    #[test]
    fn dense_scripts_weigh_more() {
        let letters = Letters::of("使用 Python 的 pandas 库进行 DataFrame 操作 2024");
        assert_eq!(letters.total(), 29);
        assert!(letters.share(&[Script::Han]).unwrap() > 0.5);
        assert_eq!(Letters::of("12:30 — 50 %").share(&[Script::Latin]), None);
    }

    #[test]
    fn forms_of_han_letters() {
        assert_eq!(SIMPLIFIED.chars().count(), TRADITIONAL.chars().count());
        assert_eq!(han_forms("这是我们国家的时间。"), (5, 0));
        assert_eq!(han_forms("這是我們國家的時間。"), (0, 5));
    }
}
