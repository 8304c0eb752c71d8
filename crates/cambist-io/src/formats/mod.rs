//! Tables of rows in the shapes of the field.
//!
//! Reading goes in three steps: [`rows`] turns any container (JSONL, JSON array, CSV, Parquet; plain, gzip, Zstandard)
//! into one stream of named fields; a shape (`messages`, ShareGPT, Alpaca, ...) or a declared table turns the fields of
//! a row into a type; [`read_table`] and its siblings collect the faults of many rows into one error. Writing goes
//! through the declared columns of a [`TableRow`], as Parquet or JSONL.

mod fault;

pub mod rows;

mod chat;
mod columns;
mod prompts;
mod recorded;

mod source;

mod ahead;
mod stream;
mod table;

mod lines;
mod spool;

mod core_rows;
mod training_rows;

mod model_folder;
mod tensorboard;

pub use chat::read_chat;
pub use fault::{FormatError, MAX_FAULTS, Place, Problem, Result, RowFault};
pub use lines::LineWriter;
pub use model_folder::{
    ModelFolderError, is_adapter_folder, read_adapter_folder, read_model_folder, read_tokenizer_folder,
    write_model_folder,
};
pub use prompts::{PROMPT_SHAPES, PromptColumns, PromptStream, RawPrompt, read_prompts};
pub use recorded::{
    RecordedAnswer, RecordedColumns, RecordedPropensity, read_answers, read_answers_of, read_propensities, read_scores,
};
pub use source::{digest_source, files_of};
pub(crate) use source::{is_readable_name, path_fits};
pub use spool::Spool;
pub use stream::{BatchScan, RowBatch, TableScan, scan_batches, scan_table};
pub use table::{Cell, TableRow, TableWriter, read_table, to_jsonl, to_parquet};
pub use tensorboard::EventFile;
pub use training_rows::{LabelledRow, PreferenceRow, SftRow};
