//! `cambist init`: a recipe to start from.

use serde_json::json;

use crate::{args::InitArgs, failure::Failure, screen};

/// The recipe that `init` writes: the quickstart, comments included.
const STARTER: &str = include_str!("../../../../recipes/quickstart.yaml");

/// Writes the starter recipe; a file that is there is never overwritten.
pub(super) fn perform(args: &InitArgs) -> Result<(), Failure> {
    if args.path.exists() {
        let path = args.path.display();
        return Err(Failure::yours(format!(
            "`{path}` is there already\nhint: name another file: cambist init other.yaml"
        )));
    }
    cambist_io::disk::write_atomic(&args.path, STARTER.as_bytes())?;
    if args.json {
        return screen::print(&json!({ "wrote": args.path }).to_string());
    }
    screen::talk(&format!("wrote {0}; run it with `cambist run {0}`", args.path.display()));
    Ok(())
}
