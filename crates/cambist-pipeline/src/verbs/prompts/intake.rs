//! The first pass: rows of files become prompts with a language, or bad rows with a reason.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use cambist_core::{
    identify::{can_identify, identify, is_same_or_relative},
    language::Language,
    minhash::{NearDuplicatesError, Sketcher},
    prompt::{Prompt, Role},
    split::{draw, fold_conversation},
};
use cambist_io::{
    formats::{
        FormatError, LineWriter, MAX_FAULTS, Place, Problem, PromptStream, RawPrompt, RowFault, Spool, files_of,
        rows::RowError,
    },
    store::Scratch,
};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{
    Making, lines,
    pile::{CHUNK, Name, Pile, Ready, name_of},
    row::PromptRow,
};
use crate::{
    error::PipelineError,
    recipe::params::{BadRows, PromptsParams},
};

/// A language is told by this many characters; more would only take longer.
const LOOKED_AT: usize = 400;

/// From this confidence on an identified language speaks against the declared one.
const SURE: f64 = 0.9;

/// Takes prompts in and lists the bad rows.
pub(super) struct Intake<'a> {
    making: &'a Making<'a>,
    sketcher: Option<Sketcher>,
    rejected: Option<LineWriter>,
    /// Where each id stood first.
    ids: HashMap<Name, Stood>,
    files: Vec<PathBuf>,
    faults: Vec<RowFault>,
    n_faults: usize,
}

/// The file and the place of a row in twelve bytes: those of a million are in memory at once.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stood {
    file: u32,
    /// The number's high and low half; the highest bit of all says that it counts lines.
    number: [u32; 2],
}

/// Set in the numbers of lines.
const COUNTS_LINES: u64 = 1 << 63;

impl Stood {
    fn at(file: u32, place: Place) -> Self {
        let number = match place {
            Place::Line(number) => number | COUNTS_LINES,
            Place::Row(number) => number,
        };
        Self { file, number: [(number >> 32) as u32, number as u32] }
    }

    fn place(self) -> Place {
        let [high, low] = self.number.map(u64::from);
        let number = high << 32 | low;
        if number & COUNTS_LINES == 0 { Place::Row(number) } else { Place::Line(number & !COUNTS_LINES) }
    }
}

/// What becomes of one row of a file.
enum Taken {
    Prompt(Box<(Ready, bool)>),
    Dropped { id: String, reason: &'static str, detail: Value },
}

impl<'a> Intake<'a> {
    pub(super) fn new(making: &'a Making<'a>, scratch: &Scratch) -> Result<Self, PipelineError> {
        let params = making.params;
        let refuse = |error: NearDuplicatesError| making.refuse(error.to_string(), "mend `near_duplicates`");
        let sketcher = params.near_duplicates.map(Sketcher::new).transpose().map_err(refuse)?;
        let drops = params.polyglot.is_none() && params.bad_rows == BadRows::Drop;
        let rejected = if drops { Some(lines(scratch, "rejected.jsonl")?) } else { None };
        let (ids, files, faults) = (HashMap::new(), Vec::new(), Vec::new());
        Ok(Self { making, sketcher, rejected, ids, files, faults, n_faults: 0 })
    }

    /// Takes prompts of which nothing is in doubt.
    pub(super) fn take_prompts(&mut self, pile: &mut Pile, prompts: Vec<Prompt>) -> Result<(), PipelineError> {
        for chunk in prompts.chunks(CHUNK) {
            let ready = |prompt: &Prompt| self.ready(PromptRow { prompt: prompt.clone(), language_confidence: None });
            for ready in chunk.par_iter().map(ready).collect::<Vec<_>>() {
                pile.push(ready?)?;
            }
        }
        pile.close();
        Ok(())
    }

    /// Takes all files of a source.
    pub(super) fn take_source(&mut self, pile: &mut Pile, source: &Path) -> Result<(), PipelineError> {
        for file in files_of(source)? {
            self.files.push(file.clone());
            self.take_file(pile, &file)?;
        }
        pile.close();
        Ok(())
    }

    fn take_file(&mut self, pile: &mut Pile, file: &Path) -> Result<(), PipelineError> {
        let making = self.making;
        let mut stream = PromptStream::open(file, &making.params.columns)?;
        let stem = &self.stem(file);
        let mut number = 0;
        loop {
            making.workshop.checkpoint()?;
            let mut chunk = Vec::with_capacity(CHUNK);
            for row in stream.by_ref().take(CHUNK) {
                match row {
                    Ok(raw) => {
                        chunk.push(self.check(raw, format!("{stem}-{number}")));
                        number += 1;
                    }
                    Err(RowError::Row(fault)) => chunk.push(Err(fault)),
                    Err(RowError::File(error)) => return Err(error.into()),
                }
            }
            if chunk.is_empty() {
                break;
            }
            self.take_chunk(pile, chunk, stem)?;
        }
        stream.check_columns()?;
        if self.n_faults == 0 {
            return Ok(());
        }
        Err(FormatError::of_rows(file.to_owned(), std::mem::take(&mut self.faults), self.n_faults).into())
    }

    /// What names the prompts of a file that have no names: its own, with its number where an earlier file has the same.
    fn stem(&self, file: &Path) -> String {
        let earlier = self.files.len() - 1;
        let is_taken = self.files[..earlier].iter().any(|other| stem(other) == stem(file));
        if is_taken { format!("{}-{earlier}", stem(file)) } else { stem(file).to_owned() }
    }

