//! `cambist export-requests` and `cambist import-results`: calls by way of batch files.

use std::fmt::Display;

use cambist_io::batch_files::BatchForm;
use cambist_pipeline::batch::{ExportOptions, Exported, Imported, export_requests, import_results};
use serde_json::json;

use super::{
    run::{load, with_runtime},
    show::bytes,
};
use crate::{
    args::{CapabilitiesArg, ExportRequestsArgs, ImportResultsArgs, RecipeArgs, RuntimeArgs},
    failure::Failure,
    screen,
};

/// Nobody watches: files are written in seconds.
pub(super) const QUIET: RuntimeArgs =
    RuntimeArgs { threads: None, quiet: true, capabilities: CapabilitiesArg::Never, state_every: 30 };

/// Writes the calls that are left as batch files.
pub(super) fn export(args: &ExportRequestsArgs) -> Result<(), Failure> {
    let plan = load(&args.recipe, &args.store.store)?;
    let form = |name: &String| BatchForm::ALL.into_iter().find(|form| form.name() == name);
    let options = ExportOptions {
        step: args.step.clone(),
        teacher: args.teacher.clone(),
        form: args.format.as_ref().and_then(form),
        to: args.output.clone(),
    };
    let exported = with_runtime(&QUIET, |runtime| Ok(export_requests(&plan, &options, &args.store.store, runtime)?))?;
    if args.store.json {
        return screen::print(&json!(exported).to_string());
    }
    tell_exported(&exported)
}

fn tell_exported(exported: &Exported) -> Result<(), Failure> {
    for file in &exported.files {
        let (path, n, size) = (file.part.path.display(), file.part.n_requests, bytes(file.part.n_bytes));
        screen::print(&format!("{path}  {}  {n} requests  {size}", file.teacher))?;
    }
    let Exported { n_answered, n_shared, files } = exported;
    screen::talk(&format!("{n_answered} calls are answered already, {n_shared} ask the same as another one"));
    match files.as_slice() {
        [] => screen::talk("nothing is left to ask"),
        _ => screen::talk("then: cambist import-results RECIPE OUT.jsonl"),
    }
    Ok(())
}

/// Puts results into the ledger.
pub(super) fn import(args: &ImportResultsArgs) -> Result<(), Failure> {
    let recipe = RecipeArgs { recipe: args.recipe.clone(), overrides: args.overrides.clone(), limit: args.limit };
    let plan = load(&recipe, &args.store.store)?;
    let what = (args.step.as_deref(), args.files.as_slice());
    let imported = with_runtime(&QUIET, |runtime| Ok(import_results(&plan, what, &args.store.store, runtime)?))?;
    if args.store.json {
        return screen::print(&json!(imported).to_string());
    }
    tell_imported(&imported)
}

fn tell_imported(imported: &Imported) -> Result<(), Failure> {
    let mut rows = vec![
        ("lines", imported.n_lines, String::new()),
        ("stored", imported.n_stored, cost(imported.cost_usd, imported.n_cost_unknown)),
        ("already known", imported.n_known, String::new()),
        ("duplicate", imported.n_duplicates, String::new()),
    ];
    rows.extend(imported.failed.iter().map(|(class, n)| ("failed", *n, class.clone())));
    rows.push(("unknown", imported.n_unknown, imported.unknown.join(", ")));
    rows.push(("broken", imported.n_broken, imported.broken.join("; ")));
    let row = |(name, n, note): (&str, u64, String)| vec![name.to_owned(), n.to_string(), note];
    let rows: Vec<Vec<String>> = rows.into_iter().map(row).collect();
    for line in screen::columns(&["results", " n", "note"], &rows) {
        screen::print(&line)?;
    }
    screen::talk(&format!("{} calls are left; `cambist run` makes them", imported.n_left));
    Ok(())
}

/// `0.0123 USD`, and what is not in it.
pub(super) fn cost(usd: f64, n_unknown: u64) -> String {
    let known: &dyn Display = &format!("{usd:.4} USD");
    if n_unknown == 0 { known.to_string() } else { format!("{known}; the cost of {n_unknown} is not known") }
}
