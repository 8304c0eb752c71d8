//! Routers: what fitted ones learned, and how strategies that ask few choose beside one that asks everybody.

use cambist_core::{
    head::{HeadKind, LanguageTrial},
    language::Language,
    metrics::{agreement, regret, shares},
    router::{Decision, FittedRouter},
    statistics::mean,
};

use super::{
    material::{AnswerSet, Material, Selection},
    measure::label,
};
use crate::{
    error::PipelineError,
    plan::Job,
    report::{Block, Cell, Column, Direction, Origin, Row, Section, Style, Table, Words},
    summary::reward_based,
    verbs::fit::ROUTER,
};

/// One section over all fitted routers, with how strategies choose; none where no step fitted a router.
pub(super) fn section(material: &Material<'_>) -> Result<Option<Section>, PipelineError> {
    let mut fitted: Vec<(&Job, FittedRouter)> = Vec::new();
    for (job, artifact) in material.of_verb("fit") {
        let read = serde_json::from_slice(&artifact.read(ROUTER)?);
        fitted.push((
            *job,
            read.map_err(|error| PipelineError::Internal(format!("`{ROUTER}` of `{}`: {error}", job.label)))?,
        ));
    }
    if fitted.is_empty() {
        return Ok(None);
    }
    let mut blocks = vec![introduction(&fitted), by_language(&fitted), trials(&fitted)];
    blocks.extend(feedback(&fitted));
    blocks.extend(choices(material));
    Ok(Some(Section { title: "Routers".into(), blocks }))
}

fn introduction(fitted: &[(&Job, FittedRouter)]) -> Block {
    let told = fitted.iter().map(|(job, router)| {
        let (name, n) = (&job.label, router.n_prompts);
        match router.tuned.chosen.head {
            HeadKind::Table => format!(
                "“{name}” learned from {n} prompts, and no head chose better on held-out ones than the table of \
                 mean rewards by a standard error: the table routes."
            ),
            head => format!("“{name}” learned from {n} prompts; its head is {}.", head.name()),
        }
    });
    Block::Paragraph(told.collect::<Vec<_>>().join(" ").into())
}

fn origin(fitted: &[(&Job, FittedRouter)]) -> Origin {
    let n: usize = fitted.iter().map(|(_, router)| router.tuned.overall.n).sum();
    let artifacts = fitted.iter().map(|(job, _)| job.id.to_string()).collect();
    Origin { n: format!("{n} held-out prompts in five folds"), artifacts, ..Origin::default() }
}

/// The best head beside the table in each language.
fn by_language(fitted: &[(&Job, FittedRouter)]) -> Block {
    let mut rows = Vec::new();
    for (job, router) in fitted {
        let name = (job.label.as_str(), router.partial.is_some());
        let all = (None, router.tuned.overall);
        let each = router.tuned.languages.iter().map(|(language, trial)| (Some(language), *trial));
        rows.extend(std::iter::once(all).chain(each).map(|(language, trial)| language_row(name, language, trial)));
    }
    let spreads = |title: &str| Column::numbers(title, "spreads", Style::plain(3));
    let table = Table {
        caption: "Regret of the best head beside that of the table of fixed, on prompts that neither learned from, in \
                  spreads of each language’s rewards. The gain is the difference, its error that over sources; a gain \
                  within two errors of 0 is no reason to leave the table in that language."
            .into(),
        columns: vec![
            Column::words("Router"),
            Column::words("Language"),
            Column::numbers("held out", "prompts", Style::plain(0)),
            spreads("regret").directed(Direction::LowerIsBetter),
            spreads("of the table").directed(Direction::LowerIsBetter),
            spreads("gain").directed(Direction::HigherIsBetter),
            spreads("its error"),
            Column::words("advice"),
        ],
        rows,
    };
    Block::Table { table, origin: origin(fitted) }
}

fn language_row((name, is_partial): (&str, bool), language: Option<&Language>, trial: LanguageTrial) -> Row {
    let level = |regret: f64| {
        let why = "not everybody was asked: the difference alone is known";
        if is_partial { Cell::Missing(why.into()) } else { Cell::Number(regret) }
    };
    let is_sure = trial.gain_se.is_some_and(|se| trial.gain > 2.0 * se);
    let se = trial.gain_se.map_or_else(|| Cell::Missing("one source".into()), Cell::Number);
    Row::new(vec![
        Words::from(name).into(),
        language.map_or_else(|| Words::from("all").into(), |language| label(language).into()),
        Cell::Count(trial.n as u64),
        level(trial.regret),
        level(trial.table_regret),
        Cell::Number(trial.gain),
        se,
        Words::from(if is_sure { "learned" } else { "fixed" }).into(),
    ])
}

