//! What a report is made of: the artifacts of the run, read and put in order.

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::{candidate::Matrix, gates::Gates, outline::Outline, pool::Pool, router::Decision};
use cambist_io::{ledger::Latency, store::Artifact};

use super::measure::Measure;
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::{
        Action, Recipe,
        params::{EvaluateParams, GenerateParams, SelectParams},
    },
    run::Workshop,
    summary::{read_results, reward_based},
    verbs::{
        Results,
        answers::{Answers, pool_of},
        evaluate::variant_of,
        prompts::read_prompts,
        select::{self, table::StrategyTable},
        tables::{DECISIONS, DecisionRow, read_table},
    },
};

/// Everything that the run made before its report.
pub(super) struct Material<'a> {
    pub workshop: &'a Workshop<'a>,
    pub recipe: &'a Recipe,
    /// The jobs before the report with what they made, in the order of the plan.
    pub made: Vec<(&'a Job, Artifact)>,
    /// Answers put side by side: one for each `select` step, and one for each `generate` step that none reads.
    pub answers: Vec<AnswerSet>,
    /// One for each `evaluate` step.
    pub comparisons: Vec<Comparison>,
    /// How long calls took, as the store's ledger knows it.
    pub latencies: Vec<Latency>,
}

/// The answers of the pool to some prompts, scored, and what strategies made of them.
pub(super) struct AnswerSet {
    pub label: String,
    pub artifact: String,
    /// The `generate` artifacts that the answers stand in.
    pub sources: Vec<String>,
    pub matrix: Matrix,
    pub pool: Pool,
    pub measure: Measure,
    pub selection: Option<Selection>,
}

/// What a `select` step decided.
pub(super) struct Selection {
    pub table: StrategyTable,
    /// By strategy; of each whether it routed over answers of its own.
    pub decisions: BTreeMap<String, (bool, Vec<Decision>)>,
}

/// What an `evaluate` step found.
pub(super) struct Comparison {
    pub label: String,
    pub artifact: String,
    pub results: Results,
    /// The seeds that the models were trained with.
    pub seeds: Vec<u64>,
    /// The checkpoints that were measured.
    pub models: BTreeSet<String>,
    pub measure: Measure,
    /// What was answered: `polyglot of cambist 0.1.0`.
    pub task: String,
}

impl<'a> Material<'a> {
    /// Reads what `report` has as inputs.
    pub(super) fn read(workshop: &'a Workshop<'a>, report: &Job) -> Result<Self, PipelineError> {
        let plan = workshop.plan;
        let is_input = |job: &&Job| report.inputs.iter().any(|input| input.role == job.label);
        let made = plan.jobs.iter().filter(is_input).map(|job| Ok((job, workshop.artifact(&job.id)?)));
        let made = made.collect::<Result<Vec<_>, PipelineError>>()?;
        let latencies = workshop.ledger().latencies()?;
        let recipe = &plan.recipe;
        let mut material = Self { workshop, recipe, made, answers: Vec::new(), comparisons: Vec::new(), latencies };
        material.answers = material.read_answers()?;
        material.comparisons = material.read_comparisons()?;
        Ok(material)
    }

    /// The artifacts that a verb made.
    pub(super) fn of_verb(&self, verb: &str) -> impl Iterator<Item = &(&'a Job, Artifact)> {
        self.made.iter().filter(move |(_, artifact)| artifact.manifest().verb == verb)
    }

