//! One locale's formats, as CLDR has them.

use std::{cmp::Ordering, fmt::Display};

use icu::{
    calendar::{Date, Iso, types::Weekday},
    casemap::CaseMapper,
    collator::{Collator, CollatorBorrowed, options::CollatorOptions},
    datetime::{
        DateTimeFormatter,
        fieldsets::{E, M, YMD},
    },
    decimal::{DecimalFormatter, input::Decimal},
    list::{
        ListFormatter,
        options::{ListFormatterOptions, ListLength},
    },
    locale::{
        Locale,
        subtags::{Language as LanguageSubtag, Region},
    },
};
use icu_experimental::{
    dimension::{
        currency::{CurrencyType, formatter::CurrencyFormatter},
        percent::{formatter::PercentFormatter, options::PercentFormatterOptions},
    },
    displaynames::{
        DisplayNamesOptions, Fallback, LanguageDisplay,
        multi::{LanguageDisplayNames, RegionDisplayNames},
    },
};

use super::{
    period::{Period, PeriodFormats},
    unit::{Unit, UnitFormats, UnitWidth},
};

/// What CLDR could not give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CldrError {
    /// The locale has no data of this kind.
    #[error("the compiled locale data has no {kind} for `{locale}`: {reason}")]
    NoData {
        /// What was looked up.
        kind: &'static str,
        /// Where it was looked up.
        locale: String,
        /// What the data provider said.
        reason: String,
    },
    /// The text is no tag, code, date or decimal number.
    #[error("`{text}` is no {kind}")]
    Malformed {
        /// What was read.
        text: String,
        /// What was expected.
        kind: &'static str,
    },
}

/// The formats of one locale, loaded once.
pub(super) struct Cldr {
    locale: Locale,
    date: DateTimeFormatter<YMD>,
    month: DateTimeFormatter<M>,
    weekday: DateTimeFormatter<E>,
    decimal: DecimalFormatter,
    percent: PercentFormatter<DecimalFormatter>,
    list: ListFormatter,
    regions: RegionDisplayNames,
    languages: LanguageDisplayNames,
    periods: PeriodFormats,
    units: UnitFormats,
    collator: CollatorBorrowed<'static>,
}

impl Cldr {
    /// Loads the formats of a BCP-47 locale, extensions such as `-u-nu-latn` included.
    pub(super) fn load(tag: &str) -> Result<Self, CldrError> {
        let locale: Locale = tag.parse().map_err(|_| malformed(tag, "locale"))?;
        let names = names_options();
        let lists = ListFormatterOptions::default().with_length(ListLength::Wide);
        Ok(Self {
            date: DateTimeFormatter::try_new((&locale).into(), YMD::long()).map_err(missing("long date", tag))?,
            month: DateTimeFormatter::try_new((&locale).into(), M::long()).map_err(missing("month names", tag))?,
            weekday: DateTimeFormatter::try_new((&locale).into(), E::long()).map_err(missing("weekday names", tag))?,
            decimal: DecimalFormatter::try_new((&locale).into(), Default::default())
                .map_err(missing("number format", tag))?,
            percent: PercentFormatter::try_new((&locale).into(), PercentFormatterOptions::default())
                .map_err(missing("percent format", tag))?,
            list: ListFormatter::try_new_and((&locale).into(), lists).map_err(missing("list format", tag))?,
            regions: RegionDisplayNames::try_new((&locale).into(), names).map_err(missing("country names", tag))?,
            languages: LanguageDisplayNames::try_new((&locale).into(), names)
                .map_err(missing("language names", tag))?,
            periods: PeriodFormats::load(&locale)?,
            units: UnitFormats::load(&locale)?,
            collator: Collator::try_new((&locale).into(), CollatorOptions::default())
                .map_err(missing("collation", tag))?,
            locale,
        })
    }

    /// The date in its long form with the year: `1. Mai 2026`.
    pub(super) fn date(&self, date: &Date<Iso>) -> String {
        self.date.format(date).to_string()
    }

    /// The name of a month that stands alone, in the nominative.
    pub(super) fn month(&self, month: u8) -> Result<String, CldrError> {
        Ok(self.month.format(&calendar_date(2025, month, 1)?).to_string())
    }

    /// The name of a weekday that stands alone.
    pub(super) fn weekday(&self, weekday: Weekday) -> Result<String, CldrError> {
        // 1 September 2025 was a Monday, and Monday is 1.
        Ok(self.weekday.format(&calendar_date(2025, 9, weekday as u8)?).to_string())
    }

    /// A number in decimal notation with the locale's digits, grouping and decimal sign.
    pub(super) fn number(&self, number: &str) -> Result<String, CldrError> {
        Ok(self.decimal.format_to_string(&decimal(number)?))
    }

