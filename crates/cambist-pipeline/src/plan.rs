//! The plan: every artifact that a recipe will make, named before anything runs.

mod money;
mod standing;
mod training;
mod warnings;

use std::path::{Path, PathBuf};

use cambist_core::digest::Digest;
use cambist_io::{
    disk::DiskError,
    formats::ModelFolderError,
    store::{self, ArtifactId, FileDigests, Identity},
};
use serde_json::{Value, json};

pub use money::{Estimate, Range};
pub use standing::{Standing, State};
pub use training::TrainingOutlook;

use crate::{
    checkpoint::{Bases, Checkpoint},
    error::PipelineError,
    recipe::{
        Action, Arbiter, EvidenceManner, PoolMember, Recipe, Reference, References, Step, TrainRun,
        fusion::FuseParams,
        params::{FitParams, GenerateParams, PromptsParams, SelectParams, TrainParams, TranslateParams},
    },
};

/// What a recipe will make, in the order of its steps.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The recipe.
    pub recipe: Recipe,
    /// The folder that the recipe's relative paths start from.
    pub folder: PathBuf,
    /// One job for each artifact; inputs stand before what reads them.
    pub jobs: Vec<Job>,
}

/// The making of one artifact.
#[derive(Clone, Debug)]
pub struct Job {
    /// The step's place in the recipe, from 0.
    pub step: usize,
    /// `step`, or `step.variant.seed-N` for one run of a `train` step.
    pub label: String,
    /// The artifact that it makes.
    pub id: ArtifactId,
    /// Everything that the artifact's name is made of.
    pub identity: Identity,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// Which run of a `train` step it is.
    pub run: Option<TrainRun>,
}

/// An artifact that a job reads, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The parameter, `teacher ID` for a local teacher.
    pub role: String,
    /// The part of the artifact; empty for all of it.
    pub part: String,
    /// The artifact.
    pub id: ArtifactId,
}

impl Input {
    /// The role, and the part where it is not all of the artifact: `data reward`.
    pub fn name(&self) -> String {
        if self.part.is_empty() { self.role.clone() } else { format!("{} {}", self.role, self.part) }
    }
}

/// The revision of each verb's meaning: raised when the same parameters come to mean another result.
fn revision(verb: &str) -> u32 {
    match verb {
        "translate" | "fuse" | "score" | "train" => 1,
        // 2: routers that draw lots keep how likely it was that each answer was asked for, and searching ones whether their
        // calibration still holds; prices of reward by language. 3: recorded answers cost what their length comes to.
        "generate" => 3,
        // 2: settings are compared on 1,500 prompts, and a path ends where it gets worse. 3: what nobody asked for is
        // missing, and no longer the worst; heads are minimised in other coordinates and from another start. 4: heads for more
        // than 2,000 prompts end where held-out losses change no more.
        "fit" => 4,
        // 2: the learned router and Weitzman's rule are strategies. 3: how strategies choose, prices of reward by language;
        // heads as in `fit`. 4: the same.
        "frontier" => 4,
        // 2: gates on refusals, mixed languages and lengths, safety scores, declared permissions. 3: declared permissions
        // of the authors and translators behind translated answers. 4: budgeted strategies have a price for each language.
        "select" => 4,
        // 2: how long calls took, how far arbiters agree. 3: how routers choose, whether calibration holds.
        "report" => 3,
        // 2: results by task carry intervals.
        "evaluate" => 2,
        // 2: identified languages carry their confidence, test sets are kept apart.
        "prompts" => 2,
        _ => 0,
    }
}

impl Plan {
    /// Names every artifact of `recipe`, whose relative paths start from `folder`.
    ///
    /// # Errors
    /// When a file that the recipe names is missing or cannot be read.
    pub fn new(recipe: Recipe, folder: &Path) -> Result<Self, PipelineError> {
        Self::with_digests(recipe, folder, &FileDigests::default())
    }

