//! Sequences laid behind one another for one pass through the decoder, without padding.

use std::sync::Arc;

use candle_core::Result;

use crate::{
    decoder::{Decoder, Products},
    head::Head,
    ops::attention::Starts,
    tape::{Tape, Value},
    train_row::Sequence,
};

/// Sequences behind one another.
pub(crate) struct Batch {
    pub(crate) tokens: Arc<[u32]>,
    pub(crate) starts: Starts,
    /// Rows that the head reads; none when it reads all.
    pub(crate) kept: Option<Arc<[u32]>>,
    /// The next tokens of those rows; none for a reward head.
    targets: Arc<[u32]>,
    /// How many numbers each sequence gets.
    counts: Vec<usize>,
}

impl Batch {
    /// Lays sequences out for what the decoder's head reads of them.
    pub(crate) fn new<'a>(decoder: &Decoder, sequences: impl IntoIterator<Item = &'a Sequence>) -> Self {
        match decoder.config.head {
            Head::Language => Self::next_tokens(sequences),
            Head::Reward => Self::last_tokens(sequences, decoder.config.pad_token),
        }
    }

    /// The last token of a sequence is predicted but predicts nothing, so it is not part of the pass.
    fn next_tokens<'a>(sequences: impl IntoIterator<Item = &'a Sequence>) -> Self {
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

    /// A reward is read at the last token that is no padding, as `transformers` does: where a template ends turns with
    /// the token that pads, that is the token before.
    fn last_tokens<'a>(sequences: impl IntoIterator<Item = &'a Sequence>, pad: Option<u32>) -> Self {
        let (mut tokens, mut starts, mut kept, mut counts) = (vec![], vec![0], vec![], vec![]);
        for sequence in sequences {
            let last = sequence.tokens.iter().rposition(|token| Some(*token) != pad).unwrap_or(0);
            kept.push((tokens.len() + last) as u32);
            tokens.extend_from_slice(&sequence.tokens);
            starts.push(tokens.len());
            counts.push(1);
        }
        Self { tokens: tokens.into(), starts: starts.into(), kept: Some(kept.into()), targets: Arc::from([]), counts }
    }

    pub(crate) fn n_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// How many numbers [`Batch::values`] returns: tokens that count, or rewards.
    pub(crate) fn n_values(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Returns what the head says, sequence by sequence: the log-probabilities of all tokens that count, in nats, or
    /// one reward each.
    pub(crate) fn values(&self, decoder: &Decoder, tape: &Tape) -> Result<Value> {
        let mut attention = decoder.causal(Arc::clone(&self.starts));
        let how = (Products::Blocked, self.kept.as_ref());
        let hidden = decoder.hidden(tape, &self.tokens, &mut attention, how)?;
        self.read(decoder, tape, &hidden)
    }

    /// Returns what the head says of the rows that it reads.
    pub(crate) fn read(&self, decoder: &Decoder, tape: &Tape, hidden: &Value) -> Result<Value> {
        match decoder.config.head {
            Head::Language => decoder.token_log_probs(tape, hidden, &self.targets),
            Head::Reward => decoder.rewards(tape, hidden),
        }
    }

    /// Cuts what [`Batch::values`] returned into sequences.
    pub(crate) fn split(&self, values: &Value) -> Result<Vec<Vec<f32>>> {
        let values = values.tensor.flatten_all()?.to_vec1::<f32>()?;
        let mut rest = values.as_slice();
        let mut cut = |n: &usize| {
            let (own, after) = rest.split_at(*n);
            rest = after;
            own.to_vec()
        };
        Ok(self.counts.iter().map(&mut cut).collect())
    }
}
