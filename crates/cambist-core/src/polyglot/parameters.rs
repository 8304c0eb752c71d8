//! What an instruction is about, in no language.

use serde::{Deserialize, Serialize};

use super::{
    name::Name,
    period::Period,
    task::Task,
    unit::{Conversion, Unit},
};

/// What is asked, one variant a [`Task`]. Numbers are in plain decimal notation (`1234.5`), codes as their standards
/// write them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parameters {
    /// Different names of one kind.
    CopyWords(Vec<Name>),
    /// The first digit is not 0.
    ReverseDigits(String),
    /// The day to write.
    DateLong(Day),
    /// The number to format.
    NumberFormat(String),
    /// The number of per cents: `12.5` is asked as 0.125.
    PercentFormat(String),
    /// The amount to format.
    CurrencyFormat(Money),
    /// Different names of one kind.
    JoinList(Vec<Name>),
    /// Different ISO 3166 codes.
    CountryNames(Vec<String>),
    /// Different ISO 639 codes.
    LanguageNames(Vec<String>),
    /// Different months, from 1.
    MonthNames(Vec<u8>),
    /// The span from now.
    RelativeTime(Shift),
    /// The number of units.
    UnitName(Quantity),
    /// Different countries or languages.
    SortNames(Vec<Name>),
    /// Terms to add up; every partial sum is from 1 to 20.
    NumberWords(Vec<i64>),
    /// Terms to add up; the sum is at least 1.
    Addition(Vec<i64>),
    /// So many of the larger unit.
    UnitConversion(u64, Conversion),
    /// A month from 1 and the months to count.
    MonthShift(u8, Shift),
    /// A weekday from 1, Monday, and the days to count.
    WeekdayShift(u8, Shift),
    /// The day to look up.
    WeekdayOfDate(Day),
    /// A day and the days or weeks to count.
    DateShift(Day, Shift),
}

impl Parameters {
    /// The kind of task.
    pub fn task(&self) -> Task {
        match self {
            Self::CopyWords(_) => Task::CopyWords,
            Self::ReverseDigits(_) => Task::ReverseDigits,
            Self::DateLong(_) => Task::DateLong,
            Self::NumberFormat(_) => Task::NumberFormat,
            Self::PercentFormat(_) => Task::PercentFormat,
            Self::CurrencyFormat(_) => Task::CurrencyFormat,
            Self::JoinList(_) => Task::JoinList,
            Self::CountryNames(_) => Task::CountryNames,
            Self::LanguageNames(_) => Task::LanguageNames,
            Self::MonthNames(_) => Task::MonthNames,
            Self::RelativeTime(_) => Task::RelativeTime,
            Self::UnitName(_) => Task::UnitName,
            Self::SortNames(_) => Task::SortNames,
            Self::NumberWords(_) => Task::NumberWords,
            Self::Addition(_) => Task::Addition,
            Self::UnitConversion(..) => Task::UnitConversion,
            Self::MonthShift(..) => Task::MonthShift,
            Self::WeekdayShift(..) => Task::WeekdayShift,
            Self::WeekdayOfDate(_) => Task::WeekdayOfDate,
            Self::DateShift(..) => Task::DateShift,
        }
    }

    /// What makes sources different: names to sort and numbers to add up are the same question in any order.
    pub(super) fn in_order(&self) -> Self {
        let mut ordered = self.clone();
        match &mut ordered {
            Self::SortNames(names) => names.sort(),
            Self::Addition(terms) => terms.sort(),
            _ => {}
        }
        ordered
    }
}

/// A day of the Gregorian calendar, from 1950 to 2049 as drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day {
    /// Common era.
    pub year: i32,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

/// So many periods on, or back when negative; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shift {
    /// How many.
    pub count: i64,
    /// Of what.
    pub period: Period,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money {
    /// How much, with the currency's usual number of decimals.
    pub number: String,
    /// ISO 4217.
    pub currency: String,
}

/// A number of units.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Quantity {
    /// How many.
    pub number: String,
    /// Of what.
    pub unit: Unit,
}
