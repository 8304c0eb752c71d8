//! Many answers under way at once: short ones leave, waiting ones enter.

use std::{collections::VecDeque, sync::Arc};

use cambist_core::completion::FinishReason;
use rayon::prelude::*;

use super::{
    answer::{Answer, AnswerRequest, Drawn, Generated, Prefix},
    cache::{Keys, Prefill, Step},
};
use crate::{
    chat::EncodeError,
    decoder::Products,
    fault::TensorFault,
    log_prob::{LOGITS_PER_THREAD, LogProbs, ROWS_OF_LOGITS, TokenLogProb, each_row},
    model::LocalModel,
    tape::{Tape, Value},
};

/// Answers of one model under way, which requests may join at any time.
///
/// A text depends on the model, its own prompt, its key and its sampling, and on nothing else: not on who is under way
/// beside it, nor on the number of threads. A prompt that several requests under way share is computed once, and its
/// keys and values are kept once.
pub struct Generation<'a> {
    model: &'a LocalModel,
    batch_size: usize,
    waiting: VecDeque<AnswerRequest>,
    active: Vec<Answer>,
}

/// Tokens of prompts that are filled in before the answers under way get their next token.
const PREFILL_TOKENS: usize = 1024;

impl<'a> Generation<'a> {
    /// Begins with nothing under way; at most `batch_size` (at least 1) answers grow together.
    pub fn new(model: &'a LocalModel, batch_size: usize) -> Self {
        Self { model, batch_size: batch_size.max(1), waiting: VecDeque::new(), active: vec![] }
    }

    /// Takes a request, to be begun when there is room, in the order of their coming.
    ///
    /// # Errors
    /// When the prompt has no token, or leaves no room for one more.
    pub fn ask(&mut self, request: AnswerRequest) -> Result<(), EncodeError> {
        let max_positions = self.model.max_positions();
        match request.prompt.len() {
            0 => Err(EncodeError::EmptyMask("the prompt has no token")),
            n if n >= max_positions => Err(EncodeError::TooLong { n_tokens: n + 1, max_positions }),
            _ => {
                self.waiting.push_back(request);
                Ok(())
            }
        }
    }

