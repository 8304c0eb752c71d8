//! What speakers of each language say: one file a language.
//!
//! A new language is one file beside these and one line in [`ALL`]; the compiler asks for every field, the tests ask
//! for every slot.

mod ar;
mod de;
mod en;
mod es;
mod fr;
mod ja;
mod ru;
mod tr;
mod uk;
mod zh;

use super::task::Task;
use crate::check::fold_answer;

/// Every language, by tag.
pub(super) const ALL: [&Phrases; 10] = [
    &ar::PHRASES,
    &de::PHRASES,
    &en::PHRASES,
    &es::PHRASES,
    &fr::PHRASES,
    &ja::PHRASES,
    &ru::PHRASES,
    &tr::PHRASES,
    &uk::PHRASES,
    &zh::PHRASES,
];

/// Three ways to ask for the same thing; `{slots}` stand where nothing has to be inflected.
pub(super) type Phrasings = [&'static str; 3];

/// The sentences and habits of one language. What CLDR knows is not here.
pub(super) struct Phrases {
    /// The language's BCP-47 tag; references are written as CLDR has it for this locale.
    pub(super) tag: &'static str,
    /// Other CLDR locales whose forms are as right.
    pub(super) other_locales: &'static [&'static str],
    /// What stands between the words of a bare enumeration.
    pub(super) comma: &'static str,
    /// What may end an answer.
    pub(super) full_stop: &'static str,
    /// The cardinal numbers from 1 to 20, as counted. (The compiled locale data have no spelled-out numbers.)
    pub(super) numerals: [&'static str; 20],
    /// The spoken plus with the spaces around it.
    pub(super) plus: &'static str,
    /// The spoken minus with the spaces around it.
    pub(super) minus: &'static str,
    /// Other spellings that every reader takes as right, in any answer but a copy.
    pub(super) spellings: &'static [Spelling],
    /// Other spellings of long dates.
    pub(super) date_spellings: &'static [Spelling],
    /// With `{words}`.
    pub(super) copy_words: Phrasings,
    /// With `{digits}`.
    pub(super) reverse_digits: Phrasings,
    /// With `{date}`, as in ISO 8601.
    pub(super) date_long: Phrasings,
    /// With `{number}`, as programs write it.
    pub(super) number_format: Phrasings,
    /// With `{number}`, a fraction in the language's own format.
    pub(super) percent_format: Phrasings,
    /// With `{amount}`: a number as programs write it and an ISO 4217 code.
    pub(super) currency_format: Phrasings,
    /// With `{items}`.
    pub(super) join_list: Phrasings,
    /// With `{codes}`, as in ISO 3166.
    pub(super) country_names: Phrasings,
    /// With `{codes}`, as in ISO 639.
    pub(super) language_names: Phrasings,
    /// With `{numbers}` from 1 to 12.
    pub(super) month_names: Phrasings,
    /// With `{shift}`: a sign and a counted span of time.
    pub(super) relative_time: Phrasings,
    /// With `{quantity}`: a number and an international symbol.
    pub(super) unit_name: Phrasings,
    /// With `{names}`.
    pub(super) sort_names: Phrasings,
    /// With `{sum}`, in words.
    pub(super) number_words: Phrasings,
    /// With `{sum}`, in digits.
    pub(super) addition: Phrasings,
    /// With `{quantity}` and `{unit}`, the symbol asked for.
    pub(super) unit_conversion: Phrasings,
    /// With `{month}` and `{shift}`.
    pub(super) month_shift: Phrasings,
    /// With `{weekday}` and `{shift}`.
    pub(super) weekday_shift: Phrasings,
    /// With `{date}`, in its long form.
    pub(super) weekday_of_date: Phrasings,
    /// With `{date}`, in its long form, and `{shift}`.
    pub(super) date_shift: Phrasings,
}

impl Phrases {
    /// A number from 1 to 20 in words; empty outside of that.
    pub(super) fn numeral(&self, number: u64) -> &'static str {
        let idx = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        idx.and_then(|idx| self.numerals.get(idx)).copied().unwrap_or_default()
    }

    /// The ways to set a task.
    pub(super) fn phrasings(&self, task: Task) -> &Phrasings {
        match task {
            Task::CopyWords => &self.copy_words,
            Task::ReverseDigits => &self.reverse_digits,
            Task::DateLong => &self.date_long,
            Task::NumberFormat => &self.number_format,
            Task::PercentFormat => &self.percent_format,
            Task::CurrencyFormat => &self.currency_format,
            Task::JoinList => &self.join_list,
            Task::CountryNames => &self.country_names,
            Task::LanguageNames => &self.language_names,
            Task::MonthNames => &self.month_names,
            Task::RelativeTime => &self.relative_time,
            Task::UnitName => &self.unit_name,
            Task::SortNames => &self.sort_names,
            Task::NumberWords => &self.number_words,
            Task::Addition => &self.addition,
            Task::UnitConversion => &self.unit_conversion,
            Task::MonthShift => &self.month_shift,
            Task::WeekdayShift => &self.weekday_shift,
            Task::WeekdayOfDate => &self.weekday_of_date,
            Task::DateShift => &self.date_shift,
        }
    }
}

/// Another way to write a part of an answer: what CLDR writes, and what is as right.
pub(super) enum Spelling {
    /// Wherever it stands, everywhere at once.
    Anywhere(&'static str, &'static str),
    /// At the start of the answer.
    Start(&'static str, &'static str),
    /// At the end of the answer.
    End(&'static str, &'static str),
    /// With spaces between digits and the letters beside them, as between words.
    Spaced,
}

impl Spelling {
    /// The text in the other spelling, folded; none where it has no such part.
    pub(super) fn respell(&self, text: &str) -> Option<String> {
        let text = fold_answer(text);
        match self {
            Self::Anywhere(from, to) => text.contains(from).then(|| text.replace(from, to)),
            Self::Start(from, to) => text.strip_prefix(from).map(|rest| format!("{to}{rest}")),
            Self::End(from, to) => text.strip_suffix(from).map(|rest| format!("{rest}{to}")),
            Self::Spaced => Some(space_digits(&text)),
        }
    }
}

fn space_digits(text: &str) -> String {
    let mut spaced = String::with_capacity(2 * text.len());
    let mut previous = ' ';
    for letter in text.chars() {
        let is_edge = previous.is_ascii_digit() && letter.is_alphabetic();
        if is_edge || previous.is_alphabetic() && letter.is_ascii_digit() {
            spaced.push(' ');
        }
        spaced.push(letter);
        previous = letter;
    }
    spaced
}
