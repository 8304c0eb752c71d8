//! From lessons to a head.

use std::{collections::BTreeMap, ops::Range};

use rayon::prelude::*;

use super::{
    LinearHead, Loss, SquaredError,
    design::{Columns, Design, Scorer, Slope},
    gram::{Gram, MAX_FOR_GRAM},
    lesson::{Lesson, Lessons},
    minimize::{Stop, minimize_in},
    rows::Rows,
};

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
    /// Two steps that each lower the mean loss by less than this share of it are the last ones; default 0, never.
    pub gain: f64,
    /// Steps, at most; default 200.
    pub max_steps: usize,
}

impl FitOptions {
    /// Of so many lessons stops where what is left to gain is far below what they can tell: held-out losses change no more
    /// by then.
    pub(super) fn as_far_as_it_pays(self, n_lessons: usize) -> Self {
        if n_lessons > MAX_FOR_GRAM { Self { gain: 1e-3, max_steps: 40, ..self } } else { self }
    }
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { penalty: 1.0, language_penalty: 1.0, tolerance: 1e-5, gain: 0.0, max_steps: 200 }
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
    let shape = (lessons.width, lessons.teachers.len());
    let solve = |design: &dyn Design| {
        let problem = Problem::new(lessons, chosen, design);
        problem.solve(loss, options, problem.start())
    };
    if !options.penalty.is_finite() {
        let at = solve(&Columns::none(chosen.len(), shape.1));
        return head_of(lessons, &at, (Rows::zeros(0, shape.1), &vec![0.0; shape.1]));
    }
    if chosen.len() <= MAX_FOR_GRAM {
        let gram = Gram::of(chosen, lessons.width);
        let places: Vec<usize> = (0..chosen.len()).collect();
        let coordinates = gram.coordinates(&places, (chosen.len(), shape.1));
        let at = solve(&coordinates);
        let (weights, rest) = at.split_at(coordinates.n_weights());
        let (weights, gained) = gram.spread(&coordinates, weights);
        return head_of(lessons, rest, (weights, &gained));
    }
    let columns = Columns::of(chosen, chosen.len(), shape);
    let at = solve(&columns);
    let (weights, rest) = at.split_at(columns.n_weights());
    head_of(lessons, rest, (columns.spread(weights, shape.0), &vec![0.0; shape.1]))
}

/// A head of offsets by language and teacher with intercepts behind them, of weights, and of what intercepts gain.
fn head_of(lessons: &Lessons, parameters: &[f64], (weights, gained): (Rows, &[f64])) -> LinearHead {
    let n_teachers = lessons.teachers.len();
    let (offsets, intercepts) = parameters.split_at(lessons.languages.len() * n_teachers);
    let own = offsets.chunks(n_teachers).map(<[f64]>::to_vec);
    let intercepts = intercepts.iter().zip(gained).map(|(intercept, gained)| intercept + gained).collect();
    LinearHead::new(intercepts, lessons.languages.iter().cloned().zip(own).collect(), weights)
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
    LinearHead::new(pooled, offsets, Rows::zeros(0, n_teachers))
}

