//! Reads numbers out of text.

use crate::language::Language;

/// The zeros of the decimal digits that texts are written in; nine more digits follow each.
const ZEROS: [char; 18] = [
    '0', '\u{0660}', '\u{06f0}', '\u{07c0}', '\u{0966}', '\u{09e6}', '\u{0a66}', '\u{0ae6}', '\u{0b66}', '\u{0be6}',
    '\u{0c66}', '\u{0ce6}', '\u{0d66}', '\u{0e50}', '\u{0ed0}', '\u{0f20}', '\u{1040}', '\u{ff10}',
];

/// Languages that write a decimal comma.
const COMMA: [&str; 42] = [
    "af", "az", "be", "bg", "bs", "ca", "cs", "da", "de", "el", "es", "et", "eu", "fi", "fr", "gl", "hr", "hu", "hy",
    "id", "is", "it", "ka", "kk", "ky", "lt", "lv", "mk", "nb", "nl", "nn", "no", "pl", "pt", "ro", "ru", "sk", "sl",
    "sr", "sv", "tr", "uk",
];

/// More of them, and regions that differ from their language.
const COMMA_TOO: [&str; 4] = ["vi", "uz", "sq", "mn"];
const POINT_REGIONS: [&str; 9] = ["es-mx", "es-us", "es-pr", "es-gt", "es-pe", "es-do", "es-pa", "de-ch", "de-li"];

/// Languages that group thousands by spaces.
const SPACED: [&str; 20] = [
    "be", "bg", "cs", "et", "fi", "fr", "hu", "hy", "ka", "kk", "lt", "lv", "nb", "nn", "no", "pl", "ru", "sk", "sv",
    "uk",
];

/// Returns the number that an answer ends with: the one in its last `\boxed{}`, else the last in the text.
pub fn final_number(text: &str, language: &Language) -> Option<f64> {
    boxed(text).and_then(|inside| in_box(&inside, language)).or_else(|| numbers(text, language).pop())
}

