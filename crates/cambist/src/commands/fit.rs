//! `cambist fit`: a recipe's routers, or one on plain files.

use std::path::Path;

use cambist_core::{head::HeadKind, router::FittedRouter};
use cambist_pipeline::routing::{FeatureModel, FitFiles, fit_files, write_router};
use serde_json::json;

use super::run;
use crate::{
    args::{FitArgs, RecipeArgs, RunArgs, StoreArgs, VerbArgs},
    failure::Failure,
    screen,
};

/// Buckets of features, as a power of two.
const BITS: u32 = 16;

/// Runs a recipe's `fit` steps, or fits a router on plain files.
pub(super) fn perform(args: &FitArgs) -> Result<(), Failure> {
    if let (Some(prompts), Some(scores), Some(output)) = (&args.prompts, &args.scores, &args.output) {
        let (prompts, scores) = (prompts.clone(), scores.clone());
        let (answers, judge, head) = (args.answers.clone(), args.judge.clone(), args.head.into());
        if !(args.max_weight >= 1.0 && args.max_weight.is_finite()) {
            return Err(Failure::yours(format!("--max-weight is {}, expected a number from 1 on", args.max_weight)));
        }
        let (seed, max_weight) = (args.seed, args.max_weight);
        let (layer, pooling) = (args.layer, args.pooling.into());
        let features = args.model.clone().map(|folder| FeatureModel { folder, layer, pooling });
        let files = FitFiles { prompts, scores, answers, judge, head, bits: BITS, features, seed, max_weight };
        let fitted = fit_files(&files)?;
        write_router(&fitted, output)?;
        return tell(&fitted, output, args.store.json);
    }
    let Some(recipe) = &args.recipe else {
        return Err(Failure::yours("there is neither a recipe nor `--prompts` with `--scores` and `--output`"));
    };
    let run = RunArgs {
        recipe: RecipeArgs { recipe: recipe.clone(), overrides: args.overrides.clone(), limit: args.limit },
        store: StoreArgs { store: args.store.store.clone(), json: args.store.json },
        runtime: args.runtime,
        dry_run: args.dry_run,
    };
    run::verb("fit", &VerbArgs { run, step: args.step.clone() })
}

fn tell(fitted: &FittedRouter, output: &Path, as_json: bool) -> Result<(), Failure> {
    let tuned = &fitted.tuned;
    if as_json {
        let told = json!({
            "router": output, "teachers": fitted.teachers, "n_prompts": fitted.n_prompts, "chosen": tuned.chosen,
            "overall": tuned.overall, "languages": tuned.languages, "n_missing": fitted.n_missing, "partial": fitted.partial,
        });
        return screen::print(&told.to_string());
    }
    let number = |value: f64| format!("{value:.4}");
    let level = |value: f64| if fitted.partial.is_some() { "n/a".to_owned() } else { number(value) };
    let se = |value: Option<f64>| value.map_or_else(|| "n/a".to_owned(), number);
    let all = std::iter::once(("all".to_owned(), tuned.overall));
    let each = tuned.languages.iter().map(|(language, trial)| (language.to_string(), *trial));
    let rows: Vec<Vec<String>> = all
        .chain(each)
        .map(|(language, trial)| {
            let means = [level(trial.regret), level(trial.table_regret), number(trial.gain)];
            [vec![language, trial.n.to_string()], means.to_vec(), vec![se(trial.gain_se)]].concat()
        })
        .collect();
    for line in screen::columns(&["language", " n", " regret", " of fixed", " gain", " its error"], &rows) {
        screen::print(&line)?;
    }
    let choice = match tuned.chosen.head {
        HeadKind::Table => "no head gains a standard error on the table of `fixed`, which routes".to_owned(),
        head => format!("`{}` routes, by what prompts say", head.name()),
    };
    screen::talk(&format!("{choice}; held-out regret in spreads of each language's rewards"));
    if fitted.n_missing > 0 {
        screen::talk(&format!(
            "{} answers are missing and play no part, as if by chance: give a column `propensity` where a router chose whom to ask",
            fitted.n_missing
        ));
    }
    if let Some(partial) = &fitted.partial {
        screen::talk(&format!(
            "{} of {} answers were asked for: weighed by one over their propensities, at most {}, {} cut to that; regret is \
             then not known, the gain is",
            partial.n_asked, partial.n_cells, partial.max_weight, partial.n_clipped
        ));
    }
    screen::talk(&format!("router for {} teachers: {}", fitted.teachers.len(), output.display()));
    Ok(())
}
