//! Which head, with which penalty, and whether it is better than a table at all: settled on held-out prompts.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    BradleyTerry, FitOptions, HeadKind, KlSoftmax, LanguageTrial, Lesson, Lessons, LinearHead, Loss, N_FOLDS, Trial,
    fit::{RIDGE, fit, fit_some, fit_table, table_of},
    folds::deal,
    trainers::Trainers,
    trial::regret_of,
};
use crate::{language::Language, statistics::mean};

/// How a head is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct TuneOptions {
    /// Deals out folds.
    pub seed: u64,
    /// Heads that are tried; all three by default. The table is always there to compare with.
    pub heads: Vec<HeadKind>,
    /// Whether the table is taken where no head is better than it by a standard error; true by default.
    pub may_take_table: bool,
    /// Penalties that are tried, from the largest on, until the held-out loss has risen twice; default 512 down to 0.5 in
    /// steps of 4.
    pub penalties: Vec<f64>,
    /// Settings are compared on at most this many lessons, whole sources by lot; default 1,500. The chosen one is then
    /// fitted to all.
    pub max_compared: usize,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            heads: vec![HeadKind::KlSoftmax, HeadKind::BradleyTerry, HeadKind::Ridge],
            may_take_table: true,
            penalties: vec![512.0, 128.0, 32.0, 8.0, 2.0, 0.5],
            max_compared: 1_500,
        }
    }
}

/// A head that was chosen, with what it was chosen by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// Fitted to all lessons.
    pub head: LinearHead,
    /// The setting that was chosen.
    pub chosen: Trial,
    /// Divides scores before a softmax makes probabilities of them: 1, or the spread of rewards inside a prompt for
    /// scores that are rewards.
    pub temperature: f64,
    /// Every setting that was tried, the table first.
    pub trials: Vec<Trial>,
    /// The best head beside the table over all languages, out of fold.
    pub overall: LanguageTrial,
    /// The best head beside the table by language, out of fold.
    pub languages: BTreeMap<Language, LanguageTrial>,
}

/// Chooses and fits a head.
///
/// Every setting chooses for prompts of a fold after learning from the other four; regret on them decides, the loss
/// breaks ties, and of equals the larger penalty stays. The temperature of [`KlSoftmax`] is chosen before that, on one
/// fold. The best head routes where it gains at least one standard error on the table of `fixed` (the rule of Breiman et
/// al. 1984), and the table where it does not: a learned router is never worse than `fixed` but by chance.
pub fn tune(lessons: &Lessons, options: &TuneOptions) -> Tuned {
    let folds = Folds::of(lessons, options);
    let table: Vec<f64> = folds.regrets(&folds.cross(|chosen| {
        let head = table_of(lessons, chosen);
        Box::new(move |lesson: &Lesson| head.scores(&lesson.features, &lessons.languages[lesson.language]))
    }));
    let table_trial = Trial {
        head: HeadKind::Table,
        tau: None,
        penalty: None,
        n: table.len(),
        regret: mean(&table).unwrap_or(0.0),
        loss: None,
    };
    let mut trials = vec![table_trial];
    let trainers = Trainers::of(&folds);
    let kinds: Vec<HeadKind> = options.heads.iter().copied().filter(|kind| *kind != HeadKind::Table).collect();
    let path = |kind: &HeadKind| {
        let tau = (*kind == HeadKind::KlSoftmax).then(|| trainers.choose_tau());
        trainers.path((*kind, tau), &options.penalties)
    };
    let mut best: Option<(Trial, Vec<f64>)> = None;
    for (trial, regrets) in kinds.par_iter().map(path).collect::<Vec<_>>().into_iter().flatten() {
        trials.push(trial);
        if best.as_ref().is_none_or(|(known, _)| is_better(&trial, known)) {
            best = Some((trial, regrets));
        }
    }
    let (candidate, regrets) = best.unwrap_or((table_trial, table.clone()));
    let compare = |is_meant: &dyn Fn(&Lesson) -> bool| LanguageTrial::of((&folds.chosen, &regrets, &table), is_meant);
    let none = LanguageTrial { n: 0, regret: 0.0, table_regret: 0.0, gain: 0.0, gain_se: None };
    let overall = compare(&|_| true).unwrap_or(none);
    let of_language = |(at, language): (usize, &Language)| {
        Some((language.clone(), compare(&|lesson: &Lesson| lesson.language == at)?))
    };
    let languages = lessons.languages.iter().enumerate().filter_map(of_language).collect();
    let is_worth_it = overall.gain > overall.gain_se.unwrap_or(f64::INFINITY);
    let chosen = if is_worth_it || !options.may_take_table { candidate } else { table_trial };
    let head = final_head(lessons, &chosen);
    let is_reward = matches!(chosen.head, HeadKind::Table | HeadKind::Ridge);
    let temperature = if is_reward { lessons.spread() } else { 1.0 };
    Tuned { head, chosen, temperature, trials, overall, languages }
}

/// Whether a trial is better than an earlier one; losses are comparable within one head alone.
fn is_better(trial: &Trial, known: &Trial) -> bool {
    let is_same = trial.head == known.head;
    let by_loss = trial.loss.zip(known.loss).is_some_and(|(own, other)| is_same && own < other);
    trial.regret < known.regret || (trial.regret == known.regret && by_loss)
}

