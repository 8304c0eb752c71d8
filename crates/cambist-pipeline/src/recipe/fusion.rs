//! Fusion as a recipe writes it: which answers become one, by whom, and what is kept of them.

use std::collections::BTreeMap;

use cambist_core::{fusion::Treatment, gates::Gates, pool::Eligibility};
use cambist_model::Sampling;
use serde::{Deserialize, Serialize};

use super::{
    Action, PoolMember, Recipe, Step,
    fault::{Fault, Place},
    reference::{Reference, References},
};

/// The key of `tasks` for tasks that have none of their own.
pub(crate) const DEFAULT_TASK: &str = "default";

/// A fusor that may write fewer tokens than this, its comparison included, will rarely come to an end.
const FEW_TOKENS: usize = 512;

/// Makes one answer of several.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FuseParams {
    /// Answers to fuse: of one step, or of several.
    #[serde(skip_serializing)]
    pub from: References,
    /// Scores in place of those that stand beside the answers: of one `score` step, or of several.
    #[serde(default, skip_serializing)]
    pub scores: References,
    /// Scores of a safety scorer for the answers, which `gates.safety` reads.
    #[serde(default, skip_serializing)]
    pub safety: References,
    /// Who fuses: a member of the pool.
    pub fusor: String,
    /// What becomes of the answers to a task, by its name: `fuse` or `best`; `default` stands for all others, and is
    /// `fuse` when absent.
    #[serde(default)]
    pub tasks: BTreeMap<String, Treatment>,
    /// At most how many answers are shown to the fusor, the best first, at least 2; 7 by default.
    #[serde(default = "seven")]
    pub max_candidates: usize,
    /// What the fusor is asked, with `{language}`, `{request}` and `{answers}` to be filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What an answer must pass to be fused, and a fused one to be kept.
    #[serde(default)]
    pub gates: Gates,
    /// Whose answers may be fused.
    #[serde(default)]
    pub eligibility: Eligibility,
    /// How fused answers are drawn; greedy, and 2,048 tokens at most, by default.
    #[serde(default = "roomy")]
    pub sampling: Sampling,
    /// Scores the fused answers and their candidates, so that rewards can be compared; scores that it gave before are
    /// taken from the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arbiter: Option<String>,
    /// What is kept where the best candidate has a higher reward than the fused answer.
    #[serde(default)]
    pub keep: FusionKeep,
    /// Whom the answers are said to be by; `fusion` by default.
    #[serde(default = "fusion", rename = "as")]
    pub name: String,
    /// The share of calls, 0 to 1, that may stay without an answer for reasons that could pass before the step refuses
    /// to be finished; 0.01 by default.
    #[serde(default = "one_percent", skip_serializing)]
    pub max_failed: f64,
}

/// What is kept where the best candidate has a higher reward than the fused answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FusionKeep {
    /// The fused answer. The default.
    #[default]
    Fused,
    /// The candidate.
    Better,
}

impl FuseParams {
    /// What becomes of the answers to a prompt of this task.
    pub fn treatment(&self, task: Option<&str>) -> Treatment {
        let named = task.and_then(|task| self.tasks.get(task));
        named.or_else(|| self.tasks.get(DEFAULT_TASK)).copied().unwrap_or_default()
    }
}

fn seven() -> usize {
    7
}

fn fusion() -> String {
    "fusion".to_owned()
}

fn one_percent() -> f64 {
    0.01
}

fn roomy() -> Sampling {
    Sampling { max_new_tokens: 2048, ..Sampling::default() }
}

