//! From values to places along an axis, with ticks at round numbers.

use serde::Serialize;

use crate::report::number::{Style, power_of_ten};

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Equal differences are equally far apart.
    Linear,
    /// Equal ratios are equally far apart; values that are not positive are missing.
    Log,
}

/// An axis: values from `low` to `high` stand between `start` and `end` (pixels, either way round).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    spacing: Spacing,
}

/// A round number on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: String,
}

/// Beyond this size differences overflow; no measurement comes near.
const LARGEST: f64 = 1e150;
const SMALLEST: f64 = 1e-150;

impl Scale {
    /// Covers all values that the spacing can show, with room for a tick at both ends.
    ///
    /// No value at all gives 0 to 1 (1 to 10 on a log axis); a single value gets a neighbourhood.
    pub(crate) fn over(values: impl IntoIterator<Item = f64>, spacing: Spacing, (start, end): (f64, f64)) -> Self {
        let shown = values.into_iter().filter_map(|value| representable(value, spacing));
        let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = match spacing {
            Spacing::Linear if low > high => (0.0, 1.0),
            Spacing::Linear => widen(low, high),
            Spacing::Log if low > high => (0.0, 1.0),
            Spacing::Log if high - low < 0.1 => (low - 0.15, high + 0.15),
            Spacing::Log => (low - 0.04 * (high - low), high + 0.04 * (high - low)),
        };
        Self { low, high, start, end, spacing }
    }

    /// Runs exactly from `low` to `high`, for axes with a natural end such as 0 to 100 %.
    pub(crate) fn exact((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        Self { low, high, start, end, spacing: Spacing::Linear }
    }

    /// Covers all values from zero on, so that the lengths of bars can be compared.
    pub(crate) fn from_zero(values: impl IntoIterator<Item = f64>, ends: (f64, f64)) -> Self {
        let shown = values.into_iter().filter_map(|value| representable(value, Spacing::Linear));
        let (low, high) = shown.fold((0.0, 0.0), |(low, high): (f64, f64), v| (low.min(v), high.max(v)));
        if low == high { Self::exact((0.0, 1.0), ends) } else { Self::exact((1.04 * low, 1.04 * high), ends) }
    }

    /// Returns the place of a value; none when it is not finite, or not positive on a log axis.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let along = (representable(value, self.spacing)? - self.low) / (self.high - self.low);
        Some(self.start + along * (self.end - self.start))
    }

    /// Returns about `target` ticks at round values inside the axis, in rising order.
    pub(crate) fn ticks(&self, target: usize) -> Vec<Tick> {
        match self.spacing {
            Spacing::Linear => self.linear_ticks(target.max(2)),
            Spacing::Log => self.log_ticks(target.max(2)),
        }
    }

    fn linear_ticks(&self, target: usize) -> Vec<Tick> {
        let step = round_step((self.high - self.low) / target as f64);
        let digits = (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize;
        let largest = self.low.abs().max(self.high.abs());
        let (first, last) = ((self.low / step - 1e-9).ceil(), (self.high / step + 1e-9).floor());
        let n_ticks = (last - first).max(0.0) as usize + 1;
        (0..n_ticks.min(50)).filter_map(|idx| self.tick((first + idx as f64) * step, largest, digits)).collect()
    }

    fn log_ticks(&self, target: usize) -> Vec<Tick> {
        let decades = (self.high - self.low).max(f64::MIN_POSITIVE);
        let mantissas: &[f64] = if decades > target as f64 / 2.0 {
            &[1.0]
        } else if decades > 1.1 {
            &[1.0, 2.0, 5.0]
        } else if decades > 0.4 {
            &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]
        } else {
            &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
        };
        let every = (decades / target as f64).ceil().max(1.0) as usize;
        let first = (self.low / every as f64).floor() as i32 * every as i32;
        let powers = (first..=self.high.ceil() as i32).step_by(every);
        let values = powers.flat_map(|power| mantissas.iter().map(move |m| m * 10f64.powi(power)));
        let inside = values.filter(|v| (self.low - 1e-9..=self.high + 1e-9).contains(&v.log10()));
        // Over many decades all labels are powers of ten, so that they read alike.
        let largest = |v: f64| if decades > 5.0 { f64::INFINITY } else { v };
        inside.filter_map(|v| self.tick(v, largest(v), log_digits(v))).collect()
    }

