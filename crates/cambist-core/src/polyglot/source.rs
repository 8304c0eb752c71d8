//! What is asked, before any language: parameters drawn by name.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    name::{self, COUNTRIES, LANGUAGES, Name, draw_distinct, draw_names},
    period::Period,
    task::Task,
    unit::{Conversion, Unit},
};
use crate::chance::Chance;

/// One question without its words; all languages ask the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `polyglot-<task>-<n>`, with `n` counted from 0 within the task.
    pub id: String,
    /// What is asked.
    pub parameters: Parameters,
}

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

/// The sources of one task, one after the other, all different.
pub(super) struct Sources {
    seed: u64,
    task: Task,
    n_drawn: usize,
    seen: BTreeSet<Parameters>,
}

/// After so many draws in a row that were all seen before, a task has no more sources.
const PATIENCE: usize = 1000;

/// Currencies with two decimals, and the yen with none.
const CURRENCIES: [&str; 10] = ["EUR", "USD", "GBP", "JPY", "CNY", "TRY", "UAH", "CHF", "INR", "BRL"];

impl Sources {
    /// The sources of a task under a seed. Other tasks, the languages and the number of sources asked for play no part.
    pub(super) fn new(seed: u64, task: Task) -> Self {
        Self { seed, task, n_drawn: 0, seen: BTreeSet::new() }
    }
}

impl Iterator for Sources {
    type Item = Source;

    fn next(&mut self) -> Option<Source> {
        for _ in 0..PATIENCE {
            let draw = self.n_drawn.to_string();
            self.n_drawn += 1;
            let parameters = draw_parameters(
                self.task,
                &mut Chance::new(self.seed, &["polyglot", self.task.name(), "parameters", &draw]),
            );
            if self.seen.insert(parameters.clone()) {
                let id = format!("polyglot-{}-{}", self.task, self.seen.len() - 1);
                return Some(Source { id, parameters });
            }
        }
        None
    }
}

fn draw_parameters(task: Task, chance: &mut Chance) -> Parameters {
    match task {
        Task::CopyWords => Parameters::CopyWords(draw_names(2 + chance.below(2), chance)),
        Task::ReverseDigits => Parameters::ReverseDigits(draw_whole(4 + chance.below(4) as u32, chance).to_string()),
        Task::DateLong => Parameters::DateLong(draw_day(chance)),
        Task::NumberFormat => Parameters::NumberFormat(draw_number(chance)),
        Task::PercentFormat => Parameters::PercentFormat(draw_percents(chance)),
        Task::CurrencyFormat => Parameters::CurrencyFormat(draw_money(chance)),
        Task::JoinList => Parameters::JoinList(draw_names(2 + chance.below(2), chance)),
        Task::CountryNames => Parameters::CountryNames(draw_codes(&COUNTRIES, chance)),
        Task::LanguageNames => Parameters::LanguageNames(draw_codes(&LANGUAGES, chance)),
        Task::MonthNames => {
            let months: Vec<u8> = (1..=12).collect();
            Parameters::MonthNames(draw_distinct(&months, 2 + chance.below(3), chance))
        }
        Task::RelativeTime => {
            Parameters::RelativeTime(draw_shift(99, Period::ALL[chance.below(Period::ALL.len())], chance))
        }
        Task::UnitName => Parameters::UnitName(draw_quantity(chance)),
        Task::SortNames => {
            let kinds = [name::countries(), name::languages()];
            Parameters::SortNames(draw_distinct(&kinds[chance.below(2)], 3, chance))
        }
        Task::NumberWords => Parameters::NumberWords(draw_small_sum(chance)),
        Task::Addition => Parameters::Addition(draw_sum(chance)),
        Task::UnitConversion => {
            let conversion = Conversion::ALL[chance.below(Conversion::ALL.len())];
            Parameters::UnitConversion(2 + chance.below(998) as u64, conversion)
        }
        Task::MonthShift => Parameters::MonthShift(1 + chance.below(12) as u8, draw_shift(99, Period::Month, chance)),
        Task::WeekdayShift => Parameters::WeekdayShift(1 + chance.below(7) as u8, draw_shift(365, Period::Day, chance)),
        Task::WeekdayOfDate => Parameters::WeekdayOfDate(draw_day(chance)),
        Task::DateShift => {
            let (furthest, period) = [(60, Period::Day), (12, Period::Week)][chance.below(2)];
            Parameters::DateShift(draw_day(chance), draw_shift(furthest, period, chance))
        }
    }
}

/// From 2 to `furthest` periods, on or back.
fn draw_shift(furthest: usize, period: Period, chance: &mut Chance) -> Shift {
    let count = 2 + chance.below(furthest - 1) as i64;
    Shift { count: if chance.below(2) == 0 { count } else { -count }, period }
}

