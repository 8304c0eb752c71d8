//! `report`: everything that the run made, as one HTML page and as JSON.

mod arbiters;
mod calls;
mod choosing;
mod frontier;
mod fusion;
mod material;
mod measure;
mod provenance;
mod rewards;
mod routers;
mod search;
mod sets;
mod side_by_side;
mod strategies;
mod students;
mod teachers;
mod training;
mod verdict;

use cambist_io::store::{Artifact, ManifestDraft};
use serde_json::json;

use self::material::Material;
use super::Work;
use crate::{
    error::PipelineError,
    plan::Job,
    recipe::params::ReportParams,
    report::{Page, Section},
};

/// The version of `report.json`.
const SCHEMA: u32 = 1;

/// Makes the artifact: `report.html` for people and `report.json` for programs, with the same content.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &ReportParams) -> Result<Artifact, PipelineError> {
    let page = page(&Material::read(workshop, job)?, job, params)?;
    scratch.write("report.html", page.html().as_bytes())?;
    let data = json!({ "schema_version": SCHEMA, "page": page });
    let data = serde_json::to_vec_pretty(&data).map_err(|error| PipelineError::Internal(error.to_string()))?;
    scratch.write("report.json", &data)?;
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "report".into(), ..ManifestDraft::default() };
    draft.counts.insert("sections".into(), page.sections.len() as u64);
    Ok(scratch.commit(draft)?)
}

fn page(material: &Material<'_>, job: &Job, params: &ReportParams) -> Result<Page, PipelineError> {
    let sections: [Option<Section>; 14] = [
        students::section(material),
        teachers::section(material),
        strategies::section(material),
        fusion::section(material)?,
        routers::section(material)?,
        frontier::section(material)?,
        search::section(material)?,
        calls::section(material),
        arbiters::section(material)?,
        side_by_side::section(material),
        training::section(material)?,
        sets::section(material)?,
        Some(sets::failures(material)),
        Some(provenance::section(material)),
    ];
    Ok(Page {
        title: params.title.clone().unwrap_or_else(|| material.recipe.name.clone()),
        subtitle: verdict::subtitle(material),
        summary: verdict::summary(material),
        findings: students::findings(material),
        sections: sections.into_iter().flatten().collect(),
        provenance: provenance::facts(material, job),
    })
}