    fn tick(&self, value: f64, largest: f64, digits: usize) -> Option<Tick> {
        Some(Tick { at: self.place(value)?, label: tick_label(value, largest, digits) })
    }
}

fn representable(value: f64, spacing: Spacing) -> Option<f64> {
    match spacing {
        Spacing::Linear if value.is_finite() => Some(value.clamp(-LARGEST, LARGEST)),
        Spacing::Log if value.is_finite() && value > 0.0 => Some(value.clamp(SMALLEST, LARGEST).log10()),
        _ => None,
    }
}

/// A little air on both sides, and a neighbourhood for a single value.
fn widen(low: f64, high: f64) -> (f64, f64) {
    let span = high - low;
    let least = low.abs().max(high.abs()).max(1e-9) * 1e-9;
    let air = if span > least { 0.04 * span } else { (0.1 * low.abs()).max(0.5) };
    (low - air, high + air)
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.max(f64::MIN_POSITIVE).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough * 0.999).unwrap_or(10.0 * power)
}

/// As many digits as the value needs: those of its power of ten, and one more for a mantissa such as 1.5.
fn log_digits(value: f64) -> usize {
    let power = (value.log10() + 1e-9).floor();
    let mantissa = value / 10f64.powf(power);
    let extra = if (mantissa - mantissa.round()).abs() > 1e-6 { 1.0 } else { 0.0 };
    (extra - power).clamp(0.0, 12.0) as usize
}

fn tick_label(value: f64, largest: f64, digits: usize) -> String {
    let is_plain = (1e-4..1e6).contains(&largest) && digits <= 6 || value == 0.0;
    match is_plain {
        true => Style::plain(digits.min(6)).write(value),
        false if value < 0.0 => format!("\u{2212}{}", power_of_ten(-value, 2)),
        false => power_of_ten(value, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], spacing: Spacing) -> Vec<String> {
        let scale = Scale::over(values.iter().copied(), spacing, (0.0, 100.0));
        scale.ticks(5).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(labels(&[-4.0, 11.0], Spacing::Linear), ["0", "5", "10"]);
        assert_eq!(labels(&[0.0, 1.0], Spacing::Linear), ["0.0", "0.5", "1.0"]);
        assert_eq!(labels(&[2.31, 2.35], Spacing::Linear), ["2.31", "2.32", "2.33", "2.34", "2.35"]);
    }

    #[test]
    fn log_ticks_are_decades_or_their_parts() {
        assert_eq!(labels(&[1.0, 1e4], Spacing::Log), ["1", "10", "100", "1000", "10\u{202f}000"]);
        assert_eq!(labels(&[0.02, 0.3], Spacing::Log), ["0.02", "0.05", "0.1", "0.2"]);
        assert_eq!(labels(&[1e-8, 1e8], Spacing::Log), ["10⁻⁸", "10⁻⁴", "10⁰", "10⁴", "10⁸"]);
        assert_eq!(labels(&[2.0, 2.2], Spacing::Log), ["1.5", "2", "2.5", "3"]);
    }

    #[test]
    fn odd_values_have_axes_too() {
        for values in
            [&[][..], &[f64::NAN], &[0.0], &[7.0], &[-1e300, 1e300], &[1e-300], &[1e9, 1e9 + 1.0], &[f64::MAX]]
        {
            for spacing in [Spacing::Linear, Spacing::Log] {
                let scale = Scale::over(values.iter().copied(), spacing, (0.0, 100.0));
                let ticks = scale.ticks(5);
                assert!((1..=12).contains(&ticks.len()), "{values:?} {spacing:?} {ticks:?}");
                assert!(ticks.iter().all(|t| (-0.01..=100.01).contains(&t.at)), "{values:?} {ticks:?}");
                assert!(ticks.iter().all(|t| t.label.chars().count() < 14), "{values:?} {ticks:?}");
            }
        }
        assert_eq!(Scale::over([1.0], Spacing::Log, (0.0, 1.0)).place(0.0), None);
        assert_eq!(Scale::over([1.0], Spacing::Linear, (0.0, 1.0)).place(f64::NAN), None);
    }

    #[test]
    fn places_run_from_start_to_end_either_way() {
        let up = Scale::over([0.0, 10.0], Spacing::Linear, (100.0, 0.0));
        assert_eq!(up.place(5.0), Some(50.0));
        assert!(up.place(0.0) > up.place(10.0));
    }
}
