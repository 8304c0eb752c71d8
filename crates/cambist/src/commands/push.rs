//! `cambist push`: an artifact as a data set on the Hugging Face Hub.

use cambist_io::{
    hub_push::{PushTarget, push_dataset},
    store::StoreView,
};
use cambist_pipeline::inspect;
use serde_json::json;

use super::show::bytes;
use crate::{args::PushArgs, failure::Failure, screen};

/// Uploads the artifact's files, unchanged since they were made.
pub(super) fn perform(args: &PushArgs) -> Result<(), Failure> {
    let mut target = PushTarget::from_environment(&args.repo, args.private)?;
    let store = StoreView::open(&args.store.store)?;
    let artifact = inspect::find(&store, &args.name)?;
    artifact.verify()?;
    target.summary = format!("cambist: {}", artifact.manifest().id);
    let mut names: Vec<String> = artifact.manifest().files.keys().cloned().collect();
    names.push("manifest.json".to_owned());
    let pushed = push_dataset(artifact.folder(), &names, &target)?;
    if args.store.json {
        return screen::print(&json!(pushed).to_string());
    }
    screen::print(&pushed.url)?;
    let (n, size) = (pushed.n_files, bytes(pushed.n_bytes));
    screen::talk(&format!("{n} files, {size}; {} of {} large ones were sent", pushed.n_sent, pushed.n_large));
    Ok(())
}