fn final_head(lessons: &Lessons, trial: &Trial) -> LinearHead {
    let Some(penalty) = trial.penalty else { return fit_table(lessons) };
    let options = FitOptions { penalty, tolerance: 1e-4, max_steps: 80, ..FitOptions::default() };
    let options = options.as_far_as_it_pays(lessons.lessons.len());
    fit(lessons, loss_of(trial.head, trial.tau).as_ref(), options)
}

pub(super) fn loss_of(kind: HeadKind, tau: Option<f64>) -> Box<dyn Loss> {
    match kind {
        HeadKind::KlSoftmax => Box::new(KlSoftmax { tau: tau.unwrap_or(1.0) }),
        HeadKind::BradleyTerry => Box::new(BradleyTerry),
        HeadKind::Ridge | HeadKind::Table => Box::new(RIDGE),
    }
}

/// Expected rewards of every teacher, learned from calibration prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedRewards {
    /// Ridge regression on all lessons: its scores are expected normalised rewards.
    pub head: LinearHead,
    /// The penalty, by the least squared error out of fold; infinite where features do not help at all.
    pub penalty: f64,
    /// By lesson, then teacher: the expectation of a head that did not learn from the lesson's source.
    pub out_of_fold: Vec<Vec<f64>>,
}

/// Learns expected rewards: `mu_m(x) = a_m + a_(m,l) + w_m . h(x)`, penalty by five folds over sources.
pub fn expected_rewards(lessons: &Lessons, options: &TuneOptions) -> ExpectedRewards {
    let folds = Folds::of(lessons, options);
    let mut penalties = vec![f64::INFINITY];
    penalties.extend(&options.penalties);
    let errors = Trainers::of(&folds).path((HeadKind::Ridge, None), &penalties);
    let error = |trial: &Trial| trial.loss.unwrap_or(f64::INFINITY);
    let best = errors.iter().map(|(trial, _)| trial).fold(None, |best: Option<&Trial>, trial| match best {
        Some(known) if error(known) <= error(trial) => best,
        _ => Some(trial),
    });
    let penalty = best.and_then(|trial| trial.penalty).unwrap_or(f64::INFINITY);
    let fit_options = FitOptions { penalty, ..FitOptions::default() }.as_far_as_it_pays(lessons.lessons.len());
    let everything = TuneOptions { max_compared: usize::MAX, ..options.clone() };
    let all = if folds.chosen.len() == lessons.lessons.len() { folds } else { Folds::of(lessons, &everything) };
    let out_of_fold = all.cross(|chosen| {
        let head = fit_some((lessons, chosen), &RIDGE, fit_options);
        Box::new(move |lesson: &Lesson| head.scores(&lesson.features, &lessons.languages[lesson.language]))
    });
    ExpectedRewards { head: fit(lessons, &RIDGE, fit_options), penalty, out_of_fold }
}

/// Lessons that settings are compared on, in folds.
pub(super) struct Folds<'a> {
    pub(super) lessons: &'a Lessons,
    pub(super) chosen: Vec<&'a Lesson>,
    /// By chosen lesson.
    folds: Vec<usize>,
}

type Scorer<'a> = Box<dyn Fn(&Lesson) -> Vec<f64> + 'a>;

impl<'a> Folds<'a> {
    fn of(lessons: &'a Lessons, options: &TuneOptions) -> Self {
        let places = deal(&lessons.sources, options.seed);
        let mut order: Vec<usize> = (0..lessons.lessons.len()).collect();
        // Whole sources in the order in which they are dealt, as many as fit.
        order.sort_by_key(|at| places[lessons.lessons[*at].source]);
        let source_of = |at: usize| lessons.lessons[at].source;
        let last = order.get(options.max_compared).map(|at| source_of(*at));
        let mut kept: Vec<usize> = order.into_iter().take(options.max_compared).collect();
        kept.retain(|at| Some(source_of(*at)) != last);
        kept.sort_unstable();
        let folds = kept.iter().map(|at| places[source_of(*at)] % N_FOLDS).collect();
        let chosen = kept.into_iter().map(|at| &lessons.lessons[at]).collect();
        Self { lessons, chosen, folds }
    }

    /// Places of the lessons outside and inside a fold.
    pub(super) fn part(&self, fold: usize) -> (Vec<usize>, Vec<usize>) {
        (0..self.folds.len()).partition(|at| self.folds[*at] != fold)
    }

    /// The scores of every lesson by what `learn` makes of the lessons of the other folds.
    fn cross<'s>(&self, learn: impl Fn(&[&'a Lesson]) -> Scorer<'s>) -> Vec<Vec<f64>> {
        let mut scores = vec![Vec::new(); self.chosen.len()];
        for fold in 0..N_FOLDS {
            let (learned, held_out) = self.part(fold);
            let scorer = learn(&learned.into_iter().map(|at| self.chosen[at]).collect::<Vec<_>>());
            held_out.into_iter().for_each(|at| scores[at] = scorer(self.chosen[at]));
        }
        scores
    }

    pub(super) fn regrets(&self, scores: &[Vec<f64>]) -> Vec<f64> {
        self.chosen.iter().zip(scores).map(|(lesson, scores)| regret_of(lesson, scores)).collect()
    }
}
