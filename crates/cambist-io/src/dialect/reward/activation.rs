//! Whether what a reward model's server gives are raw rewards.
//!
//! Servers put a sigmoid, a softmax or a norm over the reward unasked. A sigmoid cannot be undone: it is exactly 1.0
//! from about 6 in bf16 and 17 in f32 on, where good answers live. So what is not raw is refused.

use std::collections::BTreeMap;

use super::decode::NoReward;

/// What a server said of one probe pair.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbedPair {
    /// The pair's language tag.
    pub language: String,
    /// The good answer's reward.
    pub good: Result<f64, NoReward>,
    /// The awful answer's reward.
    pub awful: Result<f64, NoReward>,
}

/// What the probe says of a reward model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ActivationVerdict {
    /// Raw rewards: accepted.
    #[error("raw rewards: the good answer wins in {n_right} of {n_pairs} pairs")]
    Raw {
        /// Pairs in which the good answer has the higher reward.
        n_right: usize,
        /// All pairs.
        n_pairs: usize,
    },
    /// Hidden states.
    #[error(
        "the server gives hidden states, {n} numbers where 1 was expected: try `vllm-pooling`, which names the task, or serve the model as a classifier"
    )]
    HiddenStates {
        /// How many numbers there were.
        n: usize,
    },
    /// A softmax of one logit.
    #[error("every reward is exactly 1.0, a softmax of one logit: ask the model's own server in another dialect")]
    Softmax,
    /// A sigmoid.
    #[error(
        "every reward lies between 0 and 1, a sigmoid, although raw rewards were asked for: serve the model without activation, for example with vLLM's pooler option `use_activation: false`"
    )]
    Sigmoid,
    /// A norm.
    #[error("every reward is 1 or -1, a normalised vector of one number: ask in another dialect")]
    Normalised,
    /// The awful answer wins too often.
    #[error(
        "the awful answer wins or ties in {n_wrong} of {n_pairs} pairs ({by_language}), at most a quarter is accepted: check the model's head, chat template and sign"
    )]
    WrongHead {
        /// Pairs in which the good answer does not have the higher reward.
        n_wrong: usize,
        /// All pairs.
        n_pairs: usize,
        /// Wrong pairs of all pairs for each language.
        by_language: String,
    },
    /// Some reward is missing, or there are too few pairs.
    #[error(
        "found {n_scored} scored pairs in {n_languages} languages, expected all of at least 8 pairs in 3 languages: {reason}"
    )]
    Incomplete {
        /// Pairs with both rewards.
        n_scored: usize,
        /// Languages among them.
        n_languages: usize,
        /// Why a reward is missing.
        reason: String,
    },
}

impl ActivationVerdict {
    /// Whether the reward model may be used.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Raw { .. })
    }
}

/// Returns what the rewards of the probe pairs say of the server (endpoints specification, section 5.3).
pub fn judge_activation(pairs: &[ProbedPair]) -> ActivationVerdict {
    let values: Vec<f64> = pairs.iter().flat_map(|pair| [&pair.good, &pair.awful]).flatten().copied().collect();
    let is_normal = |value: &f64| (value.abs() - 1.0).abs() <= 1e-3;
    match () {
        () if values.is_empty() || hidden_states(pairs).is_some() => judge_order(pairs),
        () if values.iter().all(|value| *value == 1.0) => ActivationVerdict::Softmax,
        () if values.iter().all(is_normal) => ActivationVerdict::Normalised,
        () if values.iter().all(|value| (0.0..=1.0).contains(value)) => ActivationVerdict::Sigmoid,
        () => judge_order(pairs),
    }
}

/// Returns what the probe pairs say where rewards are probabilities by nature
/// ([`gives_probabilities`](super::RewardDialect::gives_probabilities)): whether good answers win.
pub fn judge_order(pairs: &[ProbedPair]) -> ActivationVerdict {
    if let Some(n) = hidden_states(pairs) {
        return ActivationVerdict::HiddenStates { n };
    }
    let scored: Vec<Scored<'_>> = pairs.iter().filter_map(Scored::of).collect();
    let by_language = wrong_by_language(&scored);
    if scored.len() < pairs.len().max(8) || by_language.len() < 3 {
        return ActivationVerdict::Incomplete {
            n_scored: scored.len(),
            n_languages: by_language.len(),
            reason: missing(pairs).next().map_or("too few pairs".to_owned(), NoReward::to_string),
        };
    }
    let (n_wrong, n_pairs) = (scored.iter().filter(|pair| !pair.is_right()).count(), scored.len());
    if n_wrong * 4 > n_pairs {
        let words: Vec<String> = by_language.iter().map(|(tag, (wrong, all))| format!("{tag} {wrong}/{all}")).collect();
        return ActivationVerdict::WrongHead { n_wrong, n_pairs, by_language: words.join(", ") };
    }
    ActivationVerdict::Raw { n_right: n_pairs - n_wrong, n_pairs }
}

