//! Whether the numbers of a `select` step's labels mean something.

use super::{
    Step,
    fault::{Fault, Place},
    params::SelectParams,
};

/// Returns the number that is outside its range, if any; `place` finds a word of the step.
pub(super) fn label_fault(step: &Step, params: &SelectParams, place: impl Fn(&str) -> Place) -> Option<Fault> {
    let error = params.labels.as_ref()?.check().err()?;
    let remedy = match error.key {
        "prompt-share" | "language-share" => "0.25 takes the best and the worst quarter",
        "language-quantile" => "0.5 is the median",
        "at-least" => "take a reward of the arbiter's scale",
        _ => "0 leaves nothing out",
    };
    Some(Fault::new(place(error.key), format!("`{}`: {error}", step.id), remedy))
}
