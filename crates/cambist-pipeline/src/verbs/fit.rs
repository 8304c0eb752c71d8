//! `fit`: learns from scored answers of the whole pool which teacher to ask about which prompt.

use cambist_core::{
    candidate::Matrix,
    features::{FeatureSource, Hashed},
    head::{Lessons, tune},
    outline::Outline,
    pool::Pool,
    router::{FittedRouter, Learned, spend_of},
};
use cambist_io::store::{Artifact, ManifestDraft};

use super::{
    Work,
    answers::{Answers, pool_of},
    prompts::read_prompts,
};
use crate::{
    error::PipelineError,
    plan::Job,
    recipe::params::{FitParams, HeadChoice},
    run::Workshop,
};

/// The file of a router's artifact.
pub(crate) const ROUTER: &str = "router.json";

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &FitParams) -> Result<Artifact, PipelineError> {
    let answers = Answers {
        prompts: read_prompts(workshop, job.inputs("prompts"))?,
        completions: job.inputs("from").collect(),
        scores: job.inputs("scores").collect(),
        safety: Vec::new(),
        gates: &params.gates,
    };
    let matrix = answers.matrix(workshop, job)?;
    workshop.checkpoint()?;
    let pool = pool_of(&workshop.plan.recipe, &Outline::of(&matrix), &params.eligibility)?;
    let seed = workshop.plan.recipe.seed;
    let fitted = fit_router(&job.label, (&matrix, &pool), (params.head, params.bits), seed)?;
    scratch.write(ROUTER, &to_json(&fitted)?)?;
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "router".into(), ..ManifestDraft::default() };
    draft.counts.insert("prompts".into(), fitted.n_prompts as u64);
    draft.counts.insert("teachers".into(), fitted.teachers.len() as u64);
    draft.counts.insert("languages".into(), fitted.tuned.languages.len() as u64);
    Ok(scratch.commit(draft)?)
}

/// Fits a router on a matrix of the whole pool's answers.
pub(crate) fn fit_router(
    label: &str,
    (matrix, pool): (&Matrix, &Pool),
    (head, bits): (HeadChoice, u32),
    seed: u64,
) -> Result<FittedRouter, PipelineError> {
    let refuse = |what: String, remedy: &str| PipelineError::input(label, what, remedy);
    let source = Hashed::new(bits).map_err(|error| refuse(error.to_string(), "leave `bits` out for 16"))?;
    let lessons = Lessons::of(matrix, pool, &source)
        .map_err(|error| refuse(error.to_string(), "a router learns from scored answers of everybody"))?;
    let tuned = tune(&lessons, &head.options(seed));
    let calibration = spend_of(matrix.rows().iter().flat_map(|row| &row.candidates), true, pool.score_usd);
    let n_prompts = lessons.lessons.len();
    Ok(FittedRouter { calibration, ..FittedRouter::new(tuned, (lessons.teachers, source.name()), n_prompts) })
}

/// Writes a router as it is kept.
pub(crate) fn to_json(fitted: &FittedRouter) -> Result<Vec<u8>, PipelineError> {
    serde_json::to_vec(fitted).map_err(|error| PipelineError::Internal(error.to_string()))
}

/// Reads a router from the bytes of its file; `name` tells whose.
pub(crate) fn from_json(name: &str, bytes: &[u8]) -> Result<Learned, PipelineError> {
    let refuse = |what: String| PipelineError::input(name, what, "`cambist fit` makes routers");
    let fitted: FittedRouter =
        serde_json::from_slice(bytes).map_err(|error| refuse(format!("this is no fitted router: {error}")))?;
    Learned::new(fitted).map_err(|error| refuse(error.to_string()))
}

/// Reads the router under `role`, which has to be fitted for the teachers of `pool`.
pub(super) fn read((workshop, job): (&Workshop<'_>, &Job), role: &str, pool: &Pool) -> Result<Learned, PipelineError> {
    let artifact = workshop.artifact(&job.input(role)?.id)?;
    let router = from_json(&job.label, &artifact.read(ROUTER)?)?;
    let refuse = |error: cambist_core::router::LearnedError| {
        PipelineError::input(&job.label, error.to_string(), "or list under `teachers` those that it was fitted for")
    };
    router.check_pool(pool).map_err(refuse)?;
    Ok(router)
}
