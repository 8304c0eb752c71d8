//! Recorded answers put side by side: completions, scores and gates as one matrix.

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::{
    candidate::Matrix,
    completion::Completion,
    gates::Gates,
    outline::Outline,
    pool::{Eligibility, ExpectedCosts, Pool},
    prompt::Prompt,
    score::Score,
    teacher::{Coverage, Price, Teacher, TeacherKind},
};

use super::{
    licenses::{license_of, permission_of, strictest},
    prompts::read_prompts,
    tables::{ASKED, COMPLETIONS, SCORES, read_table},
};
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::{PoolMember, Recipe},
    run::Workshop,
};

/// Reads the calibration answers with the prompts behind them, judged by `gates` and scored by the arbiter that scored
/// them as they came.
pub(super) fn read_calibration(workshop: &Workshop<'_>, job: &Job, gates: &Gates) -> Result<Matrix, PipelineError> {
    everybody_was_asked(workshop, job, "calibration")?;
    let prompts = read_prompts(workshop, job.inputs("calibration prompts"))?;
    let completions = job.inputs("calibration").collect();
    // Nobody scores the safety of calibration answers: they choose teachers and are kept nowhere.
    let gates = &Gates { safety: None, ..gates.clone() };
    Answers { prompts, completions, scores: Vec::new(), safety: Vec::new(), gates }.matrix(workshop, job)
}

/// Refuses the answers under `role` if a router drew lots about whom to ask: who compares teachers as if everybody had been
/// asked would believe what was asked for.
pub(super) fn everybody_was_asked(workshop: &Workshop<'_>, job: &Job, role: &str) -> Result<(), PipelineError> {
    for input in job.inputs(role) {
        if workshop.artifact(&input.id)?.manifest().files.contains_key(ASKED) {
            let what = format!("the answers under `{role}` are those that a router asked for, by lot and by taste");
            let remedy = "take answers of everybody (`router: all`); `fit` alone weighs what a router asked for";
            return Err(PipelineError::input(&job.label, what, remedy));
        }
    }
    Ok(())
}

/// Where a matrix comes from.
pub(super) struct Answers<'a> {
    /// The prompts that were asked.
    pub prompts: Vec<Prompt>,
    /// The answers.
    pub completions: Vec<&'a Input>,
    /// Scores to use instead of those that stand beside the answers; those where empty.
    pub scores: Vec<&'a Input>,
    /// What a safety scorer said of the answers.
    pub safety: Vec<&'a Input>,
    /// What an answer must pass.
    pub gates: &'a Gates,
}

impl Answers<'_> {
    /// Puts answers, rewards and verdicts together.
    pub(super) fn matrix(self, workshop: &Workshop<'_>, job: &Job) -> Result<Matrix, PipelineError> {
        let (mut completions, mut scores) = (Vec::new(), Vec::new());
        for input in &self.completions {
            let artifact = workshop.artifact(&input.id)?;
            completions.extend(read_table::<Completion>(&artifact, COMPLETIONS)?);
            if self.scores.is_empty() && artifact.manifest().files.contains_key(SCORES) {
                scores.extend(read_table::<Score>(&artifact, SCORES)?);
            }
        }
        let read = |input: &&Input| read_table::<Score>(&workshop.artifact(&input.id)?, SCORES);
        for input in &self.scores {
            scores.extend(read(input)?);
        }
        let safety = self.safety.iter().map(read).collect::<Result<Vec<_>, PipelineError>>()?.concat();
        Matrix::judged_safe(self.prompts, completions, (&scores, &safety), self.gates).map_err(|error| {
            let remedy = "check the files that the answers and scores came from";
            PipelineError::input(&job.label, error.to_string(), remedy)
        })
    }
}

/// The pool of the teachers that answered, with costs measured on their answers.
pub(super) fn pool_of(recipe: &Recipe, outline: &Outline, eligibility: &Eligibility) -> Result<Pool, PipelineError> {
    let answered = |member: &&PoolMember| outline.teachers().contains(&member.id);
    let teachers = recipe.pool.iter().filter(answered).map(PoolMember::teacher).collect();
    let mut pool = Pool::new(teachers, eligibility.clone()).map_err(|e| PipelineError::Internal(e.to_string()))?;
    pool.costs = ExpectedCosts::fit(outline);
    with_translations(pool, recipe, outline)
}

/// Adds those under whose names translated or fused answers stand: each can be asked about the prompts that it has an
/// answer to, under the strictest licence of the authors, translators and fusors behind it.
pub(super) fn with_translations(pool: Pool, recipe: &Recipe, outline: &Outline) -> Result<Pool, PipelineError> {
    let mut named: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<String>)> = BTreeMap::new();
    for (teacher, line, origin) in outline.translations() {
        let (authors, prompt_ids) = named.entry(teacher).or_default();
        authors.extend(origin.authors());
        prompt_ids.insert(line.id().to_owned());
    }
    let mut teachers = pool.teachers().to_vec();
    let mut reach = pool.reach.clone();
    for (name, (authors, prompt_ids)) in named {
        teachers.push(Teacher {
            id: name.to_owned(),
            kind: TeacherKind::Multilingual,
            languages: Coverage::All,
            license: strictest(authors.iter().map(|id| license_of(recipe, id, None).into_owned())),
            outputs_may_train: Some(permission_of(recipe, authors)),
            price: Price::default(),
        });
        reach.insert(name.to_owned(), prompt_ids);
    }
    let Pool { costs, score_usd, eligibility, .. } = pool;
    let mut whole = Pool::new(teachers, eligibility).map_err(|error| PipelineError::Internal(error.to_string()))?;
    (whole.costs, whole.score_usd, whole.reach) = (costs, score_usd, reach);
    Ok(whole)
}
