//! Reverse-mode differentiation: what was computed, and the way back.
//!
//! Candle has this too, but adds every gradient to a tensor of zeros, on spinning threads of its own that no caller's
//! thread pool governs; for tiny models that is a third of the time. Here gradients meet in place, on the caller's
//! pool, and activations are freed on the way back, for the next ones ([`crate::buffers`]).

use std::cell::RefCell;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, InplaceOp2, InplaceOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::{
    buffers::give_storage,
    ops::{ROWS_PER_TASK, floats, simd},
};

/// A tensor, and where on the tape it was made; nowhere when no gradient is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) tensor: Tensor,
    node: Option<usize>,
}

impl Value {
    /// Whether no gradient is wanted of it.
    pub(crate) fn is_constant(&self) -> bool {
        self.node.is_none()
    }

    /// Returns some of the rows, without a way back.
    pub(crate) fn narrow(&self, first: usize, n_rows: usize) -> Result<Self> {
        Ok(Self { tensor: self.tensor.narrow(0, first, n_rows)?, node: None })
    }
}

/// An operation that adds what it makes of two inputs to a third in its storage.
pub(crate) trait AddTo: InplaceOp3 {
    /// Returns the gradients of both inputs, given that of the sum.
    fn back(&self, x: &Tensor, w: &Tensor, d_sum: &Tensor) -> Result<(Tensor, Tensor)>;
}

/// Records operations on values that lead back to a parameter.
pub(crate) struct Tape {
    nodes: RefCell<Vec<Node>>,
    n_parameters: usize,
}

struct Node {
    inputs: Vec<Value>,
    output: Option<Tensor>,
    operation: Operation,
}

enum Operation {
    Parameter,
    One(Box<dyn CustomOp1>),
    Two(Box<dyn CustomOp2>),
    Add,
    AddRow,
    AddTo(Box<dyn AddTo>),
}

/// A gradient so far, and whether its storage belongs to it alone.
struct Gradient {
    tensor: Tensor,
    is_own: bool,
}

impl Tape {
    /// Records from now on; parameters are numbered `0..n_parameters`.
    pub(crate) fn recording(n_parameters: usize) -> Self {
        let leaf = || Node { inputs: vec![], output: None, operation: Operation::Parameter };
        Self { nodes: RefCell::new((0..n_parameters).map(|_| leaf()).collect()), n_parameters }
    }

    /// Records nothing.
    pub(crate) fn idle() -> Self {
        Self::recording(0)
    }

    /// Whether gradients will be asked for.
    pub(crate) fn is_recording(&self) -> bool {
        self.n_parameters > 0
    }

    /// Returns parameter `index` as a value.
    pub(crate) fn parameter(&self, index: usize, tensor: &Tensor) -> Value {
        Value { tensor: tensor.clone(), node: (index < self.n_parameters).then_some(index) }
    }

    /// Returns a tensor that no gradient is wanted of.
    pub(crate) fn constant(&self, tensor: Tensor) -> Value {
        Value { tensor, node: None }
    }

    /// Applies an operation of one input.
    pub(crate) fn apply1(&self, x: &Value, operation: impl CustomOp1 + 'static) -> Result<Value> {
        let output = x.tensor.apply_op1_no_bwd(&operation)?;
        Ok(self.record(vec![x.clone()], output, || Operation::One(Box::new(operation))))
    }

    /// Applies an operation of two inputs.
    pub(crate) fn apply2(&self, x: &Value, w: &Value, operation: impl CustomOp2 + 'static) -> Result<Value> {
        let output = x.tensor.apply_op2_no_bwd(&w.tensor, &operation)?;
        Ok(self.record(vec![x.clone(), w.clone()], output, || Operation::Two(Box::new(operation))))
    }

    /// Returns the sum, in the storage of `fresh`: it has to be the result of an operation whose way back does not
    /// look at it, and must not be used afterwards.
    pub(crate) fn add_to_fresh(&self, x: &Value, fresh: Value) -> Result<Value> {
        fresh.tensor.inplace_op2(&x.tensor, &AddAssign)?;
        let output = fresh.tensor.clone();
        Ok(self.record(vec![x.clone(), fresh], output, || Operation::Add))
    }

