//! The teacher that a head expects most of, by the prompt's own words.

use serde::{Deserialize, Serialize};

use super::{Ask, Choice, Fallback, Router, Spend, ranked};
use crate::{
    candidate::Candidate,
    chance::Chance,
    features::{FeatureSource, Hashed},
    head::{Tuned, softmax},
    language::Language,
    pool::{Pool, Query},
    prompt::Prompt,
    teacher::Teacher,
};

/// The version that fitted routers are written in.
const SCHEMA_VERSION: u32 = 1;

/// A router as it is kept: what it learned, from whom, and how well it chose on held-out prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedRouter {
    /// 1.
    pub schema_version: u32,
    /// The teachers that it chooses among, sorted by id (bytes).
    pub teachers: Vec<String>,
    /// The name of the features that its head reads.
    pub features: String,
    /// How many calibration prompts it learned from.
    pub n_prompts: usize,
    /// What the calibration answers and their scores cost.
    pub calibration: Spend,
    /// The head, and what it was chosen by.
    #[serde(flatten)]
    pub tuned: Tuned,
}

/// Why a fitted router cannot route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LearnedError {
    /// It was written by another version.
    #[error("the router has schema version {found}, expected {SCHEMA_VERSION}: fit it again")]
    Version {
        /// The version that it has.
        found: u32,
    },
    /// It reads features that are not known here.
    #[error("the router reads features `{found}`, which this version does not make: fit it again")]
    Features {
        /// Their name.
        found: String,
    },
    /// Its numbers are of another pool.
    #[error(
        "the router has scores for {n_scored} teachers and names {n_named}: the file is damaged, fit the router again"
    )]
    Misshapen {
        /// Teachers that the head scores.
        n_scored: usize,
        /// Teachers that are named.
        n_named: usize,
    },
    /// It was fitted for another pool.
    #[error("the router was fitted for another pool: {}: fit it on this pool's answers", difference(unknown, absent))]
    OtherPool {
        /// Teachers of the pool that it does not know.
        unknown: Vec<String>,
        /// Teachers that it knows and the pool does not have.
        absent: Vec<String>,
    },
}

fn difference(unknown: &[String], absent: &[String]) -> String {
    let named = |what: &str, teachers: &[String]| match teachers {
        [] => None,
        some => Some(format!("{what} `{}`", some.join("`, `"))),
    };
    let parts = [named("it does not know", unknown), named("the pool does not have", absent)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", and ")
}

/// Asks the eligible teacher of the highest score; ties go to the lower expected cost, then to the smaller id.
pub struct Learned {
    fitted: FittedRouter,
    source: Box<dyn FeatureSource>,
    /// The probability of drawing a teacher from the softmax of the scores instead, 0 to 1; default 0.
    pub explore: f64,
    /// Keys the draws.
    pub seed: u64,
    /// Whether the next by score is asked when an answer is invalid.
    pub fallback: Fallback,
}

/// One eligible teacher as a learned router sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoredTeacher {
    /// The teacher.
    pub teacher: String,
    /// The head's number; higher is better, and comparable within one prompt alone.
    pub score: f64,
    /// The probability with which the router asks it first.
    pub propensity: f64,
}

impl Learned {
    /// A router that explores nothing and has no fallback.
    ///
    /// # Errors
    /// When it was written by another version, or its features are not known.
    pub fn new(fitted: FittedRouter) -> Result<Self, LearnedError> {
        if fitted.schema_version != SCHEMA_VERSION {
            return Err(LearnedError::Version { found: fitted.schema_version });
        }
        let (n_scored, n_named) = (fitted.tuned.head.n_teachers(), fitted.teachers.len());
        if n_scored != n_named || !fitted.teachers.is_sorted() {
            return Err(LearnedError::Misshapen { n_scored, n_named });
        }
        let source = Hashed::named(&fitted.features);
        let source = source.ok_or_else(|| LearnedError::Features { found: fitted.features.clone() })?;
        Ok(Self { fitted, source: Box::new(source), explore: 0.0, seed: 0, fallback: Fallback::None })
    }

    /// Compares the teachers that it was fitted for with those of `pool`; translated answers, and teachers that the
    /// pool's rules let nobody ask, need not be known.
    ///
    /// # Errors
    /// When a teacher is in one of them alone.
    pub fn check_pool(&self, pool: &Pool) -> Result<(), LearnedError> {
        let known = &self.fitted.teachers;
        let is_asked = |teacher: &&Teacher| !pool.reach.contains_key(&teacher.id) && !pool.eligibility.bars(teacher);
        let asked = pool.teachers().iter().filter(is_asked).map(|teacher| &teacher.id);
        let unknown: Vec<String> = asked.filter(|id| !known.contains(id)).cloned().collect();
        let is_there = |id: &String| pool.teachers().iter().any(|teacher| teacher.id == *id);
        let absent: Vec<String> = known.iter().filter(|id| !is_there(id)).cloned().collect();
        if unknown.is_empty() && absent.is_empty() { Ok(()) } else { Err(LearnedError::OtherPool { unknown, absent }) }
    }

