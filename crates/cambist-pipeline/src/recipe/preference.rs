//! Whether a `train` step's objective fits what it reads and where it starts.

use super::{
    Recipe, Step,
    fault::{Fault, Place},
    params::{ObjectiveName, TrainParams},
    parts::Rows,
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
    let sources: Vec<(&str, &Reference)> = sources.into_iter().filter_map(|(key, found)| Some((key, found?))).collect();
    for (key, reference) in &sources {
        let id = &step.id;
        match (recipe.rows_of(reference), reads_pairs, params.objective) {
            (Rows::Others, true, ObjectiveName::Kto) => {
                let what =
                    format!("`{key}` of `{id}` reads `{reference}`, and `{objective}` learns from pairs or labels");
                let remedy = "name what a `select` step makes with `labels:` or `pairs:`, such as `data.labels`";
                fault(key, what, remedy);
            }
            (Rows::Others, true, _) => {
                let what = format!("`{key}` of `{id}` reads `{reference}`, and `{objective}` learns from pairs");
                let remedy = "name the pairs of a `select` step that has `pairs:`, such as `data.pairs`";
                fault(key, what, remedy);
            }
            (Rows::Pairs, false, _) => {
                let what = format!("`{key}` of `{id}` reads the pairs `{reference}`, which `{objective}` cannot");
                fault(key, what, "train with `objective: dpo`, or name a strategy of the step");
            }
            (Rows::Labels, ..) if params.objective != ObjectiveName::Kto => {
                let what = format!("`{key}` of `{id}` reads the labels `{reference}`, which `{objective}` cannot");
                fault(key, what, "train with `objective: kto`, or name the pairs or a strategy of the step");
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
    if sources.iter().any(|(_, reference)| recipe.rows_of(reference) == Rows::Pairs) && !params.tasks.is_empty() {
        let what = format!("`{}` keeps pairs by task, and pairs carry none", step.id);
        fault("tasks", what, "remove `tasks`, or select from the answers to these tasks");
    }
    faults
}
