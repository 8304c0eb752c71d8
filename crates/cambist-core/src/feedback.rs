//! Partial feedback: answers of the teachers that a router happened to ask, and what can still be learned from them.
//!
//! A router that asks some teachers and not others shows its own taste: who was asked about easy prompts looks good. Where
//! it drew lots, each answer is known to have been asked for with some probability, its propensity, and weighs as many
//! prompts as it stands for, `1 / propensity` (Horvitz and Thompson 1952). Cells that are neither answered nor drawn by
//! lot say nothing, and are refused rather than guessed.

mod doubly_robust;

pub use doubly_robust::{PartialFeedback, PartialOptions, TeacherFeedback, lessons_of_feedback};

use std::collections::BTreeMap;

use crate::{candidate::Matrix, head::LessonsError, pool::Pool};

/// The probability with which each answer was asked for, by prompt and teacher; of several answers of a teacher the
/// first one's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Propensities {
    prompts: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Why partial feedback teaches nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FeedbackError {
    /// The answers make no lessons, whoever was asked.
    #[error(transparent)]
    Lessons(#[from] LessonsError),
    /// A probability that is none.
    #[error(
        "the propensity of teacher `{teacher}` for prompt `{prompt_id}` is {found}, expected a probability above 0 and up to 1: record the one with which the answer was asked for"
    )]
    NoProbability {
        /// The prompt.
        prompt_id: String,
        /// The teacher.
        teacher: String,
        /// What was recorded.
        found: f64,
    },
    /// Some answers were asked for and others not, and nobody knows with what probability.
    #[error(
        "{n_unasked} of {n_cells} answers were never asked for, `{teacher}` about prompt `{prompt_id}` among them, and no propensities say why: a router learned from that would believe what was asked for; ask everybody, record an answer without text where one failed, or ask by a router that draws lots"
    )]
    Unasked {
        /// Answers that could have been asked for.
        n_cells: usize,
        /// Those that were not.
        n_unasked: usize,
        /// A prompt with such a one.
        prompt_id: String,
        /// Whose it would be.
        teacher: String,
    },
    /// An answer was asked for with nobody knows what probability.
    #[error(
        "{n_unknown} answers have no propensity, that of `{teacher}` to prompt `{prompt_id}` among them, while others have one: give the propensity of every answer, 1 where it was sure to be asked for"
    )]
    NoPropensity {
        /// How many there are.
        n_unknown: usize,
        /// The prompt of the first.
        prompt_id: String,
        /// Whose it is.
        teacher: String,
    },
    /// Too few prompts.
    #[error("{found} prompts have a valid answer with a reward, expected at least {needed}: give more of them")]
    TooFewPrompts {
        /// How many there are.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
    /// A teacher was asked too rarely to say anything.
    #[error(
        "teacher `{teacher}` gave {n_asked} answers, which weigh as much as {effective:.1} that are equally likely, expected at least {needed}: explore more, audit more prompts, or exclude it under `eligibility.exclude`"
    )]
    TooFewAnswers {
        /// The teacher.
        teacher: String,
        /// Its answers.
        n_asked: usize,
        /// Kish's effective number of them.
        effective: f64,
        /// How many it takes.
        needed: usize,
    },
    /// Propensities that are not those with which answers were asked for.
    #[error(
        "the answers of teacher `{teacher}` stand for {weight:.2} of the prompts by their propensities, expected 1 give or take {error:.2}: they are not the probabilities with which it was asked, or some prompts could never reach it"
    )]
    WrongPropensities {
        /// The teacher.
        teacher: String,
        /// The mean over prompts of one over the propensity, 0 where it was not asked.
        weight: f64,
        /// What chance explains.
        error: f64,
    },
    /// A head that compares answers, of which there are not enough side by side.
    #[error(
        "a head of `{head}` compares everybody's answers to a prompt, and {n_unasked} of {n_cells} were never asked for: take `ridge` or `auto`"
    )]
    Head {
        /// The head.
        head: &'static str,
        /// Answers that could have been asked for.
        n_cells: usize,
        /// Those that were not.
        n_unasked: usize,
    },
}

impl Propensities {
    /// Takes in the probability with which a teacher was asked about a prompt.
    ///
    /// # Errors
    /// When it is not above 0 and up to 1.
    pub fn insert(&mut self, prompt_id: &str, teacher: &str, propensity: f64) -> Result<(), FeedbackError> {
        if !(propensity > 0.0 && propensity <= 1.0) {
            let (prompt_id, teacher) = (prompt_id.to_owned(), teacher.to_owned());
            return Err(FeedbackError::NoProbability { prompt_id, teacher, found: propensity });
        }
        self.prompts.entry(prompt_id.to_owned()).or_default().insert(teacher.to_owned(), propensity);
        Ok(())
    }

    /// The probability with which a teacher was asked about a prompt, where it was.
    pub fn of(&self, prompt_id: &str, teacher: &str) -> Option<f64> {
        self.prompts.get(prompt_id)?.get(teacher).copied()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }
}

/// How many of the answers that could have been asked for were not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unasked {
    /// Answers of eligible teachers to prompts that anybody was asked about.
    pub n_cells: usize,
    /// Those of them that are not there.
    pub n_unasked: usize,
    /// Prompt and teacher of the first one.
    pub first: Option<(String, String)>,
}

impl Unasked {
    /// Counts what nobody asked for: prompts without any answer play no part, and neither does a teacher in a language in
    /// which it never answered, which is how a teacher is left out there.
    pub fn of(matrix: &Matrix, pool: &Pool) -> Self {
        let mut unasked = Self::default();
        let members = pool.members();
        let open = open_teachers(matrix, pool);
        for row in matrix.rows().iter().filter(|row| !row.candidates.is_empty()) {
            for at in &members {
                let teacher = &pool.teachers()[*at].id;
                if !open.get(row.prompt.language.as_str()).is_some_and(|open| open[*at]) {
                    continue;
                }
                unasked.n_cells += 1;
                if row.candidate(teacher, 0).is_none() {
                    unasked.n_unasked += 1;
                    unasked.first.get_or_insert_with(|| (row.prompt.id.clone(), teacher.clone()));
                }
            }
        }
        unasked
    }

    /// Whether so few are missing, at most a tenth, that they may be missing by chance: a server that failed, say.
    pub fn may_be_chance(&self) -> bool {
        self.n_unasked * 10 <= self.n_cells
    }

    /// Refuses answers of which some were not asked for.
    ///
    /// # Errors
    /// When any was not.
    pub fn refuse(&self) -> Result<(), FeedbackError> {
        let Some((prompt_id, teacher)) = self.first.clone() else { return Ok(()) };
        let Self { n_cells, n_unasked, .. } = *self;
        Err(FeedbackError::Unasked { n_cells, n_unasked, prompt_id, teacher })
    }
}

/// By language, then teacher of the pool: whether it may be asked and ever answered there.
fn open_teachers(matrix: &Matrix, pool: &Pool) -> BTreeMap<String, Vec<bool>> {
    let mut open: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for row in matrix.rows() {
        let language = &row.prompt.language;
        let own = open.entry(language.to_string()).or_insert_with(|| vec![false; pool.teachers().len()]);
        for (is_open, teacher) in own.iter_mut().zip(pool.teachers()).filter(|(is_open, _)| !**is_open) {
            let may_answer = pool.eligibility.obstacle(teacher, language).is_none();
            *is_open = may_answer && row.candidate(&teacher.id, 0).is_some();
        }
    }
    open
}
