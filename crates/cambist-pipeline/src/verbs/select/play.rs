//! Every strategy on the recorded answers: what it decides, prompt by prompt, and what that would have cost.

use std::collections::BTreeMap;

use cambist_core::{
    align::{self, Align, KEPT},
    candidate::Row,
    language::Language,
    outline::{Line, Outline},
    pool::Pool,
    prompt::{Message, Prompt},
    router::{Decision, Outcome, ReplayError, Replayed, Replayer, StrategyCost},
    tally::Tally,
};
use cambist_io::formats::{LineWriter, TableWriter};
use rayon::prelude::*;
use serde_json::json;

use super::{Making, survey::Answers, table::Shares};
use crate::{
    error::PipelineError,
    recipe::params::StrategyParams,
    verbs::{answers::with_translations, routers, tables::DecisionRow},
};

/// Prompts that are decided side by side.
const CHUNK: usize = 4096;

/// Prompts that one thread decides one after the other.
const ONE_BY_ONE: usize = 64;

/// One strategy on the answers that it routes over.
pub(super) struct Played {
    /// `single:aya`, where the recipe says `single`.
    pub strategy: String,
    /// The answers under its own `from`; none when it routes over the step's.
    pub own: Option<Answers>,
    /// What it took of each prompt's answers, in the order of the prompts.
    pub taken: Vec<Taken>,
    pub cost: StrategyCost,
    /// Prompts of languages that the router's calibration had none of.
    pub n_unknown_language: usize,
    pub shares: Shares,
}

/// How a prompt ended for a strategy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    outcome: Outcome,
    /// Which of the answers was taken, by its place in the row.
    answer: u32,
}

impl Taken {
    fn of(row: &Row, decision: &Decision) -> Self {
        let cell = decision.teacher.as_deref().zip(decision.sample);
        let answer = cell.and_then(|cell| row.place(cell));
        Self { outcome: decision.outcome, answer: answer.map_or(u32::MAX, |at| at as u32) }
    }

    /// The place of the answer that was taken; none when none was.
    pub(super) fn answer(self) -> Option<usize> {
        (self.outcome == Outcome::Chosen && self.answer != u32::MAX).then_some(self.answer as usize)
    }
}

/// Plays a strategy and writes its decisions down.
pub(super) fn play(
    making: &Making<'_>,
    (name, params): (&str, &StrategyParams),
    (answers, pool): (&Answers, &Pool),
    decisions: &mut TableWriter<DecisionRow>,
) -> Result<Played, PipelineError> {
    let Making { workshop, job, .. } = making;
    let role = format!("router {name}");
    let router = routers::build(workshop, job, (&params.router, &making.params.gates, &role), pool)?;
    let shared = &answers.outline;
    let own = params.from.as_ref().map(|_| Answers::read(making, &format!("from {name}"), false)).transpose()?;
    let own_pool = own.as_ref().map(|own| with_translations(pool.clone(), &workshop.plan.recipe, &own.outline));
    let own_pool = own_pool.transpose()?;
    let outline = own.as_ref().map_or(shared, |own| &own.outline);
    let set = if own.is_some() { name } else { "" };
    let mut replayer = Replayer::new(router.as_ref(), own_pool.as_ref().unwrap_or(pool));
    let (mut taken, mut shares) = (Vec::with_capacity(outline.len()), Shares::default());
    let mut best = shared.lines().map(|line| line.best_reward());
    let mut prompts = router.reads_prompts().then(|| own.as_ref().unwrap_or(answers).prompts());
    for from in (0..outline.len()).step_by(CHUNK) {
        workshop.checkpoint()?;
        let messages = prompts.as_mut().map(|prompts| messages_of(prompts, (outline, from))).transpose()?;
        for replayed in replayed(&replayer, (outline, from), messages.as_deref()).into_iter().flatten() {
            let (of_row, replayed) = replayed.map_err(|error| {
                PipelineError::input(&job.label, error.to_string(), "or give the strategy its own `from`")
            })?;
            let decision = replayer.add(replayed);
            taken.push(of_row);
            shares.add(&decision, best.next().flatten());
            decisions.push_as(&DecisionRow { name, set, decision: &decision })?;
        }
    }
    drop(prompts);
    let is_unknown = |language: &Language| !router.is_calibrated_for(language);
    let n_unknown_language = outline.lines().filter(|line| is_unknown(line.language())).count();
    let cost = replayer.cost();
    Ok(Played { n_unknown_language, strategy: router.strategy(), taken, cost, shares, own })
}

/// What a row came to and which of its answers was taken.
type OfRow = Result<(Taken, Replayed), ReplayError>;

