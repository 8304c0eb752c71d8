//! Answers that were there before this run go to the arbiters, and whoever compares answers rules on whole prompts.

use cambist_core::{completion::Completion, prompt::Prompt};
use rayon::prelude::*;

use super::{
    Generating,
    collect::Open,
    survey::{Cell, Cells, cell},
};
use crate::{
    error::PipelineError,
    verbs::{
        contest::{Contest, JudgesAgreement, Showing, rule},
        scoring::Scoring,
    },
};

impl Generating<'_> {
    /// Scores the answers that were there before this run.
    pub(super) fn score_known(&self, cells: &Cells, scoring: &Scoring<'_>) -> Result<(), PipelineError> {
        let mut read = self.reader();
        for &cell in &cells.unscored {
            let Some(prompt) = read.prompt(cell.prompt)? else { return Ok(()) };
            if let Some(completion) = self.known(prompt, cell)? {
                scoring.submit(prompt, &completion.teacher, completion.text)?;
            }
        }
        Ok(())
    }

    /// Has the answers to each prompt compared whose answers are all there.
    pub(super) fn compare(&self, cells: &Cells, scoring: &Scoring<'_>) -> Result<(), PipelineError> {
        let mut read = self.reader();
        for of_prompt in cells.uncompared.chunk_by(|one, next| one.prompt == next.prompt) {
            let Some(prompt) = read.prompt(of_prompt[0].prompt)? else { return Ok(()) };
            let known = of_prompt.iter().map(|&cell| self.known(prompt, cell)).collect::<Result<Vec<_>, _>>()?;
            let answers: Vec<Completion> = known.into_iter().flatten().collect();
            scoring.compare(|showing| Contest::new(prompt, answers.iter().collect(), showing));
        }
        Ok(())
    }

    /// Lets every judge that compares rule on the prompts that wait for nothing; those with answers that nobody
    /// compared yet go into `wanted`.
    pub(super) fn rule(
        &self,
        chunk: &mut [Open],
        (wanted, agreement): (&mut Vec<Cell>, &mut JudgesAgreement),
    ) -> Result<(), PipelineError> {
        let members = self.scorer.iter().flat_map(|scorer| scorer.members().iter().enumerate());
        let judges = members.filter_map(|(at, member)| {
            let (judge, showing) = member.judge()?;
            Some((at, judge, showing))
        });
        for (at, judge, showing) in judges {
            let decided = chunk.iter().filter(|open| !open.is_waiting);
            let contests: Vec<Contest<'_>> = decided.map(|open| open.contest(showing)).collect();
            let rulings = rule(self.workshop, judge, &contests)?;
            for (open, ruling) in chunk.iter_mut().filter(|open| !open.is_waiting).zip(rulings) {
                if !ruling.is_whole {
                    open.is_waiting = true;
                    wanted.extend(self.cells_of_row(open)?);
                    continue;
                }
                agreement.add(judge, &open.row.prompt.language, ruling.agreement);
                for (said, score) in open.scores.iter_mut().zip(ruling.scores) {
                    said[at] = score;
                }
            }
        }
        Ok(())
    }

    /// Lets every rule about all answers to a prompt score them, now that they are all there.
    pub(super) fn agree(&self, chunk: &mut [Open]) {
        let members = self.scorer.iter().flat_map(|scorer| scorer.members().iter().enumerate());
        for (at, consensus) in members.filter_map(|(at, member)| Some((at, member.consensus()?))) {
            chunk.par_iter_mut().for_each(|open| {
                let answers: Vec<&Completion> = open.row.candidates.iter().map(|of| &of.completion).collect();
                let scores = consensus.scores(&open.row.prompt, &answers);
                for (said, score) in open.scores.iter_mut().zip(scores) {
                    said[at] = score;
                }
            });
        }
    }

    fn cells_of_row(&self, open: &Open) -> Result<Vec<Cell>, PipelineError> {
        let of_candidate = |completion: &Completion| {
            let voice = self.voices.iter().position(|voice| voice.name == completion.teacher)?;
            Some(cell((open.place, voice, completion.sample)))
        };
        open.row.candidates.iter().filter_map(|candidate| of_candidate(&candidate.completion)).collect()
    }

    /// What the ledger, or a file, has for a cell.
    fn known(&self, prompt: &Prompt, Cell { voice, sample, .. }: Cell) -> Result<Option<Completion>, PipelineError> {
        let (voice, sample) = (usize::from(voice), u32::from(sample));
        let record = match self.namings[voice].key(prompt, sample)? {
            Some(key) => self.workshop.ledger().find_outcomes(&[key])?.pop().flatten(),
            None => None,
        };
        Ok(self.voices[voice].completion(prompt, sample, record))
    }

    fn reader(&self) -> Reader<impl Iterator<Item = (u32, Result<Prompt, PipelineError>)>> {
        Reader { prompts: (0u32..).zip(self.prompts.scan()), current: None }
    }
}

impl Open {
    fn contest(&self, showing: &Showing) -> Contest<'_> {
        let answers = self.row.candidates.iter().map(|candidate| &candidate.completion);
        Contest::new(&self.row.prompt, answers.collect(), showing)
    }
}

/// Reads prompts by their places, which only grow.
struct Reader<I> {
    prompts: I,
    current: Option<(u32, Prompt)>,
}

impl<I: Iterator<Item = (u32, Result<Prompt, PipelineError>)>> Reader<I> {
    /// The prompt at a place; none behind the last.
    fn prompt(&mut self, place: u32) -> Result<Option<&Prompt>, PipelineError> {
        while self.current.as_ref().is_none_or(|(at, _)| *at < place) {
            let Some((at, prompt)) = self.prompts.next() else { return Ok(None) };
            self.current = Some((at, prompt?));
        }
        Ok(self.current.as_ref().map(|(_, prompt)| prompt))
    }
}
