//! Reads answers and scores back from the ledger, in the order of the prompts, and writes the artifact's tables.

use std::collections::BTreeMap;

use cambist_core::{
    candidate::{Candidate, Row},
    completion::{Completion, FinishReason},
    digest::Digest,
    drift::Watched,
    gates::{Gates, Verdict},
    prompt::Prompt,
    router::{Ask, Route, route},
    score::Score,
};
use cambist_io::{
    exchange::FailureClass,
    formats::TableWriter,
    ledger::CallOutcome,
    store::{ManifestDraft, Scratch},
};
use rayon::prelude::*;
use serde_json::json;

use super::{
    CHUNK, Generating,
    marks::Marks,
    search,
    survey::{Cells, NAMED, cell},
};
use crate::{
    error::PipelineError,
    verbs::{
        arbiters::Member,
        contest::JudgesAgreement,
        naming::Names,
        scoring::candidate_digest,
        tables::{ASKED, AskedRow, COMPLETIONS},
    },
};

/// What a collecting pass came to.
pub(super) enum Collected {
    /// Every prompt is decided and the tables are written.
    Whole(Box<ManifestDraft>),
    /// The router wants these first; what was written is not whole.
    Wants(Cells),
}

/// One prompt in the making.
pub(super) struct Open {
    pub(super) place: u32,
    pub(super) row: Row,
    /// Of each candidate, what everybody said who scores.
    pub(super) scores: Vec<Vec<Score>>,
    pub(super) is_waiting: bool,
}

/// A cell whose answer is looked up.
struct Lookup {
    open: usize,
    voice: usize,
    sample: u32,
    key: Option<Digest>,
}

/// What is written on the way.
struct Tables {
    completions: TableWriter<Completion>,
    asked: Option<TableWriter<AskedRow>>,
    marks: Option<Marks>,
    agreement: JudgesAgreement,
    failures: String,
    draft: ManifestDraft,
    n_prompts: u64,
    /// Prompts of languages that the router's calibration had none of.
    n_uncalibrated: u64,
    /// Failed calls that may pass another time, by class.
    passing: BTreeMap<&'static str, u64>,
    /// By server: how many answers it gave, and its first failure.
    voices: BTreeMap<String, (u64, Option<String>)>,
}

