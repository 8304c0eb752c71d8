//! Which cells the ledger does not have.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use cambist_core::{
    candidate::Row,
    digest::Digest,
    language::Language,
    prompt::Prompt,
    router::{Route, route},
};
use cambist_io::ledger::KeySet;
use rayon::prelude::*;

use super::{CHUNK, Generating};
use crate::{
    error::PipelineError,
    verbs::{asking::wants_several, forecast::Field, naming::Names, voices::Speaker},
};

/// Chunks of prompts that are read before they are looked at, and looked at before they are shown.
const AHEAD: usize = 4;

/// Prompts whose calls are named together.
pub(super) const NAMED: usize = 64;

/// Prompts with their places, as rows without answers.
type Chunk = Vec<(u32, Row)>;

/// Prompts with what the router wants of each.
type Looked = (Chunk, Vec<Vec<Seen>>);

/// Cells by place: small, so that millions can be held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells {
    /// Cells without an answer, in the order of the prompts.
    pub unanswered: Vec<Cell>,
    /// Cells whose answer was there before and has no score yet.
    pub unscored: Vec<Cell>,
    /// Every cell of the prompts whose answers are all there and not compared yet.
    pub uncompared: Vec<Cell>,
}

/// One answer of one voice to one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    /// The prompt's place.
    pub prompt: u32,
    /// The voice's place.
    pub voice: u16,
    /// Which of several answers.
    pub sample: u16,
}

impl Cells {
    pub(super) fn is_empty(&self) -> bool {
        self.unanswered.is_empty() && self.unscored.is_empty() && self.uncompared.is_empty()
    }

    /// The prompts' places and samples of one voice's unanswered cells.
    pub(super) fn unanswered_of(&self, voice: usize) -> impl Iterator<Item = (u32, u32)> {
        let of_voice = move |cell: &&Cell| usize::from(cell.voice) == voice;
        self.unanswered.iter().filter(of_voice).map(|cell| (cell.prompt, u32::from(cell.sample)))
    }

    /// Whether several answers of a voice to one prompt are wanted.
    pub(super) fn wants_several(&self, voice: usize) -> bool {
        wants_several(self.unanswered_of(voice).map(|(prompt, _)| prompt))
    }
}

/// A cell that the router wants.
pub(super) struct Seen {
    /// Which.
    pub cell: Cell,
    /// The call's name in the ledger; none where nobody is asked.
    pub key: Option<Digest>,
    /// Whether the ledger has its answer.
    pub is_answered: bool,
}

/// How many calls to one teacher about prompts in one language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// In all.
    pub total: u64,
    /// Those that the ledger has no answer to.
    pub left: u64,
    /// Bytes of text in the prompts of those.
    pub bytes_left: u64,
}

/// Calls by the teacher's place in the step's pool and the language.
pub(crate) type Counts = BTreeMap<(usize, Language), Count>;

