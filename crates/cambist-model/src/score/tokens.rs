//! The log-probability of every token of sequences.

use std::sync::Arc;

use super::TOKENS_PER_PASS;
use crate::{
    decoder::Products,
    fault::TensorFault,
    log_prob::{LogProbs, ROWS_OF_LOGITS, TokenLogProb, each_row},
    model::LocalModel,
    tape::Tape,
};

/// Returns for each sequence the log-probability of each of its tokens but the first, which nothing predicts, with the
/// `n_top` likeliest tokens in its place. A sequence of one token or none has no log-probability.
///
/// No sequence may be longer than the model's positions.
///
/// # Errors
/// When the tensor library fails.
pub fn sequence_log_probs(
    model: &LocalModel,
    sequences: &[&[u32]],
    n_top: usize,
) -> Result<Vec<Vec<TokenLogProb>>, TensorFault> {
    let (mut scores, mut first) = (vec![], 0);
    while first < sequences.len() {
        let mut n_tokens = 0;
        let fits = |sequence: &&&[u32]| {
            n_tokens += sequence.len();
            n_tokens <= TOKENS_PER_PASS
        };
        let n = sequences[first..].iter().take_while(fits).count().max(1);
        scores.extend(pass(model, &sequences[first..first + n], n_top)?);
        first += n;
    }
    Ok(scores)
}

fn pass(model: &LocalModel, sequences: &[&[u32]], n_top: usize) -> Result<Vec<Vec<TokenLogProb>>, TensorFault> {
    let inputs = |sequence: &[u32]| sequence.len().saturating_sub(1);
    let (mut tokens, mut targets, mut starts) = (vec![], vec![], vec![0]);
    for sequence in sequences {
        tokens.extend_from_slice(&sequence[..inputs(sequence)]);
        targets.extend(sequence.iter().skip(1).copied());
        starts.push(tokens.len());
    }
    let mut scores = vec![];
    if !tokens.is_empty() {
        let (tape, mut attention) = (Tape::idle(), model.decoder.causal(starts.into()));
        let tokens: Arc<[u32]> = tokens.into();
        let hidden = model.decoder.hidden(&tape, &tokens, &mut attention, (Products::Blocked, None))?;
        for (i, targets) in targets.chunks(ROWS_OF_LOGITS).enumerate() {
            let rows = hidden.narrow(i * ROWS_OF_LOGITS, targets.len())?;
            let logits = model.decoder.logits(&rows, Products::Blocked)?;
            scores.extend(each_row(&logits, targets, |row, target| LogProbs::new(row).token(*target, n_top))?);
        }
    }
    let mut scores = scores.into_iter();
    Ok(sequences.iter().map(|sequence| scores.by_ref().take(inputs(sequence)).collect()).collect())
}