    /// As [`Plan::new`]; files that `digests` remembers are not read.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn with_digests(recipe: Recipe, folder: &Path, digests: &FileDigests) -> Result<Self, PipelineError> {
        let mut planner = Planner { recipe: &recipe, folder, jobs: Vec::new(), digests };
        for index in 0..recipe.steps.len() {
            planner.step(index)?;
        }
        let jobs = planner.jobs;
        Ok(Self { recipe, folder: folder.to_owned(), jobs })
    }

    /// The step that a job belongs to.
    pub fn step_of(&self, job: &Job) -> &Step {
        &self.recipe.steps[job.step]
    }

    /// The jobs of the step called `id`.
    pub fn jobs_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Job> {
        self.jobs.iter().filter(move |job| self.step_of(job).id == id)
    }

    /// The jobs that `targets` need, themselves included, in the plan's order.
    pub fn needed_by(&self, targets: &[usize]) -> Vec<usize> {
        let mut needed: Vec<bool> = (0..self.jobs.len()).map(|index| targets.contains(&index)).collect();
        for index in (0..self.jobs.len()).rev() {
            if !needed[index] {
                continue;
            }
            for input in &self.jobs[index].inputs {
                if let Some(source) = self.jobs.iter().position(|job| job.id == input.id) {
                    needed[source] = true;
                }
            }
        }
        (0..self.jobs.len()).filter(|&index| needed[index]).collect()
    }
}

impl Job {
    /// The first input read as `role`.
    ///
    /// # Errors
    /// When there is none, which would be a fault of the plan.
    pub fn input(&self, role: &str) -> Result<&Input, PipelineError> {
        self.inputs
            .iter()
            .find(|input| input.role == role)
            .ok_or_else(|| PipelineError::Internal(format!("the plan gave `{}` no input called `{role}`", self.label)))
    }

    /// All inputs read as `role`.
    pub fn inputs<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a Input> {
        self.inputs.iter().filter(move |input| input.role == role)
    }
}

struct Planner<'a> {
    recipe: &'a Recipe,
    folder: &'a Path,
    jobs: Vec<Job>,
    digests: &'a FileDigests,
}

