//! One head after the other on the same folds.

use rayon::prelude::*;

use super::{
    FitOptions, HeadKind, KlSoftmax, Lesson, Loss, N_FOLDS, Trial,
    design::{Columns, Design},
    fit::Problem,
    gram::{Gram, MAX_FOR_GRAM},
    trial::regret_of,
    tune::{Folds, loss_of},
};
use crate::statistics::mean;

/// Temperatures that are tried, in standard deviations of the rewards inside a prompt.
const TAUS: [f64; 4] = [0.1, 0.3, 1.0, 3.0];
/// The penalty under which temperatures are compared.
const MIDDLE_PENALTY: f64 = 8.0;

/// Learns on four fifths of the lessons what it is judged by on the last, as often as it is asked to.
pub(super) struct Trainers<'a> {
    folds: &'a Folds<'a>,
    parts: Vec<Part<'a>>,
}

/// One fold: the lessons outside it, then those inside, with their features.
struct Part<'a> {
    learned: Vec<&'a Lesson>,
    /// Places of the lessons inside, by their place among all.
    held_out: Vec<usize>,
    design: Box<dyn Design>,
}

/// What is fitted: a loss, and the penalty on features; no features where it is infinite.
type Task<'l> = (&'l dyn Loss, f64);

impl<'a> Trainers<'a> {
    pub(super) fn of(folds: &'a Folds<'a>) -> Self {
        let (lessons, n_teachers) = (folds.lessons, folds.lessons.teachers.len());
        let is_few = folds.chosen.len() <= MAX_FOR_GRAM;
        let gram = is_few.then(|| Gram::of(&folds.chosen, lessons.width));
        let part = |fold| {
            let (learned, held_out) = folds.part(fold);
            let places: Vec<usize> = learned.iter().chain(&held_out).copied().collect();
            let n_learned = learned.len();
            let chosen = |places: &[usize]| places.iter().map(|at| folds.chosen[*at]).collect::<Vec<_>>();
            let design: Box<dyn Design> = match &gram {
                Some(gram) => Box::new(gram.coordinates(&places, (n_learned, n_teachers))),
                None => Box::new(Columns::of(&chosen(&places), n_learned, (lessons.width, n_teachers))),
            };
            Part { learned: chosen(&learned), held_out, design }
        };
        Self { folds, parts: (0..N_FOLDS).into_par_iter().map(part).collect() }
    }

    /// One head under every penalty, from the largest on, each starting from where the one before it ended, until the
    /// held-out loss has risen twice: a still smaller penalty fits noise, and takes the longest.
    pub(super) fn path(&self, head: (HeadKind, Option<f64>), penalties: &[f64]) -> Vec<(Trial, Vec<f64>)> {
        let loss = loss_of(head.0, head.1);
        let mut starts = vec![None; self.parts.len()];
        let mut tried: Vec<(Trial, Vec<f64>)> = Vec::new();
        for penalty in penalties {
            let task: Task<'_> = (loss.as_ref(), *penalty);
            let work = self.parts.par_iter().zip(&mut starts);
            let parts: Vec<_> = work.map(|(part, start)| self.scores(part, task, start)).collect();
            let mut scores = vec![Vec::new(); self.folds.chosen.len()];
            for (part, own) in self.parts.iter().zip(parts) {
                part.held_out.iter().zip(own).for_each(|(at, own)| scores[*at] = own);
            }
            tried.push(self.judge(head, task, &scores));
            let losses: Vec<f64> = tried.iter().filter_map(|(trial, _)| trial.loss).collect();
            if matches!(losses.as_slice(), [.., a, b, c] if a < b && b < c) {
                break;
            }
        }
        tried
    }

    /// The scores of the held-out lessons of one part, by what its other lessons teach.
    fn scores(&self, part: &Part<'_>, (loss, penalty): Task<'_>, start: &mut Option<Vec<f64>>) -> Vec<Vec<f64>> {
        let lessons = self.folds.lessons;
        let none = Columns::none(part.learned.len() + part.held_out.len(), lessons.teachers.len());
        let design: &dyn Design = if penalty.is_finite() { part.design.as_ref() } else { &none };
        let problem = Problem::new(lessons, &part.learned, design);
        let options = FitOptions { penalty, tolerance: 1e-3, max_steps: 40, ..FitOptions::default() };
        let from = start.take().filter(|_| penalty.is_finite()).unwrap_or_else(|| problem.start());
        let at = problem.solve(loss, options, from);
        let scorer = problem.scorer(&at);
        let score = |(number, place): (usize, &usize)| {
            let mut scores = vec![0.0; lessons.teachers.len()];
            let (lesson, language) = (part.learned.len() + number, self.folds.chosen[*place].language);
            scorer.score((&[lesson], &[language]), &mut scores);
            scores
        };
        let scores = part.held_out.iter().enumerate().map(score).collect();
        drop(scorer);
        *start = penalty.is_finite().then_some(at);
        scores
    }

    fn judge(
        &self,
        (head, tau): (HeadKind, Option<f64>),
        (loss, penalty): Task<'_>,
        scores: &[Vec<f64>],
    ) -> (Trial, Vec<f64>) {
        let regrets = self.folds.regrets(scores);
        let mut slope = vec![0.0; self.folds.lessons.teachers.len()];
        let judged = self.folds.chosen.iter().zip(scores);
        let losses: Vec<f64> = judged.map(|(l, scores)| loss.blame(scores, &l.rewards, &mut slope)).collect();
        let trial = Trial {
            head,
            tau,
            penalty: Some(penalty),
            n: regrets.len(),
            regret: mean(&regrets).unwrap_or(0.0),
            loss: mean(&losses),
        };
        (trial, regrets)
    }

    /// The temperature of the lowest regret on one fold; of equals that of the lowest divergence.
    pub(super) fn choose_tau(&self) -> f64 {
        let spread = Some(self.folds.lessons.spread()).filter(|spread| *spread > 0.0).unwrap_or(1.0);
        let Some(part) = self.parts.first() else { return spread };
        let judge = |tau: f64| {
            let loss = KlSoftmax { tau };
            let scores = self.scores(part, (&loss, MIDDLE_PENALTY), &mut None);
            let (mut regret, mut divergence) = (0.0, 0.0);
            let mut slope = vec![0.0; self.folds.lessons.teachers.len()];
            for (lesson, scores) in part.held_out.iter().map(|at| self.folds.chosen[*at]).zip(&scores) {
                regret += regret_of(lesson, scores);
                divergence += loss.blame(scores, &lesson.rewards, &mut slope);
            }
            (regret, divergence, tau)
        };
        let tried: Vec<(f64, f64, f64)> = TAUS.par_iter().map(|tau| judge(tau * spread)).collect();
        let best = tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        best.map_or(spread, |(_, _, tau)| tau)
    }
}
