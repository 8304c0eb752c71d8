//! Several arbiters as one, as a recipe declares them, and whether they can be.

use std::collections::BTreeMap;

use cambist_core::{
    ensemble::{Absent, Combine, Ensemble, Normalize, Weight},
    language::Language,
};
use serde::{Deserialize, Serialize};

use super::{
    Action, Arbiter, Recipe,
    decode::unknown,
    fault::{Fault, Place},
    reference::Reference,
};

/// Several arbiters whose values become one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PanelManner {
    /// The ids of two or more other arbiters.
    pub of: Vec<String>,
    /// How their values become one: `mean` (the default), `{lcb: {k: 0.5}}`, `min`, `borda`, `rank-mean` or `vote`.
    #[serde(default)]
    pub combine: CombineWord,
    /// How values are made comparable: on the arbiter's scale of the `language` (the default), or inside the `prompt`.
    #[serde(default)]
    pub normalize: Normalize,
    /// Whom to leave out when an arbiter did not score all answers to a prompt: `leaves-prompt`, the default, does not
    /// hear it on the prompt, `leaves-candidate` hears it on the others.
    #[serde(default)]
    pub absent: Absent,
    /// Weights by arbiter: `default`, 1 where it is not given, and others for single languages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, BTreeMap<String, f64>>,
    /// Fewer arbiters give no reward; the majority when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_arbiters: Option<usize>,
    /// A step that the same panel scored, on whose answers the scales are fitted; the step's own answers when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Reference>,
}

/// How values become one, as a recipe writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CombineWord {
    /// The weighted mean. The default.
    #[default]
    Mean,
    /// The mean less `k` standard deviations over the arbiters.
    Lcb {
        /// 0.5 by default.
        #[serde(default = "half")]
        k: f64,
    },
    /// The worst.
    Min,
    /// The share of other answers beaten.
    Borda,
    /// The mean rank.
    RankMean,
    /// The share of arbiters whose best it is.
    Vote,
}

fn half() -> f64 {
    0.5
}

/// The key of the weight in all languages that have none of their own.
const DEFAULT: &str = "default";

impl PanelManner {
    /// Returns the settings as the ensemble takes them; languages that are none are left out, which the check refuses.
    pub(crate) fn ensemble(&self) -> Ensemble {
        let combine = match self.combine {
            CombineWord::Mean => Combine::Mean,
            CombineWord::Lcb { k } => Combine::Lcb(k),
            CombineWord::Min => Combine::Min,
            CombineWord::Borda => Combine::Borda,
            CombineWord::RankMean => Combine::RankMean,
            CombineWord::Vote => Combine::Vote,
        };
        let weight = |given: &BTreeMap<String, f64>| {
            let language = |(tag, weight): (&String, &f64)| Some((Language::parse(tag).ok()?, *weight));
            let languages = given.iter().filter(|(tag, _)| *tag != DEFAULT).filter_map(language).collect();
            Weight { all: given.get(DEFAULT).copied().unwrap_or(1.0), languages }
        };
        Ensemble {
            combine,
            normalize: self.normalize,
            absent: self.absent,
            weights: self.weights.iter().map(|(id, given)| (id.clone(), weight(given))).collect(),
            min_arbiters: self.min_arbiters,
        }
    }
}

/// Returns the faults of a panel.
pub(super) fn panel_faults(place: Place, arbiter: &Arbiter, recipe: &Recipe) -> Vec<Fault> {
    let Some(panel) = &arbiter.ensemble else { return Vec::new() };
    let mut faults = member_faults(place, (&arbiter.id, panel), recipe);
    faults.extend(number_faults(place, (&arbiter.id, panel)));
    if let Some(reference) = &panel.calibration {
        faults.extend(calibration_faults(place, (&arbiter.id, reference), recipe));
    }
    faults
}