    /// A number of per cents with the locale's sign.
    pub(super) fn percent(&self, percents: &str) -> Result<String, CldrError> {
        Ok(self.percent.format(&decimal(percents)?).to_string())
    }

    /// A number of per cents as a plain fraction, in the locale's number format: 12.5 is 0.125.
    pub(super) fn fraction(&self, percents: &str) -> Result<String, CldrError> {
        let mut fraction = decimal(percents)?;
        fraction.multiply_pow10(-2);
        fraction.trim_end();
        Ok(self.decimal.format_to_string(&fraction))
    }

    /// An amount rounded to the currency's own digits: with the symbol that is clear in this locale, with the short one
    /// that the currency has at home (`US$`, `$`), and with its code.
    pub(super) fn money(&self, number: &str, code: &str) -> Result<Vec<String>, CldrError> {
        let currency = CurrencyType::try_from_str(code).map_err(|_| malformed(code, "currency code"))?;
        let (number, locale) = (decimal(number)?, &self.locale);
        [
            CurrencyFormatter::try_new_symbol(locale.into(), currency, Default::default()),
            CurrencyFormatter::try_new_symbol_narrow(locale.into(), currency, Default::default()),
            CurrencyFormatter::try_new_code(locale.into(), currency, Default::default()),
        ]
        .into_iter()
        .map(|loaded| Ok(loaded.map_err(missing("currency format", locale))?.format_fixed_decimal(&number).to_string()))
        .collect()
    }

    /// The words joined as a sentence would: `A, B und C`.
    pub(super) fn list(&self, words: &[String]) -> String {
        self.list.format_to_string(words.iter())
    }

    /// A country's name by its ISO 3166 code.
    pub(super) fn country(&self, code: &str) -> Result<String, CldrError> {
        let region: Region = code.parse().map_err(|_| malformed(code, "country code"))?;
        self.regions.of(region).map(str::to_owned).ok_or_else(|| self.nameless("name of country", code))
    }

    /// A language's name by its ISO 639 code.
    pub(super) fn language(&self, code: &str) -> Result<String, CldrError> {
        let language: LanguageSubtag = code.parse().map_err(|_| malformed(code, "language code"))?;
        self.languages.of(language).map(str::to_owned).ok_or_else(|| self.nameless("name of language", code))
    }

    /// A time relative to now: `in 3 Tagen`, `vor 2 Wochen`.
    pub(super) fn relative(&self, count: i64, period: Period) -> String {
        self.periods.relative(count, period)
    }

    /// A counted span of time: `3 Tage`.
    pub(super) fn span(&self, count: u64, period: Period) -> String {
        self.periods.span(count, period)
    }

    /// A quantity with its unit's name or abbreviation.
    pub(super) fn quantity(&self, number: &str, unit: Unit, width: UnitWidth) -> Result<String, CldrError> {
        Ok(self.units.format(&decimal(number)?, unit, width))
    }

    /// The order of a dictionary of this language.
    pub(super) fn compare(&self, left: &str, right: &str) -> Ordering {
        self.collator.compare(left, right)
    }

    /// The text with its first letter as at the start of a sentence, by the language's own rules (`i` is `İ` in
    /// Turkish).
    pub(super) fn capitalised(&self, text: &str) -> String {
        let first_len = text.chars().next().map_or(0, char::len_utf8);
        let (first, rest) = text.split_at(first_len);
        format!("{}{rest}", CaseMapper::new().uppercase_to_string(first, &self.locale.id))
    }

    fn nameless(&self, kind: &'static str, code: &str) -> CldrError {
        CldrError::NoData { kind, locale: self.locale.to_string(), reason: format!("`{code}` is not listed") }
    }
}

/// A day of the proleptic Gregorian calendar.
pub(super) fn calendar_date(year: i32, month: u8, day: u8) -> Result<Date<Iso>, CldrError> {
    Date::try_new_iso(year, month, day).map_err(|_| malformed(&format!("{year}-{month}-{day}"), "date"))
}

fn names_options() -> DisplayNamesOptions {
    let mut options = DisplayNamesOptions::default();
    options.fallback = Fallback::None;
    options.language_display = LanguageDisplay::Standard;
    options
}

fn decimal(number: &str) -> Result<Decimal, CldrError> {
    Decimal::try_from_str(number).map_err(|_| malformed(number, "decimal number"))
}

fn malformed(text: &str, kind: &'static str) -> CldrError {
    CldrError::Malformed { text: text.to_owned(), kind }
}

/// Says that a kind of data failed to load for a locale.
pub(super) fn missing<E: Display>(kind: &'static str, locale: impl Display) -> impl FnOnce(E) -> CldrError {
    move |error| CldrError::NoData { kind, locale: locale.to_string(), reason: error.to_string() }
}
