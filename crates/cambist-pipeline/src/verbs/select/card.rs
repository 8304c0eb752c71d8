//! The dataset card: a README as the Hugging Face Hub reads it.

use std::{collections::BTreeSet, fmt::Write};

use cambist_core::{language::Language, outline::Outline};

use super::{datasets::Sets, shards::DataFiles};
use crate::verbs::licenses;

/// Returns the card of the sets.
pub(super) fn card(sets: &Sets<'_>, files: &[DataFiles]) -> String {
    let outline = &sets.answers.outline;
    let languages: BTreeSet<&str> = outline.languages().iter().map(Language::primary).collect();
    let teachers: BTreeSet<&str> = outline.teachers().iter().map(String::as_str).collect();
    let sources: BTreeSet<&str> = outline.sources().iter().map(String::as_str).collect();
    let mut text = front_matter(sets, &languages, files);
    let recipe = &sets.making.workshop.plan.recipe.name;
    let _ = writeln!(text, "# {recipe}: answers kept by {} strategies\n", sets.aligned.played.len());
    let _ = writeln!(
        text,
        "Made by cambist {} from the recipe `{recipe}`. Each prompt was answered by a pool of teachers; \
         each strategy kept at most one answer per prompt.\n",
        env!("CARGO_PKG_VERSION")
    );
    let _ = writeln!(text, "| strategy | router | rows |\n| --- | --- | --: |");
    for name in sets.aligned.played.keys() {
        let router = sets
            .making
            .params
            .strategies
            .get(name)
            .map(|s| serde_json::json!(s.router).to_string())
            .unwrap_or_default();
        let _ = writeln!(text, "| {name} | `{}` | {} |", router.trim_matches('"'), sets.aligned.n_kept(name));
    }
    if let Some(pairs) = sets.pairs {
        let _ = writeln!(text, "\nPreference pairs over all answers: {}.", pairs.pairs.len());
    }
    if let Some(labels) = sets.labels {
        let [wanted, unwanted] = [true, false].map(|wanted| labels.n_labelled(wanted));
        let _ = writeln!(text, "\nLabelled answers: {wanted} wanted, {unwanted} unwanted.");
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

fn front_matter(sets: &Sets<'_>, languages: &BTreeSet<&str>, files: &[DataFiles]) -> String {
    let mut text = String::from("---\nlanguage:\n");
    for language in languages {
        let _ = writeln!(text, "- {language:?}");
    }
    let _ = writeln!(text, "{}", license_lines(&strictest(sets)));
    let n_rows = files.iter().map(|set| set.n_rows).sum();
    let _ = writeln!(text, "size_categories:\n- {}", size_category(n_rows));
    let _ = writeln!(text, "task_categories:\n- text-generation\ntags:\n- synthetic\n- multilingual");
    // A set without rows is a fault to `datasets`, so that the card names none.
    let loadable: Vec<&DataFiles> = files.iter().filter(|set| set.n_rows > 0).collect();
    if !loadable.is_empty() {
        text += "configs:\n";
    }
    for DataFiles { name, pattern, .. } in loadable {
        let _ = writeln!(text, "- config_name: {name:?}\n  data_files: {pattern:?}");
    }
    text + "---\n\n"
}

/// The strictest licence of the answers that the strategies share or bring along.
fn strictest(sets: &Sets<'_>) -> String {
    let authors = sets.outlines().flat_map(Outline::authors);
    licenses::strictest(
        authors.map(|(teacher, origin)| sets.license(teacher, origin).into_owned()).collect::<BTreeSet<_>>(),
    )
}

/// The licences that the Hub's cards know, as far as models have them.
const ON_THE_HUB: [&str; 24] = [
    "afl-3.0",
    "apache-2.0",
    "bigscience-openrail-m",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0",
    "cc-by-sa-4.0",
    "cc0-1.0",
    "cdla-permissive-2.0",
    "gemma",
    "llama2",
    "llama3",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "mit",
    "mpl-2.0",
    "odc-by",
    "openrail",
    "unknown",
];

/// The licence as the Hub takes it: what it does not know is `other` with a name.
fn license_lines(license: &str) -> String {
    let tag = license.to_ascii_lowercase();
    if ON_THE_HUB.contains(&tag.as_str()) {
        return format!("license: {tag}");
    }
    format!("license: other\nlicense_name: {tag:?}")
}

/// The Hub's word for so many rows.
fn size_category(n_rows: usize) -> &'static str {
    match n_rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        _ => "10M<n<100M",
    }
}
