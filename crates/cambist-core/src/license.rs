//! What a licence says about training on a model's answers.

use serde::{Deserialize, Serialize};

/// Whether answers may train a model. The order is from free to strict: the strictest row rules a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// For any use.
    Yes,
    /// For research and other non-commercial use.
    NonCommercial,
    /// The licence says nothing that is known here.
    Unknown,
    /// Not at all.
    No,
}

/// Licences and their families (the part before the version) that let answers train any model.
const FREE: [&str; 18] = [
    "0bsd",
    "apache",
    "bsd",
    "bsl",
    "cc-by",
    "cc-by-sa",
    "cc-pdm",
    "cc0",
    "cdla-permissive",
    "isc",
    "mit",
    "mit-0",
    "mpl",
    "odc-by",
    "openrail",
    "pddl",
    "unlicense",
    "zlib",
];

/// Reads an SPDX licence identifier, or the words `none` and `proprietary`, which allow nothing.
///
/// A choice (`A OR B`) is read as its freer side; a model maker's own licence (`gemma`, `llama3.1`) is unknown, because
/// its terms change from release to release.
pub fn permission(license: &str) -> Permission {
    let folded = license.trim().to_ascii_lowercase();
    folded.split(" or ").map(|side| one(side.trim())).min().unwrap_or(Permission::Unknown)
}

/// Returns what the strictest of some licences allows, which rules a set of rows under all of them; none of no licence.
///
/// A row whose teacher says itself whether its answers may train a model (`declared`) is not read by its licence.
pub fn strictest<'a>(rows: impl IntoIterator<Item = (&'a str, Option<Permission>)>) -> Option<Permission> {
    rows.into_iter().map(|(license, declared)| declared.unwrap_or_else(|| permission(license))).max()
}

fn one(license: &str) -> Permission {
    let is_version = |part: &str| part.starts_with(|c: char| c.is_ascii_digit()) && part != "0bsd";
    let n_of_name: usize = license.split('-').take_while(|part| !is_version(part)).map(|part| part.len() + 1).sum();
    let family = license.get(..n_of_name.saturating_sub(1)).unwrap_or(license);
    if license.split('-').any(|part| part == "nc") {
        Permission::NonCommercial
    } else if matches!(license, "none" | "proprietary" | "no") {
        Permission::No
    } else if FREE.contains(&family) || FREE.contains(&license) {
        Permission::Yes
    } else {
        Permission::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_row_rules_a_set() {
        let rows = [("Apache-2.0", None), ("CC-BY-NC-4.0", None), ("gemma", Some(Permission::Yes))];
        assert_eq!(strictest(rows), Some(Permission::NonCommercial));
        assert_eq!(strictest(rows.into_iter().rev()), Some(Permission::NonCommercial));
        assert_eq!(strictest([]), None);
    }

    #[test]
    fn licences_of_real_models() {
        let cases = [
            ("Apache-2.0", Permission::Yes),
            ("MIT", Permission::Yes),
            ("CC0-1.0", Permission::Yes),
            ("BSD-3-Clause", Permission::Yes),
            ("CC-BY-4.0", Permission::Yes),
            ("CC-BY-NC-4.0", Permission::NonCommercial),
            ("cc-by-nc-sa-4.0", Permission::NonCommercial),
            ("gemma", Permission::Unknown),
            ("llama3.1", Permission::Unknown),
            ("", Permission::Unknown),
            ("proprietary", Permission::No),
            ("CC-BY-NC-4.0 OR Apache-2.0", Permission::Yes),
        ];
        for (license, expected) in cases {
            assert_eq!(permission(license), expected, "{license}");
        }
    }
}
