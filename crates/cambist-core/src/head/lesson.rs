//! What heads learn from: calibration prompts with the worth of each teacher's answer.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::{
    candidate::Matrix,
    features::{FeatureSource, FeatureVector},
    language::Language,
    pool::Pool,
    router::{CalibrationError, measured_rewards},
};

/// Prompts that a thread reads before another one is asked for.
const READ_AT_ONCE: usize = 64;

/// Fewer prompts on which teachers can be told apart teach nothing.
const MIN_LESSONS: usize = 50;

/// One calibration prompt: what it tells, and what each teacher's answer was worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    /// Its features.
    pub features: FeatureVector,
    /// The place of its language among [`Lessons::languages`].
    pub language: usize,
    /// The place of its source among all sources; folds keep it whole.
    pub source: usize,
    /// By teacher, the normalised reward of its answer; that of an invalid answer is the 5 % quantile of the language.
    /// None for a teacher that may not be asked about the prompt, or was not.
    pub rewards: Vec<Option<f64>>,
}

/// The lessons of a calibration.
#[derive(Clone, Debug, PartialEq)]
pub struct Lessons {
    /// Teachers, sorted by id (bytes).
    pub teachers: Vec<String>,
    /// Languages of the lessons, sorted.
    pub languages: Vec<Language>,
    /// How many features there can be.
    pub width: usize,
    /// Names of the sources, by place.
    pub sources: Vec<String>,
    /// One for each prompt that had a valid answer, in the order of the prompts.
    pub lessons: Vec<Lesson>,
}

/// Why a calibration teaches nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LessonsError {
    /// No prompt has a valid, scored answer.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// There is nobody to choose among.
    #[error("a router chooses among at least 2 teachers, and the pool has {found}: add teachers, or use `single`")]
    TooFewTeachers {
        /// How many teachers there are.
        found: usize,
    },
    /// Too few prompts tell teachers apart.
    #[error(
        "{found} calibration prompts have different rewards of at least 2 teachers, expected at least {needed}: give more prompts, or use `fixed`"
    )]
    TooFewPrompts {
        /// Prompts on which rewards differ.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Nobody was ever better than another.
    #[error(
        "all rewards of each of {n_prompts} calibration prompts are equal: the arbiter tells no two answers apart, and nothing can be learned from it"
    )]
    AllEqual {
        /// How many prompts there are.
        n_prompts: usize,
    },
    /// A teacher gave no valid answer.
    #[error(
        "teacher `{teacher}` gave no valid, scored answer to any of {n_prompts} calibration prompts in its languages: add prompts or languages that it answers, or exclude it under `eligibility.exclude`"
    )]
    NeverValid {
        /// The teacher.
        teacher: String,
        /// How many prompts it might have been asked about.
        n_prompts: usize,
    },
}

impl Lessons {
    /// Makes lessons of recorded answers of the whole pool: rewards are normalised per language and invalid answers are
    /// floored as for [`crate::router::FixedTable::fit`].
    ///
    /// Teachers that can be asked about certain prompts alone (translated answers), and those that the rules let nobody
    /// ask, are left out.
    ///
    /// # Errors
    /// When there are fewer than two teachers, a teacher never gave a valid answer, all rewards of each prompt are
    /// equal, or they differ on fewer than 50 prompts.
    pub fn of(matrix: &Matrix, pool: &Pool, source: &dyn FeatureSource) -> Result<Self, LessonsError> {
        let (made, _) = Self::gather((matrix, pool), source)?;
        if !made.lessons.iter().any(Lesson::tells_apart) {
            return Err(LessonsError::AllEqual { n_prompts: made.lessons.len() });
        }
        match made.lessons.iter().filter(|lesson| lesson.tells_apart()).count() {
            found if found < MIN_LESSONS => Err(LessonsError::TooFewPrompts { found, needed: MIN_LESSONS }),
            _ => Ok(made),
        }
    }

