//! Right or wrong.

use super::{Arbiter, Missing};
use crate::{check::fold_answer, completion::Completion, prompt::Prompt};

/// Gives 1 to an answer that the prompt's checker accepts and 0 to any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExactChecker;

impl Arbiter for ExactChecker {
    fn id(&self) -> String {
        "exact".to_owned()
    }

    fn value(&self, prompt: &Prompt, completion: &Completion) -> Result<f64, Missing> {
        let check = prompt.check.as_ref().ok_or(Missing::NoCheck)?;
        Ok(if check.accepts(&completion.text) { 1.0 } else { 0.0 })
    }
}

/// Gives 1 to an answer that equals the reference, as [`fold_answer`] compares, and 0 to any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExactMatch;

impl Arbiter for ExactMatch {
    fn id(&self) -> String {
        "exact_match".to_owned()
    }

    fn value(&self, prompt: &Prompt, completion: &Completion) -> Result<f64, Missing> {
        let reference = prompt.reference.as_deref().map(fold_answer).filter(|text| !text.is_empty());
        let is_equal = reference.ok_or(Missing::NoReference)? == fold_answer(&completion.text);
        Ok(if is_equal { 1.0 } else { 0.0 })
    }
}