/// Every setting that was tried.
fn trials(fitted: &[(&Job, FittedRouter)]) -> Block {
    let mut rows = Vec::new();
    for (job, router) in fitted {
        for trial in &router.tuned.trials {
            let number = |value: Option<f64>| value.map_or_else(|| Cell::Missing("has none".into()), Cell::Number);
            rows.push(Row::new(vec![
                Words::from(job.label.as_str()).into(),
                Cell::Id(trial.head.name().to_owned()),
                number(trial.tau),
                number(trial.penalty),
                number(Some(trial.regret).filter(|_| router.partial.is_none())),
                number(trial.loss),
            ]));
        }
    }
    let table = Table {
        caption: "Every setting that was tried, judged on held-out prompts. Losses compare settings of one head alone."
            .into(),
        columns: vec![
            Column::words("Router"),
            Column::words("head"),
            Column::numbers("temperature", "spreads", Style::plain(3)),
            Column::numbers("penalty", "", Style::plain(1)),
            Column::numbers("regret", "spreads", Style::plain(4)).directed(Direction::LowerIsBetter),
            Column::numbers("loss", "", Style::plain(4)).directed(Direction::LowerIsBetter),
        ],
        rows,
    };
    Block::Table { table, origin: origin(fitted) }
}

/// What routers rest on that learned from answers of those who were asked; none where everybody was.
fn feedback(fitted: &[(&Job, FittedRouter)]) -> Option<Block> {
    let mut rows = Vec::new();
    for (job, partial) in fitted.iter().filter_map(|(job, router)| Some((job, router.partial.as_ref()?))) {
        for (teacher, own) in &partial.teachers {
            rows.push(Row::new(vec![
                Words::from(job.label.as_str()).into(),
                Words::from(teacher.as_str()).into(),
                Cell::Count(own.n_asked as u64),
                Cell::Number(own.effective),
                Cell::Number(own.weight),
                Cell::Number(partial.max_weight),
                Cell::Count(partial.n_clipped as u64),
            ]));
        }
    }
    let table = Table {
        caption: "Routers that learned from answers of which only some were asked for, each weighed by one over the \
                  probability of that. Effective: as many equally likely answers would vary as much. Weight: what \
                  the answers stand for, as a share of the prompts, which is 1 give or take chance where the \
                  probabilities are right."
            .into(),
        columns: vec![
            Column::words("Router"),
            Column::words("teacher"),
            Column::numbers("asked", "answers", Style::plain(0)),
            Column::numbers("effective", "answers", Style::plain(1)),
            Column::numbers("weight", "", Style::plain(2)),
            Column::numbers("largest weight", "", Style::plain(0)),
            Column::numbers("cut to it", "answers", Style::plain(0)),
        ],
        rows,
    };
    (!table.rows.is_empty()).then(|| Block::Table { table, origin: origin(fitted) })
}

/// How strategies choose on the answers that they share.
fn choices(material: &Material<'_>) -> Vec<Block> {
    let selected = material.answers.iter().filter_map(|answers| Some((answers, answers.selection.as_ref()?)));
    selected.map(|(answers, selection)| choices_of(material, answers, selection)).collect()
}

fn choices_of(material: &Material<'_>, answers: &AnswerSet, selection: &Selection) -> Block {
    let reward_based = reward_based(material.recipe);
    let best = selection.decisions.iter().find(|(name, (is_own, _))| !is_own && reward_based.contains(&name.as_str()));
    let shared = selection.decisions.iter().filter(|(_, (is_own, _))| !is_own);
    let row = |(name, (_, decisions)): (&String, &(bool, Vec<Decision>))| {
        let against_best = best.and_then(|(_, (_, of_best))| agreement(decisions, of_best)?.kappa);
        let relative = regret(&answers.matrix, decisions).macro_mean.and_then(|regret| regret.relative);
        let effective: Vec<f64> = shares(decisions).values().filter_map(|row| row.effective_teachers).collect();
        let or_missing = |value: Option<f64>, why: &str| value.map_or_else(|| Cell::Missing(why.into()), Cell::Number);
        Row::new(vec![
            Words::from(name.as_str()).into(),
            or_missing(relative, "all rewards are equal in a language"),
            or_missing(against_best, "no strategy asks everybody, or all choose alike"),
            or_missing(mean(&effective), "nothing was chosen"),
        ])
    };
    let table = Table {
        caption:
            "How strategies choose on the same answers: regret as share of what a uniform choice gives up (mean over \
                  languages; 0 is the best of all answers, 1 a lot), agreement with the strategy that asks everybody \
                  (Cohen’s kappa), and the number of equally used teachers that would be as mixed in a language \
                  (exponential of the entropy, mean over languages)."
                .into(),
        columns: vec![
            Column::words("Strategy"),
            Column::numbers("relative regret", "", Style::plain(3)).directed(Direction::LowerIsBetter),
            Column::numbers("kappa", "", Style::plain(3)).directed(Direction::HigherIsBetter),
            Column::numbers("effective teachers", "", Style::plain(2)),
        ],
        rows: shared.map(row).collect(),
    };
    let n = format!("{} prompts", answers.matrix.rows().len());
    Block::Table { table, origin: Origin { n, artifacts: vec![answers.artifact.clone()], ..Origin::default() } }
}
