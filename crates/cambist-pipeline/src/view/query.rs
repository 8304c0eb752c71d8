//! Which prompts are asked for, in which order, and which page of them.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::{
    fold::fold,
    index::{Entry, Index, Shelves},
    ranking::Pick,
};
use crate::error::PipelineError;

/// Prompts on one page.
pub(super) const PAGE: usize = 50;

/// What is asked for; everything when empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Query {
    pub ranking: usize,
    pub language: Option<u16>,
    pub teacher: Option<(u16, Part)>,
    pub margin_min: Option<f64>,
    pub margin_max: Option<f64>,
    pub only: Option<Only>,
    /// Folded words that all must occur in the prompt or one of its answers.
    pub words: String,
    pub order: Order,
    pub page: usize,
}

/// What a teacher did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its answer was taken.
    Won,
    /// It was asked.
    Asked,
}

/// Prompts with a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Only {
    /// A call failed.
    Failed,
    /// A gate stopped an answer.
    Stopped,
    /// No answer was taken.
    Undecided,
}

/// The order of the prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// That of the files.
    #[default]
    File,
    /// Smallest margin first; prompts without one last.
    Narrow,
    /// Largest margin first; prompts without one last.
    Wide,
}

/// The names that a query may use.
const NAMES: [&str; 10] =
    ["language", "teacher", "part", "ranking", "margin_min", "margin_max", "only", "q", "sort", "page"];

