//! Whether reward models that run here are there before they are asked.

use super::{
    Action, Arbiter, Recipe, Step,
    fault::{Fault, Place},
};

/// Returns the faults of an arbiter that is a model of this process.
pub(super) fn local_faults(place: Place, arbiter: &Arbiter, recipe: &Recipe) -> Vec<Fault> {
    let id = &arbiter.id;
    let mut faults = Vec::new();
    if arbiter.tokens.is_some() && arbiter.local.is_none() && arbiter.folder.is_none() {
        let what = format!("arbiter `{id}` has `tokens` and no model whose logits they have");
        faults.push(Fault::new(place, what, "name the language model under `folder`, or remove them"));
    }
    if let Some(reference) = &arbiter.local {
        let is_trained = |step: &Step| matches!(step.action, Action::Train(_));
        if !recipe.step(&reference.step).is_some_and(is_trained) {
            let what = format!("arbiter `{id}` is `local: {reference}`, which is no `train` step");
            faults.push(Fault::new(place, what, "name the step that trains it, or a model folder under `folder`"));
        }
    }
    faults
}

/// Returns the fault of a step that is scored by a model which is trained at the step or below it.
pub(super) fn order_fault(step: &Step, id: &str, recipe: &Recipe) -> Option<Fault> {
    let place_of = |id: &str| recipe.steps.iter().position(|other| other.id == id);
    let index = place_of(&step.id)?;
    let later = |arbiter: &&Arbiter| {
        let trained = arbiter.local.as_ref().and_then(|reference| place_of(&reference.step));
        trained.is_some_and(|trained| trained >= index)
    };
    let arbiter = recipe.members_of(id).into_iter().find(later)?;
    let reference = arbiter.local.as_ref()?;
    let what = format!("`{}` is scored by `{}`, which `{reference}` trains later", step.id, arbiter.id);
    Some(Fault::new(step.place, what, "steps run from top to bottom: move the training up"))
}
