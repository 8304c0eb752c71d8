//! `cambist why`: from an artifact back to what made it.

use cambist_io::store::StoreView;
use cambist_pipeline::inspect::{self, Lineage};
use serde_json::json;

use crate::{args::WhyArgs, failure::Failure, screen};

/// Shows the tree of inputs below the named artifact.
pub(super) fn perform(args: &WhyArgs) -> Result<(), Failure> {
    let store = StoreView::open(&args.store.store)?;
    let lineage = inspect::lineage(&store, &inspect::find(&store, &args.name)?)?;
    if args.store.json {
        screen::print(&json!(lineage).to_string())?;
    } else {
        tell(&lineage, "", "")?;
    }
    Ok(())
}

fn tell(made: &Lineage, first: &str, rest: &str) -> Result<(), Failure> {
    let counts: Vec<String> = made.counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
    let role = if made.role.is_empty() { String::new() } else { format!("{}: ", made.role) };
    let mut line = format!("{first}{role}{}", made.id);
    if made.missing {
        line += "  no longer in the store";
    } else {
        line += &format!("  step `{}`", made.step);
        if !counts.is_empty() {
            line += &format!(", {}", counts.join(", "));
        }
    }
    if made.seen && !made.missing {
        line += "  (see above)";
    }
    screen::print(&line)?;
    let n_inputs = made.inputs.len();
    for (at, input) in made.inputs.iter().enumerate() {
        let (branch, below) = if at + 1 == n_inputs { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        tell(input, &format!("{rest}{branch}"), &format!("{rest}{below}"))?;
    }
    Ok(())
}
