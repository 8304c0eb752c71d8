//! Few lessons, many features: the same head in as many dimensions as there are lessons.
//!
//! The best weights are a sum of the learned lessons' features (Kimeldorf and Wahba 1971), so any coordinates in which
//! lessons have the same inner products give the same scores and the same penalty. Those of Cholesky's factor are as
//! few as the lessons that are learned from.

use rayon::prelude::*;

use super::{
    design::{Design, shared_features},
    lesson::Lesson,
};

/// A pivot below this share of the lesson's own square is nothing but rounding.
const SMALLEST_PIVOT: f64 = 1e-9;

/// Inner products of the features of lessons.
pub(super) struct Gram {
    n: usize,
    /// `[lesson, lesson]`; the upper triangle is left at 0.
    products: Vec<f64>,
}

impl Gram {
    /// Of lessons with features below `width`; features that a single source has are left out.
    pub(super) fn of(lessons: &[&Lesson], width: usize) -> Self {
        let n = lessons.len();
        let mut is_shared = vec![false; width];
        shared_features(lessons, width).into_iter().for_each(|index| is_shared[index as usize] = true);
        let kept = |lesson: &&Lesson| lesson.features.iter().filter(|(at, _)| is_shared[*at as usize]).collect();
        let rows: Vec<Vec<(u32, f32)>> = lessons.iter().map(kept).collect();
        let mut products = vec![0.0; n * n];
        let dense = || vec![0f32; width];
        products.par_chunks_mut(n.max(1)).enumerate().for_each_init(dense, |dense, (at, row)| {
            rows[at].iter().for_each(|(index, value)| dense[*index as usize] = *value);
            for (product, other) in row[..=at].iter_mut().zip(&rows) {
                *product = f64::from(other.iter().map(|(index, value)| value * dense[*index as usize]).sum::<f32>());
            }
            rows[at].iter().for_each(|(index, _)| dense[*index as usize] = 0.0);
        });
        Self { n, products }
    }

    fn product(&self, a: usize, b: usize) -> f64 {
        self.products[a.max(b) * self.n + a.min(b)]
    }

    /// Coordinates of the lessons at these places, of which the first `n_learned` span the space, from their mean: an
    /// intercept that costs nothing takes up what all lessons have in common, which would only slow a minimiser down.
    pub(super) fn coordinates(&self, places: &[usize], (n_learned, n_teachers): (usize, usize)) -> Coordinates {
        let width = n_learned;
        let learned = &places[..n_learned];
        let mean_with = |place: &usize| {
            learned.iter().map(|other| self.product(*place, *other)).sum::<f64>() / n_learned.max(1) as f64
        };
        let means: Vec<f64> = places.iter().map(mean_with).collect();
        let mean = means[..n_learned].iter().sum::<f64>() / n_learned.max(1) as f64;
        let product = |a: usize, b: usize| self.product(places[a], places[b]) - means[a] - means[b] + mean;
        let mut rows = vec![0.0; places.len() * width];
        for at in 0..places.len() {
            let (before, own) = rows.split_at_mut(at * width);
            for column in 0..width.min(at) {
                let pivot_row = &before[column * width..][..=column];
                let pivot = pivot_row[column];
                let left = product(at, column) - dot(&own[..column], &pivot_row[..column]);
                own[column] = if pivot > 0.0 { left / pivot } else { 0.0 };
            }
            if at < width {
                let square = product(at, at);
                let left = square - dot(&own[..at], &own[..at]);
                own[at] = if left > SMALLEST_PIVOT * square { left.sqrt() } else { 0.0 };
            }
        }
        Coordinates { width, n_teachers, rows }
    }
}

/// Lessons in the coordinates of Cholesky's factor, the learned ones first: lesson `i` of those has `i + 1` of them.
/// Weights stand by teacher, then coordinate.
pub(super) struct Coordinates {
    width: usize,
    n_teachers: usize,
    rows: Vec<f64>,
}

impl Coordinates {
    fn row(&self, lesson: usize) -> &[f64] {
        &self.rows[lesson * self.width..][..self.width.min(lesson + 1)]
    }
}

impl Design for Coordinates {
    fn n_weights(&self) -> usize {
        self.width * self.n_teachers
    }

    fn add_scores(&self, lesson: usize, weights: &[f64], scores: &mut [f64]) {
        let row = self.row(lesson);
        let width = self.width.max(1);
        pulp::Arch::new().dispatch(Products { row, others: weights, width, sums: scores });
    }

    fn add_slope(&self, lesson: usize, blame: &[f64], slope: &mut [f64]) {
        let row = self.row(lesson);
        let width = self.width.max(1);
        pulp::Arch::new().dispatch(Additions { row, factors: blame, width, others: slope });
    }