fn draw_codes(codes: &[&str], chance: &mut Chance) -> Vec<String> {
    let drawn = draw_distinct(codes, 2 + chance.below(2), chance);
    drawn.into_iter().map(str::to_owned).collect()
}

fn draw_day(chance: &mut Chance) -> Day {
    let (year, month) = (1950 + chance.below(100) as i32, 1 + chance.below(12) as u8);
    let n_days = match month {
        4 | 6 | 9 | 11 => 30,
        // Between 1950 and 2049 every fourth year is a leap year.
        2 if year % 4 == 0 => 29,
        2 => 28,
        _ => 31,
    };
    Day { year, month, day: 1 + chance.below(n_days) as u8 }
}

/// A whole number with exactly so many digits.
fn draw_whole(n_digits: u32, chance: &mut Chance) -> usize {
    let least = 10usize.pow(n_digits - 1);
    least + chance.below(9 * least)
}

/// Four to seven digits, and one or two decimals half of the time.
fn draw_number(chance: &mut Chance) -> String {
    let whole = draw_whole(4 + chance.below(4) as u32, chance);
    match chance.below(4) {
        0 => format!("{whole}.{}", 1 + chance.below(9)),
        1 => format!("{whole}.{}{}", chance.below(10), 1 + chance.below(9)),
        _ => whole.to_string(),
    }
}

/// From 0.1 to 199.9 in tenths, or a whole number up to 999.
fn draw_percents(chance: &mut Chance) -> String {
    match chance.below(4) {
        0 => (1 + chance.below(999)).to_string(),
        _ => format!("{}.{}", chance.below(200), 1 + chance.below(9)),
    }
}

fn draw_money(chance: &mut Chance) -> Money {
    let currency = CURRENCIES[chance.below(CURRENCIES.len())];
    let whole = draw_whole(1 + chance.below(6) as u32, chance);
    let number = if currency == "JPY" { whole.to_string() } else { format!("{whole}.{:02}", chance.below(100)) };
    Money { number, currency: currency.to_owned() }
}

fn draw_quantity(chance: &mut Chance) -> Quantity {
    let unit = Unit::ALL[chance.below(Unit::ALL.len())];
    let whole = 1 + chance.below(199);
    let number = if chance.below(4) == 0 { format!("{whole}.{}", 1 + chance.below(9)) } else { whole.to_string() };
    Quantity { number, unit }
}

/// Two or three terms; every partial sum lies between 1 and 20.
fn draw_small_sum(chance: &mut Chance) -> Vec<i64> {
    let n_more = 1 + chance.below(2);
    let mut sum = 1 + chance.below(20) as i64;
    let mut terms = vec![sum];
    for _ in 0..n_more {
        let next_sum = 1 + chance.below(19) as i64;
        // Skipping the sum itself keeps every term different from 0.
        let next_sum = if next_sum >= sum { next_sum + 1 } else { next_sum };
        terms.push(next_sum - sum);
        sum = next_sum;
    }
    terms
}

/// Two terms of two to four digits.
fn draw_sum(chance: &mut Chance) -> Vec<i64> {
    let mut draw = || draw_whole(2 + chance.below(3) as u32, chance) as i64;
    let (left, right) = (draw(), draw());
    if left > right && chance.below(2) == 0 {
        return vec![left, -right];
    }
    vec![left, right]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_a_thousand_different_sources() {
        for task in Task::ALL {
            assert_eq!(Sources::new(3, task).take(1000).count(), 1000, "{task}");
        }
    }

    #[test]
    fn a_small_task_ends_when_it_is_exhausted() {
        let n_sources = Sources::new(3, Task::MonthShift).count();
        let n_possible = 12 * 98 * 2;
        assert!((n_possible - 10..=n_possible).contains(&n_sources), "{n_sources} of {n_possible}");
    }

    #[test]
    fn days_exist() {
        for source in Sources::new(1, Task::DateLong).take(5000) {
            let Parameters::DateLong(Day { year, month, day }) = source.parameters else { panic!("{source:?}") };
            super::super::cldr::calendar_date(year, month, day).unwrap();
        }
    }

    #[test]
    fn small_sums_stay_countable() {
        for source in Sources::new(1, Task::NumberWords).take(2000) {
            let Parameters::NumberWords(terms) = source.parameters else { panic!("{source:?}") };
            let mut sum = 0;
            for term in &terms {
                sum += term;
                assert!((1..=20).contains(&sum) && *term != 0 && term.abs() <= 20, "{terms:?}");
            }
        }
    }
}
