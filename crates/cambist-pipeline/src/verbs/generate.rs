//! `generate`: asks the teachers that the router names, round by round, and scores answers as they arrive.

use cambist_core::{
    candidate::{Candidate, Row},
    completion::FinishReason,
    gates::Gates,
    pool::Pool,
    prompt::Prompt,
    router::{Ask, Route, Router, route},
    score::Score,
};
use cambist_io::store::{Artifact, ManifestDraft, Scratch};

use super::{
    Work,
    arbiters::Scorer,
    prompts::read_prompts,
    routers,
    tables::{COMPLETIONS, SCORES, write_table},
    voices::{Cell, Voice, ask},
};
use crate::{
    error::PipelineError,
    plan::Job,
    recipe::{PoolMember, params::GenerateParams},
    run::Workshop,
};

/// Makes the artifact.
pub(super) fn make((workshop, job, scratch): Work<'_>, params: &GenerateParams) -> Result<Artifact, PipelineError> {
    let recipe = &workshop.plan.recipe;
    let prompts = read_prompts(workshop, job.inputs("prompts"))?;
    let in_pool = |member: &&PoolMember| params.teachers.is_empty() || params.teachers.contains(&member.id);
    let members: Vec<&PoolMember> = recipe.pool.iter().filter(in_pool).collect();
    let teachers = members.iter().map(|member| member.teacher()).collect();
    let pool = Pool::new(teachers, params.eligibility.clone()).map_err(|e| PipelineError::Internal(e.to_string()))?;
    let router = routers::build(workshop, job, (&params.router, &Gates::default()), &pool)?;
    let scorer = params.arbiter.as_deref().map(|id| Scorer::open(workshop, id)).transpose()?;
    let voices = members.iter().map(|member| Voice::open(workshop, job, member)).collect::<Result<Vec<_>, _>>()?;
    let asking = Asking { workshop, job, params, pool: &pool, router: router.as_ref(), voices: &voices, scorer };
    let (rows, scores) = asking.rounds(&prompts)?;
    write(job, scratch, (&rows, &scores))
}

struct Asking<'a> {
    workshop: &'a Workshop<'a>,
    job: &'a Job,
    params: &'a GenerateParams,
    pool: &'a Pool,
    router: &'a dyn Router,
    voices: &'a [Voice],
    scorer: Option<Scorer>,
}

impl Asking<'_> {
    /// Asks until the router has seen enough of every prompt.
    fn rounds(&self, prompts: &[Prompt]) -> Result<(Vec<Row>, Vec<Score>), PipelineError> {
        let mut rows: Vec<Row> =
            prompts.iter().map(|prompt| Row { prompt: prompt.clone(), candidates: Vec::new() }).collect();
        let mut scores = Vec::new();
        let mut open: Vec<usize> = (0..rows.len()).collect();
        loop {
            let asks: Vec<(usize, Vec<Ask>)> =
                open.iter().filter_map(|&at| Some((at, self.missing(&rows[at])?))).collect();
            if asks.is_empty() {
                return Ok((rows, scores));
            }
            open = asks.iter().map(|(at, _)| *at).collect();
            self.round(&asks, prompts, (&mut rows, &mut scores))?;
        }
    }

    fn missing(&self, row: &Row) -> Option<Vec<Ask>> {
        match route(self.router, &self.pool.query(&row.prompt), row) {
            Route::Ask(asks) => Some(asks),
            Route::Decided(_) => None,
        }
    }

    fn round(
        &self,
        asks: &[(usize, Vec<Ask>)],
        prompts: &[Prompt],
        (rows, scores): (&mut [Row], &mut Vec<Score>),
    ) -> Result<(), PipelineError> {
        let mut cells = Vec::new();
        let mut places = Vec::new();
        for (at, ask) in asks.iter().flat_map(|(at, asks)| asks.iter().map(|ask| (*at, ask))) {
            let Some(voice) = self.voices.iter().position(|voice| voice.name == ask.teacher) else { continue };
            let unseen = |sample: &u32| rows[at].candidate(&ask.teacher, *sample).is_none();
            for sample in (0..ask.n_samples).filter(unseen) {
                cells.push(Cell { prompt: &prompts[at], voice, sample });
                places.push(at);
            }
        }
        let completions = ask(self.workshop, self.job, self.voices, (&cells, &self.params.sampling))?;
        let gates = Gates::default();
        for ((completion, cell), at) in completions.into_iter().zip(&cells).zip(places) {
            let score = self.scorer.as_ref().map(|scorer| scorer.score(cell.prompt, &completion)).transpose()?;
            let reward = score.as_ref().and_then(|score| score.value);
            scores.extend(score);
            let verdict = gates.judge(cell.prompt, &completion);
            let row = &mut rows[at];
            let candidate = Candidate { completion, verdict, reward };
            let place = row.candidates.partition_point(|other| other.cell() < candidate.cell());
            row.candidates.insert(place, candidate);
        }
        Ok(())
    }
}

fn write(job: &Job, scratch: Scratch, (rows, scores): (&[Row], &[Score])) -> Result<Artifact, PipelineError> {
    let completions: Vec<_> = rows.iter().flat_map(|row| &row.candidates).map(|c| &c.completion).collect();
    let mut sorted: Vec<&Score> = scores.iter().collect();
    let place: std::collections::HashMap<&str, usize> =
        rows.iter().enumerate().map(|(at, row)| (row.prompt.id.as_str(), at)).collect();
    sorted.sort_by_key(|score| (place.get(score.prompt_id.as_str()).copied(), score.teacher.clone(), score.sample));
    write_table(&scratch, COMPLETIONS, completions.iter().copied())?;
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "completions".into(), ..ManifestDraft::default() };
    draft.counts.insert("completions".into(), completions.len() as u64);
    draft.counts.insert("prompts".into(), rows.len() as u64);
    if !sorted.is_empty() {
        write_table(&scratch, SCORES, sorted.iter().copied())?;
        draft.counts.insert("scores".into(), sorted.iter().filter(|score| score.value.is_some()).count() as u64);
    }
    for score in sorted.iter().filter_map(|score| score.missing.as_ref()) {
        *draft.failures.entry(format!("no score: {score}")).or_default() += 1;
    }
    for completion in completions.iter().filter(|c| c.finish_reason == FinishReason::Error) {
        let reason = completion.failure.as_deref().unwrap_or("no answer");
        *draft.failures.entry(reason.to_owned()).or_default() += 1;
    }
    Ok(scratch.commit(draft)?)
}
