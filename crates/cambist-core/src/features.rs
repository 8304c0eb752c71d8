//! What a prompt tells before anybody is asked: numbers that routing heads learn on.
//!
//! A [`FeatureSource`] turns prompts into sparse vectors. [`Hashed`] reads the text alone and needs no model; hidden
//! states of a local model can stand in its place behind the same trait.

mod cues;
mod hashed;

pub use hashed::{Hashed, HashedError};

use crate::prompt::Prompt;

/// Sparse numbers of one prompt: each index at most once, in no particular order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureVector {
    /// Which features, each below the width of their source.
    pub indices: Vec<u32>,
    /// How much of each.
    pub values: Vec<f32>,
}

impl FeatureVector {
    /// Index and value of every feature.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.indices.iter().copied().zip(self.values.iter().copied())
    }

    /// How many features there are.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    fn push(&mut self, index: u32, value: f32) {
        self.indices.push(index);
        self.values.push(value);
    }
}

/// Turns prompts into features, the same ones every time.
///
/// The language is none of them: heads keep it apart, so that a language that no calibration prompt had is told from
/// the others.
pub trait FeatureSource: Send + Sync {
    /// Names the source with its version and width; a head learned on features of one name reads no others.
    fn name(&self) -> String;

    /// How many features there can be; indices are below it.
    fn width(&self) -> usize;

    /// Returns the features of one prompt.
    fn features(&self, prompt: &Prompt) -> FeatureVector;
}
