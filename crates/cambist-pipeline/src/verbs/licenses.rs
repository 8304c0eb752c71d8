//! Under which licence answers stand, those that were made from others included.

use std::{borrow::Cow, collections::BTreeSet};

use cambist_core::{
    completion::Origin,
    license::{Permission, permission},
};

use crate::recipe::Recipe;

/// What stands for a licence that nobody named.
const UNKNOWN: &str = "unknown";

/// Returns the licence of an answer of `teacher`: its own, or of a translated answer the stricter of its author's and its
/// translator's.
pub(super) fn license_of<'r>(recipe: &'r Recipe, teacher: &str, origin: Option<&Origin>) -> Cow<'r, str> {
    let of_member = |id: &str| {
        let member = recipe.pool.iter().find(|member| member.id == id);
        member.map_or(UNKNOWN, |member| member.license.as_str())
    };
    match origin {
        None => of_member(teacher).into(),
        Some(origin) => {
            let both = [Some(&origin.teacher), origin.mt_engine.as_ref()].into_iter().flatten();
            strictest(both.map(|id| of_member(id).to_owned())).into()
        }
    }
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
