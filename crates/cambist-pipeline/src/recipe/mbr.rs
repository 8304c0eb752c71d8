//! Answers that vote for each other, as a recipe declares it, and whether they can.

use cambist_core::gates::Gates;
use serde::{Deserialize, Serialize};

use super::{
    Arbiter, Recipe, Step,
    decode::unknown,
    fault::{Fault, Place},
    reference::Reference,
    references::Kind,
};

/// Minimum Bayes risk: how the answers to a prompt are measured against each other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MbrManner {
    /// What an answer must pass for others to be measured against it; all gates but length and safety by default. An
    /// answer that does not pass is scored all the same.
    pub gates: Gates,
    /// Answers that support others and can never win; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceManner>,
}

/// Answers of another step to the same prompts, that support answers and are none of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceManner {
    /// The step that made them: `generate`, or `translate` with `answers`.
    pub from: Reference,
    /// How much one of them weighs beside an answer's 1; above 0, 1 by default.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}

/// Returns the faults of an arbiter that measures answers against each other.
pub(super) fn mbr_faults(place: Place, arbiter: &Arbiter, recipe: &Recipe) -> Vec<Fault> {
    let Some(manner) = &arbiter.mbr else { return Vec::new() };
    let id = &arbiter.id;
    let mut faults = Vec::new();
    if manner.gates.safety.is_some() {
        let what = format!("arbiter `{id}` has a safety gate, and reads no safety scores");
        faults.push(Fault::new(place, what, "leave it to the `select` step"));
    }
    let Some(EvidenceManner { from, weight }) = &manner.evidence else { return faults };
    if !(weight.is_finite() && *weight > 0.0) {
        let what = format!("arbiter `{id}`: the `weight` of its evidence is {weight}");
        faults.push(Fault::new(place, what, "give a number above 0; an answer to the prompt weighs 1"));
    }
    let known: Vec<&str> =
        recipe.steps.iter().filter(|step| makes_answers(step)).map(|step| step.id.as_str()).collect();
    if !known.contains(&from.step.as_str()) {
        faults.push(unknown(place, ("step that makes answers", &from.step), &known));
    }
    faults
}

fn makes_answers(step: &Step) -> bool {
    Kind::of(&step.action) == Kind::Completions
}

/// Returns the fault of a step that is scored with evidence which is made at the step or below it.
pub(super) fn evidence_fault(step: &Step, id: &str, recipe: &Recipe) -> Option<Fault> {
    let place_of = |id: &str| recipe.steps.iter().position(|other| other.id == id);
    let index = place_of(&step.id)?;
    let evidence = |arbiter: &Arbiter| Some(arbiter.mbr.as_ref()?.evidence.as_ref()?.from.clone());
    let members = recipe.members_of(id).into_iter();
    let (arbiter, from) = members
        .filter_map(|arbiter| Some((arbiter, evidence(arbiter)?)))
        .find(|(_, from)| place_of(&from.step).is_some_and(|made| made >= index))?;
    let what = format!("`{}` is scored by `{}`, whose evidence `{from}` is not made before it", step.id, arbiter.id);
    Some(Fault::new(step.place, what, "steps run from top to bottom: move the evidence up, or score in a `score` step"))
}
