//! What a run needs in memory, before it takes any.

use super::{
    EncodedRow,
    config::{Keep, TrainConfig},
};
use crate::{decoder::Decoder, model::LocalModel, ops::token_log_probs};

/// What a run needs in memory at its widest, in bytes; an estimate from shapes and lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryNeed {
    /// The model, which is there already.
    pub weights: u64,
    /// Gradients, and the moments of the optimiser.
    pub optimizer: u64,
    /// What a pass through the model leaves for the way back.
    pub activations: u64,
    /// The weights of the best step, and the bytes of a state on their way to whoever keeps it.
    pub kept: u64,
}

impl MemoryNeed {
    /// What the run needs beyond the model.
    ///
    /// A state is made when activations and gradients are gone.
    pub fn beyond_weights(&self) -> u64 {
        self.optimizer + self.activations.max(self.kept)
    }
}

/// Bytes of a number.
const F32: u64 = 4;

/// Returns what training on `rows` needs.
pub(super) fn need(model: &LocalModel, rows: &[EncodedRow], config: &TrainConfig) -> MemoryNeed {
    let n_trained = model.n_trained() as u64;
    let n_rows = config.micro_batch_size.unwrap_or(config.batch_size).min(config.batch_size).max(1);
    let copies_of_gradients = if n_rows < config.batch_size { 2 } else { 1 };
    let widest = Widest::of(rows, n_rows);
    let decoder = &model.decoder;
    let per_token = PerToken::of(decoder);
    let n_layers = decoder.n_layers() as u64;
    let through_layers = match config.gradient_checkpointing {
        true => n_layers * per_token.input + per_token.layer,
        false => n_layers * per_token.layer,
    };
    let logits = token_log_probs::n_held(widest.n_loss_tokens, decoder.config.vocab_size, decoder.config.logits);
    let best = if config.keep == Keep::Best { n_trained } else { 0 };
    MemoryNeed {
        weights: F32 * (model.n_parameters() as u64 + if model.has_adapter() { n_trained } else { 0 }),
        optimizer: F32 * (n_trained * (2 + copies_of_gradients) + best),
        activations: F32 * (widest.n_tokens as u64 * (through_layers + per_token.on_the_way_back) + logits as u64),
        // Numbers, and the file that they are written to.
        kept: F32 * 2 * (3 * n_trained + best),
    }
}

/// The widest micro-batch that the rows can make.
struct Widest {
    n_tokens: usize,
    n_loss_tokens: usize,
}

impl Widest {
    fn of(rows: &[EncodedRow], n_rows: usize) -> Self {
        let largest = |size: fn(&EncodedRow) -> usize| {
            let mut sizes: Vec<usize> = rows.iter().map(size).collect();
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            sizes.iter().take(n_rows).sum()
        };
        Self {
            n_tokens: largest(|row| row.sequences.iter().map(|s| s.tokens.len()).sum()),
            n_loss_tokens: largest(|row| row.sequences.iter().map(|s| s.n_loss_tokens()).sum()),
        }
    }
}

/// Numbers that are held for each token.
struct PerToken {
    /// What goes into a layer.
    input: u64,
    /// What one layer leaves for the way back.
    layer: u64,
    /// Gradients within one layer.
    on_the_way_back: u64,
}

impl PerToken {
    fn of(decoder: &Decoder) -> Self {
        let config = &decoder.config;
        let heads = config.heads();
        let (hidden, inner) = (config.shape.hidden_size as u64, config.shape.intermediate_size as u64);
        let (qkv, seen) = (heads.qkv_width() as u64, heads.out_width() as u64);
        let joint = if decoder.normalises_heads() { 2 * qkv } else { qkv };
        Self {
            input: hidden,
            // Two norms, two sums; the joint projection, what was seen; gate and up, and their product.
            layer: 4 * hidden + joint + seen + 3 * inner + decoder.adapter_width() as u64,
            on_the_way_back: 2 * hidden + qkv.max(3 * inner),
        }
    }
}
