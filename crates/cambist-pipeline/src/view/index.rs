//! What is held of every prompt so that filters, orders and pages need no text.

use std::collections::{BTreeMap, HashMap};

use cambist_core::{
    completion::{Completion, FinishReason},
    gates::Gates,
    language::Language,
    prompt::Prompt,
    score::Score,
};
use cambist_io::{
    formats::scan_table,
    ledger::{Ledger, ThoughtfulCall},
    store::Artifact,
};
use rayon::prelude::*;

use super::{
    fold::fold,
    ranking::{Pick, Ranking, best_rewards, decided},
    shelf::{Shelf, Span},
    sources::Sources,
};
use crate::{
    error::PipelineError,
    verbs::{CANDIDATES, COMPLETIONS, CandidateRow, SCORES},
};

/// Answers that are judged at once.
const CHUNK: usize = 4096;

/// Everything but the texts.
#[derive(Debug)]
pub(super) struct Index {
    pub entries: Vec<Entry>,
    pub languages: Vec<Language>,
    pub teachers: Vec<String>,
    /// Who scored, as the scores say.
    pub arbiters: Vec<String>,
    pub rankings: Vec<Ranking>,
    /// Where the reasoning stands: ledger keys by prompt, teacher and sample.
    pub thoughts: HashMap<(u32, u16, u32), Vec<cambist_core::digest::Digest>>,
    /// Answers to prompts that none of the files of prompts holds.
    pub n_strays: u64,
}

/// One prompt.
#[derive(Debug)]
pub(super) struct Entry {
    pub id: String,
    pub language: u16,
    pub prompt: Span,
    pub folded: Span,
    /// In the order of teacher and sample.
    pub answers: Vec<Slot>,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub teacher: u16,
    pub sample: u32,
    pub row: Span,
    pub folded: Span,
    pub reward: Option<f64>,
    pub failed: bool,
    pub passed: bool,
}

impl Slot {
    /// The reward of a valid answer.
    pub(super) fn valid_reward(&self) -> Option<f64> {
        self.reward.filter(|_| self.passed)
    }
}

impl Entry {
    /// What a ranking took, with the answer.
    pub(super) fn winner(&self, pick: Pick) -> Option<&Slot> {
        self.answers.get(usize::from(pick.slot?))
    }
}

/// The texts: rows as JSON, and what is searched.
#[derive(Debug)]
pub(super) struct Shelves {
    pub rows: Shelf,
    pub folded: Shelf,
}

/// Reads everything once.
pub(super) fn build(
    sources: &Sources,
    ledger: Option<&Ledger>,
    limit: usize,
) -> Result<(Index, Shelves), PipelineError> {
    let shelves = Shelves { rows: Shelf::new("rows", limit / 2), folded: Shelf::new("words", limit / 2) };
    let mut builder = Builder::new(shelves);
    for (artifact, file) in &sources.prompts {
        builder.prompts(artifact, file)?;
    }
    for artifact in &sources.scores {
        builder.scores(artifact)?;
    }
    if sources.artifact.manifest().files.contains_key(CANDIDATES) {
        builder.verdicts(&sources.artifact)?;
    }
    for artifact in &sources.answers {
        builder.answers(artifact, &sources.gates)?;
    }
    let thoughts = ledger.map(Ledger::thoughtful_calls).transpose()?.unwrap_or_default();
    builder.finish(&sources.artifact, thoughts)
}

struct Builder {
    shelves: Shelves,
    entries: Vec<Entry>,
    places: HashMap<String, u32>,
    languages: Names<Language>,
    teachers: Names<String>,
    arbiters: Names<String>,
    rewards: HashMap<(u32, u16, u32), Option<f64>>,
    /// Whether answers passed the gates, where a `select` step said so: judging half a million anew takes minutes.
    verdicts: HashMap<(u32, u16, u32), bool>,
    n_strays: u64,
}

impl Builder {
    fn new(shelves: Shelves) -> Self {
        Self {
            shelves,
            entries: Vec::new(),
            places: HashMap::new(),
            languages: Names::default(),
            teachers: Names::default(),
            arbiters: Names::default(),
            rewards: HashMap::new(),
            verdicts: HashMap::new(),
            n_strays: 0,
        }
    }

