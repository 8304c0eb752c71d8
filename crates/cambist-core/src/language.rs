//! Languages by their BCP-47 tags.

use std::fmt;

use icu::locale::subtags::Language as LanguageSubtag;
use icu_experimental::displaynames::{DisplayNamesOptions, Fallback, multi::LanguageDisplayNames};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

/// A language by its BCP-47 tag in lower case, with the script only where it matters: `en`, `tr`, `zh-hant`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(String);

/// What was given is no BCP-47 tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no language tag: expected BCP-47 such as `en`, `uk` or `zh-hant`")]
pub struct LanguageError(pub String);

impl Language {
    /// Reads a tag; `_` counts as `-` and case does not matter.
    ///
    /// # Errors
    /// When the primary subtag is not two or three letters, or another subtag is not 1 to 8 letters or digits.
    pub fn parse(tag: &str) -> Result<Self, LanguageError> {
        let is_primary = |tag: &str| (2..=3).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_lowercase());
        if is_primary(tag) {
            return Ok(Self(tag.to_owned()));
        }
        let tag_lower = tag.trim().replace('_', "-").to_ascii_lowercase();
        let mut subtags = tag_lower.split('-');
        let primary_ok = is_primary(subtags.next().unwrap_or_default());
        let rest_ok = subtags.all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()));
        if primary_ok && rest_ok { Ok(Self(tag_lower)) } else { Err(LanguageError(tag.to_owned())) }
    }

    /// The whole tag in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `-`, the language without script or region.
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }

    /// Returns the English name of the part before the first `-`, as CLDR has it (`Ukrainian`); none for a tag that
    /// CLDR does not name.
    pub fn english_name(&self) -> Option<String> {
        let mut options = DisplayNamesOptions::default();
        options.fallback = Fallback::None;
        let subtag: LanguageSubtag = self.primary().parse().ok()?;
        let names = LanguageDisplayNames::try_new(icu::locale::locale!("en").into(), options).ok()?;
        names.of(subtag).map(str::to_owned)
    }

    /// Returns the name to tell a model: `German`; `Chinese (zh-hant)` where the tag says more than the language; the tag
    /// where CLDR has no name.
    pub fn full_name(&self) -> String {
        match self.english_name() {
            Some(name) if self.primary() == self.as_str() => name,
            Some(name) => format!("{name} ({self})"),
            None => self.to_string(),
        }
    }

    /// Whether text in this language runs from right to left in its usual script.
    pub fn is_right_to_left(&self) -> bool {
        matches!(self.primary(), "ar" | "fa" | "he" | "ur" | "ps" | "sd" | "ug" | "yi" | "dv" | "ckb")
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As its tag, without a copy of it: tables have millions.
impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TagReader)
    }
}

struct TagReader;

impl Visitor<'_> for TagReader {
    type Value = Language;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, tag: &str) -> Result<Language, E> {
        Language::parse(tag).map_err(E::custom)
    }
}

impl std::str::FromStr for Language {
    type Err = LanguageError;

    fn from_str(tag: &str) -> Result<Self, Self::Err> {
        Self::parse(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_folded() {
        assert_eq!(Language::parse("zh_Hant").unwrap().as_str(), "zh-hant");
        assert_eq!(Language::parse("zh-Hant").unwrap().primary(), "zh");
        assert!(Language::parse("ar").unwrap().is_right_to_left());
    }

    #[test]
    fn names_are_those_of_cldr_and_unknown_tags_have_none() {
        let name = |tag| Language::parse(tag).unwrap().english_name();
        assert_eq!(name("uk").as_deref(), Some("Ukrainian"));
        assert_eq!(name("zh-hant").as_deref(), Some("Chinese"));
        assert_eq!(name("qqq"), None);
        let full_name = |tag| Language::parse(tag).unwrap().full_name();
        assert_eq!(["de", "zh-hant", "qqq"].map(full_name), ["German", "Chinese (zh-hant)", "qqq"]);
    }

    #[test]
    fn other_words_are_refused() {
        for tag in ["", "e", "english", "e1", "en-", "en-toolongsubtag", "日本"] {
            assert_eq!(Language::parse(tag), Err(LanguageError(tag.to_owned())), "{tag}");
        }
    }
}
