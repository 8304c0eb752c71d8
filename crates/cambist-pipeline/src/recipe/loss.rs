//! What training minimises, as a recipe writes it: the objective's name, and the numbers of a loss on pairs.

use cambist_model::{
    BradleyTerry, ChosenNll, IpoNormalization, Kto, NllReduction, Objective, Preference, PreferenceError,
    PreferenceLoss, Pretrain, Sft,
};
use serde::{Deserialize, Serialize};

use super::params::{ObjectiveName, TrainParams};

/// The loss of an objective that learns from pairs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossParams {
    /// Which loss on log-ratios, for `dpo` alone; `sigmoid` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<LossKind>,
    /// The strength of the preference, above 0; 0.1 by default, 5 for `sigmoid-norm`, 2 for `simpo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// The share of labels that are taken to be wrong, 0 to below 0.5, for `cdpo` and `robust`; 0.1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f64>,
    /// Whether `ipo` compares means over tokens or sums; `token` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<IpoNormalization>,
    /// The margin that a pair should have, from 0, for `simpo`; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// The likelihood of the chosen answers as a second term; none by default, `{weight: 1}` for `orpo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nll: Option<NllParams>,
    /// What wanted answers count, from 0, for `kto`; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desirable_weight: Option<f64>,
    /// What unwanted answers count, from 0, for `kto`; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undesirable_weight: Option<f64>,
    /// What a pair's own margin (the arbiter's reward of the chosen answer minus that of the rejected one) is multiplied
    /// by before it is taken from the difference of rewards, from 0, for `reward`; 0 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin_scale: Option<f64>,
    /// How strongly the rewards of a pair are held near 0 (their sum, squared), from 0, for `reward`; no such term by
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub center_rewards_coefficient: Option<f64>,
}

/// The negative log-likelihood of the chosen answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NllParams {
    /// What it counts beside the preference loss, from 0; 1 by default.
    #[serde(default = "one")]
    pub weight: f64,
    /// What it is a mean over: `sequence` (each answer by its mean over tokens, the default) or `token`.
    #[serde(default)]
    pub reduce: NllReduction,
}

impl Default for NllParams {
    fn default() -> Self {
        Self { weight: one(), reduce: NllReduction::default() }
    }
}

fn one() -> f64 {
    1.0
}

/// Which loss on log-ratios to the reference model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// DPO's. The default.
    #[default]
    Sigmoid,
    /// DPO's with labels that may be wrong, conservative.
    Cdpo,
    /// DPO's with labels that may be wrong, unbiased.
    Robust,
    /// DPO's on means over tokens.
    SigmoidNorm,
    /// IPO's.
    Ipo,
    /// SLiC's.
    Hinge,
}

/// A loss that means nothing.
pub(super) struct LossFault {
    /// The key to blame.
    pub key: &'static str,
    pub what: String,
    pub remedy: String,
}

impl ObjectiveName {
    /// The word of the recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Sft => "sft",
            Self::Dpo => "dpo",
            Self::Kto => "kto",
            Self::Simpo => "simpo",
            Self::Orpo => "orpo",
            Self::Reward => "reward",
        }
    }

    /// Whether it learns from pairs of answers, together or taken apart.
    pub fn reads_pairs(self) -> bool {
        matches!(self, Self::Dpo | Self::Kto | Self::Simpo | Self::Orpo | Self::Reward)
    }
}

impl LossParams {
    /// The loss of a pair, with every default filled in.
    pub(crate) fn loss(&self, objective: ObjectiveName) -> PreferenceLoss {
        let label_smoothing = self.label_smoothing.unwrap_or(0.1);
        match (objective, self.kind.unwrap_or_default()) {
            (ObjectiveName::Simpo, _) => PreferenceLoss::Simpo { gamma: self.gamma.unwrap_or(1.0) },
            (ObjectiveName::Orpo, _) => PreferenceLoss::Orpo,
            (_, LossKind::Sigmoid) => PreferenceLoss::Sigmoid,
            (_, LossKind::Cdpo) => PreferenceLoss::Cdpo { label_smoothing },
            (_, LossKind::Robust) => PreferenceLoss::Robust { label_smoothing },
            (_, LossKind::SigmoidNorm) => PreferenceLoss::SigmoidNorm,
            (_, LossKind::Ipo) => PreferenceLoss::Ipo { normalize: self.normalize.unwrap_or_default() },
            (_, LossKind::Hinge) => PreferenceLoss::Hinge,
        }
    }

