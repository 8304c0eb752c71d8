//! How features enter a head: a block of weights, and what each lesson makes of it.

use super::{lesson::Lesson, rows::Rows};

/// Lessons by number, the learned ones first, as a minimiser sees their features.
pub(super) trait Design: Send + Sync {
    /// How many weights the block has.
    fn n_weights(&self) -> usize;

    /// Adds the part of the features to the scores of some lessons, `[lesson, teacher]`.
    fn add_scores(&self, lessons: &[usize], weights: &[f64], scores: &mut [f64]);

    /// Adds what the blame of some lessons, `[lesson, teacher]`, says about the weights.
    fn add_slope(&self, lessons: &[usize], blame: &[f64], slope: &mut [f64]);

    /// Adds, for each weight, the squares of what a lesson multiplies it by.
    fn add_squares(&self, lesson: usize, squares: &mut [f64]);
}

/// Weights that are read and written together.
const LANES: usize = 4;
/// So many groups of lanes, at most, are kept in registers.
const MOST_GROUPS: usize = 6;

/// Sparse features by column: those that at least two sources of the learned lessons have, the most frequent first, so
/// that what is needed most stays near. Weights stand by column, then teacher, with unused ones up to whole lanes.
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
        let mut shared = shared_features(&lessons[..n_learned], width);
        shared.sort_by_key(|(feature, n_lessons)| (std::cmp::Reverse(*n_lessons), *feature));
        made.features = shared.into_iter().map(|(feature, _)| feature).collect();
        let mut column_of = vec![u32::MAX; width];
        (0u32..).zip(&made.features).for_each(|(column, feature)| column_of[*feature as usize] = column);
        made.entries.reserve_exact(lessons.iter().map(|lesson| lesson.features.len()).sum());
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

    /// Weights from the beginning of one column to that of the next.
    fn stride(&self) -> usize {
        self.n_teachers.next_multiple_of(LANES)
    }

    /// Weights by feature; empty where no feature counts.
    pub(super) fn spread(&self, weights: &[f64], width: usize) -> Rows {
        let mut rows = Rows::zeros(if self.features.is_empty() { 0 } else { width }, self.n_teachers);
        for (feature, own) in self.features.iter().zip(weights.chunks(self.stride().max(1))) {
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
        self.features.len() * self.stride()
    }

    fn add_scores(&self, lessons: &[usize], weights: &[f64], scores: &mut [f64]) {
        let groups = weights.as_chunks::<LANES>().0;
        for (lesson, scores) in lessons.iter().zip(scores.chunks_exact_mut(self.n_teachers.max(1))) {
            let entries = self.entries(*lesson);
            for (from, scores) in (0..).step_by(MOST_GROUPS).zip(scores.chunks_mut(MOST_GROUPS * LANES)) {
                Read { entries, groups, stride: self.stride() / LANES, from, scores }.dispatch();
            }
        }
    }

    fn add_slope(&self, lessons: &[usize], blame: &[f64], slope: &mut [f64]) {
        let groups = slope.as_chunks_mut::<LANES>().0;
        for (lesson, blame) in lessons.iter().zip(blame.chunks_exact(self.n_teachers.max(1))) {
            let entries = self.entries(*lesson);
            for (from, blame) in (0..).step_by(MOST_GROUPS).zip(blame.chunks(MOST_GROUPS * LANES)) {
                Write { entries, groups: &mut *groups, stride: self.stride() / LANES, from, blame }.dispatch();
            }
        }
    }

    fn add_squares(&self, lesson: usize, squares: &mut [f64]) {
        for (column, value) in self.entries(lesson) {
            let own = &mut squares[*column as usize * self.stride()..][..self.stride()];
            own.iter_mut().for_each(|square| *square += f64::from(*value) * f64::from(*value));
        }
    }
}

/// Adds to the scores of some teachers what the entries come to.
struct Read<'a> {
    entries: &'a [(u32, f32)],
    groups: &'a [[f64; LANES]],
    /// Groups from the beginning of one column to that of the next.
    stride: usize,
    /// The first group of the teachers that are meant.
    from: usize,
    scores: &'a mut [f64],
}

