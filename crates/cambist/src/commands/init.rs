//! `cambist init`: a recipe to start from.

use std::path::{Path, PathBuf};

use cambist_pipeline::starter::{RecordedFiles, recorded_recipe};
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
    cambist_io::disk::write_atomic(&args.path, text(args)?.as_bytes())?;
    if args.json {
        return screen::print(&json!({ "wrote": args.path }).to_string());
    }
    screen::talk(&format!("wrote {0}; run it with `cambist run {0}`", args.path.display()));
    Ok(())
}

fn text(args: &InitArgs) -> Result<String, Failure> {
    let (Some(prompts), Some(answers)) = (&args.prompts, &args.answers) else { return Ok(STARTER.to_owned()) };
    let from_recipe = |path: &PathBuf| from_recipe(path, &args.path);
    let files = RecordedFiles {
        prompts: from_recipe(prompts)?,
        answers: from_recipe(answers)?,
        scores: args.scores.as_ref().map(from_recipe).transpose()?,
        judge: args.judge.clone(),
    };
    let name = args.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    Ok(recorded_recipe(&name.chars().map(keep).collect::<String>(), &files)?)
}

/// The path as a recipe that is written elsewhere finds it.
fn from_recipe(path: &Path, recipe: &Path) -> Result<PathBuf, Failure> {
    if recipe.parent().is_none_or(|folder| folder.as_os_str().is_empty()) {
        return Ok(path.to_owned());
    }
    std::path::absolute(path).map_err(|error| Failure::yours(format!("`{}`: {error}", path.display())))
}