/// Replays the next prompts, some of them one after the other in the same memory; `messages` where the router reads what
/// prompts say.
fn replayed(
    replayer: &Replayer<'_>,
    (outline, from): (&Outline, usize),
    messages: Option<&[Vec<Message>]>,
) -> Vec<Vec<OfRow>> {
    let until = (from + CHUNK).min(outline.len());
    let some = |start: usize| -> Vec<OfRow> {
        let Some(mut row) = outline.line(start).as_ref().map(Line::row) else { return Vec::new() };
        let replay = |at: usize| {
            outline.line(at)?.write_row(&mut row);
            if let Some(messages) = messages {
                row.prompt.messages.clone_from(&messages[at - from]);
            }
            Some(replayer.replay(&row).map(|replayed| (Taken::of(&row, &replayed.decision), replayed)))
        };
        (start..until.min(start + ONE_BY_ONE)).filter_map(replay).collect()
    };
    (from..until).into_par_iter().step_by(ONE_BY_ONE).map(some).collect()
}

/// Reads what the prompts of a chunk say: one for each line of the outline, in its order.
fn messages_of(
    prompts: &mut dyn Iterator<Item = Result<Prompt, PipelineError>>,
    (outline, from): (&Outline, usize),
) -> Result<Vec<Vec<Message>>, PipelineError> {
    let n = CHUNK.min(outline.len() - from);
    let messages = prompts.take(n).map(|prompt| Ok(prompt?.messages)).collect::<Result<Vec<_>, PipelineError>>()?;
    if messages.len() == n {
        return Ok(messages);
    }
    Err(PipelineError::Internal(format!("{} prompts of {n} from place {from} on are there", messages.len())))
}

/// The sets of all strategies, cut to the prompts that they have in common.
pub(super) struct Aligned<'a> {
    pub played: &'a BTreeMap<String, Played>,
    mode: Align,
    /// By strategy: kept prompts and those left out, by language and reason.
    pub tallies: BTreeMap<&'a str, Tally>,
}

impl<'a> Aligned<'a> {
    /// Aligns what was played on the prompts of `outline`.
    pub(super) fn of(played: &'a BTreeMap<String, Played>, outline: &Outline, mode: Align) -> Self {
        let mut aligned = Self { played, mode, tallies: BTreeMap::new() };
        for (name, strategy) in played {
            let mut tally = Tally::default();
            for (at, line) in outline.lines().enumerate() {
                tally.add(line.language(), aligned.standing(strategy, at));
            }
            aligned.tallies.insert(name, tally);
        }
        aligned
    }

    /// How many prompts a strategy keeps.
    pub(super) fn n_kept(&self, name: &str) -> usize {
        self.tallies.get(name).map_or(0, |tally| tally.of_code(KEPT))
    }

    /// The prompts that a strategy keeps, with the answers that it took, by their places.
    pub(super) fn kept(&self, strategy: &Played) -> impl Iterator<Item = (usize, usize)> {
        let kept = strategy.taken.iter().enumerate();
        kept.filter_map(|(at, taken)| Some((at, taken.answer().filter(|_| self.standing(strategy, at) == KEPT)?)))
    }

    /// The answer of a prompt that a strategy keeps; none when it keeps none.
    pub(super) fn answer(&self, strategy: &Played, at: usize) -> Option<usize> {
        strategy.taken.get(at)?.answer().filter(|_| self.standing(strategy, at) == KEPT)
    }

    /// Writes down every prompt that a set left out, and why.
    pub(super) fn write_dropped(&self, outline: &Outline, lines: &mut LineWriter) -> Result<(), PipelineError> {
        for (name, strategy) in self.played {
            for (at, line) in outline.lines().enumerate() {
                let reason = self.standing(strategy, at);
                if reason != KEPT {
                    let lacking: Vec<&str> = self.lacking(at).collect();
                    let id = line.id();
                    lines.push(&json!({ "set": name, "prompt_id": id, "reason": reason, "lacking": lacking }))?;
                }
            }
        }
        Ok(())
    }

    fn standing(&self, strategy: &Played, at: usize) -> &'static str {
        let outcome = strategy.taken.get(at).map_or(Outcome::NoneEligible, |taken| taken.outcome);
        align::standing(outcome, self.lacking(at).next().is_some(), self.mode)
    }

    /// The strategies that took no answer to a prompt.
    fn lacking(&self, at: usize) -> impl Iterator<Item = &str> {
        let lacks = move |strategy: &Played| strategy.taken.get(at).is_none_or(|t| t.outcome != Outcome::Chosen);
        self.played.iter().filter(move |(_, strategy)| lacks(strategy)).map(|(name, _)| name.as_str())
    }
}
