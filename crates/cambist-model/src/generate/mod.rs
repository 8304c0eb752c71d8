//! Answers from a model: prompts are filled in one by one, tokens are drawn for a whole batch at a time.

mod cache;
pub mod sampling;

use std::{ops::ControlFlow, sync::Arc};

use cambist_core::{chance::Chance, completion::FinishReason, prompt::Message};

use self::{
    cache::{KvCache, Prefill, Step},
    sampling::Sampling,
};
use crate::{
    chat::EncodeError, decoder::Products, fault::TensorFault, model::LocalModel, ops::linear::linear_by_row, tape::Tape,
};

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
    n_prompt: usize,
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
            n_prompt: prompt.len(),
            tokens: vec![],
            cache: KvCache::new(config.shape.n_layers, config.heads()),
            chance: Chance::new(sampling.seed, &["generate", &request.sampling_key]),
            finished: None,
        };
        if sampling.max_new_tokens == 0 {
            answer.finished = Some(FinishReason::Length);
            return Ok(answer);
        }
        let causal = model.decoder.causal(Arc::from([0, prompt.len()]));
        let rope = model.decoder.rope.table(prompt.len());
        let mut attention = Prefill { causal, cache: &mut answer.cache, rope };
        let last = Arc::from([prompt.len() as u32 - 1]);
        let (tape, how) = (Tape::idle(), (Products::Blocked, Some(&last)));
        let hidden = model.decoder.hidden(&tape, &Arc::from(prompt), &mut attention, how)?;
        let logits = linear_by_row(&tape, &hidden, &model.decoder.head(&tape))?.tensor;
        answer.draw(model, &logits.flatten_all()?.to_vec1()?, sampling);
        Ok(answer)
    }

    fn draw(&mut self, model: &LocalModel, logits: &[f32], sampling: &Sampling) {
        let token = sampling.next(logits, &mut self.chance);
        self.tokens.push(token);
        let room = model.max_positions() - self.n_prompt;
        if model.chat.is_stop(token) {
            self.finished = Some(FinishReason::Stop);
        } else if self.tokens.len() >= sampling.max_new_tokens.min(room) {
            self.finished = Some(FinishReason::Length);
        }
    }

    fn whole(self, model: &LocalModel, finish_reason: FinishReason) -> Result<Generated, EncodeError> {
        let ended = usize::from(finish_reason == FinishReason::Stop);
        let text = model.chat.tokenizer.decode(&self.tokens[..self.tokens.len() - ended])?;
        let (tokens_in, tokens_out) = (self.n_prompt as u32, self.tokens.len() as u32);
        Ok(Generated { text, tokens_in, tokens_out, finish_reason })
    }
}

/// Draws one more token for every answer.
fn step(model: &LocalModel, active: &mut [Answer], sampling: &Sampling) -> Result<(), TensorFault> {
    let tokens: Arc<[u32]> = active.iter().filter_map(|answer| answer.tokens.last().copied()).collect();
    let longest = active.iter().map(|answer| answer.n_prompt + answer.tokens.len()).max().unwrap_or(0);
    let rope = model.decoder.rope.table(longest);
    let caches = active.iter_mut().map(|answer| &mut answer.cache).collect();
    let tape = Tape::idle();
    let hidden = model.decoder.hidden(&tape, &tokens, &mut Step { caches, rope }, (Products::ByRow, None))?;
    let logits = linear_by_row(&tape, &hidden, &model.decoder.head(&tape))?.tensor.to_vec2()?;
    for (answer, logits) in active.iter_mut().zip(&logits) {
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
