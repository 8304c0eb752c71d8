//! `fuse`: lets a fusor make one answer of several (FusioN, arXiv 2510.00931), and keeps the best one where that is
//! better left alone.
//!
//! Every question to the fusor goes through the ledger like any other. What it says is read from between double square
//! brackets and passes the gates anew; where that fails, the best candidate stands in for it and says so. What is kept is
//! an answer of a teacher called `fusion`, which is scored and selected like any other.

mod asking;
mod count;
mod scoring;
mod standing;
mod tally;
mod wording;

use std::collections::BTreeSet;

use cambist_core::{
    candidate::{Matrix, Row},
    completion::Completion,
    fusion::FusionRules,
    gates::Gates,
    outline::Outline,
    pool::Pool,
};
use cambist_io::{
    formats::TableWriter,
    store::{Artifact, Scratch},
};

pub(crate) use self::count::count_fusions;
pub(super) use self::count::each_scored;
use self::{scoring::Scored, standing::Standing, tally::Tally};
use super::{
    Work,
    answers::{Answers, pool_of},
    prompts::read_prompts,
    tables::{COMPLETIONS, SCORES, write_table},
    voices::Voice,
};
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::fusion::{DEFAULT_TASK, FuseParams},
    run::Workshop,
};

/// Prompts whose candidates are fused together.
const CHUNK: usize = 1024;

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &FuseParams) -> Result<Artifact, PipelineError> {
    let fusing = Fusing::open(workshop, job, params)?;
    let answers = fusing.answers()?;
    let pool = fusing.pool(&answers)?;
    let mut standings = Vec::with_capacity(answers.rows().len());
    for rows in answers.rows().chunks(CHUNK) {
        workshop.checkpoint()?;
        standings.extend(fusing.fuse(rows, &pool)?);
    }
    fusing.nobody_is_silent(&standings)?;
    let scored = scoring::score(&fusing, &mut standings)?;
    fusing.write((scratch, &answers), (&standings, scored))
}

/// What the phases of one step share.
struct Fusing<'a> {
    workshop: &'a Workshop<'a>,
    job: &'a Job,
    params: &'a FuseParams,
    rules: FusionRules,
    /// What a fused answer must pass; how safe it is, nobody has looked at yet.
    gates: Gates,
    /// The fusor, alone in the list.
    voices: Vec<Voice>,
}

impl<'a> Fusing<'a> {
    fn open(workshop: &'a Workshop<'a>, job: &'a Job, params: &'a FuseParams) -> Result<Self, PipelineError> {
        let member = workshop.plan.recipe.pool.iter().find(|member| member.id == params.fusor);
        let unknown = || PipelineError::Internal(format!("`{}` passed the check and is no teacher", params.fusor));
        let voices = vec![Voice::open(workshop, job, member.ok_or_else(unknown)?)?];
        let mut reads_rewards = job.inputs("scores").next().is_some();
        for input in job.inputs("from") {
            reads_rewards |= workshop.artifact(&input.id)?.manifest().files.contains_key(SCORES);
        }
        let rules = FusionRules { max_candidates: params.max_candidates, reads_rewards };
        let gates = Gates { safety: None, ..params.gates.clone() };
        Ok(Self { workshop, job, params, rules, gates, voices })
    }

    /// The candidates of every prompt, judged and scored.
    fn answers(&self) -> Result<Matrix, PipelineError> {
        let Self { workshop, job, params, .. } = self;
        let inputs = |role: &'static str| -> Vec<&Input> { job.inputs(role).collect() };
        let answers = Answers {
            prompts: read_prompts(workshop, job.inputs("prompts"))?,
            completions: inputs("from"),
            scores: inputs("scores"),
            safety: inputs("safety"),
            gates: &params.gates,
        };
        let matrix = answers.matrix(workshop, job)?;
        if matrix.rows().iter().all(|row| row.candidates.is_empty()) {
            let what = "there are no answers to fuse";
            return Err(PipelineError::input(&job.label, what, "check the steps that `from` names"));
        }
        Ok(matrix)
    }

    /// Whose answers may be fused, with what they cost.
    fn pool(&self, answers: &Matrix) -> Result<Pool, PipelineError> {
        pool_of(&self.workshop.plan.recipe, &Outline::of(answers), &self.params.eligibility)
    }

    /// What is to be done about each prompt, before anybody is asked.
    fn begin<'r>(&self, rows: &'r [Row], pool: &Pool) -> Vec<Standing<'r>> {
        let begin = |row: &'r Row| {
            let treatment = self.params.treatment(row.prompt.task.as_deref());
            Standing::new(row, self.rules.course(row, &pool.query(&row.prompt), treatment))
        };
        rows.iter().map(begin).collect()
    }

    /// Fuses the candidates of some prompts; what cannot be read is asked for once more.
    fn fuse<'r>(&self, rows: &'r [Row], pool: &Pool) -> Result<Vec<Standing<'r>>, PipelineError> {
        let mut standings = self.begin(rows, pool);
        for is_again in [false, true] {
            asking::ask(self, &mut standings, is_again)?;
        }
        Ok(standings)
    }

    /// Refuses a server that failed every time: that is a wrong address, model or request, and no data.
    fn nobody_is_silent(&self, standings: &[Standing<'_>]) -> Result<(), PipelineError> {
        let mut said = standings.iter().flat_map(|standing| &standing.said).peekable();
        let is_server = self.voices.iter().any(|voice| voice.endpoint().is_some());
        if said.peek().is_none() || !is_server {
            return Ok(());
        }
        let failures: Option<Vec<&str>> = said.map(|answer| answer.failure.as_deref()).collect();
        failures.map_or(Ok(()), |failures| {
            let reason = failures.first().map_or_else(String::new, |reason| (*reason).to_owned());
            Err(PipelineError::Silent { teacher: self.params.fusor.clone(), reason })
        })
    }

    fn write(
        &self,
        (scratch, answers): (Scratch, &Matrix),
        (standings, scored): (&[Standing<'_>], Option<Scored>),
    ) -> Result<Artifact, PipelineError> {
        let mut table = TableWriter::<Completion>::create(&scratch.path(COMPLETIONS)?)?;
        let mut tally = Tally::default();
        for standing in standings {
            tally.add(standing);
            if let Some(completion) = standing.completion(self.params) {
                table.push(&completion)?;
            }
        }
        let mut draft = tally.draft(&self.job.label);
        draft.counts.insert("completions".into(), table.finish()?);
        if let Some(scored) = scored {
            write_table(&scratch, SCORES, &scored.scores)?;
            scored.marks.write_grounds(&scratch, &mut draft)?;
        }
        for task in self.unmet(answers) {
            let warning = format!("`tasks` names `{task}`, which is the task of no prompt");
            self.workshop.runtime.progress.warn(&self.job.label, &warning);
            draft.notes.push(warning);
        }
        tally.failures.write(self.params.max_failed, (&scratch, &mut draft))?;
        Ok(scratch.commit(draft)?)
    }

    /// Names under `tasks` that no prompt has.
    fn unmet(&self, answers: &Matrix) -> Vec<&'a str> {
        let met: BTreeSet<&str> = answers.rows().iter().filter_map(|row| row.prompt.task.as_deref()).collect();
        let named = self.params.tasks.keys().map(String::as_str);
        named.filter(|task| *task != DEFAULT_TASK && !met.contains(task)).collect()
    }
}
