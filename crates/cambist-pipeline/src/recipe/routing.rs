//! Routing that learns and spends well, as a recipe writes it: budgeted routers and frontiers.

use cambist_core::{
    gates::Gates,
    pool::Eligibility,
    router::BudgetedOptions,
    search::{Correlation, Goal},
};
use serde::{Deserialize, Serialize};

use super::{
    Arbiter, Recipe, Step,
    fault::{Fault, Place},
    params::GenerateParams,
    reference::Reference,
};

/// How budgeted routing goes about it: exactly one of the first three.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetedParams {
    /// Keeps this share of the gain of asking everybody over the best single teacher, as calibration has it; 0.95 where
    /// none of the three is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Spends at most this on a prompt on average, in USD, answers and scores together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_prompt: Option<f64>,
    /// Asks as long as a USD is expected to bring this much reward, on the scale of the language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_per_usd: Option<f64>,
    /// How many teachers are asked at once; 1 by default. More of them take fewer rounds and ask more.
    #[serde(default = "one")]
    pub width: usize,
    /// The most teachers asked about one prompt; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_asks: Option<usize>,
    /// The share of prompts, drawn by lot, about which everybody is asked; 0.02 by default.
    #[serde(default = "two_percent")]
    pub audit_share: f64,
    /// Whether rewards of one prompt say something about each other: `shared` by default, `none` follows Weitzman's rule
    /// to the letter.
    #[serde(default)]
    pub correlation: Correlation,
}

impl BudgetedParams {
    /// What it is to reach.
    pub fn goal(&self) -> Goal {
        match (self.usd_per_prompt, self.reward_per_usd) {
            (Some(usd), _) => Goal::UsdPerPrompt(usd),
            (_, Some(reward)) => Goal::RewardPerUsd(reward),
            (None, None) => Goal::Target(self.target.unwrap_or(ninety_five_percent())),
        }
    }

    /// The rest.
    pub fn options(&self) -> BudgetedOptions {
        let Self { width, max_asks, audit_share, correlation, .. } = *self;
        BudgetedOptions { width, max_asks, audit_share, correlation }
    }
}

/// Measures how much of the gain of asking everybody cheaper strategies keep.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontierParams {
    /// Scored answers of everybody.
    pub from: Reference,
    /// Scores by another arbiter than the one that `from` was scored with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Reference>,
    /// Scores by an independent arbiter, which say what the chosen answers are worth: the others choose them, and a choice
    /// that flatters its own arbiter gains nothing. Without them the same rewards choose and measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_scores: Option<Reference>,
    /// What an answer must pass to count as valid.
    #[serde(default)]
    pub gates: Gates,
    /// Who counts as asked.
    #[serde(default)]
    pub eligibility: Eligibility,
    /// The share of the gain of asking everybody that is to be kept, above 0 and up to 1: by budgeted routing, and by
    /// the advised pools; 0.95 by default.
    #[serde(default = "ninety_five_percent")]
    pub target: f64,
    /// Into how many parts the sources are cut, each routed by what was learned on the others; at least 2, 5 by default.
    #[serde(default = "five")]
    pub folds: usize,
    /// Draws of the cluster bootstrap, 2,000 by default.
    #[serde(default = "two_thousand")]
    pub bootstrap: usize,
}

/// Returns what is wrong with budgeted routing.
pub(super) fn budgeted_faults(step: &Step, params: &BudgetedParams, place: impl Fn(&str) -> Place) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |key: &str, what: String, remedy: &str| faults.push(Fault::new(place(key), what, remedy));
    let goals = [params.target, params.usd_per_prompt, params.reward_per_usd];
    if goals.iter().flatten().count() > 1 {
        let what = format!("the budgeted router of `{}` has more than one goal", step.id);
        let remedy = "give one of `target`, `usd_per_prompt` and `reward_per_usd`";
        fault("budgeted", what, remedy);
    }
    let is_share = |share: f64| share > 0.0 && share <= 1.0;
    if let Some(target) = params.target.filter(|target| !is_share(*target)) {
        let what = format!("`target` of `{}` is {target}, and a share above 0 and up to 1", step.id);
        fault("target", what, "0.95 keeps nineteen twentieths of the gain");
    }
    let prices = [("usd_per_prompt", params.usd_per_prompt), ("reward_per_usd", params.reward_per_usd)];
    for (key, price) in prices.into_iter().filter_map(|(key, price)| Some((key, price?))) {
        if !(price.is_finite() && price > 0.0) {
            let what = format!("`{key}` of `{}` is {price}, and has to be above 0", step.id);
            fault(key, what, "give a number above 0");
        }
    }
    if !(0.0..=1.0).contains(&params.audit_share) {
        let what = format!("`audit_share` of `{}` is {}, and a share from 0 to 1", step.id, params.audit_share);
        fault("audit_share", what, "0.02 asks everybody about one prompt in fifty");
    }
    if params.width == 0 || params.max_asks == Some(0) {
        let what = format!("the budgeted router of `{}` would ask nobody", step.id);
        fault("budgeted", what, "`width` and `max_asks` are at least 1");
    }
    faults
}

/// Returns why a router that decides by rewards cannot do so while it asks.
pub(super) fn live_faults(
    step: &Step,
    params: &GenerateParams,
    (recipe, place): (&Recipe, impl Fn(&str) -> Place),
) -> Vec<Fault> {
    if !params.router.reads_answers() {
        return Vec::new();
    }
    let fault = |key: &str, what: String, remedy: &str| vec![Fault::new(place(key), what, remedy)];
    let Some(id) = &params.arbiter else {
        let what = format!("`{}` decides by rewards whom to ask next, and nobody scores its answers", step.id);
        return fault("router", what, "add `arbiter:` with the id of the one that scored the calibration answers");
    };
    let waits = |arbiter: &&Arbiter| arbiter.id == *id && (arbiter.ensemble.is_some() || arbiter.is_relative());
    if recipe.arbiters.iter().any(|arbiter| waits(&arbiter)) {
        let what =
            format!("`{}` decides by rewards whom to ask next, and `{id}` scores when all answers are there", step.id);
        return fault(id, what, "take an arbiter that scores each answer by itself");
    }
    Vec::new()
}

/// Returns what is wrong with a frontier.
pub(super) fn frontier_faults(step: &Step, params: &FrontierParams, place: impl Fn(&str) -> Place) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |key: &str, what: String, remedy: &str| faults.push(Fault::new(place(key), what, remedy));
    if !(params.target > 0.0 && params.target <= 1.0) {
        let what = format!("`target` of `{}` is {}, and a share above 0 and up to 1", step.id, params.target);
        fault("target", what, "0.95 keeps nineteen twentieths of the gain");
    }
    if params.folds < 2 {
        let what = format!("`folds` of `{}` is {}: prompts would be routed by themselves", step.id, params.folds);
        fault("folds", what, "cut the sources into at least 2 parts; 5 are usual");
    }
    if params.gates.safety.is_some() {
        let what = format!("`{}` has a safety gate, and a `frontier` step reads no safety scores", step.id);
        fault("safety", what, "leave it to the `select` step");
    }
    faults
}

fn one() -> usize {
    1
}

fn two_percent() -> f64 {
    0.02
}

fn ninety_five_percent() -> f64 {
    0.95
}

fn five() -> usize {
    5
}

fn two_thousand() -> usize {
    2_000
}
