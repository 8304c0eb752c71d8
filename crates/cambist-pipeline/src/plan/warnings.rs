//! What is allowed, and known to mislead: arbiters of the same family as those whom they judge or who judge after them.

use std::collections::BTreeSet;

use super::Plan;
use crate::recipe::{Action, Arbiter, PoolMember, Recipe, Reference, fusion::fuse_warnings};

impl Plan {
    /// Returns what the recipe does that is allowed and known to mislead, one sentence each, in the order of the
    /// steps.
    ///
    /// Told are arbiters of a teacher's `family` (models prefer what sounds like themselves) and evaluating arbiters of
    /// the family of one that chose the answers to train on; of fusions, tasks whose best answer nobody can know, and
    /// fusors that may hardly write anything.
    pub fn warnings(&self) -> Vec<String> {
        warnings(&self.recipe)
    }
}

pub(super) fn warnings(recipe: &Recipe) -> Vec<String> {
    let mut told = Vec::new();
    for step in &recipe.steps {
        match &step.action {
            Action::Generate(params) => {
                let judges = params.arbiter.as_deref().map(|id| recipe.members_of(id)).unwrap_or_default();
                told.extend(self_preference(&judges, &teachers(recipe, &params.teachers)));
            }
            Action::Score(params) => {
                let asked = asked_by(recipe, &params.from);
                told.extend(self_preference(&recipe.members_of(&params.arbiter), &teachers(recipe, asked)));
            }
            Action::Fuse(params) => {
                told.extend(fuse_warnings(recipe, step, params));
                let judges = params.arbiter.as_deref().map(|id| recipe.members_of(id)).unwrap_or_default();
                told.extend(self_preference(&judges, &teachers(recipe, std::slice::from_ref(&params.fusor))));
            }
            Action::Evaluate(params) => told.extend(same_eyes(recipe, &recipe.members_of(&params.arbiter))),
            _ => {}
        }
    }
    let mut seen = BTreeSet::new();
    told.retain(|warning| seen.insert(warning.clone()));
    told
}

fn teachers<'a>(recipe: &'a Recipe, asked: &[String]) -> Vec<&'a PoolMember> {
    recipe.pool.iter().filter(|member| asked.is_empty() || asked.contains(&member.id)).collect()
}

fn asked_by<'a>(recipe: &'a Recipe, reference: &Reference) -> &'a [String] {
    match recipe.step(&reference.step).map(|step| &step.action) {
        Some(Action::Generate(params)) => &params.teachers,
        _ => &[],
    }
}

fn self_preference(judges: &[&Arbiter], asked: &[&PoolMember]) -> Vec<String> {
    let mut told = Vec::new();
    for (judge, family) in judges.iter().filter_map(|judge| Some((judge, judge.family.as_ref()?))) {
        for teacher in asked.iter().filter(|teacher| teacher.family.as_ref() == Some(family)) {
            let (judge, teacher) = (&judge.id, &teacher.id);
            told.push(format!(
                "self_preference: arbiter `{judge}` scores teacher `{teacher}`, both of the family `{family}`; models \
                 prefer answers that sound like their own: add an arbiter of another family"
            ));
        }
    }
    told
}

fn same_eyes(recipe: &Recipe, evaluators: &[&Arbiter]) -> Vec<String> {
    let chosen_by = recipe.steps.iter().flat_map(|step| match &step.action {
        Action::Generate(params) => params.arbiter.as_deref().map(|id| recipe.members_of(id)).unwrap_or_default(),
        Action::Fuse(params) => params.arbiter.as_deref().map(|id| recipe.members_of(id)).unwrap_or_default(),
        Action::Score(params) => recipe.members_of(&params.arbiter),
        _ => Vec::new(),
    });
    let mut told = Vec::new();
    for chooser in chosen_by {
        let Some(family) = &chooser.family else { continue };
        for evaluator in evaluators.iter().filter(|evaluator| evaluator.family.as_ref() == Some(family)) {
            let (chooser, evaluator) = (&chooser.id, &evaluator.id);
            told.push(format!(
                "arbiter_family: arbiter `{evaluator}` evaluates what arbiter `{chooser}` chose, both of the family \
                 `{family}`; what one overrates the other does too: evaluate with another family"
            ));
        }
    }
    told
}
