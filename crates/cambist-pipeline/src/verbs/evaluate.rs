//! `evaluate`: models answer held-out prompts, the arbiter grades them, and the grades are compared with intervals.

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::{
    completion::Completion,
    metrics::{Accuracy, Bootstrap, Graded, PerLanguage, WinRate, accuracy, play, win_rates},
    prompt::Prompt,
    score::Score,
};
use cambist_io::store::{Artifact, ManifestDraft, Scratch};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Work,
    answering::{self, Cell, Marks, Rivals, ask},
    panel::Scorer,
    prompts::read_prompts,
    tables::{OUTCOMES, OutcomeRow, write_table},
    voices::Voice,
};
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::params::EvaluateParams,
    run::Workshop,
};

/// What the models of one `evaluate` step were worth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub schema_version: u32,
    pub arbiter: String,
    /// The variant that the others are compared with.
    pub against: Option<String>,
    pub n_prompts: usize,
    pub bootstrap: Bootstrap,
    /// By variant; an empty name where the models have no variants.
    pub variants: BTreeMap<String, VariantResult>,
}

/// What the models of one variant were worth, all seeds together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VariantResult {
    pub accuracy: PerLanguage<Accuracy>,
    /// Against the baseline; none for the baseline itself, or without one.
    pub versus: Option<PerLanguage<WinRate>>,
    /// By task: the mean over languages, each weighing the same.
    pub tasks: BTreeMap<String, Accuracy>,
    /// Answers that the arbiter could not grade; they count nowhere.
    pub n_missing: usize,
}

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &EvaluateParams) -> Result<Artifact, PipelineError> {
    let prompts = read_prompts(workshop, job.inputs("prompts"))?;
    if prompts.is_empty() {
        return Err(PipelineError::input(&job.label, "there are no prompts to answer", "check the `prompts` step"));
    }
    let (rows, marks) = outcomes(workshop, job, params, &prompts)?;
    let bootstrap = Bootstrap { draws: params.bootstrap, seed: workshop.plan.recipe.seed };
    let results = Results {
        schema_version: 1,
        arbiter: params.arbiter.clone(),
        against: params.against.clone(),
        n_prompts: prompts.len(),
        bootstrap,
        variants: compare(job, &rows, params.against.as_deref(), bootstrap)?,
    };
    write(job, scratch, (&rows, &results, &marks))
}

/// Every model's answer to every prompt, graded.
fn outcomes(
    workshop: &Workshop<'_>,
    job: &Job,
    params: &EvaluateParams,
    prompts: &[Prompt],
) -> Result<(Vec<OutcomeRow>, Marks), PipelineError> {
    let models: Vec<&Input> = job.inputs("models").collect();
    let opened = models.iter().map(|input| Voice::of_checkpoint(workshop, job, input, params.dtype));
    let voices = opened.collect::<Result<Vec<_>, _>>()?;
    let cell = |(voice, prompt)| Cell { prompt, voice, sample: 0 };
    let cells: Vec<Cell<'_>> =
        (0..voices.len()).flat_map(|voice| prompts.iter().map(move |prompt| cell((voice, prompt)))).collect();
    let answers = ask(workshop, job, &voices, (&cells, &params.sampling))?;
    let scorer = Scorer::open(workshop, job, &params.arbiter)?;
    let graded: Vec<_> = cells.iter().map(|cell| cell.prompt).zip(&answers).collect();
    let rivals = params.against.as_deref().map_or(Rivals::OfPrompt, Rivals::Against);
    let marks = answering::score((workshop, job), &scorer, (&graded, rivals))?;
    let row = |((cell, answer), score): ((&Cell<'_>, &Completion), &Score)| {
        let (variant, seed) = variant_of(&models[cell.voice].part);
        OutcomeRow {
            variant,
            seed,
            prompt_id: cell.prompt.id.clone(),
            source_id: cell.prompt.source_id.clone(),
            language: cell.prompt.language.clone(),
            task: cell.prompt.task.clone(),
            value: score.value,
            text: answer.text.clone(),
            tokens_out: answer.tokens_out,
        }
    };
    Ok((cells.iter().zip(&answers).zip(&marks.scores).map(row).collect(), marks))
}

/// `reward.seed-2` is seed 2 of the variant `reward`.
pub(super) fn variant_of(part: &str) -> (String, Option<u64>) {
    let (variant, last) = part.rsplit_once('.').unwrap_or(("", part));
    match last.strip_prefix("seed-").and_then(|seed| seed.parse().ok()) {
        Some(seed) => (variant.to_owned(), Some(seed)),
        None => (part.to_owned(), None),
    }
}

fn compare(
    job: &Job,
    rows: &[OutcomeRow],
    against: Option<&str>,
    bootstrap: Bootstrap,
) -> Result<BTreeMap<String, VariantResult>, PipelineError> {
    let variants: BTreeSet<&str> = rows.iter().map(|row| row.variant.as_str()).collect();
    if let Some(missing) = against.filter(|name| !variants.contains(name)) {
        let known = variants.iter().copied().collect::<Vec<_>>().join(", ");
        let what = format!("`against: {missing}` is none of the variants");
        return Err(PipelineError::input(&job.label, what, format!("the variants are {known}")));
    }
    // What one side could not be graded on is left out on both sides.
    let ungraded: BTreeSet<(&str, u64)> = rows
        .iter()
        .filter(|row| row.value.is_none())
        .map(|row| (row.prompt_id.as_str(), row.seed.unwrap_or(0)))
        .collect();
    let grades = |variant: &str| -> Vec<Graded> {
        let own = rows.iter().filter(|row| row.variant == variant);
        own.filter(|row| !ungraded.contains(&(row.prompt_id.as_str(), row.seed.unwrap_or(0))))
            .filter_map(graded)
            .collect()
    };
    let baseline = against.map(&grades);
    let mut results = BTreeMap::new();
    for variant in variants {
        let own = grades(variant);
        let versus = match &baseline {
            Some(baseline) if against != Some(variant) => {
                let remedy = "train every variant with the same seeds";
                let games = play(&own, baseline);
                let games = games.map_err(|error| PipelineError::input(&job.label, error.to_string(), remedy))?;
                Some(win_rates(&games, bootstrap))
            }
            _ => None,
        };
        let n_missing = rows.iter().filter(|row| row.variant == variant && row.value.is_none()).count();
        let tasks = tasks(rows.iter().filter(|row| row.variant == variant), bootstrap);
        let result = VariantResult { accuracy: accuracy(&own, bootstrap), versus, tasks, n_missing };
        results.insert(variant.to_owned(), result);
    }
    Ok(results)
}

fn graded(row: &OutcomeRow) -> Option<Graded> {
    Some(Graded {
        prompt_id: row.prompt_id.clone(),
        source_id: row.source_id.clone(),
        language: row.language.clone(),
        seed: row.seed.unwrap_or(0),
        value: row.value?,
    })
}

fn tasks<'a>(rows: impl Iterator<Item = &'a OutcomeRow>, bootstrap: Bootstrap) -> BTreeMap<String, Accuracy> {
    let mut by_task: BTreeMap<String, Vec<Graded>> = BTreeMap::new();
    for row in rows {
        if let Some((task, grade)) = row.task.clone().zip(graded(row)) {
            by_task.entry(task).or_default().push(grade);
        }
    }
    let over_languages = |(task, grades): (String, Vec<Graded>)| Some((task, accuracy(&grades, bootstrap).macro_mean?));
    by_task.into_iter().filter_map(over_languages).collect()
}

