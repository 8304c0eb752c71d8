//! Rotary position embeddings (Su et al. 2021, arXiv 2104.09864) and the ways to stretch them.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// How the rotation angles of some layers are made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RopeConfig {
    /// Base of the angles.
    pub(crate) theta: f64,
    /// How many of a head's first numbers are turned; even, the others stay.
    pub(crate) width: usize,
    /// Whether neighbours are turned together (Cohere) instead of the two halves (as most files on Hugging Face).
    pub(crate) interleaved: bool,
    /// Longest sequence of the model.
    pub(crate) max_positions: usize,
    pub(crate) scaling: RopeScaling,
}

/// How angles are stretched, as `config.json` says.
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
    /// Another base beyond `max_position_embeddings`; sequences here never are, so that nothing changes.
    Dynamic {
        /// How many times longer the context may become.
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
    /// Interpolated by the number of turns over the first context (YaRN, arXiv 2309.00071).
    Yarn(Yarn),
    /// A divisor for each angle, other ones for sequences beyond the first context (LongRoPE, arXiv 2402.13753).
    LongRope(LongRope),
}

/// The numbers of YaRN; section 3 of the paper names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Yarn {
    /// How many times longer the context became; the ratio of both contexts where absent.
    factor: Option<f64>,
    original_max_position_embeddings: f64,
    /// What cosines and sines are multiplied by; follows from the factor where absent.
    attention_factor: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    /// More turns than this are kept, default 32.
    beta_fast: Option<f64>,
    /// Fewer turns than this are divided in full, default 1.
    beta_slow: Option<f64>,
    /// Whether the bounds are made whole numbers, default true.
    truncate: Option<bool>,
}

/// The numbers of LongRoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LongRope {
    /// Divisors of sequences within the first context, one for each angle.
    pub(crate) short_factor: Vec<f64>,
    /// Divisors of longer ones.
    pub(crate) long_factor: Vec<f64>,
    pub(crate) original_max_position_embeddings: f64,
    factor: Option<f64>,
    attention_factor: Option<f64>,
}

/// Cosines and sines of the angles of every position, made once for as many positions as were asked for.
#[derive(Debug)]
pub(crate) struct Rope {
    /// For each position the number of a turn.
    short: Angles,
    /// For sequences longer than the number beside it.
    long: Option<(usize, Angles)>,
}

/// The rotations of one pass: which table holds depends on a sequence's length alone.
#[derive(Clone, Debug)]
pub(crate) struct RopeTables {
    short: Arc<RopeTable>,
    long: Option<(usize, Arc<RopeTable>)>,
}

impl RopeTables {
    /// Returns the rotations of a sequence of `length` tokens.
    #[inline(always)]
    pub(crate) fn of(&self, length: usize) -> &RopeTable {
        match &self.long {
            Some((beyond, long)) if length > *beyond => long,
            _ => &self.short,
        }
    }
}

/// Cosines and sines of positions `0..n`, `[n, width / 2]` each.
#[derive(Debug, Default)]
pub(crate) struct RopeTable {
    half: usize,
    interleaved: bool,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// Angles of position 1, and their table as far as it was needed.
#[derive(Debug)]
struct Angles {
    frequencies: Vec<f32>,
    factor: f32,
    interleaved: bool,
    table: Mutex<Arc<RopeTable>>,
}

/// Positions of the first table; later ones double.
const FIRST_POSITIONS: usize = 256;

impl Rope {
    pub(crate) fn new(config: &RopeConfig) -> Self {
        let angles = |(frequencies, factor): (Vec<f32>, f64)| Angles {
            frequencies,
            factor: factor as f32,
            interleaved: config.interleaved,
            table: Mutex::new(Arc::default()),
        };
        let plain = plain_frequencies(config);
        match &config.scaling {
            RopeScaling::LongRope(long) => {
                let (beyond, factor) = (long.original_max_position_embeddings, long.attention_factor(config));
                let divided = |by: &[f64]| divided(&plain, by);
                Self {
                    short: angles((divided(&long.short_factor), factor)),
                    long: Some((beyond as usize, angles((divided(&long.long_factor), factor)))),
                }
            }
            RopeScaling::Yarn(yarn) => Self { short: angles(yarn.angles(config)), long: None },
            scaling => Self { short: angles((plain.iter().map(|f| scaled(*f, scaling)).collect(), 1.0)), long: None },
        }
    }

