//! Answers from a model: prompts are filled in one by one, tokens are drawn for a whole batch at a time.

mod cache;
pub mod sampling;

use std::{ops::ControlFlow, sync::Arc};

use cambist_core::{chance::Chance, completion::FinishReason, prompt::Message};

use self::{
    cache::{KvCache, Prefill, Step},
    sampling::Sampling,
};
use crate::{chat::EncodeError, decoder::Products, fault::TensorFault, model::LocalModel, tape::Tape};

/// A conversation to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerateRequest {
    /// The turns so far; the last is the user's.
    pub messages: Vec<Message>,
    /// Names the random numbers of this answer, together with [`Sampling::seed`].
    pub sampling_key: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Its text without control tokens, untrimmed.
    pub text: String,
    /// Tokens of the prompt, beginning and cue included.
    pub tokens_in: u32,
    /// Tokens drawn, the one that ended the answer included.
    pub tokens_out: u32,
    /// Whether the model ended it or the limit did.
    pub finish_reason: FinishReason,
}

/// Answers every request, `batch_size` (at least 1) at a time, and hands over each answer with the index of its
/// request as soon as it is whole. A request that cannot become tokens is handed over as its error.
///
/// A text depends on the model, its own conversation, its key and the sampling, and on nothing else: not on the batch
/// size, the other requests or the number of threads. Stops early, without a further answer, when told to.
///
/// # Errors
/// When the tensor library fails.
pub fn generate(
    model: &LocalModel,
    requests: &[GenerateRequest],
    (sampling, batch_size): (&Sampling, usize),
    on_done: &mut dyn FnMut(usize, Result<Generated, EncodeError>) -> ControlFlow<()>,
) -> Result<(), TensorFault> {
    let mut waiting = requests.iter().enumerate();
    let mut active: Vec<Answer> = vec![];
    loop {
        while active.len() < batch_size.max(1) {
            let Some((index, request)) = waiting.next() else { break };
            match prompt_tokens(model, &request.messages) {
                Ok(prompt) => active.push(Answer::begin(model, (index, request, &prompt), sampling)?),
                Err(error) => {
                    if on_done(index, Err(error)).is_break() {
                        return Ok(());
                    }
                }
            }
            let begun = active.len();
            if hand_over(model, &mut active, on_done).is_break() {
                return Ok(());
            }
            debug_assert!(active.len() <= begun);
        }
        if active.is_empty() {
            return Ok(());
        }
        step(model, &mut active, sampling)?;
        if hand_over(model, &mut active, on_done).is_break() {
            return Ok(());
        }
    }
}

fn prompt_tokens(model: &LocalModel, messages: &[Message]) -> Result<Vec<u32>, EncodeError> {
    let tokens = model.encode(messages)?;
    let max_positions = model.max_positions();
    match tokens.len() {
        0 => Err(EncodeError::EmptyMask("the prompt has no token")),
        n if n >= max_positions => Err(EncodeError::TooLong { n_tokens: n + 1, max_positions }),
        _ => Ok(tokens),
    }
}

/// An answer under way.
struct Answer {
    index: usize,
    prompt: Vec<u32>,
    tokens: Vec<u32>,
    cache: KvCache,
    chance: Chance,
    finished: Option<FinishReason>,
}

impl Answer {
    /// Runs the prompt, alone, and draws the first token.
    fn begin(
        model: &LocalModel,
        (index, request, prompt): (usize, &GenerateRequest, &[u32]),
        sampling: &Sampling,
    ) -> Result<Self, TensorFault> {
        let config = &model.decoder.config;
        let mut answer = Self {
            index,
            prompt: prompt.to_vec(),
            tokens: vec![],
            cache: KvCache::new(config.shape.n_layers, config.heads()),
            chance: Chance::new(sampling.seed, &["generate", &request.sampling_key]),
            finished: None,
        };
        if sampling.max_new_tokens == 0 {
            answer.finished = Some(FinishReason::Length);
            return Ok(answer);
        }
        let logits = answer.prefill(model, prompt)?;
        answer.draw(model, &logits, sampling);
        Ok(answer)
    }

