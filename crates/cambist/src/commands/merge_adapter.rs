//! `cambist merge-adapter`: an adapter into its base.

use cambist_pipeline::merge_adapter::{MergeOptions, merge_adapter};
use serde_json::json;

use crate::{args::MergeAdapterArgs, failure::Failure, screen};

/// Writes the merged model and says how far its weights moved.
pub(super) fn perform(args: &MergeAdapterArgs) -> Result<(), Failure> {
    let MergeAdapterArgs { adapter, output, dtype, base, store } = args;
    let options =
        MergeOptions { adapter: adapter.clone(), base: base.clone(), dtype: (*dtype).into(), to: output.clone() };
    let merged = merge_adapter(&options, &store.store)?;
    if store.json {
        return screen::print(&json!(merged).to_string());
    }
    for report in &merged.adapters {
        screen::talk(&report.to_string());
    }
    screen::print(&merged.folder.display().to_string())
}
