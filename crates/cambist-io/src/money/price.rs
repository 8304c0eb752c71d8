//! Prices as data.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::amount::{PerMillion, PicoUsd, rounded};
use crate::dialect::answer::TokenUsage;

/// What the calls of a teacher cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Price {
    /// By what the raw reply counts.
    Rules {
        /// They add up.
        rules: Vec<PriceRule>,
    },
    /// By the canonical token counts.
    Simple(SimplePrice),
}

/// A price by the canonical token counts, in USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimplePrice {
    /// Of the request.
    pub input: PerMillion,
    /// Of the answer, thinking included.
    pub output: PerMillion,
    /// Of the cached part of the request; as `input` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<PerMillion>,
}

/// One number of a raw reply and what it costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceRule {
    /// Where the count of tokens stands (RFC 6901).
    pub pointer: String,
    /// Where a count stands that is taken from it; a missing one is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minus: Option<String>,
    /// USD per million tokens.
    pub per_million: PerMillion,
    /// Whether a missing count is 0 and not an unknown price.
    #[serde(default)]
    pub optional: bool,
}

impl PriceRule {
    /// What the rule adds, in units of 1e-18 USD.
    fn atto(&self, raw: &Value) -> Option<i128> {
        let count = |pointer: &str| raw.pointer(pointer).and_then(Value::as_u64);
        let minus = self.minus.as_deref().and_then(count).unwrap_or(0);
        let counted = count(&self.pointer).or_else(|| self.optional.then_some(0))?;
        Some(self.per_million.atto(counted.saturating_sub(minus)))
    }

    /// Whether it counts tokens of the answer, by the words that services use.
    fn is_output(&self) -> bool {
        ["output", "completion", "generated", "predicted", "candidates"].iter().any(|word| self.pointer.contains(word))
    }
}

impl Price {
    /// Returns what a reply cost: from its raw body, or from the canonical counts where the price is a simple one.
    /// None when a count is missing: the cost is unknown, not 0.
    pub fn cost(&self, raw: &Value, usage: &TokenUsage) -> Option<PicoUsd> {
        match self {
            Self::Rules { rules } => {
                let parts: Option<Vec<i128>> = rules.iter().map(|rule| rule.atto(raw)).collect();
                parts.map(|parts| rounded(parts.into_iter().sum()))
            }
            Self::Simple(price) => price.cost(usage),
        }
    }

    /// Returns at least what a call can cost: every rule takes all of its side's tokens.
    pub fn worst(&self, n_input: u64, n_output_max: u64) -> PicoUsd {
        match self {
            Self::Rules { rules } => {
                let side = |rule: &PriceRule| if rule.is_output() { n_output_max } else { n_input };
                rounded(rules.iter().map(|rule| rule.per_million.atto(side(rule))).sum())
            }
            Self::Simple(price) => {
                let input = price.input.max(price.cached_input.unwrap_or(price.input));
                rounded(input.atto(n_input) + price.output.atto(n_output_max))
            }
        }
    }
}

impl SimplePrice {
    fn cost(&self, usage: &TokenUsage) -> Option<PicoUsd> {
        let (input, output) = (usage.input?, usage.output?);
        let cached = usage.cached_in.unwrap_or(0).min(input);
        let cached_price = self.cached_input.unwrap_or(self.input);
        let fresh = self.input.atto(u64::from(input - cached));
        Some(rounded(fresh + cached_price.atto(u64::from(cached)) + self.output.atto(u64::from(output))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rules() -> Price {
        serde_json::from_value(json!({"rules": [
            {"pointer": "/usage/prompt_tokens", "minus": "/usage/prompt_tokens_details/cached_tokens", "per_million": 0.15},
            {"pointer": "/usage/prompt_tokens_details/cached_tokens", "per_million": 0.075, "optional": true},
            {"pointer": "/usage/completion_tokens", "per_million": 0.60},
        ]}))
        .unwrap()
    }

    fn cost(price: &Price, raw: Value) -> Option<i64> {
        price.cost(&raw, &TokenUsage::default()).map(|cost| cost.0)
    }

    #[test]
    fn cached_tokens_cost_less_and_missing_counts_are_unknown() {
        let cached = json!({"usage": {"prompt_tokens": 1000, "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 400}}});
        assert_eq!(cost(&rules(), cached), Some(600 * 150_000 + 400 * 75_000 + 10 * 600_000));
        let plain = json!({"usage": {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": null}});
        assert_eq!(cost(&rules(), plain), Some(1000 * 150_000 + 10 * 600_000));
        assert_eq!(cost(&rules(), json!({"usage": {"prompt_tokens": 1000}})), None);
        assert_eq!(cost(&rules(), json!({})), None);
    }

    #[test]
    fn simple_prices_go_by_the_canonical_counts() {
        let price: Price = serde_json::from_value(json!({"input": 3, "output": "15", "cached_input": 0.3})).unwrap();
        let usage = TokenUsage { input: Some(100), output: Some(7), cached_in: Some(40), ..TokenUsage::default() };
        let cost = price.cost(&Value::Null, &usage);
        assert_eq!(cost, Some(PicoUsd(60 * 3_000_000 + 40 * 300_000 + 7 * 15_000_000)));
        assert_eq!(price.cost(&Value::Null, &TokenUsage { output: None, ..usage }), None);
        assert!(serde_json::from_value::<Price>(json!({"input": 3})).is_err());
    }

    proptest! {
        #[test]
        fn no_reply_costs_more_than_the_worst(input in 0u64..1 << 20, cached in 0u64..1 << 20, output in 0u64..1 << 20) {
            let cached = cached.min(input);
            let raw = json!({"usage": {"prompt_tokens": input, "completion_tokens": output,
                "prompt_tokens_details": {"cached_tokens": cached}}});
            let cost = rules().cost(&raw, &TokenUsage::default()).unwrap();
            prop_assert!(cost <= rules().worst(input, output));
            let exact = (input - cached) * 150_000 + cached * 75_000 + output * 600_000;
            prop_assert_eq!(cost.0, exact as i64);
        }
    }
}