fn member_faults(place: Place, (id, panel): (&str, &PanelManner), recipe: &Recipe) -> Vec<Fault> {
    let mut faults = Vec::new();
    let can_be = |arbiter: &&Arbiter| arbiter.ensemble.is_none();
    let known: Vec<&str> = recipe.arbiters.iter().filter(can_be).map(|arbiter| arbiter.id.as_str()).collect();
    if panel.of.len() < 2 {
        let what = format!("panel `{id}` has {} of the two arbiters or more that a panel needs", panel.of.len());
        faults.push(Fault::new(place, what, "list their ids under `of`, or use the one arbiter by itself"));
    }
    for (at, member) in panel.of.iter().enumerate() {
        let declared = recipe.arbiters.iter().find(|arbiter| arbiter.id == *member);
        match declared {
            None => faults.push(unknown(place, ("arbiter", member), &known)),
            Some(declared) if declared.ensemble.is_some() => {
                let what = format!("panel `{id}` has the panel `{member}` among its members");
                faults.push(Fault::new(place, what, "list the arbiters of that panel in its place"));
            }
            Some(_) if panel.of[..at].contains(member) => {
                let what = format!("panel `{id}` lists `{member}` twice");
                faults.push(Fault::new(place, what, "remove one, and raise its weight instead"));
            }
            Some(_) => {}
        }
    }
    let members: Vec<&str> = panel.of.iter().map(String::as_str).collect();
    let strangers = panel.weights.keys().filter(|id| !members.contains(&id.as_str()));
    faults.extend(strangers.map(|id| unknown(place, ("arbiter in `weights`", id), &members)));
    faults
}

fn number_faults(place: Place, (id, panel): (&str, &PanelManner)) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (member, weights) in &panel.weights {
        for (tag, weight) in weights {
            if tag != DEFAULT && Language::parse(tag).is_err() {
                let what = format!("panel `{id}`: the weight of `{member}` is for `{tag}`, which is no language");
                faults.push(Fault::new(place, what, "write `default`, or a tag such as `ja`"));
            }
            if !weight.is_finite() || *weight < 0.0 {
                let what = format!("panel `{id}`: the weight of `{member}` for `{tag}` is {weight}");
                faults.push(Fault::new(place, what, "weights are 0 or more; 0 leaves the arbiter out"));
            }
        }
    }
    if let CombineWord::Lcb { k } = panel.combine
        && (!k.is_finite() || k < 0.0)
    {
        faults.push(Fault::new(place, format!("panel `{id}`: `k` is {k}"), "it is 0 or more; 0.5 is a good start"));
    }
    if let Some(n) = panel.min_arbiters.filter(|n| *n == 0 || *n > panel.of.len()) {
        let what = format!("panel `{id}`: `min_arbiters` is {n}, and it has {} members", panel.of.len());
        faults.push(Fault::new(place, what, "give a number from 1 to that of its members"));
    }
    faults
}

/// Scales come from a step that the same panel scored, above all others that it scores.
fn calibration_faults(place: Place, (id, reference): (&str, &Reference), recipe: &Recipe) -> Vec<Fault> {
    let scored_by = |action: &Action| match action {
        Action::Generate(params) => params.arbiter.as_deref() == Some(id),
        Action::Fuse(params) => params.arbiter.as_deref() == Some(id),
        Action::Score(params) => params.arbiter == id,
        Action::Evaluate(params) => params.arbiter == id,
        _ => false,
    };
    let is_scale = |action: &Action| scored_by(action) && !matches!(action, Action::Evaluate(_));
    let found = recipe.steps.iter().position(|step| step.id == reference.step && is_scale(&step.action));
    let Some(found) = found else {
        let what = format!("panel `{id}` takes its scales from `{reference}`, which is no step that it scores");
        return vec![Fault::new(place, what, format!("name a `generate` or `score` step with `arbiter: {id}`"))];
    };
    let before = recipe.steps[..found].iter().filter(|step| scored_by(&step.action));
    let fault = |step: &super::Step| {
        let what = format!("panel `{id}` scores `{}` before `{reference}`, which its scales come from", step.id);
        Fault::new(step.place, what, format!("move `{reference}` up"))
    };
    before.map(fault).collect()
}
