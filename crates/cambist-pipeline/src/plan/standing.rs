//! What of a plan is finished, and what is left to do and to ask.

use cambist_core::polyglot;
use cambist_io::store::{RunRecord, StoreView};
use serde::Serialize;

use super::{Job, Plan};
use crate::{
    error::PipelineError,
    recipe::{
        Action, PoolMember, Recipe,
        params::{GenerateParams, PromptsParams, RouterParams},
    },
};

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether its artifact is there.
    pub state: State,
    /// At most how many teachers' answers it will ask for; none for jobs that ask nobody, or that nobody can count yet.
    pub calls_left: Option<u64>,
    /// What a reader should know; empty for nothing.
    pub note: String,
}

/// Whether an artifact is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is in the store.
    Finished,
    /// It was made by this recipe's last run with other parameters, inputs or seed, and will be made anew.
    Stale,
    /// It was never made.
    Missing,
}

impl State {
    /// The word for a screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Stale => "stale",
            Self::Missing => "missing",
        }
    }

    /// Whether nothing is left to do.
    pub fn is_finished(self) -> bool {
        self == Self::Finished
    }
}

impl Plan {
    /// Returns where each job stands, in the order of the jobs; without a store nothing is finished.
    ///
    /// # Errors
    /// When the store holds a damaged artifact under one of the plan's names, or the last run's record cannot be read.
    pub fn standings(&self, store: Option<&StoreView>) -> Result<Vec<Standing>, PipelineError> {
        let last = store.map(|store| store.run(&self.recipe.name)).transpose()?.flatten();
        self.jobs.iter().map(|job| self.standing(job, store, last.as_ref())).collect()
    }

    fn standing(
        &self,
        job: &Job,
        store: Option<&StoreView>,
        last: Option<&RunRecord>,
    ) -> Result<Standing, PipelineError> {
        let found = store.map(|store| store.find(&job.id)).transpose()?.flatten();
        let before = last.and_then(|run| run.steps.iter().find(|made| made.step == job.label));
        let (state, note) = match (found, before) {
            (Some(_), _) => (State::Finished, String::new()),
            (None, Some(made)) if made.artifact != job.id => (State::Stale, format!("was {}", made.artifact)),
            (None, _) => (State::Missing, String::new()),
        };
        let calls_left = match &self.step_of(job).action {
            Action::Generate(_) if state.is_finished() => Some(0),
            Action::Generate(params) => self.calls_of(params, store)?,
            _ => None,
        };
        Ok(Standing { state, calls_left, note })
    }

    /// The number of prompts times the number of teachers that may be asked about each; the ledger may hold some of
    /// the answers already.
    fn calls_of(&self, params: &GenerateParams, store: Option<&StoreView>) -> Result<Option<u64>, PipelineError> {
        let Some(source) = self.jobs_of(&params.prompts.step).next() else { return Ok(None) };
        let Action::Prompts(prompts) = &self.step_of(source).action else { return Ok(None) };
        let per_language = match (&prompts.polyglot, store.map(|store| store.find(&source.id)).transpose()?.flatten()) {
            (_, Some(made)) => {
                let counts = &made.manifest().counts;
                let part = params.prompts.part.as_deref().unwrap_or("prompts");
                counts.get(part).map(|&n_prompts| n_prompts / n_languages(prompts))
            }
            (Some(_), None) => Some(n_sources(prompts, params.prompts.part.as_deref())),
            (None, None) => None,
        };
        Ok(per_language.map(|n_prompts| n_prompts * n_asked(&self.recipe, prompts, params)))
    }
}

/// In how many languages each source is written, as far as the recipe says.
fn n_languages(prompts: &PromptsParams) -> u64 {
    match (&prompts.polyglot, prompts.languages.len()) {
        (Some(_), 0) => polyglot::languages().len() as u64,
        (_, n_listed) => n_listed.max(1) as u64,
    }
}

fn n_sources(prompts: &PromptsParams, part: Option<&str>) -> u64 {
    let n_all =
        prompts.splits.values().sum::<usize>().max(prompts.polyglot.as_ref().and_then(|p| p.sources).unwrap_or(0));
    let n_sources = part.and_then(|part| prompts.splits.get(part)).copied().unwrap_or(n_all);
    prompts.limit.map_or(n_sources, |limit| n_sources.min(limit)) as u64
}

/// Answers asked for per source, over all languages.
fn n_asked(recipe: &Recipe, prompts: &PromptsParams, params: &GenerateParams) -> u64 {
    let in_pool = |member: &&PoolMember| params.teachers.is_empty() || params.teachers.contains(&member.id);
    let asked: Vec<&PoolMember> = recipe.pool.iter().filter(in_pool).collect();
    let eligible = |language| {
        let covers = |member: &&&PoolMember| !params.eligibility.respect_coverage || member.languages.covers(language);
        asked.iter().filter(covers).count() as u64
    };
    let per_prompt = |n_eligible: u64| match params.router {
        RouterParams::All => n_eligible,
        RouterParams::AllBon { samples } => n_eligible * u64::from(samples),
        _ => n_eligible.min(1) * u64::from(params.router.n_samples()),
    };
    match (&prompts.polyglot, prompts.languages.is_empty()) {
        (Some(_), true) => polyglot::languages().iter().map(|language| per_prompt(eligible(language))).sum(),
        (None, true) => per_prompt(asked.len() as u64),
        (_, false) => prompts.languages.iter().map(|language| per_prompt(eligible(language))).sum(),
    }
}
