//! `fit`: learns from scored answers of the whole pool which teacher to ask about which prompt.

use cambist_core::{
    candidate::Matrix,
    features::{FeatureSource, Hashed},
    feedback::{FeedbackError, PartialFeedback, PartialOptions, Propensities, Unasked, lessons_of_feedback},
    head::{HeadKind, Lessons, Standard, TuneOptions, Tuned, tune},
    outline::Outline,
    pool::Pool,
    prompt::Prompt,
    router::{FittedRouter, Learned, LearnedError, spend_of},
};
use cambist_io::store::{Artifact, ManifestDraft};

use super::{
    Work,
    answers::{Answers, pool_of},
    prompts::read_prompts,
    tables::{ASKED, AskedRow, read_table},
};
use crate::{
    checkpoint::{Bases, Checkpoint},
    error::PipelineError,
    hidden::HiddenFeatures,
    plan::Job,
    recipe::{
        Action,
        params::{FeaturesParams, FitParams, HeadChoice},
    },
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
    let source = source_of((workshop, job), params)?;
    let fitting = Fitting {
        label: &job.label,
        answers: (&matrix, &pool),
        propensities: read_propensities(workshop, job)?,
        source: source.as_ref(),
        head: params.head,
        partial: PartialOptions { max_weight: params.max_weight, seed: workshop.plan.recipe.seed },
    };
    let fitted = fitting.fit()?;
    scratch.write(ROUTER, &to_json(&fitted)?)?;
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "router".into(), ..ManifestDraft::default() };
    draft.counts.insert("prompts".into(), fitted.n_prompts as u64);
    draft.counts.insert("teachers".into(), fitted.teachers.len() as u64);
    draft.counts.insert("languages".into(), fitted.tuned.languages.len() as u64);
    if fitted.n_missing > 0 {
        draft.counts.insert("answers missing, by chance".into(), fitted.n_missing as u64);
    }
    if let Some(partial) = &fitted.partial {
        draft.counts.insert("answers never asked for".into(), (partial.n_cells - partial.n_asked) as u64);
    }
    Ok(scratch.commit(draft)?)
}