impl Generating<'_> {
    /// Goes through all prompts once.
    pub(super) fn collect(&self, scratch: &Scratch) -> Result<Collected, PipelineError> {
        let mut wants = Cells::default();
        let mut tables = self.tables(scratch)?;
        let mut watched = self.router.drift_watch().map(Watched::new);
        let mut prompts = (0u32..).zip(self.prompts.scan());
        loop {
            let blank = |(place, prompt): (u32, Result<Prompt, PipelineError>)| {
                let row = Self::blank_row(prompt?);
                Ok(Open { place, row, scores: Vec::new(), is_waiting: false })
            };
            let mut chunk: Vec<Open> = prompts.by_ref().take(CHUNK).map(blank).collect::<Result<_, PipelineError>>()?;
            if chunk.is_empty() {
                break;
            }
            self.workshop.checkpoint()?;
            self.prepare(chunk.iter().map(|open| &open.row.prompt).collect())?;
            while self.advance(&mut chunk, (&mut wants, &mut tables))? {}
            self.rule(&mut chunk, (&mut wants.uncompared, &mut tables.agreement))?;
            if wants.is_empty() {
                self.agree(&mut chunk);
                let propensities: Vec<_> = chunk.par_iter().map(|open| self.propensities(&open.row)).collect();
                chunk.iter().zip(propensities).try_for_each(|(open, own)| tables.push(open, own))?;
                watched.iter_mut().for_each(|watched| self.watch(watched, &chunk));
                let is_unknown = |open: &&Open| !self.router.is_calibrated_for(&open.row.prompt.language);
                tables.n_uncalibrated += chunk.iter().filter(is_unknown).count() as u64;
            }
        }
        if !wants.is_empty() {
            return Ok(Collected::Wants(wants));
        }
        self.nobody_is_silent(&tables)?;
        let mut draft = tables.finish(scratch)?;
        search::write((self.router, self.workshop.plan.recipe.seed, scratch), watched, &mut draft.0)?;
        Ok(Collected::Whole(Box::new(self.enough_answers(draft)?)))
    }

    fn tables(&self, scratch: &Scratch) -> Result<Tables, PipelineError> {
        let draft =
            ManifestDraft { step: self.job.label.clone(), kind: "completions".into(), ..ManifestDraft::default() };
        let marks = self.scorer.as_ref().map(|scorer| Marks::create(scorer, scratch));
        let asked = match self.params.router.draws_lots() {
            true => Some(TableWriter::create(&scratch.path(ASKED)?)?),
            false => None,
        };
        Ok(Tables {
            completions: TableWriter::create(&scratch.path(COMPLETIONS)?)?,
            asked,
            marks: marks.transpose()?,
            agreement: JudgesAgreement::default(),
            failures: String::new(),
            draft,
            n_prompts: 0,
            n_uncalibrated: 0,
            passing: BTreeMap::new(),
            voices: BTreeMap::new(),
        })
    }

    /// Puts decided rows beside what calibration showed.
    fn watch(&self, watched: &mut Watched<'_>, chunk: &[Open]) {
        let look = |open: &Open| {
            let observed: Vec<&Candidate> = open.row.candidates.iter().collect();
            self.router.watched(&self.pool.query(&open.row.prompt), &observed)
        };
        let seen: Vec<_> = chunk.par_iter().map(look).collect();
        seen.iter().flatten().for_each(|prompt| watched.add(prompt));
    }

    /// The probability with which each answer of a decided row was asked for, where the router draws lots.
    fn propensities(&self, row: &Row) -> Option<Vec<f64>> {
        let observed: Vec<&Candidate> = row.candidates.iter().collect();
        self.router.propensities(&self.pool.query(&row.prompt), &observed)
    }

    /// Brings every open row one round further; false when nothing moved.
    fn advance(&self, chunk: &mut [Open], (wants, tables): (&mut Cells, &mut Tables)) -> Result<bool, PipelineError> {
        let lookups = self.lookups(chunk)?;
        if lookups.is_empty() {
            return Ok(false);
        }
        let keys: Vec<Digest> = lookups.iter().filter_map(|lookup| lookup.key.clone()).collect();
        let mut records = self.workshop.ledger().find_outcomes(&keys)?.into_iter();
        let mut found = Vec::with_capacity(lookups.len());
        for lookup in lookups {
            let record = if lookup.key.is_some() { records.next().flatten() } else { None };
            let open = &mut chunk[lookup.open];
            if let Some(record) = &record {
                tables.note(record);
            }
            match self.voices[lookup.voice].completion(&open.row.prompt, lookup.sample, record) {
                Some(completion) => found.push((lookup, completion)),
                None => {
                    open.is_waiting = true;
                    wants.unanswered.push(cell((open.place, lookup.voice, lookup.sample))?);
                }
            }
        }
        let scores = self.scores(chunk, &found)?;
        for ((lookup, completion), score) in found.into_iter().zip(scores) {
            let open = &mut chunk[lookup.open];
            if let Scored::Missing = score {
                open.is_waiting = true;
                wants.unscored.push(cell((open.place, lookup.voice, lookup.sample))?);
            }
            self.take(open, completion, score);
        }
        Ok(true)
    }

    fn take(&self, open: &mut Open, completion: Completion, score: Scored) {
        let said = if let Scored::Is(said) = score { Some(said) } else { None };
        // A panel gives its reward when all answers of the step are scored; until then there is none.
        let reward = match said.as_deref() {
            Some([score]) => score.value,
            _ => None,
        };
        let verdict = if self.params.router.reads_answers() {
            Gates::default().judge(&open.row.prompt, &completion)
        } else {
            Verdict::pass()
        };
        let candidate = Candidate { completion, verdict, reward };
        let place = open.row.candidates.partition_point(|other| other.cell() < candidate.cell());
        open.row.candidates.insert(place, candidate);
        if let Some(said) = said {
            open.scores.insert(place.min(open.scores.len()), said);
        }
    }

    fn lookups(&self, chunk: &[Open]) -> Result<Vec<Lookup>, PipelineError> {
        let named = chunk.par_chunks(NAMED).enumerate().map(|(at, open)| self.lookups_of(at * NAMED, open));
        Ok(named.collect::<Result<Vec<_>, PipelineError>>()?.into_iter().flatten().collect())
    }

    /// The cells that rows want, the first of which stands at `first`.
    fn lookups_of(&self, first: usize, rows: &[Open]) -> Result<Vec<Lookup>, PipelineError> {
        let (mut lookups, mut names) = (Vec::new(), Names::default());
        for (at, open) in (first..).zip(rows).filter(|(_, open)| !open.is_waiting) {
            let asks = match route(self.router, &self.pool.query(&open.row.prompt), &open.row) {
                Route::Ask(asks) => asks,
                Route::Decided(_) => continue,
            };
            for Ask { teacher, n_samples } in asks {
                let Some(voice) = self.voices.iter().position(|voice| voice.name == teacher) else { continue };
                for sample in (0..n_samples).filter(|&sample| open.row.candidate(&teacher, sample).is_none()) {
                    names.push(&self.namings[voice], (&open.row.prompt, sample))?;
                    lookups.push(Lookup { open: at, voice, sample, key: None });
                }
            }
        }
        lookups.iter_mut().zip(names.keys()).for_each(|(lookup, key)| lookup.key = key);
        Ok(lookups)
    }

    /// Scores answers where they are, or looks their scores up; an answer waits until everybody has scored it.
    fn scores(&self, chunk: &[Open], found: &[(Lookup, Completion)]) -> Result<Vec<Scored>, PipelineError> {
        let Some(scorer) = &self.scorer else { return Ok(found.iter().map(|_| Scored::Unwanted).collect()) };
        let mut said: Vec<Scored> = found.iter().map(|_| Scored::Is(Vec::new())).collect();
        for member in scorer.members() {
            for (all, score) in said.iter_mut().zip(self.scores_of(member, chunk, found)?) {
                match (all, score) {
                    (Scored::Is(all), Some(score)) => all.push(score),
                    (all, _) => *all = Scored::Missing,
                }
            }
        }
        Ok(said)
    }

    /// What one arbiter says of answers; none where it was not asked yet.
    fn scores_of(
        &self,
        member: &Member,
        chunk: &[Open],
        found: &[(Lookup, Completion)],
    ) -> Result<Vec<Option<Score>>, PipelineError> {
        let here = |(lookup, completion): &(Lookup, Completion)| {
            let prompt = &chunk[lookup.open].row.prompt;
            member.score(prompt, completion).map(Some)
        };
        if member.judge().is_some() || member.consensus().is_some() {
            // What it says of an answer rests on the others: the ruling comes when all are there.
            return Ok(found.iter().map(|(_, completion)| Some(member.recorded(completion, None))).collect());
        }
        let Some(arbiter) = member.ledgered() else { return found.iter().map(here).collect() };
        let key = |(lookup, completion): &(Lookup, Completion)| {
            arbiter.key(&candidate_digest(&chunk[lookup.open].row.prompt, &completion.text))
        };
        let keys: Vec<Digest> = found.iter().map(key).collect();
        let records = self.workshop.ledger().find_scores(&keys)?;
        let read = |((_, completion), record): (&(Lookup, Completion), Option<_>)| {
            let is_known = record.is_some() || completion.finish_reason == FinishReason::Error;
            is_known.then(|| member.recorded(completion, record))
        };
        Ok(found.iter().zip(records).map(read).collect())
    }

    /// Refuses a teacher that failed every time: that is a wrong address, model or request, and no data.
    fn nobody_is_silent(&self, tables: &Tables) -> Result<(), PipelineError> {
        let silent =
            tables.voices.iter().find_map(|(teacher, (n, first))| Some((teacher, first.as_ref()?)).filter(|_| *n == 0));
        silent.map_or(Ok(()), |(teacher, reason)| {
            Err(PipelineError::Silent { teacher: teacher.clone(), reason: reason.clone() })
        })
    }

    /// Refuses to go on with too many holes that another run could fill.
    fn enough_answers(
        &self,
        (draft, passing, n_cells): (ManifestDraft, BTreeMap<&'static str, u64>, u64),
    ) -> Result<ManifestDraft, PipelineError> {
        let n_passing: u64 = passing.values().sum();
        if n_passing as f64 > self.params.max_failed * n_cells as f64 {
            let classes: Vec<String> = passing.iter().map(|(class, n)| format!("{n} {class}")).collect();
            return Err(PipelineError::Unanswered {
                step: self.job.label.clone(),
                n_failed: n_passing,
                n_cells,
                classes: classes.join(", "),
            });
        }
        Ok(draft)
    }
}