fn missing(pairs: &[ProbedPair]) -> impl Iterator<Item = &NoReward> {
    pairs.iter().flat_map(|pair| [&pair.good, &pair.awful]).filter_map(|reward| reward.as_ref().err())
}

fn hidden_states(pairs: &[ProbedPair]) -> Option<usize> {
    missing(pairs).find_map(|reason| match reason {
        NoReward::HiddenStates { n } => Some(*n),
        _ => None,
    })
}

struct Scored<'a> {
    language: &'a str,
    good: f64,
    awful: f64,
}

impl<'a> Scored<'a> {
    fn of(pair: &'a ProbedPair) -> Option<Self> {
        let (good, awful) = (*pair.good.as_ref().ok()?, *pair.awful.as_ref().ok()?);
        Some(Self { language: &pair.language, good, awful })
    }

    fn is_right(&self) -> bool {
        self.good > self.awful
    }
}

fn wrong_by_language<'a>(scored: &[Scored<'a>]) -> BTreeMap<&'a str, (usize, usize)> {
    let mut counts = BTreeMap::new();
    for pair in scored {
        let (wrong, all) = counts.entry(pair.language).or_insert((0, 0));
        *wrong += usize::from(!pair.is_right());
        *all += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(reward: impl Fn(usize, bool) -> f64) -> Vec<ProbedPair> {
        let languages = ["en", "de", "tr", "ja"];
        let pair = |at: usize| ProbedPair {
            language: languages[at % 4].to_owned(),
            good: Ok(reward(at, true)),
            awful: Ok(reward(at, false)),
        };
        (0..8).map(pair).collect()
    }

    fn raw(at: usize, good: bool) -> f64 {
        if good { 3.0 + at as f64 } else { -4.0 - at as f64 }
    }

    #[test]
    fn raw_rewards_are_accepted_with_two_wrong_pairs_and_not_with_three() {
        assert_eq!(judge_activation(&probed(raw)), ActivationVerdict::Raw { n_right: 8, n_pairs: 8 });
        let wrong = |n: usize| probed(move |at, good| raw(at, good ^ (at < n)));
        assert!(judge_activation(&wrong(2)).is_accepted());
        let verdict = judge_activation(&wrong(3));
        let by_language = "de 1/2, en 1/2, ja 0/2, tr 1/2".to_owned();
        assert_eq!(verdict, ActivationVerdict::WrongHead { n_wrong: 3, n_pairs: 8, by_language });
    }

    #[test]
    fn ties_count_as_wrong() {
        assert!(matches!(judge_activation(&probed(|_, _| 2.5)), ActivationVerdict::WrongHead { n_wrong: 8, .. }));
    }

    #[test]
    fn everything_that_is_not_raw_is_refused() {
        let sigmoid = |at, good| 1.0 / (1.0 + (-raw(at, good)).exp());
        assert_eq!(judge_activation(&probed(sigmoid)), ActivationVerdict::Sigmoid);
        // A sigmoid in bf16 is exactly 1.0 for good answers.
        assert_eq!(
            judge_activation(&probed(|at, good| if good { 1.0 } else { 0.01 * at as f64 })),
            ActivationVerdict::Sigmoid
        );
        assert_eq!(judge_activation(&probed(|_, _| 1.0)), ActivationVerdict::Softmax);
        assert_eq!(
            judge_activation(&probed(|_, good| if good { 1.0 } else { -0.9995 })),
            ActivationVerdict::Normalised
        );
        let mut hidden = probed(raw);
        hidden[5].awful = Err(NoReward::HiddenStates { n: 4096 });
        assert_eq!(judge_activation(&hidden), ActivationVerdict::HiddenStates { n: 4096 });
    }

    #[test]
    fn a_missing_reward_or_too_few_pairs_are_no_verdict() {
        let mut pairs = probed(raw);
        pairs[1].good = Err(NoReward::NotANumber { found: "null".into() });
        let verdict = judge_activation(&pairs);
        assert!(matches!(verdict, ActivationVerdict::Incomplete { n_scored: 7, n_languages: 4, .. }), "{verdict}");
        assert!(verdict.to_string().contains("not a number"), "{verdict}");
        assert!(matches!(judge_activation(&[]), ActivationVerdict::Incomplete { n_scored: 0, .. }));
    }

    #[test]
    fn probabilities_are_judged_by_their_order_alone() {
        let probability = |flip: bool| probed(move |at, good| 1.0 / (1.0 + (-raw(at, good ^ flip)).exp()));
        assert!(judge_order(&probability(false)).is_accepted());
        assert!(matches!(judge_order(&probability(true)), ActivationVerdict::WrongHead { n_wrong: 8, .. }));
    }
}
