//! Whether steps read what earlier steps make.

use cambist_core::{
    features::Hashed,
    language::Language,
    polyglot::{self, Task},
};

use cambist_model::{Keep, PROJECTIONS};

use super::{
    Action, Arbiter, PoolMember, Recipe, Step,
    decode::unknown,
    endpoints::{arbiter_faults, teacher_faults},
    fault::{Fault, Place},
    fusion::fuse_faults,
    labels::label_fault,
    local_arbiter::{answering_fault, local_faults, order_fault, teacher_dtype_fault},
    mbr::{evidence_fault, mbr_faults},
    node::{Content, Node},
    panel::panel_faults,
    params::{
        EvaluateParams, FeaturesParams, FitParams, PromptsParams, RouterParams, SelectParams, TrainParams,
        TranslateParams,
    },
    parts::{LABELS, PAIRS},
    preference::objective_faults,
    reference::Reference,
    relative::{evaluate_fault, relative_faults, safety_faults},
    routing::{budgeted_faults, frontier_faults, live_faults},
};

/// What a step leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Prompts,
    Completions,
    Scores,
    Router,
    Datasets,
    Frontier,
    Checkpoint,
    Results,
    Report,
}

impl Kind {
    pub(crate) fn of(action: &Action) -> Self {
        match action {
            Action::Prompts(_) => Self::Prompts,
            Action::Translate(params) if params.answers.is_none() => Self::Prompts,
            Action::Translate(_) | Action::Generate(_) | Action::Fuse(_) => Self::Completions,
            Action::Score(_) => Self::Scores,
            Action::Fit(_) => Self::Router,
            Action::Select(_) => Self::Datasets,
            Action::Frontier(_) => Self::Frontier,
            Action::Train(_) => Self::Checkpoint,
            Action::Evaluate(_) => Self::Results,
            Action::Report(_) => Self::Report,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Completions => "completions",
            Self::Scores => "scores",
            Self::Router => "a router",
            Self::Datasets => "datasets",
            Self::Frontier => "a frontier",
            Self::Checkpoint => "a checkpoint",
            Self::Results => "results",
            Self::Report => "a report",
        }
    }
}

/// What a step reads: the parameter's name, the reference and the kinds that fit.
pub(crate) type Use<'a> = (&'static str, &'a Reference, &'static [Kind]);

/// Everything that a step reads, in a fixed order.
pub(crate) fn uses(action: &Action) -> Vec<Use<'_>> {
    use Kind::{Checkpoint, Completions, Datasets, Prompts, Router, Scores};
    let mut all: Vec<Use<'_>> = Vec::new();
    match action {
        Action::Prompts(_) | Action::Report(_) => {}
        Action::Translate(p) => {
            all.extend(p.prompts.iter().map(|r| ("prompts", r, [Prompts].as_slice())));
            all.extend(p.answers.iter().map(|r| ("answers", r, [Completions].as_slice())));
        }
        Action::Generate(p) => {
            all.push(("prompts", &p.prompts, &[Prompts]));
            all.extend(p.calibration.iter().map(|r| ("calibration", r, [Completions].as_slice())));
            all.extend(p.router.fitted_by().map(|r| ("router", r, [Router].as_slice())));
        }
        Action::Fuse(p) => {
            all.extend(p.from.0.iter().map(|r| ("from", r, [Completions].as_slice())));
            all.extend(p.scores.0.iter().map(|r| ("scores", r, [Scores].as_slice())));
            all.extend(p.safety.0.iter().map(|r| ("safety", r, [Scores].as_slice())));
        }
        Action::Fit(p) => {
            all.push(("from", &p.from, &[Completions]));
            all.extend(p.scores.iter().map(|r| ("scores", r, [Scores].as_slice())));
            let model = p.features.as_ref().and_then(|features| features.local.as_ref());
            all.extend(model.map(|r| ("features", r, [Checkpoint].as_slice())));
        }
        Action::Score(p) => all.push(("from", &p.from, &[Completions])),
        Action::Select(p) => {
            all.push(("from", &p.from, &[Completions]));
            all.extend(p.scores.iter().map(|r| ("scores", r, [Scores].as_slice())));
            all.extend(p.safety.iter().map(|r| ("safety", r, [Scores].as_slice())));
            all.extend(
                p.strategies.values().filter_map(|s| s.safety.as_ref()).map(|r| ("safety", r, [Scores].as_slice())),
            );
            all.extend(p.calibration.iter().map(|r| ("calibration", r, [Completions].as_slice())));
            all.extend(
                p.strategies.values().filter_map(|s| s.router.fitted_by()).map(|r| ("router", r, [Router].as_slice())),
            );
            all.extend(
                p.strategies.values().filter_map(|s| s.from.as_ref()).map(|r| ("from", r, [Completions].as_slice())),
            );
            all.extend(
                p.strategies.values().filter_map(|s| s.scores.as_ref()).map(|r| ("scores", r, [Scores].as_slice())),
            );
        }
        Action::Frontier(p) => {
            all.push(("from", &p.from, &[Completions]));
            all.extend(p.scores.iter().map(|r| ("scores", r, [Scores].as_slice())));
            all.extend(p.value_scores.iter().map(|r| ("value_scores", r, [Scores].as_slice())));
        }
        Action::Train(p) => {
            all.extend(p.base.iter().map(|r| ("base", r, [Checkpoint].as_slice())));
            all.extend(p.reference_model.iter().map(|r| ("reference_model", r, [Checkpoint].as_slice())));
            all.extend(p.data.iter().map(|r| ("data", r, [Datasets, Prompts].as_slice())));
            all.extend(p.held_out.iter().map(|r| ("held_out", r, [Datasets, Prompts].as_slice())));
        }
        Action::Evaluate(p) => {
            all.push(("models", &p.models, &[Checkpoint]));
            all.push(("prompts", &p.prompts, &[Prompts]));
        }
    }
    all
}

