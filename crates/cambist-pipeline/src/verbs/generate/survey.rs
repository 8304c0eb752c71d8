//! Which cells the ledger does not have.

use cambist_core::{
    prompt::Prompt,
    router::{Route, route},
};
use cambist_io::ledger::KeySet;
use rayon::prelude::*;

use super::{CHUNK, Generating};
use crate::error::PipelineError;

/// Cells by place: small, so that millions can be held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells {
    /// Cells without an answer, in the order of the prompts.
    pub unanswered: Vec<Cell>,
    /// Cells whose answer was there before and has no score yet.
    pub unscored: Vec<Cell>,
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
        self.unanswered.is_empty() && self.unscored.is_empty()
    }

    /// The prompts' places and samples of one voice's unanswered cells.
    pub(super) fn unanswered_of(&self, voice: usize) -> impl Iterator<Item = (u32, u32)> {
        let of_voice = move |cell: &&Cell| usize::from(cell.voice) == voice;
        self.unanswered.iter().filter(of_voice).map(|cell| (cell.prompt, u32::from(cell.sample)))
    }

    fn append(&mut self, mut other: Self) {
        self.unanswered.append(&mut other.unanswered);
        self.unscored.append(&mut other.unscored);
    }
}

impl Generating<'_> {
    /// Names the cells that the router wants before it has seen anything and that the ledger does not have.
    pub(super) fn survey(&self) -> Result<Cells, PipelineError> {
        let answered = self.workshop.ledger().answered_keys()?;
        let mut cells = Cells::default();
        let mut prompts = (0u32..).zip(self.prompts.scan());
        loop {
            let chunk: Vec<(u32, Prompt)> = prompts
                .by_ref()
                .take(CHUNK)
                .map(|(at, prompt)| prompt.map(|prompt| (at, prompt)))
                .collect::<Result<_, PipelineError>>()?;
            if chunk.is_empty() {
                return Ok(cells);
            }
            self.workshop.checkpoint()?;
            let found: Vec<Cells> = chunk
                .into_par_iter()
                .map(|(at, prompt)| self.survey_prompt(&answered, at, prompt))
                .collect::<Result<_, PipelineError>>()?;
            found.into_iter().for_each(|of_prompt| cells.append(of_prompt));
        }
    }

    fn survey_prompt(&self, answered: &KeySet, place: u32, prompt: Prompt) -> Result<Cells, PipelineError> {
        let row = Self::blank_row(prompt);
        let mut cells = Cells::default();
        let Route::Ask(asks) = route(self.router, &self.pool.query(&row.prompt), &row) else { return Ok(cells) };
        for ask in &asks {
            let Some(voice) = self.voices.iter().position(|voice| voice.name == ask.teacher) else { continue };
            for sample in 0..ask.n_samples {
                let cell = cell((place, voice, sample))?;
                let question = self.voices[voice].question(&row.prompt, (&self.params.sampling, sample))?;
                if question.is_some_and(|question| !answered.contains(&question.key)) {
                    cells.unanswered.push(cell);
                }
            }
        }
        Ok(cells)
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
