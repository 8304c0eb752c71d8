//! Which `generate` step a command is about.

use cambist_io::store::StoreView;

use crate::{
    error::PipelineError,
    plan::{Job, Plan},
    recipe::{Action, PoolMember, params::GenerateParams},
};

/// A `generate` step, its parameters, and its servers.
pub(crate) struct Target<'a> {
    /// The job.
    pub job: &'a Job,
    /// What the recipe says of it.
    pub params: &'a GenerateParams,
    /// The teachers behind servers that it may ask.
    pub servers: Vec<&'a PoolMember>,
}

impl<'a> Target<'a> {
    /// Finds the step called `step`, else the only one that there is.
    pub(crate) fn find(plan: &'a Plan, step: Option<&str>) -> Result<Self, PipelineError> {
        let of_job = |job: &'a Job| match &plan.step_of(job).action {
            Action::Generate(params) => Some((job, params)),
            _ => None,
        };
        let all: Vec<_> = plan.jobs.iter().filter_map(of_job).collect();
        let named: Vec<_> = all.iter().filter(|(job, _)| step.is_none_or(|step| step == job.label)).collect();
        let names = || all.iter().map(|(job, _)| format!("`{}`", job.label)).collect::<Vec<_>>().join(", ");
        let recipe = &plan.recipe.name;
        match (named.as_slice(), step) {
            (&[&(job, params)], _) => Ok(Self { job, params, servers: servers(plan, params) }),
            (_, _) if all.is_empty() => {
                let remedy = "write one that asks a server";
                Err(PipelineError::input(recipe, "the recipe has no `generate` step", remedy))
            }
            ([], Some(step)) => {
                let what = format!("there is no `generate` step called `{step}`");
                Err(PipelineError::input(recipe, what, format!("name one of {} with --step", names())))
            }
            _ => {
                let what = format!("the recipe has {} `generate` steps", all.len());
                Err(PipelineError::input(recipe, what, format!("name one of {} with --step", names())))
            }
        }
    }

    /// Refuses a name that is no server of the step.
    pub(crate) fn check_teacher(&self, teacher: Option<&str>) -> Result<(), PipelineError> {
        let Some(teacher) = teacher.filter(|teacher| self.servers.iter().all(|member| member.id != *teacher)) else {
            return Ok(());
        };
        let names: Vec<String> = self.servers.iter().map(|member| format!("`{}`", member.id)).collect();
        let what = format!("`{teacher}` is no teacher with an `endpoint` in this step");
        Err(PipelineError::input(&self.job.label, what, format!("name one of {}", names.join(", "))))
    }

    /// Refuses a step whose prompts are not there yet.
    pub(crate) fn check_inputs(&self, store: &StoreView) -> Result<(), PipelineError> {
        for input in &self.job.inputs {
            if store.find(&input.id)?.is_none() {
                let what = format!("its `{}` (`{}`) is not made yet", input.name(), input.id);
                let remedy = "make it first: `cambist prompts RECIPE`, or the verb that makes it";
                return Err(PipelineError::input(&self.job.label, what, remedy));
            }
        }
        Ok(())
    }
}

fn servers<'a>(plan: &'a Plan, params: &GenerateParams) -> Vec<&'a PoolMember> {
    let in_step = |member: &&PoolMember| params.teachers.is_empty() || params.teachers.contains(&member.id);
    plan.recipe.pool.iter().filter(in_step).filter(|member| member.endpoint.is_some()).collect()
}
