//! What stands in the slots of an instruction.

use super::{
    answer::{calendar_day, names},
    cldr::{Cldr, CldrError},
    name::Name,
    parameters::{Day, Money, Parameters, Shift},
    phrases::Phrases,
    unit::Unit,
};

/// Slot names and what they hold.
pub(super) type Slots = Vec<(&'static str, String)>;

/// Returns what stands in each slot of a task's phrasings.
pub(super) fn slots(parameters: &Parameters, phrases: &Phrases, cldr: &Cldr) -> Result<Slots, CldrError> {
    Ok(match parameters {
        Parameters::CopyWords(rows) => vec![("words", names(rows, cldr)?.join(phrases.comma))],
        Parameters::ReverseDigits(digits) => vec![("digits", digits.clone())],
        Parameters::DateLong(Day { year, month, day }) => vec![("date", format!("{year:04}-{month:02}-{day:02}"))],
        Parameters::NumberFormat(number) => vec![("number", number.clone())],
        Parameters::PercentFormat(percents) => vec![("number", cldr.fraction(percents)?)],
        Parameters::CurrencyFormat(Money { number, currency }) => vec![("amount", format!("{number} {currency}"))],
        Parameters::JoinList(rows) => vec![("items", names(rows, cldr)?.join(" / "))],
        Parameters::CountryNames(codes) | Parameters::LanguageNames(codes) => vec![("codes", codes.join(", "))],
        Parameters::MonthNames(months) => {
            vec![("numbers", months.iter().map(u8::to_string).collect::<Vec<_>>().join(", "))]
        }
        Parameters::RelativeTime(shift) => vec![("shift", shift_text(shift, cldr))],
        Parameters::UnitName(quantity) => vec![("quantity", quantity_text(&quantity.number, quantity.unit, cldr)?)],
        Parameters::SortNames(rows) => vec![("names", names(rows, cldr)?.join(phrases.comma))],
        Parameters::NumberWords(terms) => vec![("sum", spoken_sum(terms, phrases))],
        Parameters::Addition(terms) => vec![("sum", written_sum(terms, cldr)?)],
        Parameters::UnitConversion(count, conversion) => vec![
            ("quantity", quantity_text(&count.to_string(), conversion.from, cldr)?),
            ("unit", conversion.to.symbol().to_owned()),
        ],
        Parameters::MonthShift(month, shift) => {
            vec![("month", Name::Month(*month).say(cldr)?), ("shift", shift_text(shift, cldr))]
        }
        Parameters::WeekdayShift(weekday, shift) => {
            vec![("weekday", Name::Weekday(*weekday).say(cldr)?), ("shift", shift_text(shift, cldr))]
        }
        Parameters::WeekdayOfDate(day) => vec![("date", cldr.date(&calendar_day(*day)?))],
        Parameters::DateShift(day, shift) => {
            vec![("date", cldr.date(&calendar_day(*day)?)), ("shift", shift_text(shift, cldr))]
        }
    })
}

/// A sign and a span: `+ 3 Tage`, `− 2 Wochen`. After a sign stands the nominative, in every language.
fn shift_text(shift: &Shift, cldr: &Cldr) -> String {
    let sign = if shift.count < 0 { '−' } else { '+' };
    format!("{sign} {}", cldr.span(shift.count.unsigned_abs(), shift.period))
}

fn quantity_text(number: &str, unit: Unit, cldr: &Cldr) -> Result<String, CldrError> {
    Ok(format!("{} {}", cldr.number(number)?, unit.symbol()))
}

fn spoken_sum(terms: &[i64], phrases: &Phrases) -> String {
    let mut sum = String::new();
    for (idx, term) in terms.iter().enumerate() {
        if idx > 0 {
            sum.push_str(if *term < 0 { phrases.minus } else { phrases.plus });
        }
        sum.push_str(phrases.numeral(term.unsigned_abs()));
    }
    sum
}

fn written_sum(terms: &[i64], cldr: &Cldr) -> Result<String, CldrError> {
    let mut sum = String::new();
    for (idx, term) in terms.iter().enumerate() {
        if idx > 0 {
            sum.push_str(if *term < 0 { " − " } else { " + " });
        }
        sum.push_str(&cldr.number(&term.unsigned_abs().to_string())?);
    }
    Ok(sum)
}
