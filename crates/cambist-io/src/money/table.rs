//! Which price holds for whom.

use serde::{Deserialize, Serialize};

use super::price::Price;

/// Prices by endpoint and model; the first that matches holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PriceTable(pub Vec<PriceEntry>);

/// A price and whom it is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriceEntry {
    /// Whom it is for.
    #[serde(rename = "match", default)]
    pub applies_to: PriceMatch,
    /// How the calls are made, `live` by default.
    #[serde(default)]
    pub lane: Lane,
    /// The price.
    #[serde(flatten)]
    pub price: Price,
}

/// Whom a price is for; `*` stands for any text and `?` for one character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PriceMatch {
    /// The endpoint's address or name, all by default.
    pub endpoint: String,
    /// The model's name at the endpoint, all by default.
    pub model: String,
}

impl Default for PriceMatch {
    fn default() -> Self {
        Self { endpoint: "*".to_owned(), model: "*".to_owned() }
    }
}

/// How calls are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// One by one.
    #[default]
    Live,
    /// As a file of a batch job.
    Batch,
}

impl PriceTable {
    /// Returns the first price that matches; none when the price is unknown.
    pub fn find(&self, endpoint: &str, model: &str, lane: Lane) -> Option<&Price> {
        let matches = |entry: &&PriceEntry| {
            let PriceMatch { endpoint: endpoints, model: models } = &entry.applies_to;
            entry.lane == lane && matches_glob(endpoints, endpoint) && matches_glob(models, model)
        };
        self.0.iter().find(matches).map(|entry| &entry.price)
    }
}

/// Whether `text` as a whole matches `pattern`, where `*` stands for any text and `?` for one character.
pub fn matches_glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while let Some(&c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == c => (p, t) = (p + 1, t + 1),
            _ => {
                // The last star takes one character more.
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text) in
            [("*", ""), ("gpt-*-mini", "gpt-4o-mini"), ("a?c", "aéc"), ("*b*b", "abab"), ("", ""), ("a**", "a")]
        {
            assert!(matches_glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("gpt-*-mini", "gpt-4o-mini-2"), ("?", ""), ("", "a"), ("a*b", "acbc")] {
            assert!(!matches_glob(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_price_that_matches_holds() {
        let table: PriceTable = serde_json::from_value(json!([
            {"match": {"model": "small-*"}, "input": 1, "output": 2},
            {"match": {"model": "small-*"}, "lane": "batch", "input": 0.5, "output": 1},
            {"match": {"endpoint": "https://api.example.com*"}, "rules": [{"pointer": "/usage/x", "per_million": 9}]},
        ]))
        .unwrap();
        let at = |endpoint, model, lane| {
            let found = table.find(endpoint, model, lane)?;
            table.0.iter().position(|entry| std::ptr::eq(&entry.price, found))
        };
        assert_eq!(at("https://api.example.com", "small-1", Lane::Live), Some(0));
        assert_eq!(at("x", "small-1", Lane::Batch), Some(1));
        assert_eq!(at("https://api.example.com/v1", "large", Lane::Live), Some(2));
        assert_eq!(at("x", "large", Lane::Live), None);
    }
}
