//! Right or wrong.

use super::{Arbiter, Missing, rouge::tokens};
use crate::{check::fold_answer, completion::Completion, prompt::Prompt, split::fold_text};

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

/// Gives 1 to an answer that equals the reference after [`fold_text`], where case and punctuation do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldedMatch;

impl Arbiter for FoldedMatch {
    fn id(&self) -> String {
        "folded_match".to_owned()
    }

    fn value(&self, prompt: &Prompt, completion: &Completion) -> Result<f64, Missing> {
        let is_equal = folded_reference(prompt)? == fold_text(&completion.text);
        Ok(if is_equal { 1.0 } else { 0.0 })
    }
}

/// Gives 1 to an answer in which the reference stands, whole words of it, after [`fold_text`].
///
/// A word may go on where the script has no spaces: there every letter begins one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contains;

impl Arbiter for Contains {
    fn id(&self) -> String {
        "contains".to_owned()
    }

    fn value(&self, prompt: &Prompt, completion: &Completion) -> Result<f64, Missing> {
        let reference = tokens(&folded_reference(prompt)?);
        if reference.is_empty() {
            return Err(Missing::NoReference);
        }
        let answer = tokens(&fold_text(&completion.text));
        let is_in = answer.windows(reference.len()).any(|words| words == reference);
        Ok(if is_in { 1.0 } else { 0.0 })
    }
}

fn folded_reference(prompt: &Prompt) -> Result<String, Missing> {
    let reference = prompt.reference.as_deref().map(fold_text).filter(|text| !text.is_empty());
    reference.ok_or(Missing::NoReference)
}
