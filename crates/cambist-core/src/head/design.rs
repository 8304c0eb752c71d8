//! How features enter a head: a block of weights, and what each lesson makes of it.

use super::{
    lesson::Lesson,
    rows::{Features, Rows},
};

/// Lessons by number, the learned ones first, as a minimiser sees their features.
pub(super) trait Design: Send + Sync {
    /// How many weights the block has.
    fn n_weights(&self) -> usize;

    /// Makes ready to score with these weights.
    fn scorer<'a>(&'a self, weights: &'a [f64]) -> Box<dyn Scorer + 'a>;

    /// Begins a sum of what lessons say about the weights.
    fn slope(&self) -> Box<dyn Slope + '_>;

    /// Adds, for each weight, the squares of what some lessons multiply it by.
    fn add_squares(&self, lessons: &[usize], squares: &mut [f64]);
}

/// Scores lessons with weights of its own.
pub(super) trait Scorer: Sync {
    /// Adds the part of the features to the scores of some lessons, `[lesson, teacher]`.
    fn add_scores(&self, lessons: &[usize], scores: &mut [f64]);
}

/// A sum of what lessons say about weights.
pub(super) trait Slope: Send + Sync {
    /// Adds the blame of some lessons, `[lesson, teacher]`.
    fn add(&mut self, lessons: &[usize], blame: &[f64]);

    /// Adds the sums for the weights from `first` on, a multiple of the number of teachers.
    fn add_to(&self, first: usize, slope: &mut [f64]);
}

/// Sparse features by column: those that at least two sources of the learned lessons have, the most frequent first, so
/// that what is needed most stays near. Weights stand by column, then teacher.
///
/// Sums over features and lessons are taken in single precision: half the memory to walk through, and far finer than
/// what rewards tell.
pub(super) struct Columns {
    n_teachers: usize,
    /// The feature behind each column.
    features: Vec<u32>,
    /// Columns of each lesson, end to end, and how much of each it has.
    columns: Vec<u32>,
    values: Vec<f32>,
    /// Where the columns of each lesson end.
    ends: Vec<usize>,
}

impl Columns {
    /// No feature at all.
    pub(super) fn none(n_lessons: usize, n_teachers: usize) -> Self {
        Self { n_teachers, features: vec![], columns: vec![], values: vec![], ends: vec![0; n_lessons] }
    }

    /// Features below `width` of `lessons`, of which the first `n_learned` say which of them count.
    pub(super) fn of(lessons: &[&Lesson], n_learned: usize, (width, n_teachers): (usize, usize)) -> Self {
        let mut made = Self::none(lessons.len(), n_teachers);
        let mut shared = shared_features(&lessons[..n_learned], width);
        shared.sort_by_key(|(feature, n_lessons)| (std::cmp::Reverse(*n_lessons), *feature));
        made.features = shared.into_iter().map(|(feature, _)| feature).collect();
        let mut column_of = vec![u32::MAX; width];
        (0u32..).zip(&made.features).for_each(|(column, feature)| column_of[*feature as usize] = column);
        let n_entries = lessons.iter().map(|lesson| lesson.features.len()).sum();
        made.columns.reserve_exact(n_entries);
        made.values.reserve_exact(n_entries);
        for (lesson, end) in lessons.iter().zip(&mut made.ends) {
            let numbered = lesson.features.iter().map(|(index, value)| (column_of[index as usize], value));
            for (column, value) in numbered.filter(|(column, _)| *column != u32::MAX) {
                made.columns.push(column);
                made.values.push(value);
            }
            *end = made.columns.len();
        }
        made
    }

    fn entries(&self, lesson: usize) -> Features<'_> {
        let from = if lesson == 0 { 0 } else { self.ends[lesson - 1] };
        let own = from..self.ends[lesson];
        (&self.columns[own.clone()], &self.values[own])
    }

    /// Weights by feature; empty where no feature counts.
    pub(super) fn spread(&self, weights: &[f64], width: usize) -> Rows {
        let mut rows = Rows::zeros(if self.features.is_empty() { 0 } else { width }, self.n_teachers);
        for (feature, own) in self.features.iter().zip(weights.chunks(self.n_teachers.max(1))) {
            rows.set(*feature as usize, own.iter().map(|weight| *weight as f32));
        }
        rows
    }
}

/// Features that at least two sources have, sorted, and how many lessons have them: one that a single source has says
/// nothing about others.
pub(super) fn shared_features(lessons: &[&Lesson], width: usize) -> Vec<(u32, u32)> {
    const SHARED: u32 = u32::MAX;
    // The source that a feature was met in, plus one; `SHARED` when a second one had it too. And how often it was met.
    let mut met = vec![(0u32, 0u32); width];
    for lesson in lessons {
        for index in &lesson.features.indices {
            let (known, n_lessons) = &mut met[*index as usize];
            let own = lesson.source as u32 + 1;
            *known = if *known == 0 || *known == own { own } else { SHARED };
            *n_lessons += 1;
        }
    }
    let shared = (0u32..).zip(met).filter(|(_, (met, _))| *met == SHARED);
    shared.map(|(index, (_, n_lessons))| (index, n_lessons)).collect()
}

