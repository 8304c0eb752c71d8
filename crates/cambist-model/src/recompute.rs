//! The way through the decoder and back, with everything in between kept or computed a second time.
//!
//! Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174, with one segment a layer): of each layer only what goes
//! into it is kept, the way back computes the rest again. The gradients are the same to the last bit, for one
//! more pass through the layers.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::{
    batch::Batch,
    decoder::{Causal, Decoder},
    tape::{Tape, Value, add_assign},
};

/// One way there, and what the way back needs.
pub(crate) struct Forward<'a> {
    decoder: &'a Decoder,
    batch: &'a Batch,
    attention: Causal,
    /// Everything, or what comes after the last layer.
    tape: Tape,
    said: Value,
    /// What went into each layer, where the layers are computed a second time.
    inputs: Option<Vec<Tensor>>,
}

impl<'a> Forward<'a> {
    /// Computes what the head says of a batch; `checkpointing` says whether layers are computed a second time.
    pub(crate) fn run(decoder: &'a Decoder, batch: &'a Batch, checkpointing: bool) -> Result<Self> {
        let n_parameters = decoder.trained().len();
        let mut attention = decoder.causal(Arc::clone(&batch.starts));
        if !checkpointing {
            let tape = Tape::recording(n_parameters);
            let said = batch.values(decoder, &tape)?;
            return Ok(Self { decoder, batch, attention, tape, said, inputs: None });
        }
        let idle = Tape::idle();
        let (mut x, mut inputs) = (decoder.embed(&idle, &batch.tokens)?, vec![]);
        for layer in 0..decoder.n_layers() {
            inputs.push(x.tensor.clone());
            x = decoder.layer(&idle, (x, layer), &mut attention, batch.kept.as_ref())?;
        }
        // What comes out of the last layer counts as one more parameter.
        let tape = Tape::recording(n_parameters + 1);
        let hidden = decoder.last_norm(&tape, &tape.parameter(n_parameters, &x.tensor))?;
        let said = batch.read(decoder, &tape, &hidden)?;
        Ok(Self { decoder, batch, attention, tape, said, inputs: Some(inputs) })
    }

    /// What the head says, sequence by sequence: log-probabilities of all tokens that count, in nats, or rewards.
    pub(crate) fn said(&self) -> &Value {
        &self.said
    }

    /// Returns the gradients of everything that is trained, given that of what the head says.
    pub(crate) fn backward(mut self, by_value: Vec<f32>) -> Result<Vec<Option<Tensor>>> {
        let by_value = Tensor::from_vec(by_value, self.said.tensor.shape(), self.said.tensor.device())?;
        let mut found = self.tape.backward(&self.said, by_value)?;
        let Some(inputs) = self.inputs else { return Ok(found) };
        let n_parameters = self.decoder.trained().len();
        let mut above = found.pop().flatten();
        for (layer, input) in inputs.into_iter().enumerate().rev() {
            let Some(gradient) = above else { return Ok(found) };
            let tape = Tape::recording(n_parameters + 1);
            let x = tape.parameter(n_parameters, &input);
            let out = self.decoder.layer(&tape, (x, layer), &mut self.attention, self.batch.kept.as_ref())?;
            let mut own = tape.backward(&out, gradient)?;
            above = own.pop().flatten();
            meet(&mut found, own)?;
        }
        if let Some(gradient) = above {
            let tape = Tape::recording(n_parameters);
            let x = self.decoder.embed(&tape, &self.batch.tokens)?;
            meet(&mut found, tape.backward(&x, gradient)?)?;
        }
        Ok(found)
    }
}

/// Adds gradients to those that were found before.
fn meet(found: &mut [Option<Tensor>], new: Vec<Option<Tensor>>) -> Result<()> {
    for (found, new) in found.iter_mut().zip(new) {
        match (&found, new) {
            (Some(sum), Some(new)) => add_assign(sum, &new)?,
            (None, Some(new)) => *found = Some(new),
            (_, None) => {}
        }
    }
    Ok(())
}
