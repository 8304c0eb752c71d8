//! `cambist show`: the store, or one artifact.

use cambist_io::store::{Artifact, StoreView};
use cambist_pipeline::inspect;
use serde_json::json;

use crate::{args::ShowArgs, failure::Failure, screen};

/// Shows the store, or the artifact that was named.
pub(super) fn perform(args: &ShowArgs) -> Result<(), Failure> {
    let store = StoreView::open(&args.store.store)?;
    match &args.name {
        None => list(&store, args.store.json),
        Some(name) => show(&inspect::find(&store, name)?, args),
    }
}

fn list(store: &StoreView, as_json: bool) -> Result<(), Failure> {
    let runs = store.runs()?;
    let listing = store.list()?;
    if as_json {
        let whole: Vec<_> = listing.artifacts.iter().map(described).collect();
        let damaged: Vec<_> = listing
            .damaged
            .iter()
            .map(|(folder, error)| json!({"folder": folder, "reason": error.to_string()}))
            .collect();
        return screen::print(&json!({ "runs": runs, "artifacts": whole, "damaged": damaged }).to_string());
    }
    for run in &runs {
        screen::print(&format!("{}  (runs/{0}/ in {})", run.recipe, store.root().display()))?;
        let mut rows = Vec::new();
        for made in &run.steps {
            // One damaged artifact does not hide the others; it is told below.
            let artifact = store.find(&made.artifact);
            let size = match &artifact {
                Ok(Some(found)) => bytes(inspect::n_bytes(found)),
                Ok(None) => "gone".to_owned(),
                Err(_) => "damaged".to_owned(),
            };
            let counts = artifact.ok().flatten().as_ref().map(counts).unwrap_or_default();
            rows.push(vec![made.step.clone(), made.artifact.to_string(), size, counts]);
        }
        for line in screen::columns(&["step", "artifact", " size", "holds"], &rows) {
            screen::print(&format!("  {line}"))?;
        }
    }
    for (_, error) in &listing.damaged {
        screen::talk(&format!("damaged: {error}"));
    }
    screen::talk(&format!("{} artifacts in all; `cambist show NAME` opens one", listing.artifacts.len()));
    Ok(())
}

fn show(artifact: &Artifact, args: &ShowArgs) -> Result<(), Failure> {
    let manifest = artifact.manifest();
    if args.store.json {
        return screen::print(&json!(manifest).to_string());
    }
    screen::print(&format!("{} ({}, step `{}`)", manifest.id, manifest.kind, manifest.step))?;
    screen::print(&format!("folder  {}", artifact.folder().display()))?;
    screen::print(&format!("holds   {}", counts(artifact)))?;
    for (reason, n_failed) in &manifest.failures {
        screen::print(&format!("failed  {n_failed} {reason}"))?;
    }
    if let Some(runtime) = artifact.runtime() {
        screen::print(&format!("took    {}", crate::progress::clock(runtime.seconds)))?;
    }
    for note in &manifest.notes {
        screen::print(&format!("note    {note}"))?;
    }
    for (name, file) in &manifest.files {
        screen::print(&format!("file    {name}  {}", bytes(file.bytes)))?;
    }
    for (name, rows) in inspect::first_rows(artifact, args.rows)? {
        screen::print(&format!("\n{name}"))?;
        for row in rows {
            screen::print(&format!("  {row}"))?;
        }
    }
    Ok(())
}

fn described(artifact: &Artifact) -> serde_json::Value {
    let manifest = artifact.manifest();
    json!({
        "id": manifest.id, "kind": manifest.kind, "step": manifest.step, "counts": manifest.counts,
        "bytes": inspect::n_bytes(artifact), "folder": artifact.folder(),
    })
}

fn counts(artifact: &Artifact) -> String {
    let each = artifact.manifest().counts.iter().map(|(what, n)| format!("{n} {what}"));
    each.collect::<Vec<_>>().join(", ")
}

/// A size for people: `812 B`, `3.4 kB`, `1.2 MB`.
pub(super) fn bytes(n_bytes: u64) -> String {
    match n_bytes {
        0..1_000 => format!("{n_bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", n_bytes as f64 / 1e3),
        _ => format!("{:.1} MB", n_bytes as f64 / 1e6),
    }
}
