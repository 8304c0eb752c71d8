//! `frontier`: how much of the gain of asking everybody cheaper strategies keep, and which teachers are worth having.
//!
//! Nobody is asked: strategies are fitted on some sources and replayed on the recorded answers to the others.

use std::collections::HashMap;

use cambist_core::{
    advice::{Advice, AdviceOptions, advise},
    candidate::Matrix,
    features::{FeatureSource, FeatureVector, Hashed},
    frontier::{
        Budgeted, Everyone, FixedByLanguage, FoldPlays, Frontier, FrontierOptions, Learned, Lot, Oracle, Played,
        SingleBest, Strategist, folds, frontier, join_folds, play_fold,
    },
    head::TuneOptions,
    metrics::Bootstrap,
    outline::Outline,
    reward_table::RewardTable,
    search::{Correlation, Goal, Prices, tune},
};
use cambist_io::store::{Artifact, ManifestDraft, Scratch};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Work,
    answers::{Answers, everybody_was_asked, pool_of},
    prompts::read_prompts,
};
use crate::{error::PipelineError, plan::Job, recipe::routing::FrontierParams, run::Workshop};

/// The file that a `frontier` artifact holds.
pub(crate) const FRONTIER: &str = "frontier.json";
/// The version of its content. 2: `routers` of each part, `prices`.
const SCHEMA: u32 = 2;
/// Fewer sources than this say nothing, however they are cut.
const MIN_SOURCES: usize = 30;

/// What a `frontier` artifact holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FrontierFile {
    pub schema_version: u32,
    /// The share of the gain that was to be kept.
    pub target: f64,
    /// Into how many parts the sources were cut.
    pub folds: usize,
    /// Prompts to which nobody gave a valid answer with a reward, or, where value is measured by another arbiter, whose
    /// answers that one did not score throughout; they are in no figure.
    pub n_without_reward: usize,
    pub frontier: Frontier,
    /// What reward costs in each language to keep the target, by all prompts; none where they are too few to search by.
    pub prices: Option<Prices>,
    pub advice: Advice,
}

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &FrontierParams) -> Result<Artifact, PipelineError> {
    everybody_was_asked(workshop, job, "from")?;
    let Rewards { table, features, n_prompts } = Rewards::read(workshop, job, params)?;
    check(job, &table, params)?;
    let seed = workshop.plan.recipe.seed;
    let options = TuneOptions { seed, ..TuneOptions::default() };
    let learned = Learned::new(features, Hashed::default().width(), options);
    let played = play(workshop, &table, (params, learned))?;
    let bootstrap = Bootstrap { draws: params.bootstrap, seed };
    let options = FrontierOptions { bootstrap, ..FrontierOptions::default() };
    let file = FrontierFile {
        schema_version: SCHEMA,
        target: params.target,
        folds: params.folds,
        n_without_reward: n_prompts - table.prompts().len(),
        frontier: frontier(&table, &played, &options),
        prices: prices(&table, params.target),
        advice: advise(&table, &AdviceOptions { target: params.target, folds: params.folds, bootstrap }),
    };
    write(job, scratch, &file)
}

/// What a budgeted router would pay for reward if all these prompts were its calibration.
fn prices(table: &RewardTable, target: f64) -> Option<Prices> {
    let every: Vec<usize> = (0..table.prompts().len()).collect();
    let tuned = tune(table, &every, (Goal::Target(target), Correlation::Shared)).ok()?;
    Some(tuned.prices(table.languages()))
}

fn write(job: &Job, scratch: Scratch, file: &FrontierFile) -> Result<Artifact, PipelineError> {
    let text = serde_json::to_vec_pretty(file).map_err(|error| PipelineError::Internal(error.to_string()))?;
    scratch.write(FRONTIER, &text)?;
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "frontier".into(), ..ManifestDraft::default() };
    let all = file.frontier.all.as_ref();
    draft.counts.insert("prompts".into(), all.map_or(0, |part| part.n) as u64);
    draft.counts.insert("strategies".into(), all.map_or(0, |part| part.points.len()) as u64);
    if file.n_without_reward > 0 {
        draft.failures.insert("no valid answer with a reward".into(), file.n_without_reward as u64);
    }
    Ok(scratch.commit(draft)?)
}

/// What strategies are fitted and played on.
struct Rewards {
    table: RewardTable,
    /// What each prompt of the table tells.
    features: Vec<FeatureVector>,
    /// How many prompts there are in all.
    n_prompts: usize,
}