/// Returns what is wrong with a fusion; that its fusor and its arbiter are declared is looked at elsewhere.
pub(super) fn fuse_faults(
    step: &Step,
    params: &FuseParams,
    (recipe, place): (&Recipe, impl Fn(&str) -> Place),
) -> Vec<Fault> {
    let (id, fusor) = (&step.id, &params.fusor);
    let mut faults = Vec::new();
    let mut fault = |key: &str, what: String, remedy: &str| faults.push(Fault::new(place(key), what, remedy));
    if params.from.0.is_empty() {
        fault("from", format!("`from` of `{id}` is empty"), "name a step that makes answers");
    }
    if params.max_candidates < 2 {
        let what = format!("`max_candidates` of `{id}` is {}, and one answer needs no fusion", params.max_candidates);
        fault("max_candidates", what, "give at least 2; the default is 7");
    }
    if params.keep == FusionKeep::Better && params.arbiter.is_none() {
        let what = format!("`{id}` keeps the better answer, and nobody scores the fused one");
        fault("keep", what, "add `arbiter:`, or remove `keep`");
    }
    for part in ["{language}", "{request}", "{answers}"] {
        if params.template.as_ref().is_some_and(|template| !template.contains(part)) {
            let what = format!("`template` of `{id}` has no `{part}`");
            fault("template", what, "say where it is to be filled in");
        }
    }
    if params.template.as_ref().is_some_and(|template| !template.contains("[[")) {
        let what = format!("`template` of `{id}` does not ask for double square brackets");
        fault("template", what, "the answer is read from between `[[` and `]]`: ask for them");
    }
    if recipe.pool.iter().any(|member| member.id == params.name) {
        let what = format!("`as` of `{id}` is `{}`, which is a teacher of the pool", params.name);
        fault("as", what, "choose another name");
    }
    if params.gates.safety.is_some() && params.safety.0.is_empty() {
        let what = format!("`{id}` has a safety gate and no safety scores");
        fault("safety", what, "add `safety:` with the id of a `score` step that reads the same answers");
    }
    if params.gates.safety.is_none() && !params.safety.0.is_empty() {
        let what = format!("`{id}` has safety scores and no safety gate");
        fault("safety", what, "add `gates: {safety: {min_score: ...}}`");
    }
    if let Some(member) = recipe.pool.iter().find(|member| member.id == *fusor) {
        faults.extend(fusor_fault(step, params, (member, place("fusor"))));
    }
    faults
}

/// What a fusor writes is trained on as a teacher's answers are.
fn fusor_fault(step: &Step, params: &FuseParams, (fusor, place): (&PoolMember, Place)) -> Option<Fault> {
    if fusor.translation_dialect().is_some() {
        let what = format!("`{}` has the fusor `{}`, which is a translation engine", step.id, fusor.id);
        return Some(Fault::new(place, what, "name a teacher that follows instructions"));
    }
    let teacher = fusor.teacher();
    if !params.eligibility.bars(&teacher) {
        return None;
    }
    let (what, remedy) = if params.eligibility.exclude.contains(&fusor.id) {
        let what = format!("`{}` has the fusor `{}`, which it excludes", step.id, fusor.id);
        (what, "take it out of `eligibility.exclude`, or name another fusor")
    } else {
        let (id, fusor, license) = (&step.id, &fusor.id, &fusor.license);
        let what = format!(
            "`{id}` has the fusor `{fusor}`, whose licence `{license}` is not known to let its answers be used"
        );
        (what, "declare `outputs_may_train`, widen `eligibility`, or name another fusor")
    };
    Some(Fault::new(place, what, remedy))
}

/// Returns what is allowed and known to mislead about the fusions of a recipe, one sentence each.
pub(crate) fn fuse_warnings(recipe: &Recipe, step: &Step, params: &FuseParams) -> Vec<String> {
    let id = &step.id;
    let mut told = Vec::new();
    let best: Vec<String> =
        params.tasks.iter().filter(|(_, t)| **t == Treatment::Best).map(|(task, _)| format!("`{task}`")).collect();
    let is_scored = |reference: &&Reference| match recipe.step(&reference.step).map(|step| &step.action) {
        Some(Action::Generate(params)) => params.arbiter.is_some(),
        Some(Action::Fuse(params)) => params.arbiter.is_some(),
        _ => false,
    };
    let (scored, unscored): (Vec<&Reference>, Vec<&Reference>) = params.from.0.iter().partition(is_scored);
    let has_scores = !params.scores.0.is_empty();
    if let (false, [scored, ..], [unscored, ..]) = (has_scores, scored.as_slice(), unscored.as_slice()) {
        told.push(format!(
            "unscored_candidates: `{id}` reads scored answers (`{scored}`) and unscored ones (`{unscored}`), and those \
             without a reward are no candidates: score them all, and name the `score` steps under `scores`"
        ));
    }
    if !best.is_empty() && !has_scores && scored.is_empty() {
        told.push(format!(
            "unscored_best: `{id}` keeps the best answer of {} and reads no scores, so that the cheapest teacher's is \
             taken: score the answers with an `arbiter`, or fuse these tasks too",
            best.join(", ")
        ));
    }
    let member = recipe.pool.iter().find(|member| member.id == params.fusor);
    let own = member.and_then(|member| member.request.sampling.as_ref()).map(|sampling| sampling.max_tokens as usize);
    let n_tokens = own.unwrap_or(params.sampling.max_new_tokens);
    if n_tokens < FEW_TOKENS {
        told.push(format!(
            "short_fusion: the fusor `{}` of `{id}` may write {n_tokens} tokens, its comparison included; an answer that \
             is cut cannot be read: raise `sampling.max_new_tokens`",
            params.fusor
        ));
    }
    told
}
