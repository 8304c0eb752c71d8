//! Any strategy on recorded answers, and what it would have cost.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Ask, Decision, Outcome, Route, Router, route};
use crate::{
    candidate::{Candidate, Matrix, Row},
    completion::Origin,
    pool::Pool,
};

/// Calls, tokens and money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spend {
    /// Answers asked for, failed ones included; what several prompts share counts once, a fused answer as those that it
    /// was made of and the fusor's own.
    pub generations: u64,
    /// Answers that were translated from another one.
    #[serde(default)]
    pub translations: u64,
    /// Arbiter scores asked for: one per answer of a strategy that reads rewards.
    pub arbiter_scores: u64,
    /// Tokens of the prompts, as far as the teachers count them.
    pub tokens_in: u64,
    /// Tokens of the answers, as far as the teachers count them.
    pub tokens_out: u64,
    /// Price of the answers in USD, whether paid now or in an earlier run.
    pub generation_usd: f64,
    /// Price of the scores in USD.
    pub scoring_usd: f64,
}

impl Spend {
    /// Returns answers and scores together in USD.
    pub fn total_usd(&self) -> f64 {
        self.generation_usd + self.scoring_usd
    }

    fn add(&mut self, more: &Self) {
        self.generations += more.generations;
        self.translations += more.translations;
        self.arbiter_scores += more.arbiter_scores;
        self.tokens_in += more.tokens_in;
        self.tokens_out += more.tokens_out;
        self.generation_usd += more.generation_usd;
        self.scoring_usd += more.scoring_usd;
    }
}

/// Adds up what answers, and their scores if `scored`, cost.
pub fn spend_of<'a>(answers: impl IntoIterator<Item = &'a Candidate>, scored: bool, score_usd: f64) -> Spend {
    let mut spend = Spend::default();
    for Candidate { completion, .. } in answers {
        spend.add(&Spend {
            generations: completion.origin.as_ref().map_or(1, Origin::n_generations),
            translations: u64::from(completion.origin.as_ref().is_some_and(|origin| origin.mt_engine.is_some())),
            arbiter_scores: u64::from(scored),
            tokens_in: u64::from(completion.tokens_in.unwrap_or(0)),
            tokens_out: u64::from(completion.tokens_out.unwrap_or(0)),
            generation_usd: completion.cost_usd,
            scoring_usd: if scored { score_usd } else { 0.0 },
        });
    }
    spend
}

/// What a strategy costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StrategyCost {
    /// The strategy's name with its parameters.
    pub strategy: String,
    /// How many prompts it was given.
    pub n_prompts: usize,
    /// For how many of them an answer was taken.
    pub n_chosen: usize,
    /// The prompts themselves.
    pub run: Spend,
    /// The calibration before them.
    pub calibration: Spend,
}

impl StrategyCost {
    /// Returns run and calibration together per answer taken, in USD; none when none was taken.
    pub fn usd_per_kept(&self) -> Option<f64> {
        let total = self.run.total_usd() + self.calibration.total_usd();
        (self.n_chosen > 0).then(|| total / self.n_chosen as f64)
    }
}

/// One strategy's decisions and costs on one matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// One decision per prompt, in the order of the prompts.
    pub decisions: Vec<Decision>,
    /// What they cost.
    pub cost: StrategyCost,
}

/// Recorded answers do not suffice for a strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "strategy `{strategy}` needs {n_samples} answer(s) of teacher `{teacher}` to prompt `{prompt_id}`, which are not recorded: ask for them, or leave the teacher out of the pool"
)]
pub struct ReplayError {
    /// The strategy.
    pub strategy: String,
    /// The prompt.
    pub prompt_id: String,
    /// Whose answers are missing.
    pub teacher: String,
    /// How many it wanted in all.
    pub n_samples: u32,
}

