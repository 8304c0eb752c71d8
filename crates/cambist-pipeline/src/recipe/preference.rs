//! Whether a `train` step's objective fits what it reads and where it starts.

use super::{
    Action, Recipe, Step,
    fault::{Fault, Place},
    params::{ObjectiveName, TrainParams},
    parts::PAIRS,
    reference::Reference,
};

/// Returns what does not fit; `place` finds a word of the step.
pub(super) fn objective_faults(
    (step, params): (&Step, &TrainParams),
    recipe: &Recipe,
    place: impl Fn(&str) -> Place,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |key: &str, what: String, remedy: &str| faults.push(Fault::new(place(key), what, remedy));
    let needs_reference = match params.resolve_objective() {
        Ok(objective) => objective.needs_reference(),
        Err(found) => {
            fault(found.key, format!("`{}`: {}", step.id, found.what), &found.remedy);
            return faults;
        }
    };
    let (objective, reads_pairs) = (params.objective.name(), params.objective.reads_pairs());
    let sources = [("data", params.data.as_ref()), ("held_out", params.held_out.as_ref())];
    for (key, reference) in sources.into_iter().filter_map(|(key, reference)| Some((key, reference?))) {
        match (reads_pairs, reference.part.as_deref() == Some(PAIRS) && makes_pairs(recipe, reference)) {
            (true, false) => {
                let what = format!("`{key}` of `{}` reads `{reference}`, and `{objective}` learns from pairs", step.id);
                let remedy = "name the pairs of a `select` step that has `pairs:`, such as `data.pairs`";
                fault(key, what, remedy);
            }
            (false, true) => {
                let what =
                    format!("`{key}` of `{}` reads the pairs `{reference}`, which `{objective}` cannot", step.id);
                fault(key, what, "train with `objective: dpo`, or name a strategy of the step");
            }
            _ => {}
        }
    }
    if needs_reference && params.new.is_some() {
        let what = format!("`{}` compares with the model that it starts from, and a new model knows nothing", step.id);
        fault("new", what, "start from a model that answers: `base` or `base_folder`");
    }
    if !needs_reference && params.reference_model.is_some() {
        let what = format!("`{}`: `reference_model` has no meaning beside `objective: {objective}`", step.id);
        fault("reference_model", what, "remove it: this objective compares with no other model");
    }
    if params.objective == ObjectiveName::Reward && params.lora.is_some() {
        let what = format!("`{}` trains an adapter, which has no place for a reward head", step.id);
        fault("lora", what, "remove `lora`: a reward model is trained whole");
    }
    if reads_pairs && !params.tasks.is_empty() {
        let what = format!("`{}` keeps pairs by task, and pairs carry none", step.id);
        fault("tasks", what, "remove `tasks`, or select from the answers to these tasks");
    }
    faults
}

fn makes_pairs(recipe: &Recipe, reference: &Reference) -> bool {
    let action = recipe.step(&reference.step).map(|step| &step.action);
    matches!(action, Some(Action::Select(params)) if params.pairs.is_some())
}
