//! The files of a `select` artifact: sets for training in the field's shapes, and what led to them.

use std::{borrow::Cow, collections::BTreeMap, num::NonZeroUsize, ops::Range};

use cambist_core::{
    completion::Origin,
    language::Language,
    outline::{Answer, Line, Outline},
    prompt::{Message, Prompt, Role},
};
use cambist_io::formats::{SftRow, TableRow, TableWriter, to_jsonl};
use rayon::prelude::*;
use serde::{Serialize, Serializer};

use super::{
    Making,
    card::card,
    inflow::RowAt,
    labelling::LabelList,
    pairing::PairList,
    play::{Aligned, Played},
    preferences::Preferences,
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
    /// Labels of the shared answers, where they are wanted.
    pub labels: Option<&'a LabelList>,
}

impl Sets<'_> {
    /// `candidates.parquet`: every answer with its reward and verdict.
    pub(super) fn candidates(&self) -> Result<(), PipelineError> {
        let own = self.aligned.played.iter().filter_map(|(name, played)| Some((name.as_str(), played.own.as_ref()?)));
        let mut table = TableWriter::<CandidateRow>::create(&self.making.scratch.path(CANDIDATES)?)?;
        for (set, answers) in std::iter::once(("", self.answers)).chain(own) {
            for from in (0..answers.outline.len()).step_by(CHUNK) {
                self.making.workshop.checkpoint()?;
                let places = (from..from + CHUNK).into_par_iter();
                let lines = places.filter_map(|at| answers.outline.line(at));
                let rows: Vec<Vec<_>> = lines.map(|line| candidate_rows(set, line)).collect();
                rows.iter().flatten().try_for_each(|row| table.push_as(row))?;
            }
        }
        table.finish()?;
        Ok(())
    }

    /// `<strategy>/sft.parquet` and `.jsonl`, `pairs.parquet` and `labels.parquet` with theirs, or several files of each:
    /// the texts are read once more, and each goes where it was kept.
    pub(super) fn write(&self) -> Result<Vec<DataFiles>, PipelineError> {
        let mut files = BTreeMap::new();
        let is_shared = |(_, played): &(&String, &Played)| played.own.is_none();
        let (shared, own): (Vec<Strategy<'_>>, Vec<_>) = self.aligned.played.iter().partition(is_shared);
        let mut preferences = Preferences::create(self)?;
        files.extend(self.write_from(self.answers, &shared, Some(&mut preferences))?);
        for strategy in own {
            if let Some(answers) = &strategy.1.own {
                files.extend(self.write_from(answers, &[strategy], None)?);
            }
        }
        let mut files: Vec<DataFiles> = files.into_values().collect();
        files.extend(preferences.finish()?);
        Ok(files)
    }

    /// Writes the sets of strategies, and preferences, whose texts are in `answers`.
    fn write_from<'s>(
        &self,
        answers: &Answers,
        strategies: &[Strategy<'s>],
        mut preferences: Option<&mut Preferences<'_>>,
    ) -> Result<Vec<(&'s String, DataFiles)>, PipelineError> {
        let writer = |strategy: &Strategy<'s>| Ok((*strategy, self.sft_writer(answers, *strategy)?));
        let mut sets = strategies.iter().map(writer).collect::<Result<Vec<_>, PipelineError>>()?;
        if sets.is_empty() && preferences.as_ref().is_none_or(|preferences| preferences.is_empty()) {
            return Ok(Vec::new());
        }
        answers.each_chunk(self.making, |from, chunk| {
            let worded = Worded { outline: &answers.outline, from, chunk };
            let written = sets.par_iter_mut().map(|((_, played), set)| set.push(&self.sft_rows(played, &worded)?));
            written.collect::<Result<(), PipelineError>>()?;
            preferences.as_mut().map_or(Ok(()), |preferences| preferences.push(&worded))
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
            let blank = self.sft_row(line, answer, Turns { prompt: &[], answer: "" });
            let frame = to_jsonl([&blank])?.len();
            let prompt_bytes = answers.prompt_bytes[at] as usize;
            let comma = usize::from(prompt_bytes > 0);
            measured.push(frame + prompt_bytes + comma + answers.text_bytes[line.range().start + answer] as usize);
        }
        self.writer((name, &format!("{name}/sft")), (n_rows, measured))
    }

    /// Begins the files of a set; `measured` is what [`Cut::of`] asks for.
    pub(super) fn writer<'s, R: TableRow>(
        &'s self,
        (name, stem): (&'s str, &str),
        (n_rows, measured): (usize, Vec<usize>),
    ) -> Result<SetWriter<'s, R>, PipelineError> {
        let shard_rows = self.making.params.shard_rows.map(NonZeroUsize::get);
        SetWriter::create(self.making.scratch, (name, stem), Cut::of(n_rows, shard_rows, measured.into_iter()))
    }

    fn sft_rows<'w>(&'w self, played: &Played, worded: &Worded<'w>) -> Result<Vec<KeptRow<'w>>, PipelineError> {
        let row = |place: usize| {
            let (said, answer) = (worded.at(place)?, self.aligned.answer(played, place)?);
            let prompt = &said.prompt.messages;
            Some(said.text(answer).map(|text| self.sft_row(said.line, answer, Turns { prompt, answer: text })))
        };
        worded.places().into_par_iter().filter_map(row).collect()
    }

    fn sft_row<'w>(&'w self, line: Line<'w>, at: usize, messages: Turns<'w>) -> KeptRow<'w> {
        let answer = &line.answers()[at];
        let teacher = line.teacher(answer);
        SftRow {
            id: line.id().into(),
            source_id: line.source_id().into(),
            language: line.language(),
            source: line.source().into(),
            task: line.task().map(Cow::from),
            messages,
            teacher: teacher.into(),
            license: self.license(teacher, line.origin(at)),
            score: answer.reward,
        }
    }

    /// `README.md`: the dataset card.
    pub(super) fn card(&self, files: &[DataFiles]) -> Result<(), PipelineError> {
        let text = card(self, files);
        Ok(self.making.scratch.write("README.md", text.as_bytes())?)
    }

    /// The licence of an answer.
    pub(super) fn license(&self, teacher: &str, origin: Option<&Origin>) -> Cow<'_, str> {
        license_of(&self.making.workshop.plan.recipe, teacher, origin)
    }

    /// The answers that all strategies share, then those of strategies with their own.
    pub(super) fn outlines(&self) -> impl Iterator<Item = &Outline> {
        let own = self.aligned.played.values().filter_map(|played| played.own.as_ref());
        std::iter::once(self.answers).chain(own).map(|answers| &answers.outline)
    }
}

