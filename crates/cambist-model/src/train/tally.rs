//! Losses and metrics over rows, by language.

use std::collections::BTreeMap;

use cambist_core::language::Language;
use serde::{Deserialize, Serialize};

use super::rows::EncodedRow;
use crate::objective::{Objective, RowLoss, Term};

/// Means over rows, each row by its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Means {
    /// How many rows.
    pub n_rows: usize,
    /// The objective's loss: nats per token for SFT and pre-training.
    pub loss: f64,
    /// What else the objective measures, under the names that dashboards know, such as `rewards/margins`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// The standard error of each measured metric, rows taken as independent; none of a single row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub standard_errors: BTreeMap<String, f64>,
}

/// Sums over the rows so far, by language.
pub(crate) struct Tally {
    terms: Vec<Term>,
    names: &'static [&'static str],
    sums: BTreeMap<Language, Sums>,
}

#[derive(Clone, Default)]
struct Sums {
    n_rows: usize,
    weight: f64,
    /// Of each term: before the division, and what it is divided by.
    terms: Vec<(f64, f64)>,
    metrics: Vec<Measured>,
}

/// Sums of one metric over the rows that say something of it.
#[derive(Clone, Copy, Default)]
struct Measured {
    n_rows: usize,
    weight: f64,
    sum: f64,
    squares: f64,
}

impl Measured {
    fn one(value: Option<f64>, weight: f64) -> Self {
        let of = |x: f64| Self { n_rows: 1, weight, sum: weight * x, squares: weight * x * x };
        value.map_or_else(Self::default, of)
    }

    fn add(&mut self, other: &Self) {
        self.n_rows += other.n_rows;
        self.weight += other.weight;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    fn mean(&self) -> f64 {
        self.sum / self.weight
    }

    /// The standard error of the mean; none of a single row.
    fn standard_error(&self) -> Option<f64> {
        let variance = || self.squares / self.weight - self.mean() * self.mean();
        (self.n_rows > 1).then(|| (variance().max(0.0) / (self.n_rows - 1) as f64).sqrt())
    }
}

impl Tally {
    pub(crate) fn new(objective: &dyn Objective) -> Self {
        Self { terms: objective.terms(), names: objective.metrics(), sums: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, row: &EncodedRow, loss: &RowLoss) {
        let terms = loss.terms.iter().zip(&row.denominators);
        let one = Sums {
            n_rows: 1,
            weight: row.weight,
            terms: terms.map(|(term, denominator)| (row.weight * term.sum, row.weight * denominator)).collect(),
            metrics: loss.metrics.iter().map(|x| Measured::one(*x, row.weight)).collect(),
        };
        self.sums.entry(row.language.clone()).or_default().add(&one);
    }

    /// Returns the means over all rows.
    pub(crate) fn means(&self) -> Means {
        let mut all = Sums::default();
        self.sums.values().for_each(|sums| all.add(sums));
        self.means_of(&all)
    }

    pub(crate) fn per_language(&self) -> BTreeMap<Language, Means> {
        self.sums.iter().map(|(language, sums)| (language.clone(), self.means_of(sums))).collect()
    }

    fn means_of(&self, sums: &Sums) -> Means {
        let values: Vec<f64> = sums.terms.iter().map(|(sum, denominator)| sum / denominator).collect();
        let named = self.terms.iter().zip(&values).filter_map(|(term, value)| Some((term.metric?, *value)));
        let measured = || self.names.iter().zip(&sums.metrics).filter(|(_, own)| own.n_rows > 0);
        let errors = measured().filter_map(|(name, own)| Some(((*name).to_owned(), own.standard_error()?)));
        Means {
            n_rows: sums.n_rows,
            loss: self.terms.iter().zip(&values).map(|(term, value)| term.weight * value).sum(),
            standard_errors: errors.collect(),
            metrics: named
                .chain(measured().map(|(name, own)| (*name, own.mean())))
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.n_rows += other.n_rows;
        self.weight += other.weight;
        self.terms.resize(other.terms.len(), (0.0, 0.0));
        for (sum, more) in self.terms.iter_mut().zip(&other.terms) {
            *sum = (sum.0 + more.0, sum.1 + more.1);
        }
        self.metrics.resize(other.metrics.len(), Measured::default());
        self.metrics.iter_mut().zip(&other.metrics).for_each(|(sum, more)| sum.add(more));
    }
}