    /// The first key that has no meaning beside the others.
    fn stray_key(&self, objective: ObjectiveName) -> Option<LossFault> {
        let (is_reward, is_kto) = (objective == ObjectiveName::Reward, objective == ObjectiveName::Kto);
        let compares_sides = !is_reward && !is_kto;
        let (is_dpo, loss) = (objective == ObjectiveName::Dpo, compares_sides.then(|| self.loss(objective)));
        let is = |fits: fn(PreferenceLoss) -> bool| loss.is_some_and(fits);
        // Each key: whether it is given, whether it fits, whose it is.
        let keys: [(&'static str, bool, bool, &str); 10] = [
            ("kind", self.kind.is_some(), is_dpo, "`objective: dpo`"),
            ("beta", self.beta.is_some(), !is_reward, "`objective: dpo`"),
            (
                "label_smoothing",
                self.label_smoothing.is_some(),
                is(|loss| loss.label_smoothing().is_some()),
                "`kind: cdpo` or `kind: robust`",
            ),
            (
                "normalize",
                self.normalize.is_some(),
                is(|loss| matches!(loss, PreferenceLoss::Ipo { .. })),
                "`kind: ipo`",
            ),
            (
                "gamma",
                self.gamma.is_some(),
                is(|loss| matches!(loss, PreferenceLoss::Simpo { .. })),
                "`objective: simpo`",
            ),
            ("nll", self.nll.is_some(), compares_sides, "`objective: dpo`"),
            ("desirable_weight", self.desirable_weight.is_some(), is_kto, "`objective: kto`"),
            ("undesirable_weight", self.undesirable_weight.is_some(), is_kto, "`objective: kto`"),
            ("margin_scale", self.margin_scale.is_some(), is_reward, "`objective: reward`"),
            ("center_rewards_coefficient", self.center_rewards_coefficient.is_some(), is_reward, "`objective: reward`"),
        ];
        let stray = |(key, is_given, fits, whose): (&'static str, bool, bool, &str)| {
            (is_given && !fits).then(|| LossFault {
                key,
                what: format!("`{key}` has no meaning beside `{}`", self.called(objective)),
                remedy: format!("remove it, or choose {whose}"),
            })
        };
        keys.into_iter().find_map(stray)
    }

    fn called(&self, objective: ObjectiveName) -> String {
        match (objective, self.kind) {
            (ObjectiveName::Dpo, Some(kind)) => {
                let word = serde_json::to_value(kind).ok();
                format!("kind: {}", word.as_ref().and_then(|word| word.as_str()).unwrap_or_default())
            }
            _ => format!("objective: {}", objective.name()),
        }
    }

    fn resolved(&self, objective: ObjectiveName) -> Result<Box<dyn Objective>, LossFault> {
        if let Some(fault) = self.stray_key(objective) {
            return Err(fault);
        }
        if objective == ObjectiveName::Reward {
            let reward = BradleyTerry::new(self.margin_scale.unwrap_or(0.0), self.center_rewards_coefficient);
            return Ok(Box::new(reward.map_err(out_of_range)?));
        }
        if objective == ObjectiveName::Kto {
            let weights = (self.desirable_weight.unwrap_or(1.0), self.undesirable_weight.unwrap_or(1.0));
            let kto = Kto::new(self.beta.unwrap_or(Kto::BETA), weights);
            return Ok(Box::new(kto.map_err(out_of_range)?));
        }
        let loss = self.loss(objective);
        let own = (objective == ObjectiveName::Orpo).then(NllParams::default);
        let nll = self.nll.clone().or(own);
        let nll = nll.map(|nll| ChosenNll { weight: nll.weight, reduction: nll.reduce });
        let preference = Preference::new(loss, self.beta.unwrap_or(loss.default_beta()), nll);
        Ok(Box::new(preference.map_err(out_of_range)?))
    }
}

fn out_of_range(error: PreferenceError) -> LossFault {
    let (key, usual) = match error {
        PreferenceError::Beta(_) => ("beta", "0.1"),
        PreferenceError::LabelSmoothing(_) => ("label_smoothing", "0.1"),
        PreferenceError::Gamma(_) => ("gamma", "1"),
        PreferenceError::NllWeight(_) => ("weight", "1"),
        PreferenceError::KindWeight(key, _) => (key, "1"),
        PreferenceError::MarginScale(_) => ("margin_scale", "1"),
        PreferenceError::Center(_) => ("center_rewards_coefficient", "0.01"),
    };
    LossFault { key, what: error.to_string(), remedy: format!("{usual} is usual") }
}

impl TrainParams {
    /// What the step minimises, with every default filled in.
    pub(super) fn resolve_objective(&self) -> Result<Box<dyn Objective>, LossFault> {
        let loss = self.loss.clone().unwrap_or_default();
        match self.objective {
            ObjectiveName::Pretrain | ObjectiveName::Sft if self.loss.is_some() => Err(LossFault {
                key: "loss",
                what: format!("`loss` has no meaning beside `objective: {}`", self.objective.name()),
                remedy: "remove it, or train on pairs with `objective: dpo`".to_owned(),
            }),
            ObjectiveName::Pretrain => Ok(Box::new(Pretrain)),
            ObjectiveName::Sft => Ok(Box::new(Sft)),
            on_pairs => loss.resolved(on_pairs),
        }
    }

