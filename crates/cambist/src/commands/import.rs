//! `cambist import`: answers that another tool paid for.

use cambist_pipeline::import::{ImportFormat, ImportOptions, ImportedAnswers, import_answers};
use serde_json::json;

use super::run::{load, with_runtime};
use crate::{
    args::{CapabilitiesArg, ImportArgs, RecipeArgs, RuntimeArgs},
    failure::Failure,
    screen,
};

/// Puts answers into the ledger.
pub(super) fn perform(args: &ImportArgs) -> Result<(), Failure> {
    let given = &args.results;
    let recipe = RecipeArgs { recipe: given.recipe.clone(), overrides: given.overrides.clone(), limit: given.limit };
    let plan = load(&recipe, &given.store.store)?;
    let format = ImportFormat::ALL.into_iter().find(|format| format.name() == args.format);
    let format = format.ok_or_else(|| Failure::ours(format!("`{}` passed as a format", args.format)))?;
    let options = ImportOptions {
        step: given.step.clone(),
        format,
        files: given.files.clone(),
        teacher: args.teacher.clone(),
        is_trusted: args.trust,
    };
    let quiet = RuntimeArgs { threads: None, quiet: true, capabilities: CapabilitiesArg::Never, state_every: 30 };
    let imported = with_runtime(&quiet, |runtime| Ok(import_answers(&plan, &options, &given.store.store, runtime)?))?;
    if given.store.json {
        return screen::print(&json!(imported).to_string());
    }
    tell(&imported, format)
}

fn tell(imported: &ImportedAnswers, format: ImportFormat) -> Result<(), Failure> {
    let exact = format!("{} with the request that a run sends", imported.n_exact);
    let mut rows = vec![
        ("answers", imported.n_answers, String::new()),
        ("stored", imported.n_stored, exact),
        ("already known", imported.n_known, String::new()),
        ("not trusted", imported.n_untrusted, String::new()),
    ];
    rows.extend(imported.failed.iter().map(|(class, n)| ("failed", *n, class.clone())));
    rows.push(("other prompts", imported.n_unknown_prompt, String::new()));
    rows.extend(imported.unknown_models.iter().map(|(model, n)| ("other models", *n, model.clone())));
    rows.push(("broken", imported.n_broken, imported.broken.join("; ")));
    let row = |(name, n, note): (&str, u64, String)| vec![name.to_owned(), n.to_string(), note];
    let rows: Vec<Vec<String>> = rows.into_iter().map(row).collect();
    for line in screen::columns(&["import", " n", "note"], &rows) {
        screen::print(&line)?;
    }
    if imported.n_untrusted > 0 {
        screen::talk(match format {
            ImportFormat::Curator => {
                "name the teacher with --teacher, so that equal requests count; --trust lets texts count too"
            }
            _ => "nobody saw the requests of these texts; --trust lets them count",
        });
    }
    screen::talk(&format!("{} calls are left; `cambist run` makes them", imported.n_left));
    Ok(())
}
