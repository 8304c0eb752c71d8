//! An adapter becomes part of its base.

use candle_core::{Result, Tensor, bail};
use serde::Serialize;

use super::{Adapter, AdapterError, Site, projections};
use crate::{
    decoder::Decoder,
    model::LocalModel,
    ops::low_rank::Block,
    weights::{Numbers, Parameter},
};

/// What merging an adapter changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MergeReport {
    /// The matrix that changed most.
    pub tensor: String,
    /// Its largest change as a share of its largest number.
    pub largest_change: f64,
    /// Matrices with at least one changed number.
    pub n_changed: usize,
    /// Matrices that the adapter acts on.
    pub n_adapted: usize,
}

impl std::fmt::Display for MergeReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tensor, largest_change, n_changed, n_adapted } = self;
        let percent = 100.0 * largest_change;
        write!(
            f,
            "{n_changed} of {n_adapted} matrices changed, `{tensor}` most, by {percent:.3}% of its largest number"
        )
    }
}

impl Decoder {
    /// Returns the parameters with the adapter's changes added in f32 and the head that it brings, as they are where there
    /// is none.
    pub(crate) fn merged(&self) -> Result<Vec<Parameter>> {
        let Some(adapter) = &self.adapter else { return Ok(self.parameters.clone()) };
        let merge = |(i, parameter): (usize, &Parameter)| {
            let numbers = match (adapter.whole(i), adapter.delta(i, parameter)?) {
                (Some((_, own)), _) => own.numbers.clone(),
                (None, Some(delta)) => Numbers::Plain((parameter.tensor()? + delta)?),
                (None, None) => parameter.numbers.clone(),
            };
            Ok(Parameter { numbers, ..parameter.clone() })
        };
        self.parameters.iter().enumerate().map(merge).collect()
    }
}

impl Adapter {
    /// Returns the parts of parameter `i` that the adapter acts on: their outputs, and their names without `.weight`.
    fn blocks<'a>(&self, i: usize, parameter: &'a Parameter) -> Vec<(Block, &'a str)> {
        if self.whole(i).is_some() {
            let n_outputs = parameter.parts.iter().map(|(_, rows)| rows).sum();
            return vec![(Block { first_output: 0, n_outputs }, parameter.name().trim_end_matches(".weight"))];
        }
        let wanted = projections(parameter).filter(|(_, _, target)| self.config.wants(target));
        wanted.map(|(block, name, _)| (block, name)).collect()
    }

    /// Returns `scale B A` in the shape of parameter `i`, 0 where nothing is adapted; none when nothing of it is.
    fn delta(&self, i: usize, parameter: &Parameter) -> Result<Option<Tensor>> {
        let Some(Some(Site::LowRank { a, change })) = self.sites.get(i) else { return Ok(None) };
        let (a, b) = (self.parameters[*a].plain()?, self.parameters[a + 1].plain()?);
        let [n_rows, n_columns] = parameter.dims()[..] else { bail!("`{}` is no matrix", parameter.name()) };
        let rank = change.rank;
        let nothing = |rows: usize| Tensor::zeros((rows, n_columns), a.dtype(), a.device());
        let (mut pieces, mut output, mut row) = (vec![], 0, 0);
        for (index, block) in change.blocks.iter().enumerate() {
            pieces.push(nothing(block.first_output - output)?);
            let (a, b) = (a.narrow(0, index * rank, rank)?, b.narrow(0, row, block.n_outputs)?);
            pieces.push((b.matmul(&a)? * f64::from(change.scale))?);
            (output, row) = (block.first_output + block.n_outputs, row + block.n_outputs);
        }
        pieces.push(nothing(n_rows - output)?);
        pieces.retain(|piece| piece.elem_count() > 0);
        Ok(Some(Tensor::cat(&pieces, 0)?))
    }
}

impl LocalModel {
    /// Adds the adapter's changes to the weights in f32 and takes the adapter away; says how far the weights moved.
    ///
    /// # Errors
    /// When there is no adapter, or when it changes nothing: the merged model would be its base to the last bit.
    pub fn merge_adapter(&mut self) -> std::result::Result<MergeReport, AdapterError> {
        let Some(adapter) = &self.decoder.adapter else { return Err(AdapterError::None) };
        let merged = self.decoder.merged()?;
        let report = compare((&self.decoder.parameters, &merged), adapter)?;
        if report.n_changed == 0 {
            return Err(AdapterError::Unchanged);
        }
        // Weights that did not change may be shared with the model that training started from: training is in place.
        let own = |parameter: Parameter| match &parameter.numbers {
            Numbers::Plain(tensor) => Ok(Parameter { numbers: Numbers::Plain(tensor.copy()?), ..parameter }),
            Numbers::Panels(_) => Ok(parameter),
        };
        let parameters = merged.into_iter().map(own).collect::<Result<Vec<_>>>()?;
        (self.decoder.parameters, self.decoder.adapter) = (parameters, None);
        Ok(report)
    }
}

fn compare((before, after): (&[Parameter], &[Parameter]), adapter: &Adapter) -> Result<MergeReport> {
    let mut report = MergeReport { tensor: String::new(), largest_change: 0.0, n_changed: 0, n_adapted: 0 };
    for (i, (before, after)) in before.iter().zip(after).enumerate() {
        for (block, name) in adapter.blocks(i, before) {
            let rows = |tensor: &Tensor| tensor.narrow(0, block.first_output, block.n_outputs);
            let (before, after) = (rows(&before.tensor()?)?, rows(&after.tensor()?)?);
            let largest = |tensor: &Tensor| tensor.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>().map(f64::from);
            let (change, size) = (largest(&(&after - &before)?)?, largest(&before)?);
            if change == 0.0 && adapter.whole(i).is_some() {
                continue; // A head that its base does not have, or that was not trained.
            }
            report.n_adapted += 1;
            report.n_changed += usize::from(change > 0.0);
            let relative = change / size.max(f64::from(f32::MIN_POSITIVE));
            if report.tensor.is_empty() || relative > report.largest_change {
                (report.tensor, report.largest_change) = (format!("{name}.weight"), relative);
            }
        }
    }
    Ok(report)
}
