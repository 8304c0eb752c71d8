//! `cambist prompts`: a recipe's prompts, or the built-in task on stdout.

use cambist_core::{
    language::Language,
    polyglot::{self, PolyglotSpec, Task},
};

use super::run;
use crate::{
    args::{PromptsArgs, RecipeArgs, RunArgs, StoreArgs, VerbArgs},
    failure::Failure,
    screen,
};

/// Makes a recipe's prompts, or prints prompts of the built-in task as JSON lines.
pub(super) fn perform(args: &PromptsArgs) -> Result<(), Failure> {
    let Some(recipe) = &args.recipe else { return print(args) };
    let (store, runtime) = (&args.store, &args.runtime);
    let run = RunArgs {
        recipe: RecipeArgs { recipe: recipe.clone(), overrides: args.overrides.clone(), limit: args.limit },
        store: StoreArgs { store: store.store.clone(), json: store.json },
        runtime: *runtime,
        dry_run: args.dry_run,
    };
    run::verb("prompts", &VerbArgs { run, step: args.step.clone() })
}

fn print(args: &PromptsArgs) -> Result<(), Failure> {
    let languages = args.polyglot.iter().map(|tag| Language::parse(tag)).collect::<Result<Vec<_>, _>>();
    let tasks = args.tasks.iter().map(|name| Task::parse(name)).collect::<Result<Vec<_>, _>>();
    let spec = PolyglotSpec {
        languages: languages.map_err(Failure::yours)?,
        tasks: tasks.map_err(Failure::yours)?,
        n_sources: args.sources,
        seed: args.seed,
    };
    for prompt in polyglot::generate(&spec).map_err(Failure::yours)? {
        screen::print(&serde_json::to_string(&prompt).map_err(Failure::yours)?)?;
    }
    Ok(())
}
