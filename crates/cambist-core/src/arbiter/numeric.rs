//! Numbers as answers: the last one that an answer names, in the digits and conventions of its language.

mod reading;

pub use reading::{final_number, numbers};

use serde::{Deserialize, Serialize};

use super::{Arbiter, Missing};
use crate::{completion::Completion, prompt::Prompt};

/// Gives 1 to an answer whose last number equals that of the reference, and 0 to any other.
///
/// `\boxed{}` comes before the last number. A reference that is nothing but a number with a decimal point
/// (`1234.5`) is read as such, whatever the language; any other one as its language writes numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumericAnswer {
    /// Numbers are equal that differ by at most this much, relative to the reference where that is above 1;
    /// default 1e-6.
    pub tolerance: f64,
}

impl Default for NumericAnswer {
    fn default() -> Self {
        Self { tolerance: 1e-6 }
    }
}

impl Arbiter for NumericAnswer {
    fn id(&self) -> String {
        format!("numeric|tol:{}", self.tolerance)
    }

    fn value(&self, prompt: &Prompt, completion: &Completion) -> Result<f64, Missing> {
        let language = prompt.expected_language();
        let plain = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let read = |text: &str| plain(text).or_else(|| final_number(text, language));
        let wanted = prompt.reference.as_deref().and_then(read).ok_or(Missing::NoReference)?;
        let found = final_number(&completion.text, language);
        let is_equal = found.is_some_and(|found| (found - wanted).abs() <= self.tolerance * wanted.abs().max(1.0));
        Ok(if is_equal { 1.0 } else { 0.0 })
    }
}