/// What prompts are told apart by: their words, or what a model makes of them.
fn source_of(
    (workshop, job): (&Workshop<'_>, &Job),
    params: &FitParams,
) -> Result<Box<dyn FeatureSource>, PipelineError> {
    match &params.features {
        None => Ok(Box::new(hashed(&job.label, params.bits)?)),
        Some(features) => Ok(Box::new(hidden((workshop, job), features, FEATURES)?)),
    }
}

/// The role of the model that `features` names.
const FEATURES: &str = "features";

/// Opens the model of `features`; one that the recipe trained is the input under `role`.
fn hidden(
    (workshop, job): (&Workshop<'_>, &Job),
    features: &FeaturesParams,
    role: &str,
) -> Result<HiddenFeatures, PipelineError> {
    let bases = Bases::of_recipe(&workshop.plan.folder);
    let checkpoint = match &features.folder {
        Some(folder) => Checkpoint::of_folder(&workshop.plan.folder.join(folder), bases)?,
        None => Checkpoint::of_artifact(workshop.store, &workshop.artifact(&job.input(role)?.id)?, bases)?,
    };
    HiddenFeatures::open(&job.label, (&checkpoint, features.reading()), Some(workshop.store))
}

/// Features of two to the power of `bits` buckets.
pub(crate) fn hashed(label: &str, bits: u32) -> Result<Hashed, PipelineError> {
    Hashed::new(bits).map_err(|error| PipelineError::input(label, error.to_string(), "leave `bits` out for 16"))
}

/// The probabilities with which the answers of the job were asked for, where their routers drew lots.
fn read_propensities(workshop: &Workshop<'_>, job: &Job) -> Result<Propensities, PipelineError> {
    let mut propensities = Propensities::default();
    for input in job.inputs("from") {
        let artifact = workshop.artifact(&input.id)?;
        if !artifact.manifest().files.contains_key(ASKED) {
            continue;
        }
        for row in read_table::<AskedRow>(&artifact, ASKED)?.iter().filter(|row| row.sample == 0) {
            let inserted = propensities.insert(&row.prompt_id, &row.teacher, row.propensity);
            inserted.map_err(|error| PipelineError::Internal(error.to_string()))?;
        }
    }
    Ok(propensities)
}

/// What a router is fitted on, and how.
pub(crate) struct Fitting<'a> {
    /// Names the step in what is refused.
    pub label: &'a str,
    /// Answers, and the pool that they are of.
    pub answers: (&'a Matrix, &'a Pool),
    /// How likely it was that each answer was asked for, where not all were.
    pub propensities: Propensities,
    /// What prompts tell.
    pub source: &'a dyn FeatureSource,
    /// Which head.
    pub head: HeadChoice,
    /// How answers are weighed where not all were asked for; its seed deals out folds.
    pub partial: PartialOptions,
}

impl Fitting<'_> {
    /// Fits a router: on everybody's answers as they are, on some of them by their propensities.
    pub(crate) fn fit(&self) -> Result<FittedRouter, PipelineError> {
        let (matrix, pool) = self.answers;
        let prompts: Vec<&Prompt> = matrix.rows().iter().map(|row| &row.prompt).collect();
        self.source.prepare(&prompts).map_err(|error| self.refuse(error, "look at the model under `features`"))?;
        let unasked = Unasked::of(matrix, pool);
        let options = self.head.options(self.partial.seed);
        let is_by_chance = self.propensities.is_empty() && unasked.may_be_chance();
        let (lessons, tuned, partial) = if unasked.n_unasked == 0 || is_by_chance {
            let lessons = Lessons::of(matrix, pool, self.source)
                .map_err(|error| self.refuse(error, "a router learns from scored answers of everybody"))?;
            let (lessons, tuned) = self.tune(lessons, &options);
            (lessons, tuned, None)
        } else {
            let remedy = "see “Refits on what was asked for” in docs/guide/routing.md";
            let (lessons, partial) =
                self.partial_lessons(&unasked, &options).map_err(|error| self.refuse(error, remedy))?;
            let heads = options.heads.into_iter().filter(|head| *head == HeadKind::Ridge).collect();
            let (lessons, tuned) = self.tune(lessons, &TuneOptions { heads, ..options });
            (lessons, Tuned { temperature: partial.spread, ..tuned }, Some(partial))
        };
        let calibration = spend_of(matrix.rows().iter().flat_map(|row| &row.candidates), true, pool.score_usd);
        let n_prompts = lessons.lessons.len();
        let fitted = FittedRouter::new(tuned, (lessons.teachers, self.source.name()), n_prompts);
        let n_missing = if is_by_chance { unasked.n_unasked } else { 0 };
        Ok(FittedRouter { calibration, n_missing, partial, ..fitted })
    }

    /// Chooses and fits a head; dense features are put on one scale first, and the head reads them as they are.
    fn tune(&self, mut lessons: Lessons, options: &TuneOptions) -> (Lessons, Tuned) {
        if !self.source.is_dense() {
            let tuned = tune(&lessons, options);
            return (lessons, tuned);
        }
        let standard = Standard::of(&lessons);
        standard.apply(&mut lessons);
        let tuned = tune(&lessons, options);
        let head = standard.undo(tuned.head.clone());
        (lessons, Tuned { head, ..tuned })
    }

    fn partial_lessons(
        &self,
        unasked: &Unasked,
        options: &TuneOptions,
    ) -> Result<(Lessons, PartialFeedback), FeedbackError> {
        if self.propensities.is_empty() {
            unasked.refuse()?;
        }
        if let [head @ (HeadKind::KlSoftmax | HeadKind::BradleyTerry)] = options.heads[..] {
            let Unasked { n_cells, n_unasked, .. } = *unasked;
            return Err(FeedbackError::Head { head: head.name(), n_cells, n_unasked });
        }
        lessons_of_feedback(self.answers, self.source, (&self.propensities, self.partial))
    }

    fn refuse(&self, error: impl std::fmt::Display, remedy: &str) -> PipelineError {
        PipelineError::input(self.label, error.to_string(), remedy)
    }
}

/// Writes a router as it is kept.
pub(crate) fn to_json(fitted: &FittedRouter) -> Result<Vec<u8>, PipelineError> {
    serde_json::to_vec(fitted).map_err(|error| PipelineError::Internal(error.to_string()))
}

/// Reads what a router learned from the bytes of its file; `name` tells whose.
pub(crate) fn fitted_from_json(name: &str, bytes: &[u8]) -> Result<FittedRouter, PipelineError> {
    serde_json::from_slice(bytes).map_err(|error| {
        PipelineError::input(name, format!("this is no fitted router: {error}"), "`cambist fit` makes routers")
    })
}

/// Reads the router under `role`, which has to be fitted for the teachers of `pool`, with the model that it was fitted
/// with, where it reads one.
pub(super) fn read((workshop, job): (&Workshop<'_>, &Job), role: &str, pool: &Pool) -> Result<Learned, PipelineError> {
    let input = job.input(role)?;
    let fitted = fitted_from_json(&job.label, &workshop.artifact(&input.id)?.read(ROUTER)?)?;
    let made_by = workshop.plan.jobs.iter().find(|other| other.id == input.id);
    let features = made_by.and_then(|job| match &workshop.plan.step_of(job).action {
        Action::Fit(params) => params.features.as_ref(),
        _ => None,
    });
    let refuse = |error: LearnedError| {
        PipelineError::input(&job.label, error.to_string(), "or list under `teachers` those that it was fitted for")
    };
    let router = match features {
        None => Learned::new(fitted),
        Some(features) => {
            let source = hidden((workshop, job), features, &format!("{FEATURES} of {role}"))?;
            Learned::with_source(fitted, Box::new(source))
        }
    };
    let router = router.map_err(|error| {
        PipelineError::input(&job.label, error.to_string(), "run the recipe again, so that its routers are fitted anew")
    })?;
    router.check_pool(pool).map_err(refuse)?;
    Ok(router)
}