impl Rewards {
    fn read(workshop: &Workshop<'_>, job: &Job, params: &FrontierParams) -> Result<Self, PipelineError> {
        let matrix = |scores: &str| {
            let answers = Answers {
                prompts: read_prompts(workshop, job.inputs("prompts"))?,
                completions: job.inputs("from").collect(),
                scores: job.inputs(scores).collect(),
                safety: Vec::new(),
                gates: &params.gates,
            };
            answers.matrix(workshop, job)
        };
        let table_of = |matrix: &Matrix| {
            let outline = Outline::of(matrix);
            let pool = pool_of(&workshop.plan.recipe, &outline, &params.eligibility)?;
            Ok::<RewardTable, PipelineError>(RewardTable::of(&outline, &pool))
        };
        let own = matrix("scores")?;
        let mut table = table_of(&own)?;
        if params.value_scores.is_some() {
            table = table.valued_by(&table_of(&matrix("value_scores")?)?);
        }
        Ok(Self { features: features_of(&table, &own), table, n_prompts: own.rows().len() })
    }
}

fn features_of(table: &RewardTable, matrix: &Matrix) -> Vec<FeatureVector> {
    let rows: HashMap<&str, usize> = matrix.rows().iter().zip(0..).map(|(r, at)| (r.prompt.id.as_str(), at)).collect();
    let source = Hashed::default();
    let asked = |id: &str| Some(&matrix.rows()[*rows.get(id)?].prompt);
    let read = table.prompts().par_iter().map_init(
        || source.reader(),
        |reader, prompt| asked(&prompt.id).map(|prompt| reader.read(prompt).clone()).unwrap_or_default(),
    );
    read.collect()
}

/// Refuses what nothing can be learned from.
fn check(job: &Job, table: &RewardTable, params: &FrontierParams) -> Result<(), PipelineError> {
    let fault = |what: String, remedy: &str| Err(PipelineError::input(&job.label, what, remedy));
    let needed = MIN_SOURCES.max(4 * params.folds);
    match (table.teachers(), table.n_sources()) {
        (_, 0) => fault(
            "no prompt has a valid answer with a reward".into(),
            "give the `generate` step an arbiter, or this step `scores`; look at the gates with `cambist view`",
        ),
        ([] | [_], _) => fault(
            format!("only {} answered, so there is nothing to choose between", named(table.teachers())),
            "record answers of at least two teachers, and check that their licences and languages let them be asked",
        ),
        (_, n) if n < needed => fault(
            format!("{n} sources have a valid answer with a reward, and {} folds take at least {needed}", params.folds),
            "score more prompts, or cut them into fewer folds",
        ),
        _ => Ok(()),
    }
}

fn named(teachers: &[String]) -> String {
    teachers.first().map_or("nobody".to_owned(), |teacher| format!("`{teacher}`"))
}

/// Plays every strategy on every fold, several at once.
fn play(
    workshop: &Workshop<'_>,
    table: &RewardTable,
    (params, learned): (&FrontierParams, Learned),
) -> Result<Vec<Played>, PipelineError> {
    let strategists = strategists(params, learned);
    let folds = folds(table, params.folds, workshop.plan.recipe.seed);
    let jobs: Vec<(usize, usize)> =
        (0..strategists.len()).flat_map(|at| (0..params.folds).map(move |fold| (at, fold))).collect();
    let parts: Vec<FoldPlays> = jobs
        .par_iter()
        .map(|(at, fold)| {
            workshop.checkpoint()?;
            Ok(play_fold(strategists[*at].as_ref(), table, (&folds, *fold)))
        })
        .collect::<Result<_, PipelineError>>()?;
    let mut parts = parts.into_iter();
    let mut played = Vec::new();
    for strategist in &strategists {
        let own = parts.by_ref().take(params.folds).collect();
        played.extend(join_folds(strategist.names(), table.prompts().len(), own));
    }
    Ok(played)
}

fn strategists(params: &FrontierParams, learned: Learned) -> Vec<Box<dyn Strategist>> {
    let budgeted = |correlation| Budgeted { goal: Goal::Target(params.target), correlation };
    vec![
        Box::new(SingleBest),
        Box::new(FixedByLanguage),
        Box::new(Lot),
        Box::new(learned),
        Box::new(budgeted(Correlation::None)),
        Box::new(budgeted(Correlation::Shared)),
        Box::new(Everyone),
        Box::new(Oracle),
    ]
}
