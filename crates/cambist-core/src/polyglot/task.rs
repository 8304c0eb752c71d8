//! The kinds of task, graded.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of instruction, from copying to calendars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Repeat two or three names.
    CopyWords,
    /// Write a row of digits from its end.
    ReverseDigits,
    /// ISO 8601 date to long date.
    DateLong,
    /// Plain number to grouped number.
    NumberFormat,
    /// Fraction to per cent.
    PercentFormat,
    /// Number and currency code to amount.
    CurrencyFormat,
    /// Names to one list with its conjunction.
    JoinList,
    /// ISO 3166 codes to names.
    CountryNames,
    /// ISO 639 codes to names.
    LanguageNames,
    /// Month numbers to names.
    MonthNames,
    /// Signed span to relative time.
    RelativeTime,
    /// Unit symbol to counted noun.
    UnitName,
    /// Names to the order of a dictionary.
    SortNames,
    /// Sums in words.
    NumberWords,
    /// Sums in digits.
    Addition,
    /// One unit to another.
    UnitConversion,
    /// Month plus months.
    MonthShift,
    /// Weekday plus days.
    WeekdayShift,
    /// Date to weekday.
    WeekdayOfDate,
    /// Date plus days or weeks.
    DateShift,
}

/// What was given is no task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no polyglot task: expected one of {names}", names = all_names())]
pub struct TaskError(pub String);

impl Task {
    /// Every task, from easy to hard.
    pub const ALL: [Self; 20] = [
        Self::CopyWords,
        Self::ReverseDigits,
        Self::DateLong,
        Self::NumberFormat,
        Self::PercentFormat,
        Self::CurrencyFormat,
        Self::JoinList,
        Self::CountryNames,
        Self::LanguageNames,
        Self::MonthNames,
        Self::RelativeTime,
        Self::UnitName,
        Self::SortNames,
        Self::NumberWords,
        Self::Addition,
        Self::UnitConversion,
        Self::MonthShift,
        Self::WeekdayShift,
        Self::WeekdayOfDate,
        Self::DateShift,
    ];

    /// The name in recipes and reports, in kebab-case.
    pub fn name(self) -> &'static str {
        self.card().0
    }

    /// What has to be done to get it right: 1 copying, 2 formats, 3 names and plurals, 4 arithmetic and order,
    /// 5 calendars.
    pub fn difficulty(self) -> u8 {
        self.card().1
    }

    /// One line for a person, in English.
    pub fn describe(self) -> &'static str {
        self.card().2
    }

    /// Reads a name.
    ///
    /// # Errors
    /// When no task has this name; the message lists them all.
    pub fn parse(name: &str) -> Result<Self, TaskError> {
        Self::ALL.into_iter().find(|task| task.name() == name).ok_or_else(|| TaskError(name.to_owned()))
    }

    /// Whether the answer is a date in its long form.
    pub(super) fn answers_with_date(self) -> bool {
        matches!(self, Self::DateLong | Self::DateShift)
    }

    fn card(self) -> (&'static str, u8, &'static str) {
        match self {
            Self::CopyWords => ("copy-words", 1, "repeat two or three names"),
            Self::ReverseDigits => ("reverse-digits", 1, "write a row of digits from its end"),
            Self::DateLong => ("date-long", 2, "write an ISO date in its long form"),
            Self::NumberFormat => ("number-format", 2, "group a number and set its decimal sign"),
            Self::PercentFormat => ("percent-format", 2, "write a fraction as a percentage"),
            Self::CurrencyFormat => ("currency-format", 2, "write an amount with its currency symbol"),
            Self::JoinList => ("join-list", 2, "join names into a list with its conjunction"),
            Self::CountryNames => ("country-names", 3, "name countries by their ISO codes"),
            Self::LanguageNames => ("language-names", 3, "name languages by their ISO codes"),
            Self::MonthNames => ("month-names", 3, "name months by their numbers"),
            Self::RelativeTime => ("relative-time", 3, "say a span of time relative to now"),
            Self::UnitName => ("unit-name", 3, "write a unit in full, in the right plural"),
            Self::SortNames => ("sort-names", 4, "sort names as a dictionary does"),
            Self::NumberWords => ("number-words", 4, "work out a sum in words"),
            Self::Addition => ("addition", 4, "add or subtract two numbers"),
            Self::UnitConversion => ("unit-conversion", 4, "convert a quantity to a smaller unit"),
            Self::MonthShift => ("month-shift", 5, "count months on or back from a month"),
            Self::WeekdayShift => ("weekday-shift", 5, "count days on or back from a weekday"),
            Self::WeekdayOfDate => ("weekday-of-date", 5, "find the weekday of a date"),
            Self::DateShift => ("date-shift", 5, "count days or weeks on or back from a date"),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Task {
    type Err = TaskError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

fn all_names() -> String {
    Task::ALL.map(|task| format!("`{task}`")).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_agree_with_serde() {
        for task in Task::ALL {
            assert_eq!(Task::parse(task.name()), Ok(task));
            assert_eq!(serde_json::to_string(&task).unwrap(), format!("\"{task}\""));
            assert!((1..=5).contains(&task.difficulty()));
        }
        assert!(Task::ALL.is_sorted_by_key(|task| task.difficulty()), "from easy to hard");
    }

    #[test]
    fn unknown_names_are_refused_with_the_list() {
        let message = Task::parse("date_long").unwrap_err().to_string();
        assert!(message.starts_with("`date_long` is no polyglot task") && message.contains("`date-long`"), "{message}");
    }
}