impl Query {
    /// Reads the names and values of an address.
    ///
    /// # Errors
    /// In words for the reader, when a name or value is none of those that are known.
    pub(super) fn parse(pairs: &[(String, String)], index: &Index) -> Result<Self, String> {
        let unknown = pairs.iter().find(|(name, _)| !NAMES.contains(&name.as_str()));
        if let Some((name, _)) = unknown {
            return Err(format!("`{name}` is no filter; there are {}", NAMES.join(", ")));
        }
        let value =
            |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.trim()).filter(|v| !v.is_empty());
        let part = one_of(value("part"), &[("won", Part::Won), ("asked", Part::Asked)], "part")?.unwrap_or(Part::Won);
        let only = [("failed", Only::Failed), ("stopped", Only::Stopped), ("undecided", Only::Undecided)];
        let order = [("file", Order::File), ("narrow", Order::Narrow), ("wide", Order::Wide)];
        let teacher = place(value("teacher"), &index.teachers, "teacher")?;
        let rankings: Vec<&str> = index.rankings.iter().map(|ranking| ranking.name.as_str()).collect();
        Ok(Self {
            ranking: place(value("ranking"), &rankings, "ranking")?.map_or(0, usize::from),
            language: place(value("language"), &index.languages, "language")?,
            teacher: teacher.map(|teacher| (teacher, part)),
            margin_min: number(value("margin_min"), "margin_min")?,
            margin_max: number(value("margin_max"), "margin_max")?,
            only: one_of(value("only"), &only, "only")?,
            words: fold(value("q").unwrap_or_default()),
            order: one_of(value("sort"), &order, "sort")?.unwrap_or_default(),
            page: value("page").map_or(Ok(0), |page| page.parse().map_err(|_| bad("page", page, "a number from 0")))?,
        })
    }

    /// Returns the places of all prompts that fit, in order, before paging.
    ///
    /// # Errors
    /// When a text cannot be read.
    pub(super) fn find(&self, index: &Index, shelves: &Shelves) -> Result<Vec<u32>, PipelineError> {
        let fitting = (0u32..).zip(&index.entries).filter(|(place, entry)| self.fits(self.pick(index, *place), entry));
        let fitting: Vec<(u32, &Entry)> = fitting.collect();
        let mut places = self.search(fitting, shelves)?;
        let margin = |place: &u32| self.pick(index, *place).margin;
        match self.order {
            Order::File => {}
            Order::Narrow => places.sort_by(|a, b| by_margin(margin(a), margin(b))),
            Order::Wide => places.sort_by(|a, b| by_margin(margin(a).map(|m| -m), margin(b).map(|m| -m))),
        }
        Ok(places)
    }

    /// What the ranking that was asked for took of a prompt.
    pub(super) fn pick(&self, index: &Index, place: u32) -> Pick {
        let ranking = index.rankings.get(self.ranking);
        ranking.and_then(|ranking| ranking.picks.get(place as usize)).copied().unwrap_or_default()
    }

    fn fits(&self, pick: Pick, entry: &Entry) -> bool {
        let teacher = self.teacher.is_none_or(|(teacher, part)| match part {
            Part::Won => entry.winner(pick).is_some_and(|slot| slot.teacher == teacher),
            Part::Asked => entry.answers.iter().any(|slot| slot.teacher == teacher),
        });
        let only = self.only.is_none_or(|only| match only {
            Only::Failed => entry.answers.iter().any(|slot| slot.failed),
            Only::Stopped => entry.answers.iter().any(|slot| !slot.passed && !slot.failed),
            Only::Undecided => pick.slot.is_none(),
        });
        let within = |bound: Option<f64>, holds: fn(f64, f64) -> bool| {
            bound.is_none_or(|bound| pick.margin.is_some_and(|margin| holds(margin, bound)))
        };
        teacher
            && only
            && self.language.is_none_or(|language| entry.language == language)
            && within(self.margin_min, |margin, bound| margin >= bound)
            && within(self.margin_max, |margin, bound| margin <= bound)
            && !entry.answers.is_empty()
    }

    /// Those in which every word occurs, each in the prompt or in any answer.
    fn search(&self, fitting: Vec<(u32, &Entry)>, shelves: &Shelves) -> Result<Vec<u32>, PipelineError> {
        let words: BTreeSet<&str> = self.words.split_whitespace().collect();
        if words.is_empty() {
            return Ok(fitting.into_iter().map(|(place, _)| place).collect());
        }
        let look = |(place, entry): (u32, &Entry)| {
            let mut missing = words.clone();
            for span in std::iter::once(entry.folded).chain(entry.answers.iter().map(|slot| slot.folded)) {
                shelves.folded.with(span, |bytes| {
                    // What was put away was text.
                    let text = std::str::from_utf8(bytes).unwrap_or_default();
                    missing.retain(|word| !text.contains(word));
                })?;
                if missing.is_empty() {
                    return Ok(Some(place));
                }
            }
            Ok(None)
        };
        let found: Vec<Option<u32>> = fitting.into_par_iter().map(look).collect::<Result<_, PipelineError>>()?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// Missing margins last; ties keep their order.
fn by_margin(a: Option<f64>, b: Option<f64>) -> std::cmp::Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

fn bad(name: &str, found: &str, expected: &str) -> String {
    format!("`{name}` is `{found}`, expected {expected}")
}

fn number(value: Option<&str>, name: &str) -> Result<Option<f64>, String> {
    let parse = |value: &str| {
        value.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| bad(name, value, "a number"))
    };
    value.map(parse).transpose()
}

fn one_of<T: Copy>(value: Option<&str>, known: &[(&str, T)], name: &str) -> Result<Option<T>, String> {
    let find = |value: &str| known.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
    let words = || known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    value.map(|value| find(value).ok_or_else(|| bad(name, value, &format!("one of {}", words())))).transpose()
}

fn place<T: std::fmt::Display>(value: Option<&str>, known: &[T], name: &str) -> Result<Option<u16>, String> {
    let find = |value: &str| (0u16..).zip(known).find(|(_, one)| one.to_string() == value).map(|(at, _)| at);
    let words = || known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    value.map(|value| find(value).ok_or_else(|| bad(name, value, &format!("one of {}", words())))).transpose()
}

#[cfg(test)]
mod tests {
    use super::by_margin;

    #[test]
    fn prompts_without_a_margin_come_last_either_way() {
        let mut margins = [None, Some(2.0), Some(-1.0), None, Some(0.5)];
        margins.sort_by(|a, b| by_margin(*a, *b));
        assert_eq!(margins, [Some(-1.0), Some(0.5), Some(2.0), None, None]);
    }
}