/// Returns all numbers of a text in their order.
///
/// Digits of any script count. The sign that the language writes before decimals decides where `.` and `,` could be
/// either; a text that uses both, or groups that are no thousands, decide for themselves.
pub fn numbers(text: &str, language: &Language) -> Vec<f64> {
    let chars = fold(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if !chars[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = end_of(&chars, at, language);
        let is_negative =
            at > 0 && chars[at - 1] == '-' && !(at > 1 && (chars[at - 2].is_alphanumeric() || chars[at - 2] == ')'));
        let sign = if is_negative { -1.0 } else { 1.0 };
        let (scale, after) = exponent(&chars, end);
        found.extend(read(&chars[at..end], language).into_iter().map(|number| sign * number * scale));
        at = after;
    }
    found
}

/// Folds digits and signs to ASCII. A full-width comma is one of a number only behind a full-width digit: elsewhere it
/// parts the members of a list.
fn fold(text: &str) -> Vec<char> {
    let mut before = ' ';
    let fold = |c: char| {
        let is_inside = c == '\u{ff0c}' && ('\u{ff10}'..='\u{ff19}').contains(&before);
        before = c;
        if is_inside { ',' } else { plain(c) }
    };
    text.chars().map(fold).collect()
}

fn plain(c: char) -> char {
    let digit = ZEROS.iter().find_map(|zero| {
        let value = u32::from(c).checked_sub(u32::from(*zero)).filter(|value| *value < 10)?;
        char::from_digit(value, 10)
    });
    digit.unwrap_or(match c {
        '\u{2212}' | '\u{ff0d}' | '\u{fe63}' | '\u{2010}' | '\u{2011}' => '-',
        '\u{ff0e}' => '.',
        '\u{2019}' | '\u{ff07}' => '\'',
        '\u{a0}' | '\u{202f}' | '\u{2009}' => '\u{a0}',
        other => other,
    })
}

/// The end of the digits and signs that may be one number.
fn end_of(chars: &[char], start: usize, language: &Language) -> usize {
    let is_digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let is_group = |at: usize| (1..=3).all(|step| is_digit(at + step)) && !is_digit(at + 4);
    let is_spaced = SPACED.contains(&language.primary());
    let mut at = start;
    loop {
        while is_digit(at) {
            at += 1;
        }
        let goes_on = match chars.get(at) {
            Some('.' | ',' | '\u{66b}' | '\u{66c}') => is_digit(at + 1),
            Some('\'' | '\u{a0}') => is_group(at),
            Some(' ') => is_spaced && is_group(at),
            _ => false,
        };
        if !goes_on {
            return at;
        }
        at += 1;
    }
}

/// A power of ten behind the digits, `e5` or `E-3`, and where it ends.
fn exponent(chars: &[char], end: usize) -> (f64, usize) {
    if !matches!(chars.get(end), Some('e' | 'E')) {
        return (1.0, end);
    }
    let sign = usize::from(matches!(chars.get(end + 1), Some('-' | '+')));
    let digits: String = chars[end + 1 + sign..].iter().take_while(|c| c.is_ascii_digit()).collect();
    let after = end + 1 + sign + digits.len();
    let is_word = chars.get(after).is_some_and(|c| c.is_alphabetic());
    match digits.parse::<i32>() {
        Ok(power) if !is_word && power <= 300 => {
            let power = if chars[end + 1] == '-' { -power } else { power };
            (10f64.powi(power), after)
        }
        _ => (1.0, end),
    }
}

/// Reads digits with signs between them; several numbers when the signs part them, as in a date.
fn read(token: &[char], language: &Language) -> Vec<f64> {
    let kept: Vec<char> = token.iter().copied().filter(|c| !matches!(c, '\'' | '\u{a0}' | ' ' | '\u{66c}')).collect();
    let decimal = match decimal_sign(&kept, language) {
        Ok(sign) => sign,
        Err(NoNumber) => return parts(&kept),
    };
    let text: String = kept
        .iter()
        .filter_map(|c| match c {
            digit if digit.is_ascii_digit() => Some(*digit),
            sign if Some(*sign) == decimal => Some('.'),
            _ => None,
        })
        .collect();
    text.parse().into_iter().collect()
}

/// The signs make no number.
struct NoNumber;

/// Which sign stands before the decimals, if any.
fn decimal_sign(kept: &[char], language: &Language) -> Result<Option<char>, NoNumber> {
    if kept.contains(&'\u{66b}') {
        return Ok(Some('\u{66b}'));
    }
    let count = |sign: char| kept.iter().filter(|c| **c == sign).count();
    let last = |sign: char| kept.iter().rposition(|c| *c == sign);
    let is_grouped = |sign: char| {
        let groups: Vec<&[char]> = kept.split(|c| *c == sign).collect();
        let is_first = |group: &[char]| (1..=3).contains(&group.len()) && group[0] != '0';
        let is_later = |group: &&[char]| group.iter().take_while(|c| c.is_ascii_digit()).count() == 3;
        // India groups by two above the thousands.
        let is_indian = |group: &&[char]| group.len() == 2;
        let (first, later) = (groups[0], &groups[1..]);
        let (end, middle) = later.split_last().map_or((&[][..], &[][..]), |(end, middle)| (*end, middle));
        is_first(first) && is_later(&end) && (middle.iter().all(is_later) || middle.iter().all(is_indian))
    };
    match (count('.'), count(',')) {
        (0, 0) => Ok(None),
        (_, 0) | (0, _) => {
            let sign = if count('.') > 0 { '.' } else { ',' };
            match (count(sign), sign == usual(language), is_grouped(sign)) {
                (1, true, _) | (1, false, false) => Ok(Some(sign)),
                (_, _, true) => Ok(None),
                _ => Err(NoNumber),
            }
        }
        _ => {
            let (decimal, group) = if last('.') > last(',') { ('.', ',') } else { (',', '.') };
            let whole = kept.split(|c| *c == decimal).next().unwrap_or_default();
            let is_sound = count(decimal) == 1 && whole.iter().filter(|c| **c == group).count() == count(group);
            if is_sound { Ok(Some(decimal)) } else { Err(NoNumber) }
        }
    }
}

fn usual(language: &Language) -> char {
    let has_comma = COMMA.contains(&language.primary()) || COMMA_TOO.contains(&language.primary());
    if has_comma && !POINT_REGIONS.contains(&language.as_str()) { ',' } else { '.' }
}

fn parts(kept: &[char]) -> Vec<f64> {
    let runs = kept.split(|c| !c.is_ascii_digit());
    runs.filter_map(|run| run.iter().collect::<String>().parse().ok()).collect()
}

/// What stands in the last `\boxed{}`.
fn boxed(text: &str) -> Option<String> {
    let inside = &text[text.rfind("\\boxed{")? + "\\boxed{".len()..];
    let mut depth = 1;
    for (at, c) in inside.char_indices() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return Some(inside[..at].to_owned());
        }
    }
    None
}

