//! From lessons to a head.

use std::collections::BTreeMap;

use super::{
    LinearHead, Loss, SquaredError,
    lesson::{Lesson, Lessons},
    minimize::{Stop, minimize},
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
    let problem = Problem::new(lessons, &chosen, options.penalty.is_finite());
    let at = problem.solve(loss, options, problem.start());
    problem.head(lessons, &at)
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

/// Lessons as the minimiser sees them: columns are the features that at least two sources have.
///
/// Parameters stand in one row: weights by column and teacher, offsets by language and teacher, intercepts.
pub(super) struct Problem<'a> {
    lessons: &'a [&'a Lesson],
    n_teachers: usize,
    n_languages: usize,
    /// The feature behind each column.
    features: Vec<u32>,
    /// Columns and values of each lesson, end to end.
    columns: Vec<(u32, f32)>,
    /// Where the columns of each lesson end.
    ends: Vec<usize>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(lessons: &Lessons, chosen: &'a [&'a Lesson], with_features: bool) -> Self {
        let mut problem = Self {
            lessons: chosen,
            n_teachers: lessons.teachers.len(),
            n_languages: lessons.languages.len(),
            features: Vec::new(),
            columns: Vec::new(),
            ends: vec![0; chosen.len()],
        };
        if with_features {
            problem.number_columns(lessons.width);
        }
        problem
    }

    fn number_columns(&mut self, width: usize) {
        const ONCE: u32 = u32::MAX;
        // The source that a feature was met in, plus one; `ONCE` when a second one had it too.
        let mut met = vec![0u32; width];
        for lesson in self.lessons {
            for index in &lesson.features.indices {
                let known = &mut met[*index as usize];
                let own = lesson.source as u32 + 1;
                *known = if *known == 0 || *known == own { own } else { ONCE };
            }
        }
        let mut column_of = vec![u32::MAX; width];
        for (index, _) in met.iter().enumerate().filter(|(_, met)| **met == ONCE) {
            column_of[index] = self.features.len() as u32;
            self.features.push(index as u32);
        }
        for (lesson, end) in self.lessons.iter().zip(&mut self.ends) {
            let numbered = lesson.features.iter().map(|(index, value)| (column_of[index as usize], value));
            self.columns.extend(numbered.filter(|(column, _)| *column != u32::MAX));
            *end = self.columns.len();
        }
    }

    pub(super) fn start(&self) -> Vec<f64> {
        vec![0.0; (self.features.len() + self.n_languages + 1) * self.n_teachers]
    }

    /// Returns the best parameters, from `start` on.
    pub(super) fn solve(&self, loss: &dyn Loss, options: FitOptions, start: Vec<f64>) -> Vec<f64> {
        let stop = Stop { gradient: options.tolerance, max_steps: options.max_steps };
        minimize(|at, slope| self.value(loss, options, (at, slope)), start, stop)
    }

    /// The mean loss with penalties, and its gradient.
    fn value(&self, loss: &dyn Loss, options: FitOptions, (at, slope): (&[f64], &mut [f64])) -> f64 {
        slope.fill(0.0);
        let n = self.n_teachers;
        let (mut scores, mut blame) = (vec![0.0; n], vec![0.0; n]);
        let mut sum = 0.0;
        let mut from = 0;
        let intercepts = (self.features.len() + self.n_languages) * n;
        for (lesson, end) in self.lessons.iter().zip(&self.ends) {
            let columns = &self.columns[from..*end];
            from = *end;
            let offsets = (self.features.len() + lesson.language) * n;
            for (teacher, score) in scores.iter_mut().enumerate() {
                *score = at[intercepts + teacher] + at[offsets + teacher];
            }
            for (column, value) in columns {
                let place = *column as usize * n;
                let weights = &at[place..place + n];
                scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += f64::from(*value) * weight);
            }
            sum += loss.blame(&scores, &lesson.rewards, &mut blame);
            for (teacher, part) in blame.iter().enumerate() {
                slope[intercepts + teacher] += part;
                slope[offsets + teacher] += part;
            }
            for (column, value) in columns {
                let place = *column as usize * n;
                let parts = &mut slope[place..place + n];
                parts.iter_mut().zip(&blame).for_each(|(part, blame)| *part += f64::from(*value) * blame);
            }
        }
        let (until_weights, until_offsets) = (self.features.len() * n, intercepts);
        sum += penalize(options.penalty, &at[..until_weights], &mut slope[..until_weights]);
        let offsets = until_weights..until_offsets;
        sum += penalize(options.language_penalty, &at[offsets.clone()], &mut slope[offsets]);
        let per_lesson = 1.0 / self.lessons.len().max(1) as f64;
        slope.iter_mut().for_each(|part| *part *= per_lesson);
        sum * per_lesson
    }

    /// The head of these parameters.
    pub(super) fn head(&self, lessons: &Lessons, at: &[f64]) -> LinearHead {
        let n = self.n_teachers;
        let (weights, rest) = at.split_at(self.features.len() * n);
        let (offsets, intercepts) = rest.split_at(self.n_languages * n);
        let mut spread = Vec::new();
        if !self.features.is_empty() {
            spread = vec![0f32; lessons.width * n];
            for (feature, row) in self.features.iter().zip(weights.chunks(n)) {
                let place = *feature as usize * n;
                spread[place..place + n].iter_mut().zip(row).for_each(|(to, weight)| *to = *weight as f32);
            }
        }
        let offsets: BTreeMap<Language, Vec<f64>> =
            lessons.languages.iter().cloned().zip(offsets.chunks(n).map(<[f64]>::to_vec)).collect();
        LinearHead::new(intercepts.to_vec(), offsets, spread)
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
