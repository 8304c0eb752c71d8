//! Whether reward models that run here are there before they are asked, and are asked for nothing but rewards.

use super::{
    Action, Arbiter, Recipe, Step,
    fault::{Fault, Place},
    params::ObjectiveName,
    reference::Reference,
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
        let trained = recipe.step(&reference.step).and_then(|step| match &step.action {
            Action::Train(params) => Some(params.objective),
            _ => None,
        });
        let fault = match (trained, arbiter.tokens.is_some()) {
            (None, _) => Some(("is no `train` step", "name the step that trains it, or a model folder under `folder`")),
            (Some(ObjectiveName::Reward), true) => {
                Some(("trains a reward head, which has no logits of tokens", "remove `tokens`"))
            }
            (Some(objective), false) if objective != ObjectiveName::Reward => Some((
                "trains a language model, which gives no reward by itself",
                "train it with `objective: reward`, or say under `tokens` whose logit is the reward",
            )),
            _ => None,
        };
        if let Some((which, remedy)) = fault {
            let what = format!("arbiter `{id}` is `local: {reference}`, which {which}");
            faults.push(Fault::new(place, what, remedy));
        }
    }
    faults
}

/// Whether a step trains reward models.
fn trains_rewards(step: &Step) -> bool {
    matches!(&step.action, Action::Train(params) if params.objective == ObjectiveName::Reward)
}

/// Returns the fault of a reward model that is to write answers; `who` names it.
pub(super) fn answering_fault(place: Place, (who, reference): (&str, &Reference), recipe: &Recipe) -> Option<Fault> {
    let step = recipe.step(&reference.step).filter(|step| trains_rewards(step))?;
    let what = format!("{who} is `{reference}`, and `{}` trains reward models, which write no answers", step.id);
    Some(Fault::new(place, what, "name a model that was trained with another objective, or list it under `arbiters`"))
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
