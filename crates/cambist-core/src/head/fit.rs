//! From lessons to a head.

use std::{collections::BTreeMap, ops::Range};

use rayon::prelude::*;

use super::{
    LinearHead, Loss, SquaredError,
    design::{Columns, Design},
    lesson::{Lesson, Lessons},
    minimize::{Stop, minimize_in},
};
use crate::language::Language;

/// How a head is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitOptions {
    /// What the squared weights of features cost: half of it times their sum is added to the sum of the losses. Above 0;
    /// infinite where features are to play no part.
    pub penalty: f64,
    /// The same for the offsets of languages; default 1. Offsets of languages with few prompts stay near 0.
    pub language_penalty: f64,
    /// The largest component of the gradient of the mean loss at which it is done; default 1e-5.
    pub tolerance: f64,
    /// Steps, at most; default 200.
    pub max_steps: usize,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { penalty: 1.0, language_penalty: 1.0, tolerance: 1e-5, max_steps: 200 }
    }
}

/// Fits a head to lessons: the sum of `loss` over them plus the penalties is least.
///
/// Intercepts are free. A feature that fewer than two sources have gets no weight.
pub fn fit(lessons: &Lessons, loss: &dyn Loss, options: FitOptions) -> LinearHead {
    let chosen: Vec<&Lesson> = lessons.lessons.iter().collect();
    fit_some((lessons, &chosen), loss, options)
}

/// As [`fit`], to some lessons.
pub(super) fn fit_some((lessons, chosen): (&Lessons, &[&Lesson]), loss: &dyn Loss, options: FitOptions) -> LinearHead {
    let n_teachers = lessons.teachers.len();
    let columns = if options.penalty.is_finite() {
        Columns::of(chosen, chosen.len(), (lessons.width, n_teachers))
    } else {
        Columns::none(chosen.len(), n_teachers)
    };
    let problem = Problem::new(lessons, chosen, &columns);
    let at = problem.solve(loss, options, problem.start());
    let (weights, rest) = at.split_at(columns.n_weights());
    let (offsets, intercepts) = rest.split_at(lessons.languages.len() * n_teachers);
    let offsets: BTreeMap<Language, Vec<f64>> =
        lessons.languages.iter().cloned().zip(offsets.chunks(n_teachers).map(<[f64]>::to_vec)).collect();
    LinearHead::new(intercepts.to_vec(), offsets, columns.spread(weights, lessons.width))
}

/// Returns a head that is a table: mean rewards per language, and over all languages together, without features. It
/// routes as [`crate::router::FixedTable`] does: a language with fewer than 30 lessons has no row of its own.
pub fn fit_table(lessons: &Lessons) -> LinearHead {
    table_of(lessons, &lessons.lessons.iter().collect::<Vec<_>>())
}

/// As [`fit_table`], of some lessons.
pub(super) fn table_of(lessons: &Lessons, chosen: &[&Lesson]) -> LinearHead {
    let n_teachers = lessons.teachers.len();
    let all: Vec<usize> = (0..chosen.len()).collect();
    let means = |of: &[usize]| -> Vec<Option<f64>> {
        let mean = |teacher| {
            let known: Vec<f64> = of.iter().filter_map(|at| chosen[*at].rewards[teacher]).collect();
            crate::statistics::mean(&known)
        };
        (0..n_teachers).map(mean).collect()
    };
    let pooled: Vec<f64> = means(&all).into_iter().map(|mean| mean.unwrap_or(0.0)).collect();
    let mut offsets = BTreeMap::new();
    for (place, language) in lessons.languages.iter().enumerate() {
        let own: Vec<usize> = all.iter().copied().filter(|at| chosen[*at].language == place).collect();
        let is_enough = own.len() >= crate::router::MIN_PROMPTS;
        let row = if is_enough { means(&own) } else { vec![None; n_teachers] };
        let offset = |(mean, pooled): (Option<f64>, &f64)| mean.map_or(0.0, |mean| mean - pooled);
        offsets.insert(language.clone(), row.into_iter().zip(&pooled).map(offset).collect());
    }
    LinearHead::new(pooled, offsets, Vec::new())
}

/// Lessons are summed up in parts of this many, side by side, so that sums are the same whatever the machine.
const LESSONS_IN_A_PART: usize = 8_192;

/// What is minimised. Parameters stand in one row: weights of the design, offsets by language and teacher, intercepts.
pub(super) struct Problem<'a> {
    /// The lessons that are learned from: the first ones of the design.
    lessons: &'a [&'a Lesson],
    n_teachers: usize,
    n_languages: usize,
    design: &'a dyn Design,
}