    fn add_squares(&self, n_learned: usize, squares: &mut [f64]) {
        let width = self.width.max(1);
        let (first, later) = squares.split_at_mut(self.width.min(squares.len()));
        for lesson in 0..n_learned {
            first.iter_mut().zip(self.row(lesson)).for_each(|(square, value)| *square += value * value);
        }
        later.chunks_exact_mut(width).for_each(|of_teacher| of_teacher.copy_from_slice(first));
    }
}

/// Lanes of a sum: as many as keep vector instructions busy.
const LANES: usize = 32;

/// The inner product of two rows of one length.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = [0.0];
    pulp::Arch::new().dispatch(Products { row: a, others: b, width: a.len().max(1), sums: &mut sum });
    sum[0]
}

/// Adds the inner products of `row` with the beginnings of others, which stand end to end.
struct Products<'a> {
    row: &'a [f64],
    others: &'a [f64],
    /// How long each of the others is.
    width: usize,
    sums: &'a mut [f64],
}

impl pulp::NullaryFnOnce for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (whole, rest) = self.row.as_chunks::<LANES>();
        for (sum, other) in self.sums.iter_mut().zip(self.others.chunks_exact(self.width)) {
            let (other, other_rest) = other[..self.row.len()].as_chunks::<LANES>();
            let mut lanes = [0.0; LANES];
            for (a, b) in whole.iter().zip(other) {
                for lane in 0..LANES {
                    lanes[lane] += a[lane] * b[lane];
                }
            }
            let mut all = 0.0;
            for lane in lanes {
                all += lane;
            }
            for (a, b) in rest.iter().zip(other_rest) {
                all += a * b;
            }
            *sum += all;
        }
    }
}

/// Adds `row`, times a factor for each, to the beginnings of others, which stand end to end.
struct Additions<'a> {
    row: &'a [f64],
    factors: &'a [f64],
    width: usize,
    others: &'a mut [f64],
}

impl pulp::NullaryFnOnce for Additions<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (factor, other) in self.factors.iter().zip(self.others.chunks_exact_mut(self.width)) {
            for (to, value) in other[..self.row.len()].iter_mut().zip(self.row) {
                *to += factor * value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureVector;

    fn lessons() -> Vec<Lesson> {
        let lesson = |at: usize| Lesson {
            features: FeatureVector {
                indices: (0..5).map(|k| ((at * 7 + k * 2) % 9) as u32).collect(),
                values: (0..5).map(|k| ((at + 2 * k) % 4) as f32 - 1.5).collect(),
            },
            language: 0,
            source: at,
            rewards: Vec::new(),
        };
        // One twin, so that the factor has a pivot of 0.
        (0..6).map(lesson).chain([lesson(2)]).collect()
    }

    #[test]
    fn coordinates_have_the_inner_products_of_the_centred_features() {
        let lessons = lessons();
        let chosen: Vec<&Lesson> = lessons.iter().collect();
        let gram = Gram::of(&chosen, 9);
        let made = gram.coordinates(&[2, 6, 0, 1, 3, 4, 5], (7, 1));
        let dense = |lesson: &Lesson| {
            let mut all = [0.0; 9];
            lesson.features.iter().for_each(|(at, value)| all[at as usize] += f64::from(value));
            all
        };
        let mean: [f64; 9] =
            std::array::from_fn(|at| lessons.iter().map(|lesson| dense(lesson)[at]).sum::<f64>() / 7.0);
        let centred = |lesson: &Lesson| -> [f64; 9] { std::array::from_fn(|at| dense(lesson)[at] - mean[at]) };
        for (a, place) in [2, 6, 0, 1, 3, 4, 5].into_iter().enumerate() {
            for (b, other) in [2, 6, 0, 1, 3, 4, 5].into_iter().enumerate() {
                let expected = dot(&centred(&lessons[place]), &centred(&lessons[other]));
                let own: f64 = made.row(a).iter().zip(made.row(b)).map(|(x, y)| x * y).sum();
                assert!((own - expected).abs() < 1e-9, "{a} {b}: {own}, expected {expected}");
            }
        }
    }

    #[test]
    fn a_held_out_lesson_is_scored_by_its_part_in_the_space() {
        let lessons = lessons();
        let chosen: Vec<&Lesson> = lessons.iter().collect();
        let made = Gram::of(&chosen, 9).coordinates(&[0, 1, 2, 6], (3, 1));
        // The twin of the third lesson gets the score of the third lesson.
        let weights = [0.3, -1.0, 2.0];
        let (mut third, mut twin) = ([0.0], [0.0]);
        made.add_scores(2, &weights, &mut third);
        made.add_scores(3, &weights, &mut twin);
        assert!((third[0] - twin[0]).abs() < 1e-9, "{third:?} {twin:?}");
    }
}
