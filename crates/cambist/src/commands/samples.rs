//! `cambist import-samples`: what lm-evaluation-harness logged, as files for `replay`.

use cambist_core::language::Language;
use cambist_pipeline::import::{ImportedSamples, SamplesOptions, import_samples};
use serde_json::json;

use crate::{args::ImportSamplesArgs, failure::Failure, screen};

/// Writes the files and tells what is in them.
pub(super) fn perform(args: &ImportSamplesArgs) -> Result<(), Failure> {
    let language = args.language.as_deref().map(Language::parse).transpose().map_err(Failure::yours)?;
    let (model, filter) = (args.model.clone(), args.filter.clone());
    let options = SamplesOptions { files: args.files.clone(), model, language, filter };
    let imported = import_samples(&options, &args.output)?;
    if args.json {
        return screen::print(&json!(imported).to_string());
    }
    tell(&imported)?;
    let folder = args.output.display();
    screen::talk(&format!(
        "prompts.jsonl, answers.jsonl and scores.jsonl are in {folder}; the guide's page `recorded` goes on"
    ));
    Ok(())
}

fn tell(imported: &ImportedSamples) -> Result<(), Failure> {
    let row = |name: &str, n: u64, note: &str| vec![name.to_owned(), n.to_string(), note.to_owned()];
    let mut rows = vec![row("prompts", imported.n_prompts, "")];
    rows.extend(imported.models.iter().map(|(model, n)| row("answers", *n, model)));
    rows.extend(imported.metrics.iter().map(|(metric, n)| row("scores", *n, metric)));
    rows.push(row("other filters", imported.n_other_filters, ""));
    rows.push(row("other prompt", imported.n_differing, "asked otherwise than another model was"));
    rows.push(row("already known", imported.n_known, ""));
    rows.push(row("broken", imported.n_broken, &imported.broken.join("; ")));
    for line in screen::columns(&["samples", " n", "note"], &rows) {
        screen::print(&line)?;
    }
    Ok(())
}
