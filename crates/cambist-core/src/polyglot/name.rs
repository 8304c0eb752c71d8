//! Things that CLDR can name in every language.

use icu::calendar::types::Weekday;
use serde::{Deserialize, Serialize};

use super::cldr::{Cldr, CldrError};
use crate::chance::Chance;

/// A thing that CLDR can name, by its code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Name {
    /// By ISO 3166 code, two letters.
    Country(String),
    /// By ISO 639 code, two letters.
    Language(String),
    /// From 1, January.
    Month(u8),
    /// From 1, Monday, to 7, as in ISO 8601.
    Weekday(u8),
}

impl Name {
    /// The name as it stands alone, in the nominative.
    pub(super) fn say(&self, cldr: &Cldr) -> Result<String, CldrError> {
        match self {
            Self::Country(code) => cldr.country(code),
            Self::Language(code) => cldr.language(code),
            Self::Month(month) => cldr.month(*month),
            Self::Weekday(weekday) => cldr.weekday(weekday_of(*weekday)),
        }
    }
}

/// The weekday by its ISO 8601 number; numbers past the week count on.
pub(super) fn weekday_of(number: u8) -> Weekday {
    Weekday::from_days_since_sunday(isize::from(number))
}

/// Countries whose names are short and settled.
pub(super) const COUNTRIES: [&str; 60] = [
    "AR", "AT", "AU", "BE", "BG", "BR", "CA", "CH", "CL", "CN", "CO", "CU", "CY", "DE", "DK", "EE", "EG", "ES", "ET",
    "FI", "FR", "GE", "GR", "HR", "HU", "ID", "IE", "IN", "IQ", "IR", "IS", "IT", "JO", "JP", "KE", "KZ", "LB", "LT",
    "LV", "MA", "MN", "MX", "MY", "NG", "NL", "NO", "NP", "PE", "PK", "PL", "PT", "RO", "RS", "SE", "SI", "TH", "TN",
    "UA", "UZ", "VN",
];

/// Languages with a two-letter code whose names are settled.
pub(super) const LANGUAGES: [&str; 50] = [
    "af", "ar", "az", "be", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "ga", "hi",
    "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "kk", "ko", "lt", "lv", "mn", "ms", "mt", "ne", "nl", "pl", "pt",
    "ro", "ru", "sk", "sl", "sq", "sv", "th", "tr", "uk", "ur", "vi", "zh",
];

/// Draws so many different rows, in random order.
pub(super) fn draw_distinct<T: Clone>(rows: &[T], n: usize, chance: &mut Chance) -> Vec<T> {
    let mut shuffled = rows.to_vec();
    chance.shuffle(&mut shuffled);
    shuffled.truncate(n);
    shuffled
}

/// Draws so many different names of one kind.
pub(super) fn draw_names(n: usize, chance: &mut Chance) -> Vec<Name> {
    let months: Vec<Name> = (1..=12).map(Name::Month).collect();
    let weekdays: Vec<Name> = (1..=7).map(Name::Weekday).collect();
    let kinds = [countries(), languages(), months, weekdays];
    draw_distinct(&kinds[chance.below(kinds.len())], n, chance)
}

/// Every country as a name.
pub(super) fn countries() -> Vec<Name> {
    COUNTRIES.map(|code| Name::Country(code.to_owned())).to_vec()
}

/// Every language as a name.
pub(super) fn languages() -> Vec<Name> {
    LANGUAGES.map(|code| Name::Language(code.to_owned())).to_vec()
}
