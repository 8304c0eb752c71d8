//! How many calls steps will make to arbiters, before they make any; translators and fusors are counted by their verbs.
//!
//! What is not there yet is counted as if it came whole: every answer given, no two alike. So a count is the most that
//! can be asked, and exact where all answers are there.

use std::collections::{BTreeMap, HashMap};

use cambist_core::{
    completion::{Completion, FinishReason},
    digest::Digest,
    language::Language,
    prompt::Prompt,
};
use cambist_io::ledger::KeySet;

use super::{
    contest::{Contest, Showing},
    evaluate::variant_of,
    fuse,
    generate::{self, Count},
    prompts::read_prompts,
    remote_arbiter::RemoteArbiter,
    scoring::{Candidate, candidate_digest},
    tables::{COMPLETIONS, read_table},
};
use crate::{
    error::PipelineError,
    plan::{Input, Job},
    recipe::{
        Action, Compare,
        fusion::FuseParams,
        params::{EvaluateParams, ScoreParams},
    },
    run::Workshop,
};

/// Bytes of text to a token, where nothing was counted.
pub(crate) const BYTES_PER_TOKEN: f64 = 3.5;

/// Bytes of an answer that is not there yet, for each token that it may have at most: half of them, of some bytes each.
const BYTES_PER_TOKEN_ALLOWED: f64 = 1.75;

/// The calls that one step will make to one server.
pub(crate) struct Forecast {
    /// Its name in the recipe.
    pub name: String,
    /// What names it in the ledger.
    pub identity: String,
    /// By the language of the prompts.
    pub counts: BTreeMap<Language, Count>,
    /// Whether some answers are not there yet, so that there may be fewer calls.
    pub is_at_most: bool,
}

/// The answers to one prompt that compete.
pub(super) struct Field<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// Answers that are there.
    pub known: Vec<Completion>,
    /// How many are not there yet.
    pub n_unknown: usize,
    /// The most new tokens of those.
    pub max_new_tokens: usize,
}

/// Counts the calls to the arbiters of a step; nothing where none is a server, or nobody can count them yet.
pub(crate) fn count_scores(workshop: &Workshop<'_>, job: &Job) -> Result<Vec<Forecast>, PipelineError> {
    let recipe = &workshop.plan.recipe;
    let action = &workshop.plan.step_of(job).action;
    let id = match action {
        Action::Generate(params) => params.arbiter.as_deref(),
        Action::Fuse(params) => params.arbiter.as_deref(),
        Action::Score(params) => Some(params.arbiter.as_str()),
        Action::Evaluate(params) => Some(params.arbiter.as_str()),
        _ => None,
    };
    let members = id.map(|id| recipe.members_of(id)).unwrap_or_default();
    let opened = members.into_iter().map(|member| RemoteArbiter::open(member, workshop.plan));
    let judges: Vec<RemoteArbiter> = opened.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if judges.is_empty() {
        return Ok(Vec::new());
    }
    let mut counting = Counting::new(workshop, &judges)?;
    let is_counted = match action {
        Action::Generate(_) => of_generate(workshop, job, &mut counting)?,
        Action::Fuse(params) => of_fuse(workshop, (job, params), &mut counting)?,
        Action::Score(params) => of_score(workshop, (job, params), &mut counting)?,
        Action::Evaluate(params) => of_evaluate(workshop, (job, params), &mut counting)?,
        _ => false,
    };
    Ok(if is_counted { counting.forecasts } else { Vec::new() })
}

/// Whether everything that a job reads is there.
pub(super) fn is_ready(workshop: &Workshop<'_>, job: &Job) -> Result<bool, PipelineError> {
    let is_there = |input: &Input| Ok::<_, PipelineError>(workshop.store.find(&input.id)?.is_some());
    job.inputs.iter().try_fold(true, |ready, input| Ok(ready && is_there(input)?))
}

fn of_generate(workshop: &Workshop<'_>, job: &Job, counting: &mut Counting<'_>) -> Result<bool, PipelineError> {
    let Action::Generate(params) = &workshop.plan.step_of(job).action else { return Ok(false) };
    if !is_ready(workshop, job)? {
        return Ok(false);
    }
    generate::each_field((workshop, job), params, &mut |field| {
        counting.add(&field, None);
        Ok(())
    })?;
    Ok(true)
}