    /// The same of a recipe that was checked; none of one that was not.
    pub fn checked_objective(&self) -> Option<Box<dyn Objective>> {
        self.resolve_objective().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(objective: ObjectiveName, loss: LossParams) -> String {
        loss.resolved(objective).map_or_else(|fault| format!("{}: {}", fault.key, fault.what), |p| p.formula())
    }

    #[test]
    fn defaults_are_those_of_the_loss() {
        let with = |kind| LossParams { kind: Some(kind), ..LossParams::default() };
        let cases = [
            (ObjectiveName::Dpo, LossParams::default(), "mean over pairs of -ln σ(0.1 Δ); Δ"),
            (ObjectiveName::Reward, LossParams::default(), "mean over pairs of -ln σ(r_w - r_l); r the reward"),
            (
                ObjectiveName::Kto,
                LossParams::default(),
                "mean over answers of 1 (1 - σ(0.1 (r - z))) for desirable and 1",
            ),
            (ObjectiveName::Dpo, with(LossKind::SigmoidNorm), "mean over pairs of -ln σ(5 (r_w/T_w - r_l/T_l)); r"),
            (ObjectiveName::Dpo, with(LossKind::Ipo), "mean over pairs of (r_w/T_w - r_l/T_l - 1/(2 * 0.1))^2; r"),
            (ObjectiveName::Dpo, with(LossKind::Cdpo), "mean over pairs of -0.9 ln σ(0.1 Δ) - 0.1 ln σ(-0.1 Δ); Δ"),
            (ObjectiveName::Simpo, LossParams::default(), "mean over pairs of -ln σ(2 (S_w/T_w - S_l/T_l) - 1); S"),
            (
                ObjectiveName::Orpo,
                LossParams::default(),
                "mean over pairs of -0.1 ln σ(o_w - o_l) + 1 * mean over pairs of",
            ),
        ];
        for (objective, loss, expected) in cases {
            let found = formula(objective, loss);
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn keys_of_other_losses_are_named() {
        let gamma = LossParams { gamma: Some(1.0), ..LossParams::default() };
        assert_eq!(formula(ObjectiveName::Dpo, gamma), "gamma: `gamma` has no meaning beside `objective: dpo`");
        let kind = Some(LossKind::SigmoidNorm);
        let smooth = LossParams { label_smoothing: Some(0.1), kind, ..LossParams::default() };
        let expected = "label_smoothing: `label_smoothing` has no meaning beside `kind: sigmoid-norm`";
        assert_eq!(formula(ObjectiveName::Dpo, smooth), expected);
        let strength = LossParams { beta: Some(0.1), ..LossParams::default() };
        assert_eq!(formula(ObjectiveName::Reward, strength), "beta: `beta` has no meaning beside `objective: reward`");
        let center = LossParams { center_rewards_coefficient: Some(0.01), ..LossParams::default() };
        let expected =
            "center_rewards_coefficient: `center_rewards_coefficient` has no meaning beside `objective: orpo`";
        assert_eq!(formula(ObjectiveName::Orpo, center), expected);
        let kind = LossParams { desirable_weight: Some(2.0), ..LossParams::default() };
        let expected = "desirable_weight: `desirable_weight` has no meaning beside `objective: dpo`";
        assert_eq!(formula(ObjectiveName::Dpo, kind.clone()), expected);
        let nll = Some(NllParams { weight: 1.0, reduce: NllReduction::Token });
        let expected = "nll: `nll` has no meaning beside `objective: kto`";
        assert_eq!(formula(ObjectiveName::Kto, LossParams { nll, ..kind.clone() }), expected);
        let negative = LossParams { undesirable_weight: Some(-1.0), ..kind };
        let expected = "undesirable_weight: `undesirable_weight` is -1, expected a number from 0";
        assert_eq!(formula(ObjectiveName::Kto, negative), expected);
        let scale = LossParams { margin_scale: Some(-1.0), ..LossParams::default() };
        let expected = "margin_scale: `margin_scale` is -1, expected a number from 0";
        assert_eq!(formula(ObjectiveName::Reward, scale), expected);
    }
}