    /// Compares what only the order of the rows can tell.
    fn check(&mut self, raw: RawPrompt, name: String) -> Result<(RawPrompt, String), RowFault> {
        let id = raw.id.as_deref().unwrap_or(&name);
        let here = Stood::at(self.files.len() as u32 - 1, raw.place);
        let stood = *self.ids.entry(name_of([id])).or_insert(here);
        let fault = |problem| Err(RowFault { place: raw.place, problem });
        if stood != here {
            let (id, first) = (id.to_owned(), stood.place());
            return match self.files.get(stood.file as usize).filter(|_| stood.file != here.file) {
                Some(other) => fault(Problem::DuplicateAcross { id, first, file: other.clone() }),
                None => fault(Problem::DuplicateId { id, first }),
            };
        }
        let found: usize = raw.messages.iter().map(|message| message.content.chars().count()).sum();
        match self.making.params.max_chars {
            Some(limit) if found > limit => fault(Problem::Overlong { found, limit }),
            _ => Ok((raw, name)),
        }
    }

    fn take_chunk(
        &mut self,
        pile: &mut Pile,
        chunk: Vec<Result<(RawPrompt, String), RowFault>>,
        stem: &str,
    ) -> Result<(), PipelineError> {
        let take = |row: Result<(RawPrompt, String), RowFault>| match row {
            Ok(named) => self.take(named, stem).map(Ok),
            Err(fault) => Ok(Err(fault)),
        };
        let taken: Result<Vec<Result<Taken, RowFault>>, PipelineError> = chunk.into_par_iter().map(take).collect();
        for taken in taken? {
            match taken {
                Ok(Taken::Prompt(prompt)) => {
                    let (ready, is_mismatch) = *prompt;
                    if is_mismatch {
                        pile.warn("language_mismatch");
                    }
                    pile.push(ready)?;
                }
                Ok(Taken::Dropped { id, reason, detail }) => pile.drop_new(&id, reason, detail)?,
                Err(fault) => self.reject(pile, fault)?,
            }
        }
        Ok(())
    }

    fn reject(&mut self, pile: &mut Pile, fault: RowFault) -> Result<(), PipelineError> {
        let Some(rejected) = &mut self.rejected else {
            self.n_faults += 1;
            self.faults.extend((self.faults.len() < MAX_FAULTS).then_some(fault));
            return Ok(());
        };
        let file = self.files.last().and_then(|file| file.file_name()).unwrap_or_default().to_string_lossy();
        let RowFault { place, problem } = fault;
        let code = problem.code();
        pile.count_rejected(code);
        let line = json!({ "file": file, "place": place.to_string(), "reason": code, "problem": problem.to_string() });
        Ok(rejected.push(&line)?)
    }

    /// Gives a prompt its language, or says why it is left out.
    fn take(&self, (raw, name): (RawPrompt, String), stem: &str) -> Result<Taken, PipelineError> {
        let id = raw.id.clone().unwrap_or_else(|| name.clone());
        let place = raw.place.to_string();
        let params = self.making.params;
        let Some((language, language_confidence, is_mismatch)) = language_of(&raw, params) else {
            return Ok(Taken::Dropped { id, reason: "no_language", detail: json!({ "place": place }) });
        };
        if language_confidence.is_some_and(|confidence| confidence < params.min_language_confidence) {
            let detail = json!({ "place": place, "language": language, "confidence": language_confidence });
            return Ok(Taken::Dropped { id, reason: "uncertain_language", detail });
        }
        if !params.languages.is_empty() && !params.languages.contains(&language) {
            return Ok(Taken::Dropped { id, reason: "other_language", detail: json!({ "language": language }) });
        }
        let mut prompt = raw.into_prompt(language, name);
        if prompt.source.is_empty() {
            prompt.source = stem.to_owned();
        }
        let ready = self.ready(PromptRow { prompt, language_confidence })?;
        Ok(Taken::Prompt(Box::new((ready, is_mismatch))))
    }

    fn ready(&self, row: PromptRow) -> Result<Ready, PipelineError> {
        let prompt = &row.prompt;
        let folded = fold_conversation(prompt);
        let bands = self.sketcher.as_ref().map(|sketcher| sketcher.sketch(&sketcher.shingles(&folded)));
        Ok(Ready {
            encoded: Spool::encode(&row)?,
            source: name_of([prompt.source_id.as_str()]),
            draw: draw(self.making.seed, &prompt.source_id),
            text: name_of([prompt.language.as_str(), &folded]),
            bands: bands.unwrap_or_default(),
            row,
        })
    }

    /// Completes the list of rejected rows.
    pub(super) fn finish(self) -> Result<(), PipelineError> {
        Ok(self.rejected.map_or(Ok(()), LineWriter::finish)?)
    }
}

/// The language, its confidence where it was identified, and whether a declared one is contradicted.
fn language_of(raw: &RawPrompt, params: &PromptsParams) -> Option<(Language, Option<f64>, bool)> {
    let texts = raw.messages.iter().rev().filter(|message| message.role != Role::Assistant);
    let found = || {
        let start = |text: &str| text.chars().take(LOOKED_AT).collect::<String>();
        texts.clone().find_map(|message| identify(&start(&message.content)))
    };
    let Some(declared) = &raw.language else {
        return match &params.language {
            Some(language) => Some((language.clone(), None, false)),
            None => found().map(|found| (found.language, Some(found.confidence), false)),
        };
    };
    let is_other = can_identify(declared)
        && found().is_some_and(|found| found.confidence >= SURE && !is_same_or_relative(&found.language, declared));
    Some((declared.clone(), None, is_other))
}

fn stem(file: &Path) -> &str {
    file.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next()).unwrap_or("file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_as_they_were() {
        for number in [0, 1, u64::from(u32::MAX) + 7, (1 << 62) + 5] {
            for place in [Place::Line(number), Place::Row(number)] {
                assert_eq!(Stood::at(3, place).place(), place);
            }
        }
        assert_eq!(size_of::<(Name, Stood)>(), 28, "no holes");
    }
}
