//! How tokens are drawn.

use serde::{Deserialize, Serialize};

/// How tokens are drawn.
///
/// What is asked for is done in the order of `transformers`: penalties, temperature, `top_k`, `top_p`, `min_p`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// What logits are divided by, default 0: always the most likely token, the lower number on a tie.
    pub temperature: f64,
    /// Smallest set of tokens with at least this probability together is drawn from, default 1.0.
    pub top_p: f64,
    /// At most this many tokens are drawn from, none (the default) for all.
    pub top_k: Option<usize>,
    /// Tokens below this share of the most likely one's probability are not drawn; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// What the logits of tokens of the prompt and of the answer so far are divided by where they are positive, and
    /// multiplied by where they are negative (Keskar et al. 2019, arXiv 1909.05858, section 4.1); 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// What is taken from the logits of tokens that the answer holds already; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// What is taken from the logits of tokens for each time that the answer holds them; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Texts that end the answer, which is cut before the first of them; none by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Longest answer in tokens, end of turn included, default 256.
    pub max_new_tokens: usize,
    /// Names the random numbers, together with each request's key.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: None,
            min_p: None,
            repetition_penalty: None,
            presence_penalty: None,
            frequency_penalty: None,
            stop: vec![],
            max_new_tokens: 256,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Says what is out of range, by the name of its key.
    ///
    /// # Errors
    /// With one sentence: the key, what was found, what was expected.
    pub fn check(&self) -> Result<(), String> {
        let in_range = |key: &str, found: f64, is_fine: bool, expected: &str| match is_fine {
            true => Ok(()),
            false => Err(format!("`{key}` is {found}, expected {expected}")),
        };
        let (min_p, penalty) = (self.min_p.unwrap_or(0.0), self.repetition_penalty.unwrap_or(1.0));
        let temperature = self.temperature;
        in_range("temperature", temperature, temperature >= 0.0 && temperature.is_finite(), "0 or more")?;
        in_range("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "more than 0 and at most 1")?;
        in_range("min_p", min_p, (0.0..=1.0).contains(&min_p), "0 to 1")?;
        in_range("repetition_penalty", penalty, penalty > 0.0 && penalty.is_finite(), "more than 0")?;
        for (key, found) in [("presence_penalty", self.presence_penalty), ("frequency_penalty", self.frequency_penalty)]
        {
            let found = found.unwrap_or(0.0);
            in_range(key, found, found.is_finite(), "a number")?;
        }
        match self.stop.iter().any(String::is_empty) {
            true => Err("`stop` holds an empty text, which every answer begins with; remove it".to_owned()),
            false => Ok(()),
        }
    }

    /// Whether what was said before changes what is drawn.
    pub(super) fn penalises(&self) -> bool {
        let is_on = |penalty: Option<f64>, off: f64| penalty.is_some_and(|penalty| penalty != off);
        is_on(self.repetition_penalty, 1.0) || is_on(self.presence_penalty, 0.0) || is_on(self.frequency_penalty, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        let refused = |sampling: Sampling| sampling.check().unwrap_err();
        assert!(refused(Sampling { top_p: 0.0, ..Sampling::default() }).contains("`top_p` is 0"));
        assert!(refused(Sampling { min_p: Some(1.5), ..Sampling::default() }).contains("`min_p` is 1.5"));
        assert!(refused(Sampling { temperature: f64::NAN, ..Sampling::default() }).contains("`temperature`"));
        assert!(refused(Sampling { stop: vec![String::new()], ..Sampling::default() }).contains("`stop`"));
        assert!(Sampling::default().check().is_ok());
    }

    #[test]
    fn a_sampling_without_the_newer_keys_is_written_as_it_always_was() {
        let written = serde_json::to_value(Sampling::default()).unwrap();
        let expected =
            serde_json::json!({"temperature": 0.0, "top_p": 1.0, "top_k": null, "max_new_tokens": 256, "seed": 0});
        assert_eq!(written, expected, "the ledger names calls by this");
    }
}
