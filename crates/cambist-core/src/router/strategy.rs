//! Strategies by their names.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{All, Fallback, Fixed, Random, Router, Single, SingleBestOfN};

/// A strategy as recipes and reports name it: `single:TEACHER`, `single_bon:TEACHER,N`, `random`, `fixed` or `all`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Strategy {
    /// One teacher for everything.
    Single {
        /// Whom it asks.
        teacher: String,
    },
    /// The best of several answers of one teacher.
    SingleBestOfN {
        /// Whom it asks.
        teacher: String,
        /// How many answers it asks for, at least 1.
        n_samples: u32,
    },
    /// A teacher by lot.
    Random,
    /// The best of the language on the calibration split.
    Fixed,
    /// The best answer of everyone.
    All,
}

/// Why a name makes no router.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// The name is not known.
    #[error(
        "`{0}` is no strategy: expected `single:TEACHER`, `single_bon:TEACHER,N` with N of at least 1, `random`, `fixed` or `all`"
    )]
    Unknown(String),
    /// The strategy has to be calibrated first.
    #[error("strategy `{0}` needs a calibration: score the pool's answers on a split of their own first")]
    Uncalibrated(Strategy),
}

/// What routers need beside their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setting {
    /// Keys the lots; default 0.
    pub seed: u64,
    /// What follows an invalid answer, for strategies with an order of teachers; default nothing.
    pub fallback: Fallback,
    /// The calibrated table, for `fixed`.
    pub fixed: Option<Fixed>,
}

impl Strategy {
    /// Whether it needs scored answers of a calibration split.
    pub fn needs_calibration(&self) -> bool {
        matches!(self, Self::Fixed)
    }

    /// Returns the router that the name stands for.
    ///
    /// # Errors
    /// When the strategy needs a calibration and the setting has none.
    pub fn router(&self, setting: &Setting) -> Result<Box<dyn Router>, StrategyError> {
        let Setting { seed, fallback, fixed } = setting.clone();
        Ok(match self.clone() {
            Self::Single { teacher } => Box::new(Single { teacher }),
            Self::SingleBestOfN { teacher, n_samples } => Box::new(SingleBestOfN { teacher, n_samples }),
            Self::Random => Box::new(Random { seed, fallback }),
            Self::Fixed => {
                let calibrated = fixed.ok_or_else(|| StrategyError::Uncalibrated(self.clone()))?;
                Box::new(Fixed { fallback, ..calibrated })
            }
            Self::All => Box::new(All),
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single { teacher } => write!(f, "single:{teacher}"),
            Self::SingleBestOfN { teacher, n_samples } => write!(f, "single_bon:{teacher},{n_samples}"),
            Self::Random => f.write_str("random"),
            Self::Fixed => f.write_str("fixed"),
            Self::All => f.write_str("all"),
        }
    }
}

impl FromStr for Strategy {
    type Err = StrategyError;

    /// Reads a name; the number of samples stands after the last comma, so that teachers may have one in theirs.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || StrategyError::Unknown(name.to_owned());
        let (kind, arguments) = name.split_once(':').unwrap_or((name, ""));
        match (kind, arguments) {
            ("random", "") if !name.contains(':') => Ok(Self::Random),
            ("fixed", "") if !name.contains(':') => Ok(Self::Fixed),
            ("all", "") if !name.contains(':') => Ok(Self::All),
            ("single", teacher) if !teacher.is_empty() => Ok(Self::Single { teacher: teacher.to_owned() }),
            ("single_bon", arguments) => {
                let (teacher, n_samples) = arguments.rsplit_once(',').ok_or_else(unknown)?;
                let n_samples = n_samples.trim().parse().ok().filter(|n| *n > 0).ok_or_else(unknown)?;
                let teacher =
                    Some(teacher.trim()).filter(|teacher| !teacher.is_empty()).ok_or_else(unknown)?.to_owned();
                Ok(Self::SingleBestOfN { teacher, n_samples })
            }
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Strategy {
    type Error = StrategyError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<Strategy> for String {
    fn from(strategy: Strategy) -> Self {
        strategy.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_are_those_of_the_routers() {
        let fixed = Fixed { table: Default::default(), calibration: Default::default(), fallback: Fallback::None };
        let setting = Setting { fixed: Some(fixed), ..Setting::default() };
        for name in
            ["single:aya", "single:org/model:free", "single_bon:aya,9", "single_bon:a,b,2", "random", "fixed", "all"]
        {
            let strategy: Strategy = name.parse().unwrap();
            assert_eq!(strategy.to_string(), name);
            assert_eq!(strategy.router(&setting).unwrap().strategy(), name);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in
            ["", "best", "single", "single:", "single_bon:aya", "single_bon:aya,0", "single_bon:,3", "random:", "all:x"]
        {
            assert_eq!(name.parse::<Strategy>(), Err(StrategyError::Unknown(name.into())));
        }
        let uncalibrated = Strategy::Fixed.router(&Setting::default()).map(|router| router.strategy());
        assert_eq!(uncalibrated, Err(StrategyError::Uncalibrated(Strategy::Fixed)));
    }
}