    fn prompts(&mut self, artifact: &Artifact, file: &str) -> Result<(), PipelineError> {
        for prompt in scan_table::<Prompt>(&artifact.path(file)?)? {
            let prompt = prompt?;
            if self.places.contains_key(&prompt.id) {
                continue;
            }
            let words: Vec<&str> = prompt.messages.iter().map(|turn| turn.content.as_str()).collect();
            let folded = fold(&format!("{}\n{}", prompt.id, words.join("\n")));
            let entry = Entry {
                id: prompt.id.clone(),
                language: self.languages.place(&prompt.language)?,
                prompt: self.shelves.rows.put(&json_text(&prompt)?)?,
                folded: self.shelves.folded.put(&folded)?,
                answers: Vec::new(),
            };
            self.places.insert(prompt.id, u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
            self.entries.push(entry);
        }
        Ok(())
    }

    fn scores(&mut self, artifact: &Artifact) -> Result<(), PipelineError> {
        for score in scan_table::<Score>(&artifact.path(SCORES)?)? {
            let score = score?;
            self.arbiters.place(&score.arbiter)?;
            let teacher = self.teachers.place(&score.teacher)?;
            if let Some(&place) = self.places.get(&score.prompt_id) {
                self.rewards.insert((place, teacher, score.sample), score.value);
            }
        }
        Ok(())
    }

    /// Strategies' own answers are not among those that are viewed.
    fn verdicts(&mut self, artifact: &Artifact) -> Result<(), PipelineError> {
        for candidate in scan_table::<CandidateRow>(&artifact.path(CANDIDATES)?)? {
            let CandidateRow { set, prompt_id, teacher, sample, passed, .. } = candidate?;
            let teacher = self.teachers.place(&teacher)?;
            if let Some(&place) = self.places.get(&prompt_id).filter(|_| set.is_empty()) {
                self.verdicts.insert((place, teacher, sample), passed);
            }
        }
        Ok(())
    }

    fn answers(&mut self, artifact: &Artifact, gates: &Gates) -> Result<(), PipelineError> {
        let mut rows = scan_table::<Completion>(&artifact.path(COMPLETIONS)?)?;
        loop {
            let chunk: Vec<Completion> = rows.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
            if chunk.is_empty() {
                return Ok(());
            }
            let judged: Vec<Option<Judged>> =
                chunk.par_iter().map(|completion| self.judge(gates, completion)).collect::<Result<_, _>>()?;
            for (completion, judged) in chunk.iter().zip(judged) {
                match judged {
                    Some(judged) => self.put(completion, judged)?,
                    None => self.n_strays += 1,
                }
            }
        }
    }

    /// None for an answer to a prompt that is not there.
    fn judge(&self, gates: &Gates, completion: &Completion) -> Result<Option<Judged>, PipelineError> {
        let Some(&place) = self.places.get(&completion.prompt_id) else { return Ok(None) };
        let Some(entry) = self.entries.get(place as usize) else { return Ok(None) };
        let teacher = self.teachers.find(&completion.teacher);
        let known = teacher.and_then(|teacher| self.verdicts.get(&(place, teacher, completion.sample)).copied());
        let judge = || {
            let prompt: Prompt = parse(&self.shelves.rows.get(entry.prompt)?)?;
            Ok::<_, PipelineError>(gates.judge(&prompt, completion).passed())
        };
        Ok(Some(Judged {
            place,
            passed: known.map_or_else(judge, Ok)?,
            row: json_text(completion)?,
            folded: fold(&completion.text),
        }))
    }

    fn put(&mut self, completion: &Completion, judged: Judged) -> Result<(), PipelineError> {
        let teacher = self.teachers.place(&completion.teacher)?;
        let slot = Slot {
            teacher,
            sample: completion.sample,
            row: self.shelves.rows.put(&judged.row)?,
            folded: self.shelves.folded.put(&judged.folded)?,
            reward: self.rewards.get(&(judged.place, teacher, completion.sample)).copied().flatten(),
            failed: completion.finish_reason == FinishReason::Error,
            passed: judged.passed,
        };
        if let Some(entry) = self.entries.get_mut(judged.place as usize) {
            entry.answers.push(slot);
        }
        Ok(())
    }

    fn finish(mut self, artifact: &Artifact, thoughts: Vec<ThoughtfulCall>) -> Result<(Index, Shelves), PipelineError> {
        self.shelves.rows.close()?;
        self.shelves.folded.close()?;
        let names = &self.teachers.names;
        for entry in &mut self.entries {
            entry.answers.sort_by(|a, b| {
                (&names[usize::from(a.teacher)], a.sample).cmp(&(&names[usize::from(b.teacher)], b.sample))
            });
        }
        // A prompt that nobody was asked about is none of this artifact's.
        let by_id: HashMap<&str, usize> =
            self.entries.iter().enumerate().map(|(place, entry)| (entry.id.as_str(), place)).collect();
        let mut rankings = decided(artifact, &self.entries, (&by_id, &self.teachers.names))?;
        if rankings.is_empty() {
            rankings.push(best_rewards(&self.entries));
        }
        let mut found: HashMap<(u32, u16, u32), Vec<_>> = HashMap::new();
        for call in thoughts {
            let place = self.places.get(&call.prompt_id);
            if let (Some(&place), Some(teacher)) = (place, self.teachers.find(&call.teacher)) {
                found.entry((place, teacher, call.sample)).or_default().push(call.key);
            }
        }
        let index = Index {
            entries: self.entries,
            languages: self.languages.names,
            teachers: self.teachers.names,
            arbiters: self.arbiters.names,
            rankings,
            thoughts: found,
            n_strays: self.n_strays,
        };
        Ok((index, self.shelves))
    }
}

struct Judged {
    place: u32,
    passed: bool,
    row: String,
    folded: String,
}

/// Names by the order of their first use.
#[derive(Debug)]
struct Names<T> {
    names: Vec<T>,
    places: BTreeMap<T, u16>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { names: Vec::new(), places: BTreeMap::new() }
    }
}

impl<T: Ord + Clone + std::fmt::Display> Names<T> {
    fn find(&self, name: &T) -> Option<u16> {
        self.places.get(name).copied()
    }

    fn place(&mut self, name: &T) -> Result<u16, PipelineError> {
        if let Some(place) = self.find(name) {
            return Ok(place);
        }
        let place = u16::try_from(self.names.len()).map_err(|_| {
            let what = format!("`{name}` is one of more than 65,535 names");
            PipelineError::input("view", what, "view fewer teachers or languages at once")
        })?;
        self.names.push(name.clone());
        self.places.insert(name.clone(), place);
        Ok(place)
    }
}

fn json_text<T: serde::Serialize>(of: &T) -> Result<String, PipelineError> {
    serde_json::to_string(of).map_err(|error| PipelineError::Internal(error.to_string()))
}

/// Reads a row back.
pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, PipelineError> {
    serde_json::from_str(text).map_err(|error| PipelineError::Internal(format!("a kept row is not readable: {error}")))
}