/// A row of a set as it is written: nothing of it is copied.
type KeptRow<'w> = SftRow<Cow<'w, str>, &'w Language, Turns<'w>>;

/// A conversation with its answer.
struct Turns<'w> {
    prompt: &'w [Message],
    answer: &'w str,
}

/// One turn of a conversation, as a [`Message`] is written.
#[derive(Serialize)]
struct Turn<'w> {
    role: Role,
    content: &'w str,
}

impl Serialize for Turns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let asked = self.prompt.iter().map(|message| Turn { role: message.role, content: &message.content });
        serializer.collect_seq(asked.chain([Turn { role: Role::Assistant, content: self.answer }]))
    }
}

/// A strategy with its name.
type Strategy<'s> = (&'s String, &'s Played);

/// Some prompts with the texts that were said to them.
pub(super) struct Worded<'a> {
    outline: &'a Outline,
    /// The place of the first.
    from: usize,
    chunk: &'a [(Prompt, Vec<RowAt>)],
}

/// A prompt with the texts that were said to it.
pub(super) struct Said<'a> {
    pub line: Line<'a>,
    pub prompt: &'a Prompt,
    wordings: &'a [RowAt],
}

impl<'a> Worded<'a> {
    /// The places of the prompts.
    pub(super) fn places(&self) -> Range<usize> {
        self.from..self.from + self.chunk.len()
    }

    /// The prompt at a place; none where it is another chunk's.
    pub(super) fn at(&self, place: usize) -> Option<Said<'a>> {
        let (prompt, wordings) = self.chunk.get(place.checked_sub(self.from)?)?;
        Some(Said { line: self.outline.line(place)?, prompt, wordings })
    }
}

impl<'a> Said<'a> {
    /// The text of one of the answers.
    pub(super) fn text(&self, at: usize) -> Result<&'a str, PipelineError> {
        let line = self.line;
        let cell = line.answers().get(at).map(|answer| (line.teacher(answer), answer.sample));
        let wording = self.wordings.iter().find(|wording| cell.is_some() && wording.cell() == cell);
        let gone = || PipelineError::Internal(format!("an answer to `{}` was there and is gone", line.id()));
        wording.and_then(RowAt::text).ok_or_else(gone)
    }
}

fn candidate_rows<'a>(set: &'a str, line: Line<'a>) -> Vec<CandidateRow<&'a str, &'a Language>> {
    let row = |answer: &Answer| CandidateRow {
        set,
        prompt_id: line.id(),
        source_id: line.source_id(),
        language: line.language(),
        task: line.task(),
        teacher: line.teacher(answer),
        sample: answer.sample,
        reward: answer.reward,
        passed: answer.stopped.is_none(),
        stopped: answer.stopped.map(|reason| reason.code()),
        tokens_in: answer.tokens_in,
        tokens_out: answer.tokens_out,
        cost_usd: answer.cost_usd,
    };
    line.answers().iter().map(row).collect()
}
