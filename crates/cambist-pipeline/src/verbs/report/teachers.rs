//! Teachers: what each one's answers are worth, and what the pool would lose without it.

use std::collections::{BTreeMap, BTreeSet};

use cambist_core::{
    candidate::{Candidate, Row as AnswerRow},
    gates,
    language::Language,
    metrics::{Accuracy, PerLanguage, TeacherValue, pool_value},
    prompt::Prompt,
    reward::Scales,
    teacher::{Coverage, Teacher, TeacherKind},
};

use super::{
    material::{AnswerSet, Material},
    measure::{interval_of_means, label, means},
    students::capital,
};
use crate::report::{Block, Cell, Column, Direction, Heat, HeatRow, Origin, Plot, Row, Section, Style, Table, Words};

/// One section over all sets of answers; none without any.
pub(super) fn section(material: &Material<'_>) -> Option<Section> {
    let several = material.answers.len() > 1;
    let blocks = material.answers.iter().flat_map(|answers| {
        let heading = several.then(|| Block::Heading(format!("Answers of {}", answers.label)));
        let view = View::new(answers, material);
        heading.into_iter().chain(view.blocks())
    });
    let blocks: Vec<Block> = blocks.collect();
    (!blocks.is_empty()).then(|| Section { title: "Teachers".into(), blocks })
}

/// The best valid reward of anyone.
pub(super) fn best_reward(row: &AnswerRow) -> Option<f64> {
    row.candidates.iter().filter_map(Candidate::valid_reward).max_by(f64::total_cmp)
}

struct View<'a> {
    answers: &'a AnswerSet,
    seed: u64,
    /// By teacher: the mean reward of its valid answers.
    worth: BTreeMap<&'a str, PerLanguage<Accuracy>>,
}