/// Candidates are read, and a fused answer is one more that is not there yet; nothing is counted before they are there.
fn of_fuse(
    workshop: &Workshop<'_>,
    (job, params): (&Job, &FuseParams),
    counting: &mut Counting<'_>,
) -> Result<bool, PipelineError> {
    if !is_ready(workshop, job)? {
        return Ok(false);
    }
    fuse::each_scored((workshop, job, params), &mut |field| counting.add(&field, None))?;
    Ok(true)
}

/// Shows the answers to each prompt of the unfinished `generate` step that a job reads under `from`, those that are there
/// and how many are not; false where there is no such step, or several, or it cannot be counted yet.
pub(super) fn each_unfinished_field(
    workshop: &Workshop<'_>,
    job: &Job,
    show: &mut dyn FnMut(Field<'_>) -> Result<(), PipelineError>,
) -> Result<bool, PipelineError> {
    let inputs: Vec<&Input> = job.inputs("from").collect();
    let [from] = inputs.as_slice() else { return Ok(false) };
    let Some(maker) = workshop.plan.jobs.iter().find(|made| made.id == from.id) else { return Ok(false) };
    let Action::Generate(params) = &workshop.plan.step_of(maker).action else { return Ok(false) };
    if !is_ready(workshop, maker)? {
        return Ok(false);
    }
    generate::each_field((workshop, maker), params, show)?;
    Ok(true)
}

/// Answers that were made are read; those of a step that is not finished are counted there.
fn of_score(
    workshop: &Workshop<'_>,
    (job, _params): (&Job, &ScoreParams),
    counting: &mut Counting<'_>,
) -> Result<bool, PipelineError> {
    if !is_ready(workshop, job)? {
        let mut makers =
            job.inputs("from").filter_map(|input| workshop.plan.jobs.iter().find(|made| made.id == input.id));
        return makers.try_fold(true, |counted, maker| Ok(counted && of_generate(workshop, maker, counting)?));
    }
    let mut answers: HashMap<String, Vec<Completion>> = HashMap::new();
    for input in job.inputs("from") {
        for completion in read_table::<Completion>(&workshop.artifact(&input.id)?, COMPLETIONS)? {
            answers.entry(completion.prompt_id.clone()).or_default().push(completion);
        }
    }
    for prompt in &read_prompts(workshop, job.inputs("prompts"))? {
        let known = answers.remove(&prompt.id).unwrap_or_default();
        counting.add(&Field { prompt, known, n_unknown: 0, max_new_tokens: 0 }, None);
    }
    Ok(true)
}

/// Each model answers each prompt; what it says is known when it was asked.
fn of_evaluate(
    workshop: &Workshop<'_>,
    (job, params): (&Job, &EvaluateParams),
    counting: &mut Counting<'_>,
) -> Result<bool, PipelineError> {
    for input in job.inputs("prompts") {
        if workshop.store.find(&input.id)?.is_none() {
            return Ok(false);
        }
    }
    // The models of one seed compete, each with the variant under `against`.
    let mut seeds: BTreeMap<Option<u64>, usize> = BTreeMap::new();
    job.inputs("models").for_each(|model| *seeds.entry(variant_of(&model.part).1).or_default() += 1);
    let against = params.against.clone().map(|against| Showing::Pairs(Compare::Baseline(against)));
    for prompt in &read_prompts(workshop, job.inputs("prompts"))? {
        for &n_unknown in seeds.values() {
            let max_new_tokens = params.sampling.max_new_tokens;
            counting.add(&Field { prompt, known: Vec::new(), n_unknown, max_new_tokens }, against.as_ref());
        }
    }
    Ok(true)
}

/// Counts calls, judge by judge.
struct Counting<'a> {
    judges: &'a [RemoteArbiter],
    scored: KeySet,
    forecasts: Vec<Forecast>,
}

impl<'a> Counting<'a> {
    fn new(workshop: &Workshop<'_>, judges: &'a [RemoteArbiter]) -> Result<Self, PipelineError> {
        let forecast = |judge: &RemoteArbiter| Forecast {
            name: judge.name().to_owned(),
            identity: judge.identity().to_owned(),
            counts: BTreeMap::new(),
            is_at_most: false,
        };
        let scored = workshop.ledger().scored_keys()?;
        Ok(Self { judges, scored, forecasts: judges.iter().map(forecast).collect() })
    }