impl Generating<'_> {
    /// Names the cells that the router wants before it has seen anything and that the ledger does not have.
    pub(super) fn survey(&self) -> Result<Cells, PipelineError> {
        let mut cells = Cells::default();
        self.look(|_, seen| {
            cells.unanswered.extend(seen.iter().filter(|seen| !seen.is_answered).map(|seen| seen.cell));
            Ok(())
        })?;
        Ok(cells)
    }

    /// Counts the cells that the router wants before it has seen anything.
    pub(super) fn counts(&self) -> Result<Counts, PipelineError> {
        let mut counts = Counts::new();
        self.look(|prompt, seen| {
            let bytes: usize = prompt.messages.iter().map(|turn| turn.content.len()).sum();
            for Seen { cell, is_answered, .. } in seen {
                let count = counts.entry((usize::from(cell.voice), prompt.language.clone())).or_default();
                count.total += 1;
                count.left += u64::from(!is_answered);
                count.bytes_left += if is_answered { 0 } else { bytes as u64 };
            }
            Ok(())
        })?;
        Ok(counts)
    }

    /// Shows what is known and what is not of the answers to each prompt.
    pub(super) fn fields(
        &self,
        show: &mut dyn FnMut(Field<'_>) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        self.look(|prompt, seen| {
            let (known, unknown): (Vec<Seen>, Vec<Seen>) = seen.into_iter().partition(|seen| seen.is_answered);
            let keys: Vec<Digest> = known.iter().filter_map(|seen| seen.key.clone()).collect();
            let mut records = self.workshop.ledger().find_outcomes(&keys)?.into_iter();
            let completion = |Seen { cell, key, .. }: Seen| {
                let record = if key.is_some() { records.next().flatten() } else { None };
                self.voices[usize::from(cell.voice)].completion(prompt, u32::from(cell.sample), record)
            };
            let known = known.into_iter().filter_map(completion).collect();
            let max_new_tokens = self.params.sampling.max_new_tokens;
            show(Field { prompt, known, n_unknown: unknown.len(), max_new_tokens })
        })
    }

    /// Names at most `n` unanswered cells of each server and language, the same ones every time.
    pub(super) fn probe_cells(&self, n: usize) -> Result<Cells, PipelineError> {
        let mut drawn: BTreeMap<(u16, Language), Vec<(Digest, Cell)>> = BTreeMap::new();
        self.look(|prompt, seen| {
            let lot = Digest::of_bytes(prompt.id.as_bytes());
            let is_remote = |cell: &Cell| matches!(self.voices[usize::from(cell.voice)].speaker, Speaker::Remote(_));
            for Seen { cell, is_answered, .. } in seen.into_iter().filter(|seen| is_remote(&seen.cell)) {
                let of_stratum = drawn.entry((cell.voice, prompt.language.clone())).or_default();
                // What was answered before counts: probing again costs nothing.
                let place = of_stratum.partition_point(|(other, _)| *other < lot);
                if place < n {
                    let cell = if is_answered { Cell { sample: u16::MAX, ..cell } } else { cell };
                    of_stratum.insert(place, (lot.clone(), cell));
                    of_stratum.truncate(n);
                }
            }
            Ok(())
        })?;
        let mut unanswered: Vec<Cell> = drawn.into_values().flatten().map(|(_, cell)| cell).collect();
        unanswered.retain(|cell| cell.sample != u16::MAX);
        unanswered.sort();
        Ok(Cells { unanswered, ..Cells::default() })
    }

    /// Goes through all prompts and shows what the router wants of each.
    pub(super) fn look(
        &self,
        mut show: impl FnMut(&Prompt, Vec<Seen>) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        std::thread::scope(|scope| {
            // Prompts are read while the keys are; later ones are read and looked at while those before them are shown.
            let (sender, chunks) = sync_channel(AHEAD);
            scope.spawn(move || self.read_ahead(&sender));
            let answered = self.workshop.ledger().settled_keys()?;
            let (sender, looked) = sync_channel(AHEAD);
            scope.spawn(move || self.look_ahead(&answered, chunks, &sender));
            for looked in looked {
                let (chunk, found) = looked?;
                let mut rows = chunk.iter().zip(found);
                rows.try_for_each(|((_, row), seen)| show(&row.prompt, seen))?;
            }
            Ok(())
        })
    }

    /// Lets the router look at many prompts at once.
    pub(super) fn prepare(&self, prompts: Vec<&Prompt>) -> Result<(), PipelineError> {
        let failed =
            |what: String| PipelineError::input(&self.job.label, what, "look at the model that its router reads with");
        self.router.prepare(&prompts).map_err(failed)
    }

    /// Sends all prompts in their order, until there are no more or nobody wants them.
    fn read_ahead(&self, sender: &SyncSender<Result<Chunk, PipelineError>>) {
        let mut rows = (0u32..).zip(self.prompts.scan()).map(|(at, prompt)| Ok((at, Self::blank_row(prompt?))));
        loop {
            let chunk: Result<Chunk, PipelineError> = rows.by_ref().take(CHUNK).collect();
            let is_last = chunk.as_ref().map_or(true, Vec::is_empty);
            if sender.send(chunk).is_err() || is_last {
                return;
            }
        }
    }

    /// Sends what the router wants of all prompts in their order, until there are no more or nobody wants it.
    fn look_ahead(
        &self,
        answered: &KeySet,
        chunks: Receiver<Result<Chunk, PipelineError>>,
        sender: &SyncSender<Result<Looked, PipelineError>>,
    ) {
        for chunk in chunks {
            let looked = chunk.and_then(|chunk| Ok((self.look_through(answered, &chunk)?, chunk)));
            let is_last = looked.is_err();
            if sender.send(looked.map(|(found, chunk)| (chunk, found))).is_err() || is_last {
                return;
            }
        }
    }

    /// What the router wants of each row of a chunk.
    fn look_through(&self, answered: &KeySet, chunk: &Chunk) -> Result<Vec<Vec<Seen>>, PipelineError> {
        self.workshop.checkpoint()?;
        self.prepare(chunk.iter().map(|(_, row)| &row.prompt).collect())?;
        let parts = chunk.par_chunks(NAMED);
        let looked = parts.map_init(Names::default, |names, rows| self.look_at(answered, names, rows));
        Ok(looked.collect::<Result<Vec<_>, PipelineError>>()?.into_iter().flatten().collect())
    }

    /// What the router wants of each row; `names` is emptied first.
    fn look_at(
        &self,
        answered: &KeySet,
        names: &mut Names,
        rows: &[(u32, Row)],
    ) -> Result<Vec<Vec<Seen>>, PipelineError> {
        names.clear();
        let mut wanted = Vec::with_capacity(rows.len());
        for (place, row) in rows {
            let mut cells = Vec::new();
            if let Route::Ask(asks) = route(self.router, &self.pool.query(&row.prompt), row) {
                for ask in &asks {
                    let Some(voice) = self.voices.iter().position(|voice| voice.name == ask.teacher) else { continue };
                    for sample in 0..ask.n_samples {
                        names.push(&self.namings[voice], (&row.prompt, sample))?;
                        cells.push(cell((*place, voice, sample))?);
                    }
                }
            }
            wanted.push(cells);
        }
        let mut keys = names.keys().into_iter();
        let mut look = |cell| {
            let key = keys.next().flatten();
            Seen { cell, is_answered: key.as_ref().is_none_or(|key| answered.contains(key)), key }
        };
        Ok(wanted.into_iter().map(|cells| cells.into_iter().map(&mut look).collect()).collect())
    }
}

/// Packs a cell.
pub(super) fn cell((prompt, voice, sample): (u32, usize, u32)) -> Result<Cell, PipelineError> {
    let packed = u16::try_from(voice).ok().zip(u16::try_from(sample).ok());
    let (voice, sample) = packed.ok_or_else(|| {
        let what = format!("{voice} teachers or {sample} samples are more than 65,535");
        PipelineError::input("generate", what, "ask fewer")
    })?;
    Ok(Cell { prompt, voice, sample })
}
