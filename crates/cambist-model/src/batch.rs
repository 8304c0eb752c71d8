//! Sequences laid behind one another for one pass through the decoder, without padding.

use std::sync::Arc;

use candle_core::Result;

use crate::{
    decoder::{Decoder, Products},
    ops::attention::Starts,
    tape::{Tape, Value},
    train_row::Sequence,
};

/// Sequences behind one another.
pub(crate) struct Batch {
    tokens: Arc<[u32]>,
    starts: Starts,
    /// Rows whose next token counts; none when all do.
    kept: Option<Arc<[u32]>>,
    targets: Arc<[u32]>,
    /// How many tokens of each sequence count.
    counts: Vec<usize>,
}

impl Batch {
    /// The last token of a sequence is predicted but predicts nothing, so it is not part of the pass.
    pub(crate) fn new<'a>(sequences: impl IntoIterator<Item = &'a Sequence>) -> Self {
        let (mut tokens, mut starts, mut kept, mut targets, mut counts) = (vec![], vec![0], vec![], vec![], vec![]);
        for sequence in sequences {
            let first = tokens.len();
            tokens.extend_from_slice(&sequence.tokens[..sequence.tokens.len().saturating_sub(1)]);
            starts.push(tokens.len());
            kept.extend(sequence.scored().map(|position| (first + position - 1) as u32));
            targets.extend(sequence.scored().map(|position| sequence.tokens[position]));
            counts.push(sequence.n_loss_tokens());
        }
        let kept = (kept.len() < tokens.len()).then(|| kept.into());
        Self { tokens: tokens.into(), starts: starts.into(), kept, targets: targets.into(), counts }
    }

    pub(crate) fn n_tokens(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn n_loss_tokens(&self) -> usize {
        self.targets.len()
    }

    /// Returns the log-probabilities of all tokens that count, sequence by sequence, in nats.
    pub(crate) fn log_probs(&self, decoder: &Decoder, tape: &Tape) -> Result<Value> {
        let mut attention = decoder.causal(Arc::clone(&self.starts));
        let how = (Products::Blocked, self.kept.as_ref());
        let hidden = decoder.hidden(tape, &self.tokens, &mut attention, how)?;
        decoder.token_log_probs(tape, &hidden, &self.targets)
    }

    /// Cuts what [`Batch::log_probs`] returned into sequences.
    pub(crate) fn split(&self, log_probs: &[f32]) -> Vec<Vec<f32>> {
        let mut rest = log_probs;
        let mut cut = |n: &usize| {
            let (own, after) = rest.split_at(*n);
            rest = after;
            own.to_vec()
        };
        self.counts.iter().map(&mut cut).collect()
    }
}
