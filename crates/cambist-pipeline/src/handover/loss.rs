//! What a step minimises, in the words of TRL.

use cambist_model::{IpoNormalization, NllReduction, PreferenceLoss};
use serde_json::json;

use super::settings::Line;
use crate::{
    error::PipelineError,
    recipe::{
        loss::LossParams,
        params::{ObjectiveName, TrainParams},
    },
};

/// An objective as TRL is told of it.
pub(super) struct LossWords {
    /// The command of `trl`.
    pub command: &'static str,
    /// Lines of `training.yaml`; none where the command alone says it.
    pub lines: Vec<Line>,
    /// What TRL does otherwise.
    pub unmapped: Vec<String>,
}

/// Says what a step minimises.
///
/// # Errors
/// When TRL has no command or no loss for it, or no place for its reference model; `label` names the run.
pub(super) fn loss_words(params: &TrainParams, label: &str) -> Result<LossWords, PipelineError> {
    let refuse = |what: String, remedy: &str| PipelineError::input(label, what, format!("{remedy}, or train it here"));
    if params.reference_model.is_some() {
        let what = "`trl` compares with the model that it starts from, and the step names a `reference_model`";
        return Err(refuse(what.to_owned(), "remove `reference_model`"));
    }
    let loss = params.loss.clone().unwrap_or_default();
    match params.objective {
        ObjectiveName::Pretrain | ObjectiveName::Sft => {
            Ok(LossWords { command: "sft", lines: vec![("packing", json!(false))], unmapped: vec![] })
        }
        ObjectiveName::Dpo => dpo(&loss).map_err(|kind| {
            refuse(format!("`trl dpo` has no loss for {kind}"), "choose `kind: sigmoid`, `robust`, `ipo` or `hinge`")
        }),
        ObjectiveName::Kto => Ok(kto(&loss)),
        ObjectiveName::Reward => Ok(reward(&loss)),
        objective @ (ObjectiveName::Simpo | ObjectiveName::Orpo) => {
            let what = format!("`trl` has no command for `objective: {}`", objective.name());
            Err(refuse(what, "hand over a step with `sft`, `dpo`, `kto` or `reward`"))
        }
    }
}

/// Returns the words, or what TRL has no loss for.
fn dpo(loss: &LossParams) -> Result<LossWords, &'static str> {
    let kind = loss.loss(ObjectiveName::Dpo);
    let (word, label_smoothing) = match kind {
        PreferenceLoss::Sigmoid => ("sigmoid", 0.0),
        PreferenceLoss::Robust { label_smoothing } => ("robust", label_smoothing),
        PreferenceLoss::SigmoidNorm => ("sigmoid_norm", 0.0),
        PreferenceLoss::Ipo { normalize: IpoNormalization::Token } => ("ipo", 0.0),
        PreferenceLoss::Ipo { .. } => return Err("`kind: ipo` with `normalize: sum`"),
        PreferenceLoss::Hinge => ("hinge", 0.0),
        PreferenceLoss::Cdpo { .. } => return Err("`kind: cdpo`"),
        PreferenceLoss::Simpo { .. } | PreferenceLoss::Orpo => return Err("losses without a reference model"),
    };
    let mut lines = vec![
        ("beta", json!(loss.beta.unwrap_or(kind.default_beta()))),
        ("label_smoothing", json!(label_smoothing)),
        ("precompute_ref_log_probs", json!(true)),
    ];
    let mut unmapped =
        vec!["weights of pairs: here those of one prompt weigh 1 together, there each weighs 1".to_owned()];
    match &loss.nll {
        None => lines.push(("loss_type", json!([word]))),
        Some(nll) => {
            lines.extend([("loss_type", json!([word, "sft"])), ("loss_weights", json!([1.0, nll.weight]))]);
            let here = match nll.reduce {
                NllReduction::Sequence => "here each answer counts by its mean over tokens",
                NllReduction::Token => "here it is a mean over the tokens of the whole step",
            };
            unmapped.push(format!("`nll`: {here}, there over the tokens of each micro-batch"));
        }
    }
    Ok(LossWords { command: "dpo", lines, unmapped })
}

fn kto(loss: &LossParams) -> LossWords {
    let lines = vec![
        ("beta", json!(loss.beta.unwrap_or(cambist_model::Kto::BETA))),
        ("desirable_weight", json!(loss.desirable_weight.unwrap_or(1.0))),
        ("undesirable_weight", json!(loss.undesirable_weight.unwrap_or(1.0))),
        ("precompute_ref_log_probs", json!(true)),
    ];
    let unmapped = vec![
        "weights of answers: here those of one prompt and label weigh 1 together, there each weighs 1".to_owned(),
        "the baseline: here it is taken over the whole step, there over the rows of each micro-batch, which follow one \
         another in the file"
            .to_owned(),
    ];
    LossWords { command: "kto", lines, unmapped }
}

fn reward(loss: &LossParams) -> LossWords {
    let lines = loss.center_rewards_coefficient.map(|center| ("center_rewards_coefficient", json!(center)));
    let unmapped = vec!["weights of pairs: here those of one prompt weigh 1 together, there each weighs 1".to_owned()];
    LossWords { command: "reward", lines: lines.into_iter().collect(), unmapped }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn said(step: Value) -> Result<LossWords, String> {
        let mut step = step;
        step["data"] = json!("data.pairs");
        let params: TrainParams = serde_json::from_value(step).unwrap();
        loss_words(&params, "student").map_err(|error| error.to_string())
    }

    #[test]
    fn losses_on_pairs_have_their_words() {
        let words = said(json!({"objective": "dpo", "loss": {"beta": 0.2, "nll": {"weight": 0.5}}})).unwrap();
        assert_eq!(words.command, "dpo");
        for line in
            [("beta", json!(0.2)), ("loss_type", json!(["sigmoid", "sft"])), ("loss_weights", json!([1.0, 0.5]))]
        {
            assert!(words.lines.contains(&line), "{line:?} is not in {:?}", words.lines);
        }
        assert!(words.unmapped.iter().any(|what| what.contains("each answer counts by its mean")));
        let norm = said(json!({"objective": "dpo", "loss": {"kind": "sigmoid-norm"}})).unwrap();
        assert!(
            norm.lines.contains(&("loss_type", json!(["sigmoid_norm"]))) && norm.lines.contains(&("beta", json!(5.0)))
        );
        let kto = said(json!({"objective": "kto", "loss": {"undesirable_weight": 1.5}})).unwrap();
        assert!(kto.command == "kto" && kto.lines.contains(&("undesirable_weight", json!(1.5))));
        let reward = said(json!({"objective": "reward"})).unwrap();
        assert!(reward.command == "reward" && reward.lines.is_empty());
    }

    #[test]
    fn what_trl_has_no_word_for_is_refused() {
        let refused = |step: Value| said(step).err().unwrap();
        let error = refused(json!({"objective": "dpo", "loss": {"kind": "cdpo"}}));
        assert!(error.contains("`trl dpo` has no loss for `kind: cdpo`"), "{error}");
        let error = refused(json!({"objective": "dpo", "loss": {"kind": "ipo", "normalize": "sum"}}));
        assert!(error.contains("`normalize: sum`"), "{error}");
        let error = refused(json!({"objective": "orpo"}));
        assert!(error.contains("no command for `objective: orpo`"), "{error}");
        let error = refused(json!({"objective": "kto", "reference_model": "other"}));
        assert!(error.contains("names a `reference_model`"), "{error}");
    }
}
