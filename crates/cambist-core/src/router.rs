//! Whom to ask, and whose answer to take.
//!
//! A router is asked in rounds: what to ask next, given what has been seen, until it asks nothing more; then it
//! chooses. [`route`] is the only driver of rounds, for live runs and for replays on recorded answers alike, so that
//! both give the same decision. A new router is a file beside these with one `impl Router`.

use serde::{Deserialize, Serialize};

use crate::{
    candidate::{Candidate, Row},
    drift::{DriftWatch, WatchedPrompt},
    language::Language,
    pool::Query,
    prompt::Prompt,
    search::Prices,
};

mod all;
mod best;
mod budgeted;
mod calibration;
mod fixed;
mod learned;
mod random;
mod ranked;
mod replay;
mod single;
mod strategy;

pub use all::{All, AllBestOfN};
pub(crate) use best::by_rank;
pub use budgeted::{Budgeted, BudgetedOptions};
pub use calibration::{CalibrationError, Standing, best_single};
pub(crate) use calibration::{MIN_PROMPTS, measured_rewards};
pub use fixed::{Fixed, FixedTable, Rank};
pub use learned::{FittedRouter, Learned, LearnedError, Ranker, ScoredTeacher};
pub use random::Random;
pub use ranked::Fallback;
pub use replay::{Replay, ReplayError, Replayed, Replayer, Spend, StrategyCost, replay, spend_of};
pub use single::{Single, SingleBestOfN};
pub use strategy::{Setting, Strategy, StrategyError};

/// Decides whom to ask about a prompt and whose answer to take, from nothing but its arguments.
///
/// A replay does not bring the answers' texts, and the prompt's messages only where [`Router::reads_prompts`]: ids,
/// languages, verdicts and rewards decide.
pub trait Router: Send + Sync {
    /// The strategy's name with its parameters, such as `single:aya` or `random`.
    fn strategy(&self) -> String;

    /// Whether it needs every answer scored; if not, answers that passed the gates are valid unscored.
    fn reads_rewards(&self) -> bool;

    /// Returns whom to ask next, given all answers seen so far; nothing when it has seen enough.
    fn asks(&self, query: &Query<'_>, observed: &[&Candidate]) -> Vec<Ask>;

    /// Returns the answer to take of those seen; none when none is valid.
    fn choose(&self, query: &Query<'_>, observed: &[&Candidate]) -> Option<Choice>;

    /// Whether it reads what the prompt says; a replay then brings the prompt's messages.
    fn reads_prompts(&self) -> bool {
        false
    }

    /// Looks at prompts that it will be asked about, where many at once are faster than one by one.
    ///
    /// # Errors
    /// Why it cannot.
    fn prepare(&self, _prompts: &[&Prompt]) -> Result<(), String> {
        Ok(())
    }

    /// Whether its calibration had prompts of the language; without them it falls back to all languages together.
    fn is_calibrated_for(&self, _language: &Language) -> bool {
        true
    }

    /// Returns the probability with which each of `observed`, everything that came of its rounds, was asked for, over its
    /// lots and given what the answers say; none for a router that draws no lots: whom it did not ask it never would.
    fn propensities(&self, _query: &Query<'_>, _observed: &[&Candidate]) -> Option<Vec<f64>> {
        None
    }

    /// At what prices of reward it searches, and what calibration promises at those; none for routers that do not search.
    fn prices(&self) -> Option<Prices> {
        None
    }

    /// What its calibration showed, to be compared with what comes; none for routers that promise nothing.
    fn drift_watch(&self) -> Option<&DriftWatch> {
        None
    }

    /// What `observed`, everything that came of its rounds, adds to that comparison; none without a watch, or without
    /// lots that tell what each answer stands for.
    fn watched(&self, _query: &Query<'_>, _observed: &[&Candidate]) -> Option<WatchedPrompt> {
        None
    }

    /// What it cost to calibrate it, before the first prompt.
    fn calibration(&self) -> Spend {
        Spend::default()
    }
}

/// A request for answers 0 to `n_samples - 1` of one teacher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Whom to ask.
    pub teacher: String,
    /// How many answers of it are needed in all.
    pub n_samples: u32,
}

impl Ask {
    /// Asks `teacher` for one answer.
    pub fn once(teacher: &str) -> Self {
        Self { teacher: teacher.to_owned(), n_samples: 1 }
    }
}

/// The answer that a router takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Whose.
    pub teacher: String,
    /// Which of the teacher's answers.
    pub sample: u32,
    /// Its reward, where known.
    pub score: Option<f64>,
    /// The reward of the second best, where rewards were compared.
    pub runner_up: Option<f64>,
    /// The probability with which the router's chance led here; 1 for routers without chance.
    pub propensity: f64,
}