impl Planner<'_> {
    fn step(&mut self, index: usize) -> Result<(), PipelineError> {
        let recipe = self.recipe;
        match &recipe.steps[index].action {
            Action::Prompts(params) => self.prompts(index, params),
            Action::Translate(params) => self.translate(index, params),
            Action::Generate(params) => self.generate(index, params),
            Action::Fuse(params) => self.fuse(index, params),
            Action::Score(params) => {
                let mut inputs = self.read("from", &params.from);
                inputs.extend(self.prompts_behind(&params.from));
                inputs.extend(self.behind_arbiter(index, &params.arbiter));
                let arbiter = self.arbiter(&params.arbiter)?;
                self.job(index, None, inputs, json!({ "score": params, "arbiter": arbiter }));
                Ok(())
            }
            Action::Fit(params) => self.fit(index, params),
            Action::Select(params) => {
                self.select(index, params);
                Ok(())
            }
            Action::Frontier(params) => {
                let mut inputs = self.read("from", &params.from);
                inputs.extend(self.prompts_behind(&params.from));
                inputs.extend(params.scores.iter().flat_map(|scores| self.read("scores", scores)));
                inputs.extend(params.value_scores.iter().flat_map(|scores| self.read("value_scores", scores)));
                self.job(index, None, inputs, json!({ "frontier": params, "pool": recipe.pool }));
                Ok(())
            }
            Action::Train(params) => self.train(index, params),
            Action::Evaluate(params) => {
                let mut inputs = self.read("models", &params.models);
                inputs.extend(self.read("prompts", &params.prompts));
                inputs.extend(self.behind_arbiter(index, &params.arbiter));
                let arbiter = self.arbiter(&params.arbiter)?;
                self.job(index, None, inputs, json!({ "evaluate": params, "arbiter": arbiter }));
                Ok(())
            }
            Action::Report(params) => {
                let as_input = |job: &Job| Input { role: job.label.clone(), part: String::new(), id: job.id.clone() };
                let inputs = self.jobs.iter().map(as_input).collect();
                let mut params =
                    json!({ "report": params, "name": recipe.name, "pool": recipe.pool, "text": recipe.text });
                let warnings = warnings::warnings(recipe);
                if !warnings.is_empty() {
                    params["warnings"] = json!(warnings);
                }
                self.job(index, None, inputs, params);
                Ok(())
            }
        }
    }

    fn prompts(&mut self, index: usize, params: &PromptsParams) -> Result<(), PipelineError> {
        let file = params.file.as_deref().map(|path| self.source(path)).transpose()?;
        self.job(index, None, Vec::new(), json!({ "prompts": params, "file_sha256": file }));
        Ok(())
    }

    fn generate(&mut self, index: usize, params: &GenerateParams) -> Result<(), PipelineError> {
        let mut inputs = self.read("prompts", &params.prompts);
        if let Some(calibration) = &params.calibration {
            inputs.extend(self.read("calibration", calibration));
            inputs.extend(self.prompts_behind(calibration).into_iter().map(as_calibration));
        }
        if let Some(router) = params.router.fitted_by() {
            inputs.extend(self.router("router", router));
        }
        let recipe = self.recipe;
        let asked = |member: &&PoolMember| params.teachers.is_empty() || params.teachers.contains(&member.id);
        let mut teachers = Vec::new();
        for member in recipe.pool.iter().filter(asked) {
            teachers.push(self.teacher(member, &mut inputs)?);
        }
        if let Some(arbiter) = &params.arbiter {
            inputs.extend(self.behind_arbiter(index, arbiter));
        }
        let arbiter = params.arbiter.as_deref().map(|id| self.arbiter(id)).transpose()?;
        self.job(index, None, inputs, json!({ "generate": params, "teachers": teachers, "arbiter": arbiter }));
        Ok(())
    }

    /// What names a teacher; the checkpoint behind it becomes an input.
    fn teacher(&mut self, member: &PoolMember, inputs: &mut Vec<Input>) -> Result<Value, PipelineError> {
        if let Some(reference) = &member.local {
            inputs.extend(self.read(&format!("teacher {}", member.id), reference));
        }
        let replay = member.replay.as_ref().map(|replay| self.file(&replay.file)).transpose()?;
        let folder = member.folder.as_deref().map(|folder| self.model_folder(folder)).transpose()?;
        Ok(json!({ "teacher": member, "replay_sha256": replay, "folder_sha256": folder }))
    }

    fn translate(&mut self, index: usize, params: &TranslateParams) -> Result<(), PipelineError> {
        let mut inputs = Vec::new();
        if let Some(answers) = &params.answers {
            inputs.extend(self.read("answers", answers));
            let asked = self.prompts_behind(answers).into_iter();
            inputs.extend(asked.map(|input| Input { role: "answered prompts".to_owned(), ..input }));
        }
        match (&params.prompts, &params.answers) {
            (Some(prompts), _) => inputs.extend(self.read("prompts", prompts)),
            (None, Some(answers)) => inputs.extend(self.prompts_behind(answers)),
            (None, None) => {}
        }
        let recipe = self.recipe;
        let member = recipe.pool.iter().find(|member| member.id == params.teacher);
        let teacher = member.map(|member| self.teacher(member, &mut inputs)).transpose()?;
        // Under `from` stands a language and no reference.
        let identity = json!({ "translate": params, "source_language": params.from, "teacher": teacher });
        self.job(index, None, inputs, identity);
        Ok(())
    }

    fn fuse(&mut self, index: usize, params: &FuseParams) -> Result<(), PipelineError> {
        let recipe = self.recipe;
        let all = |role: &str, references: &References| -> Vec<Input> {
            references.0.iter().flat_map(|reference| self.read(role, reference)).collect()
        };
        let mut inputs = all("from", &params.from);
        inputs.extend(self.prompts_behind_all(&params.from));
        inputs.extend(all("scores", &params.scores));
        inputs.extend(all("safety", &params.safety));
        let member = recipe.pool.iter().find(|member| member.id == params.fusor);
        let fusor = member.map(|member| self.teacher(member, &mut inputs)).transpose()?;
        inputs.extend(params.arbiter.iter().flat_map(|arbiter| self.behind_arbiter(index, arbiter)));
        let arbiter = params.arbiter.as_deref().map(|id| self.arbiter(id)).transpose()?;
        let identity = json!({ "fuse": params, "fusor": fusor, "arbiter": arbiter, "pool": recipe.pool });
        self.job(index, None, inputs, identity);
        Ok(())
    }

    fn fit(&mut self, index: usize, params: &FitParams) -> Result<(), PipelineError> {
        let mut inputs = self.read("from", &params.from);
        inputs.extend(self.prompts_behind(&params.from));
        if let Some(scores) = &params.scores {
            inputs.extend(self.read("scores", scores));
        }
        let folder = params.features.as_ref().and_then(|features| features.folder.as_deref());
        let folder = folder.map(|folder| self.model_folder(folder)).transpose()?;
        let model = params.features.as_ref().and_then(|features| features.local.as_ref());
        inputs.extend(model.into_iter().flat_map(|model| self.read("features", model)));
        let mut identity = json!({ "fit": params, "pool": self.recipe.pool });
        if let Some(folder) = folder {
            identity["folder_sha256"] = json!(folder);
        }
        self.job(index, None, inputs, identity);
        Ok(())
    }

    /// A fitted router under a role, with the model that it reads prompts with, where the recipe trains it.
    fn router(&self, role: &str, router: &Reference) -> Vec<Input> {
        let mut inputs = self.read(role, router);
        if let Some(Action::Fit(params)) = self.recipe.step(&router.step).map(|step| &step.action) {
            let model = params.features.as_ref().and_then(|features| features.local.as_ref());
            inputs.extend(model.into_iter().flat_map(|model| self.read(&format!("features of {role}"), model)));
        }
        inputs
    }

    fn select(&mut self, index: usize, params: &SelectParams) {
        let mut inputs = self.read("from", &params.from);
        inputs.extend(self.prompts_behind(&params.from));
        if let Some(scores) = &params.scores {
            inputs.extend(self.read("scores", scores));
        }
        if let Some(safety) = &params.safety {
            inputs.extend(self.read("safety", safety));
        }
        if let Some(calibration) = &params.calibration {
            inputs.extend(self.read("calibration", calibration));
            inputs.extend(self.prompts_behind(calibration).into_iter().map(as_calibration));
        }
        for (name, strategy) in &params.strategies {
            if let Some(from) = &strategy.from {
                inputs.extend(self.read(&format!("from {name}"), from));
            }
            if let Some(scores) = &strategy.scores {
                inputs.extend(self.read(&format!("scores {name}"), scores));
            }
            if let Some(safety) = &strategy.safety {
                inputs.extend(self.read(&format!("safety {name}"), safety));
            }
            if let Some(router) = strategy.router.fitted_by() {
                inputs.extend(self.router(&format!("router {name}"), router));
            }
        }
        self.job(index, None, inputs, json!({ "select": params, "pool": self.recipe.pool }));
    }

    fn train(&mut self, index: usize, params: &TrainParams) -> Result<(), PipelineError> {
        let start = match (&params.base, &params.base_folder) {
            (Some(base), _) => self.read("base", base),
            _ => Vec::new(),
        };
        let compared = params.reference_model.iter().flat_map(|reference| self.read("reference_model", reference));
        let start: Vec<Input> = start.into_iter().chain(compared).collect();
        let folder = params.base_folder.as_deref().map(|folder| self.model_folder(folder)).transpose()?;
        let source = |path: &Option<PathBuf>| path.as_deref().map(|path| self.source(path)).transpose();
        let (file, held_out_file) = (source(&params.data_file)?, source(&params.held_out_file)?);
        for run in self.recipe.runs(params) {
            let mut inputs = start.clone();
            if let Some(data) = &params.data {
                let part = run.variant.clone().or_else(|| data.part.clone());
                inputs.extend(self.read("data", &Reference { step: data.step.clone(), part }));
            }
            if let Some(held_out) = &params.held_out {
                let is_select = |step: &Step| matches!(step.action, Action::Select(_));
                let own = run.variant.clone().filter(|_| self.recipe.step(&held_out.step).is_some_and(is_select));
                let part = held_out.part.clone().or(own);
                inputs.extend(self.read("held_out", &Reference { step: held_out.step.clone(), part }));
            }
            let seed = run.seed.unwrap_or(self.recipe.seed);
            let mut identity = json!({ "train": Unnamed(params).value(), "seed": seed, "folder_sha256": folder });
            for (key, file) in [("file_sha256", &file), ("held_out_file_sha256", &held_out_file)] {
                if let Some(file) = file {
                    identity[key] = json!(file);
                }
            }
            self.job(index, Some(run), inputs, identity);
        }
        Ok(())
    }

    fn job(&mut self, step: usize, run: Option<TrainRun>, inputs: Vec<Input>, params: Value) {
        let Step { id, action, .. } = &self.recipe.steps[step];
        let verb = action.verb();
        let run_name = run.as_ref().map(TrainRun::name).unwrap_or_default();
        let label = if run_name.is_empty() { id.clone() } else { format!("{id}.{run_name}") };
        let named = |input: &Input| store::Input { name: input.name(), id: input.id.clone() };
        let identity = Identity {
            verb: verb.to_owned(),
            revision: revision(verb),
            params: without_references(params),
            inputs: inputs.iter().map(named).collect(),
            seed: self.recipe.seed,
        };
        self.jobs.push(Job { step, label, id: identity.id(), identity, inputs, run });
    }

    /// The parts that `reference` names, as inputs.
    fn read(&self, role: &str, reference: &Reference) -> Vec<Input> {
        let of_step = self.jobs.iter().filter(|job| self.recipe.steps[job.step].id == reference.step);
        of_step
            .flat_map(|job| {
                let step = &self.recipe.steps[job.step];
                let parts = match &job.run {
                    Some(run) => Some(run.name()).into_iter().filter(|part| reference.covers(part)).collect(),
                    None => self.recipe.parts_read(step, reference),
                };
                parts.into_iter().map(|part| Input { role: role.to_owned(), part, id: job.id.clone() })
            })
            .collect()
    }

    /// The prompts that the answers under `reference` answer.
    fn prompts_behind(&self, reference: &Reference) -> Vec<Input> {
        match self.recipe.step(&reference.step).map(|step| &step.action) {
            Some(Action::Generate(params)) => self.read("prompts", &params.prompts),
            Some(Action::Translate(params)) => match (&params.prompts, &params.answers) {
                (Some(prompts), _) => self.read("prompts", prompts),
                (None, Some(answers)) => self.prompts_behind(answers),
                (None, None) => Vec::new(),
            },
            Some(Action::Fuse(params)) => self.prompts_behind_all(&params.from),
            Some(Action::Score(params)) => self.prompts_behind(&params.from),
            _ => Vec::new(),
        }
    }

    /// The prompts that the answers under any of `references` answer, each set once.
    fn prompts_behind_all(&self, references: &References) -> Vec<Input> {
        let mut prompts: Vec<Input> = Vec::new();
        for input in references.0.iter().flat_map(|reference| self.prompts_behind(reference)) {
            if !prompts.contains(&input) {
                prompts.push(input);
            }
        }
        prompts
    }

    fn arbiter(&mut self, id: &str) -> Result<Value, PipelineError> {
        let Some(arbiter) = self.recipe.arbiters.iter().find(|arbiter| arbiter.id == id) else {
            return Err(PipelineError::Internal(format!("the arbiter `{id}` passed the check and is not there")));
        };
        let file = arbiter.recorded.as_ref().map(|recorded| self.file(&recorded.file)).transpose()?;
        let mut identity = json!({ "arbiter": arbiter as &Arbiter, "file_sha256": file });
        if let Some(folder) = &arbiter.folder {
            identity["folder_sha256"] = json!(self.model_folder(folder)?);
        }
        if let Some(panel) = &arbiter.ensemble {
            let members = panel.of.iter().map(|member| self.arbiter(member)).collect::<Result<Vec<_>, _>>()?;
            identity["members"] = json!(members);
        }
        Ok(identity)
    }

    /// The checkpoints that score, the evidence that supports, and what a panel's scales are fitted on.
    fn behind_arbiter(&self, index: usize, id: &str) -> Vec<Input> {
        let trained = |arbiter: &Arbiter| {
            let read = |reference| self.read(&format!("arbiter {}", arbiter.id), reference);
            arbiter.local.as_ref().map(read).unwrap_or_default()
        };
        let evident = |arbiter: &Arbiter| {
            let evidence = arbiter.mbr.as_ref().and_then(|mbr| mbr.evidence.as_ref());
            let read = |evidence: &EvidenceManner| self.read(&format!("evidence {}", arbiter.id), &evidence.from);
            evidence.map(read).unwrap_or_default()
        };
        let members = self.recipe.members_of(id).into_iter();
        let mut inputs: Vec<Input> = members.flat_map(|of| [trained(of), evident(of)].concat()).collect();
        inputs.extend(self.scales(index, id));
        inputs
    }

    /// What a panel's scales are fitted on, where that is not the step itself.
    fn scales(&self, index: usize, id: &str) -> Vec<Input> {
        let arbiter = self.recipe.arbiters.iter().find(|arbiter| arbiter.id == id);
        let reference = arbiter.and_then(|arbiter| arbiter.ensemble.as_ref()?.calibration.as_ref());
        let Some(reference) = reference.filter(|reference| reference.step != self.recipe.steps[index].id) else {
            return Vec::new();
        };
        let mut inputs = self.read("scales", reference);
        let prompts = self.prompts_behind(reference);
        inputs.extend(prompts.into_iter().map(|input| Input { role: "scales prompts".to_owned(), ..input }));
        inputs
    }

    /// The digest of a file that the recipe names.
    fn file(&self, path: &Path) -> Result<Digest, PipelineError> {
        let path = self.folder.join(path);
        self.digests.digest(&path).map_err(|error| not_there(error, &path))
    }

    /// The digest of a file, folder, pattern or address of prompts; what lies elsewhere is fetched.
    fn source(&self, path: &Path) -> Result<Digest, PipelineError> {
        let path = cambist_io::remote::locate(self.folder, path)?;
        cambist_io::formats::digest_source(&path, self.digests).map_err(|error| not_there(error, &path))
    }

    fn model_folder(&mut self, path: &Path) -> Result<Digest, PipelineError> {
        let path = self.folder.join(path);
        let checkpoint = Checkpoint::of_folder(&path, Bases::of_recipe(self.folder)).map_err(|error| match error {
            PipelineError::ModelFolder(ModelFolderError::Disk(error)) => not_there(error, &path),
            error => error,
        })?;
        Ok(checkpoint.digest())
    }
}