    /// Forgets every answer whose ticket is not wanted any more.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(u64) -> bool) {
        self.waiting.retain(|request| is_wanted(request.ticket));
        self.active.retain(|answer| is_wanted(answer.request.ticket));
    }

    /// Whether one more request would be begun at once.
    pub fn has_room(&self) -> bool {
        self.active.len() + self.waiting.len() < self.batch_size
    }

    /// Whether nothing is under way and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.active.is_empty() && self.waiting.is_empty()
    }

    /// Begins what there is room for, draws one more token for every answer under way, and returns what was drawn: for
    /// one that has just begun up to two tokens.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn step(&mut self) -> Result<Vec<Drawn>, TensorFault> {
        // On a thread of the pool: from without, every operation would wake it and wait for it.
        rayon::scope(|_| self.step_in_pool())
    }

    fn step_in_pool(&mut self) -> Result<Vec<Drawn>, TensorFault> {
        let mut drawn = self.begin()?;
        self.active.retain(|answer| !answer.is_finished);
        drawn.extend(self.renew()?);
        drawn.extend(self.advance()?);
        self.active.retain(|answer| !answer.is_finished);
        Ok(drawn)
    }

    /// Fills in the prompts that there is room for, and draws their first tokens.
    fn begin(&mut self) -> Result<Vec<Drawn>, TensorFault> {
        let mut drawn = vec![];
        let (mut entering, mut fills, mut n_tokens) = (vec![], Vec::<Fill>::new(), 0);
        while self.active.len() + entering.len() < self.batch_size && n_tokens < PREFILL_TOKENS {
            let Some(request) = self.waiting.pop_front() else { break };
            if request.sampling.max_new_tokens == 0 && request.n_top_of_prompt.is_none() {
                drawn.push(nothing(&request, vec![]));
                continue;
            }
            let known = self.known(&request);
            let fill = match (&known, fills.iter().position(|fill| fill.serves(&request))) {
                (Some(_), _) => None,
                (None, Some(fill)) => Some(fill),
                (None, None) => {
                    n_tokens += request.prompt.len();
                    fills.push(Fill { prompt: Arc::clone(&request.prompt), n_top: request.n_top_of_prompt });
                    Some(fills.len() - 1)
                }
            };
            entering.push((request, known, fill));
        }
        let (mut prefixes, mut scores) = (vec![], vec![]);
        for (prefix, score) in prefill(self.model, &fills)? {
            prefixes.push(Arc::new(prefix));
            scores.push(score);
        }
        for (request, known, fill) in entering {
            let score = fill.and_then(|fill| scores.get_mut(fill)).map(std::mem::take).unwrap_or_default();
            let Some(prefix) = known.or_else(|| prefixes.get(fill?).cloned()) else { continue };
            if request.sampling.max_new_tokens == 0 {
                drawn.push(nothing(&request, score));
                continue;
            }
            let mut logits = prefix.logits.clone();
            let mut answer = Answer::new(request, prefix);
            drawn.push(Drawn { prompt: score, ..answer.draw(self.model, &mut logits) });
            self.active.push(answer);
        }
        Ok(drawn)
    }

    /// What an answer under way knows of the same prompt.
    fn known(&self, request: &AnswerRequest) -> Option<Arc<Prefix>> {
        let has_same = |answer: &&Answer| answer.request.prompt == request.prompt;
        let answer = self.active.iter().find(has_same).filter(|_| request.n_top_of_prompt.is_none())?;
        Some(Arc::clone(&answer.prefix))
    }

    /// Draws one more token for answers to which what is cached has just ceased to apply (LongRoPE).
    fn renew(&mut self) -> Result<Vec<Drawn>, TensorFault> {
        let model = self.model;
        let Some(limit) = model.decoder.cache_holds_until() else { return Ok(vec![]) };
        let mut drawn = vec![];
        for answer in self.active.iter_mut().filter(|answer| outgrows(answer, limit)) {
            let prompt = [&answer.request.prompt, answer.tokens.as_slice()].concat().into();
            for (mut prefix, _) in prefill(model, &[Fill { prompt, n_top: None }])? {
                answer.renew(&prefix);
                drawn.push(answer.draw(model, &mut prefix.logits));
            }
        }
        Ok(drawn)
    }

    /// Draws one more token for answers whose caches hold all tokens but the last.
    fn advance(&mut self) -> Result<Vec<Drawn>, TensorFault> {
        let model = self.model;
        let decoder = &model.decoder;
        let mut active: Vec<&mut Answer> = self.active.iter_mut().filter(|answer| !answer.is_finished).collect();
        if active.is_empty() {
            return Ok(vec![]);
        }
        let tokens: Arc<[u32]> = active.iter().filter_map(|answer| answer.tokens.last().copied()).collect();
        let longest = active.iter().map(|answer| answer.length()).max().unwrap_or(0);
        let layers = decoder.attentions(longest);
        let caches = active.iter_mut().map(|answer| &mut answer.cache).collect();
        let mut attention = Step { caches, layers, heads: decoder.config.heads() };
        let hidden = decoder.hidden(&Tape::idle(), &tokens, &mut attention, (Products::ByRow, None))?;
        let mut logits = decoder.logits(&hidden, Products::ByRow)?.flatten_all()?.to_vec1::<f32>()?;
        let vocab_size = logits.len() / active.len();
        let draws = active.into_par_iter().zip(logits.par_chunks_exact_mut(vocab_size));
        let draws = draws.with_min_len(LOGITS_PER_THREAD.div_ceil(vocab_size));
        Ok(draws.map(|(answer, logits)| answer.draw(model, logits)).collect())
    }
}

/// Whether the next token is the first to which what is cached does not apply.
fn outgrows(answer: &Answer, limit: usize) -> bool {
    !answer.is_finished && answer.length() == limit + 1 && answer.request.prompt.len() <= limit
}

/// A prompt to be filled in, and with how many of the likeliest tokens its own tokens are scored, if they are.
struct Fill {
    prompt: Arc<[u32]>,
    n_top: Option<usize>,
}

impl Fill {
    fn serves(&self, request: &AnswerRequest) -> bool {
        request.n_top_of_prompt.is_none() && self.prompt == request.prompt
    }