/// Runs `router` on recorded answers as it would have run on live ones.
///
/// # Errors
/// When the router asks for an answer that is not recorded.
pub fn replay(router: &dyn Router, matrix: &Matrix, pool: &Pool) -> Result<Replay, ReplayError> {
    let mut replayer = Replayer::new(router, pool);
    let mut decisions = Vec::with_capacity(matrix.rows().len());
    for row in matrix.rows() {
        let replayed = replayer.replay(row)?;
        decisions.push(replayer.add(replayed));
    }
    Ok(Replay { decisions, cost: replayer.cost() })
}

/// Adds up a replay that goes prompt by prompt.
pub struct Replayer<'a> {
    router: &'a dyn Router,
    pool: &'a Pool,
    run: Spend,
    n_prompts: usize,
    n_chosen: usize,
    /// Origins of which an answer was counted.
    origins: BTreeSet<OriginName>,
}

/// Prompt, author, sample.
type OriginName = (String, String, u32);

/// What one row came to, not yet counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// What the strategy decided.
    pub decision: Decision,
    /// What the answers that it asked for cost.
    spend: Spend,
    origins: Vec<OriginName>,
}

impl<'a> Replayer<'a> {
    /// Begins a replay of `router`.
    pub fn new(router: &'a dyn Router, pool: &'a Pool) -> Self {
        Self { router, pool, run: Spend::default(), n_prompts: 0, n_chosen: 0, origins: BTreeSet::new() }
    }

    /// Goes through the router's rounds on the answers of one row. Rows may be replayed side by side, and do not need
    /// texts.
    ///
    /// # Errors
    /// When the router asks for an answer that is not recorded.
    pub fn replay(&self, row: &Row) -> Result<Replayed, ReplayError> {
        let decision = match route(self.router, &self.pool.query(&row.prompt), row) {
            Route::Decided(decision) => decision,
            Route::Ask(missing) => return Err(unrecorded(self.router, row, missing)),
        };
        let spend = spend_of(asked(&decision, row), self.router.reads_rewards(), self.pool.score_usd);
        let origins = asked(&decision, row).filter_map(origin_of).collect();
        Ok(Replayed { decision, spend, origins })
    }

    /// Counts what the next row came to; the rows come in the order of the prompts.
    pub fn add(&mut self, replayed: Replayed) -> Decision {
        let Replayed { decision, spend, origins } = replayed;
        self.run.add(&spend);
        let again = origins.into_iter().filter(|origin| !self.origins.insert(origin.clone())).count();
        self.run.generations -= again as u64;
        self.n_prompts += 1;
        self.n_chosen += usize::from(decision.outcome == Outcome::Chosen);
        decision
    }

    /// What the strategy costs so far.
    pub fn cost(&self) -> StrategyCost {
        StrategyCost {
            strategy: self.router.strategy(),
            n_prompts: self.n_prompts,
            n_chosen: self.n_chosen,
            run: self.run,
            calibration: self.router.calibration(),
        }
    }
}

/// Names the answer that an answer was made from; none when it was written for its prompt.
fn origin_of(answer: &Candidate) -> Option<OriginName> {
    let origin = answer.completion.origin.as_ref()?;
    Some((origin.prompt_id.clone(), origin.teacher.clone(), answer.completion.sample))
}

/// The recorded answers that the decision asked for: the nth mention of a teacher is its sample n.
fn asked<'r>(decision: &Decision, row: &'r Row) -> impl Iterator<Item = &'r Candidate> {
    decision.asked.iter().enumerate().filter_map(|(at, teacher)| {
        let sample = decision.asked[..at].iter().filter(|earlier| *earlier == teacher).count();
        row.candidate(teacher, u32::try_from(sample).ok()?)
    })
}

fn unrecorded(router: &dyn Router, row: &Row, missing: Vec<Ask>) -> ReplayError {
    let first = missing.into_iter().next().unwrap_or(Ask { teacher: String::new(), n_samples: 0 });
    ReplayError {
        strategy: router.strategy(),
        prompt_id: row.prompt.id.clone(),
        teacher: first.teacher,
        n_samples: first.n_samples,
    }
}
