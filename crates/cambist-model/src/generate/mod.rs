//! Answers from a model: prompts are filled in together, tokens are drawn for a whole batch at a time.

mod answer;
pub(crate) mod cache;
mod draw;
mod generation;
pub(crate) mod keys;
pub mod sampling;
mod text;

use std::{ops::ControlFlow, sync::Arc};

use cambist_core::prompt::Message;

use self::sampling::Sampling;
pub use self::{
    answer::{AnswerRequest, Drawn, Generated},
    generation::Generation,
    text::text_offsets,
};
use crate::{chat::EncodeError, fault::TensorFault, model::LocalModel};

/// A conversation to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerateRequest {
    /// The turns so far; the last is the user's.
    pub messages: Vec<Message>,
    /// Names the random numbers of this answer, together with [`Sampling::seed`].
    pub sampling_key: String,
}

/// Answers every request, `batch_size` (at least 1) at a time, and hands over each answer with the index of its
/// request as soon as it is whole. A request that cannot become tokens is handed over as its error.
///
/// A text depends on the model, its own conversation, its key and the sampling, and on nothing else: not on the batch
/// size, the other requests or the number of threads. Requests with the same conversation share its computation when
/// they stand together. Stops early, without a further answer, when told to.
///
/// # Errors
/// When the tensor library fails.
pub fn generate(
    model: &LocalModel,
    requests: &[GenerateRequest],
    (sampling, batch_size): (&Sampling, usize),
    on_done: &mut dyn FnMut(usize, Result<Generated, EncodeError>) -> ControlFlow<()>,
) -> Result<(), TensorFault> {
    let sampling = Arc::new(sampling.clone());
    let mut generation = Generation::new(model, batch_size);
    let mut waiting = requests.iter().enumerate();
    loop {
        while generation.has_room() {
            let Some((index, request)) = waiting.next() else { break };
            let asked = model.encode(&request.messages).and_then(|prompt| {
                let key = request.sampling_key.clone();
                generation.ask(AnswerRequest::new(index as u64, prompt.into(), (Arc::clone(&sampling), key)))
            });
            if let Err(error) = asked
                && on_done(index, Err(error)).is_break()
            {
                return Ok(());
            }
        }
        if generation.is_idle() {
            return Ok(());
        }
        for drawn in generation.step()? {
            if let Some(answer) = drawn.finished
                && on_done(drawn.ticket as usize, answer).is_break()
            {
                return Ok(());
            }
        }
    }
}
