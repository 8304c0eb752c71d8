//! Rewards, lengths and failures by teacher and language, and how far two sets of them are apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::WatchedPrompt;
use crate::{language::Language, metrics::holm, reservation::upper_tail};

/// Answers are not compared where one of them weighs more than this share of all: so few say nothing, and the error of a
/// mean that hangs on a few of them cannot be told.
const MAX_SHARE: f64 = 0.05;
/// A difference is alarming where its p-value, after Holm's correction over all of them, is below this.
const ALARMING: f64 = 0.01;

/// What one answer was like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Level {
    /// Reward of a valid answer, on the scale of the language.
    pub reward: Option<f64>,
    /// Tokens of a valid answer.
    pub tokens: Option<u32>,
    /// Whether it is invalid or has no reward.
    pub failed: bool,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Mean reward of valid answers.
    Reward,
    /// Geometric mean of the tokens of valid answers, one more than counted.
    Tokens,
    /// Share of answers that are invalid or have no reward.
    Failures,
}

/// One quantity of one teacher in one language, before and now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// The teacher.
    pub teacher: String,
    /// The language.
    pub language: Language,
    /// What.
    pub quantity: Quantity,
    /// Answers of calibration.
    pub n_before: usize,
    /// Answers of the run.
    pub n_now: usize,
    /// As many equally likely answers of the run would tell as much.
    pub effective: f64,
    /// In calibration.
    pub before: f64,
    /// In the run, answers weighed by one over the probability with which they were asked for.
    pub now: f64,
    /// Two-sided p-value of there being no difference (normal), after Holm's correction over everything that is compared.
    pub p_holm: f64,
    /// Whether that is below 0.01.
    pub is_alarming: bool,
}

impl Shift {
    /// The shift in one sentence without a full stop.
    pub(super) fn told(&self) -> String {
        let Self { teacher, language, before, now, p_holm, .. } = self;
        let (what, from, to) = match self.quantity {
            Quantity::Reward => ("mean reward", format!("{before:.2}"), format!("{now:.2} spreads")),
            Quantity::Tokens => ("typical length", format!("{before:.0}"), format!("{now:.0} tokens")),
            Quantity::Failures => {
                ("share of failures", format!("{:.1}", 100.0 * before), format!("{:.1} %", 100.0 * now))
            }
        };
        let p = if *p_holm < 1e-4 { "p < 0.0001".to_owned() } else { format!("p = {p_holm:.4}") };
        format!("the {what} of `{teacher}` in {language} went from {from} to {to} since calibration ({p})")
    }
}

/// Sums of weighted numbers: all that a weighted mean and its error need.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    n: usize,
    w: f64,
    w2: f64,
    wx: f64,
    w2x: f64,
    w2x2: f64,
    /// The largest weight.
    largest: f64,
}

impl Sums {
    fn add(&mut self, weight: f64, value: f64) {
        let square = weight * weight;
        self.n += 1;
        self.w += weight;
        self.w2 += square;
        self.wx += weight * value;
        self.w2x += square * value;
        self.w2x2 += square * value * value;
        self.largest = self.largest.max(weight);
    }

    fn is_enough(&self) -> bool {
        self.largest <= MAX_SHARE * self.w
    }

    fn mean(&self) -> f64 {
        self.wx / self.w
    }

    /// Kish's effective number.
    fn effective(&self) -> f64 {
        if self.w2 > 0.0 { self.w * self.w / self.w2 } else { 0.0 }
    }

    /// Variance of the self-normalised mean, linearised: `sum w^2 (x - mean)^2 / (sum w)^2`.
    fn variance(&self) -> f64 {
        let mean = self.mean();
        (self.w2x2 - 2.0 * mean * self.w2x + mean * mean * self.w2).max(0.0) / (self.w * self.w)
    }

    /// Variance of a share, which is not 0 where nothing, or everything, failed: one failure and one success are added.
    fn variance_of_share(&self) -> f64 {
        let n = self.effective();
        let share = (n * self.mean() + 1.0) / (n + 2.0);
        share * (1.0 - share) / n
    }
}

/// Sums by language, teacher and quantity.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Levels {
    sums: BTreeMap<(Language, String, Quantity), Sums>,
}

impl Levels {
    pub(super) fn add(&mut self, prompt: &WatchedPrompt) {
        for (teacher, weight, level) in &prompt.answers {
            let mut add = |quantity, value: f64| {
                let key = (prompt.language.clone(), teacher.clone(), quantity);
                self.sums.entry(key).or_default().add(*weight, value);
            };
            add(Quantity::Failures, f64::from(u8::from(level.failed)));
            if let Some(reward) = level.reward.filter(|_| !level.failed) {
                add(Quantity::Reward, reward);
            }
            if let Some(tokens) = level.tokens.filter(|_| !level.failed) {
                add(Quantity::Tokens, (1.0 + f64::from(tokens)).ln());
            }
        }
    }
}

/// Compares everything that both have enough of.
pub(super) fn shifts(before: &Levels, now: &Levels) -> Vec<Shift> {
    let mut shifts: Vec<Shift> =
        before.sums.iter().filter_map(|(key, own)| shift(key, (own, now.sums.get(key)?))).collect();
    let corrected = holm(&shifts.iter().map(|shift| shift.p_holm).collect::<Vec<_>>());
    for (shift, p) in shifts.iter_mut().zip(corrected) {
        (shift.p_holm, shift.is_alarming) = (p, p < ALARMING);
    }
    shifts
}

/// One comparison, with its p-value before correction.
fn shift((language, teacher, quantity): &(Language, String, Quantity), (before, now): (&Sums, &Sums)) -> Option<Shift> {
    if !before.is_enough() || !now.is_enough() {
        return None;
    }
    let variance = |sums: &Sums| match quantity {
        Quantity::Failures => sums.variance_of_share(),
        Quantity::Reward | Quantity::Tokens => sums.variance(),
    };
    let (difference, error) = (now.mean() - before.mean(), (variance(before) + variance(now)).sqrt());
    let p = match (difference == 0.0, error > 0.0) {
        (true, _) => 1.0,
        (false, true) => 2.0 * upper_tail(difference.abs() / error),
        (false, false) => 0.0,
    };
    let shown = |value: f64| if *quantity == Quantity::Tokens { value.exp() } else { value };
    Some(Shift {
        teacher: teacher.clone(),
        language: language.clone(),
        quantity: *quantity,
        n_before: before.n,
        n_now: now.n,
        effective: now.effective(),
        before: shown(before.mean()),
        now: shown(now.mean()),
        p_holm: p,
        is_alarming: false,
    })
}
