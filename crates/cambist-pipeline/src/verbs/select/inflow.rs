//! Answers and scores as they lie in their tables, read beside the prompts that they belong to.
//!
//! Steps write their rows in the order of their prompts, so that a walk along the prompts meets each row once and
//! nothing is searched. A table in another order is written out again in the order of the prompts first.

use std::{fs, path::PathBuf, sync::Arc};

use cambist_core::{candidate::MatrixError, completion::Completion, outline::Places, score::Score};
use cambist_io::formats::{BatchScan, Cell, RowBatch, Spool, TableRow, TableWriter, scan_batches, scan_table};
use serde::Deserialize;

use super::Making;
use crate::error::PipelineError;

/// A row that belongs to a prompt.
pub(super) trait OfPrompt: TableRow {
    /// The prompt's id.
    fn prompt_id(&self) -> &str;

    /// What a row of a prompt that nobody knows means; nothing where such rows play no part.
    fn unknown(&self) -> Option<MatrixError> {
        None
    }
}

impl OfPrompt for Completion {
    fn prompt_id(&self) -> &str {
        &self.prompt_id
    }

    fn unknown(&self) -> Option<MatrixError> {
        Some(MatrixError::UnknownPrompt { prompt_id: self.prompt_id.clone(), teacher: self.teacher.clone() })
    }
}

impl OfPrompt for Score {
    fn prompt_id(&self) -> &str {
        &self.prompt_id
    }
}

/// Columns of a table that are read.
pub(super) type Columns = &'static [(&'static str, Cell)];

/// The column that says which prompt a row belongs to.
const PROMPT_ID: (&str, Cell) = ("prompt_id", Cell::Text);

/// What is judged of an answer.
pub(super) const ANSWERS: Columns = &[
    PROMPT_ID,
    ("teacher", Cell::Text),
    ("sample", Cell::Integer),
    ("text", Cell::Text),
    ("finish_reason", Cell::Text),
    ("failure", Cell::Text),
    ("tokens_in", Cell::Integer),
    ("tokens_out", Cell::Integer),
    ("cost_usd", Cell::Number),
    ("origin", Cell::Json),
];

/// What a set for training takes from an answer.
pub(super) const WORDINGS: Columns =
    &[PROMPT_ID, ("teacher", Cell::Text), ("sample", Cell::Integer), ("text", Cell::Text)];

/// What is read of a score.
pub(super) const VALUES: Columns =
    &[PROMPT_ID, ("teacher", Cell::Text), ("sample", Cell::Integer), ("value", Cell::Number)];

/// A row that is read when it is needed.
#[derive(Clone)]
pub(super) struct RowAt {
    batch: Arc<RowBatch>,
    at: usize,
}

impl RowAt {
    /// Reads the row.
    pub(super) fn read<'r, R: Deserialize<'r>>(&'r self) -> Result<R, PipelineError> {
        Ok(self.batch.row(self.at)?)
    }

    /// Its text; none when it is missing.
    pub(super) fn text(&self) -> Option<&str> {
        self.batch.text("text", self.at)
    }

    /// How long its text is, in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        self.text().map_or(0, str::len)
    }

    /// Teacher and sample; none when either is missing or no number of a sample.
    pub(super) fn cell(&self) -> Option<(&str, u32)> {
        let sample = self.batch.integer("sample", self.at)?;
        self.batch.text("teacher", self.at).zip(u32::try_from(sample).ok())
    }

    /// Its value, where it is a score; none when it is missing.
    pub(super) fn value(&self) -> Option<f64> {
        self.batch.number("value", self.at)
    }

    fn prompt_id(&self) -> Option<&str> {
        self.batch.text(PROMPT_ID.0, self.at)
    }
}

/// A table in the order of the prompts, as far as is known.
struct Layer {
    path: PathBuf,
    /// Whether it is a copy of our own, which goes when it is no longer needed.
    is_copy: bool,
}

