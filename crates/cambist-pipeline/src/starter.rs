//! A recipe for answers and scores that somebody recorded, with everybody in them named.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use cambist_core::score::Score;
use cambist_io::formats::{RecordedColumns, read_answers, read_scores};

use crate::error::PipelineError;

/// Plain files of recorded answers.
#[derive(Clone, Debug)]
pub struct RecordedFiles {
    /// Prompts: `id`, `language`, `prompt`.
    pub prompts: PathBuf,
    /// Answers: `prompt_id`, `model`, `text`.
    pub answers: PathBuf,
    /// Scores: `prompt_id`, `model`, `score`, and `judge` where there are several; none where they stand beside the
    /// answers.
    pub scores: Option<PathBuf>,
    /// Whose scores count; needed where there are several judges.
    pub judge: Option<String>,
}

/// Returns a recipe called `name` that draws the frontier of these answers, with the gates off, so that scores alone
/// decide. Paths stand in it as they are given here.
///
/// # Errors
/// When a file cannot be read, nobody answered, or several judges scored and none is named.
pub fn recorded_recipe(name: &str, files: &RecordedFiles) -> Result<String, PipelineError> {
    let columns = RecordedColumns::default();
    let answers = read_answers(&files.answers, &columns)?;
    let answered: BTreeSet<String> = answers.into_iter().map(|answer| answer.teacher).collect();
    let scores = files.scores.as_ref().unwrap_or(&files.answers);
    let given = read_scores(scores, &columns, "")?;
    let judge = judge(files, scores, &given.iter().map(|score| score.arbiter.clone()).collect())?;
    // Who has answers and no scores is not compared: every answer would count as a failure.
    let counts = |score: &&Score| score.arbiter == judge && score.value.is_some() && answered.contains(&score.teacher);
    let models: BTreeSet<String> = given.iter().filter(counts).map(|score| score.teacher.clone()).collect();
    let pool: String = named(&models).into_iter().map(|(id, model)| member(&id, &model, &files.answers)).collect();
    let judge = if judge.is_empty() { String::new() } else { format!(", judge: {}", quoted(&judge)) };
    let (prompts, scores) = (path(&files.prompts), path(scores));
    Ok(format!(
        "# How much of the gain of asking everybody cheaper routing keeps, on recorded answers: nobody is asked.
#
#   cambist run RECIPE          everything, and a report
#   cambist pool advise RECIPE  which teachers are worth having
#
# Licences are not known here and prices are not given: fill them in where money counts, such as
# `price: {{input: 0.1, output: 0.3}}` in USD per million tokens.
name: {name}
seed: 7
pool:
{pool}arbiters:
  - {{id: recorded, recorded: {{file: {scores}{judge}}}}}
steps:
  - id: prompts
    prompts: {{file: {prompts}}}
  - id: answers
    generate:
      {{prompts: prompts, router: all, arbiter: recorded, eligibility: {{allow_unknown_license: true}}}}
  - id: frontier
    frontier:
      from: answers
      eligibility: {{allow_unknown_license: true}}
      gates: {{language: null, repetition: null, echo: null, mixed: null, refusal: null}}
  - report: {{}}
"
    ))
}

fn judge(files: &RecordedFiles, scores: &Path, judges: &BTreeSet<String>) -> Result<String, PipelineError> {
    let fault = |what: String, remedy: String| Err(PipelineError::input(&scores.display().to_string(), what, remedy));
    let known = || judges.iter().map(|judge| format!("`{judge}`")).collect::<Vec<_>>().join(", ");
    match (&files.judge, judges.len()) {
        (_, 0) => fault("no score stands in it".into(), "give a file with a column `score`".into()),
        (Some(judge), _) if judges.contains(judge) => Ok(judge.clone()),
        (Some(judge), _) => fault(format!("nobody called `{judge}` scored"), format!("name one of {}", known())),
        (None, 1) => Ok(judges.iter().next().cloned().unwrap_or_default()),
        (None, n) => fault(format!("{n} judges scored"), format!("name one of {} with --judge", known())),
    }
}

/// Ids of letters, digits, `-` and `_` for models of any name, each its own.
fn named(models: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for model in models {
        let keep = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        let plain: String = model.chars().map(keep).collect();
        let plain = if plain.trim_matches('-').is_empty() { "model".to_owned() } else { plain };
        let mut id = plain.clone();
        let mut n = 2;
        while named.contains_key(&id) {
            id = format!("{plain}-{n}");
            n += 1;
        }
        named.insert(id, model.clone());
    }
    named
}

fn member(id: &str, model: &str, answers: &Path) -> String {
    let (model, file) = (quoted(model), path(answers));
    format!("  - {{id: {}, license: unknown, replay: {{file: {file}, model: {model}}}}}\n", quoted(id))
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// As JSON writes it, which YAML reads.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_gets_an_id_of_its_own() {
        let models = ["org/a:1", "org/a.1", "日本", "b"].map(str::to_owned).into();
        let ids: Vec<String> = named(&models).into_keys().collect();
        assert_eq!(ids, ["b", "model", "org-a-1", "org-a-1-2"]);
    }
}