/// Lessons are summed up in parts side by side, at least so many in each, and their number depends on that of the lessons
/// alone: sums are the same whatever the machine.
const LESSONS_IN_A_PART: usize = 2_048;
/// Lessons that are scored, and blamed, together.
const TOGETHER: usize = 4;
/// Each part has a gradient of its own.
const MAX_PARTS: usize = 8;
/// So many components of the gradients are added up before the next ones are.
const SUMMED_AT_ONCE: usize = 8_192;

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
        let stop = Stop { gradient: options.tolerance, gain: options.gain, max_steps: options.max_steps };
        let units = self.units(options);
        let value = |at: &[f64], slope: &mut [f64]| self.value(loss, options, (at, slope));
        minimize_in(&units, value, start, stop)
    }

    /// How far each parameter is moved by a unit: one over the root of what it is multiplied by, squared and summed, so
    /// that frequent features and rare ones bend the loss alike.
    fn units(&self, options: FitOptions) -> Vec<f64> {
        let (n_weights, intercepts) = (self.design.n_weights(), self.intercepts());
        let mut squares = vec![0.0; intercepts + self.n_teachers];
        self.design.add_squares(&(0..self.lessons.len()).collect::<Vec<_>>(), &mut squares[..n_weights]);
        for lesson in self.lessons {
            let own = &mut squares[n_weights + lesson.language * self.n_teachers..][..self.n_teachers];
            own.iter_mut().for_each(|square| *square += 1.0);
        }
        squares[..n_weights].iter_mut().for_each(|square| *square += options.penalty.min(f64::MAX));
        squares[n_weights..intercepts].iter_mut().for_each(|square| *square += options.language_penalty);
        let n_lessons = self.lessons.len().max(1) as f64;
        squares[intercepts..].fill(n_lessons);
        squares.iter().map(|square| (n_lessons / square.max(f64::MIN_POSITIVE)).sqrt()).collect()
    }

    /// Makes ready to score with these parameters.
    pub(super) fn scorer<'b>(&'b self, at: &'b [f64]) -> Scores<'b> {
        let (weights, rest) = at.split_at(self.design.n_weights());
        let (offsets, intercepts) = rest.split_at(self.n_languages * self.n_teachers);
        Scores { features: self.design.scorer(weights), offsets, intercepts }
    }

    /// The mean loss with penalties, and its gradient.
    fn value(&self, loss: &dyn Loss, options: FitOptions, (at, slope): (&[f64], &mut [f64])) -> f64 {
        let n = self.lessons.len();
        let n_parts = (n / LESSONS_IN_A_PART).clamp(1, MAX_PARTS);
        let range = |part: usize| n * part / n_parts..n * (part + 1) / n_parts;
        let scorer = self.scorer(at);
        let parts: Vec<Part<'_>> = match n_parts {
            1 => vec![self.sum(range(0), loss, &scorer)],
            _ => (0..n_parts).into_par_iter().map(|part| self.sum(range(part), loss, &scorer)).collect(),
        };
        let (until_weights, until_offsets) = (self.design.n_weights(), self.intercepts());
        slope.fill(0.0);
        let (of_weights, rest) = slope.split_at_mut(until_weights);
        // Whole columns, whatever the design.
        let at_once = SUMMED_AT_ONCE.next_multiple_of(self.n_teachers.max(1));
        of_weights.par_chunks_mut(at_once).enumerate().for_each(|(chunk, slope)| {
            parts.iter().for_each(|part| part.weights.add_to(chunk * at_once, slope));
        });
        for part in &parts {
            rest.iter_mut().zip(&part.rest).for_each(|(slope, own)| *slope += own);
        }
        let mut sum = parts.iter().map(|part| part.loss).sum::<f64>();
        let offsets = until_weights..until_offsets;
        sum += penalize(options.penalty, &at[..until_weights], &mut slope[..until_weights]);
        sum += penalize(options.language_penalty, &at[offsets.clone()], &mut slope[offsets]);
        let per_lesson = 1.0 / n.max(1) as f64;
        slope.iter_mut().for_each(|part| *part *= per_lesson);
        sum * per_lesson
    }

    /// The losses of some of the lessons, and the gradient of their sum, without penalties.
    fn sum(&self, numbers: Range<usize>, loss: &dyn Loss, scorer: &Scores<'_>) -> Part<'_> {
        let n = self.n_teachers;
        let mut part = Part { loss: 0.0, weights: self.design.slope(), rest: vec![0.0; (self.n_languages + 1) * n] };
        let (offsets, intercepts) = part.rest.split_at_mut(self.n_languages * n);
        let numbers: Vec<usize> = numbers.collect();
        let (mut all_scores, mut all_blame) = ([0.0].repeat(TOGETHER * n), [0.0].repeat(TOGETHER * n));
        for block in numbers.chunks(TOGETHER) {
            let (scores, blame) = (&mut all_scores[..block.len() * n], &mut all_blame[..block.len() * n]);
            let languages = block.iter().map(|number| self.lessons[*number].language).collect::<Vec<_>>();
            scorer.score((block, &languages), scores);
            let each = scores.chunks_exact(n.max(1)).zip(blame.chunks_exact_mut(n.max(1)));
            for (number, (scores, blame)) in block.iter().zip(each) {
                let lesson = self.lessons[*number];
                part.loss += loss.blame(scores, &lesson.rewards, blame);
                let offsets = &mut offsets[lesson.language * n..][..n];
                for ((intercept, offset), part) in intercepts.iter_mut().zip(offsets).zip(&*blame) {
                    *intercept += part;
                    *offset += part;
                }
            }
            part.weights.add(block, blame);
        }
        part
    }
}

/// Parameters that score lessons.
pub(super) struct Scores<'a> {
    features: Box<dyn Scorer + 'a>,
    offsets: &'a [f64],
    intercepts: &'a [f64],
}

impl Scores<'_> {
    /// The score of each teacher for some lessons of the design, `[lesson, teacher]`, each with its language.
    pub(super) fn score(&self, (lessons, languages): (&[usize], &[usize]), scores: &mut [f64]) {
        let n = self.intercepts.len();
        for (language, scores) in languages.iter().zip(scores.chunks_exact_mut(n.max(1))) {
            let offsets = &self.offsets[language * n..][..n];
            scores.iter_mut().zip(self.intercepts.iter().zip(offsets)).for_each(|(score, (i, o))| *score = i + o);
        }
        self.features.add_scores(lessons, scores);
    }
}

/// What some lessons add to the loss and its gradient.
struct Part<'a> {
    loss: f64,
    weights: Box<dyn Slope + 'a>,
    /// Offsets by language and teacher, then intercepts.
    rest: Vec<f64>,
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
