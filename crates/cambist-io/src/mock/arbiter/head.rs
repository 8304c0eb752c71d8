//! What a reward model's last layer makes of a score, by the model's name.

use super::texts::Text;
use crate::mock::{asked::Asked, draw::Draw, reward};

/// Floats of a hidden state.
const N_HIDDEN: usize = 4096;

/// The last layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The score itself: `mock-rm`, and every other name.
    Raw,
    /// The score squeezed between 0 and 1: `mock-rm-sigmoid`, and `mock-rm-sigmoid-default` unless told otherwise.
    Sigmoid,
    /// 1, whatever the score: `mock-rm-softmax`.
    Softmax,
    /// No score at all but 4,096 floats: `mock-rm-hidden`.
    Hidden,
    /// The score's sign: `mock-rm-l2`.
    Sign,
}

impl Head {
    pub(super) fn of(asked: &Asked) -> Self {
        match asked.model() {
            "mock-rm-sigmoid" => Self::Sigmoid,
            "mock-rm-sigmoid-default" if asked.body["use_activation"] != false => Self::Sigmoid,
            "mock-rm-softmax" => Self::Softmax,
            "mock-rm-hidden" => Self::Hidden,
            "mock-rm-l2" => Self::Sign,
            _ => Self::Raw,
        }
    }

    /// Returns at least one value.
    pub(super) fn values(self, text: &Text, seed: u64) -> Vec<f64> {
        let score = text.score(seed);
        match self {
            Self::Raw => vec![score],
            Self::Sigmoid => vec![1.0 / (1.0 + (-score).exp())],
            Self::Softmax => vec![1.0],
            Self::Hidden => {
                let draw = Draw::new(score.to_bits());
                (0..N_HIDDEN as u64).map(|i| (draw.with(i).unit() * 2e4 - 1e4).round() / 1e4).collect()
            }
            Self::Sign => vec![if score > 3.0 { 1.0 } else { -1.0 }],
        }
    }
}

impl Text {
    fn score(&self, seed: u64) -> f64 {
        match self {
            Self::Pair(prompt, answer) => reward::of_texts(prompt, answer, seed),
            Self::Ids(ids) => reward::of_ids(ids, seed),
        }
    }
}
