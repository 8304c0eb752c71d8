//! What heads learn from: calibration prompts with the worth of each teacher's answer.

use std::collections::BTreeMap;

use crate::{
    candidate::Matrix,
    features::{FeatureSource, FeatureVector},
    language::Language,
    pool::Pool,
    router::{CalibrationError, measured_rewards},
    teacher::Teacher,
};

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
    /// None for a teacher that may not be asked about the prompt.
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
        let measured = measured_rewards(matrix, pool)?;
        let is_member = |teacher: &Teacher| !pool.reach.contains_key(&teacher.id) && !pool.eligibility.bars(teacher);
        let members: Vec<usize> = (0..pool.teachers().len()).filter(|at| is_member(&pool.teachers()[*at])).collect();
        let teachers: Vec<String> = members.iter().map(|at| pool.teachers()[*at].id.clone()).collect();
        if teachers.len() < 2 {
            return Err(LessonsError::TooFewTeachers { found: teachers.len() });
        }
        let mut seen_sources: BTreeMap<&str, usize> = BTreeMap::new();
        let languages: Vec<Language> = measured.languages.clone();
        let mut lessons = Vec::with_capacity(measured.rows.len());
        for row in &measured.rows {
            let prompt = &matrix.rows()[row.at].prompt;
            let n_seen = seen_sources.len();
            lessons.push(Lesson {
                features: source.features(prompt),
                language: row.language,
                source: *seen_sources.entry(&prompt.source_id).or_insert(n_seen),
                rewards: members.iter().map(|at| row.rewards[*at]).collect(),
            });
        }
        let mut sources = vec![String::new(); seen_sources.len()];
        seen_sources.into_iter().for_each(|(name, place)| sources[place] = name.to_owned());
        let n_valid: Vec<usize> = members.iter().map(|at| measured.n_valid[*at]).collect();
        let made = Self { teachers, languages, width: source.width(), sources, lessons };
        made.check(&n_valid).map(|()| made)
    }

    fn check(&self, n_valid: &[usize]) -> Result<(), LessonsError> {
        if let Some((at, teacher)) = self.teachers.iter().enumerate().find(|(at, _)| n_valid[*at] == 0) {
            let n_prompts = self.lessons.iter().filter(|lesson| lesson.rewards[at].is_some()).count();
            return Err(LessonsError::NeverValid { teacher: teacher.clone(), n_prompts });
        }
        match self.lessons.iter().filter(|lesson| lesson.tells_apart()).count() {
            0 => Err(LessonsError::AllEqual { n_prompts: self.lessons.len() }),
            found if found < MIN_LESSONS => Err(LessonsError::TooFewPrompts { found, needed: MIN_LESSONS }),
            _ => Ok(()),
        }
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
