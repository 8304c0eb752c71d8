//! The teacher that a head expects most of, by the prompt's own words.

use std::sync::Mutex;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Ask, Choice, Fallback, Router, Spend, ranked};
use crate::{
    candidate::Candidate,
    chance::Chance,
    features::{FeatureReader, FeatureSource, FeatureVector, Hashed},
    feedback::PartialFeedback,
    head::{Tuned, softmax},
    language::Language,
    pool::{Pool, Query},
    prompt::Prompt,
    teacher::Teacher,
};

/// Prompts that a thread ranks before another one is asked for.
const ROUTED_AT_ONCE: usize = 256;

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
    /// Answers that were missing and are taken to be missing by chance: they played no part.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_missing: usize,
    /// What it rests on where not everybody was asked; none where everybody was. Regrets are then relative to noise and
    /// say something as differences alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<PartialFeedback>,
    /// The head, and what it was chosen by.
    #[serde(flatten)]
    pub tuned: Tuned,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
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
    /// It is given other features than it was fitted on.
    #[error(
        "the router was fitted on features `{expected}`, and is given `{found}`: give the model, layer and pooling that it was fitted with, or fit it again"
    )]
    OtherFeatures {
        /// The name of those that it reads.
        expected: String,
        /// The name of those that are there.
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
    /// Readers that nobody reads with, for the next who does.
    idle: Mutex<Vec<Box<dyn FeatureReader>>>,
    /// The probability of drawing a teacher from the softmax of the scores instead, 0 to 1; default 0.
    pub explore: f64,
    /// Keys the draws.
    pub seed: u64,
    /// Whether the next by score is asked when an answer is invalid.
    pub fallback: Fallback,
}

/// One eligible teacher as a learned router sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScoredTeacher<'r> {
    /// The teacher.
    pub teacher: &'r str,
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
        let source = Hashed::named(&fitted.features);
        let source = source.ok_or_else(|| LearnedError::Features { found: fitted.features.clone() })?;
        Self::with_source(fitted, Box::new(source))
    }

    /// As [`Learned::new`], with the source of its features.
    ///
    /// # Errors
    /// When it was written by another version, or reads other features.
    pub fn with_source(fitted: FittedRouter, source: Box<dyn FeatureSource>) -> Result<Self, LearnedError> {
        if fitted.schema_version != SCHEMA_VERSION {
            return Err(LearnedError::Version { found: fitted.schema_version });
        }
        let (n_scored, n_named) = (fitted.tuned.head.n_teachers(), fitted.teachers.len());
        if n_scored != n_named || !fitted.teachers.is_sorted() {
            return Err(LearnedError::Misshapen { n_scored, n_named });
        }
        if source.name() != fitted.features {
            return Err(LearnedError::OtherFeatures { expected: fitted.features, found: source.name() });
        }
        Ok(Self { fitted, source, idle: Mutex::default(), explore: 0.0, seed: 0, fallback: Fallback::None })
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

    /// Returns what ranks teachers for one prompt after the other: one for each thread that routes.
    pub fn ranker(&self) -> Ranker<'_> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        Ranker { router: self, reader: Some(idle.unwrap_or_else(|| self.source.reader())) }
    }

    /// Returns all teachers from the most to the least preferred, as [`Ranker::rank`].
    pub fn ranking(&self, prompt: &Prompt) -> Vec<ScoredTeacher<'_>> {
        self.ranker().rank(prompt)
    }

    /// Returns all teachers from the most to the least preferred for each prompt, in the order of the prompts, worked out
    /// side by side. Exploration is left to [`Self::explored`].
    pub fn rankings(&self, prompts: &[Prompt]) -> Vec<Vec<ScoredTeacher<'_>>> {
        let ranked = prompts.par_iter().with_min_len(ROUTED_AT_ONCE);
        ranked.map_init(|| self.ranker(), |ranker, prompt| ranker.rank(prompt)).collect()
    }

    /// Ranks teachers by score, then cost, then id, given by place with what they cost.
    fn ranked(&self, scores: &[f64], open: impl Iterator<Item = (usize, f64)>) -> Vec<ScoredTeacher<'_>> {
        let mut order: Vec<(usize, f64)> = open.collect();
        order.sort_by(|a, b| {
            scores[b.0].total_cmp(&scores[a.0]).then_with(|| a.1.total_cmp(&b.1)).then_with(|| a.0.cmp(&b.0))
        });
        let scored = |(at, (place, _)): (usize, &(usize, f64))| ScoredTeacher {
            teacher: &self.fitted.teachers[*place],
            score: scores[*place],
            propensity: if at == 0 { 1.0 - self.explore } else { 0.0 },
        };
        let mut ranked: Vec<ScoredTeacher<'_>> = order.iter().enumerate().map(scored).collect();
        if self.explore > 0.0 {
            let temperature = if self.fitted.tuned.temperature > 0.0 { self.fitted.tuned.temperature } else { 1.0 };
            let logits: Vec<f64> = ranked.iter().map(|one| one.score / temperature).collect();
            let drawn = softmax(&logits, |_| true);
            ranked.iter_mut().zip(drawn).for_each(|(one, drawn)| one.propensity += self.explore * drawn);
        }
        ranked
    }

    /// The order in which eligible teachers are asked: by score, but for a draw that puts one in front; unknown teachers
    /// are left out.
    fn order(&self, query: &Query<'_>) -> Vec<ScoredTeacher<'_>> {
        let place = |teacher: &str| self.fitted.teachers.binary_search_by(|known| known.as_str().cmp(teacher)).ok();
        let open = query.eligible.iter().filter_map(|one| Some((place(&one.teacher.id)?, one.cost_usd)));
        let ranked = self.ranked(&self.ranker().scores(query.prompt), open);
        self.explored(&query.prompt.id, ranked)
    }

    /// Puts the teacher that is drawn for this prompt in front; the lot depends on seed and prompt id alone.
    pub fn explored<'r>(&self, prompt_id: &str, mut ranked: Vec<ScoredTeacher<'r>>) -> Vec<ScoredTeacher<'r>> {
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

