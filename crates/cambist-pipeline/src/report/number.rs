//! Numbers as a reader of any locale can read them.
//!
//! The decimal sign is a point, groups of three are set apart by a narrow no-break space, the minus is a minus and
//! not a hyphen. What is not finite is missing, and is shown as [`MISSING`].

use serde::Serialize;

/// What stands where there is no number.
pub const MISSING: &str = "n/a";

const MINUS: char = '\u{2212}';
const GROUP: char = '\u{202f}';

/// A measured value with its interval and the number of observations behind it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The point estimate, in the unit of the column or axis.
    pub value: f64,
    /// Lower and upper end of the interval, in the same unit; none when there is none to give.
    pub interval: Option<[f64; 2]>,
    /// The number of independent observations (prompts, not prompts times seeds).
    pub n: u64,
}

impl Estimate {
    /// Returns the estimate when its value is finite, without an interval that is not finite.
    pub(crate) fn finite(self) -> Option<Self> {
        let interval = self.interval.filter(|ends| ends.iter().all(|end| end.is_finite()));
        self.value.is_finite().then_some(Self { interval, ..self })
    }

    /// Returns the value and the ends of the interval, those that are finite.
    pub(crate) fn extent(self) -> impl Iterator<Item = f64> {
        self.finite().into_iter().flat_map(|e| [e.value].into_iter().chain(e.interval.into_iter().flatten()))
    }
}

/// Which way a number should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Accuracy, reward, win rate.
    HigherIsBetter,
    /// Loss, cost, regret.
    LowerIsBetter,
    /// Counts and shares.
    Neutral,
}

impl Direction {
    /// Returns the words for it, empty when there is no better.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::HigherIsBetter => "higher is better",
            Self::LowerIsBetter => "lower is better",
            Self::Neutral => "",
        }
    }

    /// Whether `a` is better than `b`; never when there is no better.
    pub(crate) fn prefers(self, a: f64, b: f64) -> bool {
        match self {
            Self::HigherIsBetter => a > b,
            Self::LowerIsBetter => a < b,
            Self::Neutral => false,
        }
    }
}

/// How a number is written: digits after the point, and whether a plus is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Style {
    /// Digits after the decimal point.
    pub digits: usize,
    /// Whether positive numbers carry a plus, as differences should.
    pub signed: bool,
}

impl Style {
    /// Plain numbers with this many digits after the point.
    pub const fn plain(digits: usize) -> Self {
        Self { digits, signed: false }
    }

    /// Differences: numbers that carry their sign.
    pub const fn signed(digits: usize) -> Self {
        Self { digits, signed: true }
    }

    /// Writes one number; from 1e9 on as a power of ten.
    pub fn write(self, value: f64) -> String {
        if !value.is_finite() {
            return MISSING.to_owned();
        }
        let size = if value.abs() >= 1e9 { power_of_ten(value.abs(), 2) } else { grouped(value.abs(), self.digits) };
        // A value that rounds to nothing has no sign.
        let is_zero = !size.bytes().any(|b| (b'1'..=b'9').contains(&b));
        match () {
            () if is_zero => size,
            () if value < 0.0 => format!("{MINUS}{size}"),
            () if self.signed => format!("+{size}"),
            () => size,
        }
    }

    /// Writes an interval, `[low, high]`.
    pub fn write_interval(self, ends: [f64; 2]) -> String {
        format!("[{}, {}]", self.write(ends[0]), self.write(ends[1]))
    }
}

/// Writes a whole number in groups of three.
pub fn count(n: u64) -> String {
    group(&n.to_string())
}

/// Writes a positive number as `2.5×10⁹`, with at most `digits` digits after the point and no idle zeros.
pub(crate) fn power_of_ten(size: f64, digits: usize) -> String {
    let written = format!("{size:.digits$e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let raised: String = exponent.chars().map(raise).collect();
    if mantissa == "1" { format!("10{raised}") } else { format!("{mantissa}\u{d7}10{raised}") }
}

fn raise(c: char) -> char {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    c.to_digit(10).and_then(|d| DIGITS.get(d as usize).copied()).unwrap_or('⁻')
}

fn grouped(size: f64, digits: usize) -> String {
    let written = format!("{size:.digits$}");
    match written.split_once('.') {
        Some((whole, part)) => format!("{}.{part}", group(whole)),
        None => group(&written),
    }
}

/// Groups from five digits on: four read well without.
fn group(whole: &str) -> String {
    if whole.len() < 5 {
        return whole.to_owned();
    }
    let mut out = String::with_capacity(whole.len() * 2);
    for (idx, digit) in whole.chars().enumerate() {
        if idx > 0 && (whole.len() - idx).is_multiple_of(3) {
            out.push(GROUP);
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_a_true_minus_and_no_idle_sign() {
        assert_eq!(Style::plain(1).write(-3.25), "\u{2212}3.2");
        assert_eq!(Style::signed(1).write(3.0), "+3.0");
        assert_eq!(Style::signed(1).write(-0.04), "0.0");
        assert_eq!(Style::signed(0).write(-0.0), "0");
        assert_eq!(Style::signed(1).write_interval([-1.0, 2.0]), "[\u{2212}1.0, +2.0]");
    }

    #[test]
    fn large_numbers_are_grouped_then_powers() {
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(Style::plain(2).write(12_345.678), "12\u{202f}345.68");
        assert_eq!(Style::plain(2).write(-2.5e12), "\u{2212}2.5\u{d7}10¹²");
        assert_eq!(power_of_ten(1e-7, 2), "10⁻⁷");
        assert_eq!(power_of_ten(1e10, 0), "10¹⁰");
    }

    #[test]
    fn what_is_not_finite_is_missing() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Style::plain(1).write(value), MISSING);
            assert_eq!(Estimate { value, interval: None, n: 1 }.finite(), None);
        }
        let half = Estimate { value: 1.0, interval: Some([f64::NAN, 2.0]), n: 1 };
        assert_eq!(half.finite().unwrap().interval, None);
        assert_eq!(half.extent().collect::<Vec<_>>(), [1.0]);
    }
}
