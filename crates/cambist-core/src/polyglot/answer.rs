//! The right answers, as CLDR writes them.

use icu::calendar::{Date, Iso};

use super::{
    cldr::{Cldr, CldrError, calendar_date},
    name::{Name, weekday_of},
    parameters::{Day, Parameters, Shift},
    period::Period,
    phrases::Phrases,
    unit::{Conversion, UnitWidth},
};

/// Returns the right answers of one locale, the most expected one first.
pub(super) fn answers(parameters: &Parameters, phrases: &Phrases, cldr: &Cldr) -> Result<Vec<String>, CldrError> {
    Ok(match parameters {
        Parameters::CopyWords(rows) => vec![names(rows, cldr)?.join(phrases.comma)],
        Parameters::ReverseDigits(digits) => vec![digits.chars().rev().collect()],
        Parameters::DateLong(day) => vec![cldr.date(&calendar_day(*day)?)],
        Parameters::NumberFormat(number) => vec![cldr.number(number)?],
        Parameters::PercentFormat(percents) => vec![cldr.percent(percents)?],
        Parameters::CurrencyFormat(money) => cldr.money(&money.number, &money.currency)?,
        Parameters::JoinList(rows) => vec![cldr.list(&names(rows, cldr)?)],
        Parameters::CountryNames(codes) => {
            listed(&codes.iter().cloned().map(Name::Country).collect::<Vec<_>>(), phrases, cldr)?
        }
        Parameters::LanguageNames(codes) => {
            listed(&codes.iter().cloned().map(Name::Language).collect::<Vec<_>>(), phrases, cldr)?
        }
        Parameters::MonthNames(months) => {
            listed(&months.iter().copied().map(Name::Month).collect::<Vec<_>>(), phrases, cldr)?
        }
        Parameters::RelativeTime(shift) => vec![cldr.relative(shift.count, shift.period)],
        Parameters::UnitName(quantity) => vec![cldr.quantity(&quantity.number, quantity.unit, UnitWidth::Name)?],
        Parameters::SortNames(rows) => vec![sorted(rows, cldr)?.join(phrases.comma)],
        Parameters::NumberWords(terms) => vec![phrases.numeral(terms.iter().sum::<i64>().unsigned_abs()).to_owned()],
        Parameters::Addition(terms) => vec![cldr.number(&terms.iter().sum::<i64>().to_string())?],
        Parameters::UnitConversion(count, conversion) => converted(*count, *conversion, cldr)?,
        Parameters::MonthShift(month, shift) => {
            let months_on = i64::from(*month) - 1 + shift.count;
            vec![cldr.month(1 + months_on.rem_euclid(12) as u8)?]
        }
        Parameters::WeekdayShift(weekday, shift) => {
            let days_on = i64::from(*weekday) + shift.count;
            vec![cldr.weekday(weekday_of(days_on.rem_euclid(7) as u8))?]
        }
        Parameters::WeekdayOfDate(day) => vec![cldr.weekday(calendar_day(*day)?.weekday())?],
        Parameters::DateShift(day, shift) => vec![cldr.date(&shifted(*day, *shift)?)],
    })
}

/// The names as they stand alone, in the given order.
pub(super) fn names(rows: &[Name], cldr: &Cldr) -> Result<Vec<String>, CldrError> {
    rows.iter().map(|name| name.say(cldr)).collect()
}

/// The calendar's own date.
pub(super) fn calendar_day(day: Day) -> Result<Date<Iso>, CldrError> {
    calendar_date(day.year, day.month, day.day)
}

/// The names as a sentence lists them, or bare with commas: nobody was asked for a conjunction.
fn listed(rows: &[Name], phrases: &Phrases, cldr: &Cldr) -> Result<Vec<String>, CldrError> {
    let names = names(rows, cldr)?;
    Ok(vec![cldr.list(&names), names.join(phrases.comma)])
}

fn sorted(rows: &[Name], cldr: &Cldr) -> Result<Vec<String>, CldrError> {
    let mut names = names(rows, cldr)?;
    names.sort_by(|left, right| cldr.compare(left, right));
    Ok(names)
}

/// With the language's abbreviation, with the unit's name, or with the symbol that the question used.
fn converted(count: u64, conversion: Conversion, cldr: &Cldr) -> Result<Vec<String>, CldrError> {
    let number = (count * conversion.factor).to_string();
    Ok(vec![
        cldr.quantity(&number, conversion.to, UnitWidth::Abbreviation)?,
        cldr.quantity(&number, conversion.to, UnitWidth::Name)?,
        format!("{} {}", cldr.number(&number)?, conversion.to.symbol()),
    ])
}

fn shifted(day: Day, shift: Shift) -> Result<Date<Iso>, CldrError> {
    let days = if shift.period == Period::Week { 7 * shift.count } else { shift.count };
    Ok(Date::from_rata_die(calendar_day(day)?.to_rata_die() + days, Iso))
}