/// What is known of an answer's score.
enum Scored {
    /// Nobody wants one.
    Unwanted,
    /// Somebody was not asked yet.
    Missing,
    /// This, by all who score.
    Is(Vec<Score>),
}

impl Tables {
    /// Writes a decided row, with the probabilities with which its answers were asked for.
    fn push(&mut self, open: &Open, propensities: Option<Vec<f64>>) -> Result<(), PipelineError> {
        self.n_prompts += 1;
        for (Candidate { completion, .. }, propensity) in open.row.candidates.iter().zip(propensities.iter().flatten())
        {
            let Some(asked) = &mut self.asked else { break };
            asked.push(&AskedRow {
                prompt_id: completion.prompt_id.clone(),
                source_id: completion.source_id.clone(),
                language: completion.language.clone(),
                teacher: completion.teacher.clone(),
                sample: completion.sample,
                propensity: *propensity,
            })?;
        }
        for candidate in &open.row.candidates {
            self.completions.push(&candidate.completion)?;
            if candidate.completion.finish_reason == FinishReason::Error {
                let reason = candidate.completion.failure.as_deref().unwrap_or("no answer");
                *self.draft.failures.entry(class_of(reason).to_owned()).or_default() += 1;
            }
        }
        let Some(marks) = &mut self.marks else { return Ok(()) };
        marks.push(&open.row.prompt, &open.scores, &mut self.draft)
    }

