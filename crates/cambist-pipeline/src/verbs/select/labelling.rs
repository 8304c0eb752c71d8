//! Labels for all answers of a step, without their texts.

use cambist_core::{
    labels::{Cut, Label, LabelOptions, Labelling},
    language::Language,
    outline::Line,
    pool::Pool,
    reward::Scales,
    tally::Tally,
};
use cambist_io::formats::LineWriter;
use serde_json::json;

use super::{Making, survey::Answers};
use crate::error::PipelineError;

/// Prompts whose answers are labelled side by side.
const CHUNK: usize = 4096;

/// The labels of a step's answers.
pub(super) struct LabelList {
    /// By the places of the answers among all of the outline.
    labels: Vec<Label>,
    /// Per language: answers by label, and by every reason why there is none.
    pub tally: Tally,
}

impl LabelList {
    /// Labels the answers.
    pub(super) fn make(
        making: &Making<'_>,
        (answers, pool): (&Answers, &Pool),
        options: &LabelOptions,
    ) -> Result<Self, PipelineError> {
        let scales = Scales::of_outline(&answers.outline);
        let labelling = Labelling { pool, scales: &scales, options };
        let cuts = cuts(&labelling, answers);
        let mut list = Self { labels: Vec::new(), tally: Tally::default() };
        for from in (0..answers.outline.len()).step_by(CHUNK) {
            making.workshop.checkpoint()?;
            let made = answers.each_row(from..from + CHUNK, &answers.of_labels, |line, row, likeness| {
                labelling.labels(row, likeness, cuts[line.language_place()])
            });
            for (at, labels) in (from..).zip(made) {
                if let Some(line) = answers.outline.line(at) {
                    labels.iter().for_each(|label| list.tally.add(line.language(), label.code()));
                }
                list.labels.extend(labels);
            }
        }
        Ok(list)
    }

    /// The answers to a prompt that have a label, by their places in the line, and whether they are wanted.
    pub(super) fn labelled(&self, line: Line<'_>) -> impl Iterator<Item = (usize, bool)> + use<'_> {
        self.of(line).iter().enumerate().filter_map(|(at, label)| Some((at, label.is_wanted()?)))
    }

    /// How many answers are wanted (true) or not.
    pub(super) fn n_labelled(&self, wanted: bool) -> usize {
        let label = if wanted { Label::Wanted } else { Label::Unwanted };
        self.tally.of_code(label.code())
    }

    /// Writes down every answer without a label, and why.
    pub(super) fn write_dropped(&self, answers: &Answers, lines: &mut LineWriter) -> Result<(), PipelineError> {
        for line in answers.outline.lines() {
            for (answer, label) in line.answers().iter().zip(self.of(line)).filter(|(_, l)| l.is_wanted().is_none()) {
                let (id, teacher, sample) = (line.id(), line.teacher(answer), answer.sample);
                let reason = label.code();
                lines.push(&json!({
                    "set": "labels", "prompt_id": id, "teacher": teacher, "sample": sample, "reason": reason,
                }))?;
            }
        }
        Ok(())
    }

    /// Languages that have answers of one kind alone, in words: they teach which language is wanted, and no more.
    pub(super) fn one_sided(&self) -> Vec<String> {
        let count = |language: &Language, label: Label| self.tally.count(language, label.code());
        let told = |language: &Language| match (count(language, Label::Wanted), count(language, Label::Unwanted)) {
            (0, 0) => Some(format!("`labels`: no answer in `{language}` has a label")),
            (0, n) => Some(format!("`labels`: all {n} labelled answers in `{language}` are unwanted")),
            (n, 0) => Some(format!("`labels`: all {n} labelled answers in `{language}` are wanted")),
            _ => None,
        };
        self.tally.counts().keys().filter_map(told).collect()
    }

    /// The labels of a prompt's answers, in their order.
    fn of(&self, line: Line<'_>) -> &[Label] {
        self.labels.get(line.range()).unwrap_or_default()
    }
}

/// Where rewards are cut, by the place of the language; none where the rule looks at prompts alone.
fn cuts(labelling: &Labelling<'_>, answers: &Answers) -> Vec<Option<Cut>> {
    let languages = answers.outline.languages();
    let mut rewards = vec![Vec::new(); languages.len()];
    for from in (0..answers.outline.len()).step_by(CHUNK) {
        let of_rows = answers.each_row(from..from + CHUNK, &answers.of_labels, |line, row, likeness| {
            (line.language_place(), labelling.language_rewards(row, likeness))
        });
        of_rows.into_iter().for_each(|(language, of_row)| rewards[language].extend(of_row));
    }
    languages.iter().zip(&rewards).map(|(language, rewards)| labelling.language_cut(language, rewards)).collect()
}
