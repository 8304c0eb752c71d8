//! Log-probabilities of several continuations of one context, which is computed once.

use std::{collections::BTreeMap, sync::Arc};

use rayon::prelude::*;

use super::{
    TOKENS_PER_PASS,
    tree::{Branch, Tree},
};
use crate::{
    chat::EncodeError,
    decoder::Products,
    fault::TensorFault,
    log_prob::{LogProbs, ROWS_OF_LOGITS, each_row},
    model::LocalModel,
    tape::Tape,
};

/// A context and what may follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoiceQuestion {
    /// What stands before; white space at its end counts to the continuations. May be empty.
    pub context: String,
    /// What may follow, delimiter included.
    pub continuations: Vec<String>,
}

/// The log-probability of a continuation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChoiceLogProb {
    /// Of all its tokens together, given the context, in nats.
    pub sum: f64,
    /// How many tokens that is.
    pub n_tokens: usize,
    /// Whether each of them is the likeliest in its place.
    pub is_greedy: bool,
    /// Whether the tokens of context and continuation together do not begin with those of the context alone.
    pub merges: bool,
    /// Tokens cut from the left of the context, since the model has no positions for them.
    pub n_cut: usize,
}

/// Returns the log-probability of every continuation of every question, in their order, with the tokens and the
/// boundary of lm-evaluation-harness: both texts are encoded together with the special tokens that `tokenizer.json`
/// adds, and what exceeds the number of the context's own tokens is the continuation. An empty context is the beginning
/// of a sequence (`bos_token`, else `eos_token`), and what is too long is cut from the left.
///
/// What the continuations of a question have in common is computed once; one that cannot be scored does not keep the
/// others back.
///
/// # Errors
/// When the tensor library fails.
pub fn choices(
    model: &LocalModel,
    questions: &[ChoiceQuestion],
) -> Result<Vec<Vec<Result<ChoiceLogProb, EncodeError>>>, TensorFault> {
    let encode = |question: &ChoiceQuestion| -> Vec<Result<Encoded, EncodeError>> {
        question.continuations.iter().map(|text| encode(model, &question.context, text)).collect()
    };
    let encoded: Vec<_> = questions.par_iter().map(encode).collect();
    let mut pass = Forest::default();
    let mut scores = vec![];
    for of_question in &encoded {
        let sequences: Vec<&Encoded> = of_question.iter().flatten().collect();
        for group in sharing(model, &sequences) {
            if pass.n_rows() > 0 && pass.n_rows() + n_rows(group) > TOKENS_PER_PASS {
                scores.extend(std::mem::take(&mut pass).scores(model)?);
            }
            pass.plant(group);
        }
    }
    scores.extend(pass.scores(model)?);
    let mut scores = scores.into_iter();
    let mut score = |encoded: Encoded| {
        let (sum, is_greedy) = scores.next().unwrap_or((f64::NAN, false));
        let n_tokens = encoded.tokens.len() - encoded.n_context;
        ChoiceLogProb { sum, n_tokens, is_greedy, merges: encoded.merges, n_cut: encoded.n_cut }
    };
    Ok(encoded.into_iter().map(|row| row.into_iter().map(|encoded| encoded.map(&mut score)).collect()).collect())
}

/// Context and continuation in tokens.
#[derive(Debug)]
struct Encoded {
    tokens: Vec<u32>,
    /// How many of them are the context's; at least one.
    n_context: usize,
    merges: bool,
    n_cut: usize,
}

fn encode(model: &LocalModel, context: &str, continuation: &str) -> Result<Encoded, EncodeError> {
    let kept = context.trim_end_matches(is_python_space);
    let continuation = format!("{}{continuation}", &context[kept.len()..]);
    let encoded = match kept.is_empty() {
        true => from_beginning(model, &continuation)?,
        false => {
            let tokens = model.chat.encode_plain(&format!("{kept}{continuation}"))?;
            let alone = model.chat.encode_plain(kept)?;
            let merges = !tokens.starts_with(&alone);
            Encoded { n_context: alone.len(), tokens, merges, n_cut: 0 }
        }
    };
    fitted(encoded, model.max_positions())
}

/// White space as Python's `str.rstrip` sees it.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn from_beginning(model: &LocalModel, continuation: &str) -> Result<Encoded, EncodeError> {
    let mut tokens = model.chat.tokenizer.encode(continuation)?;
    let first = model.chat.beginning().ok_or(EncodeError::NoBeginning)?;
    if tokens.first() != Some(&first) {
        tokens.insert(0, first);
    }
    Ok(Encoded { tokens, n_context: 1, merges: false, n_cut: 0 })
}

/// Cuts from the left what the model has no positions for; the last token is predicted and needs none.
fn fitted(mut encoded: Encoded, max_positions: usize) -> Result<Encoded, EncodeError> {
    let n_tokens = encoded.tokens.len();
    if encoded.n_context >= n_tokens {
        return Err(EncodeError::EmptyMask("the continuation has no token of its own"));
    }
    encoded.n_cut = n_tokens.saturating_sub(max_positions + 1);
    if encoded.n_cut >= encoded.n_context {
        return Err(EncodeError::TooLong {
            n_tokens: n_tokens - encoded.n_context + 1,
            max_positions: max_positions + 1,
        });
    }
    encoded.tokens.drain(..encoded.n_cut);
    encoded.n_context -= encoded.n_cut;
    Ok(encoded)
}

