//! Under which licence answers stand, those that were made from others included.

use std::{borrow::Cow, collections::BTreeSet};

use cambist_core::{
    completion::Origin,
    license::{self, Permission, permission},
};

use crate::recipe::Recipe;

/// What stands for a licence that nobody named.
const UNKNOWN: &str = "unknown";

/// Returns the licence of an answer of `teacher`: its own, or of a translated or fused answer the strictest of all behind
/// it.
pub(super) fn license_of<'r>(recipe: &'r Recipe, teacher: &str, origin: Option<&Origin>) -> Cow<'r, str> {
    let of_member = |id: &str| {
        let member = recipe.pool.iter().find(|member| member.id == id);
        member.map_or(UNKNOWN, |member| member.license.as_str())
    };
    match origin {
        None => of_member(teacher).into(),
        Some(origin) => strictest(origin.authors().map(|id| of_member(id).to_owned())).into(),
    }
}

/// Returns whether answers that several members of the pool had a hand in may train a model: what the strictest of them
/// allows, by its declaration or its licence.
pub(super) fn permission_of<'a>(recipe: &Recipe, authors: impl IntoIterator<Item = &'a str>) -> Permission {
    let of_member = |id: &str| {
        let member = recipe.pool.iter().find(|member| member.id == id);
        member.map_or((UNKNOWN, None), |member| (member.license.as_str(), member.outputs_may_train))
    };
    license::strictest(authors.into_iter().map(of_member)).unwrap_or(Permission::Unknown)
}

/// Returns the licence that permits least, the first by name among equals; `unknown` of none.
pub(super) fn strictest(licenses: impl IntoIterator<Item = String>) -> String {
    let rank = |license: &String| match permission(license) {
        Permission::Yes => 0,
        Permission::NonCommercial => 1,
        Permission::Unknown => 2,
        Permission::No => 3,
    };
    let licenses: BTreeSet<String> = licenses.into_iter().collect();
    licenses.into_iter().rev().max_by_key(rank).unwrap_or_else(|| UNKNOWN.to_owned())
}