    /// Adds the answers to one prompt; `showing` stands in place of what the judge's recipe says.
    fn add(&mut self, field: &Field<'_>, showing: Option<&Showing>) {
        let prompt = field.prompt;
        for (judge, forecast) in self.judges.iter().zip(&mut self.forecasts) {
            let calls = match judge.showing() {
                Some(own) => compared(judge, field, showing.unwrap_or(own)),
                None => graded(judge, field),
            };
            let count = forecast.counts.entry(prompt.language.clone()).or_default();
            forecast.is_at_most |= field.n_unknown > 0;
            for Call { key, n_bytes } in calls {
                let is_left = key.is_none_or(|key| !self.scored.contains(&key));
                count.total += 1;
                count.left += u64::from(is_left);
                count.bytes_left += if is_left { n_bytes } else { 0 };
            }
        }
    }
}

/// One call: its name where what it is about is known, and the bytes of text in it.
struct Call {
    key: Option<Digest>,
    n_bytes: u64,
}

impl Field<'_> {
    fn given(&self) -> impl Iterator<Item = &Completion> {
        self.known.iter().filter(|answer| answer.finish_reason != FinishReason::Error)
    }

    fn n_prompt_bytes(&self) -> u64 {
        self.prompt.messages.iter().map(|turn| turn.content.len() as u64).sum()
    }

    /// Bytes of an answer that is not there yet.
    pub(super) fn n_unknown_bytes(&self) -> u64 {
        (self.max_new_tokens as f64 * BYTES_PER_TOKEN_ALLOWED) as u64
    }
}

fn graded(judge: &RemoteArbiter, field: &Field<'_>) -> Vec<Call> {
    let known = field.given().map(|answer| Call {
        key: Some(judge.key(&candidate_digest(field.prompt, &answer.text))),
        n_bytes: field.n_prompt_bytes() + answer.text.len() as u64,
    });
    let n_bytes = field.n_prompt_bytes() + field.n_unknown_bytes();
    known.chain((0..field.n_unknown).map(|_| Call { key: None, n_bytes })).collect()
}

/// What the judge is asked about those that are there, and about those with one that is not.
fn compared(judge: &RemoteArbiter, field: &Field<'_>, showing: &Showing) -> Vec<Call> {
    match showing {
        Showing::Pairs(compare) => {
            known_questions(judge, field, showing).into_iter().chain(open_pairs(field, compare)).collect()
        }
        Showing::Lists { .. } if field.n_unknown == 0 => known_questions(judge, field, showing),
        Showing::Lists { double, .. } => open_lists(field, if *double { 2 } else { 1 }),
    }
}

fn known_questions(judge: &RemoteArbiter, field: &Field<'_>, showing: &Showing) -> Vec<Call> {
    let call = |question: Candidate| Call {
        key: Some(judge.key(&question.digest)),
        n_bytes: field.n_prompt_bytes() + question.n_bytes(),
    };
    let contest = Contest::new(field.prompt, field.known.iter().collect(), showing);
    contest.questions(judge).into_iter().map(call).collect()
}

/// Both orders of every pair with an answer that is not there.
fn open_pairs(field: &Field<'_>, compare: &Compare) -> impl Iterator<Item = Call> {
    let n_known = field.given().count();
    let mean_bytes = match n_known {
        0 => field.n_unknown_bytes(),
        n => field.given().map(|answer| answer.text.len() as u64).sum::<u64>() / n as u64,
    };
    let pairs = |n: usize| match compare {
        Compare::All => n * n.saturating_sub(1) / 2,
        Compare::Baseline(_) => n.saturating_sub(1),
    };
    let n_open = pairs(n_known + field.n_unknown) - pairs(n_known);
    let n_bytes = field.n_prompt_bytes() + mean_bytes + field.n_unknown_bytes();
    (0..2 * n_open).map(move |_| Call { key: None, n_bytes })
}

/// Every order of a list with an answer that is not there.
fn open_lists(field: &Field<'_>, n_orders: usize) -> Vec<Call> {
    let n_known: u64 = field.given().map(|answer| answer.text.len() as u64).sum();
    let n_bytes = field.n_prompt_bytes() + n_known + field.n_unknown as u64 * field.n_unknown_bytes();
    let is_list = field.given().count() + field.n_unknown > 1;
    (0..if is_list { n_orders } else { 0 }).map(|_| Call { key: None, n_bytes }).collect()
}