/// Cuts the continuations of a question into runs that may share their context: all of them, unless they have no token
/// in common, or a sequence is so long that its first tokens are turned by other angles (LongRoPE).
fn sharing<'a, 'b>(model: &LocalModel, sequences: &'b [&'a Encoded]) -> impl Iterator<Item = &'b [&'a Encoded]> {
    let limit = model.decoder.cache_holds_until().unwrap_or(usize::MAX);
    let shares = n_common(sequences) > 0 && sequences.iter().all(|encoded| encoded.tokens.len() <= limit);
    sequences.chunks(if shares { sequences.len().max(1) } else { 1 })
}

/// The tokens that are put in: all but the last, which is predicted and predicts nothing.
fn inputs(encoded: &Encoded) -> &[u32] {
    &encoded.tokens[..encoded.tokens.len() - 1]
}

/// How many tokens all sequences of a run begin with.
fn n_common(run: &[&Encoded]) -> usize {
    let Some((first, rest)) = run.split_first() else { return 0 };
    let common = |other: &&Encoded| inputs(first).iter().zip(inputs(other)).take_while(|(a, b)| a == b).count();
    rest.iter().map(common).min().unwrap_or(inputs(first).len())
}

fn n_rows(run: &[&Encoded]) -> usize {
    let common = n_common(run);
    common + run.iter().map(|encoded| inputs(encoded).len() - common).sum::<usize>()
}

/// Trees of tokens for one pass: stems behind one another, then all their branches.
#[derive(Default)]
struct Forest {
    stems: Vec<Vec<u32>>,
    branches: Vec<(usize, Vec<u32>)>,
    sequences: Vec<Planted>,
}

/// Where a sequence lies in a forest.
struct Planted {
    stem: usize,
    branch: Option<usize>,
    /// The tokens that are scored, each with the position that predicts it.
    scored: Vec<(usize, u32)>,
}

/// Sum and greediness of one sequence.
type Scored = (f64, bool);

impl Forest {
    fn n_rows(&self) -> usize {
        self.stems.iter().map(Vec::len).sum::<usize>() + self.branches.iter().map(|b| b.1.len()).sum::<usize>()
    }

    fn plant(&mut self, run: &[&Encoded]) {
        let (common, stem) = (n_common(run), self.stems.len());
        let Some(first) = run.first() else { return };
        self.stems.push(first.tokens[..common].to_vec());
        for encoded in run {
            let rest = &inputs(encoded)[common..];
            let branch = (!rest.is_empty()).then(|| {
                self.branches.push((stem, rest.to_vec()));
                self.branches.len() - 1
            });
            let scored = (encoded.n_context..encoded.tokens.len()).map(|at| (at - 1, encoded.tokens[at])).collect();
            self.sequences.push(Planted { stem, branch, scored });
        }
    }

    fn scores(self, model: &LocalModel) -> Result<Vec<Scored>, TensorFault> {
        if self.sequences.is_empty() {
            return Ok(vec![]);
        }
        let mut starts = vec![0];
        let mut tokens = vec![];
        for stem in &self.stems {
            tokens.extend_from_slice(stem);
            starts.push(tokens.len());
        }
        let mut branches = vec![];
        for (stem, rest) in &self.branches {
            branches.push(Branch { stem: *stem, rows: tokens.len()..tokens.len() + rest.len() });
            tokens.extend_from_slice(rest);
        }
        // Each row with the sequences that ask for a token's log-probability there.
        let mut asked = BTreeMap::<usize, Vec<(usize, u32)>>::new();
        for (sequence, Planted { stem, branch, scored }) in self.sequences.iter().enumerate() {
            let n_stem = self.stems[*stem].len();
            for (position, token) in scored {
                let row = match branch {
                    Some(branch) if *position >= n_stem => branches[*branch].rows.start + position - n_stem,
                    _ => starts[*stem] + position,
                };
                asked.entry(row).or_default().push((sequence, *token));
            }
        }
        let kept: Arc<[u32]> = asked.keys().map(|row| *row as u32).collect();
        let mut attention = Tree::new(&model.decoder, starts.into(), branches);
        let how = (Products::Blocked, Some(&kept));
        let hidden = model.decoder.hidden(&Tape::idle(), &tokens.into(), &mut attention, how)?;
        let mut scores = vec![(0f64, true); self.sequences.len()];
        let asked: Vec<_> = asked.into_values().collect();
        for (i, asked) in asked.chunks(ROWS_OF_LOGITS).enumerate() {
            let rows = hidden.narrow(i * ROWS_OF_LOGITS, asked.len())?;
            let logits = model.decoder.logits(&rows, Products::Blocked)?;
            let read = |row: &[f32], asked: &Vec<(usize, u32)>| {
                let log_probs = LogProbs::new(row);
                let likeliest = log_probs.most_likely();
                asked.iter().map(|(_, token)| (log_probs.of(*token), likeliest == *token)).collect::<Vec<_>>()
            };
            for (found, asked) in each_row(&logits, asked, read)?.into_iter().zip(asked) {
                for ((log_prob, is_likeliest), (sequence, _)) in found.into_iter().zip(asked) {
                    scores[*sequence].0 += log_prob;
                    scores[*sequence].1 &= is_likeliest;
                }
            }
        }
        Ok(scores)
    }
}