impl<'a> Problem<'a> {
    pub(super) fn new(lessons: &Lessons, chosen: &'a [&'a Lesson], design: &'a dyn Design) -> Self {
        let (n_teachers, n_languages) = (lessons.teachers.len(), lessons.languages.len());
        Self { lessons: chosen, n_teachers, n_languages, design }
    }

    pub(super) fn start(&self) -> Vec<f64> {
        vec![0.0; self.intercepts() + self.n_teachers]
    }

    fn intercepts(&self) -> usize {
        self.design.n_weights() + self.n_languages * self.n_teachers
    }

    /// Returns the best parameters, from `start` on.
    pub(super) fn solve(&self, loss: &dyn Loss, options: FitOptions, start: Vec<f64>) -> Vec<f64> {
        let stop = Stop { gradient: options.tolerance, max_steps: options.max_steps };
        let units = self.units(options);
        let value = |at: &[f64], slope: &mut [f64]| self.value(loss, options, (at, slope));
        minimize_in(&units, value, start, stop)
    }

    /// How far each parameter is moved by a unit: one over the root of what it is multiplied by, squared and summed, so
    /// that frequent features and rare ones bend the loss alike.
    fn units(&self, options: FitOptions) -> Vec<f64> {
        let (n_weights, intercepts) = (self.design.n_weights(), self.intercepts());
        let n_lessons = self.lessons.len().max(1) as f64;
        let mut squares = vec![0.0; intercepts + self.n_teachers];
        self.design.add_squares(self.lessons.len(), &mut squares[..n_weights]);
        squares[..n_weights].iter_mut().for_each(|square| *square += options.penalty.min(f64::MAX));
        for lesson in self.lessons {
            let own = &mut squares[n_weights + lesson.language * self.n_teachers..][..self.n_teachers];
            own.iter_mut().for_each(|square| *square += 1.0);
        }
        squares[n_weights..intercepts].iter_mut().for_each(|square| *square += options.language_penalty);
        squares[intercepts..].fill(n_lessons);
        squares.iter().map(|square| (n_lessons / square.max(f64::MIN_POSITIVE)).sqrt()).collect()
    }

    /// The score of each teacher for a lesson of the design in a language.
    pub(super) fn score(&self, at: &[f64], (lesson, language): (usize, usize), scores: &mut [f64]) {
        let (weights, rest) = at.split_at(self.design.n_weights());
        let (offsets, intercepts) = rest.split_at(self.n_languages * self.n_teachers);
        let offsets = &offsets[language * self.n_teachers..][..self.n_teachers];
        scores.iter_mut().zip(intercepts.iter().zip(offsets)).for_each(|(score, (i, o))| *score = i + o);
        self.design.add_scores(lesson, weights, scores);
    }

    /// The mean loss with penalties, and its gradient.
    fn value(&self, loss: &dyn Loss, options: FitOptions, (at, slope): (&[f64], &mut [f64])) -> f64 {
        slope.fill(0.0);
        let n = self.lessons.len();
        let mut sum = 0.0;
        if n <= LESSONS_IN_A_PART {
            sum += self.sum(0..n, loss, (at, slope));
        } else {
            let parts = (0..n.div_ceil(LESSONS_IN_A_PART)).into_par_iter().map(|part| {
                let from = part * LESSONS_IN_A_PART;
                let mut own = vec![0.0; at.len()];
                (self.sum(from..n.min(from + LESSONS_IN_A_PART), loss, (at, &mut own)), own)
            });
            for (own_sum, own) in parts.collect::<Vec<_>>() {
                sum += own_sum;
                slope.iter_mut().zip(own).for_each(|(part, own)| *part += own);
            }
        }
        let (until_weights, until_offsets) = (self.design.n_weights(), self.intercepts());
        sum += penalize(options.penalty, &at[..until_weights], &mut slope[..until_weights]);
        let offsets = until_weights..until_offsets;
        sum += penalize(options.language_penalty, &at[offsets.clone()], &mut slope[offsets]);
        let per_lesson = 1.0 / n.max(1) as f64;
        slope.iter_mut().for_each(|part| *part *= per_lesson);
        sum * per_lesson
    }

    /// The losses of some lessons, and the gradient of their sum, without penalties.
    fn sum(&self, lessons: Range<usize>, loss: &dyn Loss, (at, slope): (&[f64], &mut [f64])) -> f64 {
        let n = self.n_teachers;
        let (mut scores, mut blame) = (vec![0.0; n], vec![0.0; n]);
        let (weights, rest) = slope.split_at_mut(self.design.n_weights());
        let (offsets, intercepts) = rest.split_at_mut(self.n_languages * n);
        let mut sum = 0.0;
        for number in lessons {
            let lesson = self.lessons[number];
            self.score(at, (number, lesson.language), &mut scores);
            sum += loss.blame(&scores, &lesson.rewards, &mut blame);
            let offsets = &mut offsets[lesson.language * n..][..n];
            for ((intercept, offset), part) in intercepts.iter_mut().zip(offsets).zip(&blame) {
                *intercept += part;
                *offset += part;
            }
            self.design.add_slope(number, &blame, weights);
        }
        sum
    }
}

/// Returns what `weights` cost, and adds to the gradient.
fn penalize(penalty: f64, weights: &[f64], slope: &mut [f64]) -> f64 {
    if weights.is_empty() {
        return 0.0;
    }
    slope.iter_mut().zip(weights).for_each(|(part, weight)| *part += penalty * weight);
    penalty / 2.0 * weights.iter().map(|weight| weight * weight).sum::<f64>()
}

/// Ridge regression of each teacher's rewards.
pub(super) const RIDGE: SquaredError = SquaredError;