impl<'a> View<'a> {
    fn new(answers: &'a AnswerSet, material: &Material<'_>) -> Self {
        let seed = material.recipe.seed;
        let of = |teacher: &'a Teacher| {
            let values = rewards(answers, &teacher.id);
            (teacher.id.as_str(), means(values, seed))
        };
        Self { answers, seed, worth: answers.pool.teachers().iter().map(of).collect() }
    }

    fn blocks(&self) -> Vec<Block> {
        if self.worth.values().all(|worth| worth.macro_mean.is_none()) {
            let why = "No answer of any teacher was both valid and scored, so there is nothing to compare.";
            return vec![Block::Paragraph(why.into()), self.pool_table()];
        }
        let mut blocks = vec![self.by_language(), self.language_table()];
        blocks.extend(self.by_task());
        blocks.extend([self.pool_table(), self.gate_table()]);
        blocks
    }

    fn teachers(&self) -> &'a [Teacher] {
        self.answers.pool.teachers()
    }

    fn rows(&self) -> &'a [AnswerRow] {
        self.answers.matrix.rows()
    }

    fn languages(&self) -> BTreeSet<&'a Language> {
        self.rows().iter().map(|row| &row.prompt.language).collect()
    }

    fn origin(&self) -> Origin {
        Origin {
            n: format!("{} prompts in {} languages", self.rows().len(), self.languages().len()),
            interval: interval_of_means(),
            artifacts: self
                .answers
                .sources
                .iter()
                .cloned()
                .chain([self.answers.artifact.clone()])
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            ..Origin::default()
        }
    }

    fn by_language(&self) -> Block {
        let measure = &self.answers.measure;
        let value = |teacher: &Teacher, language: &Language| {
            Some(measure.factor * self.worth.get(teacher.id.as_str())?.languages.get(language)?.mean.value)
        };
        let row = |language: &&Language| HeatRow {
            label: label(language),
            values: self.teachers().iter().map(|teacher| value(teacher, language)).collect(),
        };
        let heat = Heat {
            title: format!("{} of each teacher’s valid answers", measure.title()),
            style: measure.style,
            direction: Direction::HigherIsBetter,
            columns: self.teachers().iter().map(|teacher| teacher.id.clone()).collect(),
            rows: self.languages().iter().map(row).collect(),
        };
        let caption =
            "What each teacher’s answers are worth in each language. Hatched: the teacher does not cover the \
                       language, or gave no valid answer; the best of a language is outlined."
                .into();
        Block::Figure { plot: Plot::Heat(heat), caption, origin: self.origin() }
    }

    /// Best teacher, a random one, and an oracle, per language.
    fn language_table(&self) -> Block {
        let measure = &self.answers.measure;
        let everyone = means(self.rows().iter().filter_map(|row| Some((&row.prompt, mean_reward(row)?))), self.seed);
        let oracle = means(self.rows().iter().filter_map(|row| Some((&row.prompt, best_reward(row)?))), self.seed);
        let estimate = |of: Option<&Accuracy>| -> Cell { of.map(|accuracy| measure.estimate(accuracy)).into() };
        let row = |language: &&Language| {
            let best = self.best_of(language);
            let best_name =
                best.map_or(Cell::Missing("nobody has a valid answer".into()), |(name, _)| Words::from(name).into());
            let best_mean = best.map(|(_, accuracy)| accuracy);
            let top = oracle.languages.get(*language);
            let room = top.zip(best_mean).map(|(top, best)| measure.factor * (top.mean.value - best.mean.value));
            Row::new(vec![
                label(language).into(),
                Cell::Count(self.rows().iter().filter(|row| row.prompt.language == **language).count() as u64),
                best_name,
                estimate(best_mean),
                estimate(everyone.languages.get(*language)),
                estimate(top),
                room.map_or(Cell::Missing("nothing to compare".into()), Cell::Number),
            ])
        };
        let table = Table {
            caption:
                "The best teacher of each language beside a teacher drawn by lot among those asked, and an oracle \
                      that always keeps the best valid answer. What the oracle adds is the most that choosing per \
                      prompt can gain over the best teacher of the language; the best teacher is chosen on these same \
                      answers, which flatters it. n counts prompts; a mean is over those with a valid answer."
                    .into(),
            columns: vec![
                Column::words("Language"),
                Column::numbers("n", "", Style::plain(0)),
                Column::words("best teacher"),
                measure.column("its mean"),
                measure.column("by lot"),
                measure.column("oracle"),
                Column::numbers("oracle adds", measure.unit, measure.differences()),
            ],
            rows: self.languages().iter().map(row).collect(),
        };
        Block::Table { table, origin: self.origin() }
    }

    /// Ties go to the first in the order of the pool.
    fn best_of(&self, language: &Language) -> Option<(&'a str, &Accuracy)> {
        let means = self.teachers().iter().filter_map(|teacher| {
            let worth = self.worth.get(teacher.id.as_str())?;
            Some((teacher.id.as_str(), worth.languages.get(language)?))
        });
        means.reduce(|best, next| if next.1.mean.value > best.1.mean.value { next } else { best })
    }

    fn by_task(&self) -> Vec<Block> {
        let tasks: BTreeSet<&str> = self.rows().iter().filter_map(|row| row.prompt.task.as_deref()).collect();
        if tasks.len() < 2 {
            return Vec::new();
        }
        let measure = &self.answers.measure;
        let of = |teacher: &Teacher, task: &str| {
            let values = rewards(self.answers, &teacher.id);
            means(values.filter(|(prompt, _)| prompt.task.as_deref() == Some(task)), self.seed).macro_mean
        };
        let cells: Vec<(&str, Vec<Option<Accuracy>>)> =
            tasks.into_iter().map(|task| (task, self.teachers().iter().map(|t| of(t, task)).collect())).collect();
        let names: Vec<String> = self.teachers().iter().map(|teacher| teacher.id.clone()).collect();
        let heat = Heat {
            title: format!("{} by task and teacher", measure.title()),
            style: measure.style,
            direction: Direction::HigherIsBetter,
            columns: names.clone(),
            rows: cells
                .iter()
                .map(|(task, each)| HeatRow {
                    label: Words::from(*task),
                    values: each.iter().map(|cell| Some(measure.factor * cell.as_ref()?.mean.value)).collect(),
                })
                .collect(),
        };
        let row = |(task, each): &(&str, Vec<Option<Accuracy>>)| {
            let cells = each.iter().map(|cell| cell.as_ref().map(|accuracy| measure.estimate(accuracy)).into());
            Row::new(std::iter::once(Words::from(*task).into()).chain(cells).collect())
        };
        let table = Table {
            caption: format!(
                "{} by task and teacher, over the languages that each teacher covers.",
                capital(measure.noun)
            ),
            columns: std::iter::once(Column::words("Task"))
                .chain(names.iter().map(|name| measure.column(name.as_str())))
                .collect(),
            rows: cells.iter().map(row).collect(),
        };
        let caption = "Which teacher knows which kind of task. A teacher is measured on its own languages only, so \
                       teachers of different languages do not compare directly."
            .into();
        vec![
            Block::Figure { plot: Plot::Heat(heat), caption, origin: self.origin() },
            Block::Table { table, origin: self.origin() },
        ]
    }

    fn pool_table(&self) -> Block {
        let measure = &self.answers.measure;
        let scales = Scales::fit(&self.answers.matrix);
        let values = pool_value(&self.answers.matrix, &self.answers.pool, &scales).macro_mean.unwrap_or_default();
        let row = |teacher: &Teacher| {
            let worth = values.iter().find(|value| value.teacher == teacher.id);
            let number = |of: fn(&TeacherValue) -> f64| worth.map_or(unmeasured(), |value| Cell::Number(of(value)));
            let own: Vec<&Candidate> = self
                .rows()
                .iter()
                .flat_map(|row| &row.candidates)
                .filter(|c| c.completion.teacher == teacher.id)
                .collect();
            let mean = self.worth.get(teacher.id.as_str()).and_then(|worth| worth.macro_mean.as_ref());
            Row::new(vec![
                Words::from(teacher.id.as_str()).into(),
                Words::from(kind(teacher.kind)).into(),
                Words::from(coverage(&teacher.languages)).into(),
                Words::from(teacher.license.as_str()).into(),
                Cell::Count(own.len() as u64),
                Cell::Count(own.iter().filter(|candidate| candidate.valid_reward().is_some()).count() as u64),
                mean.map(|accuracy| measure.estimate(accuracy)).into(),
                number(|value| value.shapley),
                number(|value| value.leave_one_out),
                worth.map_or(unmeasured(), |value| Cell::Share(value.win_share)),
            ])
        };
        let table = Table {
            caption: "The pool. Worth is measured on rewards set to one scale per language: the Shapley value is a \
                      teacher’s fair part of what the best answer gains over the lowest, “lost without it” what the \
                      best answer loses when this teacher alone is missing. Wins are prompts where it is best, shared \
                      among equals. All three count prompts outside its languages against it."
                .into(),
            columns: vec![
                Column::words("Teacher"),
                Column::words("kind"),
                Column::words("languages"),
                Column::words("licence"),
                Column::numbers("answers", "", Style::plain(0)),
                Column::numbers("valid", "", Style::plain(0)),
                measure.column(capital(measure.noun)),
                Column::numbers("Shapley", "", Style::plain(3)).directed(Direction::HigherIsBetter),
                Column::numbers("lost without it", "", Style::plain(3)).directed(Direction::HigherIsBetter),
                Column::numbers("wins", "", Style::plain(1)).directed(Direction::HigherIsBetter),
            ],
            rows: self.teachers().iter().map(row).collect(),
        };
        Block::Table { table, origin: self.origin() }
    }

    /// What the gates said of each teacher's answers, by reason.
    fn gate_table(&self) -> Block {
        let tally = gates::tally(self.rows().iter().flat_map(|row| &row.candidates));
        let sums: BTreeMap<&String, BTreeMap<&str, u64>> = tally
            .iter()
            .map(|(teacher, tally)| {
                let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
                for (code, n) in tally.counts().values().flatten() {
                    *codes.entry(code).or_default() += *n as u64;
                }
                (teacher, codes)
            })
            .collect();
        let closed: BTreeSet<&str> =
            sums.values().flat_map(BTreeMap::keys).copied().filter(|code| !is_pass(code)).collect();
        let row = |(teacher, codes): (&&String, &BTreeMap<&str, u64>)| {
            let n = |code: &str| codes.get(code).copied().unwrap_or(0);
            let passed = n("pass") + n("undecided");
            let total: u64 = codes.values().sum();
            let cells = [
                Words::from(teacher.as_str()).into(),
                Cell::Count(total),
                Cell::Count(passed),
                Cell::Count(n("undecided")),
            ];
            Row::new(cells.into_iter().chain(closed.iter().map(|code| Cell::Count(n(code)))).collect())
        };
        let columns = vec![
            Column::words("Teacher"),
            Column::numbers("answers", "", Style::plain(0)),
            Column::numbers("passed", "", Style::plain(0)),
            Column::numbers("of these language unclear", "", Style::plain(0)),
        ];
        let of_gates = closed
            .iter()
            .map(|code| Column::numbers(gate_words(code), "", Style::plain(0)).directed(Direction::LowerIsBetter));
        let table = Table {
            caption: "What the gates let through, and the first gate that closed on what they did not. An answer that \
                      a gate stopped is never kept, whatever its reward."
                .into(),
            columns: columns.into_iter().chain(of_gates).collect(),
            rows: sums.iter().map(row).collect(),
        };
        Block::Table { table, origin: Origin { interval: String::new(), ..self.origin() } }
    }
}

