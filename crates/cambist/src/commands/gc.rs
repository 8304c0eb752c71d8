//! `cambist gc`: remove what nobody needs.

use cambist_io::store::Store;
use cambist_pipeline::inspect::{Sweep, collect_garbage};
use serde_json::json;

use super::show::bytes;
use crate::{args::GcArgs, failure::Failure, screen};

/// Removes what no recipe's last run reaches.
pub(super) fn perform(args: &GcArgs) -> Result<(), Failure> {
    let store = Store::open(&args.store.store)?;
    let garbage = collect_garbage(&store, Sweep { dry_run: args.dry_run, corrupt: args.corrupt })?;
    if args.store.json {
        screen::print(&json!(garbage).to_string());
        return Ok(());
    }
    for (id, size) in &garbage.unreachable {
        screen::print(&format!("{id}  {}", bytes(*size)));
    }
    for (folder, reason) in &garbage.damaged {
        screen::print(&format!("{}  damaged: {reason}", folder.display()));
    }
    let total: u64 = garbage.unreachable.iter().map(|(_, size)| size).sum();
    let done = if args.dry_run { "would be removed" } else { "removed" };
    screen::talk(&format!("{} artifacts, {}, {done}", garbage.unreachable.len(), bytes(total)));
    if !garbage.damaged.is_empty() && (args.dry_run || !args.corrupt) {
        screen::talk("damaged artifacts stay until `cambist gc --corrupt`; the next run then makes them again");
    }
    Ok(())
}
