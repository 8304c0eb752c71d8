//! The prompts between the passes: texts on the disk, a few numbers of each in memory.

use std::collections::{BTreeMap, HashMap};

use cambist_core::{digest::Digest, language::Language};
use cambist_io::{
    formats::{LineWriter, Spool},
    store::Scratch,
};
use serde_json::{Value, json};

use super::{lines, row::PromptRow};
use crate::error::PipelineError;

/// How many prompts are in memory at once.
pub(super) const CHUNK: usize = 2048;

/// The first half of a SHA-256: names a text in 16 bytes. Four small numbers and not a large one, which would stand in
/// tables of names and numbers at places that are multiples of 16, with holes in between.
pub(super) type Name = [u32; 4];

/// Returns the name of a text.
pub(super) fn name_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Name {
    let digest = Digest::of_parts(parts.into_iter().map(str::as_bytes));
    let digits = |at: usize| digest.as_str().get(8 * at..8 * at + 8);
    std::array::from_fn(|at| digits(at).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default())
}

/// A prompt ready to be put aside, with all that is computed of it side by side with others.
pub(super) struct Ready {
    pub(super) row: PromptRow,
    pub(super) encoded: Vec<u8>,
    pub(super) source: Name,
    /// Decides where its source falls.
    pub(super) draw: u64,
    /// Of the folded conversation and the language.
    pub(super) text: Name,
    pub(super) bands: Vec<u32>,
}

/// The sources: a number for each, and where it falls.
#[derive(Default)]
struct Sources {
    numbers: HashMap<Name, u32>,
    draws: Vec<u64>,
}

/// All prompts that are neither bad nor equal to another, and what became of the rest.
pub(super) struct Pile {
    spool: Spool,
    sources: Sources,
    texts: HashMap<Name, u32>,
    languages: Vec<Language>,
    source_of: Vec<u32>,
    language_of: Vec<u16>,
    is_dropped: Vec<bool>,
    bands: Vec<u32>,
    dropped: LineWriter,
    reasons: BTreeMap<String, u64>,
    warnings: BTreeMap<String, u64>,
}

impl Pile {
    pub(super) fn create(scratch: &Scratch) -> Result<Self, PipelineError> {
        Ok(Self {
            spool: Spool::create(&scratch.path("spool.part")?)?,
            sources: Sources::default(),
            texts: HashMap::new(),
            languages: Vec::new(),
            source_of: Vec::new(),
            language_of: Vec::new(),
            is_dropped: Vec::new(),
            bands: Vec::new(),
            dropped: lines(scratch, "dropped.jsonl")?,
            reasons: BTreeMap::new(),
            warnings: BTreeMap::new(),
        })
    }

    /// Puts a prompt aside unless an earlier one of its language has the same text.
    pub(super) fn push(&mut self, ready: Ready) -> Result<(), PipelineError> {
        let number = self.spool.len() as u32;
        let first = *self.texts.entry(ready.text).or_insert(number);
        if first != number {
            let same: PromptRow = self.spool.get(first as usize)?;
            return self.drop_new(&ready.row.prompt.id, "duplicate", json!({ "same_as": same.prompt.id }));
        }
        self.spool.push(&ready.encoded)?;
        let draws = &mut self.sources.draws;
        let source = *self.sources.numbers.entry(ready.source).or_insert_with(|| {
            draws.push(ready.draw);
            draws.len() as u32 - 1
        });
        self.source_of.push(source);
        let language = self.language_number(&ready.row.prompt.language);
        self.language_of.push(language);
        self.is_dropped.push(false);
        self.bands.extend(ready.bands);
        Ok(())
    }

    /// Forgets what only newcomers are compared with.
    pub(super) fn close(&mut self) {
        self.texts = HashMap::new();
        self.sources.numbers = HashMap::new();
    }

    fn language_number(&mut self, language: &Language) -> u16 {
        let known = self.languages.iter().position(|known| known == language);
        known.unwrap_or_else(|| {
            self.languages.push(language.clone());
            self.languages.len() - 1
        }) as u16
    }

    /// Counts a prompt that was never put aside.
    pub(super) fn drop_new(&mut self, id: &str, reason: &str, detail: Value) -> Result<(), PipelineError> {
        self.dropped.push(&json!({ "id": id, "reason": reason, "detail": detail }))?;
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Leaves out a prompt that was put aside.
    pub(super) fn drop_row(&mut self, number: usize, reason: &str, detail: Value) -> Result<(), PipelineError> {
        let row: PromptRow = self.spool.get(number)?;
        self.is_dropped[number] = true;
        self.drop_new(&row.prompt.id, reason, detail)
    }

    /// Counts a row that was not even read.
    pub(super) fn count_rejected(&mut self, code: &str) {
        *self.reasons.entry(code.to_owned()).or_default() += 1;
    }

    /// Counts something that a reader of the manifest should know.
    pub(super) fn warn(&mut self, what: &str) {
        *self.warnings.entry(what.to_owned()).or_default() += 1;
    }

    /// How many prompts were put aside, dropped ones included.
    pub(super) fn len(&self) -> usize {
        self.source_of.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.source_of.is_empty()
    }

    pub(super) fn n_dropped(&self) -> u64 {
        self.reasons.values().sum()
    }

    pub(super) fn is_kept(&self, number: usize) -> bool {
        !self.is_dropped[number]
    }

    pub(super) fn source_of(&self, number: usize) -> u32 {
        self.source_of[number]
    }

    /// Where a prompt's source falls.
    pub(super) fn draw_of(&self, number: usize) -> u64 {
        self.sources.draws[self.source_of[number] as usize]
    }

    pub(super) fn language_of(&self, number: usize) -> u16 {
        self.language_of[number]
    }

    pub(super) fn n_languages(&self) -> usize {
        self.languages.len()
    }

    /// Takes the sketches out, one after the other.
    pub(super) fn take_bands(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.bands)
    }

    pub(super) fn row(&mut self, number: usize) -> Result<PromptRow, PipelineError> {
        Ok(self.spool.get(number)?)
    }

    /// Reads the next [`CHUNK`] prompts, dropped ones included.
    pub(super) fn rows(&mut self, from: usize) -> Result<Vec<PromptRow>, PipelineError> {
        Ok(self.spool.get_many(from, CHUNK, |rows| rows)?)
    }

    /// Completes the list of what was dropped; returns how many for each reason and adds the warnings to `counts`.
    pub(super) fn finish(self, counts: &mut BTreeMap<String, u64>) -> Result<BTreeMap<String, u64>, PipelineError> {
        self.dropped.finish()?;
        counts.extend(self.warnings);
        Ok(self.reasons)
    }
}