/// Returns the faults that only the whole recipe shows.
pub(super) fn check(recipe: &Recipe, root: &Node) -> Vec<Fault> {
    let mut checker = Checker { recipe, root, faults: Vec::new() };
    for (index, step) in recipe.steps.iter().enumerate() {
        checker.step(index, step);
    }
    checker.pool();
    checker.faults
}

struct Checker<'a> {
    recipe: &'a Recipe,
    root: &'a Node,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    fn fault(&mut self, place: Place, what: String, remedy: impl Into<String>) {
        self.faults.push(Fault::new(place, what, remedy));
    }

    fn step(&mut self, index: usize, step: &Step) {
        if self.recipe.steps.iter().take(index).any(|earlier| earlier.id == step.id) {
            let what = format!("the id `{}` stands twice in `steps`", step.id);
            self.fault(step.place, what, "give one of them its own `id`");
        }
        for (param, reference, kinds) in uses(&step.action) {
            self.reference(index, step, (param, reference, kinds));
        }
        match &step.action {
            Action::Prompts(p) => {
                self.one_of(step.place, &[("polyglot", p.polyglot.is_some()), ("file", p.file.is_some())]);
                self.prompts(step, p);
            }
            Action::Translate(p) => {
                self.translate(step, p);
                self.teacher(step, &p.teacher);
                self.trained_before(index, step, std::slice::from_ref(&p.teacher));
            }
            Action::Generate(p) => {
                self.router(step, &p.router, p.calibration.is_some());
                let faults = live_faults(step, p, (self.recipe, |key: &str| self.place_in(step, key)));
                self.faults.extend(faults);
                for teacher in &p.teachers {
                    self.teacher(step, teacher);
                }
                self.trained_before(index, step, &p.teachers);
                self.asks_no_engine(step, &p.teachers);
                self.arbiter(step, p.arbiter.as_deref());
                if self.recipe.pool.is_empty() {
                    let what = format!("`{}` asks teachers, and the recipe has no `pool`", step.id);
                    self.fault(step.place, what, "declare teachers under `pool:`");
                }
            }
            Action::Fuse(p) => {
                let faults = fuse_faults(step, p, (self.recipe, |key: &str| self.place_in(step, key)));
                self.faults.extend(faults);
                self.faults.extend(safety_faults(step, p.safety.0.iter(), self.recipe));
                self.teacher(step, &p.fusor);
                self.trained_before(index, step, std::slice::from_ref(&p.fusor));
                self.arbiter(step, p.arbiter.as_deref());
            }
            Action::Score(p) => self.arbiter(step, Some(&p.arbiter)),
            Action::Fit(p) => self.fit(step, p),
            Action::Select(p) => self.select(step, p),
            Action::Frontier(p) => {
                let faults = frontier_faults(step, p, |key| self.place_in(step, key));
                self.faults.extend(faults);
            }
            Action::Train(p) => {
                let starts =
                    [("base", p.base.is_some()), ("base_folder", p.base_folder.is_some()), ("new", p.new.is_some())];
                self.one_of(step.place, &starts);
                self.one_of(step.place, &[("data", p.data.is_some()), ("data_file", p.data_file.is_some())]);
                self.held_out(step, p);
                let faults = objective_faults((step, p.as_ref()), self.recipe, |word| self.place_in(step, word));
                self.faults.extend(faults);
                self.lora(step, p);
            }
            Action::Evaluate(p) => {
                self.arbiter(step, Some(&p.arbiter));
                self.against(step, p);
                self.faults.extend(evaluate_fault(step, p, self.recipe));
                let place = self.place_in(step, "models");
                self.faults.extend(answering_fault(place, ("a model under `models`", &p.models), self.recipe));
            }
            Action::Report(_) => {}
        }
    }

    fn prompts(&mut self, step: &Step, params: &PromptsParams) {
        for name in params.splits.iter().filter(|(_, n_sources)| **n_sources == 0).map(|(name, _)| name) {
            let what = format!("the split `{name}` takes no sources");
            self.fault(self.place_in(step, name), what, "give it at least 1, or remove it");
        }
        let Some(polyglot) = &params.polyglot else { return };
        let tasks = Task::ALL.map(Task::name);
        for task in polyglot.tasks.iter().filter(|task| !tasks.contains(&task.as_str())) {
            self.faults.push(unknown(self.place_in(step, task), ("polyglot task", task), &tasks));
        }
        let spoken = polyglot::languages();
        let tags: Vec<&str> = spoken.iter().map(Language::as_str).collect();
        for (at, language) in params.languages.iter().enumerate() {
            let place = self.place_in(step, language.as_str());
            if !spoken.contains(language) {
                self.faults.push(unknown(place, ("polyglot language", language.as_str()), &tags));
            } else if params.languages[..at].contains(language) {
                self.fault(place, format!("`{language}` is listed twice"), "remove one");
            }
        }
        let wanted: usize = params.splits.values().sum();
        match polyglot.sources {
            Some(sources) if sources < wanted => {
                let what = format!("the splits take {wanted} sources and `sources` makes {sources}");
                self.fault(self.place_in(step, "sources"), what, "raise it, or leave it out to make as many");
            }
            None if params.splits.is_empty() => {
                let what = format!("`{}` does not say how many prompts to make", step.id);
                self.fault(self.place_in(step, "polyglot"), what, "set `sources`, or name `splits`");
            }
            _ => {}
        }
    }

    /// Held-out rows and how often they are measured stand together; the best step and an early end need both.
    fn held_out(&mut self, step: &Step, params: &TrainParams) {
        let TrainParams { held_out, held_out_file, config, .. } = params;
        if held_out.is_some() && held_out_file.is_some() {
            self.one_of(step.place, &[("held_out", true), ("held_out_file", true)]);
        }
        match (params.has_held_out(), config.eval_every) {
            (true, None) => {
                let what = format!("`{}` has held-out rows and does not say when to measure them", step.id);
                let key = if held_out.is_some() { "held_out" } else { "held_out_file" };
                self.fault(self.place_in(step, key), what, "add `config: {eval_every: 50}`, in steps");
            }
            (false, Some(_)) => {
                let what = format!("`{}` is to be measured every some steps, and on nothing", step.id);
                self.fault(
                    self.place_in(step, "eval_every"),
                    what,
                    "add `held_out` or `held_out_file` with rows that `data` has not",
                );
            }
            (false, None) if config.keep == Keep::Best || config.patience.is_some() => {
                let what = format!("`{}` cannot know its best step without held-out rows", step.id);
                let remedy =
                    "add `held_out` or `held_out_file` and `config.eval_every`, or remove `keep` and `patience`";
                self.fault(self.place_in(step, "config"), what, remedy);
            }
            _ => {}
        }
    }

    /// What only a model could refuse later is refused now.
    fn lora(&mut self, step: &Step, params: &TrainParams) {
        let Some(lora) = &params.lora else { return };
        if params.new.is_some() {
            let what = format!("`{}` trains an adapter on a new model, whose weights nobody trained", step.id);
            self.fault(self.place_in(step, "lora"), what, "remove `lora`, or give `base` or `base_folder`");
        }
        if !params.dtype.is_f32() {
            let what = format!("`{}` trains an adapter, which is kept in f32", step.id);
            self.fault(self.place_in(step, "dtype"), what, "remove `dtype`; `merge-adapter` takes one");
        }
        if lora.r == 0 {
            self.fault(self.place_in(step, "r"), "`r` is 0".into(), "give at least 1; the default is 16");
        }
        if !(lora.alpha > 0.0 && lora.alpha.is_finite()) {
            let what = format!("`alpha` is {}", lora.alpha);
            self.fault(self.place_in(step, "alpha"), what, "give a number above 0; the default is 32");
        }
        for target in lora.targets.iter().filter(|target| !PROJECTIONS.contains(&target.as_str())) {
            self.faults.push(unknown(self.place_in(step, target), ("projection", target), &PROJECTIONS));
        }
    }

    /// The baseline must be one of the variants under comparison.
    fn against(&mut self, step: &Step, params: &EvaluateParams) {
        let Some(against) = &params.against else { return };
        let Some(Action::Train(trained)) = self.recipe.step(&params.models.step).map(|step| &step.action) else {
            return;
        };
        let runs = self.recipe.runs(trained);
        let compared = runs.iter().filter(|run| params.models.covers(&run.name()));
        let mut variants: Vec<&str> = compared.filter_map(|run| run.variant.as_deref()).collect();
        variants.dedup();
        if !variants.contains(&against.as_str()) {
            self.faults.push(unknown(self.place_in(step, "against"), ("variant", against), &variants));
        }
    }

    fn fit(&mut self, step: &Step, params: &FitParams) {
        if let Err(error) = Hashed::new(params.bits) {
            self.fault(self.place_in(step, "bits"), error.to_string(), "remove `bits` for 16");
        }
        if let Some(FeaturesParams { local, folder, .. }) = &params.features
            && local.is_some() == folder.is_some()
        {
            let what =
                format!("`features` of `{}` names {} models", step.id, if local.is_some() { "two" } else { "no" });
            self.fault(self.place_in(step, "features"), what, "give one of `local` (a `train` step) and `folder`");
        }
        if !(params.max_weight >= 1.0 && params.max_weight.is_finite()) {
            let what = format!("`max_weight` of `{}` is {}, and a number from 1 on", step.id, params.max_weight);
            self.fault(self.place_in(step, "max_weight"), what, "remove it for 50");
        }
        if params.gates.safety.is_some() {
            let what = format!("`{}` has a safety gate and no safety scores", step.id);
            self.fault(self.place_in(step, "safety"), what, "remove `safety`: a router keeps no answers");
        }
    }

    fn select(&mut self, step: &Step, params: &SelectParams) {
        if params.strategies.is_empty() {
            let what = format!("`{}` has no strategies", step.id);
            self.fault(step.place, what, "add at least one, for example `strategies: {reward: {router: all}}`");
        }
        for (name, what_is) in [(PAIRS, "the preference pairs are"), (LABELS, "the labelled answers are")] {
            if params.strategies.contains_key(name) {
                let what = format!("`{name}` cannot be a strategy of `{}`", step.id);
                self.fault(self.place_in(step, name), what, format!("{what_is} called so: choose another name"));
            }
        }
        let fault = label_fault(step, params, |key| self.place_in(step, key));
        self.faults.extend(fault);
        for strategy in params.strategies.values() {
            let from = strategy.from.as_ref().unwrap_or(&params.from);
            if !self.is_named_answer(&strategy.router, from) {
                self.router(step, &strategy.router, params.calibration.is_some());
            }
        }
        self.safety(step, params);
        let own = params.strategies.values().filter_map(|strategy| strategy.safety.as_ref());
        self.faults.extend(safety_faults(step, params.safety.iter().chain(own), self.recipe));
    }

    /// Whether the router takes translated or fused answers by their name.
    fn is_named_answer(&self, router: &RouterParams, from: &Reference) -> bool {
        let RouterParams::Single(name) = router else { return false };
        self.recipe.named_answers().any(|(step, named)| step.id == from.step && named == name)
    }

    fn translate(&mut self, step: &Step, params: &TranslateParams) {
        if params.prompts.is_none() && params.answers.is_none() {
            self.fault(step.place, "none of `prompts`, `answers` is given".into(), "say what to translate");
        }
        if params.answers.is_none() && params.to.is_empty() {
            let what = format!("`{}` does not say into which languages to translate", step.id);
            self.fault(step.place, what, "add `to`, such as `to: [de, tr]`");
        }
        let engine = self.recipe.pool.iter().find(|member| member.id == params.teacher);
        if params.template.is_some() && engine.is_some_and(|member| member.translation_dialect().is_some()) {
            let what = format!("`{}` has a `template`, and `{}` is a translation engine", step.id, params.teacher);
            self.fault(self.place_in(step, "template"), what, "engines take no instructions: remove it");
        }
        let lacks = |part: &&str| params.template.as_ref().is_some_and(|template| !template.contains(part));
        for part in ["{target_language}", "{text}"].iter().filter(|part| lacks(part)) {
            let what = format!("`template` of `{}` has no `{part}`", step.id);
            self.fault(self.place_in(step, "template"), what, "say where it is to be filled in");
        }
        if params.answers.is_some() && self.recipe.pool.iter().any(|member| member.id == params.name) {
            let what = format!("`as` of `{}` is `{}`, which is a teacher of the pool", step.id, params.name);
            self.fault(self.place_in(step, "as"), what, "choose another name");
        }
    }

    /// The safety gate and the scores that it reads stand together.
    fn safety(&mut self, step: &Step, params: &SelectParams) {
        let has_gate = params.gates.safety.is_some();
        let own = params.strategies.iter().filter(|(_, strategy)| strategy.from.is_some());
        let sources = own.map(|(name, strategy)| (format!("strategy `{name}` of `{}`", step.id), &strategy.safety));
        for (whose, scores) in std::iter::once((format!("`{}`", step.id), &params.safety)).chain(sources) {
            if has_gate && scores.is_none() {
                let what = format!("{whose} has a safety gate and no safety scores");
                let remedy = "add `safety:` with the id of a `score` step that reads the same answers";
                self.fault(self.place_in(step, "safety"), what, remedy);
            }
            if !has_gate && scores.is_some() {
                let what = format!("{whose} has safety scores and no safety gate");
                self.fault(self.place_in(step, "safety"), what, "add `gates: {safety: {min_score: ...}}`");
            }
        }
        let stray = params.strategies.iter().find(|(_, strategy)| strategy.safety.is_some() && strategy.from.is_none());
        if let Some((name, _)) = stray {
            let what = format!("strategy `{name}` of `{}` has `safety` and no `from`", step.id);
            self.fault(self.place_in(step, name), what, "the step's own `safety` holds for its answers: remove it");
        }
    }

    fn router(&mut self, step: &Step, router: &RouterParams, has_calibration: bool) {
        if router.needs_calibration() && !has_calibration {
            let what = format!("`{}` uses a router that is chosen on calibration answers, and has none", step.id);
            let remedy = "add `calibration:` with the id of a `generate` step that asks everybody, with an arbiter";
            self.fault(self.place_in(step, "router"), what, remedy);
        }
        if matches!(router, RouterParams::AllBon { samples } if *samples < 2) {
            let what = format!("`{}`: best of fewer than 2 samples is no choice", step.id);
            self.fault(self.place_in(step, "samples"), what, "ask for at least 2, or use `all`");
        }
        if matches!(router, RouterParams::Learned { explore, .. } if !(0.0..=1.0).contains(explore)) {
            let what = format!("`explore` of `{}` is no probability", step.id);
            self.fault(self.place_in(step, "explore"), what, "give a number from 0 to 1");
        }
        if let RouterParams::Budgeted(params) = router {
            let place = |key: &str| self.place_in(step, key);
            let faults = budgeted_faults(step, params, place);
            self.faults.extend(faults);
        }
        match router {
            RouterParams::Single(teacher) | RouterParams::SingleBon { teacher, .. } if teacher != "best" => {
                self.teacher(step, teacher);
            }
            _ => {}
        }
        if matches!(router, RouterParams::SingleBon { samples, .. } if *samples < 2) {
            let what = format!("`{}`: best of fewer than 2 samples is no choice", step.id);
            self.fault(self.place_in(step, "samples"), what, "ask for at least 2, or use `single`");
        }
    }

    fn teacher(&mut self, step: &Step, id: &str) {
        let known: Vec<&str> = self.recipe.pool.iter().map(|member| member.id.as_str()).collect();
        if !known.contains(&id) {
            let place = self.place_in(step, id);
            self.faults.push(unknown(place, ("teacher", id), &known));
        }
    }

    /// Translation engines answer no prompts; an empty list asks everybody.
    fn asks_no_engine(&mut self, step: &Step, teachers: &[String]) {
        let recipe = self.recipe;
        let is_asked = |id: &String| teachers.is_empty() || teachers.contains(id);
        let engines =
            recipe.pool.iter().filter(|member| is_asked(&member.id) && member.translation_dialect().is_some());
        for engine in engines {
            let what = format!("`{}` asks `{}`, which is a translation engine", step.id, engine.id);
            self.fault(step.place, what, "list under `teachers` who is to answer");
        }
    }

    /// Local teachers must be trained above the step that asks them; an empty list asks everybody.
    fn trained_before(&mut self, index: usize, step: &Step, teachers: &[String]) {
        let recipe = self.recipe;
        for member in recipe.pool.iter().filter(|m| teachers.is_empty() || teachers.contains(&m.id)) {
            let Some(reference) = &member.local else { continue };
            if recipe.steps.iter().position(|other| other.id == reference.step).is_some_and(|found| found >= index) {
                let what = format!("`{}` asks `{}`, which `{reference}` trains later", step.id, member.id);
                self.fault(step.place, what, "steps run from top to bottom: move the training up");
            }
        }
    }

    fn arbiter(&mut self, step: &Step, id: Option<&str>) {
        let known: Vec<&str> = self.recipe.arbiters.iter().map(|arbiter| arbiter.id.as_str()).collect();
        if let Some(id) = id.filter(|id| !known.contains(id)) {
            let place = self.place_in(step, id);
            self.faults.push(unknown(place, ("arbiter", id), &known));
        }
        self.faults.extend(id.and_then(|id| order_fault(step, id, self.recipe)));
        self.faults.extend(id.and_then(|id| evidence_fault(step, id, self.recipe)));
    }

    fn reference(&mut self, index: usize, step: &Step, (param, reference, kinds): Use<'_>) {
        let place = self.place_in(step, &reference.to_string());
        let Some(found) = self.recipe.steps.iter().position(|other| other.id == reference.step) else {
            let known: Vec<&str> = self.recipe.steps.iter().take(index).map(|s| s.id.as_str()).collect();
            self.faults.push(unknown(place, ("step", &reference.step), &known));
            return;
        };
        if found >= index {
            let what = format!("`{param}` of `{}` reads `{reference}`, which comes later", step.id);
            self.fault(place, what, "steps run from top to bottom: move it up");
            return;
        }
        let source = &self.recipe.steps[found];
        let kind = Kind::of(&source.action);
        if !kinds.contains(&kind) {
            let wanted: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
            let what = format!(
                "`{param}` of `{}` reads `{reference}`, which makes {}; expected {}",
                step.id,
                kind.name(),
                wanted.join(" or ")
            );
            self.fault(place, what, "name a step that makes it");
            return;
        }
        self.part(place, source, reference);
    }

    fn part(&mut self, place: Place, source: &Step, reference: &Reference) {
        let Some(part) = &reference.part else { return };
        if let Action::Select(params) = &source.action {
            let lacks = match part.as_str() {
                PAIRS if params.pairs.is_none() => Some("preference pairs"),
                LABELS if params.labels.is_none() => Some("labels"),
                _ => None,
            };
            if let Some(lacks) = lacks {
                let what = format!("`{}` makes no {lacks}", source.id);
                self.fault(place, what, format!("add `{part}: {{}}` to `{}`", source.id));
                return;
            }
        }
        let known = self.recipe.part_names(source);
        if self.recipe.parts_read(source, reference).is_empty() {
            let names: Vec<&str> = known.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
            let fault = unknown(place, ("part", part), &names);
            let remedy = format!("`{0}` has no parts: write `{0}` alone", source.id);
            self.faults.push(if names.is_empty() { Fault { remedy, ..fault } } else { fault });
        }
    }

    fn pool(&mut self) {
        let recipe = self.recipe;
        for member in &recipe.pool {
            let place = self.root.get("pool").and_then(|pool| pool.find(&member.id)).unwrap_or(Place::START);
            self.one_of(
                place,
                &[
                    ("local", member.local.is_some()),
                    ("folder", member.folder.is_some()),
                    ("replay", member.replay.is_some()),
                    ("endpoint", member.endpoint.is_some()),
                ],
            );
            self.remote_teacher(place, member);
            self.faults.extend(teacher_dtype_fault(place, member));
            if let Some(reference) = &member.local {
                let kind = recipe.step(&reference.step).map(|step| Kind::of(&step.action));
                if kind != Some(Kind::Checkpoint) {
                    let what = format!("teacher `{}` is `local: {reference}`, which is no `train` step", member.id);
                    self.fault(place, what, "name the step that trains it");
                }
                let who = format!("teacher `{}`", member.id);
                self.faults.extend(answering_fault(place, (&who, reference), recipe));
            }
        }
        for arbiter in &recipe.arbiters {
            let place = self.root.get("arbiters").and_then(|list| list.find(&arbiter.id)).unwrap_or(Place::START);
            self.one_of(
                place,
                &[
                    ("check", arbiter.check.is_some()),
                    ("chrf", arbiter.chrf.is_some()),
                    ("mbr", arbiter.mbr.is_some()),
                    ("numeric", arbiter.numeric.is_some()),
                    ("rouge", arbiter.rouge.is_some()),
                    ("contains", arbiter.contains.is_some()),
                    ("match", arbiter.r#match.is_some()),
                    ("recorded", arbiter.recorded.is_some()),
                    ("local", arbiter.local.is_some()),
                    ("folder", arbiter.folder.is_some()),
                    ("ensemble", arbiter.ensemble.is_some()),
                    ("endpoint", arbiter.endpoint.is_some()),
                ],
            );
            self.faults.extend(local_faults(place, arbiter, recipe));
            self.faults.extend(panel_faults(place, arbiter, recipe));
            self.faults.extend(mbr_faults(place, arbiter, recipe));
            self.faults.extend(relative_faults(place, arbiter, recipe));
            self.remote_arbiter(place, arbiter);
        }
    }

    fn remote_teacher(&mut self, place: Place, member: &PoolMember) {
        let is_limited = self.recipe.budget.is_limited();
        self.faults.extend(teacher_faults(place, member, is_limited));
    }

    fn remote_arbiter(&mut self, place: Place, arbiter: &Arbiter) {
        let is_limited = self.recipe.budget.is_limited();
        self.faults.extend(arbiter_faults(place, arbiter, is_limited));
    }

    fn one_of(&mut self, place: Place, ways: &[(&str, bool)]) {
        let names: Vec<String> = ways.iter().map(|(name, _)| format!("`{name}`")).collect();
        let given: Vec<&str> = ways.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        match given.as_slice() {
            [_] => {}
            [] => self.fault(place, format!("none of {} is given", names.join(", ")), "give exactly one"),
            several => {
                let what = format!("`{}` stand side by side", several.join("` and `"));
                self.fault(place, what, format!("give exactly one of {}", names.join(", ")));
            }
        }
    }

    /// Where `word` stands inside the step, or the step itself.
    fn place_in(&self, step: &Step, word: &str) -> Place {
        let steps = self.root.get("steps");
        let node = steps.and_then(|steps| match &steps.content {
            Content::Sequence(nodes) => nodes.iter().find(|node| node.place == step.place),
            _ => None,
        });
        node.and_then(|node| node.find(word)).unwrap_or(step.place)
    }
}