    /// Fills an empty cache with `tokens` and returns the logits behind the last of them.
    fn prefill(&mut self, model: &LocalModel, tokens: &[u32]) -> Result<Vec<f32>, TensorFault> {
        let config = &model.decoder.config;
        self.cache = KvCache::new(config.shape.n_layers, config.heads());
        let causal = model.decoder.causal(Arc::from([0, tokens.len()]));
        let layers = model.decoder.attentions(tokens.len());
        let mut attention = Prefill { causal, cache: &mut self.cache, layers };
        let last = Arc::from([tokens.len() as u32 - 1]);
        let (tape, how) = (Tape::idle(), (Products::Blocked, Some(&last)));
        let hidden = model.decoder.hidden(&tape, &Arc::from(tokens), &mut attention, how)?;
        Ok(model.decoder.logits(&hidden, Products::ByRow)?.flatten_all()?.to_vec1()?)
    }

    fn draw(&mut self, model: &LocalModel, logits: &[f32], sampling: &Sampling) {
        let token = sampling.next(logits, &mut self.chance);
        self.tokens.push(token);
        let room = model.max_positions() - self.prompt.len();
        if model.chat.is_stop(token) {
            self.finished = Some(FinishReason::Stop);
        } else if self.tokens.len() >= sampling.max_new_tokens.min(room) {
            self.finished = Some(FinishReason::Length);
        }
    }

    /// Whether the next token is the first to which what is cached does not apply.
    fn outgrows_cache(&self, model: &LocalModel) -> bool {
        let length = self.prompt.len() + self.tokens.len();
        model.decoder.cache_holds_until().is_some_and(|limit| length == limit + 1 && self.prompt.len() <= limit)
    }

    fn whole(self, model: &LocalModel, finish_reason: FinishReason) -> Result<Generated, EncodeError> {
        let ended = usize::from(finish_reason == FinishReason::Stop);
        let text = model.chat.tokenizer.decode(&self.tokens[..self.tokens.len() - ended])?;
        let (tokens_in, tokens_out) = (self.prompt.len() as u32, self.tokens.len() as u32);
        Ok(Generated { text, tokens_in, tokens_out, finish_reason })
    }
}

/// Draws one more token for every answer.
fn step(model: &LocalModel, active: &mut [Answer], sampling: &Sampling) -> Result<(), TensorFault> {
    let (renewed, stepped): (Vec<_>, Vec<_>) = active.iter_mut().partition(|answer| answer.outgrows_cache(model));
    for answer in renewed {
        let tokens = [answer.prompt.as_slice(), &answer.tokens].concat();
        let logits = answer.prefill(model, &tokens)?;
        answer.draw(model, &logits, sampling);
    }
    if !stepped.is_empty() {
        step_cached(model, stepped, sampling)?;
    }
    Ok(())
}

/// Draws one more token for answers whose caches hold all tokens but the last.
fn step_cached(model: &LocalModel, mut active: Vec<&mut Answer>, sampling: &Sampling) -> Result<(), TensorFault> {
    let tokens: Arc<[u32]> = active.iter().filter_map(|answer| answer.tokens.last().copied()).collect();
    let longest = active.iter().map(|answer| answer.prompt.len() + answer.tokens.len()).max().unwrap_or(0);
    let layers = model.decoder.attentions(longest);
    let caches = active.iter_mut().map(|answer| &mut answer.cache).collect();
    let tape = Tape::idle();
    let hidden = model.decoder.hidden(&tape, &tokens, &mut Step { caches, layers }, (Products::ByRow, None))?;
    let logits = model.decoder.logits(&hidden, Products::ByRow)?.to_vec2()?;
    for (answer, logits) in active.into_iter().zip(&logits) {
        answer.draw(model, logits, sampling);
    }
    Ok(())
}

/// Takes finished answers out of the batch.
fn hand_over(
    model: &LocalModel,
    active: &mut Vec<Answer>,
    on_done: &mut dyn FnMut(usize, Result<Generated, EncodeError>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for answer in active.extract_if(.., |answer| answer.finished.is_some()) {
        let (index, reason) = (answer.index, answer.finished.unwrap_or(FinishReason::Error));
        on_done(index, answer.whole(model, reason))?;
    }
    ControlFlow::Continue(())
}
