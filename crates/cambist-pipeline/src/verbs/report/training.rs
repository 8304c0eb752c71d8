//! Training: losses over steps, and what each model was made of.

use std::collections::{BTreeMap, BTreeSet};

use cambist_io::store::Artifact;
use serde::Deserialize;

use super::{material::Material, rewards, verdict::counted};
use crate::{
    error::PipelineError,
    plan::Job,
    recipe::Action,
    report::{
        Axis, Block, Cell, Column, Curve, Direction, Line, Origin, Plot, Row, Section, Style, Table, Words,
        number::count,
    },
    verbs::train::LOG,
};

/// Points of one drawn line: steps are averaged into this many bins.
const N_BINS: usize = 40;

/// One line of a training log, as far as it is drawn: a step, or a measurement on held-out rows.
#[derive(Deserialize)]
pub(super) struct LogLine {
    pub(super) step: u64,
    pub(super) loss: Option<f64>,
    #[serde(default)]
    loss_tokens: u64,
    #[serde(flatten)]
    pub(super) means: Means,
    pub(super) held_out: Option<HeldOutLine>,
}

/// What is measured of each language beside its loss; empty but for preference objectives.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Means {
    pub(super) metrics_per_language: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    pub(super) rows_per_language: BTreeMap<String, usize>,
}

/// What was measured on held-out rows.
#[derive(Deserialize)]
pub(super) struct HeldOutLine {
    rows: usize,
    loss: Option<f64>,
    loss_per_language: BTreeMap<String, Option<f64>>,
    #[serde(flatten)]
    pub(super) means: Means,
    #[serde(default)]
    pub(super) standard_errors_per_language: BTreeMap<String, BTreeMap<String, Option<f64>>>,
}

/// A checkpoint with its log.
pub(super) struct Trained<'a> {
    pub(super) job: &'a Job,
    pub(super) artifact: &'a Artifact,
    pub(super) log: Vec<LogLine>,
}

/// One section over all `train` steps; none without any.
pub(super) fn section(material: &Material<'_>) -> Result<Option<Section>, PipelineError> {
    let read = material.of_verb("train").map(|(job, artifact)| Ok(Trained { job, artifact, log: read_log(artifact)? }));
    let trained = read.collect::<Result<Vec<Trained<'_>>, PipelineError>>()?;
    if trained.is_empty() {
        return Ok(None);
    }
    let is_student =
        |one: &&Trained<'_>| material.comparisons.iter().any(|c| c.models.contains(&one.job.id.to_string()));
    let (students, others): (Vec<&Trained<'_>>, Vec<&Trained<'_>>) = trained.iter().partition(is_student);
    let mut blocks = vec![Block::Paragraph(
        "Losses are those of training itself, on the rows that a model learns from, unless a line says that it is of \
         held-out rows. Each point of training is the mean over a stretch of steps, each step weighing by its tokens."
            .into(),
    )];
    blocks
        .extend(figure(&by_objective(material, &others), "Loss of the models that students start from or learn from."));
    let of_students = by_objective(material, &students);
    blocks.extend(figure(&of_students, "Loss of the students, mean over the seeds of a strategy."));
    blocks.extend(trained.iter().filter_map(held_out_figure));
    blocks.extend(rewards::table(&trained));
    blocks.push(table(material, &trained));
    Ok(Some(Section { title: "Training".into(), blocks }))
}

fn read_log(artifact: &Artifact) -> Result<Vec<LogLine>, PipelineError> {
    let bytes = artifact.read(LOG)?;
    let line = |line: &[u8]| serde_json::from_slice(line).map_err(|e| PipelineError::Internal(format!("{LOG}: {e}")));
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(line).collect()
}

/// Losses of different objectives do not share an axis.
fn by_objective<'t>(material: &Material<'_>, trained: &[&'t Trained<'t>]) -> Vec<(&'static str, Vec<&'t Trained<'t>>)> {
    let mut groups: BTreeMap<&'static str, Vec<&Trained<'_>>> = BTreeMap::new();
    for one in trained {
        groups.entry(objective(material, one.job)).or_default().push(one);
    }
    groups.into_iter().collect()
}