/// How a prompt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An answer was taken.
    Chosen,
    /// The strategy had nobody to ask; costs nothing.
    NoneEligible,
    /// All answers that came were invalid; they are paid.
    NoneValid,
}

impl Outcome {
    /// The code as files and reports spell it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::NoneEligible => "none_eligible",
            Self::NoneValid => "none_valid",
        }
    }
}

/// What a strategy decided about one prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The prompt.
    pub prompt_id: String,
    /// The prompt's source.
    pub source_id: String,
    /// The prompt's language.
    pub language: Language,
    /// The strategy's name with its parameters.
    pub strategy: String,
    /// Whose answer was taken; none when none was.
    pub teacher: Option<String>,
    /// Which of the teacher's answers was taken.
    pub sample: Option<u32>,
    /// How it ended.
    pub outcome: Outcome,
    /// Who was asked, in the order of asking; a teacher stands once per answer.
    pub asked: Vec<String>,
    /// The reward of the answer taken, where known.
    pub score: Option<f64>,
    /// The reward of the second best, where rewards were compared.
    pub runner_up: Option<f64>,
    /// `score` minus `runner_up`, never negative.
    pub margin: Option<f64>,
    /// What the answers asked for, and their scores where the strategy reads them, cost in USD.
    pub cost_usd: f64,
    /// The probability with which the router's chance led here; 1 without chance.
    pub propensity: f64,
}

/// Where a prompt stands in its rounds.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// These answers are needed before it goes on.
    Ask(Vec<Ask>),
    /// It is decided.
    Decided(Decision),
}

/// Goes through a router's rounds on the answers that are there.
///
/// Answers that `row` holds and the router never asked for play no part, neither in the choice nor in the cost.
pub fn route(router: &dyn Router, query: &Query<'_>, row: &Row) -> Route {
    let mut observed: Vec<&Candidate> = Vec::new();
    loop {
        let asks = router.asks(query, &observed);
        let missing: Vec<Ask> = asks.iter().filter(|ask| find(row, ask).is_none()).cloned().collect();
        if !missing.is_empty() {
            return Route::Ask(missing);
        }
        let is_new = |candidate: &&Candidate| !observed.iter().any(|seen| seen.cell() == candidate.cell());
        let found: Vec<&Candidate> = asks.iter().filter_map(|ask| find(row, ask)).flatten().filter(is_new).collect();
        if found.is_empty() {
            return Route::Decided(decide(router, query, &observed));
        }
        observed.extend(found);
    }
}

fn find<'a>(row: &'a Row, ask: &Ask) -> Option<Vec<&'a Candidate>> {
    (0..ask.n_samples).map(|sample| row.candidate(&ask.teacher, sample)).collect()
}

fn decide(router: &dyn Router, query: &Query<'_>, observed: &[&Candidate]) -> Decision {
    let choice = router.choose(query, observed);
    let outcome = match (&choice, observed.is_empty()) {
        (Some(_), _) => Outcome::Chosen,
        (None, true) => Outcome::NoneEligible,
        (None, false) => Outcome::NoneValid,
    };
    let (score, runner_up) = choice.as_ref().map_or((None, None), |choice| (choice.score, choice.runner_up));
    Decision {
        prompt_id: query.prompt.id.clone(),
        source_id: query.prompt.source_id.clone(),
        language: query.prompt.language.clone(),
        strategy: router.strategy(),
        sample: choice.as_ref().map(|choice| choice.sample),
        propensity: choice.as_ref().map_or(1.0, |choice| choice.propensity),
        teacher: choice.map(|choice| choice.teacher),
        outcome,
        asked: observed.iter().map(|candidate| candidate.completion.teacher.clone()).collect(),
        score,
        runner_up,
        margin: score.zip(runner_up).map(|(best, second)| best - second),
        cost_usd: spend_of(observed.iter().copied(), router.reads_rewards(), query.score_usd).total_usd(),
    }
}
