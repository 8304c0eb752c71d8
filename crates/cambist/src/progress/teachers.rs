//! How far each teacher is, in a line of its own or in a few words.

use std::{collections::BTreeMap, time::Duration};

use cambist_pipeline::progress::TeacherProgress;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{clock, round};

/// Columns of a terminal that names take at most.
const NAME_COLUMNS: usize = 24;

/// One line for each teacher, with the name in front: what matters most stands first, because a narrow terminal cuts
/// the end.
pub(super) fn lines(teachers: &BTreeMap<&str, TeacherProgress>, elapsed: Duration) -> Vec<(String, String)> {
    let width = teachers.keys().map(|name| name.width()).max().unwrap_or(0).min(NAME_COLUMNS);
    let line = |(name, at): (&&str, &TeacherProgress)| {
        let parts = [vec![fitted(name, width)], vec![parts(at, elapsed).join(", ")]].concat();
        let languages = languages(at);
        let languages = if languages.is_empty() { languages } else { format!(" | {languages}") };
        ((*name).to_owned(), parts.join("  ") + &languages)
    };
    teachers.iter().map(line).collect()
}

/// All teachers in one line: `alpha 40/100, 8.0 a second, 2 failed; beta 3/100`.
pub(super) fn brief(teachers: &BTreeMap<&str, TeacherProgress>, elapsed: Duration) -> String {
    let one = |(name, at): (&&str, &TeacherProgress)| format!("{name} {}", parts(at, elapsed).join(", "));
    teachers.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What there is to say; nothing is said of what is nothing.
fn parts(at: &TeacherProgress, elapsed: Duration) -> Vec<String> {
    let seconds = elapsed.as_secs_f64();
    let mut parts = vec![format!("{}/{}", at.done, at.total)];
    parts.extend(at.paused.as_ref().map(|why| format!("paused: {why}")));
    if at.done > 0 && at.done < at.total && seconds > 0.2 {
        let rate = at.done as f64 / seconds;
        parts.push(format!("{} a second", round(rate)));
        parts.push(format!("{} left", clock((at.total - at.done) as f64 / rate)));
    }
    let said = [
        (at.failed > 0, format!("{} failed", at.failed)),
        (at.cost_usd > 0.0, format!("{:.4} USD", at.cost_usd)),
        (at.limit > 0 && at.done < at.total, format!("{} of {} in flight", at.in_flight, at.limit)),
        (at.retries > 0, format!("{} retries", at.retries)),
    ];
    parts.extend(said.into_iter().filter(|(is_said, _)| *is_said).map(|(_, words)| words));
    parts
}

/// The count stands before its language, so that a line that is cut shows no wrong count.
fn languages(at: &TeacherProgress) -> String {
    let named = at.languages.iter().filter(|(language, _)| !language.is_empty());
    named.map(|(language, n)| format!("{n} {language}")).collect::<Vec<_>>().join(" ")
}

/// The name in exactly `width` columns of a terminal, wide letters counted twice.
fn fitted(name: &str, width: usize) -> String {
    let mut text = name.to_owned();
    if name.width() > width {
        text.clear();
        for c in name.chars() {
            if text.width() + c.width().unwrap_or(0) + 1 > width {
                break;
            }
            text.push(c);
        }
        text.push('…');
    }
    let space = width.saturating_sub(text.width());
    text + &" ".repeat(space)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(done: u64) -> TeacherProgress {
        TeacherProgress { done, total: 100, ..TeacherProgress::default() }
    }

    #[test]
    fn a_line_says_what_there_is_and_nothing_else() {
        let busy = TeacherProgress {
            failed: 2,
            cost_usd: 0.5,
            in_flight: 3,
            limit: 8,
            retries: 4,
            paused: Some("429".to_owned()),
            languages: BTreeMap::from([("ar".to_owned(), 30), ("ja".to_owned(), 10)]),
            ..at(40)
        };
        let teachers = BTreeMap::from([("日本", busy), ("a", at(0))]);
        let told: Vec<String> = lines(&teachers, Duration::from_secs(5)).into_iter().map(|(_, line)| line).collect();
        assert_eq!(
            told,
            [
                "a     0/100",
                "日本  40/100, paused: 429, 8.0 a second, 8 s left, 2 failed, 0.5000 USD, 3 of 8 in flight, 4 retries | 30 ar 10 ja",
            ]
        );
        assert_eq!(brief(&BTreeMap::from([("a", at(100)), ("b", at(1))]), Duration::ZERO), "a 100/100; b 1/100");
    }

    #[test]
    fn long_names_are_cut_to_columns_and_not_to_letters() {
        assert_eq!(fitted("日本語モデル", 7), "日本語…");
        assert_eq!(fitted("日本語モデル", 6), "日本… ");
        assert_eq!(fitted("ab", 4), "ab  ");
    }
}
