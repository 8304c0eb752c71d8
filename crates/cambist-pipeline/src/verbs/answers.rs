//! Recorded answers put side by side: completions, scores and gates as one matrix.

use std::collections::HashMap;

use cambist_core::{
    candidate::{Candidate, Matrix},
    completion::Completion,
    gates::Gates,
    pool::{Eligibility, ExpectedCosts, Pool},
    prompt::Prompt,
    score::Score,
};

use super::{
    prompts::read_prompts,
    tables::{COMPLETIONS, SCORES, read_table},
};
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::Recipe,
    run::Workshop,
};

/// Reads the answers under `role` with the prompts behind them, judged by the default gates and scored by the arbiter
/// that scored them as they came.
pub(super) fn read_matrix(workshop: &Workshop<'_>, job: &Job, role: &str) -> Result<Matrix, PipelineError> {
    let prompts_role = if role == "calibration" { "calibration prompts" } else { "prompts" };
    let prompts = read_prompts(workshop, job.inputs(prompts_role))?;
    let answers = Answers { prompts, completions: job.inputs(role).collect(), scores: None, gates: &Gates::default() };
    answers.matrix(workshop, job)
}

/// Where a matrix comes from.
pub(super) struct Answers<'a> {
    /// The prompts that were asked.
    pub prompts: Vec<Prompt>,
    /// The answers.
    pub completions: Vec<&'a Input>,
    /// Scores to use instead of those that stand beside the answers.
    pub scores: Option<&'a Input>,
    /// What an answer must pass.
    pub gates: &'a Gates,
}

impl Answers<'_> {
    /// Puts answers, rewards and verdicts together.
    pub(super) fn matrix(self, workshop: &Workshop<'_>, job: &Job) -> Result<Matrix, PipelineError> {
        let by_id: HashMap<&str, &Prompt> = self.prompts.iter().map(|prompt| (prompt.id.as_str(), prompt)).collect();
        let mut candidates = Vec::new();
        for input in &self.completions {
            let artifact = workshop.artifact(&input.id)?;
            let scored_by = match self.scores {
                Some(scores) => Some(workshop.artifact(&scores.id)?),
                None => artifact.manifest().files.contains_key(SCORES).then(|| artifact.clone()),
            };
            let scores: Vec<Score> = scored_by.map(|a| read_table(&a, SCORES)).transpose()?.unwrap_or_default();
            let rewards: HashMap<(&str, &str, u32), f64> = scores
                .iter()
                .filter_map(|s| Some(((s.prompt_id.as_str(), s.teacher.as_str(), s.sample), s.value?)))
                .collect();
            for completion in read_table::<Completion>(&artifact, COMPLETIONS)? {
                let Some(prompt) = by_id.get(completion.prompt_id.as_str()) else { continue };
                let key = (completion.prompt_id.as_str(), completion.teacher.as_str(), completion.sample);
                let reward = rewards.get(&key).copied();
                let verdict = self.gates.judge(prompt, &completion);
                candidates.push(Candidate { completion, verdict, reward });
            }
        }
        Matrix::new(self.prompts, candidates).map_err(|error| {
            PipelineError::input(&job.label, error.to_string(), "check the files that the answers and scores came from")
        })
    }
}

/// The pool of the teachers that answered, with costs measured on their answers.
pub(super) fn pool_of(recipe: &Recipe, matrix: &Matrix, eligibility: &Eligibility) -> Result<Pool, PipelineError> {
    let answered = |id: &str| matrix.rows().iter().flat_map(|row| &row.candidates).any(|c| c.completion.teacher == id);
    let teachers = recipe.pool.iter().filter(|member| answered(&member.id)).map(|member| member.teacher()).collect();
    let mut pool = Pool::new(teachers, eligibility.clone()).map_err(|e| PipelineError::Internal(e.to_string()))?;
    pool.costs = ExpectedCosts::fit(matrix);
    Ok(pool)
}
