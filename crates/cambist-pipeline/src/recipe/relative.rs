//! Whether arbiters that compare answers stand only where a value may mean something inside one prompt alone.

use super::{
    Action, Arbiter, Compare, Recipe, Step,
    decode::unknown,
    fault::{Fault, Place},
    panel::{CombineWord, PanelManner},
    params::EvaluateParams,
    reference::Reference,
};
use cambist_core::ensemble::Normalize;

/// Returns the faults of an arbiter that compares answers, or of a panel that has one among its members.
pub(super) fn relative_faults(place: Place, arbiter: &Arbiter, recipe: &Recipe) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(Compare::Baseline(teacher)) = arbiter.judge.as_ref().map(|judge| &judge.compare) {
        let pool = recipe.pool.iter().map(|member| member.id.as_str());
        let known: Vec<&str> = pool.chain(recipe.named_answers().map(|(_, name)| name)).collect();
        if !known.contains(&teacher.as_str()) {
            faults.push(unknown(place, ("teacher under `baseline`", teacher), &known));
        }
    }
    if let Some(panel) = &arbiter.ensemble
        && pools_raw_values(panel)
        && let Some(member) = recipe.members_of(&arbiter.id).into_iter().find(|member| member.is_relative())
    {
        let what = format!(
            "panel `{}` takes `{}`, which compares answers to one prompt, on a scale of many prompts",
            arbiter.id, member.id
        );
        faults.push(Fault::new(place, what, "set `normalize: prompt`, or combine by `borda`, `rank-mean` or `vote`"));
    }
    faults
}

/// Whether a panel reads values on the scale of a language.
fn pools_raw_values(panel: &PanelManner) -> bool {
    let by_value = matches!(panel.combine, CombineWord::Mean | CombineWord::Lcb { .. } | CombineWord::Min);
    by_value && panel.normalize == Normalize::Language
}

/// Returns the fault of an `evaluate` step that compares answers with nobody's, or all of them at once.
pub(super) fn evaluate_fault(step: &Step, params: &EvaluateParams, recipe: &Recipe) -> Option<Fault> {
    let arbiter = recipe.members_of(&params.arbiter).into_iter().find(|member| member.is_relative())?;
    let id = &arbiter.id;
    if !arbiter.is_pairwise() {
        let what = format!("`{}` is scored by `{id}`, which says what is best among all answers to a prompt", step.id);
        let remedy = "students are compared two by two: take a judge with `pair-abt`, or an arbiter of one answer";
        return Some(Fault::new(step.place, what, remedy));
    }
    let what = format!("`{}` has a judge that compares answers (`{id}`) and no `against`", step.id);
    let remedy = "name the variant that the others are compared with: `against: VARIANT`";
    params.against.is_none().then(|| Fault::new(step.place, what, remedy))
}

/// Returns the faults of a safety gate whose scores come from comparisons.
pub(super) fn safety_faults<'r>(
    step: &Step,
    safety: impl Iterator<Item = &'r Reference>,
    recipe: &Recipe,
) -> Vec<Fault> {
    let fault = |reference: &Reference| {
        let Action::Score(scored) = &recipe.step(&reference.step)?.action else { return None };
        let member = recipe.members_of(&scored.arbiter).into_iter().find(|member| member.is_relative())?;
        let what =
            format!("the safety scores `{reference}` of `{}` are by `{}`, which compares answers", step.id, member.id);
        let remedy = "the better of two unsafe answers is unsafe: score with a grade (`abs-10`) or a safety model";
        Some(Fault::new(step.place, what, remedy))
    };
    safety.filter_map(fault).collect()
}
