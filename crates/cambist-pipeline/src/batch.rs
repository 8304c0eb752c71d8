//! Batch files: unanswered calls out as files that other runners take, their results back into the ledger.
//!
//! The ledger stays the only memory. A result counts when its name is the name of a call that the step still wants; it
//! is decoded as a live reply is, so that the run that follows asks for exactly what is missing.

mod export;
mod import;

pub use export::{ExportOptions, Exported, ExportedPart, export_requests};
pub use import::{Imported, import_results};
