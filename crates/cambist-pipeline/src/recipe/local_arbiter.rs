//! Whether models that run here are there before they are asked, and are asked for what they give.

use super::{
    Action, Arbiter, PoolMember, Recipe, Step,
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
    let runs_here = arbiter.local.is_some() || arbiter.folder.is_some();
    faults.extend(dtype_fault(place, (&format!("arbiter `{id}`"), arbiter.dtype.is_some() && !runs_here)));
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

/// Returns the fault of a teacher that says in which numbers its weights are kept and has none here.
pub(super) fn teacher_dtype_fault(place: Place, member: &PoolMember) -> Option<Fault> {
    let runs_here = member.local.is_some() || member.folder.is_some();
    dtype_fault(place, (&format!("teacher `{}`", member.id), member.dtype.is_some() && !runs_here))
}

fn dtype_fault(place: Place, (who, is_stray): (&str, bool)) -> Option<Fault> {
    let what = format!("{who} has `dtype` and no model of this process, whose weights it is about");
    is_stray.then(|| Fault::new(place, what, "remove it, or name the model under `local` or `folder`"))
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
