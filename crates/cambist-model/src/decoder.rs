//! The decoder of the Llama family: one description of its forward pass, for training, scoring and generation.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::{
    config::DecoderConfig,
    ops::{
        attention::{Heads, Starts, causal_attention},
        linear::{linear, linear_by_row},
        rms_norm::rms_norm,
        rows::rows_of,
        swiglu::swiglu,
    },
    rope::{Rope, RopeTable},
    weights::Parameter,
};

/// Weights and their arrangement.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) config: DecoderConfig,
    /// In the order of [`crate::weights`]: embedding, six a layer, norm, head.
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) rope: Rope,
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A backward pass follows.
    Train,
    /// Only values are wanted.
    Score,
    /// One token of each of several sequences; every row is computed as if it were alone.
    Step,
}

/// How tokens see one another: over the batch itself, or over what a cache holds.
pub(crate) trait Attend {
    /// Returns the attention's result, `[rows, n_heads * head_dim]`, for a joint projection in layer `layer`.
    fn attend(&mut self, layer: usize, qkv: &Tensor) -> Result<Tensor>;
}

/// Whole sequences behind one another, each from position 0.
pub(crate) struct Causal {
    heads: Heads,
    starts: Starts,
    rope: Arc<RopeTable>,
}

impl Attend for Causal {
    fn attend(&mut self, _layer: usize, qkv: &Tensor) -> Result<Tensor> {
        causal_attention(qkv, self.heads, &self.starts, Arc::clone(&self.rope))
    }
}

/// One layer's parameters.
const PER_LAYER: usize = 6;

impl Decoder {
    pub(crate) fn new(config: DecoderConfig, parameters: Vec<Parameter>) -> Self {
        let rope = Rope::new(config.head_dim, config.shape.rope_theta, &config.rope_scaling);
        Self { config, parameters, rope }
    }

    /// Returns the attention over sequences that start at the rows `starts` says.
    pub(crate) fn causal(&self, starts: Starts) -> Causal {
        let longest = starts.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
        Causal { heads: self.config.heads(), starts, rope: self.rope.table(longest) }
    }

    /// Returns the normalised hidden state of the rows `kept` (all when none), `[kept, hidden_size]`.
    ///
    /// The last layer computes nothing for other rows than its keys and values.
    pub(crate) fn hidden(
        &self,
        tokens: &Arc<[u32]>,
        attention: &mut dyn Attend,
        (purpose, kept): (Purpose, Option<&Arc<[u32]>>),
    ) -> Result<Tensor> {
        let product = if purpose == Purpose::Step { linear_by_row } else { linear };
        let epsilon = self.config.shape.rms_eps as f32;
        let last = self.config.shape.n_layers - 1;
        let mut x = rows_of(&self.weight(0, purpose), tokens)?;
        for layer in 0..=last {
            let weight = |i: usize| self.weight(1 + layer * PER_LAYER + i, purpose);
            let qkv = product(&rms_norm(&x, &weight(0), epsilon)?, &weight(1))?;
            let mut seen = attention.attend(layer, &qkv)?;
            if let Some(kept) = kept.filter(|_| layer == last) {
                (x, seen) = (rows_of(&x, kept)?, rows_of(&seen, kept)?);
            }
            x = (x + product(&seen, &weight(2))?)?;
            let gate_up = product(&rms_norm(&x, &weight(3), epsilon)?, &weight(4))?;
            x = (x + product(&swiglu(&gate_up)?, &weight(5))?)?;
        }
        rms_norm(&x, &self.weight(1 + (last + 1) * PER_LAYER, purpose), epsilon)
    }

    /// Returns the output layer, `[vocabulary, hidden_size]`: the embedding table where they are tied.
    pub(crate) fn head(&self, purpose: Purpose) -> Tensor {
        let tied = self.config.shape.tie_embeddings;
        self.weight(if tied { 0 } else { self.parameters.len() - 1 }, purpose)
    }

    fn weight(&self, i: usize, purpose: Purpose) -> Tensor {
        let var = &self.parameters[i].var;
        if purpose == Purpose::Train { var.as_tensor().clone() } else { var.as_detached_tensor() }
    }

    pub(crate) fn n_parameters(&self) -> usize {
        self.parameters.iter().map(|p| p.var.elem_count()).sum()
    }
}
