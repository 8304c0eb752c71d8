//! Models that we may ask and never train.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    language::Language,
    license::{Permission, permission},
};

/// The three groups of the paper's pool (arXiv 2408.14960).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherKind {
    /// Covers many languages.
    Multilingual,
    /// Covers one family or region.
    GeoCluster,
    /// Covers one language.
    Monolingual,
}

/// The languages that a teacher claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// Every language.
    All,
    /// These and no others.
    Only(BTreeSet<Language>),
}

impl Coverage {
    /// Whether `language` is claimed; a claim of `zh` covers `zh-hant` too.
    pub fn covers(&self, language: &Language) -> bool {
        match self {
            Self::All => true,
            Self::Only(set) => set.iter().any(|claimed| claimed == language || claimed.as_str() == language.primary()),
        }
    }
}

/// List prices in USD; they add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// Per million tokens of prompt.
    pub input: f64,
    /// Per million tokens of answer.
    pub output: f64,
    /// Per million characters of text, for translation engines.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub characters: f64,
}

fn is_zero(price: &f64) -> bool {
    *price == 0.0
}

impl Price {
    /// Returns the price in USD of a text of so many characters.
    pub fn of_characters(&self, n_characters: usize) -> f64 {
        self.characters * n_characters as f64 / 1e6
    }

    /// Returns the price in USD of a call by its tokens; tokens that the teacher did not count cost nothing.
    pub fn of(&self, tokens_in: Option<u32>, tokens_out: Option<u32>) -> f64 {
        let part = |price: f64, tokens: Option<u32>| price * f64::from(tokens.unwrap_or(0));
        (part(self.input, tokens_in) + part(self.output, tokens_out)) / 1e6
    }
}

/// A model that we may ask and never train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Teacher {
    /// Names the teacher, unique in its pool; part of every tie-break.
    pub id: String,
    /// Its group.
    pub kind: TeacherKind,
    /// The languages that it claims.
    pub languages: Coverage,
    /// The licence of its answers, SPDX where there is one.
    pub license: String,
    /// Whether its answers may train a model, where somebody knows better than the licence's name says; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_may_train: Option<Permission>,
    /// What it costs.
    pub price: Price,
}

impl Teacher {
    /// Whether its answers may train a model: what is declared, else what the licence says.
    pub fn permission(&self) -> Permission {
        self.outputs_may_train.unwrap_or_else(|| permission(&self.license))
    }
}
