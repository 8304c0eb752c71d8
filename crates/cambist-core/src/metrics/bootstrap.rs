//! Cluster bootstrap: how a number would vary over other prompts.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Estimate, Interval};
use crate::{
    chance::Chance,
    statistics::{mean, quantile_of_sorted, standard_deviation},
};

/// More undefined draws than this share leave a tail of the distribution unknown.
const MAX_UNDEFINED: f64 = 0.025;

/// Sums of several columns per cluster: all that a bootstrap of ratios and means needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterSums {
    n_columns: usize,
    clusters: BTreeMap<String, Vec<f64>>,
}

impl ClusterSums {
    /// Returns an empty table of `n_columns`.
    pub fn new(n_columns: usize) -> Self {
        Self { n_columns, clusters: BTreeMap::new() }
    }

    /// Adds `value` to a column of a cluster; columns beyond the table are passed over.
    pub fn add(&mut self, cluster: &str, column: usize, value: f64) {
        if !self.clusters.contains_key(cluster) {
            self.clusters.insert(cluster.to_owned(), vec![0.0; self.n_columns]);
        }
        if let Some(sum) = self.clusters.get_mut(cluster).and_then(|sums| sums.get_mut(column)) {
            *sum += value;
        }
    }

    /// How many clusters there are.
    pub fn n_clusters(&self) -> usize {
        self.clusters.len()
    }

    /// Returns one column, by cluster in the order of their names.
    pub fn column(&self, column: usize) -> Vec<f64> {
        self.clusters.values().filter_map(|sums| sums.get(column).copied()).collect()
    }
}

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// How many draws; default 10,000.
    pub draws: usize,
    /// Keys the draws; default 0.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { draws: 10_000, seed: 0 }
    }
}

impl Bootstrap {
    /// Draws clusters with replacement, as many as there are, and sums their columns.
    ///
    /// Draws are made side by side. Draw number and seed alone key the lots, so tables with the same clusters are
    /// resampled alike: differences between them are paired.
    pub fn resample(&self, sums: &ClusterSums) -> Resampled {
        let (n_columns, n_clusters) = (sums.n_columns, sums.clusters.len());
        let table: Vec<f64> = sums.clusters.values().flatten().copied().collect();
        let mut totals = vec![0.0; self.draws * n_columns];
        totals.par_chunks_exact_mut(n_columns.max(1)).enumerate().for_each(|(draw, total)| {
            let mut chance = Chance::new(self.seed, &["bootstrap", &draw.to_string()]);
            for _ in 0..n_clusters {
                let row = chance.below(n_clusters) * n_columns;
                total.iter_mut().zip(&table[row..row + n_columns]).for_each(|(sum, value)| *sum += value);
            }
        });
        let mut observed = vec![0.0; n_columns];
        for row in table.chunks_exact(n_columns.max(1)) {
            observed.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        Resampled { n_columns, observed, totals }
    }
}

/// Column totals, as observed and in every draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampled {
    n_columns: usize,
    observed: Vec<f64>,
    /// `[draw, column]`.
    totals: Vec<f64>,
}

impl Resampled {
    /// The column totals as observed.
    pub fn observed(&self) -> &[f64] {
        &self.observed
    }

    /// Returns the mean over the draws of a function of the column totals; none where it is defined on no draw.
    pub fn mean(&self, statistic: impl Fn(&[f64]) -> Option<f64>) -> Option<f64> {
        mean(&self.totals.chunks_exact(self.n_columns.max(1)).filter_map(statistic).collect::<Vec<_>>())
    }

    /// Returns a function of the column totals with its spread; none where it is undefined on the observed totals.
    pub fn estimate(&self, statistic: impl Fn(&[f64]) -> Option<f64>) -> Option<Estimate> {
        let value = statistic(&self.observed)?;
        let draws = self.totals.chunks_exact(self.n_columns.max(1));
        let n_draws = draws.len();
        let mut defined: Vec<f64> = draws.filter_map(statistic).collect();
        if ((n_draws - defined.len()) as f64) > MAX_UNDEFINED * n_draws as f64 {
            return Some(Estimate { value, standard_error: None, interval: None });
        }
        defined.sort_by(f64::total_cmp);
        let ends = quantile_of_sorted(&defined, 0.025).zip(quantile_of_sorted(&defined, 0.975));
        let interval = ends.map(|(low, high)| Interval { low, high });
        Some(Estimate { value, standard_error: standard_deviation(&defined), interval })
    }
}
