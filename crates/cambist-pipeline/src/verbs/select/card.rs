//! The dataset card: a README as the Hugging Face Hub reads it.

use std::{collections::BTreeSet, fmt::Write};

use cambist_core::{license::Permission, pairs::Pairs};

use super::datasets::Sets;
use crate::recipe::params::SelectParams;

/// Returns the card of the sets.
pub(super) fn card(sets: &Sets<'_>, params: &SelectParams, pairs: Option<&Pairs>) -> String {
    let rows = sets.matrix.rows();
    let languages: BTreeSet<&str> = rows.iter().map(|row| row.prompt.language.primary()).collect();
    let teachers: BTreeSet<&str> =
        rows.iter().flat_map(|row| &row.candidates).map(|c| c.completion.teacher.as_str()).collect();
    let sources: BTreeSet<&str> = rows.iter().map(|row| row.prompt.source.as_str()).collect();
    let mut text = front_matter(sets, &languages, pairs.is_some());
    let recipe = &sets.recipe.name;
    let _ = writeln!(text, "# {recipe}: answers kept by {} strategies\n", sets.aligned.len());
    let _ = writeln!(
        text,
        "Made by cambist {} from the recipe `{recipe}`. Each prompt was answered by a pool of teachers; \
         each strategy kept at most one answer per prompt.\n",
        env!("CARGO_PKG_VERSION")
    );
    let _ = writeln!(text, "| strategy | router | rows |\n| --- | --- | --: |");
    for (name, strategy) in sets.aligned {
        let router = params.strategies.get(name).map(|s| serde_json::json!(s.router).to_string()).unwrap_or_default();
        let _ = writeln!(text, "| {name} | `{}` | {} |", router.trim_matches('"'), strategy.prompt_ids.len());
    }
    if let Some(pairs) = pairs {
        let _ = writeln!(text, "\nPreference pairs over all answers: {}.", pairs.pairs.len());
    }
    let listed =
        |names: &BTreeSet<&str>| names.iter().copied().filter(|n| !n.is_empty()).collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        text,
        "\n- Languages: {}\n- Teachers: {}\n- Prompts from: {}",
        listed(&languages),
        listed(&teachers),
        listed(&sources)
    );
    let _ = writeln!(
        text,
        "- Licence: the strictest of the teachers' licences, `{}`; each row names its own",
        strictest(sets)
    );
    let _ = writeln!(text, "- What was left out, and why: `dropped.jsonl`");
    text
}

fn front_matter(sets: &Sets<'_>, languages: &BTreeSet<&str>, has_pairs: bool) -> String {
    let mut text = String::from("---\nlanguage:\n");
    for language in languages {
        let _ = writeln!(text, "- {language:?}");
    }
    let _ = writeln!(
        text,
        "license: {}\ntask_categories:\n- text-generation\ntags:\n- synthetic\n- multilingual\nconfigs:",
        tag(&strictest(sets))
    );
    let strategies = sets.aligned.keys().map(|name| (name.clone(), format!("{name}/sft.parquet")));
    let pairs = has_pairs.then(|| ("pairs".to_owned(), "pairs.parquet".to_owned()));
    for (name, file) in strategies.chain(pairs) {
        let _ = writeln!(text, "- config_name: {name}\n  data_files: {file}");
    }
    text + "---\n\n"
}

/// The strictest licence among those of the teachers that answered: the one that permits least, then the first by name.
fn strictest(sets: &Sets<'_>) -> String {
    let answers = sets.matrix.rows().iter().flat_map(|row| &row.candidates);
    let teachers: BTreeSet<&str> = answers.map(|c| c.completion.teacher.as_str()).collect();
    let licenses: BTreeSet<(Permission, String)> =
        teachers.into_iter().map(|teacher| (sets.permission(teacher), sets.license(teacher))).collect();
    licenses.into_iter().rev().max_by_key(|(permission, _)| *permission).map_or("unknown".to_owned(), |(_, name)| name)
}

/// The Hub's tag of a licence: lower case.
fn tag(license: &str) -> String {
    license.to_ascii_lowercase()
}
