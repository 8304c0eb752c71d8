//! Parameters drawn at random, in sizes that a person would ask for.

use super::{
    name::{self, COUNTRIES, LANGUAGES, draw_distinct, draw_names},
    parameters::{Day, Money, Parameters, Quantity, Shift},
    period::Period,
    task::Task,
    unit::{Conversion, Unit},
};
use crate::chance::Chance;

/// Currencies with two decimals, and the yen with none.
const CURRENCIES: [&str; 10] = ["EUR", "USD", "GBP", "JPY", "CNY", "TRY", "UAH", "CHF", "INR", "BRL"];

/// Draws what a task is asked with.
pub(super) fn draw_parameters(task: Task, chance: &mut Chance) -> Parameters {
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
    use crate::polyglot::{cldr::calendar_date, source::Sources};

    #[test]
    fn days_exist() {
        for source in Sources::new(1, Task::DateLong).take(5000) {
            let Parameters::DateLong(Day { year, month, day }) = source.parameters else { panic!("{source:?}") };
            calendar_date(year, month, day).unwrap();
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