impl Layer {
    /// Writes the rows out again in the order of the prompts, with those of one prompt in the order that they had.
    fn lay_out<R: OfPrompt>(&mut self, places: &Places<'_>, making: &Making<'_>) -> Result<(), PipelineError> {
        let mut spool = Spool::create(&making.scratch.path("laid.spool")?)?;
        let mut order: Vec<(u32, u32)> = Vec::new();
        for row in scan_table::<R>(&self.path)? {
            let row = row?;
            match (places.place(row.prompt_id()), row.unknown()) {
                (Some(place), _) => {
                    order.push((place as u32, spool.len() as u32));
                    spool.push(&Spool::encode(&row)?)?;
                }
                (None, Some(error)) => return Err(making.misfit(&error)),
                (None, None) => {}
            }
        }
        order.sort_unstable();
        let path = fresh(making)?;
        let mut table = TableWriter::<R>::create(&path)?;
        for (_, number) in order {
            table.push(&spool.get(number as usize)?)?;
        }
        table.finish()?;
        *self = Self { path, is_copy: true };
        Ok(())
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        if self.is_copy {
            // It lies in a scratch folder, which is swept anyway.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns where no file is yet.
fn fresh(making: &Making<'_>) -> Result<PathBuf, PipelineError> {
    let mut n_before = 0;
    loop {
        let path = making.scratch.path(&format!("laid-{n_before}.parquet"))?;
        if !path.exists() {
            return Ok(path);
        }
        n_before += 1;
    }
}

/// Tables that are read side by side.
pub(super) struct Layers(Vec<Layer>);

impl Layers {
    /// Finished tables, in the order of the recipe.
    pub(super) fn of(paths: Vec<PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| Layer { path, is_copy: false }).collect())
    }

    /// Begins to read columns of all tables.
    pub(super) fn open(&self, columns: Columns) -> Result<Flows, PipelineError> {
        let flow = |layer: &Layer| Flow::open(scan_batches(&layer.path, columns)?);
        Ok(Flows(self.0.iter().map(flow).collect::<Result<_, PipelineError>>()?))
    }

    /// Lays those tables out again that `flows` came to no end of.
    pub(super) fn lay_out<R: OfPrompt>(
        &mut self,
        flows: &Flows,
        (places, making): (&Places<'_>, &Making<'_>),
    ) -> Result<(), PipelineError> {
        let mut layers = self.0.iter_mut().zip(&flows.0).filter(|(_, flow)| flow.next.is_some());
        layers.try_for_each(|(layer, _)| layer.lay_out::<R>(places, making))
    }
}

/// Rows of several tables, prompt by prompt.
pub(super) struct Flows(Vec<Flow>);

/// Rows of one table.
struct Flow {
    batches: BatchScan,
    /// The row that no prompt took yet.
    next: Option<RowAt>,
}

impl Flow {
    fn open(batches: BatchScan) -> Result<Self, PipelineError> {
        let mut flow = Self { batches, next: None };
        flow.next_batch()?;
        Ok(flow)
    }

    /// Goes on to the row after this one.
    fn advance(&mut self) -> Result<(), PipelineError> {
        if let Some(row) = &mut self.next {
            row.at += 1;
            if row.at == row.batch.n_rows() {
                self.next_batch()?;
            }
        }
        Ok(())
    }

    fn next_batch(&mut self) -> Result<(), PipelineError> {
        self.next = None;
        while let Some(batch) = self.batches.next().transpose()? {
            if batch.n_rows() > 0 {
                self.next = Some(RowAt { batch: Arc::new(batch), at: 0 });
                break;
            }
        }
        Ok(())
    }
}

impl Flows {
    /// Takes the rows of the next prompt.
    pub(super) fn take(&mut self, prompt_id: &str) -> Result<Vec<RowAt>, PipelineError> {
        let mut taken = Vec::new();
        for flow in &mut self.0 {
            while let Some(row) = flow.next.as_ref().filter(|row| row.prompt_id() == Some(prompt_id)) {
                taken.push(row.clone());
                flow.advance()?;
            }
        }
        Ok(taken)
    }

    /// Whether every row found its prompt.
    pub(super) fn is_spent(&self) -> bool {
        self.0.iter().all(|flow| flow.next.is_none())
    }
}
