//! Near-duplicates among many texts: MinHash (Broder 1997) with banding (Leskovec, Rajaraman and Ullman 2014, 3.4).
//!
//! A sketch only proposes pairs; whoever uses it compares the proposed texts themselves, so that what is called a
//! near-duplicate is one.

use serde::{Deserialize, Serialize};

use crate::resemblance::{LONGEST_SHINGLE, Shingles};

/// How many hash functions a sketch may spend.
const N_HASHES: usize = 128;

/// Pairs at the threshold are proposed with at least this probability; more alike ones more surely.
const MIN_RECALL: f64 = 0.999;

/// When two texts count as nearly the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NearDuplicates {
    /// Texts whose sets of n-grams overlap by at least this much (Jaccard, 0.2 to 1) count as one; default 0.8.
    pub threshold: f64,
    /// Length of the n-grams in characters, 1 to 6; default 5. Characters, not words, so that scripts without spaces
    /// are treated alike.
    pub shingle: usize,
}

impl Default for NearDuplicates {
    fn default() -> Self {
        Self { threshold: 0.8, shingle: 5 }
    }
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NearDuplicatesError {
    /// The threshold is out of range.
    #[error("`threshold` is {0}, expected a number from 0.2 to 1")]
    Threshold(f64),
    /// The n-grams are too short or too long.
    #[error("`shingle` is {0}, expected 1 to {LONGEST_SHINGLE} characters")]
    Shingle(usize),
}

/// Makes sketches: two texts that are alike enough share a band, with a probability of 0.999 at the threshold.
#[derive(Clone, Debug)]
pub struct Sketcher {
    settings: NearDuplicates,
    rows: usize,
    bands: usize,
    /// One mask and one odd factor for each hash function, each a permutation of the 32-bit numbers.
    hashes: Vec<(u32, u32)>,
}

impl Sketcher {
    /// Chooses bands for `settings`: the longest ones, and so the fewest false proposals, that keep the recall.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn new(settings: NearDuplicates) -> Result<Self, NearDuplicatesError> {
        let NearDuplicates { threshold, shingle } = settings;
        if !(0.2..=1.0).contains(&threshold) {
            return Err(NearDuplicatesError::Threshold(threshold));
        }
        if !(1..=LONGEST_SHINGLE).contains(&shingle) {
            return Err(NearDuplicatesError::Shingle(shingle));
        }
        let recall = |rows: &usize| 1.0 - (1.0 - threshold.powi(*rows as i32)).powi((N_HASHES / rows) as i32);
        let rows = (1..=16).rev().find(|rows| recall(rows) >= MIN_RECALL).unwrap_or(1);
        let mut state = 0x5eed;
        let mut draw = || {
            state = mix(state);
            state
        };
        let hashes = (0..N_HASHES).map(|_| (draw() as u32, draw() as u32 | 1)).collect();
        Ok(Self { settings, rows, bands: N_HASHES / rows, hashes })
    }

    /// How many numbers a sketch has.
    pub fn bands(&self) -> usize {
        self.bands
    }

    /// Returns the n-grams that the sketch is made of, for comparing proposed texts.
    pub fn shingles(&self, text: &str) -> Shingles {
        Shingles::sized(text, self.settings.shingle)
    }

    /// Returns the bands of a text; a pair that shares one at the same place is proposed.
    pub fn sketch(&self, shingles: &Shingles) -> Vec<u32> {
        let mut least = [u32::MAX; N_HASHES];
        for gram in shingles.grams() {
            let hash = mix(*gram as u64 ^ mix((*gram >> 64) as u64)) as u32;
            for (least, (mask, factor)) in least.iter_mut().zip(&self.hashes) {
                *least = (*least).min((hash ^ mask).wrapping_mul(*factor));
            }
        }
        let fold = |band: &[u32]| band.iter().fold(0, |all, part| mix(all ^ u64::from(*part))) as u32;
        least.chunks_exact(self.rows).take(self.bands).map(fold).collect()
    }

    /// Whether two texts are near-duplicates.
    pub fn is_near(&self, a: &Shingles, b: &Shingles) -> bool {
        a.jaccard(b) >= self.settings.threshold
    }
}

/// The finalizer of SplitMix64 (Steele et al. 2014).
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_as_long_as_the_recall_allows() {
        let bands = |threshold| Sketcher::new(NearDuplicates { threshold, ..NearDuplicates::default() }).unwrap();
        assert_eq!((bands(0.8).rows, bands(0.8).bands), (5, 25));
        assert_eq!((bands(0.5).rows, bands(0.5).bands), (2, 64));
        assert_eq!(bands(1.0).rows, 16);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let refused = |threshold, shingle| Sketcher::new(NearDuplicates { threshold, shingle }).unwrap_err();
        assert_eq!(refused(0.1, 5), NearDuplicatesError::Threshold(0.1));
        assert!(matches!(refused(f64::NAN, 5), NearDuplicatesError::Threshold(_)));
        assert_eq!(refused(0.8, 7), NearDuplicatesError::Shingle(7));
    }

    #[test]
    fn equal_texts_share_every_band_and_unlike_ones_none() {
        let sketcher = Sketcher::new(NearDuplicates::default()).unwrap();
        let sketch = |text: &str| sketcher.sketch(&sketcher.shingles(text));
        let text = "政府は昨日、中小企業が支払う税金を引き下げることを決定しました。";
        assert_eq!(sketch(text), sketch(&format!("  {text}")));
        let other = sketch("Уряд учора вирішив знизити податки, які сплачують малі підприємства.");
        assert!(sketch(text).iter().zip(&other).all(|(a, b)| a != b));
    }
}