    /// What was fitted.
    pub fn fitted(&self) -> &FittedRouter {
        &self.fitted
    }

    /// Returns all teachers from the most to the least preferred, with scores and propensities; for prompts that any of
    /// them may answer at no known price.
    pub fn ranking(&self, prompt: &Prompt) -> Vec<ScoredTeacher> {
        let open: Vec<(&str, f64)> = self.fitted.teachers.iter().map(|teacher| (teacher.as_str(), 0.0)).collect();
        self.rank(prompt, &open)
    }

    /// Ranks teachers, given with what they cost; unknown ones are left out.
    fn rank(&self, prompt: &Prompt, open: &[(&str, f64)]) -> Vec<ScoredTeacher> {
        let scores = self.fitted.tuned.head.scores(&self.source.features(prompt), &prompt.language);
        let place = |teacher: &str| self.fitted.teachers.binary_search_by(|known| known.as_str().cmp(teacher)).ok();
        let mut ranked: Vec<(&str, f64, f64)> =
            open.iter().filter_map(|(teacher, cost)| Some((*teacher, *cost, scores[place(teacher)?]))).collect();
        ranked.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| a.1.total_cmp(&b.1)).then_with(|| a.0.cmp(b.0)));
        let temperature = if self.fitted.tuned.temperature > 0.0 { self.fitted.tuned.temperature } else { 1.0 };
        let logits: Vec<f64> = ranked.iter().map(|(_, _, score)| score / temperature).collect();
        let drawn = softmax(&logits, |_| true);
        let scored = |(at, ((teacher, _, score), drawn)): (usize, ((&str, f64, f64), f64))| ScoredTeacher {
            teacher: teacher.to_owned(),
            score,
            propensity: self.explore * drawn + if at == 0 { 1.0 - self.explore } else { 0.0 },
        };
        ranked.into_iter().zip(drawn).enumerate().map(scored).collect()
    }

    /// The order in which eligible teachers are asked: by score, but for a draw that puts one in front.
    fn order(&self, query: &Query<'_>) -> Vec<ScoredTeacher> {
        let open: Vec<(&str, f64)> = query.eligible.iter().map(|one| (one.teacher.id.as_str(), one.cost_usd)).collect();
        let ranked = self.rank(query.prompt, &open);
        self.explored(&query.prompt.id, ranked)
    }

    /// Puts the teacher that is drawn for this prompt in front; the lot depends on seed and prompt id alone.
    pub fn explored(&self, prompt_id: &str, mut ranked: Vec<ScoredTeacher>) -> Vec<ScoredTeacher> {
        if self.explore <= 0.0 {
            return ranked;
        }
        let mut left = Chance::new(self.seed, &["learned", prompt_id]).unit();
        let drawn = ranked.iter().position(|one| {
            left -= one.propensity;
            left < 0.0
        });
        if let Some(first) = drawn {
            ranked[..=first].rotate_right(1);
        }
        ranked
    }
}

impl FittedRouter {
    /// Brings what was tuned together with where it comes from.
    pub fn new(tuned: Tuned, (teachers, features): (Vec<String>, String), n_prompts: usize) -> Self {
        let calibration = Spend::default();
        Self { schema_version: SCHEMA_VERSION, teachers, features, n_prompts, calibration, tuned }
    }
}

impl Router for Learned {
    fn strategy(&self) -> String {
        "learned".to_owned()
    }

    fn reads_rewards(&self) -> bool {
        false
    }

    fn reads_prompts(&self) -> bool {
        true
    }

    fn is_calibrated_for(&self, language: &Language) -> bool {
        self.fitted.tuned.head.knows(language)
    }

    fn asks(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask> {
        if !observed.is_empty() && self.fallback == Fallback::None {
            return Vec::new();
        }
        let order = self.order(query);
        let ranking: Vec<&str> = order.iter().map(|one| one.teacher.as_str()).collect();
        ranked::asks(&ranking, self.fallback, observed)
    }

    /// The propensity is that of the teacher asked first, also where a fallback answered.
    fn choose(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
        let order = self.order(query);
        let ranking: Vec<&str> = order.iter().map(|one| one.teacher.as_str()).collect();
        let choice = ranked::first_valid(&ranking, observed)?;
        Some(Choice { propensity: order.first().map_or(1.0, |first| first.propensity), ..choice })
    }

    fn calibration(&self) -> Spend {
        self.fitted.calibration
    }
}
