//! What a model makes of a prompt before it answers: hidden states, pooled over the tokens.

use std::sync::Arc;

use cambist_core::prompt::Message;
use candle_core::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    chat::EncodeError,
    decoder::{Decoder, Products},
    fault::TensorFault,
    model::LocalModel,
    score::TOKENS_PER_PASS,
    tape::Tape,
};

/// How the hidden states of a prompt's tokens become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Their mean. The default.
    #[default]
    Mean,
    /// That of the last token, which has seen all others.
    Last,
}

impl Pooling {
    /// The name as recipes and artifacts spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Last => "last",
        }
    }
}

/// Reads prompts with a model.
#[derive(Debug)]
pub struct PromptEncoder {
    model: LocalModel,
    layer: usize,
    pooling: Pooling,
}

/// A model has fewer layers than were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model has {n_layers} layers, and layer {found} was asked for: expected 0 (the embeddings) to {n_layers}")]
pub struct NoLayer {
    /// The layer.
    pub found: usize,
    /// How many there are.
    pub n_layers: usize,
}

impl PromptEncoder {
    /// Reads with `model` up to `layer`, counted as `hidden_states` of `transformers` are: 0 is what goes into the first
    /// layer, the number of layers, which is the default, what comes out of the last norm.
    ///
    /// # Errors
    /// When the model has no such layer.
    pub fn new(model: LocalModel, layer: Option<usize>, pooling: Pooling) -> std::result::Result<Self, NoLayer> {
        let n_layers = model.decoder.n_layers();
        match layer.unwrap_or(n_layers) {
            found if found > n_layers => Err(NoLayer { found, n_layers }),
            layer => Ok(Self { model, layer, pooling }),
        }
    }

    /// The layer that is read.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// How tokens are pooled.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// How many numbers a prompt becomes.
    pub fn width(&self) -> usize {
        self.model.decoder.config.shape.hidden_size
    }

    /// Returns the tokens that stand for a conversation: what its answer would be generated from; the texts of its turns,
    /// a line each, where the model has no chat template. Of more tokens than the model has positions the last are read.
    ///
    /// # Errors
    /// When the template refuses the conversation, or a text holds a control token.
    pub fn tokens(&self, messages: &[Message]) -> std::result::Result<Vec<u32>, EncodeError> {
        let mut tokens = match self.model.chat.encode_whole(messages, true) {
            Err(EncodeError::NoTemplate) => {
                let texts: Vec<&str> = messages.iter().map(|turn| turn.content.as_str()).collect();
                self.model.chat.encode_text(&texts.join("\n"))?
            }
            tokens => tokens?,
        };
        tokens.drain(..tokens.len().saturating_sub(self.model.max_positions()));
        match tokens.is_empty() {
            true => Err(EncodeError::EmptyMask("the conversation has no token")),
            false => Ok(tokens),
        }
    }

    /// Returns the pooled hidden state of each conversation, in their order; one that cannot become tokens does not keep
    /// the others back. Several are read at once on the current rayon pool, without padding, and every number is computed
    /// as if its conversation were alone.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn encode(
        &self,
        conversations: &[&[Message]],
    ) -> std::result::Result<Vec<std::result::Result<Vec<f32>, EncodeError>>, TensorFault> {
        let tokens: Vec<_> = conversations.par_iter().map(|messages| self.tokens(messages)).collect();
        let known: Vec<&Vec<u32>> = tokens.iter().filter_map(|tokens| tokens.as_ref().ok()).collect();
        let mut states = self.encode_tokens(&known)?.into_iter();
        Ok(tokens.into_iter().map(|tokens| tokens.map(|_| states.next().unwrap_or_default())).collect())
    }

    /// Returns the pooled hidden state of each sequence of at least one token, as [`PromptEncoder::encode`] does.
    ///
    /// # Errors
    /// When the tensor library fails, or a token is beyond the embedding table.
    pub fn encode_tokens(&self, sequences: &[&Vec<u32>]) -> std::result::Result<Vec<Vec<f32>>, TensorFault> {
        let mut passes: Vec<&[&Vec<u32>]> = Vec::new();
        let mut left = sequences;
        while !left.is_empty() {
            let mut n_tokens = 0;
            let fits = |tokens: &&&Vec<u32>| {
                n_tokens += tokens.len();
                n_tokens <= TOKENS_PER_PASS
            };
            let n = left.iter().take_while(fits).count().max(1);
            passes.push(&left[..n]);
            left = &left[n..];
        }
        let pooled = passes.par_iter().map(|pass| self.pass(pass)).collect::<Result<Vec<_>>>()?;
        Ok(pooled.concat())
    }

    /// One way through the model for several sequences.
    fn pass(&self, sequences: &[&Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let decoder = &self.model.decoder;
        let mut starts = vec![0];
        starts.extend(sequences.iter().scan(0, |end, tokens| {
            *end += tokens.len();
            Some(*end)
        }));
        let tokens: Arc<[u32]> = sequences.iter().flat_map(|tokens| tokens.iter().copied()).collect();
        let states = states(decoder, &tokens, (Arc::from(starts.as_slice()), self.layer))?;
        let width = self.width();
        let rows = |at: usize| &states[starts[at] * width..starts[at + 1] * width];
        Ok((0..sequences.len()).map(|at| self.pool(rows(at))).collect())
    }

    fn pool(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.width();
        if self.pooling == Pooling::Last {
            return rows[rows.len() - width..].to_vec();
        }
        let mut sums = vec![0f64; width];
        for row in rows.chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let n = (rows.len() / width) as f64;
        sums.into_iter().map(|sum| (sum / n) as f32).collect()
    }
}

/// The states of all tokens at a layer, `[tokens, hidden_size]` row by row.
fn states(decoder: &Decoder, tokens: &Arc<[u32]>, (starts, layer): (Arc<[usize]>, usize)) -> Result<Vec<f32>> {
    let (tape, mut attention) = (Tape::idle(), decoder.causal(starts));
    let states = if layer == decoder.n_layers() {
        decoder.hidden(&tape, tokens, &mut attention, (Products::ByRow, None))?
    } else {
        decoder.inner(&tape, tokens, &mut attention, (Products::ByRow, layer))?
    };
    states.tensor.flatten_all()?.to_vec1()
}