impl Read<'_> {
    fn dispatch(self) {
        let arch = pulp::Arch::new();
        match self.scores.len().div_ceil(LANES) {
            1 => arch.dispatch(Groups::<1, _>(self)),
            2 => arch.dispatch(Groups::<2, _>(self)),
            3 => arch.dispatch(Groups::<3, _>(self)),
            4 => arch.dispatch(Groups::<4, _>(self)),
            5 => arch.dispatch(Groups::<5, _>(self)),
            _ => arch.dispatch(Groups::<MOST_GROUPS, _>(self)),
        }
    }
}

/// Work on so many groups of lanes.
struct Groups<const N: usize, W>(W);

impl<const N: usize> pulp::NullaryFnOnce for Groups<N, Read<'_>> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Read { entries, groups, stride, from, scores } = self.0;
        let mut sums = [[0.0; LANES]; N];
        for (column, value) in entries {
            let at = *column as usize * stride + from;
            let Some(weights) = groups.get(at..).and_then(|rest| rest.first_chunk::<N>()) else { continue };
            let value = f64::from(*value);
            for group in 0..N {
                for lane in 0..LANES {
                    sums[group][lane] += value * weights[group][lane];
                }
            }
        }
        scores.iter_mut().zip(sums.as_flattened()).for_each(|(score, sum)| *score += sum);
    }
}

/// Adds the blame of some teachers to the slopes of the entries' weights.
struct Write<'a> {
    entries: &'a [(u32, f32)],
    groups: &'a mut [[f64; LANES]],
    stride: usize,
    from: usize,
    blame: &'a [f64],
}

impl Write<'_> {
    fn dispatch(self) {
        let arch = pulp::Arch::new();
        match self.blame.len().div_ceil(LANES) {
            1 => arch.dispatch(Groups::<1, _>(self)),
            2 => arch.dispatch(Groups::<2, _>(self)),
            3 => arch.dispatch(Groups::<3, _>(self)),
            4 => arch.dispatch(Groups::<4, _>(self)),
            5 => arch.dispatch(Groups::<5, _>(self)),
            _ => arch.dispatch(Groups::<MOST_GROUPS, _>(self)),
        }
    }
}

impl<const N: usize> pulp::NullaryFnOnce for Groups<N, Write<'_>> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Write { entries, groups, stride, from, blame } = self.0;
        let mut own = [[0.0; LANES]; N];
        own.as_flattened_mut().iter_mut().zip(blame).for_each(|(to, blame)| *to = *blame);
        for (column, value) in entries {
            let at = *column as usize * stride + from;
            let Some(slope) = groups.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<N>()) else { continue };
            let value = f64::from(*value);
            for group in 0..N {
                for lane in 0..LANES {
                    slope[group][lane] += value * own[group][lane];
                }
            }
        }
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
                weights[column * columns.stride() + teacher]
            };
            let mut scores = vec![1.0; n_teachers];
            columns.add_scores(&[4], &weights, &mut scores);
            for (teacher, score) in scores.iter().enumerate() {
                let terms = lessons[4].features.iter().map(|(f, v)| f64::from(v) * weight(f, teacher));
                assert_eq!(*score, 1.0 + terms.sum::<f64>(), "{n_teachers} {teacher}");
            }
            let blame: Vec<f64> = (0..n_teachers).map(|teacher| teacher as f64 - 3.0).collect();
            let mut slope = vec![0.0; columns.n_weights()];
            columns.add_slope(&[4], &blame, &mut slope);
            let of_first = &slope[..n_teachers];
            assert!(of_first.iter().zip(&blame).all(|(slope, blame)| *slope == -2.0 * blame));
            let rows = columns.spread(&weights, 9);
            assert!(rows.row(7).unwrap().eq(weights[..n_teachers].iter().map(|weight| *weight as f32)));
            assert!(rows.row(5).unwrap().all(|weight| weight == 0.0));
        }
    }
}
