//! Rotary position embeddings (Su et al. 2021, arXiv 2104.09864) and the ways to stretch them.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// How the rotation angles of a model are made, as its `config.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub(crate) enum RopeScaling {
    /// Angles as trained.
    Default,
    /// Every angle divided by `factor` (position interpolation, arXiv 2306.15595).
    Linear {
        /// How many times longer the context became.
        factor: f64,
    },
    /// Slow rotations divided by `factor`, fast ones kept, those between interpolated (Llama 3.1).
    Llama3 {
        /// How many times longer the context became.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided in full.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Positions of the first training.
        original_max_position_embeddings: f64,
    },
}

/// Cosines and sines of the angles of every position, made once for as many positions as were asked for.
#[derive(Debug)]
pub(crate) struct Rope {
    frequencies: Vec<f32>,
    table: Mutex<Arc<RopeTable>>,
}

/// Cosines and sines of positions `0..n`, `[n, head_dim / 2]` each.
#[derive(Debug, Default)]
pub(crate) struct RopeTable {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// Positions of the first table; later ones double.
const FIRST_POSITIONS: usize = 256;

impl Rope {
    pub(crate) fn new(head_dim: usize, theta: f64, scaling: &RopeScaling) -> Self {
        let frequency = |i: usize| 1.0 / (theta as f32).powf(2.0 * i as f32 / head_dim as f32);
        let frequencies = (0..head_dim / 2).map(|i| scaled(frequency(i), scaling)).collect();
        Self { frequencies, table: Mutex::new(Arc::default()) }
    }

    /// Returns a table that covers at least `n_positions`.
    pub(crate) fn table(&self, n_positions: usize) -> Arc<RopeTable> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.n_positions() < n_positions {
            *table = Arc::new(RopeTable::new(&self.frequencies, n_positions.next_power_of_two().max(FIRST_POSITIONS)));
        }
        Arc::clone(&table)
    }
}

/// Computes in f32 as `transformers` does, so that far positions get the same rounding.
fn scaled(frequency: f32, scaling: &RopeScaling) -> f32 {
    match *scaling {
        RopeScaling::Default => frequency,
        RopeScaling::Linear { factor } => frequency / factor as f32,
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
            let wavelength = std::f64::consts::TAU / f64::from(frequency);
            let slow = f64::from(frequency) / factor;
            let turns = original_max_position_embeddings / wavelength;
            let keep = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
            ((1.0 - keep) * slow + keep * f64::from(frequency)) as f32
        }
    }
}

impl RopeTable {
    fn new(frequencies: &[f32], n_positions: usize) -> Self {
        let angles = (0..n_positions).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f));
        let (cos, sin) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        Self { half: frequencies.len(), cos, sin }
    }

    fn n_positions(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(0)
    }

    /// Writes `head` rotated to `position` into `out`; both halves of a head turn together, as in Hugging Face.
    #[inline(always)]
    pub(crate) fn rotate(&self, out: &mut [f32], head: &[f32], position: usize) {
        self.turn(out, head, position, 1.0);
    }

    /// Writes `head` rotated back from `position` into `out`.
    #[inline(always)]
    pub(crate) fn rotate_back(&self, out: &mut [f32], head: &[f32], position: usize) {
        self.turn(out, head, position, -1.0);
    }

    #[inline(always)]
    fn turn(&self, out: &mut [f32], head: &[f32], position: usize, sign: f32) {
        let at = position * self.half;
        let (cos, sin) = (&self.cos[at..at + self.half], &self.sin[at..at + self.half]);
        let (first, second) = head.split_at(self.half);
        let (out_first, out_second) = out.split_at_mut(self.half);
        for i in 0..self.half {
            let sin = sin[i] * sign;
            out_first[i] = first[i] * cos[i] - second[i] * sin;
            out_second[i] = second[i] * cos[i] + first[i] * sin;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_back_undoes_turning() {
        let table = Rope::new(8, 10_000.0, &RopeScaling::Default).table(300);
        let head = [0.3, -1.0, 2.0, 0.5, 1.5, -0.25, 0.75, 4.0];
        let (mut there, mut back) = ([0.0; 8], [0.0; 8]);
        table.rotate(&mut there, &head, 299);
        table.rotate_back(&mut back, &there, 299);
        assert!(there.iter().zip(&head).any(|(a, b)| (a - b).abs() > 0.1));
        assert!(back.iter().zip(&head).all(|(a, b)| (a - b).abs() < 1e-5), "{back:?}");
    }
}
