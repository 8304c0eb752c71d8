//! `cambist gc`: remove what nobody needs.

use cambist_io::store::{Store, StoreView};
use cambist_pipeline::inspect::{Garbage, find_garbage, remove_garbage};
use serde_json::json;

use super::show::bytes;
use crate::{args::GcArgs, failure::Failure, screen};

/// Removes what no recipe's last run reaches.
pub(super) fn perform(args: &GcArgs) -> Result<(), Failure> {
    // Looking comes first: a store that is not there is not made, and a dry run takes no lock.
    let view = StoreView::open(&args.store.store)?;
    let garbage = if args.dry_run {
        find_garbage(&view, args.corrupt)?
    } else {
        let store = Store::open(&args.store.store)?;
        let garbage = find_garbage(&store, args.corrupt)?;
        remove_garbage(&store, &garbage, args.corrupt)?;
        garbage
    };
    if args.store.json {
        return screen::print(&json!(garbage).to_string());
    }
    tell(&garbage, args)
}

fn tell(garbage: &Garbage, args: &GcArgs) -> Result<(), Failure> {
    for (id, size) in &garbage.unreachable {
        screen::print(&format!("{id}  {}", bytes(*size)))?;
    }
    for (folder, reason) in &garbage.damaged {
        screen::print(&format!("{}  {reason}", folder.display()))?;
    }
    let total: u64 = garbage.unreachable.iter().map(|(_, size)| size).sum();
    let done = if args.dry_run { "would be removed" } else { "removed" };
    screen::talk(&format!("{} unreached artifacts, {}, {done}", garbage.unreachable.len(), bytes(total)));
    match (garbage.damaged.len(), args.corrupt) {
        (0, _) => {}
        (n_damaged, true) => {
            screen::talk(&format!("{n_damaged} damaged artifacts {done}; the next run makes them again"))
        }
        (n_damaged, false) => {
            screen::talk(&format!("{n_damaged} damaged artifacts stay; `cambist gc --corrupt` removes them"));
        }
    }
    Ok(())
}