    /// Returns tables that cover at least `n_positions`.
    pub(crate) fn tables(&self, n_positions: usize) -> RopeTables {
        let long = self.long.as_ref().filter(|(beyond, _)| n_positions > *beyond);
        RopeTables {
            short: self.short.table(n_positions),
            long: long.map(|(beyond, angles)| (*beyond, angles.table(n_positions))),
        }
    }

    /// The length beyond which a sequence is turned by other angles from its first token on.
    pub(crate) fn changes_beyond(&self) -> Option<usize> {
        self.long.as_ref().map(|(beyond, _)| *beyond)
    }
}

impl Angles {
    fn table(&self, n_positions: usize) -> Arc<RopeTable> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.n_positions() < n_positions {
            *table = Arc::new(RopeTable::new(self, n_positions.next_power_of_two().max(FIRST_POSITIONS)));
        }
        Arc::clone(&table)
    }
}

/// Computes in f32 as `transformers` does, so that far positions get the same rounding.
fn plain_frequencies(config: &RopeConfig) -> Vec<f32> {
    (0..config.width / 2).map(|i| 1.0 / power(config, i)).collect()
}

fn power(config: &RopeConfig, i: usize) -> f32 {
    (config.theta as f32).powf(2.0 * i as f32 / config.width as f32)
}

fn divided(frequencies: &[f32], by: &[f64]) -> Vec<f32> {
    frequencies.iter().zip(by).map(|(frequency, by)| frequency / *by as f32).collect()
}

fn scaled(frequency: f32, scaling: &RopeScaling) -> f32 {
    match *scaling {
        RopeScaling::Linear { factor } => frequency / factor as f32,
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
            let wavelength = std::f64::consts::TAU / f64::from(frequency);
            let slow = f64::from(frequency) / factor;
            let turns = original_max_position_embeddings / wavelength;
            let keep = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
            ((1.0 - keep) * slow + keep * f64::from(frequency)) as f32
        }
        _ => frequency,
    }
}

impl Yarn {
    fn factor(&self, config: &RopeConfig) -> f64 {
        self.factor.unwrap_or(config.max_positions as f64 / self.original_max_position_embeddings)
    }

    /// Returns the angles, and what cosines and sines are multiplied by.
    fn angles(&self, config: &RopeConfig) -> (Vec<f32>, f64) {
        let (factor, (low, high)) = (self.factor(config), self.bounds(config));
        let angle = |i: usize| {
            let turns = power(config, i);
            let divided = ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
            let (slow, fast) = (1.0 / (factor as f32 * turns), 1.0 / turns);
            slow * divided + fast * (1.0 - divided)
        };
        ((0..config.width / 2).map(angle).collect(), self.attention_factor(factor))
    }

    /// Between which angles the interpolation lies.
    fn bounds(&self, config: &RopeConfig) -> (f64, f64) {
        let width = config.width as f64;
        let place = |n_turns: f64| {
            let positions = self.original_max_position_embeddings / (n_turns * std::f64::consts::TAU);
            width * positions.ln() / (2.0 * config.theta.ln())
        };
        let (mut low, mut high) = (place(self.beta_fast.unwrap_or(32.0)), place(self.beta_slow.unwrap_or(1.0)));
        if self.truncate.unwrap_or(true) {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, high) = (low.max(0.0), high.min(width - 1.0));
        (low, if low == high { high + 0.001 } else { high })
    }

    fn attention_factor(&self, factor: f64) -> f64 {
        let scale = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
        let both = self.mscale.filter(|m| *m != 0.0).zip(self.mscale_all_dim.filter(|m| *m != 0.0));
        let inferred = both.map_or_else(|| scale(1.0), |(mscale, all)| scale(mscale) / scale(all));
        self.attention_factor.unwrap_or(inferred)
    }
}

