//! The files of a `select` artifact: sets for training in the field's shapes, and what led to them.

use std::{collections::BTreeMap, num::NonZeroUsize};

use cambist_core::{
    completion::Origin,
    outline::{Answer, Line, Outline},
    prompt::{Message, Prompt},
};
use cambist_io::formats::{PreferenceRow, SftRow, TableRow, TableWriter, to_jsonl};
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    Making,
    card::card,
    inflow::RowAt,
    pairing::{PairList, PlacedPair},
    play::{Aligned, Played},
    shards::{Cut, DataFiles, SetWriter},
    survey::Answers,
};
use crate::{
    error::PipelineError,
    verbs::{
        licenses::license_of,
        tables::{CANDIDATES, CandidateRow},
    },
};

/// Prompts whose rows are made side by side.
const CHUNK: usize = 4096;

/// What the files are written from.
pub(super) struct Sets<'a> {
    pub making: &'a Making<'a>,
    /// The answers that all strategies share.
    pub answers: &'a Answers,
    /// What each strategy decided, and which prompts it keeps.
    pub aligned: &'a Aligned<'a>,
    /// Preference pairs over the shared answers, where they are wanted.
    pub pairs: Option<&'a PairList>,
}

impl Sets<'_> {
    /// `candidates.parquet`: every answer with its reward and verdict.
    pub(super) fn candidates(&self) -> Result<(), PipelineError> {
        let own = self.aligned.played.iter().filter_map(|(name, played)| Some((name.as_str(), played.own.as_ref()?)));
        let mut table = TableWriter::create(&self.making.scratch.path(CANDIDATES)?)?;
        for (set, answers) in std::iter::once(("", self.answers)).chain(own) {
            for from in (0..answers.outline.len()).step_by(CHUNK) {
                self.making.workshop.checkpoint()?;
                let places = (from..from + CHUNK).into_par_iter();
                let lines = places.filter_map(|at| answers.outline.line(at));
                let rows: Vec<Vec<CandidateRow>> = lines.map(|line| candidate_rows(set, line)).collect();
                rows.iter().flatten().try_for_each(|row| table.push(row))?;
            }
        }
        table.finish()?;
        Ok(())
    }

    /// `<strategy>/sft.parquet` and `.jsonl`, `pairs.parquet` and `.jsonl`, or several files of each: the texts are read
    /// once more, and each goes where it was kept.
    pub(super) fn write(&self) -> Result<Vec<DataFiles>, PipelineError> {
        let mut files = BTreeMap::new();
        let is_shared = |(_, played): &(&String, &Played)| played.own.is_none();
        let (shared, own): (Vec<Strategy<'_>>, Vec<_>) = self.aligned.played.iter().partition(is_shared);
        let mut of_pairs = self.pairs.map(|pairs| self.pairs_writer(pairs)).transpose()?;
        let pairs = self.pairs.zip(of_pairs.as_mut());
        files.extend(self.write_from(self.answers, &shared, pairs)?);
        for strategy in own {
            if let Some(answers) = &strategy.1.own {
                files.extend(self.write_from(answers, &[strategy], None)?);
            }
        }
        let mut files: Vec<DataFiles> = files.into_values().collect();
        files.extend(of_pairs.map(SetWriter::finish).transpose()?);
        Ok(files)
    }

    /// Writes the sets of strategies, and the pairs, whose texts are in `answers`.
    fn write_from<'s>(
        &self,
        answers: &Answers,
        strategies: &[Strategy<'s>],
        mut pairs: Option<(&PairList, &mut SetWriter<'_, PreferenceRow>)>,
    ) -> Result<Vec<(&'s String, DataFiles)>, PipelineError> {
        let writer = |strategy: &Strategy<'s>| Ok((*strategy, self.sft_writer(answers, *strategy)?));
        let mut sets = strategies.iter().map(writer).collect::<Result<Vec<_>, PipelineError>>()?;
        if sets.is_empty() && pairs.is_none() {
            return Ok(Vec::new());
        }
        answers.each_chunk(self.making, |from, chunk| {
            let worded = Worded { outline: &answers.outline, from, chunk };
            let written = sets.par_iter_mut().map(|((_, played), set)| set.push(&self.sft_rows(played, &worded)?));
            written.collect::<Result<(), PipelineError>>()?;
            match &mut pairs {
                Some((pairs, set)) => set.push(&self.preference_rows(pairs, &worded)?),
                None => Ok(()),
            }
        })?;
        sets.into_iter().map(|((name, _), set)| Ok((name, set.finish()?))).collect()
    }

    fn sft_writer<'s>(
        &'s self,
        answers: &Answers,
        (name, played): Strategy<'s>,
    ) -> Result<SetWriter<'s, SftRow>, PipelineError> {
        let n_rows = self.aligned.n_kept(name);
        let mut measured = Vec::new();
        for (at, answer) in self.aligned.kept(played).step_by(Cut::step(n_rows)) {
            let Some(line) = answers.outline.line(at) else { continue };
            let frame = to_jsonl([&self.sft_row(line, answer, vec![Message::assistant("")])])?.len();
            let prompt_bytes = answers.prompt_bytes[at] as usize;
            let comma = usize::from(prompt_bytes > 0);
            measured.push(frame + prompt_bytes + comma + answers.text_bytes[line.range().start + answer] as usize);
        }
        self.writer((name, &format!("{name}/sft")), (n_rows, measured))
    }

    fn pairs_writer(&self, pairs: &PairList) -> Result<SetWriter<'_, PreferenceRow>, PipelineError> {
        let n_rows = pairs.pairs.len();
        let mut measured = Vec::new();
        for pair in pairs.pairs.iter().step_by(Cut::step(n_rows)) {
            let Some(line) = self.answers.outline.line(pair.at as usize) else { continue };
            let frame = to_jsonl([&preference_row(line, pair, (Vec::new(), ["", ""]))])?.len();
            let text_bytes = |answer: u32| self.answers.text_bytes[line.range().start + answer as usize] as usize;
            let prompt_bytes = self.answers.prompt_bytes[pair.at as usize] as usize;
            measured.push(frame + prompt_bytes + text_bytes(pair.chosen) + text_bytes(pair.rejected));
        }
        self.writer((PAIRS, PAIRS), (n_rows, measured))
    }

    fn writer<'s, R: TableRow + Sync>(
        &'s self,
        (name, stem): (&'s str, &str),
        (n_rows, measured): (usize, Vec<usize>),
    ) -> Result<SetWriter<'s, R>, PipelineError> {
        let shard_rows = self.making.params.shard_rows.map(NonZeroUsize::get);
        SetWriter::create(self.making.scratch, (name, stem), Cut::of(n_rows, shard_rows, measured.into_iter()))
    }

    fn sft_rows(&self, played: &Played, worded: &Worded<'_>) -> Result<Vec<SftRow>, PipelineError> {
        let row = |(at, (prompt, wordings)): (usize, &(Prompt, Vec<RowAt>))| {
            let line = worded.outline.line(worded.from + at)?;
            let answer = self.aligned.answer(played, worded.from + at)?;
            let turn = text_of(wordings, line, answer).map(Message::assistant);
            let messages = |turn| prompt.messages.iter().cloned().chain([turn]).collect();
            Some(turn.map(|turn| self.sft_row(line, answer, messages(turn))))
        };
        worded.chunk.par_iter().enumerate().filter_map(row).collect()
    }

    fn preference_rows(&self, pairs: &PairList, worded: &Worded<'_>) -> Result<Vec<PreferenceRow>, PipelineError> {
        let row = |pair: &PlacedPair| {
            let at = pair.at as usize;
            let line = worded.outline.line(at)?;
            let (prompt, wordings) = worded.chunk.get(at - worded.from)?;
            let text = |answer: u32| text_of(wordings, line, answer as usize);
            let texts = text(pair.chosen).and_then(|chosen| Ok([chosen, text(pair.rejected)?]));
            Some(texts.map(|texts| preference_row(line, pair, (prompt.messages.clone(), texts))))
        };
        pairs.between(worded.from, worded.from + worded.chunk.len()).par_iter().filter_map(row).collect()
    }

    fn sft_row(&self, line: Line<'_>, at: usize, messages: Vec<Message>) -> SftRow {
        let answer = &line.answers()[at];
        let teacher = line.teacher(answer);
        SftRow {
            id: line.id().to_owned(),
            source_id: line.source_id().to_owned(),
            language: line.language().clone(),
            source: line.source().to_owned(),
            task: line.task().map(str::to_owned),
            messages,
            teacher: teacher.to_owned(),
            license: self.license(teacher, line.origin(at)),
            score: answer.reward,
        }
    }

    /// `README.md`: the dataset card.
    pub(super) fn card(&self, files: &[DataFiles]) -> Result<(), PipelineError> {
        let text = card(self, self.pairs.map(|pairs| pairs.pairs.len()), files);
        Ok(self.making.scratch.write("README.md", text.as_bytes())?)
    }

    /// The licence of an answer.
    pub(super) fn license(&self, teacher: &str, origin: Option<&Origin>) -> String {
        license_of(&self.making.workshop.plan.recipe, teacher, origin)
    }

    /// The answers that all strategies share, then those of strategies with their own.
    pub(super) fn outlines(&self) -> impl Iterator<Item = &Outline> {
        let own = self.aligned.played.values().filter_map(|played| played.own.as_ref());
        std::iter::once(self.answers).chain(own).map(|answers| &answers.outline)
    }
}