    /// Lessons of the answers that there are, whoever was asked, with the place in the matrix of each. A teacher that was
    /// not asked about a prompt has no reward there, and prompts that nobody was asked about are left out.
    pub(crate) fn gather(
        (matrix, pool): (&Matrix, &Pool),
        source: &dyn FeatureSource,
    ) -> Result<(Self, Vec<usize>), LessonsError> {
        let mut measured = measured_rewards(matrix, pool)?;
        measured.rows.retain(|row| !matrix.rows()[row.at].candidates.is_empty());
        let members = pool.members();
        let teachers: Vec<String> = members.iter().map(|at| pool.teachers()[*at].id.clone()).collect();
        if teachers.len() < 2 {
            return Err(LessonsError::TooFewTeachers { found: teachers.len() });
        }
        let mut seen_sources: BTreeMap<&str, usize> = BTreeMap::new();
        let asked = |at: usize| &matrix.rows()[at].prompt;
        let read = measured.rows.par_iter().with_min_len(READ_AT_ONCE);
        let read = read.map_init(|| source.reader(), |reader, row| reader.read(asked(row.at)).clone());
        let features: Vec<FeatureVector> = read.collect();
        let mut lessons = Vec::with_capacity(measured.rows.len());
        for (row, features) in measured.rows.iter().zip(features) {
            let whole = &matrix.rows()[row.at];
            let n_seen = seen_sources.len();
            let reward = |(at, id): (&usize, &String)| row.rewards[*at].filter(|_| whole.candidate(id, 0).is_some());
            lessons.push(Lesson {
                features,
                language: row.language,
                source: *seen_sources.entry(&whole.prompt.source_id).or_insert(n_seen),
                rewards: members.iter().zip(&teachers).map(reward).collect(),
            });
        }
        let mut sources = vec![String::new(); seen_sources.len()];
        seen_sources.into_iter().for_each(|(name, place)| sources[place] = name.to_owned());
        let n_valid: Vec<usize> = members.iter().map(|at| measured.n_valid[*at]).collect();
        let made = Self { teachers, languages: measured.languages, width: source.width(), sources, lessons };
        made.check(&n_valid)?;
        Ok((made, measured.rows.into_iter().map(|row| row.at).collect()))
    }

    /// Refuses teachers without a valid answer.
    fn check(&self, n_valid: &[usize]) -> Result<(), LessonsError> {
        if let Some((at, teacher)) = self.teachers.iter().enumerate().find(|(at, _)| n_valid[*at] == 0) {
            let n_prompts = self.lessons.iter().filter(|lesson| lesson.rewards[at].is_some()).count();
            return Err(LessonsError::NeverValid { teacher: teacher.clone(), n_prompts });
        }
        Ok(())
    }

    /// Whether as many prompts tell teachers apart as a head needs to learn: 50.
    pub fn is_enough(&self) -> bool {
        self.lessons.iter().filter(|lesson| lesson.tells_apart()).count() >= MIN_LESSONS
    }

    /// The standard deviation of rewards inside a prompt, pooled over all prompts; 0 when nothing differs.
    pub fn spread(&self) -> f64 {
        let (mut squares, mut n_free) = (0.0, 0usize);
        for lesson in &self.lessons {
            let known: Vec<f64> = lesson.rewards.iter().flatten().copied().collect();
            let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
            squares += known.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>();
            n_free += known.len().saturating_sub(1);
        }
        if n_free == 0 { 0.0 } else { (squares / n_free as f64).sqrt() }
    }
}

impl Lesson {
    /// Whether two teachers' rewards differ.
    fn tells_apart(&self) -> bool {
        let mut known = self.rewards.iter().flatten();
        known.next().is_some_and(|first| known.any(|other| other != first))
    }

    /// The highest reward; none when nobody may be asked.
    pub(super) fn best(&self) -> Option<f64> {
        self.rewards.iter().flatten().copied().max_by(f64::total_cmp)
    }
}
