//! The decoder of the Llama family: one description of its forward pass, for training, scoring and generation.

use std::sync::Arc;

use candle_core::Result;

use crate::{
    adapter::Adapter,
    config::DecoderConfig,
    ops::{
        attention::{CausalAttention, Starts, causal_attention},
        linear::{linear, linear_by_row},
        rms_norm::rms_norm,
        rows::rows_of,
        swiglu::swiglu,
    },
    rope::Rope,
    tape::{Tape, Value},
    weights::Parameter,
};

/// Weights and their arrangement.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) config: DecoderConfig,
    /// In the order of [`crate::weights`]: embedding, six a layer, norm, head.
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) rope: Rope,
    /// What is trained instead of the parameters, where there is one.
    pub(crate) adapter: Option<Adapter>,
}

/// How products with weights are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Products {
    /// Fast for many rows; differentiable.
    Blocked,
    /// Every row as if it were alone.
    ByRow,
}

/// How tokens see one another: over the batch itself, or over what a cache holds.
pub(crate) trait Attend {
    /// Returns the attention's result, `[rows, n_heads * head_dim]`, for a joint projection in layer `layer`.
    fn attend(&mut self, tape: &Tape, layer: usize, qkv: &Value) -> Result<Value>;
}

/// Whole sequences behind one another, each from position 0.
pub(crate) struct Causal(CausalAttention);

impl Attend for Causal {
    fn attend(&mut self, tape: &Tape, _layer: usize, qkv: &Value) -> Result<Value> {
        causal_attention(tape, qkv, self.0.clone())
    }
}

/// One layer's parameters.
const PER_LAYER: usize = 6;

impl Decoder {
    pub(crate) fn new(config: DecoderConfig, parameters: Vec<Parameter>) -> Self {
        let rope = Rope::new(config.head_dim, config.shape.rope_theta, &config.rope_scaling);
        Self { config, parameters, rope, adapter: None }
    }

    /// Returns the attention over sequences that start at the rows `starts` says.
    pub(crate) fn causal(&self, starts: Starts) -> Causal {
        let longest = starts.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
        Causal(CausalAttention { heads: self.config.heads(), starts, rope: self.rope.table(longest) })
    }

    /// Returns the normalised hidden state of the rows `kept` (all when none), `[kept, hidden_size]`.
    ///
    /// The last layer computes nothing for other rows than its keys and values.
    pub(crate) fn hidden(
        &self,
        tape: &Tape,
        tokens: &Arc<[u32]>,
        attention: &mut dyn Attend,
        (products, kept): (Products, Option<&Arc<[u32]>>),
    ) -> Result<Value> {
        let epsilon = self.config.shape.rms_eps as f32;
        let last = self.config.shape.n_layers - 1;
        let mut x = rows_of(tape, &self.weight(tape, 0), tokens)?;
        for layer in 0..=last {
            let weight = |i: usize| self.weight(tape, 1 + layer * PER_LAYER + i);
            let product = |x: &Value, i: usize| self.product(tape, x, (1 + layer * PER_LAYER + i, products));
            let qkv = product(&rms_norm(tape, &x, &weight(0), epsilon)?, 1)?;
            let mut seen = attention.attend(tape, layer, &qkv)?;
            if let Some(kept) = kept.filter(|_| layer == last) {
                (x, seen) = (rows_of(tape, &x, kept)?, rows_of(tape, &seen, kept)?);
            }
            x = tape.add_to_fresh(&x, product(&seen, 2)?)?;
            let gate_up = product(&rms_norm(tape, &x, &weight(3), epsilon)?, 4)?;
            x = tape.add_to_fresh(&x, product(&swiglu(tape, &gate_up)?, 5)?)?;
        }
        rms_norm(tape, &x, &self.weight(tape, 1 + (last + 1) * PER_LAYER), epsilon)
    }

    /// Returns the output layer, `[vocabulary, hidden_size]`: the embedding table where they are tied.
    pub(crate) fn head(&self, tape: &Tape) -> Value {
        let tied = self.config.shape.tie_embeddings;
        self.weight(tape, if tied { 0 } else { self.parameters.len() - 1 })
    }

    /// Returns the product of rows with parameter `i`, changed by the adapter where there is one.
    fn product(&self, tape: &Tape, x: &Value, (i, products): (usize, Products)) -> Result<Value> {
        let product = if products == Products::ByRow { linear_by_row } else { linear };
        let y = product(tape, x, &self.weight(tape, i))?;
        match &self.adapter {
            Some(adapter) => adapter.add(tape, (x, y), (i, products)),
            None => Ok(y),
        }
    }

    /// Returns parameter `i`; a constant where an adapter is trained in its place.
    fn weight(&self, tape: &Tape, i: usize) -> Value {
        let tensor = &self.parameters[i].tensor;
        if self.adapter.is_some() { tape.constant(tensor.clone()) } else { tape.parameter(i, tensor) }
    }

    /// Returns what is trained: the adapter where there is one, otherwise everything.
    pub(crate) fn trained(&self) -> &[Parameter] {
        self.adapter.as_ref().map_or(&self.parameters, |adapter| &adapter.parameters)
    }

    /// Returns the same to be changed.
    pub(crate) fn trained_mut(&mut self) -> &mut [Parameter] {
        self.adapter.as_mut().map_or(&mut self.parameters, |adapter| &mut adapter.parameters)
    }

    pub(crate) fn n_parameters(&self) -> usize {
        self.parameters.iter().map(|p| p.tensor.elem_count()).sum()
    }
}
