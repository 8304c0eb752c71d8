//! What a prompt tells before anybody is asked: numbers that routing heads learn on.
//!
//! A [`FeatureSource`] turns prompts into sparse vectors. [`Hashed`] reads the text alone and needs no model; hidden
//! states of a local model stand in its place behind the same trait, brought in by whoever has the model.

mod hashed;

mod characters;
mod cues;
mod folded;
mod tallies;

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

    fn clear(&mut self) {
        self.indices.clear();
        self.values.clear();
    }

    #[inline(always)]
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

    /// Returns what reads one prompt after the other: one for each thread that reads.
    fn reader(&self) -> Box<dyn FeatureReader>;

    /// Returns the features of one prompt.
    fn features(&self, prompt: &Prompt) -> FeatureVector {
        self.reader().read(prompt).clone()
    }

    /// Looks at many prompts at once, where that is faster than one by one; sources without a model need no such look.
    ///
    /// # Errors
    /// Why it cannot.
    fn prepare(&self, _prompts: &[&Prompt]) -> Result<(), String> {
        Ok(())
    }

    /// Whether nearly every prompt has nearly every feature, as hidden states are: such features are centred and scaled
    /// before a head learns on them.
    fn is_dense(&self) -> bool {
        false
    }
}

/// Reads prompts for a [`FeatureSource`], with room of its own that it uses again; nothing of one prompt shows in the
/// next.
pub trait FeatureReader: Send {
    /// Returns the features of one prompt; they stand until the next is read.
    fn read(&mut self, prompt: &Prompt) -> &FeatureVector;
}