    fn note(&mut self, record: &CallOutcome) {
        let (n_answers, first) = self.voices.entry(record.teacher.clone()).or_default();
        let Some(reason) = &record.failure else {
            *n_answers += 1;
            return;
        };
        first.get_or_insert_with(|| reason.clone());
        let class = record.failure_class;
        if let Some(class) = class.filter(|class| class.may_pass()) {
            *self.passing.entry(class.name()).or_default() += 1;
        }
        let line = json!({
            "prompt_id": record.prompt_id, "teacher": record.teacher, "sample": record.sample,
            "language": record.language, "class": class.map(FailureClass::name), "reason": reason,
            "key": record.key,
        });
        self.failures.push_str(&format!("{line}\n"));
    }

    fn finish(mut self, scratch: &Scratch) -> Result<(ManifestDraft, BTreeMap<&'static str, u64>, u64), PipelineError> {
        let n_cells = self.completions.n_rows();
        self.draft.counts.insert("completions".into(), n_cells);
        self.draft.counts.insert("prompts".into(), self.n_prompts);
        if self.n_uncalibrated > 0 {
            self.draft.counts.insert("prompts of languages not calibrated".into(), self.n_uncalibrated);
        }
        self.completions.finish()?;
        self.asked.map_or(Ok(()), |asked| asked.finish().map(drop))?;
        if let Some(marks) = self.marks {
            marks.finish(scratch, &mut self.draft)?;
        }
        self.agreement.write(scratch, &mut self.draft)?;
        if !self.failures.is_empty() {
            scratch.write("failures.jsonl", self.failures.as_bytes())?;
        }
        Ok((self.draft, self.passing, n_cells))
    }
}

/// The class in front of a reason, so that a manifest counts kinds and not words.
pub(super) fn class_of(reason: &str) -> &str {
    let class = reason.split(':').next().unwrap_or(reason);
    if FailureClass::parse(class).is_some() { class } else { reason }
}