fn objective(material: &Material<'_>, job: &Job) -> &'static str {
    match &material.workshop.plan.step_of(job).action {
        Action::Train(params) => params.objective.name(),
        _ => "",
    }
}

fn figure(groups: &[(&str, Vec<&Trained<'_>>)], caption: &str) -> Vec<Block> {
    // A model that was trained elsewhere may have no log.
    let is_drawn = |trained: &[&Trained<'_>]| trained.iter().any(|one| !one.log.is_empty());
    let drawn = groups.iter().filter(|(_, trained)| is_drawn(trained)).map(|(objective, trained)| {
        let steps: BTreeSet<usize> = trained.iter().map(|one| one.job.step).collect();
        let is_one_step = steps.len() == 1;
        // Runs of one step and variant are one line.
        let mut lines: BTreeMap<String, Vec<&Trained<'_>>> = BTreeMap::new();
        for one in trained.iter().filter(|one| !one.log.is_empty()) {
            lines.entry(line_name(one.job, is_one_step)).or_default().push(one);
        }
        let line = |(name, runs): (String, Vec<&Trained<'_>>)| Line { name, points: points(&runs) };
        let curve = Curve {
            x: Axis::linear("step", Direction::Neutral),
            y: Axis::linear(loss_axis(objective), Direction::LowerIsBetter),
            style: Style::plain(3),
            lines: lines.into_iter().map(line).collect(),
        };
        let n_tokens: u64 = trained.iter().flat_map(|one| &one.log).map(|line| line.loss_tokens).sum();
        let mut seeds: Vec<u64> = trained.iter().filter_map(|one| one.job.run.as_ref()?.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let origin = Origin {
            n: format!("{} tokens of loss in {}", count(n_tokens), counted(trained.len(), "run")),
            seeds,
            artifacts: trained.iter().map(|one| one.job.id.to_string()).collect(),
            ..Origin::default()
        };
        Block::Figure { plot: Plot::Curve(curve), caption: format!("{caption} Objective: {objective}."), origin }
    });
    drawn.collect()
}

/// What a loss is in: preference losses are no likelihoods.
fn loss_axis(objective: &str) -> &'static str {
    match objective {
        "pretrain" | "sft" => "training loss, nats per token",
        _ => "training loss",
    }
}

/// Held-out losses of one run, a line for each language and one for all; none where nothing was held out.
fn held_out_figure(one: &Trained<'_>) -> Option<Block> {
    let measured: Vec<(u64, &HeldOutLine)> =
        one.log.iter().filter_map(|line| Some((line.step, line.held_out.as_ref()?))).collect();
    let n_rows = measured.first()?.1.rows;
    let mut lines: BTreeMap<&str, Vec<[f64; 2]>> = BTreeMap::new();
    for (step, held_out) in &measured {
        let languages = held_out.loss_per_language.iter().map(|(language, loss)| (language.as_str(), *loss));
        for (name, loss) in languages.chain([("all", held_out.loss)]) {
            lines.entry(name).or_default().extend(loss.map(|loss| [*step as f64, loss]));
        }
    }
    let curve = Curve {
        x: Axis::linear("step", Direction::Neutral),
        y: Axis::linear("held-out loss", Direction::LowerIsBetter),
        style: Style::plain(3),
        lines: lines.into_iter().map(|(name, points)| Line { name: name.to_owned(), points }).collect(),
    };
    let caption = format!("Held-out loss of `{}` by language: rows that it never learned from.", one.job.label);
    let origin = Origin {
        n: counted(n_rows, "held-out row"),
        seeds: one.job.run.as_ref().and_then(|run| run.seed).into_iter().collect(),
        artifacts: vec![one.job.id.to_string()],
        ..Origin::default()
    };
    Some(Block::Figure { plot: Plot::Curve(curve), caption, origin })
}

/// The variant where all lines are of one step, or else the step and the variant.
fn line_name(job: &Job, is_one_step: bool) -> String {
    let step = job.label.split('.').next().unwrap_or_default();
    match job.run.as_ref().and_then(|run| run.variant.as_deref()) {
        Some(variant) if is_one_step => variant.to_owned(),
        Some(variant) => format!("{step}.{variant}"),
        None => step.to_owned(),
    }
}

/// The mean loss over runs in each bin of steps, placed at the bin's last step.
fn points(runs: &[&Trained<'_>]) -> Vec<[f64; 2]> {
    let n_steps = runs.iter().flat_map(|run| &run.log).map(|line| line.step).max().unwrap_or(0);
    let width = n_steps.div_ceil(N_BINS as u64).max(1);
    let mut bins: BTreeMap<u64, (f64, u64)> = BTreeMap::new();
    for line in runs.iter().flat_map(|run| &run.log) {
        if let Some(loss) = line.loss {
            let bin = bins.entry(line.step.saturating_sub(1) / width).or_default();
            // Where nobody counted tokens, steps weigh alike.
            let weight = line.loss_tokens.max(1);
            bin.0 += loss * weight as f64;
            bin.1 += weight;
        }
    }
    let filled = bins.into_iter().filter(|(_, (_, n_tokens))| *n_tokens > 0);
    filled.map(|(bin, (sum, n))| [((bin + 1) * width).min(n_steps) as f64, sum / n as f64]).collect()
}

fn table(material: &Material<'_>, trained: &[Trained<'_>]) -> Block {
    let row = |one: &Trained<'_>| {
        let counts = &one.artifact.manifest().counts;
        let number = |what: &str| counts.get(what).map_or(Cell::Missing("not counted".into()), |n| Cell::Count(*n));
        let points = points(&[one]);
        let loss =
            |at: Option<&[f64; 2]>| at.map_or(Cell::Missing("no finite loss".into()), |point| Cell::Number(point[1]));
        Row::new(vec![
            Words::from(one.job.label.as_str()).into(),
            Words::from(objective(material, one.job)).into(),
            number("parameters"),
            number("rows"),
            number("steps"),
            number("tokens"),
            loss(points.first()),
            loss(points.last()),
            Cell::Id(one.job.id.to_string()),
        ])
    };
    let whole = |title: &str| Column::numbers(title, "", Style::plain(0));
    let is_likelihood = |one: &Trained<'_>| matches!(objective(material, one.job), "pretrain" | "sft" | "");
    let unit = if trained.iter().all(is_likelihood) { "nats" } else { "" };
    let loss = |title: &str| Column::numbers(title, unit, Style::plain(3)).directed(Direction::LowerIsBetter);
    let table = Table {
        caption: "Every model that was trained, with its loss over the first and the last stretch of steps.".into(),
        columns: vec![
            Column::words("Model"),
            Column::words("objective"),
            whole("parameters"),
            whole("rows"),
            whole("steps"),
            whole("tokens"),
            loss("first loss"),
            loss("last loss"),
            Column::words("artifact"),
        ],
        rows: trained.iter().map(row).collect(),
    };
    let origin = Origin { n: format!("{} models", trained.len()), ..Origin::default() };
    Block::Table { table, origin }
}
