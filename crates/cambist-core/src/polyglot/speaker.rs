//! A source put into the words of one language.

use std::collections::BTreeSet;

use super::{
    answer::answers,
    cldr::{Cldr, CldrError},
    phrases::Phrases,
    slot::slots,
    source::Source,
    task::Task,
};
use crate::{chance::Chance, check::fold_answer};

/// Asks in one language, and knows every right answer.
pub(super) struct Speaker {
    phrases: &'static Phrases,
    own: Cldr,
    others: Vec<Cldr>,
}

/// An instruction and its right answers, the reference first.
pub(super) struct Question {
    pub(super) instruction: String,
    pub(super) accepted: Vec<String>,
}

impl Speaker {
    /// Loads the locales of a language.
    pub(super) fn load(phrases: &'static Phrases) -> Result<Self, CldrError> {
        let others = phrases.other_locales.iter().map(|tag| Cldr::load(tag)).collect::<Result<_, _>>()?;
        Ok(Self { phrases, own: Cldr::load(phrases.tag)?, others })
    }

    /// Asks in one of the task's phrasings, drawn by source and language.
    pub(super) fn ask(&self, source: &Source, seed: u64) -> Result<Question, CldrError> {
        let phrasings = self.phrases.phrasings(source.parameters.task());
        let mut chance = Chance::new(seed, &["polyglot", &source.id, "phrasing", self.phrases.tag]);
        self.ask_as(source, phrasings[chance.below(phrasings.len())])
    }

    /// Asks in a given phrasing.
    pub(super) fn ask_as(&self, source: &Source, phrasing: &str) -> Result<Question, CldrError> {
        let mut instruction = phrasing.to_owned();
        for (slot, value) in slots(&source.parameters, self.phrases, &self.own)? {
            instruction = instruction.replace(&format!("{{{slot}}}"), &value);
        }
        let mut right = answers(&source.parameters, self.phrases, &self.own)?;
        for other in &self.others {
            right.extend(answers(&source.parameters, self.phrases, other)?);
        }
        Ok(Question { instruction, accepted: self.accepted(source.parameters.task(), right) })
    }

    /// Every way to write the right answers, in their order: other spellings, then a capital at the start, then a
    /// full stop at the end. Ways that [`fold_answer`] takes for the same are listed once.
    fn accepted(&self, task: Task, right: Vec<String>) -> Vec<String> {
        let mut accepted = right;
        if task != Task::CopyWords {
            let dates = if task.answers_with_date() { self.phrases.date_spellings } else { &[] };
            for spelling in self.phrases.spellings.iter().chain(dates) {
                let respelled: Vec<String> = accepted.iter().filter_map(|text| spelling.respell(text)).collect();
                accepted.extend(respelled);
            }
            let capitalised: Vec<String> = accepted.iter().map(|text| self.own.capitalised(text)).collect();
            accepted.extend(capitalised);
        }
        let stop = self.phrases.full_stop;
        let stopped: Vec<String> =
            accepted.iter().filter(|text| !text.ends_with(stop)).map(|text| format!("{text}{stop}")).collect();
        accepted.extend(stopped);
        let mut seen = BTreeSet::new();
        accepted.retain(|text| seen.insert(fold_answer(text)));
        accepted
    }
}