/// The set of the preference pairs.
const PAIRS: &str = "pairs";

/// A strategy with its name.
type Strategy<'s> = (&'s String, &'s Played);

/// Some prompts with the texts that were said to them.
struct Worded<'a> {
    outline: &'a Outline,
    /// The place of the first.
    from: usize,
    chunk: &'a [(Prompt, Vec<RowAt>)],
}

/// An answer's words as they lie in their table.
#[derive(Deserialize)]
struct Wording<'r> {
    teacher: &'r str,
    sample: u32,
    text: &'r str,
}

/// The text of one of the answers.
fn text_of<'w>(wordings: &'w [RowAt], line: Line<'_>, at: usize) -> Result<&'w str, PipelineError> {
    let cell = line.answers().get(at).map(|answer| (line.teacher(answer), answer.sample));
    for wording in wordings {
        let Wording { teacher, sample, text } = wording.read()?;
        if Some((teacher, sample)) == cell {
            return Ok(text);
        }
    }
    Err(PipelineError::Internal(format!("an answer to `{}` was there and is gone", line.id())))
}

fn preference_row(line: Line<'_>, pair: &PlacedPair, (prompt, texts): (Vec<Message>, [&str; 2])) -> PreferenceRow {
    let [chosen, rejected] = [pair.chosen, pair.rejected].map(|at| &line.answers()[at as usize]);
    let [chosen_text, rejected_text] = texts.map(|text| vec![Message::assistant(text)]);
    PreferenceRow {
        id: line.id().to_owned(),
        source_id: line.source_id().to_owned(),
        language: line.language().clone(),
        source: line.source().to_owned(),
        prompt,
        chosen: chosen_text,
        rejected: rejected_text,
        chosen_model: line.teacher(chosen).to_owned(),
        rejected_model: line.teacher(rejected).to_owned(),
        chosen_score: chosen.reward.unwrap_or(f64::NAN),
        rejected_score: rejected.reward.unwrap_or(f64::NAN),
        margin: pair.margin,
    }
}

fn candidate_rows(set: &str, line: Line<'_>) -> Vec<CandidateRow> {
    let row = |answer: &Answer| CandidateRow {
        set: set.to_owned(),
        prompt_id: line.id().to_owned(),
        source_id: line.source_id().to_owned(),
        language: line.language().clone(),
        task: line.task().map(str::to_owned),
        teacher: line.teacher(answer).to_owned(),
        sample: answer.sample,
        reward: answer.reward,
        passed: answer.stopped.is_none(),
        stopped: answer.stopped.map(|reason| reason.code().to_owned()),
        tokens_in: answer.tokens_in,
        tokens_out: answer.tokens_out,
        cost_usd: answer.cost_usd,
    };
    line.answers().iter().map(row).collect()
}