/// Returns the parameters without the names of steps: what they stand for is in the inputs, so that renaming a step
/// makes nothing anew.
fn without_references(params: Value) -> Value {
    const REFERENCES: [&str; 12] = [
        "answers",
        "base",
        "calibration",
        "data",
        "from",
        "held_out",
        "local",
        "models",
        "prompts",
        "reference_model",
        "safety",
        "scores",
    ];
    match params {
        Value::Object(map) => {
            let is_name = |key: &str, value: &Value| value.is_string() && REFERENCES.contains(&key);
            let kept = map.into_iter().filter(|(key, value)| !is_name(key, value));
            Value::Object(kept.map(|(key, value)| (key, without_references(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_references).collect()),
        other => other,
    }
}

/// A file that the recipe names is looked for beside the recipe: that is what a user forgets.
fn not_there(error: DiskError, path: &Path) -> PipelineError {
    match error {
        DiskError::Missing { .. } => PipelineError::NoFile { path: path.to_owned() },
        error => error.into(),
    }
}

/// Calibration prompts stand beside the prompts to decide on, under their own role.
fn as_calibration(input: Input) -> Input {
    Input { role: format!("calibration {}", input.role), ..input }
}

/// A `train` step's parameters without the list of seeds: a run's name depends on its own seed alone.
struct Unnamed<'a>(&'a TrainParams);

impl Unnamed<'_> {
    fn value(&self) -> Value {
        let mut params = self.0.clone();
        params.seeds.clear();
        json!(params)
    }
}