impl LongRope {
    fn attention_factor(&self, config: &RopeConfig) -> f64 {
        let original = self.original_max_position_embeddings;
        let factor = self.factor.unwrap_or(config.max_positions as f64 / original);
        let inferred = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() };
        self.attention_factor.unwrap_or(inferred)
    }
}

impl RopeTable {
    fn new(angles: &Angles, n_positions: usize) -> Self {
        let turned = (0..n_positions).flat_map(|p| angles.frequencies.iter().map(move |f| p as f32 * f));
        let (cos, sin) = turned.map(|angle| (angle.cos() * angles.factor, angle.sin() * angles.factor)).unzip();
        Self { half: angles.frequencies.len(), interleaved: angles.interleaved, cos, sin }
    }

    fn n_positions(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(0)
    }

    /// Writes `head` rotated to `position` into `out`.
    #[inline(always)]
    pub(crate) fn rotate(&self, out: &mut [f32], head: &[f32], position: usize) {
        self.turn(out, head, position, 1.0);
    }

    /// Writes what reaches `head` when `out` was rotated to `position`.
    #[inline(always)]
    pub(crate) fn rotate_back(&self, out: &mut [f32], head: &[f32], position: usize) {
        self.turn(out, head, position, -1.0);
    }

    #[inline(always)]
    fn turn(&self, out: &mut [f32], head: &[f32], position: usize, sign: f32) {
        let at = position * self.half;
        let (cos, sin) = (&self.cos[at..at + self.half], &self.sin[at..at + self.half]);
        let (head, rest) = head.split_at(2 * self.half);
        let (out, out_rest) = out.split_at_mut(2 * self.half);
        out_rest.copy_from_slice(rest);
        if self.interleaved {
            for i in 0..self.half {
                let (first, second, sin) = (head[2 * i], head[2 * i + 1], sin[i] * sign);
                out[2 * i] = first * cos[i] - second * sin;
                out[2 * i + 1] = second * cos[i] + first * sin;
            }
            return;
        }
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

    fn config(width: usize, interleaved: bool) -> RopeConfig {
        RopeConfig { theta: 10_000.0, width, interleaved, max_positions: 512, scaling: RopeScaling::Default }
    }

    #[test]
    fn turning_back_undoes_turning() {
        for (width, interleaved) in [(8, false), (8, true), (4, false), (6, true)] {
            let tables = Rope::new(&config(width, interleaved)).tables(300);
            let (table, head) = (tables.of(300), [0.3, -1.0, 2.0, 0.5, 1.5, -0.25, 0.75, 4.0]);
            let (mut there, mut back) = ([0.0; 8], [0.0; 8]);
            table.rotate(&mut there, &head, 299);
            table.rotate_back(&mut back, &there, 299);
            assert!(there[..width].iter().zip(&head).any(|(a, b)| (a - b).abs() > 0.1));
            assert_eq!(there[width..], head[width..]);
            assert!(back.iter().zip(&head).all(|(a, b)| (a - b).abs() < 1e-5), "{back:?}");
        }
    }

    #[test]
    fn a_long_sequence_is_turned_by_other_angles_from_its_first_token_on() {
        let json = r#"{"rope_type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [2.0, 4.0],
            "original_max_position_embeddings": 100}"#;
        let scaling = serde_json::from_str(json).unwrap();
        let rope = Rope::new(&RopeConfig { scaling, ..config(4, false) });
        assert_eq!(rope.changes_beyond(), Some(100));
        let turned = |length: usize| {
            let mut out = [0.0; 4];
            rope.tables(200).of(length).rotate(&mut out, &[1.0, 0.0, 0.0, 0.0], 3);
            f64::from(out[2].atan2(out[0]))
        };
        assert!((turned(100) - 3.0).abs() < 1e-5 && (turned(101) - 1.5).abs() < 1e-5);
    }
}