    /// The names of variants or strategies in the order that all pictures share: reward-based ones, the others, then
    /// the baseline.
    pub(super) fn ordered<'n>(&self, names: impl Iterator<Item = &'n String>, baseline: Option<&str>) -> Vec<&'n str> {
        let reward_based = reward_based(self.recipe);
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        names.sort_by_key(|name| (Some(*name) == baseline, !reward_based.contains(name)));
        names
    }

    /// The variant that students are compared with, if any `evaluate` step names one.
    pub(super) fn baseline(&self) -> Option<&str> {
        self.comparisons.iter().find_map(|comparison| comparison.results.against.as_deref())
    }

    fn action(&self, job: &Job) -> &'a Action {
        &self.workshop.plan.step_of(job).action
    }

    fn read_answers(&self) -> Result<Vec<AnswerSet>, PipelineError> {
        let mut sets = Vec::new();
        let mut read = BTreeSet::new();
        for (job, artifact) in self.of_verb("select") {
            if let Action::Select(params) = self.action(job) {
                read.extend(job.inputs.iter().map(|input| input.id.to_string()));
                sets.push(self.selected(job, artifact, params)?);
            }
        }
        for (job, _) in self.of_verb("generate").filter(|(job, _)| !read.contains(&job.id.to_string())) {
            if let Action::Generate(params) = self.action(job) {
                sets.push(self.generated(job, params)?);
            }
        }
        Ok(sets)
    }

    fn selected(
        &self,
        job: &'a Job,
        artifact: &Artifact,
        params: &'a SelectParams,
    ) -> Result<AnswerSet, PipelineError> {
        let matrix = select::matrix(self.workshop, job, params, "from")?;
        let table = serde_json::from_slice(&artifact.read("strategies.json")?).map_err(|error| {
            PipelineError::input(&job.label, error.to_string(), "run the step again after `cambist gc`")
        })?;
        let mut decisions: BTreeMap<String, (bool, Vec<Decision>)> = BTreeMap::new();
        for row in read_table::<DecisionRow>(artifact, DECISIONS)? {
            let of_strategy = decisions.entry(row.name).or_default();
            of_strategy.0 = !row.set.is_empty();
            of_strategy.1.push(row.decision);
        }
        let scored_by = match job.inputs("scores").next() {
            Some(scores) => self.arbiter_behind(scores),
            None => job.inputs("from").next().and_then(|from| self.arbiter_behind(from)),
        };
        Ok(AnswerSet {
            label: job.label.clone(),
            artifact: job.id.to_string(),
            sources: job.inputs("from").map(|input| input.id.to_string()).collect(),
            pool: pool_of(self.recipe, &Outline::of(&matrix), &params.eligibility)?,
            matrix,
            measure: Measure::of(self.recipe, scored_by),
            selection: Some(Selection { table, decisions }),
        })
    }

    /// Answers that no strategy saw, with the scores that stand beside them or that a later step gave.
    fn generated(&self, job: &Job, params: &GenerateParams) -> Result<AnswerSet, PipelineError> {
        let whole = Input { role: "from".into(), part: String::new(), id: job.id.clone() };
        let scored = self.of_verb("score").find(|(score, _)| score.inputs("from").any(|from| from.id == job.id));
        let scores = scored.map(|(score, _)| Input { id: score.id.clone(), ..whole.clone() });
        let answers = Answers {
            prompts: read_prompts(self.workshop, job.inputs("prompts"))?,
            completions: vec![&whole],
            scores: scores.iter().collect(),
            safety: Vec::new(),
            gates: &Gates::default(),
        };
        let matrix = answers.matrix(self.workshop, job)?;
        let arbiter = scores.as_ref().and_then(|scores| self.arbiter_behind(scores)).or(params.arbiter.as_deref());
        Ok(AnswerSet {
            label: job.label.clone(),
            artifact: job.id.to_string(),
            sources: vec![job.id.to_string()],
            pool: pool_of(self.recipe, &Outline::of(&matrix), &params.eligibility)?,
            matrix,
            measure: Measure::of(self.recipe, arbiter),
            selection: None,
        })
    }

    /// Who scored the artifact that `input` names.
    fn arbiter_behind(&self, input: &Input) -> Option<&'a str> {
        let (job, _) = self.made.iter().find(|(job, _)| job.id == input.id)?;
        match self.action(job) {
            Action::Generate(params) => params.arbiter.as_deref(),
            Action::Fuse(params) => params.arbiter.as_deref(),
            Action::Score(params) => Some(&params.arbiter),
            _ => None,
        }
    }

    fn read_comparisons(&self) -> Result<Vec<Comparison>, PipelineError> {
        let evaluated = self.of_verb("evaluate").filter_map(|(job, artifact)| match self.action(job) {
            Action::Evaluate(params) => Some((*job, artifact, params)),
            _ => None,
        });
        evaluated.map(|(job, artifact, params)| self.comparison(job, artifact, params)).collect()
    }

    fn comparison(&self, job: &Job, artifact: &Artifact, params: &EvaluateParams) -> Result<Comparison, PipelineError> {
        let seeds: BTreeSet<u64> = job.inputs("models").filter_map(|model| variant_of(&model.part).1).collect();
        Ok(Comparison {
            label: job.label.clone(),
            artifact: job.id.to_string(),
            results: read_results(artifact)?,
            seeds: seeds.into_iter().collect(),
            models: job.inputs("models").map(|model| model.id.to_string()).collect(),
            measure: Measure::of(self.recipe, Some(&params.arbiter)),
            task: self.task_behind(job),
        })
    }

    /// What prompts a job read, and of which version of the program.
    fn task_behind(&self, job: &Job) -> String {
        let prompts = job.inputs("prompts").next();
        let source = prompts.and_then(|prompts| self.made.iter().find(|(made, _)| made.id == prompts.id));
        let Some((source, artifact)) = source else { return String::new() };
        match self.action(source) {
            Action::Prompts(params) if params.polyglot.is_some() => {
                format!("polyglot of cambist {}", artifact.manifest().cambist_version)
            }
            Action::Prompts(params) => params.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default(),
            _ => String::new(),
        }
    }
}
