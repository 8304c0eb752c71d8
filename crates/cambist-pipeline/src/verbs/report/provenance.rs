//! Provenance: the recipe, every artifact, and how to make them again.

use super::material::Material;
use crate::{
    plan::Job,
    report::{Block, Cell, Column, Fact, Origin, Row, Section, Style, Table, Words, number::count},
};

/// The artifacts and the recipe.
pub(super) fn section(material: &Material<'_>) -> Section {
    let row = |(job, artifact): &(&Job, cambist_io::store::Artifact)| {
        let manifest = artifact.manifest();
        let counts: Vec<String> = manifest.counts.iter().map(|(what, n)| format!("{} {what}", count(*n))).collect();
        Row::new(vec![
            Words::from(job.label.as_str()).into(),
            Words::from(manifest.verb.as_str()).into(),
            Cell::Count(u64::from(manifest.revision)),
            Words::from(counts.join(", ")).into(),
            Words::from(manifest.cambist_version.as_str()).into(),
            Cell::Id(job.id.to_string()),
        ])
    };
    let table = Table {
        caption: "Every artifact of the run. An artifact’s name is the digest of its verb, the revision of the verb’s \
                  meaning, its parameters, its inputs and the seed."
            .into(),
        columns: vec![
            Column::words("Step"),
            Column::words("verb"),
            Column::numbers("revision", "", Style::plain(0)),
            Column::words("holds"),
            Column::words("cambist"),
            Column::words("artifact"),
        ],
        rows: material.made.iter().map(row).collect(),
    };
    let origin = Origin { n: format!("{} artifacts", material.made.len()), ..Origin::default() };
    let mut blocks = vec![Block::Table { table, origin }];
    let warnings = material.workshop.plan.warnings();
    if !warnings.is_empty() {
        blocks.push(Block::Heading("Warnings".into()));
        blocks.extend(warnings.into_iter().map(|warning| Block::Paragraph(warning.into())));
    }
    blocks.extend([
        Block::Heading("Recipe".into()),
        Block::Paragraph("As it was read, overrides of the command line not applied; what each step was run with stands in its manifest.".into()),
        Block::Verbatim { name: "Recipe".into(), text: material.recipe.text.clone() },
    ]);
    Section { title: "How this was made".into(), blocks }
}

/// The lines at the foot of the page.
pub(super) fn facts(material: &Material<'_>, report: &Job) -> Vec<Fact> {
    let recipe = material.recipe;
    let fact = |name: &str, value: Cell| Fact { name: name.into(), value };
    vec![
        fact("Recipe", Cell::Id(recipe.name.clone())),
        fact("Seed", Cell::Count(recipe.seed)),
        fact("Cambist", Words::from(env!("CARGO_PKG_VERSION")).into()),
        fact("This report", Cell::Id(report.id.to_string())),
        fact("The same as data", Cell::Id("report.json".into())),
        fact("Where it comes from", Cell::Id(format!("cambist why {}.{}", recipe.name, report.label))),
        fact("Make it again", Cell::Id("cambist run RECIPE.yaml".into())),
        fact(
            "What to expect",
            Words::from("The same recipe and version of the program give artifacts of the same names.").into(),
        ),
    ]
}