fn unmeasured() -> Cell {
    Cell::Missing("no prompt has a valid, scored answer".into())
}

fn is_pass(code: &str) -> bool {
    code == "pass" || code == "undecided"
}

/// The valid rewards of a teacher with their prompts.
pub(super) fn rewards<'a>(answers: &'a AnswerSet, teacher: &'a str) -> impl Iterator<Item = (&'a Prompt, f64)> {
    answers.matrix.rows().iter().flat_map(move |row| {
        let own = row.candidates.iter().filter(move |candidate| candidate.completion.teacher == teacher);
        own.filter_map(move |candidate| Some((&row.prompt, candidate.valid_reward()?)))
    })
}

fn mean_reward(row: &AnswerRow) -> Option<f64> {
    let valid: Vec<f64> = row.candidates.iter().filter_map(Candidate::valid_reward).collect();
    cambist_core::statistics::mean(&valid)
}

fn kind(kind: TeacherKind) -> &'static str {
    match kind {
        TeacherKind::Multilingual => "multilingual",
        TeacherKind::GeoCluster => "regional",
        TeacherKind::Monolingual => "monolingual",
    }
}

fn coverage(coverage: &Coverage) -> String {
    match coverage {
        Coverage::All => "all".into(),
        Coverage::Only(languages) => languages.iter().map(Language::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// A gate's code in words.
pub(super) fn gate_words(code: &str) -> &str {
    match code {
        "error" => "call failed",
        "filtered" => "withheld",
        "empty" => "empty",
        "truncated" => "cut at the limit",
        "wrong_lang" => "wrong language",
        "loop" => "in a loop",
        "echo" => "echo of the prompt",
        other => other,
    }
}