fn write(
    job: &Job,
    scratch: Scratch,
    (rows, results, marks): (&[OutcomeRow], &Results, &Marks),
) -> Result<Artifact, PipelineError> {
    let json = |value: &Results| serde_json::to_vec_pretty(value).map_err(|e| PipelineError::Internal(e.to_string()));
    write_table(&scratch, OUTCOMES, rows)?;
    scratch.write("results.json", &json(results)?)?;
    let lines: String = records(job, results).iter().map(|record| format!("{record}\n")).collect();
    scratch.write("results.jsonl", lines.as_bytes())?;
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "results".into(), ..ManifestDraft::default() };
    draft.counts.insert("answers".into(), rows.len() as u64);
    draft.counts.insert("prompts".into(), results.n_prompts as u64);
    draft.counts.insert("variants".into(), results.variants.len() as u64);
    let n_missing: usize = results.variants.values().map(|variant| variant.n_missing).sum();
    if n_missing > 0 {
        draft.failures.insert("no grade".into(), n_missing as u64);
    }
    marks.write_grounds(&scratch, &mut draft)?;
    Ok(scratch.commit(draft)?)
}

/// One line for each number, with all that it rests on.
fn records(job: &Job, results: &Results) -> Vec<Value> {
    let mut lines = Vec::new();
    for (name, variant) in &results.variants {
        let scopes = variant.accuracy.languages.iter().map(|(l, a)| (l.as_str(), a));
        for (language, accuracy) in scopes.chain(variant.accuracy.macro_mean.iter().map(|a| ("macro", a))) {
            lines.push(json!({
                "metric": "accuracy", "variant": name, "language": language, "value": accuracy.mean.value,
                "interval": accuracy.mean.interval, "higher_is_better": true, "n": accuracy.n_prompts,
                "n_clusters": accuracy.n_clusters, "n_seeds": accuracy.n_seeds, "seed_sd": accuracy.seed_sd,
                "arbiter": results.arbiter, "artifact": job.id,
            }));
        }
        let Some(versus) = &variant.versus else { continue };
        let scopes = versus.languages.iter().map(|(l, w)| (l.as_str(), w));
        for (language, rate) in scopes.chain(versus.macro_mean.iter().map(|w| ("macro", w))) {
            lines.push(json!({
                "metric": "win_minus_loss_points", "variant": name, "against": results.against, "language": language,
                "value": rate.difference_points.value, "interval": rate.difference_points.interval,
                "wins": rate.wins, "ties": rate.ties, "losses": rate.losses,
                "relative_percent": rate.relative_percent.map(|relative| relative.value), "higher_is_better": true,
                "n": rate.n_prompts, "n_clusters": rate.n_clusters, "n_seeds": rate.n_seeds,
                "p_holm": rate.p_holm, "artifact": job.id,
            }));
        }
    }
    lines
}
