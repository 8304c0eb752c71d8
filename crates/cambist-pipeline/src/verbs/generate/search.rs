//! What a searching router was told to reach, and whether its calibration still holds.

use cambist_core::{
    drift::{Drift, Watched},
    metrics::Bootstrap,
    router::Router,
    search::Prices,
};
use cambist_io::store::{Artifact, ManifestDraft, Scratch};
use serde::{Deserialize, Serialize};

use crate::error::PipelineError;

/// The file, beside the answers of a router that searches.
pub(crate) const SEARCH: &str = "search.json";
/// The version of its content.
const SCHEMA: u32 = 1;
/// Draws of the intervals.
const DRAWS: usize = 2_000;
/// What to do where calibration no longer holds.
pub(crate) const REMEDY: &str =
    "calibrate again: a `generate` step with `router: all` on recent prompts, and `fit` anew";

/// What a searching router was told to reach, and what came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SearchFile {
    pub schema_version: u32,
    pub prices: Prices,
    /// None where nothing is audited.
    pub drift: Option<Drift>,
    /// What no longer holds, and what to do.
    pub warnings: Vec<String>,
}

/// Writes the file; nothing for routers that do not search.
pub(super) fn write(
    (router, seed, scratch): (&dyn Router, u64, &Scratch),
    watched: Option<Watched<'_>>,
    draft: &mut ManifestDraft,
) -> Result<(), PipelineError> {
    let Some(prices) = router.prices() else { return Ok(()) };
    let drift = watched.map(|watched| watched.finish(Bootstrap { draws: DRAWS, seed }));
    let drift = drift.filter(|drift| drift.n_prompts > 0);
    let warnings: Vec<String> = drift.iter().flat_map(Drift::warnings).collect();
    if let Some(drift) = &drift {
        draft.counts.insert("audited prompts".into(), drift.n_audits as u64);
    }
    if !warnings.is_empty() {
        draft.counts.insert("warnings that calibration no longer holds".into(), warnings.len() as u64);
    }
    let warnings = warnings.into_iter().map(|what| format!("{what}: {REMEDY}")).collect();
    let file = SearchFile { schema_version: SCHEMA, prices, drift, warnings };
    let text = serde_json::to_vec_pretty(&file).map_err(|error| PipelineError::Internal(error.to_string()))?;
    Ok(scratch.write(SEARCH, &text)?)
}

/// Reads the file of an artifact; none where its router did not search.
pub(crate) fn read_search(artifact: &Artifact) -> Result<Option<SearchFile>, PipelineError> {
    if !artifact.manifest().files.contains_key(SEARCH) {
        return Ok(None);
    }
    let read = serde_json::from_slice(&artifact.read(SEARCH)?);
    read.map(Some).map_err(|error| {
        let id = artifact.manifest().id.to_string();
        PipelineError::input(&id, error.to_string(), "run the step again after `cambist gc`")
    })
}
