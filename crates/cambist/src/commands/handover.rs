//! `cambist export-training` and `cambist import-checkpoint`: training by another program.

use cambist_pipeline::handover::{HandoverOptions, export_training, import_checkpoint};
use serde_json::json;

use super::{
    batch::QUIET,
    run::{load, with_runtime},
};
use crate::{
    args::{ExportTrainingArgs, ImportCheckpointArgs, RecipeArgs},
    failure::Failure,
    screen,
};

/// Writes the folder and says how to start training.
pub(super) fn export(args: &ExportTrainingArgs) -> Result<(), Failure> {
    let plan = load(&args.recipe, &args.store.store)?;
    let (step, n_devices, to) = (args.step.clone(), args.devices.get(), args.output.clone());
    let options = HandoverOptions { step, n_devices, to };
    let exported = with_runtime(&QUIET, |runtime| Ok(export_training(&plan, &options, &args.store.store, runtime)?))?;
    if args.store.json {
        return screen::print(&json!(exported).to_string());
    }
    let (n_rows, n_tokens, n_held_out) = (exported.n_rows, exported.n_loss_tokens, exported.n_held_out);
    screen::talk(&format!("{}: {n_rows} rows, {n_tokens} tokens count, {n_held_out} rows held out", exported.step));
    screen::talk(&format!("base: {}", exported.base));
    for what in &exported.unmapped {
        screen::talk(&format!("other than here: {what}"));
    }
    screen::print(&format!("sh {}/train.sh", exported.folder.display()))?;
    screen::talk("then: cambist import-checkpoint RECIPE FOLDER");
    Ok(())
}

/// Takes a checkpoint over.
pub(super) fn import(args: &ImportCheckpointArgs) -> Result<(), Failure> {
    let recipe = RecipeArgs { recipe: args.recipe.clone(), overrides: args.overrides.clone(), limit: args.limit };
    let plan = load(&recipe, &args.store.store)?;
    let what = (args.step.as_deref(), args.folder.as_path());
    let imported = with_runtime(&QUIET, |runtime| Ok(import_checkpoint(&plan, what, &args.store.store, runtime)?))?;
    if args.store.json {
        return screen::print(&json!(imported).to_string());
    }
    let (step, n_trained, n_compared) = (&imported.step, imported.n_trained, imported.n_compared);
    screen::talk(&format!("{step}: {n_trained} weights, the tokens of {n_compared} rows are equal"));
    screen::print(&imported.artifact)
}