    /// Returns `fresh` `[rows, width]` with `row` `[width]` added to each of its rows, in its storage; the same holds
    /// for it as for [`Tape::add_to_fresh`].
    pub(crate) fn add_row_to_fresh(&self, row: &Value, fresh: Value) -> Result<Value> {
        fresh.tensor.inplace_op2(&row.tensor, &AddRow)?;
        let output = fresh.tensor.clone();
        Ok(self.record(vec![row.clone(), fresh], output, || Operation::AddRow))
    }

    /// Returns the sum of `fresh` and what an operation makes of `x` and `w`, in the storage of `fresh`: the same holds
    /// of it as for [`Tape::add_to_fresh`].
    pub(crate) fn apply_to_fresh(
        &self,
        (x, w): (&Value, &Value),
        fresh: Value,
        operation: impl AddTo + 'static,
    ) -> Result<Value> {
        fresh.tensor.inplace_op3(&x.tensor, &w.tensor, &operation)?;
        let output = fresh.tensor.clone();
        Ok(self.record(vec![x.clone(), w.clone(), fresh], output, || Operation::AddTo(Box::new(operation))))
    }

    fn record(&self, inputs: Vec<Value>, tensor: Tensor, operation: impl FnOnce() -> Operation) -> Value {
        if inputs.iter().all(|input| input.node.is_none()) {
            return Value { tensor, node: None };
        }
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { inputs, output: Some(tensor.clone()), operation: operation() });
        Value { tensor, node: Some(nodes.len() - 1) }
    }

    /// Returns the gradients of all parameters in their order, none for one that `value` does not depend on, given the
    /// gradient of `value`. What was recorded on the way to `value` must not be read afterwards.
    pub(crate) fn backward(self, value: &Value, gradient: Tensor) -> Result<Vec<Option<Tensor>>> {
        let mut nodes = self.nodes.into_inner();
        let mut gradients: Vec<Option<Gradient>> = nodes.iter().map(|_| None).collect();
        if let Some(node) = value.node {
            gradients[node] = Some(Gradient { tensor: gradient, is_own: false });
        }
        while nodes.len() > self.n_parameters {
            let Some((node, gradient)) = nodes.pop().zip(gradients.pop()) else { break };
            let (Some(gradient), Some(output)) = (gradient, node.output) else { continue };
            let is_result = value.node == Some(nodes.len());
            let to_inputs = back(&node.operation, &node.inputs, (&output, &gradient.tensor))?;
            for (input, new) in node.inputs.iter().zip(to_inputs) {
                if let (Some(at), Some(new)) = (input.node, new) {
                    let sum = gradients[at].take();
                    gradients[at] = Some(meet(sum, new)?);
                }
            }
            // All that read the output came after it and is gone, and so is its gradient unless it was passed on.
            if !is_result {
                give_storage(&output)?;
            }
            if gradient.is_own && matches!(node.operation, Operation::One(_) | Operation::Two(_)) {
                give_storage(&gradient.tensor)?;
            }
        }
        Ok(gradients.into_iter().map(|gradient| gradient.map(|g| g.tensor)).collect())
    }
}

/// Returns what reaches each input.
fn back(
    operation: &Operation,
    inputs: &[Value],
    (output, gradient): (&Tensor, &Tensor),
) -> Result<Vec<Option<Gradient>>> {
    let own = |tensor: Option<Tensor>| tensor.map(|tensor| Gradient { tensor, is_own: true });
    match (operation, inputs) {
        (Operation::Add, _) => {
            let shared = || Some(Gradient { tensor: gradient.clone(), is_own: false });
            Ok(vec![shared(), shared()])
        }
        (Operation::AddRow, _) => {
            let sum = gradient.contiguous()?.apply_op1_no_bwd(&SumRows)?;
            Ok(vec![own(Some(sum)), Some(Gradient { tensor: gradient.clone(), is_own: false })])
        }
        (Operation::One(operation), [x]) => Ok(vec![own(operation.bwd(&x.tensor, output, gradient)?)]),
        (Operation::Two(operation), [x, w]) => {
            let (to_x, to_w) = operation.bwd(&x.tensor, &w.tensor, output, gradient)?;
            Ok(vec![own(to_x), own(to_w)])
        }
        (Operation::AddTo(operation), [x, w, _]) => {
            let (to_x, to_w) = operation.back(&x.tensor, &w.tensor, gradient)?;
            Ok(vec![own(Some(to_x)), own(Some(to_w)), Some(Gradient { tensor: gradient.clone(), is_own: false })])
        }
        _ => bail!("a parameter has no way back"),
    }
}