impl Design for Columns {
    fn n_weights(&self) -> usize {
        self.features.len() * self.n_teachers
    }

    fn scorer<'a>(&'a self, weights: &'a [f64]) -> Box<dyn Scorer + 'a> {
        Box::new(ByColumn { columns: self, rows: Rows::of(weights, self.n_teachers) })
    }

    fn slope(&self) -> Box<dyn Slope + '_> {
        Box::new(ByColumn { columns: self, rows: Rows::zeros(self.features.len(), self.n_teachers) })
    }

    fn add_squares(&self, lessons: &[usize], squares: &mut [f64]) {
        let mut of_column = vec![0.0; self.features.len()];
        for (columns, values) in lessons.iter().map(|lesson| self.entries(*lesson)) {
            for (column, value) in columns.iter().zip(values) {
                of_column[*column as usize] += f64::from(*value) * f64::from(*value);
            }
        }
        for (own, all) in squares.chunks_exact_mut(self.n_teachers.max(1)).zip(of_column) {
            own.iter_mut().for_each(|square| *square += all);
        }
    }
}

/// A row for each column: weights, or sums of blame.
struct ByColumn<'a> {
    columns: &'a Columns,
    rows: Rows,
}

impl Scorer for ByColumn<'_> {
    fn add_scores(&self, lessons: &[usize], scores: &mut [f64]) {
        for (lesson, scores) in lessons.iter().zip(scores.chunks_exact_mut(self.columns.n_teachers.max(1))) {
            self.rows.add_products(self.columns.entries(*lesson), scores);
        }
    }
}

impl Slope for ByColumn<'_> {
    fn add(&mut self, lessons: &[usize], blame: &[f64]) {
        for (lesson, blame) in lessons.iter().zip(blame.chunks_exact(self.columns.n_teachers.max(1))) {
            self.rows.add_outer(self.columns.entries(*lesson), blame);
        }
    }

    fn add_to(&self, first: usize, slope: &mut [f64]) {
        self.rows.add_to(first / self.columns.n_teachers.max(1), slope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureVector;

    #[test]
    fn scores_and_slopes_are_plain_sums_for_any_number_of_teachers() {
        let lesson = |at: usize| Lesson {
            features: FeatureVector {
                indices: vec![at as u32 % 3, 3 + at as u32 % 2, 7],
                values: vec![0.5, 1.0 + at as f32, -2.0],
            },
            language: 0,
            source: at,
            rewards: Vec::new(),
        };
        let lessons: Vec<Lesson> = (0..6).map(lesson).collect();
        let chosen: Vec<&Lesson> = lessons.iter().collect();
        for n_teachers in [1, 4, 9, 17, 24, 25, 60] {
            let columns = Columns::of(&chosen, 6, (9, n_teachers));
            // The feature that all lessons have comes first.
            assert_eq!(columns.features, [7, 3, 4, 0, 1, 2]);
            let weights: Vec<f64> = (0..columns.n_weights()).map(|at| at as f64 / 4.0 - 2.0).collect();
            let weight = |feature: u32, teacher: usize| {
                let column = columns.features.iter().position(|own| *own == feature).unwrap();
                weights[column * n_teachers + teacher]
            };
            let mut scores = vec![1.0; n_teachers];
            columns.scorer(&weights).add_scores(&[4], &mut scores);
            for (teacher, score) in scores.iter().enumerate() {
                let terms = lessons[4].features.iter().map(|(f, v)| f64::from(v) * weight(f, teacher));
                assert_eq!(*score, 1.0 + terms.sum::<f64>(), "{n_teachers} {teacher}");
            }
            let blame: Vec<f64> = (0..n_teachers).map(|teacher| teacher as f64 - 3.0).collect();
            let (mut sum, mut slope) = (columns.slope(), vec![0.0; columns.n_weights()]);
            sum.add(&[4], &blame);
            sum.add_to(0, &mut slope);
            let of_first = &slope[..n_teachers];
            assert!(of_first.iter().zip(&blame).all(|(slope, blame)| *slope == -2.0 * blame));
            let rows = columns.spread(&weights, 9);
            assert!(rows.row(7).unwrap().eq(weights[..n_teachers].iter().map(|weight| *weight as f32)));
            assert!(rows.row(5).unwrap().all(|weight| weight == 0.0));
        }
    }
}
