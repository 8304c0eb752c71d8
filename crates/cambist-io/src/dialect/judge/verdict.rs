//! How verdicts are read. What cannot be read is missing, never a tie and never a middle grade.

use std::cmp::Ordering;

use cambist_core::completion::FinishReason;

use super::JudgeMode;
use crate::dialect::answer::TeacherAnswer;

/// What a judge says of what it was shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JudgeVerdict {
    /// Of two answers: positive when the first one shown is better, 0 for a tie, -2 to 2.
    Preference(i8),
    /// Of two answers: the probability that the first one shown is better.
    Probability(f64),
    /// Of one answer: its grade.
    Grade(f64),
    /// Of many answers: the place of the best, from 0.
    Best(usize),
}

/// Returns the verdict in a judge's answer about `n_answers` answers; none when it cannot be read.
pub fn read_verdict(mode: JudgeMode, answer: &TeacherAnswer, n_answers: usize) -> Option<JudgeVerdict> {
    let text = answer.text.as_str();
    match mode {
        JudgeMode::PairAbt => last_line(text).map(JudgeVerdict::Preference),
        JudgeMode::PairFive => last_of(text, comparison).map(JudgeVerdict::Preference),
        JudgeMode::PairThree => last_of(text, letter).map(JudgeVerdict::Preference),
        JudgeMode::PairLogprob => probability(answer).map(JudgeVerdict::Probability),
        JudgeMode::Abs10 => grade_of_ten(text).map(JudgeVerdict::Grade),
        JudgeMode::Abs5 => grade_of_five(text).map(JudgeVerdict::Grade),
        JudgeMode::Checklist => picked(answer, n_answers).map(JudgeVerdict::Best),
    }
}

/// The last line that is one of the three words, emphasis and a full stop aside.
fn last_line(text: &str) -> Option<i8> {
    let bare = |line: &'_ str| line.trim().trim_matches(['*', '_', '`', '"', '.', ' ']).to_ascii_uppercase();
    text.lines().rev().find_map(|line| match bare(line).as_str() {
        "A" => Some(1),
        "B" => Some(-1),
        "TIE" => Some(0),
        _ => None,
    })
}

/// The last verdict in double brackets; when there is none, the last one in single brackets.
fn last_of(text: &str, read: fn(&str) -> Option<i8>) -> Option<i8> {
    let upper = text.to_ascii_uppercase();
    let in_brackets = |open: &str, close: &str| -> Option<i8> {
        let pieces = upper.match_indices(open).filter_map(|(at, _)| upper.get(at + open.len()..)?.split(close).next());
        pieces.filter_map(|inside| read(inside.trim())).last()
    };
    in_brackets("[[", "]]").or_else(|| in_brackets("[", "]"))
}

fn comparison(inside: &str) -> Option<i8> {
    match inside {
        "A>>B" | "B<<A" => Some(2),
        "A>B" | "B<A" => Some(1),
        "A=B" | "B=A" => Some(0),
        "B>A" | "A<B" => Some(-1),
        "B>>A" | "A<<B" => Some(-2),
        _ => None,
    }
}

fn letter(inside: &str) -> Option<i8> {
    match inside {
        "A" => Some(1),
        "B" => Some(-1),
        "C" => Some(0),
        _ => None,
    }
}

/// The share of `A` beside `B` among the likeliest first tokens; a label that is absent has none.
fn probability(answer: &TeacherAnswer) -> Option<f64> {
    let first = answer.logprobs.as_ref()?.first()?;
    let own = (first.token.clone(), first.logprob);
    let listed: Vec<&(String, Option<f64>)> =
        if first.top.is_empty() { vec![&own] } else { first.top.iter().collect() };
    let mass = |label: &str| -> f64 {
        let of_label = listed.iter().filter(|(token, _)| token.trim() == label);
        of_label.filter_map(|(_, logprob)| *logprob).map(f64::exp).sum()
    };
    let (first_better, second_better) = (mass("A"), mass("B"));
    let sum = first_better + second_better;
    (sum > 0.0).then(|| first_better / sum)
}

/// The first number in double brackets, else in single ones, when it is a grade.
fn grade_of_ten(text: &str) -> Option<f64> {
    let first = |open: &str, close: &str| {
        let mut pieces =
            text.match_indices(open).filter_map(|(at, _)| text.get(at + open.len()..)?.split(close).next());
        pieces.find_map(plain_number)
    };
    first("[[", "]]").or_else(|| first("[", "]")).filter(|grade| (1.0..=10.0).contains(grade))
}

/// Digits with at most one decimal point, nothing else: `f64` alone would read `inf`.
fn plain_number(text: &str) -> Option<f64> {
    let is_plain =
        text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|_| is_plain)
}

/// `[RESULT] n` at the very end, a full stop or emphasis aside.
fn grade_of_five(text: &str) -> Option<f64> {
    let (_, after) = text.rsplit_once("[RESULT]")?;
    let digits = after.trim_matches([' ', '\n', '\r', '\t', '.', '*', ':', '(', ')', '[', ']']);
    plain_number(digits).filter(|grade| (1.0..=5.0).contains(grade))
}

/// The last line that is a number, `Answer` before it aside, when it is in range; an answer that was cut has not come to
/// its verdict, and a line of its checklist is none.
fn picked(answer: &TeacherAnswer, n_answers: usize) -> Option<usize> {
    let bare = |line: &'_ str| {
        let line = line.trim().trim_matches(['*', '_', '[', ']', '.', '`', '#', '"', ' ']).to_ascii_lowercase();
        line.strip_prefix("answer").unwrap_or(&line).trim().parse::<usize>().ok()
    };
    if answer.finish == FinishReason::Length {
        return None;
    }
    let number = answer.text.lines().rev().find_map(bare)?;
    (1..=n_answers).contains(&number).then(|| number - 1)
}

impl JudgeVerdict {
    /// Returns the verdict as one number, for the ledger: the preference, the probability, the grade, or the place.
    pub fn value(self) -> f64 {
        match self {
            Self::Preference(sign) => f64::from(sign),
            Self::Probability(p) => p,
            Self::Grade(grade) => grade,
            Self::Best(place) => place as f64,
        }
    }

    /// Returns the verdict that [`value`](Self::value) stands for in `mode`.
    pub fn of_value(mode: JudgeMode, value: f64) -> Self {
        match mode {
            JudgeMode::PairAbt | JudgeMode::PairFive | JudgeMode::PairThree => Self::Preference(value as i8),
            JudgeMode::PairLogprob => Self::Probability(value),
            JudgeMode::Abs10 | JudgeMode::Abs5 => Self::Grade(value),
            JudgeMode::Checklist => Self::Best(value as usize),
        }
    }

    /// Returns which of two answers is better, as they were shown: greater when the first is. None for verdicts that
    /// are not of pairs.
    pub fn preference(self) -> Option<Ordering> {
        match self {
            Self::Preference(sign) => Some(sign.cmp(&0)),
            Self::Probability(p) => p.partial_cmp(&0.5),
            Self::Grade(_) | Self::Best(_) => None,
        }
    }
}