/// Ranks teachers for one prompt after the other; what it needs for one it uses again for the next, and nothing of one
/// prompt shows in the next.
pub struct Ranker<'r> {
    router: &'r Learned,
    /// Given back at the end.
    reader: Option<Box<dyn FeatureReader>>,
}

impl Drop for Ranker<'_> {
    fn drop(&mut self) {
        if let (Some(reader), Ok(mut idle)) = (self.reader.take(), self.router.idle.lock()) {
            idle.push(reader);
        }
    }
}

impl<'r> Ranker<'r> {
    /// Returns all teachers from the most to the least preferred, with scores and propensities; for prompts that any of
    /// them may answer at no known price.
    pub fn rank(&mut self, prompt: &Prompt) -> Vec<ScoredTeacher<'r>> {
        let scores = self.scores(prompt);
        self.router.ranked(&scores, (0..scores.len()).map(|place| (place, 0.0)))
    }

    fn scores(&mut self, prompt: &Prompt) -> Vec<f64> {
        let head = &self.router.fitted.tuned.head;
        match self.reader.as_mut().filter(|_| head.reads_features()) {
            Some(reader) => head.scores(reader.read(prompt), &prompt.language),
            None => head.scores(&FeatureVector::default(), &prompt.language),
        }
    }
}

impl FittedRouter {
    /// Brings what was tuned together with where it comes from.
    pub fn new(tuned: Tuned, (teachers, features): (Vec<String>, String), n_prompts: usize) -> Self {
        let calibration = Spend::default();
        Self {
            schema_version: SCHEMA_VERSION,
            teachers,
            features,
            n_prompts,
            calibration,
            n_missing: 0,
            partial: None,
            tuned,
        }
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

    fn prepare(&self, prompts: &[&Prompt]) -> Result<(), String> {
        if self.fitted.tuned.head.reads_features() { self.source.prepare(prompts) } else { Ok(()) }
    }

    fn is_calibrated_for(&self, language: &Language) -> bool {
        self.fitted.tuned.head.knows(language)
    }

    fn asks(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask> {
        if !observed.is_empty() && self.fallback == Fallback::None {
            return Vec::new();
        }
        let order = self.order(query);
        let ranking: Vec<&str> = order.iter().map(|one| one.teacher).collect();
        ranked::asks(&ranking, self.fallback, observed)
    }

    /// The propensity is that of the teacher asked first, also where a fallback answered.
    fn choose(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice> {
        let order = self.order(query);
        let ranking: Vec<&str> = order.iter().map(|one| one.teacher).collect();
        let choice = ranked::first_valid(&ranking, observed)?;
        Some(Choice { propensity: order.first().map_or(1.0, |first| first.propensity), ..choice })
    }

    /// Those of the teachers that may be asked first; none with fallbacks, or where it explores nothing.
    fn propensities(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Vec<f64>> {
        if self.explore <= 0.0 || self.fallback != Fallback::None {
            return None;
        }
        let order = self.order(query);
        let of = |id: &str| order.iter().find(|one| one.teacher == id).map(|one| one.propensity);
        observed.iter().map(|candidate| of(&candidate.completion.teacher)).collect()
    }

    fn calibration(&self) -> Spend {
        self.fitted.calibration
    }
}
