//! What a step minimises, in the words of TRL.

use cambist_model::{IpoNormalization, NllReduction, PreferenceLoss};
use serde_json::json;

use super::{settings::Line, trainer::Trainer};
use crate::{
    error::PipelineError,
    recipe::{
        loss::{LossParams, NllParams},
        params::{ObjectiveName, TrainParams},
    },
};

/// An objective as TRL is told of it.
pub(super) struct LossWords {
    pub trainer: Trainer,
    /// Lines of `training.yaml`; none where the trainer alone says it.
    pub lines: Vec<Line>,
    /// What TRL does otherwise.
    pub unmapped: Vec<String>,
}

/// Says what a step minimises.
///
/// # Errors
/// When TRL has no loss for it, or no place for its reference model; `label` names the run.
pub(super) fn loss_words(params: &TrainParams, label: &str) -> Result<LossWords, PipelineError> {
    let refuse = |what: String, remedy: &str| PipelineError::input(label, what, format!("{remedy}, or train it here"));
    if params.reference_model.is_some() {
        let what = "`trl` compares with the model that it starts from, and the step names a `reference_model`";
        return Err(refuse(what.to_owned(), "remove `reference_model`"));
    }
    let loss = params.loss.clone().unwrap_or_default();
    match params.objective {
        ObjectiveName::Pretrain | ObjectiveName::Sft => {
            Ok(LossWords { trainer: Trainer::Command("sft"), lines: vec![("packing", json!(false))], unmapped: vec![] })
        }
        ObjectiveName::Dpo => dpo(&loss).map_err(|kind| {
            refuse(format!("`trl dpo` has no loss for {kind}"), "choose `kind: sigmoid`, `robust`, `ipo` or `hinge`")
        }),
        ObjectiveName::Kto => Ok(kto(&loss)),
        ObjectiveName::Reward => Ok(reward(&loss)),
        ObjectiveName::Simpo => Ok(simpo(&loss)),
        ObjectiveName::Orpo => orpo(&loss).ok_or_else(|| {
            let what = "the ORPO of `trl` counts the likelihood of chosen answers once, and `nll` has another weight";
            refuse(what.to_owned(), "set `nll.weight` to 1")
        }),
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
    let mut unmapped = vec![weights_of_pairs()];
    match &loss.nll {
        None => lines.push(("loss_type", json!([word]))),
        Some(nll) => {
            lines.extend([("loss_type", json!([word, "sft"])), ("loss_weights", json!([1.0, nll.weight]))]);
            unmapped.push(format!("`nll`: {}, there over the tokens of each micro-batch", mean(nll)));
        }
    }
    Ok(LossWords { trainer: Trainer::Command("dpo"), lines, unmapped })
}

/// SimPO (arXiv 2405.14734) as a loss of CPO's trainer, whose other term is the likelihood of the chosen answers.
fn simpo(loss: &LossParams) -> LossWords {
    let kind = loss.loss(ObjectiveName::Simpo);
    let gamma = if let PreferenceLoss::Simpo { gamma } = kind { gamma } else { 0.0 };
    let lines = vec![
        ("loss_type", json!("simpo")),
        ("beta", json!(loss.beta.unwrap_or(kind.default_beta()))),
        ("simpo_gamma", json!(gamma)),
        ("cpo_alpha", json!(loss.nll.as_ref().map_or(0.0, |nll| nll.weight))),
    ];
    let of_nll =
        loss.nll.as_ref().map(|nll| format!("`nll`: {}, there over the tokens of each micro-batch", mean(nll)));
    let unmapped = [weights_of_pairs(), each_micro_batch()].into_iter().chain(of_nll).collect();
    LossWords { trainer: Trainer::Experimental("cpo"), lines, unmapped }
}

/// Returns nothing where the likelihood of the chosen answers has a weight.
fn orpo(loss: &LossParams) -> Option<LossWords> {
    let nll = loss.nll.clone().unwrap_or_default();
    let of_nll = format!("`nll`: {}, there over the tokens of each micro-batch, prompts included", mean(&nll));
    let lines = vec![("beta", json!(loss.beta.unwrap_or(PreferenceLoss::Orpo.default_beta())))];
    let unmapped = vec![weights_of_pairs(), each_micro_batch(), of_nll];
    (nll.weight == 1.0).then_some(LossWords { trainer: Trainer::Experimental("orpo"), lines, unmapped })
}

fn weights_of_pairs() -> String {
    "weights of pairs: here those of one prompt weigh 1 together, there each weighs 1".to_owned()
}

fn each_micro_batch() -> String {
    "micro-batches: there each counts the same, and the last of a pass may hold fewer pairs".to_owned()
}

/// What the likelihood of chosen answers is a mean over here.
fn mean(nll: &NllParams) -> &'static str {
    match nll.reduce {
        NllReduction::Sequence => "here each answer counts by its mean over tokens",
        NllReduction::Token => "here it is a mean over the tokens of the whole step",
    }
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
    LossWords { trainer: Trainer::Command("kto"), lines, unmapped }
}

fn reward(loss: &LossParams) -> LossWords {
    let lines = loss.center_rewards_coefficient.map(|center| ("center_rewards_coefficient", json!(center)));
    let unmapped = vec![weights_of_pairs()];
    LossWords { trainer: Trainer::Command("reward"), lines: lines.into_iter().collect(), unmapped }
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
        assert_eq!(words.trainer, Trainer::Command("dpo"));
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
        assert!(kto.trainer == Trainer::Command("kto") && kto.lines.contains(&("undesirable_weight", json!(1.5))));
        let reward = said(json!({"objective": "reward"})).unwrap();
        assert!(reward.trainer == Trainer::Command("reward") && reward.lines.is_empty());
    }

    #[test]
    fn losses_of_trainers_without_a_command_have_their_words() {
        let simpo = said(json!({"objective": "simpo", "loss": {"gamma": 0.5, "nll": {"weight": 0.2}}})).unwrap();
        let numbers = [("beta", json!(2.0)), ("simpo_gamma", json!(0.5)), ("cpo_alpha", json!(0.2))];
        assert_eq!(simpo.lines, [&[("loss_type", json!("simpo"))], numbers.as_slice()].concat());
        assert_eq!(simpo.trainer, Trainer::Experimental("cpo"));
        assert!(said(json!({"objective": "simpo"})).unwrap().lines.contains(&("cpo_alpha", json!(0.0))));
        let orpo = said(json!({"objective": "orpo", "loss": {"beta": 0.3}})).unwrap();
        assert_eq!((orpo.trainer, orpo.lines), (Trainer::Experimental("orpo"), vec![("beta", json!(0.3))]));
        assert!(orpo.unmapped.iter().any(|what| what.contains("prompts included")), "{:?}", orpo.unmapped);
    }

    #[test]
    fn what_trl_has_no_word_for_is_refused() {
        let refused = |step: Value| said(step).err().unwrap();
        let error = refused(json!({"objective": "dpo", "loss": {"kind": "cdpo"}}));
        assert!(error.contains("`trl dpo` has no loss for `kind: cdpo`"), "{error}");
        let error = refused(json!({"objective": "dpo", "loss": {"kind": "ipo", "normalize": "sum"}}));
        assert!(error.contains("`normalize: sum`"), "{error}");
        let error = refused(json!({"objective": "orpo", "loss": {"nll": {"weight": 0.5}}}));
        assert!(error.contains("`nll` has another weight"), "{error}");
        let error = refused(json!({"objective": "kto", "reference_model": "other"}));
        assert!(error.contains("names a `reference_model`"), "{error}");
    }
}
