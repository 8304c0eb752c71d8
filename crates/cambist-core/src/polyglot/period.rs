//! Spans of time, counted and relative to now.

use icu::{decimal::input::Decimal, locale::Locale};
use icu_experimental::{
    dimension::units::{categorized_formatter::CategorizedFormatter, options::Width},
    measure::category::Duration,
    relativetime::{RelativeTimeFormatter, RelativeTimeFormatterOptions},
};
use serde::{Deserialize, Serialize};

use super::{
    cldr::{CldrError, missing},
    unit_data::UnitData,
};

/// A unit of time that CLDR can count relative to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// A calendar day.
    Day,
    /// Seven days.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

impl Period {
    /// Every period, from short to long.
    pub const ALL: [Self; 6] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];
}

/// The two formats of each period, in the order of [`Period::ALL`].
pub(super) struct PeriodFormats(Vec<(RelativeTimeFormatter, CategorizedFormatter<Duration>)>);

impl PeriodFormats {
    /// Loads both formats of every period.
    pub(super) fn load(locale: &Locale) -> Result<Self, CldrError> {
        Period::ALL.iter().map(|period| load_period(locale, *period)).collect::<Result<_, _>>().map(Self)
    }

    /// The time so many periods from now; negative counts lie in the past, words such as `tomorrow` are not used.
    pub(super) fn relative(&self, count: i64, period: Period) -> String {
        let (relative, _) = &self.0[period as usize];
        relative.format(Decimal::from(count)).to_string()
    }

    /// So many periods, in the nominative.
    pub(super) fn span(&self, count: u64, period: Period) -> String {
        let (_, counted) = &self.0[period as usize];
        counted.format_fixed_decimal(&Decimal::from(count)).to_string()
    }
}

fn load_period(
    locale: &Locale,
    period: Period,
) -> Result<(RelativeTimeFormatter, CategorizedFormatter<Duration>), CldrError> {
    let options = RelativeTimeFormatterOptions::default();
    let (relative, duration) = match period {
        Period::Minute => (RelativeTimeFormatter::try_new_long_minute(locale.into(), options), Duration::minute()),
        Period::Hour => (RelativeTimeFormatter::try_new_long_hour(locale.into(), options), Duration::hour()),
        Period::Day => (RelativeTimeFormatter::try_new_long_day(locale.into(), options), Duration::day()),
        Period::Week => (RelativeTimeFormatter::try_new_long_week(locale.into(), options), Duration::week()),
        Period::Month => (RelativeTimeFormatter::try_new_long_month(locale.into(), options), Duration::month()),
        Period::Year => (RelativeTimeFormatter::try_new_long_year(locale.into(), options), Duration::year()),
    };
    let counted = CategorizedFormatter::try_new_core_unstable(&UnitData, locale.into(), duration, Width::Long.into());
    Ok((relative.map_err(missing("relative times", locale))?, counted.map_err(missing("names of time units", locale))?))
}
