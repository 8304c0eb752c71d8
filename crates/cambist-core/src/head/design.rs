//! How features enter a head: a block of weights, and what each lesson makes of it.

use super::lesson::Lesson;

/// Lessons by number, the learned ones first, as a minimiser sees their features.
pub(super) trait Design: Send + Sync {
    /// How many weights the block has.
    fn n_weights(&self) -> usize;

    /// Adds the part of the features to the scores of a lesson, by teacher.
    fn add_scores(&self, lesson: usize, weights: &[f64], scores: &mut [f64]);

    /// Adds what a lesson's blame, by teacher, says about the weights.
    fn add_slope(&self, lesson: usize, blame: &[f64], slope: &mut [f64]);

    /// Adds, for each weight, the squares of what it is multiplied by in the first `n_learned` lessons.
    fn add_squares(&self, n_learned: usize, squares: &mut [f64]);
}

/// Sparse features by column: those that at least two sources of the learned lessons have. Weights stand by column,
/// then teacher.
pub(super) struct Columns {
    n_teachers: usize,
    /// The feature behind each column.
    features: Vec<u32>,
    /// Columns and values of each lesson, end to end.
    entries: Vec<(u32, f32)>,
    /// Where the entries of each lesson end.
    ends: Vec<usize>,
}

impl Columns {
    /// No feature at all.
    pub(super) fn none(n_lessons: usize, n_teachers: usize) -> Self {
        Self { n_teachers, features: Vec::new(), entries: Vec::new(), ends: vec![0; n_lessons] }
    }

    /// Features below `width` of `lessons`, of which the first `n_learned` say which of them count.
    pub(super) fn of(lessons: &[&Lesson], n_learned: usize, (width, n_teachers): (usize, usize)) -> Self {
        let mut made = Self::none(lessons.len(), n_teachers);
        made.features = shared_features(&lessons[..n_learned], width);
        let mut column_of = vec![u32::MAX; width];
        (0u32..).zip(&made.features).for_each(|(column, feature)| column_of[*feature as usize] = column);
        for (lesson, end) in lessons.iter().zip(&mut made.ends) {
            let numbered = lesson.features.iter().map(|(index, value)| (column_of[index as usize], value));
            made.entries.extend(numbered.filter(|(column, _)| *column != u32::MAX));
            *end = made.entries.len();
        }
        made
    }

    fn entries(&self, lesson: usize) -> &[(u32, f32)] {
        let from = if lesson == 0 { 0 } else { self.ends[lesson - 1] };
        &self.entries[from..self.ends[lesson]]
    }

    /// Weights by feature, then teacher; empty where no feature counts.
    pub(super) fn spread(&self, weights: &[f64], width: usize) -> Vec<f32> {
        let n = self.n_teachers;
        let mut spread = if self.features.is_empty() { Vec::new() } else { vec![0f32; width * n] };
        for (feature, row) in self.features.iter().zip(weights.chunks(n)) {
            let place = *feature as usize * n;
            spread[place..place + n].iter_mut().zip(row).for_each(|(to, weight)| *to = *weight as f32);
        }
        spread
    }
}

/// Features that at least two sources have, sorted: one that a single source has says nothing about others.
pub(super) fn shared_features(lessons: &[&Lesson], width: usize) -> Vec<u32> {
    const SHARED: u32 = u32::MAX;
    // The source that a feature was met in, plus one; `SHARED` when a second one had it too.
    let mut met = vec![0u32; width];
    for lesson in lessons {
        for index in &lesson.features.indices {
            let known = &mut met[*index as usize];
            let own = lesson.source as u32 + 1;
            *known = if *known == 0 || *known == own { own } else { SHARED };
        }
    }
    (0u32..).zip(met).filter(|(_, met)| *met == SHARED).map(|(index, _)| index).collect()
}

impl Design for Columns {
    fn n_weights(&self) -> usize {
        self.features.len() * self.n_teachers
    }

    fn add_scores(&self, lesson: usize, weights: &[f64], scores: &mut [f64]) {
        for (column, value) in self.entries(lesson) {
            let place = *column as usize * self.n_teachers;
            let weights = &weights[place..place + self.n_teachers];
            scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += f64::from(*value) * weight);
        }
    }

    fn add_slope(&self, lesson: usize, blame: &[f64], slope: &mut [f64]) {
        for (column, value) in self.entries(lesson) {
            let place = *column as usize * self.n_teachers;
            let parts = &mut slope[place..place + self.n_teachers];
            parts.iter_mut().zip(blame).for_each(|(part, blame)| *part += f64::from(*value) * blame);
        }
    }

    fn add_squares(&self, n_learned: usize, squares: &mut [f64]) {
        for (column, value) in (0..n_learned).flat_map(|lesson| self.entries(lesson)) {
            let place = *column as usize * self.n_teachers;
            let value = f64::from(*value);
            squares[place..place + self.n_teachers].iter_mut().for_each(|square| *square += value * value);
        }
    }
}
