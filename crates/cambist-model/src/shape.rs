//! The size of a new model.

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// The size of a new decoder of the Llama family; the vocabulary comes with its tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shape {
    /// Width of the residual stream; a multiple of `n_heads`, default 64.
    pub hidden_size: usize,
    /// Blocks of attention and feed-forward, default 2.
    pub n_layers: usize,
    /// Query heads, default 4.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`, default 4.
    pub n_kv_heads: usize,
    /// Width of the feed-forward block, default 176.
    pub intermediate_size: usize,
    /// Longest sequence in tokens, default 512.
    pub max_positions: usize,
    /// Whether the output layer is the embedding table, default true.
    pub tie_embeddings: bool,
    /// Base of the rotary angles, default 10,000.
    pub rope_theta: f64,
    /// Added to the mean square before its root is taken, default 1e-5.
    pub rms_eps: f64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            hidden_size: 64,
            n_layers: 2,
            n_heads: 4,
            n_kv_heads: 4,
            intermediate_size: 176,
            max_positions: 512,
            tie_embeddings: true,
            rope_theta: 10_000.0,
            rms_eps: 1e-5,
        }
    }
}

impl Shape {
    /// Whether heads divide widths; every size at least 1.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("n_layers", self.n_layers),
            ("n_heads", self.n_heads),
            ("n_kv_heads", self.n_kv_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_positions", self.max_positions),
        ];
        if let Some((name, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(ConfigError::Zero { name });
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return Err(ConfigError::Heads { n_heads: self.n_heads, n_kv_heads: self.n_kv_heads });
        }
        Ok(())
    }
}