    /// The rows of the pass whose logits are wanted, given the first: those of the last token, or of all.
    fn kept(&self, first: usize) -> std::ops::Range<u32> {
        let end = first + self.prompt.len();
        let first = if self.n_top.is_some() { first } else { end - 1 };
        first as u32..end as u32
    }

    /// What is asked of those rows' logits, in their order.
    fn asked(&self) -> impl Iterator<Item = Asked> {
        let scored = self.n_top.map_or(&[] as &[u32], |_| &self.prompt[1..]).iter();
        let scored = scored.map(|token| Asked::LogProb(*token, self.n_top.unwrap_or_default()));
        scored.chain([Asked::Logits])
    }
}

/// What is asked of the logits behind a token of a prompt.
enum Asked {
    /// The log-probability of the next token, with as many of the likeliest ones.
    LogProb(u32, usize),
    /// All of them: an answer begins here.
    Logits,
}

enum Read {
    LogProb(TokenLogProb),
    Logits(Vec<f32>),
}

/// Reads the rows of a hidden state, some at a time.
fn read(model: &LocalModel, hidden: &Value, asked: &[Asked]) -> Result<Vec<Read>, TensorFault> {
    let mut found = vec![];
    for (i, asked) in asked.chunks(ROWS_OF_LOGITS).enumerate() {
        let rows = hidden.narrow(i * ROWS_OF_LOGITS, asked.len())?;
        let logits = model.decoder.logits(&rows, Products::ByRow)?;
        let read = |row: &[f32], asked: &Asked| match asked {
            Asked::LogProb(token, n_top) => Read::LogProb(LogProbs::new(row).token(*token, *n_top)),
            Asked::Logits => Read::Logits(row.to_vec()),
        };
        found.extend(each_row(&logits, asked, read)?);
    }
    Ok(found)
}

/// Runs whole sequences, each as if it were alone.
fn prefill(model: &LocalModel, fills: &[Fill]) -> Result<Vec<(Prefix, Vec<TokenLogProb>)>, TensorFault> {
    if fills.is_empty() {
        return Ok(vec![]);
    }
    let decoder = &model.decoder;
    let (mut starts, mut kept) = (vec![0], vec![]);
    for fill in fills {
        let first = starts[starts.len() - 1];
        kept.extend(fill.kept(first));
        starts.push(first + fill.prompt.len());
    }
    let starts: Arc<[usize]> = starts.into();
    let mut keys: Vec<Keys> = fills.iter().map(|_| Keys::new(decoder.config.shape.n_layers)).collect();
    let longest = fills.iter().map(|fill| fill.prompt.len()).max().unwrap_or(0);
    let (causal, layers) = (decoder.causal(Arc::clone(&starts)), decoder.attentions(longest));
    let mut attention = Prefill { causal, starts, keys: &mut keys, layers, heads: decoder.config.heads() };
    let tokens: Arc<[u32]> = fills.iter().flat_map(|fill| fill.prompt.iter().copied()).collect();
    let how = (Products::ByRow, Some(&kept.into()));
    let hidden = decoder.hidden(&Tape::idle(), &tokens, &mut attention, how)?;
    let mut found = read(model, &hidden, &fills.iter().flat_map(Fill::asked).collect::<Vec<_>>())?.into_iter();
    let filled = keys.into_iter().map(|keys| {
        let (mut scores, mut logits) = (vec![], vec![]);
        for found in found.by_ref() {
            match found {
                Read::LogProb(score) => scores.push(score),
                Read::Logits(all) => {
                    logits = all;
                    break;
                }
            }
        }
        (Prefix { keys: Arc::new(keys), logits }, scores)
    });
    Ok(filled.collect())
}

/// The answer to a request for no token.
fn nothing(request: &AnswerRequest, prompt: Vec<TokenLogProb>) -> Drawn {
    let tokens_in = request.prompt.len() as u32;
    let answer = Generated { text: String::new(), tokens_in, tokens_out: 0, finish_reason: FinishReason::Length };
    Drawn { ticket: request.ticket, prompt, token: None, offset: 0, text: String::new(), finished: Some(Ok(answer)) }
}