/// A number, a fraction or a LaTeX fraction.
fn in_box(inside: &str, language: &Language) -> Option<f64> {
    let text = inside.replace("{,}", ",").replace("\\,", "").replace("\\!", "").replace("\\%", "");
    let is_fraction = text.contains("frac") || text.contains('/');
    let found = numbers(&text, language);
    match found.as_slice() {
        [above, below] if is_fraction && *below != 0.0 => {
            let is_outside = text.trim_start().starts_with('-') && *above > 0.0;
            Some(if is_outside { -above / below } else { above / below })
        }
        _ => found.last().copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(tag: &str, text: &str) -> Option<f64> {
        final_number(text, &Language::parse(tag).unwrap())
    }

    #[test]
    fn conventions_of_languages() {
        let cases = [
            ("en", "It costs $1,234.50.", 1234.5),
            ("en", "about 1,234 people", 1234.0),
            ("en", "1.234 metres", 1.234),
            ("en", "3,5 litres", 3.5),
            ("en", "12,34,567.5 rupees", 1_234_567.5),
            ("hi", "कुल १२,३४,५६७ रुपये", 1_234_567.0),
            ("de", "Das sind 1.234,5 Euro.", 1234.5),
            ("de", "Das sind 1.234 Euro.", 1234.0),
            ("de", "Das sind 0.125 Euro.", 0.125),
            ("de", "3.5 Liter", 3.5),
            ("de-ch", "Das sind 1'234.50 Franken.", 1234.5),
            ("fr", "Il y a 12\u{202f}345,6 habitants", 12_345.6),
            ("ru", "всего 12 345 рублей", 12_345.0),
            ("en", "first 12 345 second", 345.0),
            ("ar", "الجواب ١٬٢٣٤٫٥", 1234.5),
            ("fa", "پاسخ ۴۲ است", 42.0),
            ("bn", "উত্তর ৪২", 42.0),
            ("ja", "答えは１２．５です。", 12.5),
            ("zh", "答案是 −７ 。", -7.0),
            ("zh", "有3，5两个", 5.0),
            ("ja", "全部で１，２３４個", 1234.0),
            ("tr", "Sonuç %12,5'tir, yani 12,5", 12.5),
            ("en", "on 12.03.2024", 2024.0),
            ("en", "1,2,3", 3.0),
            ("en", "5-3", 3.0),
            ("en", "the answer is -3.", -3.0),
            ("en", "6.02e23 molecules", 6.02e23),
            ("en", "room 3east", 3.0),
        ];
        for (tag, text, expected) in cases {
            let found = last(tag, text).unwrap();
            assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{tag}: {text}: {found}, expected {expected}");
        }
        assert_eq!(last("en", "none at all"), None);
    }

    #[test]
    fn boxes_come_first() {
        assert_eq!(last("en", "\\boxed{42} is right, I said in 2024"), Some(42.0));
        assert_eq!(last("de", "\\boxed{1{,}5}"), Some(1.5));
        assert_eq!(last("en", "so \\boxed{-\\frac{3}{4}}"), Some(-0.75));
        assert_eq!(last("en", "\\boxed{3/4}"), Some(0.75));
        assert_eq!(last("en", "\\boxed{\\text{none}}, or 7"), Some(7.0));
        assert_eq!(last("en", "\\boxed{5"), Some(5.0));
    }
}
