//! How many questions to its fusor a step will ask, before it asks any.

use std::collections::{BTreeMap, HashSet};

use cambist_core::fusion::Treatment;

use super::{Fusing, Standing, asking, wording};
use crate::{
    error::PipelineError,
    plan::Job,
    recipe::{Action, fusion::FuseParams},
    run::Workshop,
    verbs::{
        forecast::{Field, Forecast, each_unfinished_field, is_ready},
        generate::Count,
    },
};

/// Counts the questions that the step will ask its fusor, where that is a server: exactly where all answers are there,
/// and at most one for each prompt where they are counted and not there yet. What cannot be read is asked for once more,
/// which nobody can foresee.
pub(crate) fn count_fusions(workshop: &Workshop<'_>, job: &Job) -> Result<Option<Forecast>, PipelineError> {
    let Action::Fuse(params) = &workshop.plan.step_of(job).action else { return Ok(None) };
    let is_served = workshop.plan.recipe.pool.iter().any(|m| m.id == params.fusor && m.endpoint.is_some());
    if !is_served {
        return Ok(None);
    }
    let name = params.fusor.clone();
    let mut forecast = Forecast { name, identity: String::new(), counts: BTreeMap::new(), is_at_most: false };
    if is_ready(workshop, job)? {
        count_ready((workshop, job, params), &mut forecast)?;
        return Ok(Some(forecast));
    }
    forecast.is_at_most = true;
    let is_counted = each_unfinished_field(workshop, job, &mut |field| {
        count_field(params, &field, &mut forecast);
        Ok(())
    })?;
    Ok(is_counted.then_some(forecast))
}

fn count_ready(
    (workshop, job, params): (&Workshop<'_>, &Job, &FuseParams),
    forecast: &mut Forecast,
) -> Result<(), PipelineError> {
    let settled = workshop.ledger().settled_keys()?;
    let mut seen = HashSet::new();
    each_standing((workshop, job, params), &mut |fusing, standing| {
        let Some(voice) = fusing.voices.first().filter(|_| standing.is_fused) else { return Ok(()) };
        let asked = asking::question(fusing, standing, false);
        let Some(question) = voice.question(&asked, (&params.sampling, 0))? else { return Ok(()) };
        if seen.insert(question.key.clone()) {
            let is_left = !settled.contains(&question.key);
            let n_bytes = asked.instruction().len();
            add(forecast.counts.entry(asked.language.clone()).or_default(), is_left, n_bytes);
        }
        Ok(())
    })
}

/// Shows where each prompt of a step stands whose inputs are there, before anybody is asked.
fn each_standing(
    (workshop, job, params): (&Workshop<'_>, &Job, &FuseParams),
    show: &mut dyn FnMut(&Fusing<'_>, &Standing<'_>) -> Result<(), PipelineError>,
) -> Result<(), PipelineError> {
    let fusing = Fusing::open(workshop, job, params)?;
    let answers = fusing.answers()?;
    let pool = fusing.pool(&answers)?;
    fusing.begin(answers.rows(), &pool).iter().try_for_each(|standing| show(&fusing, standing))
}

/// Shows the candidates of each prompt that the step's arbiter will score, with the fused answer as one more that is not
/// there yet; for a step whose inputs are there.
pub(in crate::verbs) fn each_scored(
    (workshop, job, params): (&Workshop<'_>, &Job, &FuseParams),
    show: &mut dyn FnMut(Field<'_>),
) -> Result<(), PipelineError> {
    each_standing((workshop, job, params), &mut |_, standing| {
        let known = standing.ranked.iter().map(|candidate| candidate.completion.clone()).collect();
        let max_new_tokens = params.sampling.max_new_tokens;
        show(Field { prompt: &standing.row.prompt, known, n_unknown: usize::from(standing.is_fused), max_new_tokens });
        Ok(())
    })
}

/// One question at most about a prompt whose answers are not all there.
fn count_field(params: &FuseParams, field: &Field<'_>, forecast: &mut Forecast) {
    let n_answers = field.known.len() + field.n_unknown;
    if n_answers < 2 || params.treatment(field.prompt.task.as_deref()) == Treatment::Best {
        return;
    }
    let n_shown = n_answers.min(params.max_candidates) as u64;
    let n_known_bytes: u64 = field.known.iter().map(|answer| answer.text.len() as u64).sum();
    let n_answer_bytes =
        (n_known_bytes + field.n_unknown as u64 * field.n_unknown_bytes()) * n_shown / n_answers as u64;
    let n_own_bytes = wording::fill(params.template.as_deref(), field.prompt, &[]).len();
    let count = forecast.counts.entry(field.prompt.language.clone()).or_default();
    add(count, true, n_own_bytes + n_answer_bytes as usize);
}

fn add(count: &mut Count, is_left: bool, n_bytes: usize) {
    count.total += 1;
    count.left += u64::from(is_left);
    count.bytes_left += if is_left { n_bytes as u64 } else { 0 };
}