/// Adds two gradients, in the storage of one of them where that is free.
fn meet(sum: Option<Gradient>, new: Gradient) -> Result<Gradient> {
    let Some(sum) = sum else { return Ok(new) };
    let (into, from) = if new.is_own { (new, sum) } else { (sum, new) };
    let into = if into.is_own { into.tensor } else { into.tensor.copy()? };
    add_assign(&into, &from.tensor)?;
    if from.is_own {
        give_storage(&from.tensor)?;
    }
    Ok(Gradient { tensor: into, is_own: true })
}

/// Adds `from` to `into` in its storage.
pub(crate) fn add_assign(into: &Tensor, from: &Tensor) -> Result<()> {
    into.inplace_op2(from, &AddAssign)
}

struct AddAssign;

/// Numbers that one task takes on.
const CHUNK: usize = 1 << 14;

impl InplaceOp2 for AddAssign {
    fn name(&self) -> &'static str {
        "add-assign"
    }

    fn cpu_fwd(&self, into: &mut CpuStorage, li: &Layout, from: &CpuStorage, lf: &Layout) -> Result<()> {
        let from = floats(from, lf)?;
        let (CpuStorage::F32(into), Some((start, end))) = (into, li.contiguous_offsets()) else {
            bail!("sums are f32 and contiguous, got {li:?}")
        };
        if end - start != from.len() {
            bail!("{} numbers were to be added to {}", from.len(), end - start)
        }
        let chunks = into[start..end].par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK));
        chunks.for_each(|(into, from)| {
            simd::vectorised(
                #[inline(always)]
                || simd::add_scaled(into, 1.0, from),
            )
        });
        Ok(())
    }
}

struct AddRow;

impl InplaceOp2 for AddRow {
    fn name(&self) -> &'static str {
        "add-row"
    }

    fn cpu_fwd(&self, into: &mut CpuStorage, li: &Layout, row: &CpuStorage, lr: &Layout) -> Result<()> {
        let row = floats(row, lr)?;
        let (CpuStorage::F32(into), Some((start, end))) = (into, li.contiguous_offsets()) else {
            bail!("sums are f32 and contiguous, got {li:?}")
        };
        if row.is_empty() || !(end - start).is_multiple_of(row.len()) {
            bail!("a row of {} was to be added to {li:?}", row.len())
        }
        into[start..end].par_chunks_mut(row.len() * ROWS_PER_TASK).for_each(|into| {
            simd::vectorised(
                #[inline(always)]
                || {
                    for into in into.chunks_exact_mut(row.len()) {
                        simd::add_scaled(into, 1.0, row);
                    }
                },
            )
        });
        Ok(())
    }
}

/// Sums rows into one.
struct SumRows;

impl CustomOp1 for SumRows {
    fn name(&self) -> &'static str {
        "sum-rows"
    }

    fn cpu_fwd(&self, rows: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let tasks = floats(rows, layout)?.par_chunks(width * ROWS_PER_TASK);
        let partial: Vec<Vec<f32>> = tasks
            .map(|rows| {
                let mut sum = vec![0f32; width];
                simd::vectorised(
                    #[inline(always)]
                    || {
                        for row in rows.chunks_exact(width) {
                            simd::add_scaled(&mut sum, 1.0, row);
                        }
                    },
                );
                sum
            })
            .collect();
        let mut sum = vec![0f32; width];
        for part in partial {
            simd::add_scaled(&mut sum, 1.0, &part);
        }
        Ok((CpuStorage::F32(sum), Shape::from(width)))
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::{
        linear::linear,
        reference::{assert_same_gradients, noise},
    };

    #[test]
    fn a_row_added_to_a_product_has_the_gradients_of_plain_operations() {
        assert_same_gradients(
            &[noise(&[150, 7], 1), noise(&[9, 7], 2), noise(&[9], 3)],
            |tape, v| tape.add_row_to_fresh(&v[2], linear(tape, &v[0], &v[1])?),
            |v| v[0].matmul(&v[1].t()?)?.broadcast_add(&v[2]),
        );
    }
}
