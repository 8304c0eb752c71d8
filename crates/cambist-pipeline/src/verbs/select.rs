//! `select`: replays every strategy on the recorded answers, cuts the sets to the same prompts, writes them.

mod card;
mod datasets;
pub(super) mod shards;
pub(super) mod table;

use std::{collections::BTreeMap, num::NonZeroUsize};

use cambist_core::{
    align::align,
    candidate::Matrix,
    pairs::make_pairs,
    pool::Pool,
    reward::Scales,
    router::{Decision, StrategyCost, replay},
};
use cambist_io::store::{Artifact, ManifestDraft};

use self::{datasets::Sets, table::tabulate};
use super::{
    Work,
    answers::{Answers, pool_of, with_translations},
    prompts::read_prompts,
    routers,
};
use crate::{error::PipelineError, plan::Job, recipe::params::SelectParams, run::Workshop};

/// One strategy on the answers that it routes over.
struct Played {
    /// `single:aya`, where the recipe says `single`.
    strategy: String,
    /// The answers under its own `from`; none when it routes over the step's.
    own: Option<Matrix>,
    decisions: Vec<Decision>,
    cost: StrategyCost,
}

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &SelectParams) -> Result<Artifact, PipelineError> {
    let recipe = &workshop.plan.recipe;
    let matrix = matrix(workshop, job, params, "from")?;
    if matrix.rows().is_empty() {
        return Err(PipelineError::input(&job.label, "there are no prompts to select for", "check the `prompts` step"));
    }
    let pool = pool_of(recipe, &matrix, &params.eligibility)?;
    let mut played = BTreeMap::new();
    for (name, strategy) in &params.strategies {
        workshop.checkpoint()?;
        let router = routers::build(workshop, job, (&strategy.router, &params.gates), &pool)?;
        let own =
            strategy.from.as_ref().map(|_| self::matrix(workshop, job, params, &format!("from {name}"))).transpose()?;
        let own_pool = own.as_ref().map(|own| with_translations(pool.clone(), recipe, own)).transpose()?;
        let (answers, asked) = (own.as_ref().unwrap_or(&matrix), own_pool.as_ref().unwrap_or(&pool));
        let replayed = replay(router.as_ref(), answers, asked);
        let replayed = replayed
            .map_err(|e| PipelineError::input(&job.label, e.to_string(), "or give the strategy its own `from`"))?;
        let strategy = router.strategy();
        played.insert(name.clone(), Played { strategy, own, decisions: replayed.decisions, cost: replayed.cost });
    }
    write((workshop, job, scratch), params, &Decided { matrix, pool, played })
}

struct Decided {
    matrix: Matrix,
    pool: Pool,
    played: BTreeMap<String, Played>,
}

/// The answers under `role`, judged by the step's gates and scored.
pub(super) fn matrix(
    workshop: &Workshop<'_>,
    job: &Job,
    params: &SelectParams,
    role: &str,
) -> Result<Matrix, PipelineError> {
    let scores = role.replacen("from", "scores", 1);
    let safety = role.replacen("from", "safety", 1);
    let answers = Answers {
        prompts: read_prompts(workshop, job.inputs("prompts"))?,
        completions: job.inputs(role).collect(),
        scores: job.inputs(&scores).next(),
        safety: job.inputs(&safety).next(),
        gates: &params.gates,
    };
    answers.matrix(workshop, job)
}

fn write(
    (workshop, job, scratch): Work<'_>,
    params: &SelectParams,
    decided: &Decided,
) -> Result<Artifact, PipelineError> {
    let Decided { matrix, pool, played } = decided;
    let decisions: BTreeMap<String, Vec<Decision>> =
        played.iter().map(|(name, strategy)| (name.clone(), strategy.decisions.clone())).collect();
    let aligned = align(&decisions, params.align);
    let scales = Scales::fit(matrix);
    let seed = workshop.plan.recipe.seed;
    let pairs = params.pairs.as_ref().map(|options| make_pairs(matrix, pool, &scales, options, seed));
    let sets = Sets {
        recipe: &workshop.plan.recipe,
        matrix,
        aligned: &aligned,
        played,
        scratch: &scratch,
        shard_rows: params.shard_rows.map(NonZeroUsize::get),
    };
    sets.candidates()?;
    sets.decisions()?;
    let mut files = sets.sft()?;
    sets.dropped(pairs.as_ref())?;
    if let Some(pairs) = &pairs {
        files.push(sets.pairs(pairs)?);
    }
    sets.card(params, (pairs.as_ref(), &files))?;
    let table = tabulate(decided, &aligned, pairs.as_ref());
    scratch.write("strategies.json", &table.to_json()?)?;
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "datasets".into(), ..ManifestDraft::default() };
    draft.counts.insert("prompts".into(), matrix.rows().len() as u64);
    draft.counts.insert("strategies".into(), played.len() as u64);
    for (name, strategy) in &aligned {
        draft.counts.insert(format!("{name} rows"), strategy.prompt_ids.len() as u64);
        for dropped in &strategy.dropped {
            *draft.failures.entry(format!("{name}: {}", dropped.reason)).or_default() += 1;
        }
    }
    if let Some(pairs) = &pairs {
        draft.counts.insert("pairs".into(), pairs.pairs.len() as u64);
    }
    Ok(scratch.commit(draft)?)
}
