//! Exact amounts of money.

use std::{fmt, iter::Sum};

use serde::{Deserialize, Serialize};

const PICO_PER_USD: f64 = 1e12;

/// An amount in units of 1e-12 USD. Sums are exact and stop at about 9.2 million USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PicoUsd(pub i64);

impl PicoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Returns the nearest amount to `usd`; nothing for NaN.
    pub fn from_usd(usd: f64) -> Self {
        Self((usd * PICO_PER_USD).round() as i64)
    }

    /// Returns the amount in USD, for screens and files; exact up to 9,007 USD.
    pub fn usd(self) -> f64 {
        self.0 as f64 / PICO_PER_USD
    }

    /// Returns the sum.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference.
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for PicoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::plus)
    }
}

impl fmt::Display for PicoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / 1_000_000_000_000, self.0.unsigned_abs() % 1_000_000_000_000);
        let digits = format!("{part:012}");
        let digits = digits.trim_end_matches('0');
        write!(f, "{sign}{whole}.{digits:0<2} USD")
    }
}

/// A price in USD per million tokens, exact to 12 decimals. Read from a number or a text such as `"0.075"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "PriceText", into = "f64")]
pub struct PerMillion {
    pico: i64,
}

/// What was given is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no price: expected USD per million tokens, from 0 to 1000000, with at most 12 decimals")]
pub struct PriceError(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum PriceText {
    Number(f64),
    Text(String),
}

impl PerMillion {
    /// Reads a plain decimal number.
    ///
    /// # Errors
    /// When it is none, is out of range or has more than 12 decimals.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let refused = || PriceError(text.to_owned());
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(part) || part.len() > 12 {
            return Err(refused());
        }
        let whole: i64 = whole.parse().map_err(|_| refused())?;
        let part: i64 = format!("{part:0<12}").parse().map_err(|_| refused())?;
        if whole > 1_000_000 {
            return Err(refused());
        }
        Ok(Self { pico: whole * 1_000_000_000_000 + part })
    }

    /// Returns what `n_tokens` cost in units of 1e-18 USD, so that sums of prices are rounded once.
    pub(super) fn atto(self, n_tokens: u64) -> i128 {
        i128::from(self.pico) * i128::from(n_tokens)
    }

    /// Returns the price in USD.
    pub fn usd(self) -> f64 {
        self.pico as f64 / PICO_PER_USD
    }
}

/// Rounds a sum of [`PerMillion::atto`] to the nearest amount, halves up.
pub(super) fn rounded(atto: i128) -> PicoUsd {
    PicoUsd(i64::try_from((atto + 500_000).div_euclid(1_000_000)).unwrap_or(i64::MAX))
}

impl TryFrom<PriceText> for PerMillion {
    type Error = PriceError;

    fn try_from(text: PriceText) -> Result<Self, PriceError> {
        match text {
            // The shortest decimal that is this number: what was written.
            PriceText::Number(number) => Self::parse(&number.to_string()),
            PriceText::Text(text) => Self::parse(text.trim()),
        }
    }
}

impl From<PerMillion> for f64 {
    fn from(price: PerMillion) -> Self {
        price.usd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_exactly() {
        assert_eq!(PicoUsd(1_500_000_000_000).to_string(), "1.50 USD");
        assert_eq!(PicoUsd(-1).to_string(), "-0.000000000001 USD");
        assert_eq!(PicoUsd::ZERO.to_string(), "0.00 USD");
        assert_eq!(PicoUsd::from_usd(0.075).0, 75_000_000_000);
        assert_eq!(PicoUsd::from_usd(f64::NAN), PicoUsd::ZERO);
    }

    #[test]
    fn prices_are_read_as_they_are_written() {
        for (text, pico) in [("0.15", 150_000_000_000), ("3", 3_000_000_000_000), ("0.000000000001", 1)] {
            let read: PerMillion = serde_json::from_str(text).unwrap();
            assert_eq!(read.pico, pico, "{text}");
            assert_eq!(PerMillion::parse(text), Ok(read));
            assert_eq!(serde_json::from_str::<PerMillion>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
        }
        for text in ["-1", "1e3", ".5", "", "1.0000000000001", "1000001", "1,5"] {
            assert_eq!(PerMillion::parse(text), Err(PriceError(text.to_owned())));
        }
    }
}
